"""What is written of a run: pure functions from what was drawn to the records of its files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from glass_cli.common.statistics import bootstrap_interval
from glass_cli.engine.draw import Drawn
from glass_cli.steering.loop import Step


def step_record(step: Step, prompt_index: int, seconds: float) -> dict[str, Any]:
    """One line of steps.jsonl. ``lam`` is None until rewards have weighed."""
    return {
        "prompt_index": prompt_index,
        "step": step.k,
        "t": step.t,
        "nfe": step.nfe,
        "seconds": seconds,
        "rewards": None if step.rewards is None else step.rewards.tolist(),
        "lam": step.cloud.lam,
        "log_w": step.log_w.tolist(),
        "ess": step.ess,
        "resampled": step.ancestors is not None,
        "ancestors": None if step.ancestors is None else step.ancestors.tolist(),
        "lineages": step.cloud.lineages,
        "log_normaliser": step.cloud.log_normaliser,
    }


def best_reward(step: Step) -> float | None:
    return None if step.rewards is None else float(step.rewards.max())


def prompt_row(prompt: str, drawn: Drawn, seconds: float) -> dict[str, Any]:
    """A prompt's entry in summary.json: its answer's scores and the particles' means."""
    step = drawn.step
    r, chosen = step.rewards, step.chosen
    return {
        "prompt": prompt,
        "best_reward": best_reward(step),
        "mean_reward": None if r is None else float(r.mean()),
        "chosen": chosen,
        "chosen_reward": None if r is None or chosen is None else float(r[chosen]),
        "metrics": {
            name: None if chosen is None else float(scores[chosen])
            for name, scores in drawn.metrics.items()
        },
        "mean_metrics": {name: float(scores.mean()) for name, scores in drawn.metrics.items()},
        "ess": step.ess,
        "lineages": step.cloud.lineages,
        "log_normaliser": step.cloud.log_normaliser,
        "nfe": step.nfe,
        "seconds": seconds,
    }


def particle_records(drawn: Drawn, seed: int) -> list[dict[str, Any]]:
    """The lines of particles.jsonl, but for what the recorder knows.

    ``metrics`` are the further rewards' scores, ``terms`` the raw scores of a composite reward's.
    """
    step = drawn.step
    r = step.rewards
    assert drawn.samples is not None
    return [
        {
            "particle": i,
            "seed": seed,
            "reward": None if r is None else float(r[i]),
            "metrics": {name: float(scores[i]) for name, scores in drawn.metrics.items()},
            "terms": {name: float(scores[i]) for name, scores in drawn.terms.items()},
            "log_w": float(step.log_w[i]),
            "nfe": step.nfe / len(drawn.samples),
            "lineage": int(step.cloud.lineage[i]),
            "best": i == step.chosen,
        }
        for i in range(len(drawn.samples))
    ]


def summary_of(rows: Sequence[Mapping[str, Any]], particles: int) -> dict[str, Any]:
    """The part of summary.json that follows from the prompts' rows (see :func:`prompt_row`).

    Means over prompts, each with its 95 % bootstrap interval; of a metric both for the answers
    (``chosen``) and for the average particle (``mean``).
    """
    rewards = _known(row["best_reward"] for row in rows)
    names = dict.fromkeys(name for row in rows for name in row["metrics"])
    nfe = sum(row["nfe"] for row in rows)
    return {
        "prompts": list(rows),
        "mean_best_reward": _mean(rewards),
        "mean_best_reward_interval95": bootstrap_interval(rewards),
        "metrics": {
            name: {
                **_mean_and_interval("chosen", _known(row["metrics"][name] for row in rows)),
                **_mean_and_interval("mean", _known(row["mean_metrics"][name] for row in rows)),
            }
            for name in names
        },
        "nfe": nfe,
        "nfe_per_particle": nfe / (particles * len(rows)),
        "particles": particles,
    }


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _mean_and_interval(name: str, values: Sequence[float]) -> dict[str, Any]:
    return {name: _mean(values), f"{name}_interval95": bootstrap_interval(values)}
