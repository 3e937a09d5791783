"""The embedded models' card: what they were trained on, how far, and how good they are.

Figures are kept in ``figures.json`` beside the weights, so that parts may be trained and measured
at different times; the card is written from them alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from glass_cli.benchmarks.geneval import LoadedGenEval
from glass_cli.common.files import atomic_write
from glass_cli.detectors.embedded_detector import EmbeddedDetector
from glass_cli.embedded.train import (
    card_text,
    clip,
    codec,
    detector,
    distil,
    flow,
    imagereward,
    judging,
    reading,
)
from glass_cli.embedded.train import measure as drawing
from glass_cli.embedded.train.preferences import PICTURES
from glass_cli.embedded.train.ranking import accuracy
from glass_cli.pipelines.codec import PatchAutoencoder
from glass_cli.rewards.base import LoadedReward, Reward
from glass_cli.rewards.clip import Clip
from glass_cli.rewards.imagereward import ImageReward
from glass_cli.rewards.pickscore import PickScore

FIGURES = "figures.json"
NOISE = 0.6  # on the codes, whose standard deviation is 1.2
CPU = torch.device("cpu")

# what each part is, and pictures a step
PARTS = {
    "codec": ("patch autoencoder; errors through noised codes", codec.BATCH),
    "reader": ("the flow's text encoder by itself: prompts, no pictures", reading.PROMPTS),
    "flow": ("U-Net on 8x8 codes, with its text encoder", flow.BATCH),
    "distil": ("the flow with its guidance built in", flow.BATCH),
    "detector": ("the judge: a convolutional network", detector.BATCH),
    "imagereward": ("BLIP with cross-attention", imagereward.PROMPTS * PICTURES),
    "clip": ("CLIP, picture and text towers", clip.PROMPTS * PICTURES),
    "pickscore": ("the CLIP, trained further on choices", clip.PROMPTS * PICTURES),
}


def _samples(folder: Path, part: str, before: int) -> dict[str, Any]:
    """Pictures seen by a run, and ``before`` it, and the last line of its log."""
    line = json.loads((folder / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    last = {key: value for key, value in line.items() if key not in ("step", "steps_per_s")}
    return {"pictures": before + line["step"] * PARTS[part][1], "last": last}


def _flow(out: Path, count: int, guidance: float) -> dict[str, Any]:
    pipe = drawing.load(out / "emoji")
    judge = LoadedGenEval(EmbeddedDetector(str(out / "detector")).load(CPU, torch.float32))
    shares = {
        f"{calls} calls": drawing.correctness(pipe, judge, count, calls, guidance)
        for calls in drawing.CALLS
    }
    return {"count": count, "guidance": distil.GUIDANCE, "shares": shares}


def _changed(out: Path, measured: Callable[[Any], dict[str, float]]) -> dict[str, Any]:
    vae = PatchAutoencoder.from_pretrained(out / "emoji" / "vae", dtype=torch.float32).eval()
    ways = judging.changes(vae, NOISE)
    return {"shares": {name: measured(change) for name, change in ways.items()}}


def _detector(out: Path, count: int) -> dict[str, Any]:
    found = EmbeddedDetector(str(out / "detector")).load(CPU, torch.float32)
    return {
        "count": count,
        **_changed(out, lambda change: judging.evaluate(found, count, change)),
    }


# what the rows of a part's table are, and its words; of all others they are a reward's
SECTIONS = {
    "flow": ("prompts", card_text.FLOW),
    "distil": ("prompts", card_text.FLOW),
    "detector": ("verdict", card_text.DETECTOR),
}
REWARDS: dict[str, Callable[[str], Reward]] = {
    "imagereward": ImageReward,
    "clip": Clip,
    "pickscore": PickScore,
}


def rewards(out: Path) -> dict[str, LoadedReward]:
    """Those among the weights in ``out``, on the CPU."""
    return {
        name: kind(str(out / name)).load(CPU, torch.float32)
        for name, kind in REWARDS.items()
        if (out / name).is_dir()
    }


def _reward(out: Path, name: str, count: int) -> dict[str, Any]:
    loaded = REWARDS[name](str(out / name)).load(CPU, torch.float32)
    pairs = max(1, count // 4)
    return {"count": pairs, **_changed(out, lambda change: accuracy(loaded, pairs, change))}


def _measured(out: Path, part: str, count: int, distilled: bool) -> dict[str, Any]:
    if part in ("codec", "reader") or (part == "flow" and distilled):
        return {}
    if part in ("flow", "distil"):
        return _flow(out, max(1, count // 20), drawing.GUIDANCE if distilled else distil.GUIDANCE)
    return _detector(out, count) if part == "detector" else _reward(out, part, count)


def write(folder: Path, out: Path, count: int, start: Path | None = None) -> None:
    """Measures the exported weights of every part trained in ``folder``; writes ``out``/README.md.

    count: scenes that the detector is measured on; pairs are a quarter of it, prompts a twentieth.
    start: the weights that training began with, whose pictures were seen too.
    """
    figures, before = kept(out), {} if start is None else kept(start)
    distilled = (folder / "distil.pt").exists()
    for part in PARTS:
        if (folder / f"{part}.pt").exists():
            seen = _samples(folder, part, before.get(part, {}).get("pictures", 0))
            figures[part] = {**seen, **_measured(out, part, count, distilled)}
            if part in ("codec", "flow", "distil", "detector"):
                figures.pop("looked", None)  # of other pictures, or another judge
    save({part: figures[part] for part in (*PARTS, *figures) if part in figures}, out)


def kept(out: Path) -> dict[str, Any]:
    """The figures beside the weights in ``out``."""
    file = out / FIGURES
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return found


def save(figures: dict[str, Any], out: Path) -> None:
    """Writes the figures, and the card of them."""
    texts = {FIGURES: json.dumps(figures, indent=1) + "\n", "README.md": render(figures)}
    for path, text in ((out / name, text) for name, text in texts.items()):
        with atomic_write(path) as aside:
            aside.write_text(text, encoding="utf-8")


def render(figures: dict[str, Any]) -> str:
    """The card of the figures that :func:`write` keeps."""
    rows = []
    parts = {part: found for part, found in figures.items() if part in PARTS}
    for part, found in parts.items():
        last = ", ".join(f"{name} {value:g}" for name, value in found["last"].items())
        rows.append(f"| {part} | {PARTS[part][0]} | {found['pictures']:,} | {last} |")
    measured = ""
    for part, found in parts.items():
        if "shares" in found:
            head, text = SECTIONS.get(part, ("respect", card_text.REWARD))
            table = drawing.table(found["shares"], head)
            how = " built in" if part == "distil" else ""
            measured += text.format(name=part, table=table, how=how, **_plain(found))
        if part == "flow" and "binding" in figures:
            of = figures["binding"]
            binding = card_text.BINDING.format(
                count=of["count"], table=drawing.table(of["of"], "asked")
            )
            measured += binding
        if part == "detector" and "looked" in figures:
            measured += _looked_section(figures["looked"])
    if "draws" in figures:
        measured += draws_section(figures["draws"])
    return card_text.CARD.format(rows="\n".join(rows), measured=measured)


def _looked_section(found: dict[str, Any]) -> str:
    """The card's words on pictures that were judged by eye too; "of" has the number of them and of
    equal verdicts, task by task."""
    pictures, same = (sum(both[i] for both in found["of"].values()) for i in (0, 1))
    rows = "\n".join(f"| {task} | {n} | {of / n:.3f} |" for task, (n, of) in found["of"].items())
    share = same / pictures
    return card_text.LOOKED.format(all=pictures, share=share, rows=rows, **found)


def draws_section(found: dict[str, Any]) -> str:
    """The card's words on what :mod:`glass_cli.embedded.train.draws` measured."""
    columns = {}
    for name, of in found["rewards"].items():
        columns[name] = {
            "AUC": of["auc"],
            **{f"best of {n}" if n != "1" else "one draw": v for n, v in of["best_of"].items()},
            **{
                f"x_hat at t={t:g}": share
                for t, share in zip(found["times"], of["foretold"], strict=True)
            },
        }
    return card_text.DRAWS.format(table=drawing.table(columns, "figure"), **found)


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if not isinstance(value, dict)}
