"""`glass eval` goes on from where it stopped, and refuses results of other settings."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from eval_runs import (
    EMOJI,
    FOLDER,
    POINTS,
    drawn,
    evaluate,
    files,
    read,
    same_but_for_the_words,
    write_benchmarks,
)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_benchmarks(tmp_path / "mine")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture(scope="module")
def outputs_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder outputs/ with a finished evaluation of POINTS."""
    folder = tmp_path_factory.mktemp("once")
    write_benchmarks(folder / "mine")
    (folder / "work").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder / "work")
        assert evaluate(*POINTS) == 0
    return folder / "work" / "outputs"


@pytest.fixture
def finished(outputs_once: Path, _in_an_empty_folder: None) -> None:
    """The same in this test's own folder."""
    shutil.copytree(outputs_once, "outputs")


@pytest.fixture(autouse=True)
def _threads_as_they_were() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


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


@pytest.mark.usefixtures("finished")
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
    before = files(FOLDER)
    capsys.readouterr()
    assert evaluate(*POINTS, word, f"hydra.run.dir={FOLDER}") == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert names in said and "--fresh" in said and "name=NAME" in said
    assert files(FOLDER) == before, "and nothing is touched"


@pytest.mark.usefixtures("finished")
@pytest.mark.parametrize(
    "word", ["micro_batch=3", "launcher.threads=1", "thumbnails=true", "device=cpu"]
)
def test_other_settings_do_not_matter(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    units = drawn(monkeypatch)
    assert evaluate(*POINTS, word) == 0 and units == []


@pytest.mark.usefixtures("finished")
def test_another_prompt_list_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import eval_bench

    capsys.readouterr()
    monkeypatch.setattr(eval_bench, "WORDS", [*eval_bench.WORDS[:2], "cow", *eval_bench.WORDS[3:]])
    assert evaluate(*POINTS) == 2
    said = capsys.readouterr().err
    assert "prompt 2 was" in said and "green umbrella" in said and "cow" in said


@pytest.mark.usefixtures("finished")
def test_fresh_sets_the_old_results_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    before = files(FOLDER)
    assert evaluate(*POINTS, "seed=1", "fresh=true", f"hydra.run.dir={FOLDER}") == 0
    assert files(FOLDER / "replaced" / "1") == before
    assert read(FOLDER / "identity.json")["seed"] == 1
    assert evaluate(*POINTS, "fresh=true") == 0
    assert sorted(p.name for p in (FOLDER / "replaced").iterdir()) == ["1", "2"]
    assert same_but_for_the_words(FOLDER, FOLDER / "replaced" / "1")


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
