"""``glass eval`` from the command line to its folder, and on from where it stopped."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import REPOSITORY
from PIL import Image

from glass_cli.common.statistics import bootstrap_interval, stratified_interval
from glass_cli.engine.launchers.local import Local
from glass_cli.engine.worker import seed_of
from glass_cli.launch import launch

DIFFERING = ("seconds", "seconds_per_picture", "seconds_by_stage", "peak_memory_bytes", "devices")
POINTS = [
    "benchmark=tiny_points",
    "model=gaussian_mixture",
    "wandb.mode=disabled",
    "particles=4",
    "sampler.transitions=2",
    "sampler.steps=2",
]
EMOJI = ["benchmark=tiny", *POINTS[2:], "sampler.steps=1", "particles=2", "launcher.threads=1"]
NAME = "tiny_points-gaussian_mixture-glass-fk-linear-particles_4-steps_2-transitions_2"
FOLDER = Path("outputs/eval") / NAME
CHOICES = {
    "tiny": "Tiny\nimages: 2\nlimit: null\nstrict: 0.75\ndeadly: null\nmissing: false",
    "tiny_points": "TinyPoints\nimages: 2\nlimit: null\nstrict: 0.0\nmissing: false",
    "study": "Study\nscale: 2.0",
}


def write_benchmarks(folder: Path) -> None:
    """A folder of the user's own yaml files, with the tests' benchmarks in it."""
    (folder / "benchmark").mkdir(parents=True)
    for name, body in CHOICES.items():
        text = f"# for tests\n_target_: eval_bench.{body}\n"
        (folder / "benchmark" / f"{name}.yaml").write_text(text)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_benchmarks(tmp_path / "mine")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture(autouse=True)
def _threads_as_they_were() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def evaluate(*words: str, sweep: bool = False) -> int:
    return launch(["-cd", "../mine", *words], sweep, config="eval")


def files(folder: Path) -> dict[str, str]:
    """Digests of all files that must not depend on how the run went."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or re.search(r"(^|/)((times|wandb|replaced)/|\.lock$)", name):
            continue
        data = path.read_bytes()
        if path.name == "summary.json":
            told = json.loads(data)
            data = json.dumps([v for k, v in told.items() if k not in DIFFERING]).encode()
        found[name] = hashlib.sha256(data).hexdigest()
    return found


