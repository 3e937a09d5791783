"""Hostile prompts: drawn as the text that they are, nothing outside the folder, all pages inert."""

from __future__ import annotations

import csv
import json
import re
import sys
import time
import tracemalloc
from pathlib import Path

import pytest
import yaml
from example_runs import sample_run
from hostile_prompts import FORMULAS, PROMPTS
from test_report import Parsed
from typer.testing import CliRunner

from glass_cli.benchmarks import lists as lists_of_benchmarks
from glass_cli.cli import app, main
from glass_cli.config.command_line import quoted
from glass_cli.config.settings import Root
from glass_cli.launch import launch
from glass_cli.output.reader import read_run
from glass_cli.report.page import page

TINY = ["model=gaussian_mixture", "wandb.mode=disabled", "particles=1", "sampler.transitions=1"]
TINY += ["sampler.steps=1", "steering=none", "hydra.run.dir=run"]
# no file holds a zero byte in its prompts, nor does a command line
TYPED = [prompt for prompt in PROMPTS if "\x00" not in prompt]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def drawn() -> list[str]:
    paths = sorted(Path("run").glob("results/*/0000.json"))
    return [json.loads(path.read_text("utf-8"))["prompt"] for path in paths]


def outside() -> list[str]:
    return sorted(path.name for place in (".", "..") for path in Path(place).iterdir())


def test_how_many() -> None:
    assert len(PROMPTS) == len(set(PROMPTS)) >= 60


