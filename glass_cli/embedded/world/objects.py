"""The 80 object classes and ten colours of GenEval, and how each class is drawn.

Class names and their order are those of GenEval (arXiv 2310.11513), which are COCO's with a few
words changed. 69 classes have an emoji; :mod:`glass_cli.embedded.world.drawn` has the other 11.
"""

from __future__ import annotations

EMOJI: dict[str, str | None] = {
    "person": "\U0001f9cd",
    "bicycle": "\U0001f6b2",
    "car": "\U0001f697",
    "motorcycle": "\U0001f3cd",
    "airplane": "\u2708",
    "bus": "\U0001f68c",
    "train": "\U0001f682",
    "truck": "\U0001f69a",
    "boat": "\u26f5",
    "traffic light": "\U0001f6a6",
    "fire hydrant": "\U0001f9ef",
    "stop sign": "\U0001f6d1",
    "parking meter": None,
    "bench": None,
    "bird": "\U0001f426",
    "cat": "\U0001f408",
    "dog": "\U0001f415",
    "horse": "\U0001f40e",
    "sheep": "\U0001f411",
    "cow": "\U0001f404",
    "elephant": "\U0001f418",
    "bear": "\U0001f43b",
    "zebra": "\U0001f993",
    "giraffe": "\U0001f992",
    "backpack": "\U0001f392",
    "umbrella": "\u2602",
    "handbag": "\U0001f45c",
    "tie": "\U0001f454",
    "suitcase": "\U0001f9f3",
    "frisbee": "\U0001f94f",
    "skis": "\U0001f3bf",
    "snowboard": "\U0001f3c2",
    "sports ball": "\u26bd",
    "kite": "\U0001fa81",
    "baseball bat": None,
    "baseball glove": "\U0001f9e4",
    "skateboard": "\U0001f6f9",
    "surfboard": "\U0001f3c4",
    "tennis racket": "\U0001f3f8",
    "bottle": "\U0001f37e",
    "wine glass": "\U0001f377",
    "cup": "\u2615",
    "fork": "\U0001f374",
    "knife": "\U0001f52a",
    "spoon": "\U0001f944",
    "bowl": "\U0001f963",
    "banana": "\U0001f34c",
    "apple": "\U0001f34e",
    "sandwich": "\U0001f96a",
    "orange": "\U0001f34a",
    "broccoli": "\U0001f966",
    "carrot": "\U0001f955",
    "hot dog": "\U0001f32d",
    "pizza": "\U0001f355",
    "donut": "\U0001f369",
    "cake": "\U0001f382",
    "chair": "\U0001fa91",
    "couch": "\U0001f6cb",
    "potted plant": "\U0001fab4",
    "bed": "\U0001f6cf",
    "dining table": None,
    "toilet": "\U0001f6bd",
    "tv": "\U0001f4fa",
    "laptop": "\U0001f4bb",
    "computer mouse": "\U0001f5b1",
    "tv remote": None,
    "computer keyboard": "\u2328",
    "cell phone": "\U0001f4f1",
    "microwave": None,
    "oven": None,
    "toaster": None,
    "sink": None,
    "refrigerator": None,
    "book": "\U0001f4d6",
    "clock": "\u23f0",
    "vase": "\U0001f3fa",
    "scissors": "\u2702",
    "teddy bear": "\U0001f9f8",
    "hair drier": None,
    "toothbrush": "\U0001faa5",
}

CLASSES: tuple[str, ...] = tuple(EMOJI)

# What the embedded model is trained on: few enough to be learned well in an hour on two cores.
EMBEDDED_CLASSES: tuple[str, ...] = (
    "bicycle",
    "car",
    "airplane",
    "bus",
    "train",
    "boat",
    "traffic light",
    "stop sign",
    "bench",
    "bird",
    "cat",
    "dog",
    "horse",
    "sheep",
    "elephant",
    "bear",
    "giraffe",
    "backpack",
    "umbrella",
    "sports ball",
    "wine glass",
    "cup",
    "banana",
    "apple",
    "broccoli",
    "carrot",
    "pizza",
    "donut",
    "chair",
    "laptop",
    "clock",
    "scissors",
)

# Tint of each colour word: RGB in [0, 1] of the darkest and of the lightest part of the object.
COLORS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "red": ((0.35, 0.00, 0.02), (1.00, 0.25, 0.22)),
    "orange": ((0.45, 0.18, 0.00), (1.00, 0.62, 0.15)),
    "yellow": ((0.50, 0.38, 0.00), (1.00, 0.95, 0.20)),
    "green": ((0.00, 0.22, 0.05), (0.25, 0.85, 0.30)),
    "blue": ((0.00, 0.08, 0.38), (0.25, 0.50, 1.00)),
    "purple": ((0.20, 0.00, 0.32), (0.68, 0.28, 0.92)),
    "pink": ((0.58, 0.12, 0.36), (1.00, 0.62, 0.82)),
    "brown": ((0.16, 0.07, 0.02), (0.58, 0.34, 0.16)),
    "black": ((0.00, 0.00, 0.00), (0.33, 0.33, 0.36)),
    "white": ((0.52, 0.52, 0.56), (1.00, 1.00, 1.00)),
}

# Soft grounds, none of them close to an object colour's light end.
BACKGROUNDS: tuple[tuple[float, float, float], ...] = (
    (0.80, 0.86, 0.90),
    (0.87, 0.82, 0.74),
    (0.78, 0.86, 0.76),
    (0.85, 0.79, 0.87),
    (0.72, 0.75, 0.78),
    (0.90, 0.87, 0.80),
)


_ENGLISH_PLURALS = {
    "person": "people",
    "sheep": "sheep",
    "knife": "knives",
    "computer mouse": "computer mice",
    "sandwich": "sandwiches",
    "bench": "benches",
    "couch": "couches",
    "toothbrush": "toothbrushes",
}


def plural(name: str) -> str:
    """Plural in GenEval's spelling: "three benchs", "four knifes", "two buses", "two skis"."""
    if name in ("skis", "scissors"):
        return name
    return name + ("es" if name.endswith("s") else "s")


def english_plural(name: str) -> str:
    """Plural in a dictionary's spelling, where it differs from GenEval's."""
    return _ENGLISH_PLURALS.get(name, plural(name))
