"""The documentation's hooks, and the site that they build."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import REPOSITORY

from glass_cli.config.listing import choices, groups

pytest.importorskip("mkdocs")
pytest.importorskip("latex2mathml")

CONF = REPOSITORY / "conf"
ROW = re.compile(r"^\| `([\w.]+)` \| (.*?) \| `(.*?)` \| (.*) \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def hooks() -> Any:
    """Imports a hook by its name, as mkdocs does: their folder is on the path."""
    sys.path.insert(0, str(REPOSITORY / "docs" / "hooks"))
    yield import_module
    sys.path.remove(str(REPOSITORY / "docs" / "hooks"))


@pytest.fixture(scope="module")
def settings_page(hooks: Any) -> str:
    return str(hooks("settings_page").page())


def rows(page: str, heading: str) -> dict[str, tuple[str, str, str]]:
    """Key -> type and range, default, meaning, of one choice."""
    section = page.partition(f"{{#{heading}}}")[2] if heading else page.partition("## Top level")[2]
    section = re.split(r"^##", section, maxsplit=1, flags=re.MULTILINE)[0]
    return {key: (kind, default, said) for key, kind, default, said in ROW.findall(section)}


def test_every_choice_is_on_the_page_of_settings(settings_page: str) -> None:
    for group in groups([CONF]):
        for choice, line in choices(group, [CONF]).items():
            listed = f"`{group}={choice}`: {line}", f"{{#{group}-{choice}}}\n\n{line}\n"
            assert any(entry in settings_page for entry in listed), f"{group}={choice}"


def test_every_key_has_its_default(settings_page: str) -> None:
    for path in sorted(CONF.glob("*/*.yaml")):
        node = yaml.safe_load(path.read_text())
        if path.parent.name == "hydra" or "_target_" not in node or "defaults" in node:
            continue
        found = rows(settings_page, f"{path.parent.name}-{path.stem}")
        keys = {f"{path.parent.name}.{key}" for key in node if key != "_target_"}
        if not found:  # shown by what differs from an earlier choice of the same class
            continue
        top = {".".join(key.split(".")[:2]) for key in found}
        assert top == keys, path
        for key, value in node.items():
            if isinstance(value, (bool, int, float)):
                shown = yaml.safe_load(found[f"{path.parent.name}.{key}"][1])
                assert shown == value and type(shown) is type(value)


def test_ranges_are_those_that_the_code_takes(settings_page: str) -> None:
    top, glass = rows(settings_page, ""), rows(settings_page, "sampler-glass")
    fk = rows(settings_page, "steering-fk")
    assert top["seed"][0] == "whole number, 0 or more"
    assert top["micro_batch"][0] == "whole number, 1 to 1,000,000"
    assert re.fullmatch("`ddpm`.* number.*, -1 to 1", glass["sampler.rho"][0])
    assert glass["sampler.kappa"][0] == "number, 0 or more"
    assert glass["sampler.order"][0] == "`1` or `2`"
    assert fk["steering.tempering_ess"][0] == "number, above 0, at most 1"
    assert fk["steering.ess_threshold"][0] == "number, 0 to 1"
    assert fk["steering.potential"][0].startswith("`difference`, `max`, `sum` or")


def test_settings_of_this_package_say_what_they_mean(settings_page: str) -> None:
    silent = [key for key, _, _, said in ROW.findall(settings_page) if not said.strip()]
    assert not [key for key in silent if not key.startswith("benchmark.embedded")]


def test_settings_say_what_null_is_and_nothing_twice(settings_page: str) -> None:
    said = {key: meaning for key, _, _, meaning in ROW.findall(settings_page)}
    assert said["particles"].endswith("; null: 8, or what budget buys.")
    assert said["particles"].lower().count("steered against each other") == 1


def test_numbers_of_tables_stay_on_one_line(hooks: Any) -> None:
    cells = ["-0.39 [-0.47, -0.31]", "+6.1", "1e-05", "0.18 ±0.002", "not measured", "3 x 2"]
    page = hooks("results").on_page_content("".join(f"<td>{cell}</td>" for cell in cells))
    assert re.findall(r'<td class="number">([^<]*)', page) == cells[:4]


def test_docstrings_as_markdown(hooks: Any) -> None:
    text = hooks("docstring_text")
    docstring = (
        "What it is.\n\nlam: how hard,\n    0 or more.\na, b: ends of\n    it.\n\nSee :class:`m.K`."
    )
    assert text.parameters(docstring) == {
        "lam": "how hard, 0 or more.",
        "a": "ends of it.",
        "b": "ends of it.",
    }
    shown = text.as_markdown(docstring, lambda name: f"glass_cli.{name}")
    assert shown == (
        "What it is.\n\n\n- `lam`: how hard, 0 or more.\n- `a`, `b`: ends of it.\n\n\n"
        "See [`K`][glass_cli.m.K]."
    )


def test_sources_are_the_code_without_its_docstring(hooks: Any) -> None:
    sources = hooks("sources")
    file, code = sources.source("glass_cli.method.path.denoiser_from_velocity")
    assert file == "glass_cli/method/path.py"
    assert code.splitlines()[0].startswith("def denoiser_from_velocity(")
    assert '"""' not in code and "d_alpha * sigma - alpha * d_sigma" in code
    assert sources.source("glass_cli.method.glass.InnerPath.between")[1].startswith("@classmethod")
    for wrong in ("glass_cli.method.path.nothing", "glass_cli.nothing.at", "nowhere.at"):
        with pytest.raises(LookupError):
            sources.source(wrong)


