"""The code of the README and of the documentation's pages runs as written."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from documentation import PAGES, README, block, blocks, commands

from glass_cli.config.command_line import read_arguments
from glass_cli.config.experiments import names_evaluation
from glass_cli.config.preflight import preflight
from glass_cli.launch import launch

LIBRARY = REPOSITORY / "docs" / "guides" / "library.md"
OWN_REWARD = [README, REPOSITORY / "docs" / "guides" / "my_reward.md"]
SMALL = ["sampler.transitions=2", "sampler.steps=2", "particles=2", "wandb.mode=disabled"]


def name(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the repository's folders are at hand, as commands say that want them."""
    monkeypatch.chdir(tmp_path)
    for shared in ("docs", "glass_cli"):
        Path(shared).symlink_to(REPOSITORY / shared)
    Path("my_rewards.py").write_text(block(README, "def red(images, prompts)"))
    return tmp_path


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) < 200


def test_links_of_the_readme_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README.read_text())
    missing = [ln for ln in links if "://" not in ln and not (REPOSITORY / ln).exists()]
    assert not missing and len(links) > 15


def test_no_shell_takes_a_setting_for_names_of_files() -> None:
    """zsh, the shell of macOS, refuses a command whose [1,2] or glob(...) is not quoted."""
    bare = [
        word
        for page in [README, *PAGES]
        for text in blocks(page, "sh")
        for line in text.splitlines()
        if line.lstrip().startswith("glass ")
        for word in shlex.split(line, posix=False)
        if re.match(r"[\w./+]+=[^'\"]*[\[\](){}*?]", word)
    ]
    assert not bare


