"""`glass reproduce`, once its command line is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from glass_cli.common.errors import GlassError
from glass_cli.common.messages import say
from glass_cli.common.paths import EVAL_CONFIG, from_here
from glass_cli.common.signals import code_of, signals_raise
from glass_cli.config.command_line import quoted
from glass_cli.launch import launch
from glass_cli.reproduce.earlier import file_of, keep, other_settings, usable
from glass_cli.reproduce.measured import measured, run_folder
from glass_cli.reproduce.pages import write_pages
from glass_cli.reproduce.plan import Evaluation, Scope, command, evaluations, other_budgets

_SIGNALLED = 128  # exit codes from here on: a signal ended the run

Launch = Callable[..., int]


def reproduce(
    name: str,
    scope: Scope,
    overrides: Sequence[str],
    runs: Path,
    out: Path,
    draw: bool = True,
    run: Launch = launch,
    earlier: Path | None = None,
) -> int:
    """Runs what of a comparison is not finished, and writes its pages; returns the exit code.

    overrides: settings for all runs, `key=value`, such as device=cuda.
    runs: where the runs lie; a finished one is not drawn again.
    out: where the pages go.
    draw: False writes the pages of what is finished.
    run: draws one evaluation, as :func:`glass_cli.launch.launch`.
    earlier: a folder of run files, such as ``runs`` beside the pages; what is there of the same
        settings and weights is not drawn again.

    The exit code is 0, 1 where a run failed, whose line is left out of the pages, or that of the
    signal that ended a run. Raises GlassError.
    """
    try:
        with signals_raise():
            return _reproduce(name, scope, overrides, runs, out, draw, run, earlier)
    except KeyboardInterrupt as stopped:  # between two runs
        say(f"stopped; glass reproduce {name} goes on from there")
        return code_of(stopped)


def _reproduce(
    name: str,
    scope: Scope,
    overrides: Sequence[str],
    runs: Path,
    out: Path,
    draw: bool,
    run: Launch,
    earlier: Path | None,
) -> int:
    if earlier is not None and not earlier.is_dir():
        raise GlassError(f"--earlier {earlier} is not a folder; name one of run files")
    for word in overrides:
        if "=" not in word or word.startswith("-"):
            raise GlassError(f"{word} is not key=value; settings are such as device=cuda")
    asked, seeds = evaluations(name, scope), range(scope.seeds)
    if draw and scope.geneval is None and any(each.benchmark == "geneval" for each in asked):
        _published_prompts()
    failed, before, others = list[Path](), dict[Path, Path](), list[Path]()
    for more in (False, True):
        if more:  # what was best is known now
            best = measured(runs, asked, seeds, [*failed, *others], before).best_splits()
            here = [*other_budgets(best, scope)]
            asked += here
        else:
            here = asked
        jobs = [(each, seed) for each in here for seed in _seeds(each, scope)]
        if earlier is not None:
            say(f"looking through {from_here(earlier)}")
            for each, seed in jobs:
                file, folder = file_of(earlier, each, seed), run_folder(runs, each, seed)
                if usable(file, _arguments(each, seed, scope, overrides, runs)):
                    before[folder] = file
            jobs = [each for each in jobs if run_folder(runs, *each) not in before]
        if not draw:
            for each, seed in jobs:
                folder = run_folder(runs, each, seed)
                apart = other_settings(folder, _arguments(each, seed, scope, overrides, runs))
                if apart:
                    say(f"warning: {folder} is left out: it has another {', '.join(apart[:3])}")
                    others.append(folder)
            continue
        for number, (evaluation, seed) in enumerate(jobs, 1):
            which = f"{'other budgets, ' if more else ''}{number}/{len(jobs)}"
            say(f"{which}: {evaluation.name}, {_where(evaluation)}, seed {seed}")
            code = run(_arguments(evaluation, seed, scope, overrides, runs), config=EVAL_CONFIG)
            if code >= _SIGNALLED:
                say(f"stopped; glass reproduce {name} goes on from there")
                return code
            failed += [run_folder(runs, evaluation, seed)] * (code != 0)
    results = measured(runs, asked, seeds, [*failed, *others], before)
    if not results.rows and not results.studies:
        raise GlassError(f"{runs} holds no finished run of {name}, and there is nothing to write")
    of_all = [word for word in overrides if not word.startswith("wandb.")]
    paths = write_pages(out, name, results, lambda each: command(each, scope, seeds, of_all))
    for path in paths:
        print(f"wrote {from_here(path)}")
    asking = [
        (each, _arguments(each.evaluation, each.seed, scope, overrides, runs))
        for each in results.drawn
    ]
    files = keep(out, asking)
    if files:
        print(f"wrote {len(files)} run file{'s' * (len(files) > 1)} into {from_here(out / 'runs')}")
    if failed:
        which = "1 run failed and is" if len(failed) == 1 else f"{len(failed)} runs failed and are"
        say(f"{which} left out of the pages")
    return int(bool(failed))


def _published_prompts() -> None:
    """Fetches GenEval's list before anything is drawn. Raises GlassError."""
    from glass_cli.benchmarks.geneval import NAME, URL
    from glass_cli.benchmarks.lists import public

    try:
        public(URL, NAME)
    except GlassError as error:
        reason = str(error).rpartition(";")[0]
        raise GlassError(
            f"{reason}; give the file, --geneval FILE, or leave GenEval out: --benchmark compose"
        ) from error


def _seeds(evaluation: Evaluation, scope: Scope) -> range:
    return range(1 if evaluation.benchmark is None else scope.seeds)


def _where(evaluation: Evaluation) -> str:
    return evaluation.benchmark or "a study"


def _arguments(
    evaluation: Evaluation, seed: int, scope: Scope, overrides: Sequence[str], runs: Path
) -> list[str]:
    said = any(word.startswith("wandb.mode=") for word in overrides)
    quiet = [] if said else ["wandb.mode=disabled"]
    folder = run_folder(runs, evaluation, seed)
    return [
        *evaluation.overrides(),
        *scope.settings(evaluation.benchmark),
        f"seed={seed}",
        *quiet,
        *overrides,
        f"hydra.run.dir={quoted(str(folder))}",
    ]
