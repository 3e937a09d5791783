"""Plans in files: in a run's folder, and in the user's cache for a model, a reward and a budget.

Nothing heavy is imported to look one up.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from glass_cli.common.files import atomic_write, json_text, regular, why
from glass_cli.common.messages import say
from glass_cli.config.split import picture_budget, reward_cost
from glass_cli.engine import window_cache

if TYPE_CHECKING:
    from glass_cli.config.settings import Settings
    from glass_cli.steering.policies import Policy
    from glass_cli.steering.replay import Forecast

FORMAT = 9
_TIMED = ("model", "reward")  # groups whose settings decide how long a call takes


class Cost(NamedTuple):
    """What a run took: network calls, scored samples and seconds."""

    nfe: int
    reward_calls: int
    seconds: float


class Checked(NamedTuple):
    """A policy, what its replay foretold, and the rewards and costs of its real runs."""

    forecast: Forecast
    rewards: list[float]
    costs: list[Cost]

    @property
    def mean(self) -> float:
        return sum(self.rewards) / len(self.rewards)


class Choice(NamedTuple):
    """What a plan says.

    policy: how the budget is spent.
    why: in one line.
    checked: all that were run, the chosen one among them; best-of-N first.
    nfe: the network calls that table and checks took.
    reward_cost: network calls that a scored sample counts as in the budget.
    """

    policy: Policy
    why: str
    checked: list[Checked]
    nfe: int
    reward_cost: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """The policy as plain values, with its title and why it was chosen."""
        plain = {"title": self.policy.title(), **asdict(self.policy), "why": self.why}
        return {**plain, "reward_cost": self.reward_cost}

    def run_budget(self, settings: Settings) -> int:
        """The `budget=` of a run by this plan, see :func:`policies.run_budget`."""
        from glass_cli.steering.policies import run_budget

        return run_budget(self.policy, picture_budget(settings.root), self.reward_cost)


def belongs_to(settings: Settings, few: Sequence[str] = ()) -> dict[str, Any]:
    """What a plan depends on: the budget, what a reward call counts as, and what a window does."""
    root, cost = settings.root, reward_cost(settings)
    of: dict[str, Any] = {"plan": FORMAT, "budget": picture_budget(root), "reward_cost": cost}
    if cost == "auto":  # what seconds depend on, and results do not
        of |= {"device": root.device, "dtype": root.dtype, "micro_batch": root.micro_batch}
        of |= {"settings": json.loads(json_text([settings.config.get(k) for k in _TIMED]))}
    return {**of, **window_cache.belongs_to(settings, few)}


def path_of(settings: Settings, few: Sequence[str] = ()) -> Path:
    """The file of the plan for this model, reward and budget in the user's cache; with ``few``, of
    the plan for these prompts alone, see :func:`glass_cli.engine.window_cache.of_few`."""
    return window_cache.cache_file("plans", settings, belongs_to(settings, few))


def read(
    path: Path, settings: Settings, few: Sequence[str] = (), quiet: bool = False
) -> Choice | None:
    """The plan in a file; None where there is none, or none for these settings, or prompts.

    One that cannot be read, or whose policy is none of those that are compared for its budget, is
    damaged, which is said unless ``quiet``.
    """
    from glass_cli.steering.auto import check_reward_cost
    from glass_cli.steering.policies import Policy, policies

    try:
        record = json.loads(regular(path).read_text(encoding="utf-8"))
        if record["of"] != _of(settings, few):
            return None
        values = {**record["policy"], "sizes": tuple(int(n) for n in record["policy"]["sizes"])}
        if values["times"] is not None:
            values["times"] = tuple(float(t) for t in values["times"])
        policy, nfe, cost = Policy(**values), int(record["nfe"]), float(record["reward_cost"])
        check_reward_cost(cost, "reward_cost")
        known = policies(picture_budget(settings.root), [policy.way], cost)
        if policy in known and nfe >= 0 and reward_cost(settings) in ("auto", cost):
            return Choice(policy, str(record["why"]), [], nfe, cost)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        pass
    if not quiet:
        say(f"{path} cannot be read or is damaged; the plan is made anew")
    return None


def _of(settings: Settings, few: Sequence[str]) -> Any:
    """What the plan depends on, as a file gives it back."""
    return json.loads(json_text(belongs_to(settings, few)))


def write(path: Path, settings: Settings, choice: Choice, few: Sequence[str] = ()) -> None:
    """Writes a plan aside and renames the file. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "format": FORMAT,
        "of": _of(settings, few),
        "policy": asdict(choice.policy),
        "why": choice.why,
        "nfe": choice.nfe,
        "reward_cost": choice.reward_cost,
    }
    with atomic_write(path) as part:
        part.write_text(json.dumps(record, indent=1), encoding="utf-8")


def save(settings: Settings, choice: Choice, few: Sequence[str] = ()) -> Path | None:
    """Caches a plan; None, after saying so, where the cache cannot be written."""
    path = path_of(settings, few)
    try:
        write(path, settings, choice, few)
    except OSError as error:
        say(f"the plan cannot be cached in {path} ({why(error)})")
        return None
    return path
