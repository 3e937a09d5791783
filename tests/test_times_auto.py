"""``sampler.times=auto``: one pilot, cached, and none where a window is there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from eval_runs import POINTS, evaluate, files, same_but_for_the_words, write_benchmarks

from glass_cli.common.errors import GlassError
from glass_cli.engine import auto_times, window_cache
from glass_cli.launch import launch

CALLS = auto_times.PARTICLES * (auto_times.TIMES + 1) * auto_times.CALLS
SAMPLE = [
    "model=gaussian_mixture",
    "model.components=1",
    "wandb.mode=disabled",
    "particles=4",
    "sampler.steps=2",
    "sampler.times=auto",
]
FOLDER = Path("eval")
EVAL = [*POINTS, "sampler.times=auto", "sampler.transitions=3", f"hydra.run.dir={FOLDER}"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_benchmarks(tmp_path / "mine")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def cached() -> list[Path]:
    return sorted(Path("../cache/glass/windows").glob("*"))


def sample(name: str, *words: str) -> dict[str, Any]:
    """The summary of a run in the folder ``name``."""
    assert launch([*SAMPLE, f"hydra.run.dir={name}", *words]) == 0
    return summary(Path(name))


def summary(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


def test_a_pilot_once_and_its_calls_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    first = sample("a")
    said = capsys.readouterr()
    assert f"a pilot of {CALLS} network calls" in said.err
    assert f"(pilot of {CALLS} network calls)" in said.out
    assert first["pilot_nfe"] == CALLS and first["nfe"] == CALLS + 4 * 5 * 2
    result = json.loads(Path("a/results/00000/0000.json").read_text())
    assert result["nfe"] == 4 * 5 * 2
    again = sample("b", "seed=3")
    said = capsys.readouterr()
    assert "pilot" not in said.err and "(no pilot needed)" in said.out
    assert again["pilot_nfe"] == 0 and again["nfe"] == 4 * 5 * 2
    assert again["times"] == first["times"]
    assert len(cached()) == 1 and not list(cached()[0].parent.glob(".*"))


def test_a_window_of_few_prompts_is_for_them_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """A pilot on one prompt would decide for every later run of this model and reward."""
    sample("a")
    assert "on 1 prompt, and for it alone (glass eval benchmark=window" in capsys.readouterr().err
    other = sample("b", "prompts=[one,two]")
    assert "on 2 prompts, and for these alone" in capsys.readouterr().err
    assert other["pilot_nfe"] == CALLS and len(cached()) == 2
    assert sample("c", "prompts=[two,one]")["pilot_nfe"] == 0
    assert sample("a")["pilot_nfe"] == CALLS and len(cached()) == 2  # the folder's own, as it was
    many = f"prompts={[f'prompt {i}' for i in range(window_cache.FEWEST)]}".replace("'", "")
    capsys.readouterr()
    assert sample("d", many)["pilot_nfe"] == CALLS and "alone" not in capsys.readouterr().err
    assert len(cached()) == 3
    assert sample("e", "prompt=another")["pilot_nfe"] == 0  # what many say holds for one


def test_a_sample_goes_on_with_the_window_it_began_with(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["prompts=[one,two]", "thumbnails=false"]
    first = sample("a", *words)
    before = files(Path("a"))
    (path,) = cached()
    path.unlink()
    Path("a/summary.json").unlink()
    Path("a/results/00001/0000.json").unlink()
    capsys.readouterr()
    assert sample("a", *words)["times"] == first["times"]
    said = capsys.readouterr()
    assert "measures it" not in said.err and f"(pilot of {CALLS} network calls)" in said.out
    assert files(Path("a")) == before


def test_a_window_put_into_the_folder_by_hand_cost_it_nothing() -> None:
    times = sample("a")["times"]
    (path,) = cached()
    Path("b").mkdir()
    shutil.move(path, "b/window.json")
    found = sample("b")
    assert found["times"] == times and found["pilot_nfe"] == 0


def test_a_sampler_without_a_number_of_transitions_is_one_line() -> None:
    class Sampler(NamedTuple):
        times: str = "auto"
        transitions: int | None = None

    class Settings(NamedTuple):
        sampler: Sampler

    with pytest.raises(GlassError, match=r"needs sampler\.transitions.*sampler\.times=\["):
        auto_times.decide(Settings(Sampler()), Path(), ["one"])  # type: ignore[arg-type]


def test_times_of_gaussian_data_share_out_what_is_foretold() -> None:
    """Of r = x and data of standard deviation 0.3: (0.3 t)^2 / ((0.3 t)^2 + (1 - t)^2)."""
    found = sample("a", "sampler.transitions=4")
    for k, t in enumerate(found["times"][1:-1], 1):
        signal = (t * 0.3) ** 2
        # 96 chains: a squared correlation has a standard error of at most 0.08
        assert signal / (signal + (1 - t) ** 2) == pytest.approx(k / 4, abs=0.25)
    config = yaml.safe_load(Path("a/config.yaml").read_text())
    assert config["sampler"]["times"] == found["times"]
    assert "sampler.times=auto" in yaml.safe_load(Path("a/overrides.yaml").read_text())
    steps = [json.loads(line) for line in Path("a/steps.jsonl").read_text().splitlines()]
    assert [step["t"] for step in steps] == found["times"], "those that the run went through"


def test_one_window_serves_every_number_of_transitions() -> None:
    assert len(sample("a", "sampler.transitions=2")["times"]) == 3
    more = sample("b", "sampler.transitions=6", "sampler=sde")
    assert len(more["times"]) == 7 and more["pilot_nfe"] == 0
    whole = sample("c", "sampler.transitions=1", "reward.direction=[0,1]")
    assert whole["times"] == [0.0, 1.0] and whole["pilot_nfe"] == 0, "nothing to measure"


def test_another_reward_or_model_is_measured_anew() -> None:
    sample("a")
    for i, word in enumerate(("reward.direction=[0,1]", "model.std=0.5")):
        assert sample(f"b{i}", word)["pilot_nfe"] == CALLS
        assert len(cached()) == 2 + i
    # neither of these moves a window
    assert sample("c", "micro_batch=2", "steering.lam=3", "seed=9")["pilot_nfe"] == 0


def test_a_changed_file_of_a_reward_of_ones_own_is_measured_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = Path("first_axis.py")
    source.write_text("def score(points, prompts):\n    return points[:, 0]\n")
    monkeypatch.syspath_prepend(str(Path.cwd()))
    words = ["reward=python", "reward.target=first_axis.score", "reward.accepts=points"]
    assert sample("a", *words)["pilot_nfe"] == CALLS
    assert sample("b", *words)["pilot_nfe"] == 0
    source.write_text("def score(points, prompts):\n    return points[:, 0] * 2\n")
    assert sample("c", *words)["pilot_nfe"] == CALLS


def test_a_damaged_file_is_measured_anew() -> None:
    times = sample("a")["times"]
    (path,) = cached()
    path.write_text("{")
    again = sample("b")
    assert again["pilot_nfe"] == CALLS and again["times"] == times, "of a fixed seed"
    assert sample("c")["pilot_nfe"] == 0


WINDOW = window_cache.MeasuredWindow([0.2, 0.5], [0.1, 0.6], [0.3, 0.7], 40, 2, "pilot")


@pytest.mark.parametrize(
    "damage",
    ["", "{", "[]", '{"format": 1}', "foretold", "above", "order", "short", "none", "format"],
)
def test_what_counts_as_damaged(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "window.json"
    window_cache.write(path, WINDOW, {})
    assert window_cache.read(path) == (WINDOW, json.loads(path.read_text()))
    found = json.loads(path.read_text())
    window = found["window"]
    if damage == "foretold":
        window["foretold"][0] = "x"
    elif damage == "above":
        window["foretold"][0] = 1.5
    elif damage == "order":
        window["t"].reverse()
    elif damage == "short":
        window["even"].pop()
    elif damage == "none":
        window |= {"t": [], "even": [], "foretold": []}
    elif damage == "format":
        found["format"] = 0
    whole = damage in ("foretold", "above", "order", "short", "none", "format")
    path.write_text(json.dumps(found) if whole else damage)
    assert window_cache.read(path) is None


def test_a_window_that_cannot_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert window_cache.read(tmp_path / "nowhere.json") is None
    assert capsys.readouterr().err == ""
    assert window_cache.read(tmp_path) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"glass: {tmp_path} cannot be read (is a directory)")


def test_a_cache_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    Path("../cache").mkdir()
    Path("../cache/glass").write_text("in the way")
    found = sample("a")
    assert found["pilot_nfe"] == CALLS and "cannot be cached" in capsys.readouterr().err


def test_a_reward_that_does_not_vary(capsys: pytest.CaptureFixture[str]) -> None:
    found = sample("a", "reward.direction=[0]")
    assert found["times"] == "schedule" and "did not vary" in capsys.readouterr().err


def test_no_reward_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    words = [*SAMPLE, "steering=none", "reward=null"]
    assert launch(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("glass: sampler.times=auto needs a reward")
    assert not Path("outputs").exists()


def test_eval_keeps_to_the_window_it_began_with(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(*EVAL, "benchmark.limit=2") == 0
    assert "a pilot of" in capsys.readouterr().err
    whole = summary(FOLDER)
    assert whole["pilot_nfe"] == CALLS and whole["nfe"] == CALLS + 4 * 4 * 3 * 2
    assert whole["nfe_per_picture"] == whole["nfe"] / 4
    identity = json.loads((FOLDER / "identity.json").read_text())
    assert identity["sampler.times"] == whole["times"] and len(whole["times"]) == 4
    before = files(FOLDER)
    # without its cache, and with another window in it, the run goes on as it began
    (path,) = cached()
    changed = json.loads(path.read_text())
    changed["window"]["foretold"] = [0.0] * 9 + [1.0]
    for text in (None, json.dumps(changed)):
        path.unlink() if text is None else path.write_text(text)
        (FOLDER / "summary.json").unlink()
        (FOLDER / "results/00002/0001.json").unlink()
        assert evaluate(*EVAL, "benchmark.limit=2") == 0
        assert "a pilot of" not in capsys.readouterr().err
        assert files(FOLDER) == before
    # anew, it takes what the cache has now
    assert evaluate(*EVAL, "benchmark.limit=2", "fresh=true") == 0
    found = summary(FOLDER)
    assert found["pilot_nfe"] == 0 and found["times"] != whole["times"]
    assert (FOLDER / "replaced/1/window.json").exists()


def test_eval_killed_after_its_pilot_counts_it_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = Path("whole")
    assert evaluate(*EVAL[:-1], "benchmark.limit=2", f"hydra.run.dir={whole}") == 0
    (path,) = cached()
    path.unlink()

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    for where in ("save", "write"):
        with monkeypatch.context() as patched:
            patched.setattr(window_cache, where, die)
            with pytest.raises(Killed):
                evaluate(*EVAL, "benchmark.limit=2")
    assert evaluate(*EVAL, "benchmark.limit=2") == 0
    assert same_but_for_the_words(FOLDER, whole)
    assert len(cached()) == 1


def test_eval_refuses_another_window_s_results(capsys: pytest.CaptureFixture[str]) -> None:
    plain = [*POINTS, "sampler.transitions=3", EVAL[-1]]
    assert evaluate(*plain, "benchmark.limit=1") == 0
    assert evaluate(*EVAL, "benchmark.limit=1") == 2
    assert "sampler.times" in capsys.readouterr().err.splitlines()[-1]
    shutil.rmtree(FOLDER)
    assert evaluate(*EVAL, "benchmark.limit=1") == 0
