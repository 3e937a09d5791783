"""One run's folder: what was asked, what every step did, and the pictures.

::

    config.yaml, overrides.yaml      the run's settings, resolved, and what the user typed
    steps.jsonl                      one line a sampler step and prompt
    particles.jsonl                  one line a finished particle
    thumbs/00000/0000/step-002.webp  what was scored at step 2, small, one tile a particle
    images/00000/0000.png            prompt 0, particle 0; its prompt, seed, settings inside
    sheet.png, summary.json          at the end; without summary.json the run did not finish

Lines are appended whole, other files are written aside and renamed: an interruption leaves what
was finished and nothing in halves.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from glass_cli.common.errors import GlassError
from glass_cli.common.files import aside, json_text, plain, read_jsonl
from glass_cli.output import thumbnails
from glass_cli.output.sheet import Row, contact_sheet
from glass_cli.output.tracking import Tracker

if TYPE_CHECKING:
    from typing_extensions import Self

# A sheet is looked at as a whole; the folder has everything.
SHEET_PROMPTS = 24
SHEET_PARTICLES = 64
# On pictures of 1024 pixels zlib's default takes 4 times as long for a file 15 % smaller.
_COMPRESSION = 1
_METRICS = ("t", "nfe", "seconds", "ess", "lineages", "log_normaliser", "lam")


class Recorder:
    """Writes the folder of one run and passes numbers and pictures on to ``tracker``.

    A context manager: leaving it by an exception or Ctrl-C closes the tracker and keeps what was
    finished. Any file that cannot be written is a GlassError.
    """

    def __init__(
        self, folder: Path, config: Mapping[str, Any], overrides: Sequence[str], tracker: Tracker
    ) -> None:
        """Makes ``folder`` and writes the settings; GlassError if it holds a run already."""
        self.folder = Path(folder)
        self.tracker = tracker
        self._steps = 0
        self._closed = False
        with _one_line(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            for name in ("steps.jsonl", "particles.jsonl", "summary.json"):
                if (self.folder / name).exists():
                    raise GlassError(
                        f"{self.folder} already holds a run ({name}): "
                        "choose another folder or remove it"
                    )
        self.settings(config)
        self._text("overrides.yaml", _yaml(list(overrides)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._closed:
            self._closed = True
            self.tracker.finish(ok=False)

    def settings(self, config: Mapping[str, Any]) -> None:
        """Writes config.yaml; again where loading has decided what was left open."""
        self._text("config.yaml", _yaml(config))

    def step(self, record: Mapping[str, Any]) -> None:
        """Appends ``record`` to steps.jsonl and logs its finite numbers to the tracker.

        Known keys, each of which may be missing or None: prompt_index, step, t (0 noise, 1 data),
        nfe, seconds, rewards (one a particle), lam, ess, lineages, log_normaliser, resampled,
        ancestors, log_w. The tracker's own step counts on over prompts.
        """
        self._append("steps.jsonl", record)
        self.tracker.log(_metrics(record), self._steps)
        self._steps += 1

    def thumbnails(self, prompt_index: int, step: int, pictures: np.ndarray) -> None:
        """Keeps uint8 (N, H, W, 3) ``pictures`` of what was scored at ``step``, made small."""
        folder = self.folder / "thumbs" / f"{prompt_index:05d}" / "0000"
        with _one_line(self.folder):
            folder.mkdir(parents=True, exist_ok=True)
            with aside(folder / thumbnails.name(step)) as part:
                part.write_bytes(thumbnails.strip(pictures))

    def images(
        self,
        prompt_index: int,
        prompt: str,
        pictures: np.ndarray,
        particles: Sequence[Mapping[str, Any]],
        settings: Mapping[str, Any],
    ) -> list[Path]:
        """Writes one prompt's finished pictures; returns their paths.

        ``pictures`` is uint8 (N, H, W, 3). ``particles`` has N dicts with particle, seed, reward,
        log_w, nfe and best, and may have metrics and terms (name -> score); they go to
        particles.jsonl with prompt_index, prompt and file (within the folder) added. Each PNG
        carries the texts prompt, seed, particle, reward, metrics, terms and settings; all but the
        prompt are JSON.
        """
        if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[-1] != 3:
            raise ValueError(
                f"pictures must be uint8 (N, H, W, 3), got {pictures.dtype} {pictures.shape}"
            )
        if len(pictures) != len(particles):
            raise ValueError(f"{len(pictures)} pictures for {len(particles)} particles")
        inside = Path("images", f"{prompt_index:05d}")
        with _one_line(self.folder):
            (self.folder / inside).mkdir(parents=True, exist_ok=True)
        paths, captions = [], []
        for i, (picture, particle) in enumerate(zip(pictures, particles, strict=True)):
            number = int(particle.get("particle", i))
            file = inside / f"{number:04d}.png"
            info = PngInfo()
            info.add_itxt("prompt", plain(prompt))
            for key in ("seed", "particle", "reward", "metrics", "terms"):
                if key in particle:
                    info.add_itxt(key, json_text(particle[key]))
            info.add_itxt("settings", json_text(settings))
            with _one_line(self.folder), aside(self.folder / file) as part:
                Image.fromarray(picture).save(part, pnginfo=info, compress_level=_COMPRESSION)
            start = {"prompt_index": prompt_index, "prompt": prompt, "particle": number}
            self._append("particles.jsonl", {**start, **particle, "file": file.as_posix()})
            paths.append(self.folder / file)
            captions.append(f"{prompt} | particle {number} | {_caption(particle)}")
        self.tracker.images(inside.as_posix(), paths, captions)
        return paths

    def points(
        self,
        prompt_index: int,
        prompt: str,
        points: Sequence[Sequence[float]],
        particles: Sequence[Mapping[str, Any]],
    ) -> None:
        """Appends one prompt's finished points to particles.jsonl, under the key point."""
        for number, (point, particle) in enumerate(zip(points, particles, strict=True)):
            start = {"prompt_index": prompt_index, "prompt": prompt, "particle": number}
            self._append("particles.jsonl", {**start, **particle, "point": point})

    def plot(self, name: str, write: Callable[[Path], None]) -> Path:
        """Saves ``name``.png in the folder: ``write`` is given the path to write a PNG to."""
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
            raise ValueError(f"a plot's name is made of a-z, 0-9, _ and -, got {name!r}")
        path = self.folder / f"{name}.png"
        with _one_line(self.folder), aside(path) as part:
            write(part)
        self.tracker.images(name, [path], [name])
        return path

    def sheet(self, rows: Sequence[Row] | None = None, columns: int = 8) -> Path | None:
        """Saves sheet.png; without ``rows``, of the recorded particles, one row a prompt.

        Then only the first SHEET_PROMPTS prompts and SHEET_PARTICLES particles of each are
        shown. None where nothing has been recorded.
        """
        title = None
        if rows is None:
            recorded = self.folder / "particles.jsonl"
            rows = rows_of_run(self.folder) if recorded.exists() else []
            if len(rows) > SHEET_PROMPTS:
                title = f"The first {SHEET_PROMPTS} of {len(rows)} prompts"
                rows = rows[:SHEET_PROMPTS]
        if not rows:
            return None
        path = self.folder / "sheet.png"
        with _one_line(self.folder), aside(path) as part:
            contact_sheet(rows, columns=columns, title=title).save(part)
        self.tracker.images("sheet", [path], [title or "contact sheet"])
        return path

    def finish(self, summary: Mapping[str, Any]) -> Path:
        """Writes summary.json, which marks the run as finished, and closes the tracker."""
        path = self._text("summary.json", json_text(summary, indent=2) + "\n")
        self._closed = True
        self.tracker.summary(plain(summary))
        self.tracker.finish()
        return path

    def _text(self, name: str, text: str) -> Path:
        path = self.folder / name
        with _one_line(self.folder), aside(path) as part:
            part.write_text(text, encoding="utf-8")
        return path

    def _append(self, name: str, record: Mapping[str, Any]) -> None:
        line = (json_text(record) + "\n").encode("utf-8")
        with _one_line(self.folder):
            file = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                size = os.fstat(file).st_size
                written = os.write(file, line)
                if written < len(line):  # a full disk: the next line must not follow half a line
                    with suppress(OSError):
                        os.ftruncate(file, size)
                    raise OSError(f"no space left for {name}")
            finally:
                os.close(file)


