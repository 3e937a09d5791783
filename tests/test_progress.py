"""The bar and the closing table, as the terminal gets them."""

from __future__ import annotations

import io

from glass_cli.output.progress import Progress, closing_table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bar_shows_particles_calls_ess_and_best() -> None:
    out = Terminal()
    with Progress(40, 8, stream=out) as progress:
        progress.update(prompt="a")
        progress.update(nfe=10, ess=6.25, best=0.5)
        progress.update(nfe=40)
    last = out.getvalue().split("\r")[-1]
    for words in ("8 particles", "40/40 calls", "100%", "ESS 6.2", "best 0.500"):
        assert words in last, (words, last)


def test_bar_starts_anew_with_each_prompt() -> None:
    out = Terminal()
    with Progress(40, 1, stream=out) as progress:
        progress.update(nfe=20, ess=1.0, best=0.9, prompt="a")
        progress.update(nfe=30, prompt="b")
    last = out.getvalue().split("\r")[-1]
    assert "prompt 2" in last
    assert "30/40" in last
    assert "0.900" not in last
    assert "1 particle:" in last


def test_no_terminal_one_line_a_prompt() -> None:
    out = io.StringIO()
    with Progress(40, 8, stream=out) as progress:
        for step in range(1, 11):
            progress.update(nfe=2 * step, ess=4.0, best=step / 10, prompt="red apple")
        for step in range(11, 21):
            progress.update(nfe=2 * step, prompt="line\nbreak " + "x" * 100)
    progress.close()
    lines = out.getvalue().splitlines()
    assert lines[0] == "red apple: 20/40 calls, 8 particles, ESS 4.0, best 1.000"
    assert lines[1].startswith("line break x")
    assert lines[1].endswith("...: 40/40 calls, 8 particles")
    assert len(lines) == 2


def test_disabled_says_nothing_and_forced_draws() -> None:
    silent, forced = Terminal(), io.StringIO()
    for stream, enabled in ((silent, False), (forced, True)):
        with Progress(4, 2, enabled, stream) as progress:
            progress.update(nfe=4, ess=float("nan"), prompt="a")
    assert not silent.getvalue()
    assert "4/4 calls" in forced.getvalue()
    assert "ESS -" in forced.getvalue()


def test_call_count_never_falls() -> None:
    out = Terminal()
    with Progress(10, 2, stream=out) as progress:
        progress.update(nfe=6)
        progress.update(nfe=4)
    assert "6/10 calls" in out.getvalue().split("\r")[-1]


def row(prompt: str, best: float | None, seconds: float = 2.0) -> dict[str, object]:
    return {
        "prompt": prompt,
        "best_reward": best,
        "mean_reward": 0.25,
        "nfe": 640,
        "seconds": seconds,
    }


def test_table_is_aligned_and_names_the_paths() -> None:
    rows = [row("a", 0.5), row("红苹果", float("nan"), 12.0), row("é" * 100, None)]
    text = closing_table(rows, {"folder": "outputs/x", "contact sheet": "outputs/x/sheet.png"})
    table, paths = text.split("\n\n")
    lines = table.splitlines()
    assert lines[0].split() == ["prompt", "best", "reward", "mean", "reward", "NFE", "seconds"]
    assert lines[2].split() == ["a", "0.500", "0.250", "640", "2.0"]
    assert lines[3].split() == ["红苹果", "-", "0.250", "640", "12.0"]
    assert lines[4].split()[0] == "é" * 45 + "..."
    assert lines[6].split() == ["mean", "of", "3", "0.500", "0.250", "640", "5.3"]
    assert len(lines[2]) == len(lines[0]) == len(lines[1])
    assert len(lines[3]) == len(lines[0]) - 3  # three letters of two columns each
    assert paths == "folder         outputs/x\ncontact sheet  outputs/x/sheet.png"


def test_table_of_one_or_many_prompts() -> None:
    assert "mean of" not in closing_table([row("a", 0.5)], {})
    text = closing_table([row(f"prompt {i}", i / 100) for i in range(553)], {})
    assert "... and 533 more" in text
    assert len(text.splitlines()) == 2 + 20 + 1 + 2
    assert text.splitlines()[-1].split()[:4] == ["mean", "of", "553", "2.760"]


def test_table_survives_missing_values() -> None:
    assert closing_table([{"prompt": "a"}], {}).splitlines()[-1].split() == [
        "a",
        "-",
        "-",
        "-",
        "-",
    ]
    assert closing_table([], {}).splitlines()[0].startswith("prompt")
