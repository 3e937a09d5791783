"""`steering=auto` and `glass plan`: what is made once is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from glass_cli.common.files import json_text
from glass_cli.common.stages import Stages
from glass_cli.engine import plan_measurement
from glass_cli.engine.draw import Work
from glass_cli.launch import launch
from glass_cli.method.glass import Glass
from glass_cli.models.gaussian_mixture import GaussianMixture
from glass_cli.output.reader import read_run
from glass_cli.rewards.linear import Linear
from glass_cli.steering.auto import Auto
from glass_cli.steering.policies import Way, policies

POINTS = ["model=gaussian_mixture", "reward=linear", "wandb.mode=disabled"]
AUTO = [*POINTS, "steering=auto", "budget=40", "steering.prompts=1", "steering.samples=3"]


@pytest.fixture
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_cache")
def test_auto_is_planned_once_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One plan a model, reward and budget; config.yaml has what was done; a run goes on with its
    own plan, whatever the cache holds by then."""
    assert launch([*AUTO, "hydra.run.dir=one"]) == 0
    assert "no plan is cached" in capsys.readouterr().err
    config = OmegaConf.load(tmp_path / "one" / "config.yaml")
    assert "Auto" not in config.steering._target_ and config.budget == 40
    (plan,) = (tmp_path / "cache" / "glass" / "plans").iterdir()
    summary = json.loads((tmp_path / "one" / "summary.json").read_text())
    assert summary["nfe"] <= 40 < summary["plan_nfe"]
    assert summary["plan"]["sizes"][0] == config.particles
    assert launch([*AUTO, "seed=1", "hydra.run.dir=two"]) == 0
    assert "no plan is cached" not in capsys.readouterr().err
    assert json.loads((tmp_path / "two" / "summary.json").read_text())["plan_nfe"] == 0
    # what one prompt says is for it alone
    assert launch([*AUTO, "prompt=another", "hydra.run.dir=three"]) == 0
    assert (
        "on this prompt, and for it alone (glass plan makes one for all)" in capsys.readouterr().err
    )
    assert json.loads((tmp_path / "three" / "summary.json").read_text())["plan_nfe"] > 0
    plan.write_text("{")
    (tmp_path / "one" / "summary.json").unlink()
    assert launch([*AUTO, "hydra.run.dir=one"]) == 0
    assert capsys.readouterr().err.count("plan") == 0
    assert len(read_run(tmp_path / "one").results) == 1