def same_but_for_the_words(one: Path, other: Path) -> bool:
    """Equal files, apart from those that tell what was typed."""
    first, second = files(one), files(other)
    for name in ("config.yaml", "overrides.yaml"):
        assert first.pop(name) and second.pop(name)
    return first == second


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_pictures_results_and_summary(capsys: pytest.CaptureFixture[str]) -> None:
    """What lies in the folder, against `glass sample` and the pictures themselves."""
    words = [
        *EMOJI,
        "reward=clip",
        "benchmark.limit=3",
        "metrics=[clip]",
        "thumbnails=true",
        "seed=5",
    ]
    assert evaluate(*words) == 0
    (folder,) = Path("outputs/eval").iterdir()
    chosen, rest = "tiny-emoji-glass-fk-clip", "particles_2-steps_1-transitions_2-seed_5"
    assert folder.name == f"{chosen}-metrics_clip-{rest}"
    results = [read(p) for p in sorted((folder / "results").glob("*/*.json"))]
    keys = [(r["prompt_index"], r["image_index"]) for r in results]
    assert keys == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert len({digest for r in results for digest in r["sha256"].values()}) == 6
    for r in results:
        inside = Path("images", f"{r['prompt_index']:05d}")
        assert read(folder / inside / "metadata.jsonl")["prompt"] == r["prompt"]
        png = folder / inside / "samples" / f"{r['image_index']:04d}.png"
        with Image.open(png) as picture:
            pixels = np.asarray(picture).astype(np.float64) / 255.0
            text = picture.text  # type: ignore[attr-defined]
        assert (text["prompt"], int(text["seed"])) == (r["prompt"], r["seed"])
        assert json.loads(text["settings"])["particles"] == 2
        # judged as saved, in 256 levels; its pixels are kept in float32
        assert r["judged"]["value"] == pytest.approx(pixels.mean(), abs=1e-6)
        assert r["judged"]["correct"] == (r["judged"]["value"] > 0.75)
        assert r["judged"]["seen"] == [3, *pixels.shape[:2]]
        assert r["reward"] == r["rewards"][r["chosen"]] == max(r["rewards"])
        assert r["metrics"] == {"clip": r["reward"]}
        # K=2 transitions of one call for 2 particles, scored before the second and at the end
        assert (r["nfe"], r["reward_calls"]) == (4, 4)
        assert [s["step"] for s in r["steps"]] == [0, 1, 2] and "seconds" not in r["steps"][0]
        times = read(folder / "times" / f"{r['prompt_index']:05d}" / f"{r['image_index']:04d}.json")
        stages = [v for k, v in times["seconds_by_stage"].items() if k != "load"]
        assert 0 < sum(stages) <= times["seconds"]
    strips = sorted(p.name for p in (folder / "thumbs" / "00000" / "0000").iterdir())
    assert strips == ["step-001.webp", "step-002.webp"]
    summary = read(folder / "summary.json")
    parts = {
        part: [
            np.mean([r["judged"]["correct"] for r in results if r["prompt_index"] == i])
            for i in indices
        ]
        for part, indices in {"even": [0, 2], "odd": [1]}.items()
    }
    shares = {part: float(np.mean(values)) for part, values in parts.items()}
    scores = summary["scores"]
    assert {part: scores[part]["mean"] for part in shares} == shares
    assert scores["overall"]["mean"] == pytest.approx(np.mean([*shares.values()]))
    assert summary["score"] == scores["overall"]["mean"]
    assert scores["overall"]["interval95"] == list(stratified_interval([*parts.values()]) or ())
    rewards = np.reshape([r["reward"] for r in results], (3, 2)).mean(1)
    assert summary["means"]["reward"]["mean"] == pytest.approx(rewards.mean())
    expected = bootstrap_interval(rewards.tolist())
    assert summary["means"]["reward"]["interval95"] == pytest.approx(expected)
    assert (summary["pictures"], summary["nfe"], summary["nfe_per_picture"]) == (6, 24, 4)
    assert yaml.safe_load((folder / "config.yaml").read_text())["seed"] == 5
    out = capsys.readouterr().out
    assert "overall" in out and "summary.json" in out

    # picture 1 of a prompt is what glass sample draws with its seed
    words = [word for word in EMOJI if not word.startswith(("benchmark", "launcher"))]
    other = [*words, f"prompt={results[3]['prompt']}", f"seed={results[3]['seed']}"]
    assert launch([*other, "hydra.run.dir=sample"]) == 0
    sampled = Path("sample/images/00000") / f"{results[3]['chosen']:04d}.png"
    ours = folder / "images" / "00001" / "samples" / "0001.png"
    assert np.array_equal(np.asarray(Image.open(sampled)), np.asarray(Image.open(ours)))


def test_seeds_of_neighbouring_runs_share_no_picture() -> None:
    seeds = [seed_of(seed, image) for seed in range(50) for image in range(8)]
    assert len(set(seeds)) == len(seeds) and all(0 <= seed < 2**53 for seed in seeds)
    assert seed_of(7, 0) == 7


def drawn(monkeypatch: pytest.MonkeyPatch, stop_after: int | None = None) -> list[Any]:
    """The units drawn from now on; after so many the run is stopped as if by Ctrl-C."""
    units: list[Any] = []
    inner = Local.run

    def run(self: Local, task: Any, watch: Any = None) -> Iterator[Any]:
        for finished in inner(self, task, watch):
            if stop_after is not None and len(units) == stop_after:
                raise KeyboardInterrupt
            units.append(tuple(finished.unit))
            yield finished

    monkeypatch.setattr(Local, "run", run)
    return units


