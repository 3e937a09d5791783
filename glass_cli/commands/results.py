"""The commands that read finished runs: `glass sheet`, `compare`, `score`, `report`.

Everything else is imported inside the commands, so that help is quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glass_cli.commands.app import or_exit

results = typer.Typer()
_QUANTITIES = (
    "answer (reward of the particle chosen), best, mean (of the particles), correct,"
    " correct.TASK, metrics.NAME, mean_metrics.NAME, lineages; repeat."
)


@results.command()
def sheet(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of finished runs or sweeps: for each prompt a row a run, or, with an"
            " evaluation among them, one row of all answers."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The PNG to write.")] = Path("sheet.png"),
) -> None:
    """Set the pictures of several runs side by side on one contact sheet."""
    from glass_cli.report.side_by_side import side_by_side

    typer.echo(or_exit(lambda: side_by_side(runs, out)))


@results.command()
def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of finished runs of sample or eval, or of sweeps, or run files of glass"
            " reproduce; or its CSV file, and runs that should say the same."
        ),
    ],
    against: Annotated[
        Path | None, typer.Option(help="The run to take differences from; default: the first.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="A run's name in the table; once for each, in order.")
    ] = None,
    show: Annotated[list[str] | None, typer.Option(help=f"Only this number: {_QUANTITIES}")] = None,
    rank: Annotated[
        str | None,
        typer.Option(help="Rank the runs of each benchmark by this number; marks ties."),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the numbers to this CSV file.")] = None,
    latex: Annotated[Path | None, typer.Option(help="Write a booktabs table.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Write PNG and PDF plots here.")] = None,
) -> None:
    """Compare runs on the same prompts and seeds: paired differences with 95 % intervals.

    \b
    glass compare outputs/a outputs/b --show best
    glass compare outputs/eval/* --rank correct
    """
    from glass_cli.common.errors import GlassError
    from glass_cli.common.messages import say
    from glass_cli.report.commands import compare_runs, rank_runs

    def work() -> tuple[str, list[str]]:
        if rank is None:
            return compare_runs(runs, against, label or [], show or [], csv, latex, plots)
        if against is not None or show:
            raise GlassError(
                "--rank shows one number, less the first run's; leave out --against and --show"
            )
        return rank_runs(runs, rank, label or [], csv, latex, plots)

    text, warnings = or_exit(work)
    typer.echo(text)
    for line in warnings:
        say(f"warning: {line}")


@results.command()
def score(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN... metrics=NAME",
            help="Folders of finished runs or sweeps; metrics='[clip, {pickscore: {path: X}}]' and"
            " device=, dtype=, wandb.mode= are those of glass sample.",
        ),
    ],
    config_dir: Annotated[
        Path | None,
        typer.Option("--config-dir", "-cd", help="A folder of your own yaml files."),
    ] = None,
) -> None:
    """Score finished pictures by further metrics, without drawing: glass score RUN metrics='[clip]'

    The scores go into the run's folder, where compare, report and sheet find them. What was there
    stays as it was; pictures that have a score are passed over.
    """
    from glass_cli.report.scoring import score_runs

    typer.echo(or_exit(lambda: score_runs(arguments, config_dir)))


@results.command()
def report(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The page; default: report.html in the run.")
    ] = None,
    max_mb: Annotated[float, typer.Option(min=1, help="How large the page may become.")] = 24,
    trees: Annotated[int, typer.Option(min=0, help="How many particle trees to draw.")] = 24,
) -> None:
    """Write one self-contained HTML page: tables, plots, pictures, trees of particles."""
    from glass_cli.report.commands import report as write

    typer.echo(or_exit(lambda: write(run, out, max_mb, trees)))
