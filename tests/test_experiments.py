"""The files of conf/experiment/: each composes, is checked, and says its command."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY

from glass_cli.common.errors import GlassError
from glass_cli.config.command_line import read_arguments
from glass_cli.config.composition import Composer, composing
from glass_cli.config.experiments import details, folded, names_evaluation
from glass_cli.config.listing import choices, headline, render
from glass_cli.config.preflight import CheckedLine, build_settings, compose_or_explain, preflight
from glass_cli.config.settings import Published, Settings
from glass_cli.launch import launch

CONF = REPOSITORY / "conf"
NAMES = [*choices("experiment", [CONF])]
PAPER = [name for name in NAMES if name.startswith("paper/")]
# Keys of `glass compare --show`
QUANTITY = re.compile(r"answer|correct(\.\w+)?|metrics\.\w+")


def command(name: str) -> str:
    """The one command that the file of an experiment names."""
    (line,) = [line for line in details(CONF / "experiment" / f"{name}.yaml") if "glass " in line]
    return line


@pytest.fixture(scope="module")
def composer() -> Iterator[Composer]:
    with composing(CONF, None, "eval") as made:
        yield made


@pytest.fixture
def prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("FILE").write_text("a dog\n")


def checked(composer: Composer, name: str) -> Settings:
    _, _, *words = command(name).split()
    return build_settings(compose_or_explain(composer, words), words)


def plan(*words: str, sweep: bool = False, config: str = "eval") -> CheckedLine:
    return preflight(read_arguments(words, sweep, config), CONF)


@pytest.mark.usefixtures("prompts")
@pytest.mark.parametrize("name", NAMES)
def test_its_command_is_checked_whole(composer: Composer, name: str) -> None:
    assert command(name).startswith(f"glass eval experiment={name}")
    settings = checked(composer, name)
    if settings.root.budget is not None:
        assert name.endswith(f"_{settings.root.budget}") and settings.root.budget in (80, 160, 400)
    elif settings.study is None:
        assert settings.root.particles is not None and settings.root.calls is not None
        calls = settings.root.particles * settings.root.calls
        # best-of-N also where it takes the seconds of a search by 400 calls
        assert calls in (50, 80, 160, 400, *[1000] * ("best_of_n" in name))
    assert headline(CONF / "experiment" / f"{name}.yaml")


@pytest.mark.usefixtures("prompts")
@pytest.mark.parametrize("name", PAPER)
def test_what_is_published_can_be_found_again(composer: Composer, name: str) -> None:
    """Each figure under the key that `glass compare` has for it, and for a reward that scores."""
    settings = checked(composer, name)
    published = settings.root.published
    assert isinstance(published, Published)
    scored = {f"metrics.{metric}" for metric in settings.metrics}
    for values in (published.values, *published.with_reward.values()):
        for key in values:
            assert QUANTITY.fullmatch(key)
            if key.startswith("metrics."):
                assert key in scored
    assert ("answer" in published.values) == (settings.reward is not None)
    assert {*published.with_reward} <= {*choices("reward", [CONF])}


WRITTEN = {
    "geneval": {"images"},
    "glass": {"transitions", "rho", "order", "times", "inner"},
    "ode": {"transitions", "method", "times"},
    "sde": {"transitions", "method", "times"},
    "fk": {"potential", "lam", "resampling", "ess_threshold"},
}


@pytest.mark.parametrize("name", PAPER)
def test_no_default_of_ours_decides_a_row_of_a_paper(name: str) -> None:
    """Defaults change as better ones are found; a published row must not."""
    file = yaml.safe_load((CONF / "experiment" / f"{name}.yaml").read_text())
    for entry in file["defaults"]:
        for key, choice in entry.items():
            group = key.rpartition("/")[2]
            assert WRITTEN.get(choice, set()) <= {*file.get(group, ())}
    assert {"particles", "calls", "published"} <= {*file}


# Read off the papers' tables once more, apart from the files: row, reward -> reward and GenEval.
TABLE_1 = {
    "best_of_n_sde": {"clip": (36.9, 60.8), "imagereward": (1.16, 65.3)},
    "best_of_n_ode": {"pickscore": (23.8, 69.3), "imagereward": (1.31, 71.8)},
    "fks_sde": {"hpsv2": (0.295, 63.6), "imagereward": (1.19, 63.8)},
    "best_of_n_glass_ddpm": {"clip": (38.6, 70.8), "imagereward": (1.33, 71.8)},
    "best_of_n_glass": {"pickscore": (23.8, 69.9), "imagereward": (1.32, 71.9)},
    "fks_glass_ddpm": {"hpsv2": (0.317, 68.3), "imagereward": (1.37, 68.2)},
    "fks_glass": {"pickscore": (24.1, 72.2), "imagereward": (1.40, 74.3)},
}


@pytest.mark.parametrize("row", TABLE_1)
def test_figures_of_table_1(composer: Composer, row: str) -> None:
    published = checked(composer, f"paper/table1_{row}").root.published
    assert published is not None
    by_reward = {**published.with_reward, "imagereward": published.values}
    for reward, figures in TABLE_1[row].items():
        assert (by_reward[reward]["answer"], by_reward[reward]["correct"]) == figures


def test_glass_ls_tells_command_and_figures() -> None:
    text = render("experiment", [CONF])
    rows = text.splitlines()
    at = rows.index("  paper/table1_fks_glass")
    assert rows[at + 1].strip().startswith("FLUX.1-dev 768x1360, FK steering of 8 GLASS particles")
    assert rows[at + 2].strip() == "glass eval experiment=paper/table1_fks_glass"
    assert rows[at + 3].strip().startswith("published: answer 1.4, correct 74.3; with reward=clip")
    assert sum(row.strip().startswith("published:") for row in rows) == len(PAPER)
    everything = render(None, [CONF])
    assert f"    paper/* ({len(PAPER)})" in everything and "table1_fks_glass" not in everything


def test_many_names_are_folded() -> None:
    assert folded(["a", "b/c"]) == ["a", "b/c"]
    many = ["own", *(f"x/{i}" for i in range(20)), "y/0"]
    assert folded(many) == ["own", "x/* (20)", "y/* (1)"]


@pytest.mark.usefixtures("prompts")
def test_names_that_are_nearly_right() -> None:
    for wrong, meant in (
        ("table1_fks_glass", "paper/table1_fks_glass"),
        ("paper/table1_fks_glas", "paper/table1_fks_glass"),
        ("embeded/ode2_50", "embedded/ode2_50"),
    ):
        with pytest.raises(GlassError, match=f"unknown experiment {wrong}; did you mean {meant}"):
            plan(f"experiment={wrong}")
    with pytest.raises(GlassError, match="is an evaluation; use glass eval in place of glass samp"):
        plan("experiment=paper/table1_fks_glass", config="config")


@pytest.mark.usefixtures("prompts")
def test_a_glob_reaches_into_folders() -> None:
    table = [name for name in PAPER if "/table1_" in name]
    swept = plan("experiment=glob(paper/table1_*)", sweep=True)
    assert f"experiment={','.join(table)}" in swept.arguments and len(table) == 8
    assert swept.folder is not None and swept.folder.name == "sweep-experiment"
    with pytest.raises(GlassError, match="stands for no value"):
        plan("experiment=glob(paper/table9_*)", sweep=True)


@pytest.mark.usefixtures("prompts")
def test_a_folder_of_the_users_own_beside_ours(tmp_path: Path) -> None:
    own = tmp_path / "mine" / "experiment" / "ours"
    own.mkdir(parents=True)
    text = (
        "# @package _global_\n# mine\ndefaults:\n  - /experiment/paper/table1_fks_glass\nseed: 3\n"
    )
    (own / "seed.yaml").write_text(text)
    words = ["-cd", "mine", "experiment=ours/seed"]
    settings = plan(*words).settings
    assert settings is not None and settings.root.seed == 3 and settings.root.particles == 8
    assert plan("-cd", "mine", "experiment=paper/table1_flow").settings is not None
    for given in (words, ["experiment=glob(paper/table1_*)"], ["benchmark.limit=2"]):
        assert names_evaluation(read_arguments([*given], True), CONF)
    for given in (["particles=1,2"], ["experiment=embedded/ode2_50"], ["experiment=null"]):
        assert not names_evaluation(read_arguments(given, True), CONF)
    listed = render("experiment", [CONF, tmp_path / "mine"])
    assert "  ours/seed\n      mine" in listed and "  paper/table1_flow\n" in listed


@pytest.mark.usefixtures("prompts")
@pytest.mark.parametrize("head", ["", "# mine\n# @package _global_\n"])
def test_an_experiment_without_its_first_line_is_told_so(tmp_path: Path, head: str) -> None:
    """Hydra would put its settings below a key of their own; it reads the line at the top alone."""
    own = tmp_path / "mine" / "experiment"
    own.mkdir(parents=True)
    (own / "quick.yaml").write_text(f"{head}seed: 3\n")
    line = (
        r"experiment=quick: the first line of experiment/quick.yaml must be `# @package _global_`"
    )
    for words in (["experiment=quick"], ["experiment=quick", "particles=2,3"]):
        with pytest.raises(GlassError, match=line):
            plan("-cd", "mine", *words, sweep=len(words) > 1)
    (own / "quick.yaml").write_text("# @package _global_\nseed: 3\n")
    settings = plan("-cd", "mine", "experiment=quick").settings
    assert settings is not None and settings.root.seed == 3


def test_published_figures_decide_nothing(prompts: None) -> None:
    """Neither the folder's name nor what may be continued there."""
    words = ["experiment=paper/table1_fks_glass"]
    assert plan(*words).folder == plan(*words, "published=null").folder
    with pytest.raises(GlassError, match=r"published\.values\.answer must be a number"):
        plan(*words, "published.values.answer=high")


def test_glass_sweep_of_experiments_is_of_evaluations(
    prompts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`glass sweep experiment=...` where the experiments have a benchmark, in one process."""
    small = ["model=gaussian_mixture", "reward=linear", "benchmark=posterior", "benchmark.limit=1"]
    small += ["benchmark.samples=2", "benchmark.draws=2", "benchmark.calls=[1]"]
    small += ["benchmark.reference=2", "benchmark.times=[0.5]", "benchmark.sample_calls=2"]
    words = ["experiment=glob(embedded/posterior)", *small, "wandb.mode=disabled", "seed=0,1"]
    assert launch(words, sweep=True, conf=CONF) == 0
    made = sorted(Path("outputs").rglob("summary.json"))
    assert [json.loads(path.read_text())["benchmark"] for path in made] == ["posterior"] * 2
