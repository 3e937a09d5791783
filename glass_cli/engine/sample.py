"""``glass sample``: particles of one or several prompts, steered by a reward."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glass_cli.common.paths import from_here
from glass_cli.config.settings import Settings
from glass_cli.engine.run import Done, Request, completed
from glass_cli.engine.summary import best_reward, mean_reward
from glass_cli.output.density_sheet import DENSITY_PROMPTS, write_density
from glass_cli.output.progress import closing_table
from glass_cli.output.run_sheet import write_sheet
from glass_cli.output.terminal_picture import print_picture


def run(settings: Settings, folder: Path) -> float | None:
    """Runs one configuration; returns the mean best reward, which a sweeper may maximise."""
    prompts = settings.root.prompt_list()[: settings.root.limit]
    records = {index: {"prompt": prompt} for index, prompt in enumerate(prompts)}
    request = Request(records, images=1)
    with completed(settings, folder, request) as done:
        sheet = write_sheet(folder, request.units)
        if sheet is not None:
            done.tracker.images("sheet", [sheet], ["contact sheet"])
        density = write_density(folder, request.units)
        if density is not None:
            done.tracker.images("density", [density], ["particles over the true density"])
        done.finish()
    print(closing_table(_rows(done), _paths(done, sheet, density)))
    if sheet is not None:
        print_picture(sheet)
    score: float | None = done.summary["score"]
    return score


def _rows(done: Done) -> list[dict[str, Any]]:
    """The rows of the closing table, a prompt each."""
    return [
        {
            "prompt": result["prompt"],
            "best_reward": best_reward(result),
            "mean_reward": mean_reward(result),
            "metrics": result["metrics"],
            "mean_metrics": result["mean_metrics"],
            "nfe": result["nfe"],
            "seconds": times.get("seconds"),
        }
        for result, times in zip(done.results, done.times, strict=True)
    ]


def _paths(done: Done, sheet: Path | None, density: Path | None) -> Mapping[str, str]:
    folder = done.folder.folder
    paths = {"folder": from_here(folder)}
    if done.plan_note is not None:
        paths["plan"] = done.plan_note
    if done.times_note is not None:
        paths["times"] = done.times_note
    if sheet is not None:
        paths["pictures"] = from_here(folder / "images")
        paths["contact sheet"] = from_here(sheet)
    if density is not None:
        paths["plot"] = from_here(density)
        if (count := len(done.results)) > DENSITY_PROMPTS:
            paths["plot"] += f" (the first {DENSITY_PROMPTS} of {count} prompts)"
    return paths
