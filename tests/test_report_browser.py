"""The report in headless Chromium; skipped where there is none."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from chromium import Page
from example_runs import STEPS, sample_run
from hostile_prompts import PROMPTS
from typer.testing import CliRunner

from glass_cli.cli import app
from glass_cli.output.reader import read_run
from glass_cli.report.page import write_report

LONG = "a photo of " + "averyveryverylongword" * 12


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    rewards = {
        "a dog": [4.0, 6.0, 5.0, 3.0],
        "<b>two</b> cats": [1.0, 2.0, 0.5, 1.0],
        LONG: [9.0, 8.0, 7.0, 6.0],
    }
    run = sample_run(folder / "run", rewards, steps=STEPS, thumbs=True, size=64)
    write_report(read_run(run), folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="module")
def tab(report: Path) -> Iterator[Page]:
    with Page() as page:
        page.open(report)
        yield page


def test_no_errors_and_no_network(tab: Page, report: Path) -> None:
    asked = [url for url in tab.requests if not url.startswith("data:")]
    assert asked == [report.resolve().as_uri()]
    assert tab.errors == []
    broken = "[...document.images].filter(i => i.complete && !i.naturalWidth).length"
    assert tab.run("document.images.length") == 12 and tab.run(broken) == 0


@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_does_not_scroll_sideways(tab: Page, width: int) -> None:
    tab.resize(width, 900)
    tab.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert tab.run("document.documentElement.scrollWidth") <= width
    inside = """[...document.querySelectorAll('main *')].filter(
        e => !e.closest('.scroll') && e.getBoundingClientRect().right > innerWidth + 1).length"""
    assert tab.run(inside) == 0


def test_the_tree_shows(tab: Page) -> None:
    tab.resize(1400, 900)
    tab.run("document.querySelector('.tree').scrollIntoView()")
    box = "(s => (b => [b.width, b.height])(document.querySelector(s).getBoundingClientRect()))"
    width, height = tab.run(f"{box}('.tree svg')")
    assert width > 200 and height > 200
    assert all(side > 40 for side in tab.run(f"{box}('.node image')"))
    assert tab.run("document.querySelectorAll('.tree')[0].querySelectorAll('.cross').length") == 2


def test_the_keyboard_walks_through_the_tree(tab: Page) -> None:
    tab.run("document.querySelector('.tree').focus()")
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        tab.press(key)
    text = tab.run("document.querySelector('.description').textContent")
    assert text.startswith("Particle 1 at t = 0.5") and "made 3" in text
    assert tab.run("document.querySelectorAll('.node.seen').length") == 1


def test_finding_and_sorting(tab: Page) -> None:
    def enter(name: str, value: str) -> list[str]:
        tab.run(
            f"(e => {{ e.value = '{value}'; e.dispatchEvent(new Event('input')) }})"
            f"(document.getElementById('{name}'))"
        )
        shown = "[...document.querySelectorAll('.card:not([hidden]) h3')].map(h => h.textContent)"
        prompts: list[str] = tab.run(shown)
        return prompts

    assert enter("find", "CATS two") == ["<b>two</b> cats"]
    assert tab.run("document.getElementById('count').value") == "1 of 3 prompts"
    assert enter("find", "") == ["a dog", "<b>two</b> cats", LONG]
    assert enter("sort", "-best") == [LONG, "a dog", "<b>two</b> cats"]
    assert enter("sort", "mean") == ["<b>two</b> cats", "a dog", LONG]
    assert enter("sort", "number") == ["a dog", "<b>two</b> cats", LONG]


def test_dark_and_light(report: Path, tab: Page) -> None:
    colours = "[document.body, document.querySelector('h1')].map(e => getComputedStyle(e))"
    seen = f"{colours}.map(s => s.backgroundColor + s.color)"
    light = tab.run(seen)
    with Page(dark=True) as page:
        page.open(report)
        assert page.run(seen) != light
        ink = "getComputedStyle(document.querySelector('.chart text')).fill"
        assert page.run(ink) == page.run("getComputedStyle(document.body).color")


def test_tab_reaches_every_part(tab: Page) -> None:
    """From the top: the skip link first, and the tools and a tree in their turn."""
    tab.run("document.activeElement.blur(); scrollTo(0, 0)")
    tab.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    reached = []
    for _ in range(60):
        tab.press("Tab")
        reached.append(tab.run("(e => e.id || e.className || e.tagName)(document.activeElement)"))
    assert {"find", "sort", "scroll tree"} <= set(reached)


class _Unnamed(BaseHTTPRequestHandler):
    """Serves a table whose kind the browser must guess from its bytes."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(Path("table.csv").read_bytes())

    def log_message(self, *_: object) -> None: ...


def test_a_table_of_hostile_prompts_is_no_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a file it is kept, not shown; from a server that does not say what it is, it is text."""
    monkeypatch.chdir(tmp_path)
    for i in range(len(PROMPTS)):
        config = {"particles": 4, "sampler": {"_target_": "x.Glass", "rho": i}}
        sample_run(Path(f"run{i}"), {"a dog": [1.0, 2.0]}, size=None, config=config)
    runs = [f"run{i}" for i in range(len(PROMPTS))]
    labels = [word for prompt in PROMPTS for word in ("--label", prompt)]
    done = CliRunner().invoke(app, ["compare", *runs, "--csv", "table.csv", *labels])
    assert done.exit_code == 0, done.output[:500]
    text = Path("table.csv").read_text(encoding="utf-8")
    # of several threads: a browser may connect and say nothing yet
    with ThreadingHTTPServer(("127.0.0.1", 0), _Unnamed) as server, Page() as page:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/table"
        page.go(url)
        assert page.run("document.contentType") == "text/plain"
        assert page.run("document.scripts.length") == 0 and page.run("document.title") == ""
        shown = page.run("document.body.textContent")
        assert "<script>document.title='hostile'</script>" in shown and "</title><h1>x" in shown
        assert set(page.requests) <= {url, url.replace("/table", "/favicon.ico")}
        assert page.run("location.href") == url and page.errors == []
        kept = page.send("Page.navigate", url=Path("table.csv").resolve().as_uri())
        assert kept.get("errorText") == "net::ERR_ABORTED" or kept.get("isDownload")
        assert page.run("location.href") == url
        server.shutdown()
    # of the encoding it was told nothing, and a text has no zero byte
    plain, kept_text = (
        each.replace("\x00", "").encode("ascii", "ignore").split() for each in (shown, text)
    )
    assert plain == kept_text


def test_hostile_prompts_are_text(tmp_path: Path) -> None:
    """Each stands on the page as it was, and none has done anything to it."""
    run = sample_run(tmp_path / "run", {prompt: [1.0, 2.0] for prompt in PROMPTS}, steps=[])
    write_report(read_run(run), tmp_path / "report.html")
    with Page() as page:
        page.open(tmp_path / "report.html")
        page.run("document.querySelectorAll('details').forEach(d => d.open = true)")
        heads = page.run("[...document.querySelectorAll('.card h3')].map(h => h.textContent)")
        # a page of HTML has no zero byte
        assert [head.replace("\ufffd", "\x00") for head in heads] == PROMPTS
        assert page.run("document.scripts.length") == 1
        assert "hostile" not in page.run("document.title").lower()
        assert page.run("document.querySelectorAll('iframe, object, embed, base').length") == 0
        assert page.run("location.href") == (tmp_path / "report.html").resolve().as_uri()
        assert [url for url in page.requests if not url.startswith("data:")] == [
            (tmp_path / "report.html").resolve().as_uri()
        ]
        assert page.errors == []
