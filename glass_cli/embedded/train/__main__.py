"""``python -m glass_cli.embedded.train``: renders the emoji world and trains everything embedded.

Every part resumes where it was stopped; run the same command again. ``export`` writes what has been
trained so far as weights, and ``card`` measures the weights and writes their README.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from glass_cli.common.errors import GlassError
from glass_cli.embedded.train import card, clip, codec, detector, distil, export, flow, imagereward
from glass_cli.embedded.train.codes import CodeTable
from glass_cli.embedded.train.text import train_tokenizer

WEIGHTS = Path(__file__).parents[1] / "weights"
STEPS = {
    "codec": 1600,
    "reader": 1500,
    "flow": 24_000,
    "distil": 2000,
    "detector": 12_000,
    "imagereward": 5000,
    "clip": 2500,
    "pickscore": 800,
}
ON_DEMAND = ("distil",)  # parts that are trained only where they are named
PARTS = (*STEPS, "export", "card")
_HELP = f"any of {', '.join(PARTS)}; all but {', '.join(ON_DEMAND)} when left out"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m glass_cli.embedded.train", description=__doc__)
    parser.add_argument("parts", nargs="*", help=_HELP)
    parser.add_argument("--folder", type=Path, default=Path("runs/emoji"), help="checkpoints")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="where weights are exported")
    parser.add_argument(
        "--from",
        dest="start",
        type=Path,
        metavar="WEIGHTS",
        help="a folder of weights to begin with where they fit; its codec's encoder is kept",
    )
    parser.add_argument(
        "--guidance", type=float, default=distil.GUIDANCE, help="strength that distil builds in"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--count", type=int, default=2000, help="of pictures a figure of the card")
    for part, steps in STEPS.items():
        parser.add_argument(f"--{part}-steps", type=int, default=steps)
    args = parser.parse_args()
    unknown = sorted(set(args.parts) - set(PARTS))
    if unknown:
        parser.error(f"no part is called {unknown[0]}; parts are {', '.join(PARTS)}")
    if args.start is not None and not (args.start / "emoji" / "vae").is_dir():
        parser.error(f"--from={args.start} has no emoji/vae; give a folder like {WEIGHTS}")
    return args


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    args.folder.mkdir(parents=True, exist_ok=True)
    parts = args.parts or [part for part in PARTS if part not in ON_DEMAND]
    folder, seed, start = args.folder, args.seed, args.start
    if "codec" in parts:
        codec.train(folder, args.codec_steps, seed, start)
    try:
        vae = codec.load(folder, start)
    except GlassError as error:
        raise SystemExit(str(error)) from None
    tokenizer = train_tokenizer(seed)
    if "reader" in parts:
        flow.train_reader(tokenizer, folder, args.reader_steps, seed, start)
    if "flow" in parts:
        flow.train(tokenizer, CodeTable(vae), folder, args.flow_steps, seed, start)
    if "distil" in parts:
        table = CodeTable(vae)
        distil.train(tokenizer, table, folder, args.distil_steps, seed, args.guidance, start)
    if "detector" in parts:
        detector.train(vae, folder, args.detector_steps, seed, start and start / "detector")
    if "imagereward" in parts:
        imagereward.train(vae, tokenizer, folder, args.imagereward_steps, seed, start)
    if "clip" in parts:
        clip.train(vae, tokenizer, folder, args.clip_steps, seed, start)
    if "pickscore" in parts:
        clip.train_pickscore(vae, tokenizer, folder, args.pickscore_steps, seed, start)
    if "export" in parts:
        for part, (name, write) in export.FOLDERS.items():
            if (folder / f"{part}.pt").exists():
                write(folder, args.out / name, vae, tokenizer)
    if "card" in parts:
        card.write(folder, args.out, args.count, start)


if __name__ == "__main__":
    main()