def test_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    assert evaluate(*POINTS, "hydra.run.dir=whole") == 0
    with monkeypatch.context() as patch:
        first = drawn(patch, stop_after=5)
        assert evaluate(*POINTS) == 130
    assert not (FOLDER / "summary.json").exists()
    second = drawn(monkeypatch)
    assert evaluate(*POINTS) == 0
    # one picture of every prompt comes before the second of any
    assert [*first, *second] == [(r, i) for i in range(2) for r in range(6)]
    assert same_but_for_the_words(FOLDER, Path("whole"))
    second.clear()
    assert evaluate(*POINTS) == 0 and second == [], "a finished run draws nothing"


def test_what_is_torn_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a result, a picture of other bytes, one that is gone, and files left half-written."""
    assert evaluate(*EMOJI) == 0
    (folder,) = Path("outputs/eval").iterdir()
    before = files(folder)
    results, images = folder / "results", folder / "images"
    whole = (results / "00000/0000.json").read_bytes()
    (results / "00000/0000.json").write_bytes(whole[: len(whole) // 2])
    (results / "00001/0001.json").write_bytes(b"")
    png = images / "00002/samples/0000.png"
    png.write_bytes(png.read_bytes()[:-9])
    (images / "00003/samples/0001.png").unlink()
    (results / "00004/0000.json").unlink()
    (images / "00004/samples/.0000.4711.png").write_bytes(b"half")
    (folder / ".summary.4711.json").write_bytes(b"half")
    units = drawn(monkeypatch)
    assert evaluate(*EMOJI) == 0
    assert sorted(units) == [(0, 0), (1, 1), (2, 0), (3, 1), (4, 0)]
    assert files(folder) == before


def test_pictures_do_not_depend_on_how_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A smaller run goes on as a larger one, and is then the larger one."""
    assert evaluate(*POINTS, "hydra.run.dir=whole", "benchmark.images=3") == 0
    assert evaluate(*POINTS, "benchmark.limit=2", "benchmark.images=1") == 0
    assert read(FOLDER / "summary.json")["pictures"] == 2
    # records keep their places in the whole list
    assert sorted(p.name for p in (FOLDER / "results").iterdir()) == ["00000", "00002"]
    units = drawn(monkeypatch)
    assert evaluate(*POINTS, "benchmark.images=3") == 0
    assert len(units) == 16
    assert same_but_for_the_words(FOLDER, Path("whole"))


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("particles=5", "particles=4 (now 5)"),
        ("seed=1", "seed=0 (now 1)"),
        ("sampler.rho=0.4", "sampler.rho=ddpm (now 0.4)"),
        ("steering.lam=2", "steering.lam=0.5 (now 2)"),
        ("benchmark.strict=0.5", "benchmark.strict=0.0 (now 0.5)"),
        ("metrics=[linear]", 'metrics=[] (now ["linear"])'),
        ("dtype=float32", "dtype=auto (now float32)"),
    ],
)
def test_results_of_other_settings_are_refused(
    word: str, names: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(*POINTS) == 0
    before = files(FOLDER)
    capsys.readouterr()
    assert evaluate(*POINTS, word, f"hydra.run.dir={FOLDER}") == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert names in said and "--fresh" in said and "name=NAME" in said
    assert files(FOLDER) == before, "and nothing is touched"


@pytest.mark.parametrize(
    "word", ["micro_batch=3", "launcher.threads=1", "thumbnails=true", "device=cpu"]
)
def test_other_settings_do_not_matter(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert evaluate(*POINTS) == 0
    units = drawn(monkeypatch)
    assert evaluate(*POINTS, word) == 0 and units == []


def test_another_prompt_list_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import eval_bench

    assert evaluate(*POINTS) == 0
    capsys.readouterr()
    monkeypatch.setattr(eval_bench, "WORDS", [*eval_bench.WORDS[:2], "cow", *eval_bench.WORDS[3:]])
    assert evaluate(*POINTS) == 2
    said = capsys.readouterr().err
    assert "prompt 2 was" in said and "green umbrella" in said and "cow" in said


def test_fresh_sets_the_old_results_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    assert evaluate(*POINTS) == 0
    before = files(FOLDER)
    assert evaluate(*POINTS, "seed=1", "fresh=true", f"hydra.run.dir={FOLDER}") == 0
    assert files(FOLDER / "replaced" / "1") == before
    assert read(FOLDER / "identity.json")["seed"] == 1
    assert evaluate(*POINTS, "fresh=true") == 0
    assert sorted(p.name for p in (FOLDER / "replaced").iterdir()) == ["1", "2"]
    assert same_but_for_the_words(FOLDER, FOLDER / "replaced" / "1")


def test_names_make_folders_of_their_own() -> None:
    assert evaluate(*POINTS, "benchmark.limit=1", "name=mine", "seed=3") == 0
    assert evaluate(*POINTS, "benchmark.limit=1", "steering=none", "reward=null") == 0
    names = sorted(p.name for p in Path("outputs/eval").iterdir())
    assert names == [f"{NAME}-seed_3-mine", NAME.replace("-fk-linear", "-none")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["benchmark=tiny", *POINTS[1:]], "judges images, model=gaussian_mixture gives points"),
        ([*POINTS, "prompts=[a]"], "benchmark=prompts benchmark.path=FILE"),
        ([*POINTS, "benchmark=null"], "needs a benchmark"),
        ([*POINTS, "launcher=rya"], "unknown launcher rya; did you mean ray?"),
        ([*POINTS, "launcher.threads=0"], "launcher.threads must be at least 1"),
        ([*POINTS, "launcher=ray", "launcher.workers=0"], "launcher.workers must be at least 1"),
    ],
)
def test_mistakes_are_one_line_before_anything_is_written(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(*words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not Path("outputs").exists()


def test_a_judge_that_cannot_be_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(*POINTS, "benchmark.missing=true") == 2
    assert "judge's weights are not there" in capsys.readouterr().err


def test_without_ray_there_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("glass_cli.engine.launchers.ray_actors.find_spec", lambda name: None)
    assert evaluate(*POINTS, "launcher=ray") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install 'glass_cli[ray]'" in line


def test_a_sweep_goes_on_too(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [*POINTS, "benchmark.limit=2", "particles=3,4"]
    assert evaluate(*words, sweep=True) == 0
    (folder,) = Path("outputs/eval").iterdir()
    rest = "steps_2-transitions_2"
    assert folder.name == f"tiny_points-gaussian_mixture-glass-fk-linear-{rest}-sweep-particles"
    found = {p.parent.name: read(p)["particles"] for p in folder.glob("*/summary.json")}
    assert found == {"particles=3": 3, "particles=4": 4}
    units = drawn(monkeypatch)
    assert evaluate(*words[:-1], "particles=5,4", sweep=True) == 0
    assert units == [(0, 0), (2, 0), (0, 1), (2, 1)], "only those of particles=5"


def test_a_study_brings_its_own_summary() -> None:
    words = [word for word in POINTS if not word.startswith("benchmark")]
    assert evaluate("benchmark=study", *words) == 0
    folder = Path("outputs/eval", NAME.replace("tiny_points", "study"))
    summary = read(folder / "summary.json")
    assert summary.pop("versions")
    assert summary == {"benchmark": "Study", "score": 8.0}


def test_conf_of_eval_is_that_of_sample_and_more() -> None:
    text = (REPOSITORY / "conf" / "eval.yaml").read_text()
    assert "config" in yaml.safe_load(text)["defaults"]
