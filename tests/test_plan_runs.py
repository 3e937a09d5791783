"""`steering=auto` and `glass plan`: what is made once is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from glass_cli.launch import launch
from glass_cli.output.reader import read_run

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
    from glass_cli.engine import plan_measurement

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
