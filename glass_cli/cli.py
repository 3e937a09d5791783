"""The command line: `glass sample`, `glass sweep`, `glass eval`, `glass ls`, `glass compare`, ...

Typer has the commands and their help; the arguments of `sample`, `sweep` and `eval` are Hydra's and
pass through unread. Everything else is imported inside the commands, so that help is quick.
"""

from __future__ import annotations

import io
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from glass_cli.commands.app import comfort, or_exit
from glass_cli.commands.results import results
from glass_cli.common.streams import give_up_output, open_closed_streams, output_problem
from glass_cli.common.version import __version__

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
HYDRA_ARGUMENTS = {"allow_extra_args": True, "ignore_unknown_options": True}
SAMPLE_HELP = """\b
Common settings (all: glass sample --cfg job; choices: glass ls):
  prompt="..."         what to draw; no escaping needed
  prompts=FILE         a file with a prompt a line, a CSV, TSV or JSON-lines file with prompt as
                       one of its columns, or a list: prompts='[a cat, two dogs]'
  budget=400           network calls a picture, all particles together; or
  particles=8          how many are drawn together
  calls=50             network calls a particle
  seed=0               whole number
  model= sampler= steering= reward=   see glass ls
  metrics='[clip]'     further rewards that score every final picture, each by its name or with
                       settings of its own: metrics='[clip, {pickscore: {path: FOLDER}}]'
  device=auto          auto, cpu, cuda, cuda:1, mps
  wandb.mode=online    online, offline, disabled
  hydra.run.dir=FOLDER where the results go; hydra.sweep.dir=FOLDER for those of a sweep
\b
Hydra's flags:
  -m, --multirun       a sweep: one job for each combination of values
  --cfg job|hydra|all  print the configuration and stop (--resolve, --package KEY)
  --info [TOPIC]       where the configuration comes from
  -cd, --config-dir DIR   a folder of your own yaml files
"""

EVAL_HELP = """\b
Common settings (all: glass eval --cfg job; choices: glass ls):
  benchmark=geneval    see glass ls benchmark; benchmark.limit=N takes the first N prompts
  model= sampler= steering= reward= metrics='[...]' particles= seed=   as in glass sample
  launcher=ray         Ray actors, one a GPU or launcher.cpus_per_worker CPUs
  name=NAME            ends the name of the folder outputs/eval/..., which has all that differs
                       from the defaults
  -m, --multirun       a sweep: one evaluation for each combination of values
"""


PLAN_HELP = """\b
Common settings (all: glass plan --cfg job; choices: glass ls):
  budget=400           network calls a picture, all particles together
  model= reward= seed=    as in glass sample
  benchmark.path=FILE  a list of prompts like those that you will draw
  benchmark.limit=8    the first so many prompts
  benchmark.samples=8  draws a prompt and way of sampling
  benchmark.reward_cost=auto  the budget pays for reward calls too
"""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"glass {__version__}")
        raise typer.Exit()


