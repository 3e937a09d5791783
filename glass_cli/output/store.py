"""The results of an evaluation, one picture at a time, on a disk that may lose us at any moment.

::

    identity.json                        what decides the results (storage.identity)
    images/00000/metadata.jsonl          record 0 of the benchmark, where GenEval has it
    images/00000/samples/0000.png        its picture 0
    thumbs/00000/0000/step-002.webp      its particles at step 2, where these are asked for
    times/00000/0000.json                seconds and memory, which differ from run to run
    results/00000/0000.json              everything else; written last: where it is, all is
    window.json                          what sampler.times=auto measured (experiments.times_auto)
    study/00000.json                     a finished part of a study

Every file is written aside and renamed. A result names the digest of its picture, so that one that
does not belong to it (a torn disk, a picture changed by hand) is found and drawn again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from glass_cli.common.errors import GlassError
from glass_cli.common.files import aside, json_text, plain
from glass_cli.output.identity import IDENTITY
from glass_cli.output.lock import Lock, Refused

DIGEST = "image_sha256"
SUMMARY = "summary.json"
_PARTS = ("results", "times", "images", "thumbs", "study")
_CLOSING = (IDENTITY, SUMMARY, "window.json", "config.yaml", "overrides.yaml")


class Unit(NamedTuple):
    """One picture to draw: record ``record`` of the benchmark, image ``image`` of it."""

    record: int
    image: int

    @property
    def inside(self) -> Path:
        return Path(f"{self.record:05d}", f"{self.image:04d}")


class Finished(NamedTuple):
    """A finished picture, as plain data that may come from another process or machine.

    ``result`` and ``times`` are what their JSON files hold; ``picture`` is the PNG file, None of
    a model of points; ``thumbnails`` are strips (``app.thumbnails``) by their names.
    """

    unit: Unit
    result: dict[str, Any]
    times: dict[str, Any]
    picture: bytes | None
    thumbnails: dict[str, bytes]


class Store:
    """The folder's files; whoever writes holds ``locked()``. What cannot be written: GlassError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes out of the folder; raises Refused where one is at work."""
        with writing(self.folder):
            lock = Lock(self.folder)
        with lock:
            yield

    def settings(self, config: Mapping[str, Any], overrides: Sequence[str]) -> None:
        """Writes config.yaml and overrides.yaml, as ``glass sample`` does."""
        for name, value in (("config.yaml", config), ("overrides.yaml", list(overrides))):
            clean = plain(value, finite=False)
            text = yaml.safe_dump(clean, allow_unicode=True, sort_keys=False, width=1000)
            self._write(self.folder / name, text.encode())

    def begin(self) -> None:
        """Takes back what said that the run was finished."""
        (self.folder / SUMMARY).unlink(missing_ok=True)

    def finish(self, summary: Mapping[str, Any]) -> Path:
        """Writes summary.json, without which a run is not finished."""
        path = self.folder / SUMMARY
        self._write(path, json_text(summary, indent=1).encode())
        return path

    def sweep_up(self) -> None:
        """Removes what a killed process was writing aside."""
        with writing(self.folder):
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
        with writing(self.folder):
            target.mkdir(parents=True)
            for name in there:
                os.replace(self.folder / name, target / name)
        return target

    def picture(self, unit: Unit) -> Path:
        return self.folder / "images" / unit.inside.parent / "samples" / f"{unit.image:04d}.png"

    def result(self, unit: Unit) -> dict[str, Any] | None:
        """The finished result of ``unit``; None where there is none, or not all of it is there."""
        found = _json(self.folder / "results" / unit.inside.with_suffix(".json"))
        if found is None:
            return None
        if found.get(DIGEST) is not None:
            try:
                picture = self.picture(unit).read_bytes()
            except FileNotFoundError:
                return None
            if hashlib.sha256(picture).hexdigest() != found[DIGEST]:
                return None
        return found

    def times(self, unit: Unit) -> dict[str, Any]:
        """Seconds and memory of a finished unit."""
        return _json(self.folder / "times" / unit.inside.with_suffix(".json")) or {}

    def write(self, finished: Finished) -> dict[str, Any]:
        """Writes a finished picture, its result last; returns the result as it can be read back."""
        unit, result = finished.unit, dict(finished.result)
        for name, strip in finished.thumbnails.items():
            self._write(self.folder / "thumbs" / unit.inside / name, strip)
        if finished.picture is not None:
            result[DIGEST] = hashlib.sha256(finished.picture).hexdigest()
            self._write(self.picture(unit), finished.picture)
        times = json_text(finished.times, indent=1)
        self._write(self.folder / "times" / unit.inside.with_suffix(".json"), times.encode())
        text = json_text(result, indent=1)
        self._write(self.folder / "results" / unit.inside.with_suffix(".json"), text.encode())
        read: dict[str, Any] = json.loads(text)
        return read

    def study_part(self, number: int, settings: str) -> dict[str, Any] | None:
        """A finished part of a study under the same ``settings``; None where there is none."""
        found = _json(self.folder / "study" / f"{number:05d}.json")
        return found if found is not None and found.get("settings") == settings else None

    def write_study_part(self, number: int, settings: str, part: Mapping[str, Any]) -> Any:
        """Writes a finished part of a study; returns it as it can be read back."""
        text = json_text({"settings": settings, **part})
        self._write(self.folder / "study" / f"{number:05d}.json", text.encode())
        return json.loads(text)

    def same_records(self, records: Mapping[int, Mapping[str, Any]]) -> None:
        """Writes each record's metadata.jsonl; Refused where results are of another record."""
        for number, record in records.items():
            path = self.folder / "images" / f"{number:05d}" / "metadata.jsonl"
            text = json_text(record) + "\n"
            before = path.read_text(encoding="utf-8") if path.exists() else None
            if before == text:
                continue
            if before is not None and any((self.folder / "results").glob(f"{number:05d}/*.json")):
                raise Refused(
                    f"{self.folder} holds results of another prompt list: record {number} was"
                    f" {before.strip()}, now it is {text.strip()}; name=NAME writes to a new"
                    " folder, --fresh starts anew in this one"
                )
            self._write(path, text.encode())

    def _write(self, path: Path, data: bytes) -> None:
        with writing(self.folder):
            path.parent.mkdir(parents=True, exist_ok=True)
            with aside(path) as part, part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())

    def finished(self, units: Iterable[Unit]) -> dict[Unit, dict[str, Any]]:
        """The results of those of the ``units`` that are done."""
        found = ((unit, self.result(unit)) for unit in units)
        return {unit: result for unit, result in found if result is not None}


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turns an OSError of the block into a GlassError that names the folder."""
    try:
        yield
    except OSError as error:
        raise GlassError(
            f"cannot write to {folder}: {error.strerror or error}; free it, or choose another with"
            " hydra.run.dir=FOLDER; the same command goes on where it stopped"
        ) from error
