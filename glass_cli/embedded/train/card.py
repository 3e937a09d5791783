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

_CARD = """# The embedded emoji models

A text-to-image flow model of 64x64 scenes, its rewards and a judge. They ship with glass so that
every command works offline; they are made to be steered, not to be beautiful.

## Data

Scenes rendered by `glass_cli/embedded/world`: objects of GenEval's 80 classes (Noto Color Emoji,
SIL Open Font License 1.1; eleven without an emoji drawn by `world/drawn.py`), in their own or one
of ten colours, on six plain grounds. A scene has one to four objects in groups of different
classes, with relations between the groups: left of, right of, above, below. Objects are 32 or 24
pixels large and stand on a grid of 8 pixels. Prompts are in GenEval's wording, with four openings
("a photo of ..."). Nothing was downloaded, and no photograph is in the data.

One pair of groups in sixteen, by a hash, and all contents of GenEval's published prompts but single
objects, were never trained on (`world/content.py`); everything below is measured on these.

## Parts

| part | what | pictures seen | last figures |
|---|---|---|---|
{rows}

All parts: AdamW, weights averaged over steps, stored in half precision; CPU cores, stopped and
resumed on the way, by `python -m glass_cli.embedded.train`. The same command makes such models
again, not the same bits. The rewards and the judge share neither weights nor training pictures.
{measured}"""

_FLOW = """
## What the flow draws

Plain ODE, guidance {guidance:g}{how}, one picture a prompt, {count:,} prompts a row, judged by the
embedded detector (`python -m glass_cli.embedded.train.measure`):

{table}
"""

_BINDING = """
## Whose colour, whose side

Two prompts of the same words, such as "a red dog and a blue cat" and "a blue dog and a red cat":
the share of {count:,} held-out scenes a row whose noise the flow predicts better under their own
(`python -m glass_cli.embedded.train.binding`), before guidance is built in. 0.5 is chance: to such
a flow a prompt is a list of words, and of two objects rightly there it gives half the wrong
colours.

{table}
"""

_DETECTOR = """
## The detector of `glass eval`

It says of every cell of 8x8 pixels whether an object's centre is there, its class, its colour and
its box (`glass_cli/detectors/grid_network.py`). It was trained on pictures of its own
(`embedded/train/imperfect.py`: any number of objects, on the grid and off it, some faded, cut off,
overlapping or turning into another class), most of them through the codec, some blurred and noised,
one in twenty noise without any object. An object in its own colours has no colour to it: a natural
apple is not "a red apple".

{count:,} held-out scenes and as many hard negatives, wrong in one respect, judged by GenEval's
rules against the scene's own prompt, any object more being wrong: the share of verdicts that are
right.

{table}
"""

_REWARD = """
## reward={name}, path=embedded:{name}

The share of {count:,} held-out pairs a row, which differ in one respect, whose right picture has
the higher score:

{table}
"""


_DRAWS = """
## Rewards on the model's own pictures

{prompts:,} prompts that were never trained on, {draws} ODE draws of {calls} calls each, judged by
the embedded detector, any object more being wrong (`python -m glass_cli.embedded.train.draws`).
AUC: how often a right draw has a higher reward than a wrong one of its prompt, over the {both}
prompts that have both. Best-of-N: the share of answers that are right. x_hat: how much of the
variance of the final reward within a prompt that of x_hat explains, at t.

{table}
"""


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
    "flow": ("prompts", _FLOW),
    "distil": ("prompts", _FLOW),
    "detector": ("verdict", _DETECTOR),
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
            head, text = SECTIONS.get(part, ("respect", _REWARD))
            table = drawing.table(found["shares"], head)
            how = " built in" if part == "distil" else ""
            measured += text.format(name=part, table=table, how=how, **_plain(found))
        if part == "flow" and "binding" in figures:
            of = figures["binding"]
            binding = _BINDING.format(count=of["count"], table=drawing.table(of["of"], "asked"))
            measured += binding
    if "draws" in figures:
        measured += draws_section(figures["draws"])
    return _CARD.format(rows="\n".join(rows), measured=measured)


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
    return _DRAWS.format(table=drawing.table(columns, "figure"), **found)


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if not isinstance(value, dict)}