def test_the_loop_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    exec(block(LIBRARY, "glass.steer("), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 and lines[-1].startswith("t=1.00")


@pytest.mark.parametrize("page", OWN_REWARD, ids=name)
def test_a_function_as_reward(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my_rewards.py").write_text(block(page, "def red(images, prompts)"))
    (command,) = [words for words in commands(page) if "reward.target=my_rewards.red" in words]
    assert command[0] == "sample"
    assert launch([*command[1:], *SMALL, "hydra.run.dir=run"]) == 0
    particles = [json.loads(line) for line in Path("run/particles.jsonl").read_text().splitlines()]
    assert all(-1.0 <= particle["reward"] <= 1.0 for particle in particles)
    assert all(0.0 <= particle["metrics"]["clip"] <= 100.0 for particle in particles)


@pytest.mark.parametrize("page", [README, LIBRARY], ids=name)
def test_a_picture_in_ten_lines(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program = block(page, "glass.draw(").strip()
    assert len(program.splitlines()) <= 10
    assert [line for line in program.splitlines() if "import" in line] == [
        "import glass_cli as glass"
    ]
    found: dict[str, Any] = {}
    exec(program.replace("calls=20", "calls=7"), found)
    assert found["result"].nfe == 8 * 7
    assert Path("apple_and_car.png").is_file()


def test_the_scheduler_in_a_script(folder: Path) -> None:
    program = block(LIBRARY, "GlassScheduler.from_scheduler")
    found: dict[str, Any] = {}
    exec(program.replace("num_inference_steps=50", "num_inference_steps=10"), found)
    assert len(found["images"]) == 4 and len(found["steered"].steps) == 6
    assert Path("red_car.png").is_file()


@pytest.mark.parametrize("page", [README, *(p for p in PAGES if commands(p))], ids=name)
def test_every_command_passes_preflight(page: Path, folder: Path) -> None:
    """Real models too: everything is checked but their weights. -cd is test_add_your_own's."""
    kinds = {"sample": "config", "sweep": "config", "eval": "eval"}
    for kind, *words in commands(page):
        if kind not in kinds:
            continue
        if "-cd" in words:
            assert page.stem.startswith("my_")
            continue
        # launchers and sweepers of Hydra are for their own tests
        here = [w for w in words if not w.startswith(("hydra/", "hydra.launcher", "launcher"))]
        sweep = kind == "sweep" or "-m" in here
        conf = REPOSITORY / "conf"
        line = read_arguments(here, sweep, kinds[kind])
        if sweep and names_evaluation(line, conf):
            line = read_arguments(here, sweep, "eval")
        preflight(line, conf)


def test_commands_of_other_kinds_are_read() -> None:
    """Names, options and how many arguments there are, as the command line reads them."""
    from typer.main import get_command

    from glass_cli.cli import app

    known: Any = getattr(get_command(app), "commands")  # noqa: B009 - a group, for mypy a command
    used = set()
    for kind, *words in [words for page in [README, *PAGES] for words in commands(page)]:
        known[kind].make_context(kind, words)
        used.add(kind)
    assert {"sample", "eval", "compare", "report", "ls", "plan", "score", "reproduce"} <= used


def test_no_line_of_a_shell_is_left_out() -> None:
    """Those that are not glass's are make's targets, files of wandb's, and the environment's."""
    targets = re.findall(r"^([a-z-]+):.*## ", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    others = []
    for page in [README, REPOSITORY / "CONTRIBUTING.md", *PAGES]:
        shell = [text for text in blocks(page, "sh") if not re.search("^(def|import) ", text, re.M)]
        for line in "\n".join(shell).replace("\\\n", " ").splitlines():
            program, *words = line.split() or [""]
            if program == "make":
                assert words[0] in targets, line
            elif program == "wandb":
                assert words[0] == "sweep" and (REPOSITORY / words[1]).is_file(), line
            elif program not in ("", "glass") and "python -m glass_cli " not in line:
                others.append(line.strip())
    assert set(others) == {". .venv/bin/activate"}


@pytest.mark.slow
def test_commands_that_read_runs_do(folder: Path) -> None:
    """Of all pages; the runs are tiny. plan, reproduce and agreement have tests of their own."""
    from typer.testing import CliRunner

    from glass_cli.cli import app

    few = ["calls=2", "particles=2", "sampler.transitions=1", "wandb.mode=disabled"]
    for run in ("ode", "sde", "glass", "a", "b", "plain", "steered", "guided"):
        name_ = run if run in ("ode", "sde") else "glass"
        words = [f"sampler={name_}", f"hydra.run.dir=outputs/{run}", "steering=none", *few]
        assert launch([*words, f"seed={len(run)}"]) == 0
    for words in (["hydra.run.dir=outputs/compose", "benchmark=compose"], ["benchmark=geneval"]):
        words += ["benchmark.limit=2", "benchmark.images=1", "thumbnails=true", *few]
        assert launch(words, config="eval") == 0
    ran = set()
    for page in [README, *PAGES]:
        for words in commands(page):
            kinds = {"compare", "report", "sheet", "score", "ls", "init", "doctor"}
            if words[0] not in kinds or "FOLDER" in words:
                continue
            spread = [
                path.as_posix()
                for word in words
                for path in (sorted(Path().glob(word)) if "/*" in word else [Path(word)])
            ]
            done = CliRunner().invoke(app, spread)
            assert done.exit_code == 0, f"{name(page)}: {words} {done.output}"
            ran.add(words[0])
    assert ran == {"compare", "report", "sheet", "score", "ls", "init", "doctor"}


def test_the_first_pages_compare_and_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first commands that a reader types, one after another."""
    from typer.testing import CliRunner

    from glass_cli.cli import app

    monkeypatch.chdir(tmp_path)
    listed = commands(REPOSITORY / "docs" / "index.md")
    first = next(i for i, words in enumerate(listed) if "hydra.run.dir=outputs/plain" in words)
    for kind, *words in listed[first : first + 2]:
        assert kind == "sample" and launch([*words, *SMALL]) == 0
    for words in (listed[first + 2], next(w for w in listed if w[0] == "report")):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
    assert list(Path("outputs/steered").glob("*.html"))


def test_the_repositorys_files_are_said_to_be_there() -> None:
    """A command that reads the repository's files stands below a line that says so."""
    for page in [README, *PAGES]:
        text = page.read_text()
        for found in re.finditer(r"\bglass (?:.*\\\n)*.*(docs/|glass_cli/)", text):
            above = text[max(0, found.start() - 900) : found.start()]
            assert re.search(r"repository's\s+folder", above), f"{name(page)}: {found[0]}"


def test_blocks_are_found() -> None:
    assert all(blocks(page) for page in (README, LIBRARY, *OWN_REWARD))
    assert sum(len(commands(page)) for page in PAGES) > 30
