"""Every experiment passes all checks, and every real-model one runs from end to end, on a tiny
random pipeline of its family.

In the published weights' place stand `model.path=` of a folder, a reward of four lines for those
that are downloaded, and a list of one prompt for a benchmark whose judge is: all else is as the
file says, so that with the weights at hand only the download is new.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY
from families import FAMILIES
from omegaconf import OmegaConf
from test_experiments import NAMES, PAPER, command
from test_families_runs import RED

from glass_cli.config.command_line import read_arguments
from glass_cli.config.composition import composing
from glass_cli.config.preflight import preflight
from glass_cli.launch import launch
from glass_cli.pipelines.vendors import quiet

FAMILY = {"flux_dev": "flux_dev", "sd15": "sd_epsilon", "sd21": "sd_v", "sdxl": "sdxl"}
# A flow and a diffusion model; the others are slow all together.
FEW = ("table1_fks_glass", "fk_sd15_fk_4")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of a saved pipeline for each family, filled as they are asked for."""
    quiet()
    return {name: tmp_path_factory.mktemp(name) for name in set(FAMILY.values())}


@pytest.fixture
def _prompt_and_reward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("red_pixels.py").write_text(RED)
    Path("my_conf/reward").mkdir(parents=True)
    Path("my_conf/reward/red.yaml").write_text("# red\n_target_: red_pixels.Red\n")
    Path("prompts.txt").write_text("a dog\n")


@pytest.mark.parametrize("name", NAMES)
def test_it_passes_all_that_is_checked_before_a_model_is_loaded(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("FILE").write_text("a dog\n")
    words = command(name).split()[2:]
    assert preflight(read_arguments(words, False, "eval"), REPOSITORY / "conf").settings is not None


@pytest.mark.usefixtures("_prompt_and_reward")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name.partition("/")[2] in FEW else pytest.mark.slow)
        for name in PAPER
    ],
)
def test_from_end_to_end(name: str, folders: dict[str, Path]) -> None:
    file = yaml.safe_load((REPOSITORY / "conf" / "experiment" / f"{name}.yaml").read_text())
    chosen = {k: v for entry in file["defaults"] for k, v in entry.items()}
    family = FAMILY[chosen["override /model"]]
    if not list(folders[family].iterdir()):
        FAMILIES[family]().save_pretrained(folders[family])
    rewarded = chosen["override /reward"] is not None
    words = [
        *["-cd", "my_conf", f"experiment={name}", f"model.path={folders[family]}"],
        *["model.height=64", "model.width=64", "device=cpu", "dtype=float32"],
        *["benchmark=prompts", "benchmark.path=prompts.txt", "benchmark.images=1"],
        "wandb.mode=disabled",
        *(["reward=red"] if rewarded else []),
        *(["metrics=[red]"] if "metrics" in file else []),
        "hydra.run.dir=run",
    ]
    assert launch(words, config="eval") == 0
    summary = json.loads(Path("run/summary.json").read_text())
    assert summary["nfe"] == file["particles"] * file["calls"]
    assert ("reward" in summary["means"]) == rewarded
    assert ("red" in summary["means"]) == ("metrics" in file)
    (result,) = Path("run/results").rglob("*.json")
    steps = json.loads(result.read_text())["steps"]
    assert len(steps) == file["sampler"]["transitions"] + 1
    weighed = [step["t"] for step in steps if step["rewards"] is not None]
    steered = chosen["override /steering"] == "fk"
    # before each transition but the first, and at the end
    assert len(weighed) == (len(steps) - 1 if steered else int(rewarded))
    if file["sampler"]["times"] == "uniform":
        # Euler-Maruyama begins a little later than at 0
        assert [step["t"] for step in steps[1:]] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    # what ran is what the file says, but for what stands in another's place
    with composing(REPOSITORY / "conf", config_name="eval") as composer:
        more = ["benchmark.path=prompts.txt"] if chosen["override /benchmark"] == "prompts" else []
        asked = composer.compose([f"experiment={name}", *more])
    ran = yaml.safe_load(Path("run/config.yaml").read_text())
    for group in ("sampler", "steering", "particles", "calls", "published"):
        wanted = asked[group]
        plain = OmegaConf.to_container(wanted) if OmegaConf.is_config(wanted) else wanted
        assert ran[group] == plain, group
