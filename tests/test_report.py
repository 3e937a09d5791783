"""`glass report`: one page that needs nothing else, says what the folder says, and is safe."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from example_runs import CONFIG, STEPS, Rewards, eval_run, sample_run
from PIL import Image
from typer.testing import CliRunner

from glass_cli.cli import app
from glass_cli.output.reader import read_run
from glass_cli.report import data_uris
from glass_cli.report.page import page

NASTY = "</h3><script>alert(1)</script><img src=x onerror=alert(2)> \"'&{{ 7*7 }} 红苹果 🍎"
VOID = {"meta", "link", "img", "input", "br", "hr"}
FINAL = [4.0, 6.0, 5.0, 3.0]


class Parsed(HTMLParser):
    """The elements of a page: tags with attributes, in order, and the text inside some."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == [], f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open[-1] == tag, f"</{tag}> in {self._open}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for tag in set(self._open):
            self.texts[tag][-1] += data

    def of(self, tag: str, name: str | None = None) -> list[dict[str, str]]:
        wanted = [attrs for found, attrs in self.tags if found == tag]
        return [a for a in wanted if name is None or name in a.get("class", "").split()]


@pytest.fixture
def steered_run(tmp_path: Path) -> Path:
    rewards: Rewards = {"a dog": FINAL, NASTY: [1.0, None, 0.5, 2.0]}
    return sample_run(tmp_path / "run", rewards, steps=STEPS, thumbs=True, size=64)


def test_everything_is_inside(steered_run: Path) -> None:
    html = page(read_run(steered_run))
    parsed = Parsed(html)
    for tag, attrs in parsed.tags:
        assert tag not in ("iframe", "object", "embed", "base")
        for key in ("src", "href", "xlink:href", "srcset", "data", "action", "poster"):
            value = attrs.get(key, "#")
            assert value.startswith(("data:", "#")), f"<{tag} {key}={value[:60]}>"
    assert all(rule.startswith("#") for rule in re.findall(r"url\(([^)]*)\)", html))
    assert "@import" not in html
    (policy,) = [a for a in parsed.of("meta") if "http-equiv" in a]
    assert "default-src 'none'" in policy["content"]


def test_a_prompt_is_text_whatever_it_says(steered_run: Path) -> None:
    html = page(read_run(steered_run))
    parsed = Parsed(html)
    assert parsed.texts["h3"] == ["a dog", NASTY]
    assert len(parsed.of("script")) == 1 and "alert" not in parsed.texts["script"][0]
    assert not any(key.startswith("on") for _, attrs in parsed.tags for key in attrs)
    assert any(NASTY in attrs["alt"] for attrs in parsed.of("img"))


