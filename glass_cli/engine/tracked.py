"""What of a run its tracker is shown: steps and pictures as they come, and tables at the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from glass_cli.engine.summary import numbers
from glass_cli.engine.tracked_tree import COLUMNS, tree_rows
from glass_cli.output.finished import DIGESTS, Finished, Unit
from glass_cli.output.reader import read_results
from glass_cli.output.tracking import Tracker
from glass_cli.output.writer import RunFolder

# Pictures that are shown; the folder has them all.
_SHOWN = 200

Result = Mapping[str, Any]


def track_unit(
    tracker: Tracker,
    out: RunFolder,
    finished: Finished,
    result: Result,
    means: Mapping[str, float],
    count: int,
) -> None:
    """Shows a finished unit: numbers of its steps, running ``means`` of all ``count`` units so far,
    and, of the first few, its pictures."""
    last = {f"mean/{name}": value for name, value in means.items()} | {"pictures": count}
    steps = result["steps"]
    start = (count - 1) * len(steps)
    for i, step in enumerate(steps):
        more = last if i == len(steps) - 1 else {}
        tracker.log({**_step_metrics(step, finished.unit), **more}, start + i)
    pictures = [name for name in finished.files if name.endswith(".png")]
    if pictures and count <= _SHOWN:
        by_file = {p["file"]: p for p in result["particles"] if "file" in p}
        captions = [
            f"{result['prompt']} | {_caption(by_file[name]) if name in by_file else name}"
            for name in pictures
        ]
        name = f"images/{finished.unit.prompt_index:05d}"
        tracker.images(name, [out.folder / file for file in pictures], captions)


def _caption(particle: Mapping[str, Any]) -> str:
    reward = particle.get("reward")
    shown = "-" if reward is None else f"{reward:.3f}"
    return f"particle {particle['particle']} | {shown}"


def _step_metrics(step: Mapping[str, Any], unit: Unit) -> dict[str, float]:
    keys = ("t", "nfe", "ess", "lineages", "log_normaliser", "lam")
    metrics = {key: float(step[key]) for key in keys if isinstance(step.get(key), (int, float))}
    rewards = [r for r in step["rewards"] or [] if r is not None]
    if rewards:
        metrics |= {"reward/best": max(rewards), "reward/mean": sum(rewards) / len(rewards)}
    place = {"prompt": unit.prompt_index, "sampler_step": step["step"]}
    return {**place, **metrics, "resampled": int(step["resampled"])}


def track_results(tracker: Tracker, out: RunFolder, done: Mapping[Unit, Result]) -> None:
    """Tables of all results, with the picture of each answer, of the particles where the pictures
    of all were kept, and of the trees of steered runs (see ``tracked_tree``)."""
    names: Iterable[str] = dict.fromkeys(n for result in done.values() for n in numbers(result))
    rows = []
    for count, unit in enumerate(sorted(done)):
        values, result = numbers(done[unit]), done[unit]
        picture = _picture(out, result) if count < _SHOWN else None
        rows.append([*unit, result["prompt"], *(values.get(name) for name in names), picture])
    heads = ["prompt_index", "image_index", "prompt", *names, "picture"]
    if all(row[-1] is None for row in rows):  # of points
        heads, rows = heads[:-1], [row[:-1] for row in rows]
    tracker.table("results", heads, rows)
    if any(len(result.get(DIGESTS) or ()) > 1 for result in done.values()):
        _track_particles(tracker, out, done)
    if tree := tree_rows(read_results(out.folder, sorted(done))):
        tracker.table("tree", COLUMNS, tree)


def _picture(out: RunFolder, result: Result) -> Path | None:
    """The file of the answer's picture; None where there is no answer, or it is a point."""
    files = sorted(result.get(DIGESTS) or ())
    if len(files) > 1:
        chosen = result["chosen"]
        files = [] if chosen is None else [f for f in files if Path(f).stem == f"{chosen:04d}"]
    return out.folder / files[0] if files else None


def _track_particles(tracker: Tracker, out: RunFolder, done: Mapping[Unit, Result]) -> None:
    rows: list[list[Any]] = []
    metrics = list(dict.fromkeys(n for r in done.values() for n in r.get("mean_metrics") or {}))
    for unit in sorted(done):
        result = out.result(unit)
        particles = [] if result is None else [p for p in result["particles"] if "file" in p]
        if result is None or len(rows) + len(particles) > _SHOWN:
            break
        for p in particles:
            place = [unit.prompt_index, result["prompt"], p["particle"], out.folder / p["file"]]
            answer = p["particle"] == result["chosen"]
            scores = [p["metrics"].get(name) for name in metrics]
            rows.append([*place, answer, p["reward"], *scores])
    heads = ["prompt_index", "prompt", "particle", "picture", "answer", "reward", *metrics]
    tracker.table("particles", heads, rows)


def track_summary(tracker: Tracker, summary: Mapping[str, Any]) -> None:
    """The closing values, each score of a benchmark under a name of its own, and a table of all
    means with their intervals."""
    scores = summary.get("scores") or {}
    rows = []
    for name, cell in {**scores, **(summary.get("means") or {})}.items():
        low, high = cell["interval95"] or (None, None)
        rows.append([name, cell["mean"], low, high, cell["prompts"]])
    if rows:
        tracker.table("scores", ["name", "mean", "low", "high", "prompts"], rows)
    flat = {f"score/{name}": cell["mean"] for name, cell in scores.items()}
    tracker.summary({**summary, **flat})