@app.callback()
def glass(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Align flow and diffusion models at inference time: sample particles, steer them by a reward.

    \b
    glass sample prompt="a photo of a red apple and a blue car"
    glass sweep particles=4,8,16 sampler=sde,glass
    glass ls sampler
    """


Fresh = Annotated[
    bool, typer.Option("--fresh", help="Move earlier results to replaced/ and start again.")
]


@app.command(context_settings=HYDRA_ARGUMENTS, epilog=SAMPLE_HELP)
def sample(
    ctx: typer.Context,
    fresh: Fresh = False,
    show: Annotated[
        bool, typer.Option("--open", help="Open the contact sheet when the run is done.")
    ] = False,
) -> None:
    """Sample one prompt or several: glass sample KEY=VALUE ...

    To continue a run that was stopped, repeat its command with hydra.run.dir=FOLDER.
    """
    engine = "glass_cli.commands.shown_sample" if show else None
    _launch(ctx.args, fresh=fresh, engine=engine)


@app.command(context_settings=HYDRA_ARGUMENTS, epilog=SAMPLE_HELP)
def sweep(ctx: typer.Context, fresh: Fresh = False) -> None:
    """Run every combination of values: glass sweep KEY=VALUE,VALUE ...

    To continue a sweep that was stopped, repeat its command with hydra.sweep.dir=FOLDER.
    """
    _launch(ctx.args, sweep=True, fresh=fresh)


@app.command("eval", context_settings=HYDRA_ARGUMENTS, epilog=EVAL_HELP)
def evaluate(ctx: typer.Context, fresh: Fresh = False) -> None:
    """Run a benchmark: glass eval benchmark=NAME KEY=VALUE ...

    To continue an evaluation that was stopped, repeat its command.
    """
    _launch(ctx.args, config="eval", fresh=fresh)


@app.command(context_settings=HYDRA_ARGUMENTS, epilog=PLAN_HELP)
def plan(ctx: typer.Context, fresh: Fresh = False) -> None:
    """Find out how to spend a budget: glass plan model=NAME reward=NAME budget=400

    Measures a table of rewards, replays ways to spend the budget on it, checks the best by real
    runs, and keeps the answer for steering=auto. benchmark.limit=N takes the first N prompts.
    """
    _launch(["benchmark=plan", *ctx.args], config="eval", fresh=fresh)


@app.command(context_settings=HYDRA_ARGUMENTS)
def reproduce(
    ctx: typer.Context,
    comparison: Annotated[
        str, typer.Argument(metavar="embedded", help="That of the embedded model.")
    ],
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many prompts.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds 0, 1, ...: how many.")] = 2,
    only: Annotated[
        list[str] | None, typer.Option(help="Only these experiments, such as 'fk_*'; repeat.")
    ] = None,
    benchmark: Annotated[
        list[str] | None, typer.Option(help="Only geneval, or only compose.")
    ] = None,
    geneval: Annotated[
        Path | None, typer.Option(help="GenEval's prompts; default: the published, downloaded.")
    ] = None,
    runs: Annotated[Path, typer.Option(help="Where the runs lie.")] = Path("outputs/reproduce"),
    out: Annotated[Path, typer.Option("--out", "-o", help="For the pages.")] = Path("docs/results"),
    draw: Annotated[bool, typer.Option(help="Run what is missing; else only the pages.")] = True,
    earlier: Annotated[
        Path | None, typer.Option(help="Run files, as beside the pages: these are not run again.")
    ] = None,
) -> None:
    """Run a whole comparison and write the pages of its results and claims.

    \b
    glass reproduce embedded                     goes on where it was stopped
    glass reproduce embedded --limit 200 device=cuda
    glass reproduce embedded --limit 200 --earlier docs/results/runs
    """
    from glass_cli.reproduce.command import reproduce as run
    from glass_cli.reproduce.plan import BENCHMARKS, Scope

    chosen = tuple(benchmark or BENCHMARKS)
    scope = Scope(tuple(only or ()), chosen, seeds, limit, geneval)
    words = ctx.args
    raise typer.Exit(
        or_exit(lambda: run(comparison, scope, words, runs, out, draw, earlier=earlier))
    )


def _launch(
    arguments: list[str],
    sweep: bool = False,
    config: str = "config",
    fresh: bool = False,
    engine: str | None = None,
) -> None:
    from glass_cli.launch import launch

    words = [*arguments, *(["fresh=true"] if fresh else [])]
    raise typer.Exit(launch(words, sweep, config, engine=engine))


app.add_typer(results)
app.add_typer(comfort)


def main() -> None:
    """The console script `glass`."""
    open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # what a table shows of a prompt may be nothing that Windows' encodings have
        with suppress(OSError):  # it may be gone
            sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = app(sys.argv[1:] or ["--help"], prog_name="glass", standalone_mode=False)
        sys.stdout.flush()
    except typer.Abort:
        code = 130
    except BrokenPipeError:  # nobody reads the output any more, as after `| head`
        give_up_output()
        code = 1  # as Typer does
    except Exception as error:
        # Typer carries its own copy of click in some versions and imports it in others: an error
        # of usage is recognised by its method, not by its class.
        message = getattr(error, "format_message", None)
        problem = output_problem(error)
        from glass_cli.common.messages import say

        if problem is not None:
            give_up_output()
            say(problem)
            code = 1
        elif message is None:
            raise
        else:
            line = " ".join(str(message()).split())
            say(f"{line.rstrip('.')}; see glass --help")
            code = 2
    sys.exit(code if isinstance(code, int) else 0)
