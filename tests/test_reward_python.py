"""reward=python: functions and classes of the user's own, and what is said of wrong ones."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from glass_cli.common.errors import GlassError
from glass_cli.launch import launch
from glass_cli.rewards.python import LoadedPython, Python

CPU = torch.device("cpu")
MODULE = """
import sys

import numpy as np
import torch

calls = []

def brightness(images, prompts):
    calls.append((tuple(images.shape), images.dtype, list(prompts)))
    return images.mean((1, 2, 3))

def scaled(images, prompts, scale=1.0):
    return scale * images.mean((1, 2, 3))

def as_array(images, prompts):
    return images.mean((1, 2, 3)).numpy()

def as_list(images, prompts):
    return [float(image.mean()) for image in images]

def as_tensors(images, prompts):
    return [image.mean() for image in images]

def as_bools(images, prompts):
    return images.mean((1, 2, 3)) > 0.5

def letters(images, prompts):
    return [len(prompt) for prompt in prompts]

class Counting:
    def __init__(self, start=0):
        self.count = start

    def __call__(self, images, prompts):
        self.count += len(images)
        return [self.count] * len(images)

class Silent:
    pass

number = 3

def one(images, prompts): return images.mean()
def square(images, prompts): return images[:, 0, 0]
def few(images, prompts): return [0.5]
def nothing(images, prompts): return None
def words(images, prompts): return ["good"] * len(images)
def ragged(images, prompts): return [[1.0], [1.0, 2.0]] + [[1.0]] * (len(images) - 2)
def complicated(images, prompts): return torch.ones(len(images), dtype=torch.complex64)
def first(points, prompts): return points[:, 0]

def helper(images):
    return {}["weights"]

def raises(images, prompts):
    print("scoring")
    return helper(images)

def leaves(images, prompts):
    sys.exit("enough")

def not_finite(images, prompts):
    return [1.0] * (len(images) - 1) + [float("nan")]

class Failing:
    def __init__(self):
        open("no such file")

    def __call__(self, images, prompts):
        return [1.0] * len(images)

def fails_on_points(points, prompts):
    return points[:, 0] / len(prompts[9])
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with modules in it."""
    monkeypatch.chdir(tmp_path)
    Path("my_rewards.py").write_text(MODULE, encoding="utf-8")
    Path("broken.py").write_text("import no_such_package\n", encoding="utf-8")
    Path("leaving.py").write_text("import sys\nsys.exit(3)\n", encoding="utf-8")
    Path("unfinished.py").write_text("def f(:\n", encoding="utf-8")


def loaded(target: str, **settings: object) -> LoadedPython:
    return Python(f"my_rewards.{target}", **settings).load(CPU, torch.float32)  # type: ignore[arg-type]


def images(count: int = 5) -> Tensor:
    return torch.rand(count, 3, 6, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["brightness", "as_array", "as_list", "as_tensors", "scaled"])
def test_what_a_function_may_give(name: str) -> None:
    x = images()
    scores = loaded(name).score(x, "a dog")
    assert scores.shape == (5,) and scores.dtype.is_floating_point
    assert torch.allclose(scores.float(), x.mean((1, 2, 3)), atol=1e-6)


def test_truth_values_count_as_numbers() -> None:
    x = torch.stack([torch.zeros(3, 2, 2), torch.ones(3, 2, 2)])
    assert loaded("as_bools").score(x, "").tolist() == [0.0, 1.0]


def test_a_prompt_for_every_image_in_batches() -> None:
    reward = loaded("brightness", batch=2)
    reward.score(images(), "a dog")
    calls = sys.modules["my_rewards"].calls
    shape, dtype = (3, 6, 8), torch.float32
    assert calls == [((n, *shape), dtype, ["a dog"] * n) for n in (2, 2, 1)]
    assert loaded("letters").score(images(3), "abcd").tolist() == [4.0, 4.0, 4.0]


def test_a_class_keeps_its_state() -> None:
    reward = loaded("Counting", arguments={"start": 10}, batch=2)
    assert reward.score(images(3), "").tolist() == [12.0, 12.0, 13.0]
    assert reward.score(images(1), "").tolist() == [14.0]
    assert loaded("Counting").score(images(1), "").tolist() == [1.0]


def test_arguments_go_to_every_call_of_a_function() -> None:
    x = images()
    scores = loaded("scaled", arguments={"scale": -4.0}).score(x, "")
    assert torch.allclose(scores, -4.0 * x.mean((1, 2, 3)))


def test_a_gradient_only_where_it_is_promised() -> None:
    x = images().requires_grad_()
    scores = loaded("brightness", differentiable=True, batch=2).score(x, "")
    (gradient,) = torch.autograd.grad(scores.sum(), x)
    assert torch.allclose(gradient, torch.full_like(x, 1.0 / x[0].numel()))
    with torch.no_grad():
        assert not loaded("brightness", differentiable=True).score(x, "").requires_grad
    assert not loaded("brightness").score(x, "").requires_grad
    assert loaded("as_tensors", differentiable=True).score(x, "").requires_grad


# fmt: off
WRONG_TARGETS = {
    "no module": ("brightness", "must be module.function"),
    "unknown module": ("my_rewrads.brightness", r"cannot import my_rewrads \(ModuleNotFoundError"),
    "unknown name": ("my_rewards.brightnes", "has no brightnes; did you mean brightness"),
    "a number": ("my_rewards.number", "is a int, which cannot be called"),
    "a class without call": ("my_rewards.Silent", "has no __call__"),
    "import fails": ("broken.f", "cannot import broken .*no_such_package"),
    "no Python": ("unfinished.f", r"cannot import unfinished \(SyntaxError"),
    "import leaves": ("leaving.f", r"cannot import leaving \(SystemExit: 3\)"),
}
WRONG_SCORES = {
    "one": r"shape \(\) for 5 samples; it must give one each: \(5,\)",
    "square": r"shape \(5, 8\) for 5 samples",
    "few": r"shape \(1,\) for 5 samples",
    "nothing": "gave None for 5 samples; it must give 5 numbers",
    "words": "gave .'good'.* it must give 5 numbers",
    "ragged": "it must give 5 numbers",
    "complicated": "it must give one each",
    "not_finite": "gave nan for sample 4 of 5; it must give finite numbers",
}
# fmt: on


@pytest.mark.parametrize(("target", "message"), WRONG_TARGETS.values(), ids=WRONG_TARGETS.keys())
def test_a_wrong_target_is_one_line(
    target: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Python(target)
    assert "\n" not in str(caught.value)
    words = ["reward=python", f"reward.target={target}"]
    assert launch(words) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and said[0].startswith(f"glass: reward.target={target}")
    assert not Path("outputs").exists()


@pytest.mark.parametrize(("name", "message"), WRONG_SCORES.items())
def test_wrong_scores_are_one_line(name: str, message: str) -> None:
    with pytest.raises(GlassError, match=rf"reward\.target=my_rewards\.{name} .*{message}") as got:
        loaded(name).score(images(), "")
    assert "\n" not in str(got.value)


def line_of(text: str) -> str:
    """FILE:LINE of the line of the module that ``text`` is in."""
    lines = MODULE.splitlines()
    number = next(i for i, line in enumerate(lines, 1) if text in line)
    return f"{Path('my_rewards.py').resolve()}:{number}"


def test_errors_of_a_users_function_are_told_as_theirs() -> None:
    for name, said, line in (
        ("raises", "raised KeyError: 'weights' at ", '{}["weights"]'),
        ("leaves", "ended the program (SystemExit: enough) at ", 'sys.exit("enough")'),
    ):
        with pytest.raises(GlassError) as caught:
            loaded(name).score(images(), "")
        start = f"reward.target=my_rewards.{name} {said}{line_of(line)}; correct"
        assert str(caught.value).startswith(start)
    with pytest.raises(GlassError, match="raised FileNotFoundError") as caught:
        loaded("Failing")
    assert line_of('open("no such file")') in str(caught.value)
    with pytest.raises(GlassError) as caught:
        loaded("few", arguments={}).score(images(), "")
    assert f"({line_of('def few')})" in str(caught.value)


def test_memory_that_runs_out_in_a_users_function_is_passed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that fewer at a time can be tried."""

    def full(images: Tensor, prompts: list[str]) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    Python("my_rewards.few")
    monkeypatch.setattr(sys.modules["my_rewards"], "few", full)
    with pytest.raises(torch.OutOfMemoryError):
        loaded("few").score(images(), "")