@pytest.mark.plots
def test_a_list_of_them_is_drawn_as_it_stands(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a list on the command line to every file of the run, and to the report."""
    # a list is read by Hydra's grammar, which has no word for a control character
    words = "[" + ",".join(map(quoted, TYPED)) + "]"
    assert launch([*TINY, f"prompts={words}"]) == 0
    said = capsys.readouterr()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", said.err + said.out)
    assert drawn() == TYPED
    assert outside() == ["run", "work"]
    config = yaml.safe_load(Path("run/config.yaml").read_text("utf-8"))
    assert config["prompts"] == TYPED
    places = {p for p in Path("run").rglob("*") if p.is_dir()}
    assert all(re.fullmatch(r"run/\w+(/\d{5})?", p.as_posix()) for p in places)
    monkeypatch.setattr(sys, "argv", ["glass", "report", "run"])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code and outside() == ["run", "work"]
    inert(Path("run/report.html").read_text("utf-8"), TYPED)


def inert(html: str, prompts: list[str]) -> None:
    """No script but the page's own, no handler, no address; every prompt as text."""
    parsed = Parsed(html)
    assert len(parsed.of("script")) == 1 and "hostile" not in parsed.texts["script"][0]
    for tag, attrs in parsed.tags:
        assert tag not in ("iframe", "object", "embed", "base")
        assert not any(name.startswith("on") for name in attrs), (tag, attrs)
        for key in ("src", "href", "xlink:href", "action"):
            assert attrs.get(key, "#").startswith(("data:", "#")), (tag, attrs)
    heads = parsed.texts["h3"]
    # HTML has no zero byte
    shown = [" ".join(prompt.replace("\x00", "\ufffd").split()) for prompt in prompts]
    for prompt in shown:
        start = prompt[:200]
        assert any(start in " ".join(head.split()) for head in heads), prompt[:80]


def test_pictures_with_hostile_prompts(tmp_path: Path) -> None:
    """The page of a run of pictures, whose prompts are in attributes and scripts too."""
    folder = sample_run(tmp_path / "pictures", {prompt: [1.0, 2.0] for prompt in PROMPTS})
    inert(page(read_run(folder)), PROMPTS)


@pytest.mark.parametrize("prompt", [*FORMULAS, "a\x1b[31mb", "\u202eabc"])
def test_tables_are_text(tmp_path: Path, prompt: str) -> None:
    """Runs that are labelled by their prompts: no formula in the CSV, no escape on the terminal."""
    folders = []
    for i, text in enumerate((prompt, "a dog")):
        config = {"prompt": text, "particles": 4, "sampler": {"_target_": "x.Glass", "rho": text}}
        folders.append(sample_run(tmp_path / f"run{i}", {"a dog": [1.0, 2.0]}, config=config))
    words = ["compare", *map(str, folders), "--csv", "table.csv", "--label", prompt]
    done = CliRunner().invoke(app, [*words, "--label", "a"])
    assert done.exit_code == 0, done.output
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e]", done.output)
    with Path("table.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    cells = [cell for row in rows for cell in row if not re.fullmatch(r"[-+]?[\d.e+-]+", cell)]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    assert any(prompt in cell for cell in cells), "the text is kept"


def test_a_table_of_them_all(tmp_path: Path) -> None:
    """As labels of runs: every cell is text, no spreadsheet's formula, and kept as it was."""
    samplers = [{"_target_": "x.Glass", "rho": i} for i in range(len(PROMPTS))]
    configs = [{"prompt": "a dog", "particles": 4, "sampler": sampler} for sampler in samplers]
    folders = [
        str(sample_run(tmp_path / f"run{i}", {"a dog": [1.0, 2.0]}, size=None, config=config))
        for i, config in enumerate(configs)
    ]
    labels = [word for prompt in PROMPTS for word in ("--label", prompt)]
    done = CliRunner().invoke(app, ["compare", *folders, "--csv", "table.csv", *labels])
    assert done.exit_code == 0, done.output[:500]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", done.output)
    with Path("table.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    cells = [cell for row in rows for cell in row if not re.fullmatch(r"[-+]?[\d.e+-]+", cell)]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)
    joined = "\n".join(cells)
    assert sum(prompt.strip() in joined for prompt in PROMPTS) >= len(PROMPTS) - 1
    runs = [f"run{i}" for i in range(len(PROMPTS))]
    assert outside() == sorted([*runs, "table.csv", "work"])


def lists(name: str, data: bytes) -> list[str]:
    Path(name).write_bytes(data)
    assert launch([*TINY, f"prompts={name}"]) == 0
    return drawn()


def test_lists_of_other_systems(capsys: pytest.CaptureFixture[str]) -> None:
    text = "a dog\r\n\r\nnaïve 🍎\r\na dog\r\n"
    expected = ["a dog", "naïve 🍎", "a dog"]
    assert lists("crlf.txt", b"\xef\xbb\xbf" + text.encode()) == expected
    for name, encoding in (("latin.txt", "latin-1"), ("wide.txt", "utf-16"), ("cut.txt", "utf-8")):
        data = text.replace("🍎", "é").encode(encoding)
        Path(name).write_bytes(data[:7] + b"\xc3" if name == "cut.txt" else data)
        capsys.readouterr()
        assert launch([*TINY[:-1], f"prompts={name}", "hydra.run.dir=other"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line == f"glass: prompts={name} is not UTF-8 text; save it as UTF-8"
        assert not Path("other").exists()


def test_tables_are_read_by_their_column(capsys: pytest.CaptureFixture[str]) -> None:
    prompts = ["a cat, and a dog", "two cats"]
    csv = b'category,Prompt\nx,"a cat, and a dog"\ny,two cats\n'
    assert lists("list.csv", csv) == prompts
    json_lines = "".join(json.dumps({"prompt": prompt}) + "\n" for prompt in reversed(prompts))
    Path("list.jsonl").write_text(json_lines, encoding="utf-8")
    assert Root(prompts="list.jsonl").prompt_list() == prompts[::-1]
    Path("other.csv").write_text("text\na cat\n", encoding="utf-8")
    capsys.readouterr()
    assert launch([*TINY[:-1], "prompts=other.csv", "hydra.run.dir=other"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "glass: prompts=other.csv, record 1 has no prompt (it has text); call that column prompt"
    )


def test_text_lines_end_at_line_ends_alone() -> None:
    """Other characters that Python splits lines at are part of a prompt."""
    prompts = ["a\x0bb", "a\x1cb", "a\u2028b", "a\x85b", "a\x00b", "a\x0cb"]
    assert lists("odd.txt", "\n".join(prompts).encode()) == prompts
    records = [json.dumps({"prompt": prompt}, ensure_ascii=False) for prompt in prompts[2:4]]
    for name, rows in (("list.txt", prompts[:4]), ("list.jsonl", records)):
        found = lists_of_benchmarks.records("\n".join(rows), name, Path(name).suffix)
        wanted = prompts[2:4] if name == "list.jsonl" else prompts[:4]
        assert [record["prompt"] for record in found] == wanted


@pytest.mark.slow
def test_many_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in seconds, and the memory of their text."""
    text = "".join(f"a photo of {i} dogs\n" for i in range(1_000_000))
    Path("many.txt").write_text(text)
    began = time.monotonic()
    tracemalloc.start()
    assert len(Root(prompts="many.txt").prompt_list()) == 1_000_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * len(text) and time.monotonic() - began < 12
    assert launch([*TINY, "prompts=many.txt", "limit=2"]) == 0
    assert drawn() == ["a photo of 0 dogs", "a photo of 1 dogs"]
