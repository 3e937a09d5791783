"""What is written of a steered run: pure functions from what was drawn to JSON records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glass_cli.engine.draw import Drawn
from glass_cli.output.finished import Unit
from glass_cli.steering.state import Step


def step_record(step: Step) -> dict[str, Any]:
    """One line of steps.jsonl.

    ``rewards``, ``log_w`` are in the order before resampling; ``ancestors`` is null where nobody
    was resampled, ``lam`` until rewards have weighed; ``nfe`` counts from the start.
    """
    return {
        "step": step.k,
        "t": step.t,
        "nfe": step.nfe,
        "rewards": None if step.rewards is None else step.rewards.tolist(),
        "lam": step.particles.lam,
        "log_w": step.log_w.tolist(),
        "ess": step.ess,
        "resampled": step.ancestors is not None,
        "ancestors": None if step.ancestors is None else step.ancestors.tolist(),
        "lineages": step.particles.lineages,
        "log_normaliser": step.particles.log_normaliser,
    }


def particle_records(drawn: Drawn) -> list[dict[str, Any]]:
    """One line of particles.jsonl for each particle, without its picture's file or its point.

    ``metrics`` are the further rewards' scores, ``terms`` the raw scores of a composite reward's.
    """
    step = drawn.step
    r = step.rewards
    assert drawn.samples is not None
    return [
        {
            "particle": i,
            "reward": None if r is None else float(r[i]),
            "metrics": {name: float(scores[i]) for name, scores in drawn.metrics.items()},
            "terms": {name: float(scores[i]) for name, scores in drawn.terms.items()},
            "log_w": float(step.log_w[i]),
            "nfe": step.nfe / len(drawn.samples),
            "lineage": int(step.particles.lineage[i]),
            "best": i == step.chosen,
        }
        for i in range(len(drawn.samples))
    ]


def result_record(
    unit: Unit, prompt: str, seed: int, drawn: Drawn, answer: int | None, judged: Mapping[str, Any]
) -> dict[str, Any]:
    """A unit's result, but for its particles and steps.

    ``chosen`` is the particle that the steering chose, null where it chooses none; ``reward`` and
    ``metrics`` are those of particle ``answer``, null and empty without one, ``mean_metrics`` those
    of the average particle.
    """
    step = drawn.step
    r = step.rewards
    metrics = {} if answer is None else drawn.metrics
    return {
        **unit._asdict(),
        "prompt": prompt,
        "seed": seed,
        "chosen": step.chosen,
        "reward": None if r is None or answer is None else float(r[answer]),
        "rewards": None if r is None else r.tolist(),
        "metrics": {name: float(scores[answer]) for name, scores in metrics.items()},
        "mean_metrics": {name: float(scores.mean()) for name, scores in drawn.metrics.items()},
        "judged": dict(judged),
        "nfe": step.nfe,
        "ess": step.ess,
        "lineages": step.particles.lineages,
        "log_normaliser": step.particles.log_normaliser,
    }