def test_a_failing_function_ends_the_run_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["model=gaussian_mixture", "reward=python", "reward.accepts=points", "particles=3"]
    words += ["reward.target=my_rewards.fails_on_points", "wandb.mode=disabled", "sampler.steps=2"]
    assert launch([*words, "hydra.run.dir=run"]) == 2
    (line,) = [text for text in capsys.readouterr().err.splitlines() if text.startswith("glass: ")]
    assert "raised IndexError: list index out of range at " in line
    assert line_of("len(prompts[9])") in line


def test_wrong_arguments_of_a_class() -> None:
    with pytest.raises(GlassError, match=r"made with reward\.arguments .*strat"):
        loaded("Counting", arguments={"strat": 1})


def test_the_working_directorys_module_is_meant(tmp_path: Path) -> None:
    """Another folder that Python searches has one of the same name, as an editable installation."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("same_name", "namespace_too"):
        (elsewhere / f"{name}.py").write_text("def theirs(x, prompts): return [0.0]\n")
    sys.path.insert(0, str(elsewhere))
    Path("same_name.py").write_text("def ours(x, prompts): return [0.0]\n")
    Path("namespace_too").mkdir()  # a folder of files is no module
    try:
        assert Python(target="same_name.ours").target == "same_name.ours"
        Python(target="namespace_too.theirs")
        with pytest.raises(ValueError, match="same_name has no theirs"):
            Python(target="same_name.theirs")
        Path("half_done.py").write_text("import no_such_module\n")
        for _ in range(2):
            with pytest.raises(ValueError, match="cannot import half_done"):
                Python(target="half_done.f")
        Path("parts").mkdir()
        Path("parts/__init__.py").touch()
        Path("parts/inner.py").write_text("def f(x, prompts): return [0.0]\n")
        Python(target="parts.inner.f")
    finally:
        for name in ("same_name", "namespace_too", "parts", "parts.inner"):
            sys.modules.pop(name, None)


def test_from_the_command_line() -> None:
    words = ["model=gaussian_mixture", "reward=python", "reward.target=my_rewards.first"]
    words += ["reward.accepts=points", "wandb.mode=disabled", "sampler.steps=2", "particles=3"]
    words += ["hydra.run.dir=run"]
    assert launch(words) == 0
    assert Path("run/summary.json").exists()


def test_a_target_must_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert launch(["reward=python"]) == 2
    assert "reward.target has no value; set it with reward.target=" in capsys.readouterr().err
