"""The folder of a run, written one picture at a time on a disk that may fail at any moment.

::

    identity.json                        the settings that decide the results (output.identity)
    config.yaml, overrides.yaml          all settings, resolved, and what the user typed
    results/00000/0000.json              prompt 0, image 0: everything about it; written last
    times/00000/0000.json                seconds and memory, which differ from run to run
    images/00000/0000.png                glass sample: particle 0 of prompt 0
    images/00000/samples/0000.png        glass eval: the answer, where GenEval's layout has it
    images/00000/metadata.jsonl          glass eval: the benchmark's record of prompt 0
    thumbs/00000/0000/step-002.webp      what was scored at step 2, small, one tile a particle
    density/00000.png, density.png       points over the model's density; all of these on one page
    metrics.json                         settings of the metrics that glass score added
    particles.jsonl, steps.jsonl         the results' particles and steps as tables, at the end
    wandb_id.txt                         the W&B run that a continued run goes on with
    window.json                          the window that sampler.times=auto measured
    versions.json                        what drew it: code, libraries, weights (output.versions)
    study/00000.json                     a finished part of a study
    sheet.png, summary.json              at the end; without summary.json the run did not finish

Every file is written aside and renamed. A result names the digests of its pictures, so that one
that does not belong to it (a torn disk, a picture changed by hand) is found and drawn again, and
those of its thumbnails, so that another's are not shown for them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from glass_cli.common.files import atomic_write, json_text, plain, regular, writing_to
from glass_cli.output.finished import (
    DIGESTS,
    THUMBNAILS,
    Finished,
    Unit,
    is_whole,
    read_object,
    shared_keys,
    short,
)
from glass_cli.output.identity import IDENTITY, METRICS
from glass_cli.output.lock import Lock, Refused
from glass_cli.output.versions import VERSIONS
from glass_cli.output.wandb_tracker import WANDB_ID

SUMMARY, PARTICLES, STEPS = "summary.json", "particles.jsonl", "steps.jsonl"
_PARTS = ("results", "times", "images", "thumbs", "density", "study")
_CLOSING = (
    IDENTITY,
    METRICS,
    SUMMARY,
    PARTICLES,
    STEPS,
    "sheet.png",
    "density.png",
    "window.json",
    WANDB_ID,
    VERSIONS,
    "config.yaml",
    "overrides.yaml",
)


class RunFolder:
    """The files of one run; whoever writes holds ``locked()``.

    Raises GlassError, which names the folder, where a file cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes out of the folder; raises Refused where one is at work."""
        with writing_to(self.folder):
            lock = Lock(self.folder)
        with lock:
            yield

    def settings(self, config: Mapping[str, Any], overrides: Sequence[str]) -> None:
        """Writes config.yaml and overrides.yaml."""
        for name, value in (("config.yaml", config), ("overrides.yaml", list(overrides))):
            clean = plain(value, finite=False)
            # not OmegaConf's writer, which would read a prompt's "${" as a reference
            text = yaml.safe_dump(clean, allow_unicode=True, sort_keys=False, width=1000)
            self._write(self.folder / name, text.encode())

    def begin(self) -> None:
        """Takes back what said that the run was finished."""
        (self.folder / SUMMARY).unlink(missing_ok=True)

    def is_finished(self) -> bool:
        """Whether there is a summary, which is written last."""
        return (self.folder / SUMMARY).exists()

    def finish(self, summary: Mapping[str, Any]) -> Path:
        """Writes summary.json, without which a run is not finished."""
        path = self.folder / SUMMARY
        self._write(path, json_text(summary, indent=1).encode())
        return path

    def remove_partial_files(self) -> None:
        """Removes what a killed process was writing aside."""
        with writing_to(self.folder):
            left = [p for part in _PARTS for p in (self.folder / part).rglob(".*")]
            for path in [*left, *self.folder.glob(".*.*")]:
                if path.is_file():
                    path.unlink()

    def set_aside(self) -> Path | None:
        """Moves all results to ``replaced/N`` in the folder, for a fresh start; None without any.

        ``identity.json`` goes first: an interruption half-way leaves results that no run takes
        for its own, and another fresh start moves the rest.
        """
        there = [name for name in (*_CLOSING, *_PARTS) if (self.folder / name).exists()]
        if not there:
            return None
        number = 1
        while (target := self.folder / "replaced" / str(number)).exists():
            number += 1
        with writing_to(self.folder):
            target.mkdir(parents=True)
            for name in there:
                os.replace(self.folder / name, target / name)
        return target

    def result(self, unit: Unit) -> dict[str, Any] | None:
        """The finished result of ``unit``; None where there is none, or not all of it is there."""
        result = read_object(self.folder / "results" / unit.inside.with_suffix(".json"))
        if result is None or not is_whole(result, unit):
            return None
        for name, digest in result[DIGESTS].items():
            if Path(name).is_absolute() or ".." in Path(name).parts:
                return None
            try:
                data = regular(self.folder / name).read_bytes()
            except OSError:
                return None
            if hashlib.sha256(data).hexdigest() != digest:
                return None
        return result

    def without_thumbnails(self, units: Iterable[Unit]) -> list[Unit]:
        """Those of the finished ``units`` that scored pictures on the way and kept none, small."""
        return [
            unit
            for unit in units
            if not (self.folder / "thumbs" / unit.inside).is_dir()
            and (result := self.result(unit)) is not None
            and any("file" in particle for particle in result["particles"])
            and any(step["rewards"] is not None and step["t"] < 1.0 for step in result["steps"])
        ]

    def times(self, unit: Unit) -> dict[str, Any]:
        """Seconds and memory of a finished unit, without the seconds of each step."""
        times = read_object(self.folder / "times" / unit.inside.with_suffix(".json")) or {}
        return {key: value for key, value in times.items() if key != "seconds_by_step"}

    def write(self, finished: Finished) -> dict[str, Any]:
        """Writes a finished unit, its result last; returns the result as it can be read back."""
        unit, result = finished.unit, dict(finished.result)
        for name, data in finished.files.items():
            self._write(self.folder / name, data)
        digests = {n: hashlib.sha256(data).hexdigest() for n, data in finished.files.items()}
        result[DIGESTS] = {
            p["file"]: digests[p["file"]] for p in result["particles"] if "file" in p
        }
        # apart: without one of these a result is whole
        if strips := {n: digest for n, digest in digests.items() if n.startswith("thumbs/")}:
            result[THUMBNAILS] = strips
        times = json_text(finished.times, indent=1)
        self._write(self.folder / "times" / unit.inside.with_suffix(".json"), times.encode())
        text = json_text(result, indent=1)
        self._write(self.folder / "results" / unit.inside.with_suffix(".json"), text.encode())
        read: dict[str, Any] = json.loads(text, object_pairs_hook=shared_keys)
        return read

    def rewrite(self, unit: Unit, result: Mapping[str, Any]) -> None:
        """Writes a finished unit's result anew, whose files are there and stay as they are."""
        text = json_text(result, indent=1)
        self._write(self.folder / "results" / unit.inside.with_suffix(".json"), text.encode())

    def write_tables(self, units: Iterable[Unit]) -> None:
        """Writes particles.jsonl and steps.jsonl of those of the ``units`` that are finished."""
        with (
            writing_to(self.folder),
            atomic_write(self.folder / PARTICLES) as particles,
            atomic_write(self.folder / STEPS) as steps,
            particles.open("wb") as particle_file,
            steps.open("wb") as step_file,
        ):
            for unit in sorted(units):
                result = self.result(unit)
                if result is None:
                    continue
                place = {key: result[key] for key in ("prompt_index", "image_index")}
                start = {**place, "prompt": result["prompt"], "seed": result["seed"]}
                for row in result["particles"]:
                    particle_file.write((json_text({**start, **row}) + "\n").encode())
                for row in result["steps"]:
                    step_file.write((json_text({**place, **row}) + "\n").encode())

    def study_part(self, number: int, settings: str) -> dict[str, Any] | None:
        """A finished part of a study under the same ``settings``; None where there is none."""
        part = read_object(self.folder / "study" / f"{number:05d}.json")
        return part if part is not None and part.get("settings") == settings else None

    def write_study_part(self, number: int, settings: str, part: Mapping[str, Any]) -> Any:
        """Writes a finished part of a study; returns it as it can be read back."""
        text = json_text({"settings": settings, **part})
        self._write(self.folder / "study" / f"{number:05d}.json", text.encode())
        return json.loads(text)

    def check_records(self, records: Mapping[int, Mapping[str, Any]], metadata: bool) -> None:
        """Raises Refused where results are of another record, or of another prompt.

        ``metadata``: writes each record as GenEval's metadata.jsonl.
        """
        for number, record in records.items():
            path = self.folder / "images" / f"{number:05d}" / "metadata.jsonl"
            results = self.folder / "results" / f"{number:05d}"
            now = json_text(record)
            text = _record_text(path) if metadata else None
            if text == now:
                continue
            if text is not None and any(results.glob("*.json")):
                raise self._other_list(number, text, now)
            before = self._prompt(results)
            if before is not None and before != record["prompt"]:
                raise self._other_list(number, before, record["prompt"])
            if metadata:
                self._write(path, (now + "\n").encode())

    def _prompt(self, results: Path) -> str | None:
        earlier = (read_object(path) for path in sorted(results.glob("*.json")))
        return next((str(r["prompt"]) for r in earlier if r and "prompt" in r), None)

    def _other_list(self, number: int, before: str, now: str) -> Refused:
        return Refused(
            f"{self.folder} holds results of another prompt list: prompt {number} was {before},"
            f" now it is {now}; name=NAME or hydra.run.dir=FOLDER writes to a new folder, --fresh"
            " starts anew in this one"
        )

    def _write(self, path: Path, data: bytes) -> None:
        with writing_to(self.folder):
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as part, part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())

    def finished(self, units: Iterable[Unit]) -> dict[Unit, dict[str, Any]]:
        """The results of those of the ``units`` that are done, without particles and steps."""
        results = ((unit, self.result(unit)) for unit in units)
        return {unit: short(result) for unit, result in results if result is not None}


def _record_text(path: Path) -> str | None:
    """The JSON text of a benchmark's record; None where there is none, or none that is whole."""
    try:
        text = regular(path).read_text(encoding="utf-8").strip()
        json.loads(text)
    except (OSError, ValueError, RecursionError):
        return None
    return text
