"""Which model drew the pictures that `glass score` scores, by a results folder's settings."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from example_runs import CONFIG

from glass_cli.config.score_settings import model_of


def test_a_model_of_the_users_is_known_by_their_yaml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    own = (
        "from dataclasses import dataclass\n\n@dataclass(frozen=True)\nclass Own:\n    size: int\n"
    )
    Path("my_models.py").write_text(own)
    config = {"model": {"_target_": "my_models.Own", "size": 3}}
    assert model_of(config, tmp_path / "conf") is None and "my_models" not in sys.modules
    Path("conf/model").mkdir(parents=True)
    Path("conf/model/own.yaml").write_text("_target_: my_models.Own\nsize: 3\n")
    assert model_of(config) is None and "my_models" not in sys.modules
    # it is imported now, and found to be no model
    assert model_of(config, tmp_path / "conf") is None and sys.modules.pop("my_models").Own(3)
    built = model_of(CONFIG)
    assert built is not None and built.output == "images"
