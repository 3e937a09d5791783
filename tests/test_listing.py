"""`glass ls` and the folders of yaml files it reads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY, write_choice

from glass_cli.common.errors import GlassError
from glass_cli.common.paths import claim_new, conf_dir
from glass_cli.config.listing import choices, groups, render


def test_every_choice_with_its_line(tiny_conf: Path) -> None:
    text = render(None, [tiny_conf])
    assert "sampler=\n  * glass   GLASS transitions\n    sde     Euler-Maruyama" in text
    assert "reward=\n  * clip    scores images" in text


def test_the_default_reward_is_the_one_that_the_default_model_chooses() -> None:
    marked = [line for line in render("reward", [conf_dir()]).splitlines() if "  * " in line]
    assert [line.split()[1] for line in marked] == ["imagereward", "default"]


def test_one_group(tiny_conf: Path) -> None:
    listed = render("steering", [tiny_conf])
    assert listed == "  * fk    Feynman-Kac\n    none  no steering\n\n  * default"
    with pytest.raises(GlassError, match=r"unknown group sampel; did you mean sampler\?"):
        render("sampel", [tiny_conf])


def test_a_folder_of_the_user(tiny_conf: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    write_choice(mine, "sampler/own", "# @package _global_\n# my own", "Sampler", "")
    assert "own    my own" in render("sampler", [tiny_conf, mine])


def test_the_repository_lists_all_that_it_has() -> None:
    """Every yaml of the repository begins with the line that `glass ls` shows."""
    folder = conf_dir()
    for group in groups([folder]):
        for choice, line in choices(group, [folder]).items():
            assert line, f"conf/{group}/{choice}.yaml does not begin with a comment"


def test_ls_imports_no_hydra() -> None:
    program = (
        "import sys\nfrom glass_cli.config.listing import render\n"
        "from glass_cli.common.paths import conf_dir\nrender(None, [conf_dir()])\n"
        "print('hydra' in sys.modules, 'yaml' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert done.stdout == "False False\n", done.stderr


def test_claimed_folders_differ(tmp_path: Path) -> None:
    names = [claim_new(tmp_path / "day" / "run", "key").name for _ in range(3)]
    assert names == ["run", "run-2", "run-3"]