def test_formulas_are_mathml_that_browsers_know(hooks: Any) -> None:
    maths = hooks("maths")
    page = r'<div class="arithmatex">\[z \sim \mathcal N(0, \mathbb E[x] \log p)\]</div>'
    shown = maths.on_page_content(page, page=None)
    assert "𝒩" in shown and "𝔼" in shown and "<mo>∼</mo>" in shown
    # MathML Core knows no other mathvariant
    assert set(re.findall(r'mathvariant="(\S+)"', shown)) <= {"normal"}


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """mkdocs in the folder; with --quiet it would not count warnings, and not be strict."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build"],
        cwd=folder,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation and the package, to be built elsewhere."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(REPOSITORY / "mkdocs.yml", folder)
    shutil.copytree(REPOSITORY / "docs", folder / "docs")
    shutil.copytree(REPOSITORY / "conf", folder / "conf")
    ignored = shutil.ignore_patterns("weights", "__pycache__")
    shutil.copytree(REPOSITORY / "glass_cli", folder / "glass_cli", ignore=ignored)
    return folder


@pytest.mark.slow
def test_the_site_is_built_strictly_and_asks_nothing_of_the_network(copied: Path) -> None:
    from chromium import Page, browser

    done = build(copied)
    assert done.returncode == 0, done.stderr
    site = copied / "build" / "site"
    pages = [site / name for name in ("index.html", "settings.html", "concepts/transitions.html")]
    browser()  # skips the rest where there is none
    for width in (400, 1400):
        with Page(width=width) as page:
            for path in pages:
                page.open(path)
                assert page.run("document.documentElement.scrollWidth") <= width, path.name
            assert page.run("document.querySelectorAll('math').length") > 50
            outside = [u for u in page.requests if not u.startswith(("file:", "data:"))]
            assert not outside and not page.errors


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "before", "after", "said"),
    [
        ("docs/questions.md", "# Questions\n", "# Questions\n[x](nowhere.md)\n", "nowhere.md"),
        ("docs/index.md", "(settings.md)", "(settings.md#nothing)", "#nothing"),
        (
            "glass_cli/method/path.py",
            '    """D_t(x) from the predicted noise; alpha_t must not be 0."""\n',
            "",
            "denoiser_from_epsilon has no docstring",
        ),
        (
            "docs/concepts/steering.md",
            "source: glass_cli.steering.feynman_kac.log_potential",
            "source: glass_cli.steering.feynman_kac.no_potential",
            "no source of",
        ),
    ],
)
def test_what_is_wrong_fails_the_build(
    copied: Path, file: str, before: str, after: str, said: str
) -> None:
    path = copied / file
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    try:
        done = build(copied)
    finally:
        path.write_text(text)
    assert done.returncode != 0 and said in done.stderr
