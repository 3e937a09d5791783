"""``benchmark=compose``: prompts of the embedded world, every part of which is judged by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from typing import TYPE_CHECKING, Any

from glass_cli.benchmarks import lists, soft_tifa
from glass_cli.benchmarks.base import Answer, Benchmark, LoadedBenchmark, Record, check_sizes
from glass_cli.common.errors import GlassError
from glass_cli.detectors import atom_rules
from glass_cli.detectors.embedded_detector import EmbeddedDetector, LoadedEmbeddedDetector

if TYPE_CHECKING:
    import torch
    from torch import Tensor

NAME = "compose.jsonl"  # beside this module; made by glass_cli.benchmarks.compose_prompts
LEAST, MOST = 2, 8  # atoms of its prompts
MEANS = ("correct", "correct, nothing else", "geometric mean", "arithmetic mean")


@dataclass(frozen=True)
class Compose(Benchmark):
    """280 prompts of the embedded world in GenEval's words, 40 for each of 2 to 8 atoms.

    An object, a count above one, a colour and a relation are an atom each: "two red apples left of
    a blue car" has six. No content of them was trained on (``glass_cli.embedded.world.content``);
    those of two atoms with one object only are contents of GenEval's own prompts, since all others
    of that kind are trained on. In the shape of GenEval 2 (Kamath et al., arXiv 2512.16853), whose
    own list may not be shipped: each atom has a probability by itself, here from what the embedded
    detector believes (:mod:`glass_cli.detectors.atom_rules`), a picture has the arithmetic and the
    geometric mean of its atoms' (:mod:`glass_cli.benchmarks.soft_tifa`), and is ``correct`` where
    every atom is more probable than not.

    Objects that the prompt does not ask for, or more than the one that it does, leave a picture
    correct; ``correct, nothing else`` is whether there are none. One object too many of a counted
    kind is wrong in both.

    atoms: the fewest and the most atoms of a prompt, from 2 to 8.
    images: pictures a prompt, 1 or more.
    limit: so many prompts, 1 or more, taken from the numbers of atoms in turn; null for all.
    embedded: the detector's settings. Of the list it takes the prompts whose classes it knows; the
        title says how many.
    """

    atoms: tuple[int, int] = (LEAST, MOST)
    images: int = 1
    limit: int | None = None
    embedded: EmbeddedDetector = field(default_factory=EmbeddedDetector)

    def __post_init__(self) -> None:
        least, most = self.atoms
        if not LEAST <= least <= most <= MOST:
            raise ValueError(
                f"benchmark.atoms must be two numbers from {LEAST} to {MOST}, the fewest and the"
                f" most atoms of a prompt (got {list(self.atoms)})"
            )
        check_sizes(self.images, self.limit)

    @cached_property
    def _lists(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The records whose classes the detector knows, and all, within the range of atoms."""
        text = resources.files(__package__).joinpath(NAME).read_text(encoding="utf-8")
        least, most = self.atoms
        there = [r for r in lists.json_lines(text, NAME) if least <= len(r["atoms"]) <= most]
        classes = {*self.embedded.classes}
        known = [record for record in there if record["objects"].keys() <= classes]
        if not known:
            raise GlassError(
                f"benchmark.embedded.path={self.embedded.path} knows the classes of none of the"
                f" {len(there)} prompts of {least} to {most} atoms"
            )
        return known, there

    @property
    def title(self) -> str:
        """How the results are named. Raises GlassError where the detector cannot be had."""
        known, there = self._lists
        some = "" if len(known) == len(there) else f", {len(known)} of {len(there)} prompts"
        return f"compose (embedded detector{some})"

    def records(self) -> list[dict[str, Any]]:
        """The prompts to draw, with their ``objects`` and ``atoms``. Raises GlassError."""
        return lists.in_turn(self._lists[0], lambda record: len(record["atoms"]), self.limit)

    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedCompose:
        """Reads the detector. Raises GlassError where it cannot be had."""
        return LoadedCompose(self.embedded.load(device, dtype))

    def summarise(self, results: Sequence[Mapping[str, Any]]) -> Answer:
        """The shares of correct pictures first; see :mod:`glass_cli.benchmarks.soft_tifa`."""
        return soft_tifa.summary(results, atom_rules.SKILLS, MEANS)


class LoadedCompose(LoadedBenchmark):
    """See :class:`glass_cli.benchmarks.base.LoadedBenchmark`."""

    def __init__(self, detector: LoadedEmbeddedDetector) -> None:
        self._detector = detector

    def judge(self, image: Tensor, record: Record) -> dict[str, Any]:
        """See :func:`glass_cli.benchmarks.soft_tifa.judgement`, with ``correct, nothing else``.

        ``extra`` has the probability of an object more of each kind, and of any other kind.
        """
        objects = self._detector.beliefs(image[None])[0]
        atoms = [
            {
                "skill": atom["skill"],
                "says": atom_rules.says(atom),
                "probability": atom_rules.probability(objects, atom),
            }
            for atom in record["atoms"]
        ]
        judged = soft_tifa.judgement(atoms, soft_tifa.tag(len(atoms)))
        extra = atom_rules.extras(objects, record["objects"])
        alone = all(chance <= soft_tifa.HOLDS for chance in extra.values())
        return {
            **judged,
            "correct, nothing else": judged["correct"] and alone,
            "extra": {what: round(chance, 6) for what, chance in extra.items()},
        }
