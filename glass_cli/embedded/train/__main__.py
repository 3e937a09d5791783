"""``python -m glass_cli.embedded.train``: renders the emoji world and trains everything embedded.

Every part resumes where it was stopped; run the same command again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from glass_cli.embedded.train import card, clip, codec, detector, export, flow
from glass_cli.embedded.train.loop import averaged
from glass_cli.embedded.train.text import train_tokenizer
from glass_cli.embedded.world.objects import EMBEDDED_CLASSES
from glass_cli.embedded.world.scenes import World
from glass_cli.pipelines.codec import PatchAutoencoder

WEIGHTS = Path(__file__).parents[1] / "weights"
PARTS = ("codec", "codes", "flow", "clip", "export", "detector")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m glass_cli.embedded.train", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"any of {', '.join(PARTS)}; all when left out")
    parser.add_argument("--folder", type=Path, default=Path("runs/emoji"), help="checkpoints")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="where the weights are exported")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--codec-steps", type=int, default=1600)
    parser.add_argument("--shards", type=int, default=24, help="of 2,048 encoded scenes")
    parser.add_argument("--warm-steps", type=int, default=1201, help="of the flow on all classes")
    parser.add_argument("--flow-steps", type=int, default=4200)
    parser.add_argument("--clip-steps", type=int, default=1900)
    parser.add_argument("--detector-steps", type=int, default=3200)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    unknown = sorted(set(args.parts) - set(PARTS))
    if unknown:
        parser.error(f"no part is called {unknown[0]}; parts are {', '.join(PARTS)}")
    torch.set_num_threads(args.threads)
    args.folder.mkdir(parents=True, exist_ok=True)
    everything, world = World(), World(classes=EMBEDDED_CLASSES)
    parts = args.parts or PARTS
    folder, seed = args.folder, args.seed
    tokenizer = train_tokenizer(everything, seed)
    if "codec" in parts:
        codec.train(everything, folder, args.codec_steps, seed)
    if "codes" in parts:
        vae = PatchAutoencoder()
        averaged("codec", {"vae": vae}, folder)
        flow.write_codes(everything, vae, tokenizer, folder / "codes-all", args.shards + 4, seed)
        flow.write_codes(world, vae, tokenizer, folder / "codes", args.shards, seed)
    if "flow" in parts:
        steps, warm = args.flow_steps, args.warm_steps
        flow.train(everything, tokenizer, folder, folder / "codes-all", steps, seed, stop=warm)
        flow.train(world, tokenizer, folder, folder / "codes", steps, seed)
    if "clip" in parts:
        clip.train(world, tokenizer, folder, args.clip_steps, seed)
    if "export" in parts:
        steps = export.export_pipeline(world, folder, args.out / "emoji", seed)
        steps["clip"] = export.export_clip(world, folder, args.out / "clip", seed)
        card.write(world, args.out, folder, steps, args.warm_steps, seed)
    if "detector" in parts:
        vae = PatchAutoencoder.from_pretrained(args.out / "emoji" / "vae", dtype=torch.float32)
        detector.train(world, vae.eval(), folder, args.detector_steps, seed)
        done = export.export_detector(world, folder, args.out / "detector")
        card.write_detector(world, args.out, folder, done)


if __name__ == "__main__":
    main()
