"""The commands around runs: `glass ls`, `glass init`, `glass doctor`, `glass completion`.

Everything else is imported inside the commands, so that help is quick.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, TypeVar

import typer

T = TypeVar("T")

comfort = typer.Typer()


def or_exit(work: Callable[[], T]) -> T:
    """The result of ``work``; where it raises GlassError, or meets a file that it may not touch,
    prints the lines of that and exits with 2.

    A signal that asks the process to end is said in a line, and exits with its code.
    """
    from glass_cli.common.errors import GlassError
    from glass_cli.common.files import why
    from glass_cli.common.messages import say
    from glass_cli.common.signals import code_of, signals_raise

    try:
        with signals_raise():
            return work()
    except KeyboardInterrupt as stopped:
        say("stopped; the same command does it again")
        raise typer.Exit(code_of(stopped)) from None
    except GlassError as error:
        for line in getattr(error, "lines", [str(error)]):
            say(line)
        raise typer.Exit(2) from None
    except OSError as error:
        if error.filename is None:  # of standard output
            raise
        say(f"{error.filename}: {why(error)}; see to its permissions, or name another")
        raise typer.Exit(2) from None


@comfort.command()
def ls(
    group: Annotated[str | None, typer.Argument(help="Only this group.")] = None,
    config_dir: Annotated[
        Path | None,
        typer.Option("--config-dir", "-cd", help="List a folder of your own yaml files too."),
    ] = None,
) -> None:
    """List the choices of each group, with one line each."""
    from glass_cli.common.errors import GlassError
    from glass_cli.common.paths import conf_dir
    from glass_cli.config.listing import render

    def work() -> str:
        if config_dir is not None and not config_dir.is_dir():
            raise GlassError(f"--config-dir {config_dir} is not a folder; check its name")
        return render(group, [conf_dir(), *([config_dir] if config_dir else [])])

    typer.echo(or_exit(work))


@comfort.command()
def init(
    folder: Annotated[Path, typer.Argument(help="A folder that is empty or not there yet.")],
) -> None:
    """Write a small project of your own, which runs as it stands."""
    from glass_cli.commands.init import init as write

    typer.echo(or_exit(lambda: write(folder)))


@comfort.command()
def doctor() -> None:
    """Say what is installed and what is missing, and what to do."""
    from glass_cli.commands.doctor import doctor as examine

    report, can_run = examine()
    typer.echo(report)
    raise typer.Exit(0 if can_run else 1)


@comfort.command()
def completion(
    # where it is missing, this is all that is said of it
    shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish", help="Your shell.")],
) -> None:
    """Print what makes bash, zsh or fish complete groups and keys.

    \b
    bash, in ~/.bashrc:                   eval "$(glass completion bash)"
    zsh, in ~/.zshrc:                     eval "$(glass completion zsh)"
    fish, in ~/.config/fish/config.fish:  glass completion fish | source
    """
    from glass_cli.commands.completion import script

    typer.echo(or_exit(lambda: script(shell)))


@comfort.command(hidden=True)
def complete(ctx: typer.Context, shell: str, words: list[str]) -> None:
    """What the last of the words may become; the scripts of `glass completion` ask for it."""
    from glass_cli.commands.completion import answer, commands_of

    # whatever goes wrong, such as a yaml file that is half written, there is nothing to offer
    with suppress(Exception):
        typer.echo(answer(shell, words, commands_of(ctx.find_root().command)))
