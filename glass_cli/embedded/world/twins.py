"""Hard negatives: a scene that differs from another in one respect, and says so in its prompt."""

from __future__ import annotations

import random

from glass_cli.embedded.world.objects import COLORS
from glass_cli.embedded.world.scenes import RELATIONS, Scene, World, make_scene

OPPOSITE = dict(zip(RELATIONS, ("right of", "left of", "below", "above"), strict=True))


def twin(world: World, scene: Scene, rng: random.Random) -> tuple[str, Scene]:
    """The respect in which the twin differs, and the twin.

    Respects: ``count`` (one more or one fewer), ``side`` (the relation turned round),
    ``colors swapped`` (between two objects), ``color`` (another colour), ``class``.
    """
    names = [item.name for item in scene.items]
    colors = [item.color for item in scene.items]
    task, relation = scene.task, scene.relation
    if task == "counting":
        count = rng.choice([n for n in (len(names) - 1, len(names) + 1) if 2 <= n <= 4])
        return "count", make_scene(world, task, names[:1] * count, [None] * count, rng)
    if task == "position" and relation and rng.random() < 0.7:
        return "side", make_scene(world, task, names, colors, rng, OPPOSITE[relation])
    if task == "color_attr" and rng.random() < 0.7:
        return "colors swapped", make_scene(world, task, names, colors[::-1], rng)
    coloured = [i for i, color in enumerate(colors) if color is not None]
    if coloured and rng.random() < 0.6:
        i = rng.choice(coloured)
        colors[i] = rng.choice([c for c in COLORS if c not in colors])
        return "color", make_scene(world, task, names, colors, rng)
    i = rng.randrange(len(names))
    names[i] = rng.choice([name for name in world.classes if name not in names])
    return "class", make_scene(world, task, names, colors, rng, relation)
