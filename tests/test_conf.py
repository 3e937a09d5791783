"""Every yaml file of the repository composes and builds; a new file is tested by being there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from conftest import REPOSITORY
from omegaconf import OmegaConf

from glass_cli.common.errors import GlassError
from glass_cli.config.composition import Composer, composing
from glass_cli.config.listing import choices, groups
from glass_cli.config.preflight import build_settings, compose_or_explain, with_usual_lam
from glass_cli.config.reward_choices import Choices
from glass_cli.config.settings import GROUPS, MORE_GROUPS

CONF = REPOSITORY / "conf"
EVERY = [
    (group, choice)
    for group in groups([CONF])
    if group != "experiment"  # tests/test_experiments.py has those, each with its whole command
    for choice in choices(group, [CONF])
]


@pytest.fixture(scope="module")
def composer() -> Iterator[Composer]:
    with composing(CONF, None, "eval") as made:  # which has every group
        yield made


@pytest.mark.parametrize(("group", "choice"), EVERY)
def test_every_choice_composes_and_builds(composer: Composer, group: str, choice: str) -> None:
    cfg = compose_or_explain(composer, [f"{group}={choice}"])
    if group in (*GROUPS, *MORE_GROUPS):
        left_open = sorted(OmegaConf.missing_keys(cfg[group]))
        node = OmegaConf.to_container(cfg[group], resolve=True)
        node = with_usual_lam(node, None)
        build = Choices([CONF]).build  # of any group; a reward's terms are built along
        if not left_open:
            build(node, group)
            return
        with pytest.raises(GlassError, match=rf"^{left_open[0]} has no value; set it"):
            build(node, group)
    else:
        build_settings(cfg)


def test_no_choice_imports_anything_heavy() -> None:
    """All settings classes in one fresh process, since preflight builds them before torch."""
    program = """
import sys
from glass_cli.common.errors import GlassError
from glass_cli.config.composition import composing
from glass_cli.config.preflight import with_usual_lam
from glass_cli.config.reward_choices import Choices
from omegaconf import OmegaConf
from pathlib import Path
build = Choices([Path(sys.argv[1])]).build
with composing(Path(sys.argv[1]), config_name="eval") as composer:
    for word in sys.argv[2:]:
        group = word.partition("=")[0]
        try:
            node = OmegaConf.to_container(composer.compose([word])[group], resolve=True)
            build(with_usual_lam(node, None), group)
        except GlassError as error:
            assert "has no value" in str(error), error
        heavy = {"torch", "diffusers", "transformers", "wandb"} & set(sys.modules)
        if heavy:
            sys.exit(f"{word} imports {heavy}")
"""
    words = [f"{group}={choice}" for group, choice in EVERY if group in (*GROUPS, *MORE_GROUPS)]
    done = subprocess.run(
        [sys.executable, "-c", program, str(CONF), *words],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