def test_ids_are_unique_and_labels_are_there(steered_run: Path) -> None:
    parsed = Parsed(page(read_run(steered_run)))
    ids = [attrs["id"] for _, attrs in parsed.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert all(attrs.get("alt") for attrs in parsed.of("img"))
    assert all(attrs.get("aria-label") for attrs in parsed.of("svg") if "aria-hidden" not in attrs)
    assert all("aria-label" in a for _, a in parsed.tags if a.get("tabindex") == "0")
    for _, attrs in parsed.tags:
        if "aria-labelledby" in attrs:
            assert attrs["aria-labelledby"] in ids


def test_numbers_and_pictures(steered_run: Path) -> None:
    html = page(read_run(steered_run))
    parsed = Parsed(html)
    text = " ".join("".join(parsed.texts["main"]).split())
    assert "reward of the best particle4.0 [2.0, 6.0]" in text  # answers 6 and 2
    assert "network calls a result16" in text
    assert "sampler: glass transitions2 rhoddpm" in text
    assert "steering.lam0.5" in text
    cards = parsed.of("article")
    assert [card["data-best"] for card in cards] == ["6.0", "2.0"]
    pictures = [a for a in parsed.of("img") if "particle" in a["alt"]]
    assert len(pictures) == 8
    assert len(parsed.of("figure", "answer")) == 2
    data = pictures[0]["src"].partition("base64,")[2]
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert image.size == (64, 64)  # never enlarged


@pytest.mark.parametrize("prompts", [1, 2])
def test_intervals_are_named_where_there_are_any(tmp_path: Path, prompts: int) -> None:
    rewards: Rewards = {str(i): [r + i for r in FINAL] for i in range(prompts)}
    html = page(read_run(sample_run(tmp_path / "run", rewards, steps=STEPS)))
    assert "t runs from noise (0)" in html
    several = prompts > 1
    assert ("bootstrap" in html, "Bands" in html) == (several, several)
    html = page(read_run(sample_run(tmp_path / "other", rewards)))
    assert 'class="chart"' in html and "Bands" not in html  # a histogram alone


def test_the_tree_shows_who_was_killed_and_why(steered_run: Path) -> None:
    parsed = Parsed(page(read_run(steered_run)))
    assert len(parsed.of("div", "tree")) == 2
    nodes = parsed.of("g", "node")
    assert len(nodes) == 2 * 3 * 4
    assert sum("killed" in node["class"].split() for node in nodes) == 2 * 2
    titles = parsed.texts["title"]
    assert sum("made none: killed" in title for title in titles) == 4
    assert len(parsed.of("image")) == 2 * 2 * 4
    assert "killed 0 (5.0 %), 3 (5.0 %); copied 1 × 3" in "".join(parsed.texts["table"])
    assert len(Parsed(page(read_run(steered_run), trees=1)).of("div", "tree")) == 1


def test_eval_with_its_judge(tmp_path: Path) -> None:
    results = [
        {"prompt": "a dog", "image": i, "rewards": FINAL, "steps": STEPS, "tag": "single_object",
         "judged": {"correct": i == 0, "reason": "no <dog>"}}
        for i in range(2)
    ]  # fmt: skip
    folder = eval_run(tmp_path / "run", results)
    parsed = Parsed(page(read_run(folder)))
    (card,) = parsed.of("article")
    assert card["data-correct"] == "some"
    assert (len(parsed.of("span", "right")), len(parsed.of("span", "wrong"))) == (1, 1)
    assert sum("no <dog>" in text for text in parsed.texts["span"]) == 1  # of the wrong one only
    assert len(parsed.of("div", "tree")) == 2
    text = " ".join("".join(parsed.texts["main"]).split())
    assert "single object, %50" in text and "judged correct 1 of 2" in text


def test_a_page_stays_within_its_bound(tmp_path: Path) -> None:
    """Noise hardly compresses: at full size the 24 pictures and the trees take about 1 MB."""
    rewards = {f"prompt {i}": FINAL for i in range(6)}
    folder = sample_run(tmp_path / "run", rewards, steps=STEPS, thumbs=True, size=128)
    sizes = {}
    for megabytes in (0.02, 0.2, 24.0):
        html = page(read_run(folder), megabytes)
        sizes[megabytes] = len(html.encode())
        # charts, tables and style, which are always there, take below 100 kB
        assert sizes[megabytes] < megabytes * 1e6 + 1e5
        parsed = Parsed(html)
        shown = [a for a in parsed.of("img") if "particle" in a["alt"]]
        assert (len(shown) < 24) == ("pictures are left out" in html)
        assert (len(parsed.of("image")) < 6 * 8) == (megabytes < 24)
    assert sizes[0.02] < sizes[0.2] < sizes[24.0] and sizes[24.0] > 500_000


def test_pictures_are_made_smaller_to_fit(tmp_path: Path) -> None:
    folder = sample_run(tmp_path / "run", {"a": FINAL}, size=512)
    paths = sorted((folder / "images/00000").iterdir())
    assert data_uris.fitting_side(paths, 10**8) == data_uris.SIDES[0]
    small = data_uris.fitting_side(paths, 40_000)
    assert small < data_uris.SIDES[0]
    assert sum(len(data_uris.picture(path, small)) for path in paths) <= 40_000


def test_a_benchmark_s_own_scores_are_those_of_its_summary(tmp_path: Path) -> None:
    """The page takes them as they were summed up; verdicts are not averaged a second time."""
    results = [
        {"prompt": f"p{i}", "rewards": FINAL, "tag": "colors",
         "judged": {"correct": i == 0, "distance": 0.5, "share": 0.75}}
        for i in range(2)
    ]  # fmt: skip
    scores = {
        "color_attr": {"mean": 0.125, "interval95": [0.0625, 0.25], "prompts": 2},
        "share": {"mean": 0.625, "interval95": None, "prompts": None},
    }
    folder = eval_run(tmp_path / "run", results, scores=scores)
    text = " ".join("".join(Parsed(page(read_run(folder))).texts["main"]).split())
    assert "color attr0.125 [0.062, 0.250]2 share0.625 reward of the answer" in text
    assert "judged correct, %" not in text and "judged share" not in text
    assert "judged distance0.5000 [0.5000, 0.5000]2" in text


def test_results_beside_those_of_the_summary_do_not_count(tmp_path: Path) -> None:
    results = [{"prompt": f"p{i}", "rewards": [float(i)]} for i in range(4)]
    folder = eval_run(tmp_path / "run", results)
    summary = folder / "summary.json"
    fewer = summary.read_text().replace("[\n    0,\n    3\n   ]", "[0, 1]")
    assert fewer != summary.read_text()
    summary.write_text(fewer)
    parsed = Parsed(page(read_run(folder)))
    assert parsed.texts["h3"] == ["p0", "p1"]
    assert "prompts2 results2" in " ".join("".join(parsed.texts["main"]).split())


def test_runs_without_reward_or_pictures(tmp_path: Path) -> None:
    config = {**CONFIG, "reward": None, "steering": None}
    bare = sample_run(tmp_path / "bare", {"a dog": [None, None]}, config=config)
    parsed = Parsed(page(read_run(bare)))
    assert len(parsed.of("img")) == 2 and parsed.of("option") == [{"value": "number"}]


def test_the_command(steered_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "page.html"
    done = CliRunner().invoke(app, ["report", str(steered_run), "-o", str(out)])
    assert done.exit_code == 0 and f"wrote {out}" in done.stdout
    Parsed(out.read_text(encoding="utf-8"))
    done = CliRunner().invoke(app, ["report", str(steered_run)])
    assert done.exit_code == 0 and (steered_run / "report.html").exists()


def test_a_sweep_has_a_page_for_each_finished_job(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    overrides = ["prompts=[a\\ dog,two\\ cats]", "particles=4"]
    jobs = [sample_run(sweep / str(i), {"a": FINAL}, overrides=overrides) for i in range(2)]
    (sweep / "multirun.yaml").write_text("{}")
    stopped = sample_run(sweep / "2", {"a": FINAL})
    (stopped / "summary.json").unlink()
    done = CliRunner().invoke(app, ["report", str(sweep)])
    assert done.exit_code == 0 and done.stdout.count("wrote ") == 2
    assert done.stderr.count("\n") == 1 and "passing over" in done.stderr
    parsed = Parsed((jobs[1] / "report.html").read_text(encoding="utf-8"))
    assert parsed.texts["h1"] == ["sweep/1"]  # and not 1 alone
    assert "'prompts=[a dog,two cats]' particles=4" in parsed.texts["code"][0]
    done = CliRunner().invoke(app, ["report", str(sweep), "-o", str(tmp_path / "x.html")])
    assert done.exit_code == 2 and "holds 2 runs" in done.stderr


def test_mistakes_are_one_line_and_exit_2(steered_run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    broken = steered_run / "thumbs/00000/0000/step-001.webp"
    for words, said in (
        ([str(tmp_path / "none")], "is not a folder"),
        ([str(steered_run), "-o", str(tmp_path / "file" / "x.html")], "cannot write"),
    ):
        done = CliRunner().invoke(app, ["report", *words])
        assert done.exit_code == 2 and said in done.stderr and done.stderr.count("\n") == 1
    broken.write_bytes(broken.read_bytes()[:40])
    done = CliRunner().invoke(app, ["report", str(steered_run)])
    assert done.exit_code == 0 and "is not a whole picture" in done.stderr
    picture = steered_run / "images/00000/0000.png"
    picture.write_bytes(picture.read_bytes()[:400])
    done = CliRunner().invoke(app, ["report", str(steered_run)])
    assert done.exit_code == 2 and "is not a whole picture" in done.stderr


def test_reading_is_light() -> None:
    """Reading folders needs no torch; matplotlib comes only with a chart."""
    code = (
        "import sys, glass_cli.report.commands;"
        "print([m for m in ('torch', 'diffusers', 'wandb', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