@pytest.mark.usefixtures("_cache")
def test_a_plan_is_an_experiment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["benchmark=plan", "benchmark.limit=2", "benchmark.samples=3", "budget=40"]
    run = [*POINTS, *words, "hydra.run.dir=plan"]
    assert launch(run, config="eval") == 0
    out = capsys.readouterr().out
    assert "reward, replayed" in out and "use      glass sample -cd plan experiment=plan" in out
    summary = json.loads((tmp_path / "plan" / "summary.json").read_text())
    assert launch(run, config="eval") == 0  # again: from what is there
    assert json.loads((tmp_path / "plan" / "summary.json").read_text())["nfe"] == summary["nfe"]
    assert launch(["-cd", "plan", "experiment=plan", *POINTS, "hydra.run.dir=run"]) == 0
    config = OmegaConf.load(tmp_path / "run" / "config.yaml")
    assert config.particles == summary["plan"]["sizes"][0] and config.budget == 40
    # the plan is there for steering=auto
    capsys.readouterr()
    assert launch([*AUTO, "hydra.run.dir=auto"]) == 0
    assert "no plan is cached" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "config"), [(["steering=auto"], "config"), (["benchmark=plan"], "eval")]
)
def test_a_plan_needs_a_budget(
    words: list[str], config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = [*POINTS, *words, f"hydra.run.dir={tmp_path / 'no'}"]
    for more, told in (([], "set budget="), (["budget=5"], "budget=5 is too small to")):
        assert launch([*run, *more], config=config) == 2
        assert told in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


@pytest.mark.usefixtures("_cache")
def test_a_plan_needs_no_call_for_each_of_the_usual_particles() -> None:
    assert launch([*AUTO, "budget=12", "hydra.run.dir=small"]) == 0


@pytest.mark.usefixtures("_cache")
def test_another_budget_measures_only_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rewards of a way of sampling do not depend on the budget, nor on how many are drawn."""
    tables = tmp_path / "cache" / "glass" / "tables"

    def rows() -> dict[str, list[list[float]]]:
        (file,) = tables.iterdir()
        found: dict[str, list[list[float]]] = json.loads(file.read_text())["rows"]
        return found

    def measures(budget: int, samples: int, before: Mapping[str, object]) -> None:
        """A plan of these draws what is not there, and no more."""
        name = f"of_{budget}_{samples}"
        words = [f"budget={budget}", "benchmark.limit=1", f"benchmark.samples={samples}"]
        run = [*POINTS, "benchmark=plan", *words, f"hydra.run.dir={name}"]
        assert launch(run, config="eval") == 0
        parts = [json.loads(file.read_text()) for file in Path(name, "study").iterdir()]
        measured = [part for part in parts if "rows" in part]
        assert all(len(of) == samples for part in measured for of in part["rows"].values())
        new = [way for way in rows() if way not in before]
        calls = [int(way.partition("calls=")[2].partition(",")[0]) for way in new]
        assert sum(part["nfe"] for part in measured) == samples * sum(calls)

    measures(40, 4, {})
    small = rows()
    assert small
    measures(40, 3, small)
    fewer = rows()
    assert small.items() <= fewer.items()
    measures(200, 3, fewer)
    assert fewer.items() < rows().items()
    # the first of many draws are those of a few
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    tables = tmp_path / "other" / "glass" / "tables"
    measures(200, 2, {})
    alone = rows()
    common = [way for way in small if way in alone]
    assert common and all(alone[way] == small[way][:2] for way in common)
    (file,) = tables.iterdir()
    file.write_text("{")
    run = [*POINTS, "benchmark=plan", "budget=40", "benchmark.limit=1", "benchmark.samples=4"]
    assert launch([*run, "hydra.run.dir=anew"], config="eval") == 0
    assert "is damaged; what it held is measured anew" in capsys.readouterr().err
    assert rows() == small


@pytest.mark.usefixtures("_cache")
def test_two_plans_at_once_keep_each_others_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one finishes while this one measures."""
    tables, measure = tmp_path / "cache" / "glass" / "tables", plan_measurement.measure_prompt
    others: dict[str, object] = {}

    def slow(*given: Any) -> dict[str, Any]:
        part = measure(*given)
        for file in tables.glob("*.json"):  # there from the second table on
            record = json.loads(file.read_text())
            others["another way"] = record["rows"]["another way"] = [[1.0]]
            file.write_text(json.dumps(record))
        return part

    monkeypatch.setattr(plan_measurement, "measure_prompt", slow)
    assert launch([*AUTO, "budget=200", "hydra.run.dir=one"]) == 0
    (file,) = tables.iterdir()
    assert others and others.items() <= json.loads(file.read_text())["rows"].items()


@pytest.mark.usefixtures("_cache")
def test_a_plan_may_count_rewards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run by it stays within the budget, scored samples included; a measured cost is kept with
    the plan; plans of another cost are others."""
    costly = [*AUTO, "steering.reward_cost=3"]
    assert launch([*costly, "hydra.run.dir=one"]) == 0
    summary = json.loads((tmp_path / "one" / "summary.json").read_text())
    assert summary["plan"]["reward_cost"] == 3.0
    assert summary["nfe"] + 3 * summary["reward_calls"] <= 40
    assert launch([*AUTO, "hydra.run.dir=two"]) == 0
    assert "no plan is cached" in capsys.readouterr().err
    assert launch([*costly, "seed=1", "hydra.run.dir=three"]) == 0
    assert "no plan is cached" not in capsys.readouterr().err
    plan = ["benchmark=plan", "benchmark.limit=2", "benchmark.samples=3", "budget=400"]
    run = [*POINTS, *plan, "benchmark.reward_cost=auto", "hydra.run.dir=plan"]
    assert launch(run, config="eval") == 0
    measured = json.loads((tmp_path / "plan" / "summary.json").read_text())["plan"]["reward_cost"]
    assert measured > 0.0 and "counted  a reward call as" in capsys.readouterr().out
    again = [*POINTS, "steering=auto", "budget=400", "steering.reward_cost=auto"]
    assert launch([*again, "hydra.run.dir=four"]) == 0
    assert "no plan is cached" not in capsys.readouterr().err
    summary = json.loads((tmp_path / "four" / "summary.json").read_text())
    assert summary["plan"]["reward_cost"] == measured
    assert summary["nfe"] + measured * summary["reward_calls"] <= 400 + 1e-6


@pytest.mark.usefixtures("_cache")
def test_a_plan_of_a_rho_that_changes_is_read_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a sampler takes it, from the cache and from the run's config.yaml."""
    assert launch([*AUTO, "hydra.run.dir=one"]) == 0
    (file,) = (tmp_path / "cache" / "glass" / "plans").iterdir()
    rho = ((0.0, 0.0), (0.4, 0.8))
    way = Way("glass", 5, 5, rho=rho)
    steered = next(p for p in policies(40, [way]) if p.way == way and p.steering == "fk")
    record = json.loads(file.read_text())
    file.write_text(json_text({**record, "policy": asdict(steered)}))
    capsys.readouterr()
    for folder in ("two", "two"):
        assert launch([*AUTO, "seed=1", f"hydra.run.dir={folder}"]) == 0
        assert "plan" not in capsys.readouterr().err
    config = OmegaConf.load(tmp_path / "two" / "config.yaml")
    assert config.sampler.rho == [[0.0, 0.0], [0.4, 0.8]]
    summary = json.loads((tmp_path / "two" / "summary.json").read_text())
    assert "rho [[0,0.0],[0.4,0.8]]" in summary["plan"]["title"]


@pytest.mark.usefixtures("_cache")
def test_a_cost_that_leaves_nothing_to_split(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is loaded where it is given, in one line too where it was measured."""
    told = "budget=40 is too small to be split; use 46 network calls or more where a reward call"
    assert launch([*AUTO, "steering.reward_cost=20"]) == 2
    assert f"{told} counts as 20 of them" in capsys.readouterr().err
    monkeypatch.setattr(
        plan_measurement, "measured_reward_cost", lambda *given: {"reward_cost": 20.0}
    )
    assert launch([*AUTO, "steering.reward_cost=auto"]) == 2
    assert f"{told} counts as 20 of them" in capsys.readouterr().err
    for wrong in ("-1", "fast", "inf"):
        assert launch([*AUTO, f"steering.reward_cost={wrong}"]) == 2
        said = capsys.readouterr().err
        assert said.startswith("glass: steering.reward_cost must be ") and f"(got {wrong}" in said


def test_a_reward_call_is_timed_beside_a_network_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of the test's own: a sample's call takes 2 s, decoding 1 s, scoring 4 s, and the
    first of each a minute more. Micro-batches change nothing."""
    now = [0.0]
    model = GaussianMixture().load(torch.device("cpu"), torch.float32)
    reward = Linear((1.0, -2.0)).load(torch.device("cpu"), torch.float32)
    monkeypatch.setattr(plan_measurement.time, "monotonic", lambda: now[0])

    def slow(owner: Any, name: str, seconds: float) -> None:
        of, begun = getattr(owner, name), list[None]()

        def waits(x: torch.Tensor, *more: Any) -> Any:
            now[0] += seconds * len(x) + (0.0 if begun else 60.0)
            begun.append(None)
            return of(x, *more)

        monkeypatch.setattr(owner, name, waits)

    prompted = type(model).prompted

    def slowed(*given: Any) -> Any:
        flow = prompted(*given)
        slow(flow, "denoise", 2.0)
        return flow

    monkeypatch.setattr(type(model), "prompted", slowed)
    slow(model, "decode", 1.0)
    slow(reward, "score", 4.0)
    work = Work(model, Glass(2), Auto(), reward, 3, Stages())
    found = plan_measurement.measured_reward_cost(work, "a", "", 8)
    assert found["reward_cost"] == 2.5
    assert found["nfe"] == found["reward_calls"] == 8 * (plan_measurement.TRIES + 1)
    assert found["seconds"] == now[0]
