"""Classes named in yaml files keep to the contract of their group, or are refused in one line."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from omegaconf import OmegaConf

from glass_cli.benchmarks.base import Benchmark
from glass_cli.common.errors import GlassError
from glass_cli.config.build import build
from glass_cli.config.composition import Composer, composing
from glass_cli.config.contracts import CONTRACTS, members_of
from glass_cli.config.listing import choices
from glass_cli.config.preflight import compose_or_explain
from glass_cli.config.reward_choices import Choices
from glass_cli.config.settings import Study
from glass_cli.method.flow import Sampler
from glass_cli.models.base import Model
from glass_cli.models.gaussian_mixture import GaussianMixture
from glass_cli.rewards.base import LoadedReward, Reward
from glass_cli.rewards.linear import Linear

CONF = REPOSITORY / "conf"
OURS = [(group, choice) for group in CONTRACTS for choice in choices(group, [CONF])]


@pytest.fixture(scope="module")
def composer() -> Iterator[Composer]:
    with composing(CONF, None, "eval") as made:  # which has every group
        yield made


@pytest.mark.parametrize(("group", "choice"), OURS)
def test_our_own_classes_have_every_member(composer: Composer, group: str, choice: str) -> None:
    node = OmegaConf.to_container(compose_or_explain(composer, [f"{group}={choice}"])[group])
    module, _, name = str(node["_target_"]).rpartition(".")
    target = getattr(importlib.import_module(module), name)
    module, _, name = CONTRACTS[group].rpartition(".")
    contract = getattr(importlib.import_module(module), name)
    if not issubclass(target, Study):
        there = {*dir(target), *(field.name for field in dataclasses.fields(target))}
        assert {*members_of(contract)} <= there
    assert not getattr(target, "__abstractmethods__", ())


@dataclass(frozen=True)
class Plain:
    """Has what a reward must have, and inherits nothing."""

    def load(self, device: Any, dtype: Any) -> Any:
        return self

    def score(self, samples: Any, prompt: str) -> Any:
        return samples.sum(1)


@dataclass(frozen=True)
class Whole(Plain):
    """Has everything, and inherits nothing either."""

    accepts: str = "points"
    differentiable: bool = True
    usual_lam: float = 2.0

    def for_model(self, model: Any) -> Any:
        return self

    def check_model(self, model: Any) -> None:
        return

    def check_prompts(self, prompts: Any) -> None:
        return


@dataclass(frozen=True)
class Empty:
    pass


@dataclass(frozen=True)
class NoJudge(Benchmark):
    """A benchmark of nothing but prompts."""

    title = "No judge"

    def records(self) -> list[dict[str, Any]]:
        return [{"prompt": "a dog"}]


def made(kind: type, where: str, group: str | None = None) -> Any:
    return build({"_target_": f"{__name__}.{kind.__name__}"}, where, group)


@pytest.fixture(autouse=True)
def _importable_by_its_own_name() -> Iterator[None]:
    sys.path.insert(0, str(Path(__file__).parent))
    yield
    sys.path.pop(0)


@dataclass(frozen=True)
class Titled(Benchmark):
    """A field that the base has as an abstract property."""

    title: str

    def records(self) -> list[dict[str, Any]]:
        return [{"prompt": "a dog"}]


def test_a_field_in_place_of_an_abstract_property_needs_a_default() -> None:
    with pytest.raises(GlassError, match=r"Titled\.title needs a default where it is a field"):
        made(Titled, "benchmark")


def test_optional_members_come_from_the_contract() -> None:
    with pytest.raises(GlassError) as refused:
        made(Plain, "reward")
    assert str(refused.value) == (
        f"reward: {__name__}.Plain lacks accepts, differentiable, usual_lam, for_model(),"
        " check_model(), check_prompts(); inherit from glass_cli.rewards.base.Reward, which has"
        " defaults (see README, Add your own)"
    )


@dataclass(frozen=True)
class WithoutFirst(Sampler):
    """A sampler that cannot be asked to go on in the middle of a transition."""

    def outer_times(self, flow: Any) -> tuple[float, ...]:
        return (0.0, 1.0)

    def transition(  # type: ignore[override]
        self, flow: Any, x: Any, x_hat: Any, t: float, t_next: float, normal: Any, calls: int
    ) -> Any:
        return x


def test_a_method_takes_what_its_contract_says() -> None:
    with pytest.raises(GlassError) as refused:
        made(WithoutFirst, "sampler")
    assert str(refused.value) == (
        f"sampler: {__name__}.WithoutFirst.transition() is called as transition(flow, x, x_hat, t,"
        " t_next, normal, calls, first=0): got an unexpected keyword argument 'first'; see README,"
        " Add your own"
    )


def test_a_class_with_every_member_need_not_inherit() -> None:
    assert made(Whole, "reward") == Whole()


@pytest.mark.parametrize(
    ("where", "group", "shown"),
    [
        ("model", None, "model: test_contracts.Empty lacks load(); see"),
        ("sampler", None, "sampler: test_contracts.Empty lacks outer_times(), transition(); see"),
        ("benchmark", None, "benchmark: test_contracts.Empty lacks title, records(); see"),
        (
            "reward.terms.mine",
            "reward",
            "reward.terms.mine: test_contracts.Empty lacks load(); see",
        ),
        ("metrics.mine", "reward", "metrics.mine: test_contracts.Empty lacks load(); see"),
    ],
)
def test_required_members_are_named(where: str, group: str | None, shown: str) -> None:
    with pytest.raises(GlassError) as refused:
        made(Empty, where, group)
    assert str(refused.value).startswith(shown) and str(refused.value).endswith("Add your own")


def test_a_term_and_a_metric_are_held_to_the_contract_of_rewards() -> None:
    known = Choices([CONF])
    own = {"_target_": "test_contracts.Empty"}
    with pytest.raises(GlassError, match=r"^reward\.terms\.mine: test_contracts\.Empty lacks load"):
        known.build({"_target_": "glass_cli.rewards.composite.Composite", "terms": {"mine": own}})
    with pytest.raises(GlassError, match=r"^metrics\.empty: test_contracts\.Empty lacks load"):
        known.metrics([own])


@dataclass(frozen=True)
class Counted(Sampler):
    """A field without a default, of a name that the Protocol has too."""

    transitions: int
    more: list[int] = dataclasses.field(default_factory=list)

    def outer_times(self, flow: Any) -> Any:
        return (0.0, 1.0)

    def transition(self, *args: Any, **kwargs: Any) -> Any:
        return None


def test_a_protocols_default_is_none_of_a_field() -> None:
    with pytest.raises(GlassError, match=r"^sampler\.transitions has no value; set it with"):
        made(Counted, "sampler")
    node = {"_target_": "test_contracts.Counted", "transitions": 3}
    assert build(node, "sampler").transitions == 3


def test_settings_within_settings_are_of_no_group() -> None:
    assert made(Empty, "benchmark.detector") == Empty()


def test_defaults_of_what_is_optional() -> None:
    benchmark = NoJudge()
    assert (benchmark.accepts, benchmark.images, benchmark.limit) == ("images", 1, None)
    assert benchmark.load(None, None).judge(None, {"prompt": "a dog"}) == {}  # type: ignore[arg-type]
    assert benchmark.summarise([]) == {"scores": {}, "per_prompt": {}, "groups": {}}
    assert (Reward.accepts, Reward.differentiable) == ("images", False)
    assert (Model.output, Model.dim) == ("images", None)

    class Straight(Sampler):
        def outer_times(self, flow: Any) -> Any:
            return (0.0, 1.0)

        def transition(self, *args: Any, **kwargs: Any) -> Any:
            return None

    assert (Straight().times, Straight().transitions) == (None, None)


def test_a_plain_reward_has_no_terms_and_is_not_linear() -> None:
    class Sum(LoadedReward):
        def score(self, samples: Any, prompt: str) -> Any:
            return sum(samples)

    assert Sum().score_terms([1, 2], "") == (3, {})
    assert Sum().linear_coefficients(2) is None


def test_a_linear_reward_reads_the_models_dimension() -> None:
    Linear((1.0, 2.0)).check_model(GaussianMixture(dim=2))
    with pytest.raises(ValueError, match="3 coordinates, more than the 2 of the model"):
        Linear((1.0, 2.0, 3.0)).check_model(GaussianMixture(dim=2))