def rows_of_run(folder: Path, label: str | None = None) -> list[Row]:
    """One sheet row a prompt of the run in ``folder``, its pictures opened when drawn.

    ``label`` replaces the prompt above each row, to set several runs side by side.
    """
    prompts: dict[int, list[dict[str, Any]]] = {}
    for particle in read_jsonl(folder / "particles.jsonl"):
        if "file" not in particle:  # a point has no picture
            continue
        prompts.setdefault(particle["prompt_index"], []).append(particle)
    rows = []
    for particles in prompts.values():
        best = next((i for i, p in enumerate(particles) if p.get("best")), None)
        shown = particles[:SHEET_PARTICLES]
        if best is not None and best >= len(shown):
            shown[-1], best = particles[best], len(shown) - 1
        rows.append(
            Row(
                label if label is not None else particles[0]["prompt"],
                [folder / p["file"] for p in shown],
                [_caption(p) for p in shown],
                best,
            )
        )
    return rows


def _caption(particle: Mapping[str, Any]) -> str:
    reward = plain(particle.get("reward"))
    return f"{reward:.3f}" if isinstance(reward, (int, float)) else "-"


def _metrics(record: Mapping[str, Any]) -> dict[str, float]:
    clean = plain(record)
    metrics: dict[str, float] = {
        key: clean[key] for key in _METRICS if isinstance(clean.get(key), (int, float))
    }
    for key, name in (("prompt_index", "prompt"), ("step", "sampler_step")):
        if isinstance(clean.get(key), int):
            metrics[name] = clean[key]
    if clean.get("resampled") is not None:
        metrics["resampled"] = int(clean["resampled"])
    rewards = [r for r in clean.get("rewards") or [] if r is not None]
    if rewards:
        metrics["reward/best"] = max(rewards)
        metrics["reward/mean"] = math.fsum(rewards) / len(rewards)
    return metrics


def _yaml(value: Any) -> str:
    # Not omegaconf's writer: it would read a prompt's "${" as an interpolation.
    clean = plain(value, finite=False)
    return str(yaml.safe_dump(clean, allow_unicode=True, sort_keys=False, width=1000))


@contextmanager
def _one_line(folder: Path) -> Iterator[None]:
    """Turns an OSError of the block into a GlassError that names the folder."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise GlassError(
            f"cannot write to the run folder {folder}: {why}; "
            "free it, or choose another with hydra.run.dir=<folder>"
        ) from error
