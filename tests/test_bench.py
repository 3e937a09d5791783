"""Every figure of the bench at tiny settings; what it measures is not judged here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from conftest import REPOSITORY

from glass_cli.bench import __main__ as bench
from glass_cli.bench import accuracy, explore, laws, loop, memory, rewards, schemes, toy, whole
from glass_cli.bench.help import help_time
from glass_cli.bench.page import FIGURES, machine, read_page, section
from glass_cli.method.glass import Glass
from glass_cli.method.noise import generator
from glass_cli.output.tables import Table, two_digits

MIXTURE = ["model=gaussian_mixture", "sampler.steps=2"]


def test_loop_measures_command_loop_and_bare_calls() -> None:
    table = loop.loop(MIXTURE, repeats=2)
    assert [row[0] for row in table.rows] == [name for name, _ in loop.RUNS]
    assert all(float(cell) > 0.0 for row in table.rows for cell in row[1:4])
    for row in table.rows:
        over, without_scoring = (float(cell.removesuffix(" %")) for cell in row[4:6])
        assert without_scoring < over


@pytest.mark.parametrize(
    ("steering", "expected"),
    [
        ([], 3 * 2 * [2, 2, 1]),
        (["steering.sizes=[5,3,1]"], 2 * [2, 2, 1] + 2 * [2, 1] + 2 * [1]),
    ],
)
def test_bare_calls_are_as_many_as_the_run_makes(steering: list[str], expected: list[int]) -> None:
    words = [*MIXTURE, "particles=5", "micro_batch=2", "sampler.transitions=3", *steering]
    settings = loop.compose(words)
    work, _ = loop.load(settings, loop.Stages())
    sizes: list[int] = []

    class Counting(type(work.model)):  # type: ignore[misc]
        def denoise(self, x: torch.Tensor, t: float) -> torch.Tensor:
            sizes.append(len(x))
            return x

    loop.bare_calls(work._replace(model=Counting(work.model.mixture)), settings)()
    assert sizes == expected


def test_accuracy_has_a_row_for_every_sampler_and_transition() -> None:
    goal, endpoint, law = accuracy.accuracy(starts=2, draws=32, calls=(2, 4), converged=60)
    transitions = len(toy.TRANSITIONS)
    assert [len(t.rows) for t in (goal, endpoint, law)] == [transitions, 2 * transitions, 16]


def test_exact_draws_of_the_toy_have_the_law_that_glass_converges_to() -> None:
    flow = toy.toy()
    case = toy.make_case(flow, 0.3, 0.6, starts=2, draws=4_000)
    g = generator("test")
    noise = torch.randn(case.x.shape, generator=g, dtype=torch.float64)
    end = Glass().transition(flow, case.x, case.x_hat, 0.3, 0.6, lambda: noise, 60)
    exact = toy.exact(flow, case, "a").reshape(2, -1, 8)
    # five standard errors of a mean of 4,000 draws, for the difference of two means
    bound = 5.0 * exact.std(1) * (2 / 4_000) ** 0.5
    assert ((end.reshape(2, -1, 8).mean(1) - exact.mean(1)).abs() < bound).all()


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(("t", "t_next"), toy.TRANSITIONS)
def test_explored_schemes_contain_the_samplers_own(order: int, t: float, t_next: float) -> None:
    flow = toy.toy()
    case = toy.make_case(flow, t, t_next, starts=3, draws=2)
    y = torch.randn(case.x.shape, generator=generator("test"), dtype=torch.float64)
    scheme = schemes.OWN if order == 2 else schemes.Scheme("s", "snr", 1)
    assert scheme in explore.SCHEMES
    glass = Glass(order=order)  # type: ignore[arg-type]
    theirs = glass.transition(flow, case.x, case.x_hat, t, t_next, lambda: y, 7)
    ours = schemes.integrate(flow, case.inner, case.x, case.x_hat, y, scheme, 7)
    torch.testing.assert_close(ours, theirs)


def test_every_explored_scheme_converges() -> None:
    found = explore.errors(toy.toy(), explore.SCHEMES, (4, 32), rows=16, converged=200)
    for scheme, transitions in found.items():
        assert all(fine < coarse for coarse, fine in transitions), scheme.name


def test_laws_by_axes_have_the_denoisers_of_what_they_are() -> None:
    x = torch.randn(5, 8, generator=generator("x"), dtype=torch.float64)
    torch.testing.assert_close(laws.mixture().denoise(x, 0.4), toy.toy().denoise(x, 0.4))
    gaussian = laws.gaussian()
    variance = gaussian.stds[0] ** 2
    expected = 0.4 * variance / (0.4**2 * variance + 0.6**2) * x
    torch.testing.assert_close(gaussian.denoise(x, 0.4), expected)
    clusters = laws.small_clusters()
    # of a law three times as large at the same signal-to-noise ratio
    assert float(clusters.log_w.exp().sum()) == pytest.approx(1.0)
    alpha, sigma = 0.4, 0.6
    t = alpha / 3 / (alpha / 3 + sigma)
    scaled = clusters.scaled(3.0).denoise(x * (1.0 - t) / sigma, t)
    torch.testing.assert_close(scaled, 3.0 * clusters.denoise(x, 0.4))


@pytest.mark.parametrize("transitions", [3, 5])
def test_the_whole_sampler_is_nearer_to_its_law_than_that_of_0_2_0(transitions: int) -> None:
    ways = {name: whole.MIXTURE_WAYS[name] for name in ("0.2.0, s", "0.2.0, times", "snr")}
    ours = ways["snr"]
    found = whole.errors(laws.mixture(), ways, transitions, (3,), 2_000, 1, ours)
    ((s,), (times,), (snr,)) = (found[name, 3] for name in ways)
    assert snr < 0.6 * min(s, times)  # 0.4, with more draws


def test_the_whole_sampler_converges_to_the_law_of_the_data() -> None:
    flow, n = laws.gaussian(), 4_000
    x = whole.draw(flow, whole.MIXTURE_WAYS["snr"], 3, 60, n, seed=0)
    # five standard errors; of a variance they are sqrt(2/n) of it
    assert ((x.var(0) / flow.stds[0] ** 2 - 1.0).abs() < 5.0 * (2 / n) ** 0.5).all()
    assert (x.mean(0).abs() < 5.0 * flow.stds[0] / n**0.5).all()


def test_tables_of_the_whole_sampler_have_a_row_for_each_law_and_number_of_calls() -> None:
    by_calls, by_law = whole.whole(draws=8, seeds=2, transitions=(2,), calls=(2, 3))
    assert [row[0] for row in by_calls.rows] == ["2 x 2", "2 x 3"]
    assert all(" ±" in cell for row in by_calls.rows for cell in row[1:])
    assert len(by_law.rows) == 3 * 2 * 4 and all(float(row[-1]) > 0.0 for row in by_law.rows)


@pytest.mark.slow
def test_memory_runs_the_command_in_processes_of_their_own() -> None:
    table = memory.memory([*MIXTURE, "sampler.transitions=1"], particles=(4,))
    assert table.rows[0][0] == "4"
    assert float(table.rows[0][1]) > 1.0


def test_memory_says_why_a_command_failed() -> None:
    with pytest.raises(RuntimeError, match=r"sampler\.steps must be at least 1"):
        memory.peak(4, ["model=gaussian_mixture", "sampler.steps=0"])


@pytest.mark.slow
def test_rewards_are_measured_one_by_one() -> None:
    names = ("imagereward", "hpsv2")
    times, moved = rewards.rewards((1, 2), True, names, run=rewards.measure)
    assert [(row[0], row[2]) for row in times.rows] == [
        ("imagereward", "1"),
        ("imagereward", "2"),
        ("hpsv2", "1"),
        ("hpsv2", "2"),
    ]
    assert all(float(row[3]) > 0.0 and float(row[4]) > 100.0 for row in times.rows)
    # bfloat16 moves scores, but not by as much as they are large
    assert all(0.0 < float(row[3]) < 1.0 for row in moved.rows)


@pytest.mark.slow
def test_a_reward_is_measured_in_a_process_of_its_own() -> None:
    found = rewards.in_own_process("clip", True, "float32", [1])
    assert len(found["scores"]) == len(found["rows"]) == 1


def test_a_reward_that_cannot_be_measured_says_why() -> None:
    with pytest.raises(RuntimeError, match="no reward nothing"):
        rewards.in_own_process("nothing", True, "float32", [1])


def test_help_time_is_of_processes() -> None:
    assert float(help_time(repeats=1).rows[0][1]) > 0.0


def test_the_page_holds_machine_command_and_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Table("Title", ("name", "value"), [("one", "1"), ("three", "333")], "A note.")
    monkeypatch.setattr(bench, "measure", lambda key, read: [table])
    out = tmp_path / "docs" / "bench.md"
    assert bench.main(["--only", "c,a", "--out", str(out)]) == 0
    page = out.read_text(encoding="utf-8")
    assert machine() in page and torch.__version__ in page and "--only c,a" in page
    assert page.count("### Title") == 2
    assert page.index(f"## a: {FIGURES['a']}") < page.index(f"## c: {FIGURES['c']}")
    assert "| three | 333 |" in page
    printed = capsys.readouterr().out
    assert re.search(r"one +1\nthree +333", printed)


def _table(title: str, cell: str) -> Table:
    return Table(title, ("name", "value"), [("one", cell)], "A note.")


def test_figures_that_are_not_measured_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, words = tmp_path / "bench.md", ["--out", str(tmp_path / "bench.md")]
    tables = {"a": ["A"], "b": ["B1", "B2"], "c": ["C"]}
    cell = "first"

    def measured(key: str, read: object) -> list[Table]:
        return [_table(title, cell) for title in tables[key]]

    monkeypatch.setattr(bench, "measure", measured)
    assert bench.main(["--only", "a,b,c", *words]) == 0
    before = read_page(out)
    assert list(before) == ["a", "b", "c"]
    cell, tables["b"] = "second", ["B3"]
    assert bench.main(["--only", "b", *words]) == 0
    after = read_page(out)
    assert (after["a"], after["c"]) == (before["a"], before["c"])
    assert "| one | second |" in after["b"] and "--only b" in after["b"]
    assert "B1" not in after["b"] and list(after) == ["a", "b", "c"]


def test_what_was_measured_before_a_failure_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(key: str, read: object) -> list[Table]:
        if key == "d":
            raise RuntimeError("no memory to be measured")
        return [_table(key, "1")]

    monkeypatch.setattr(bench, "measure", measured)
    out = tmp_path / "bench.md"
    assert bench.main(["--only", "c,d", "--out", str(out)]) == 1
    assert "no memory to be measured" in capsys.readouterr().err
    assert list(read_page(out)) == ["c"]


@pytest.mark.parametrize("text", ["Notes of mine\n", "# Bench\n\nwithout figures\n", b"\xff\xfe"])
def test_another_file_is_not_overwritten(
    text: str | bytes,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bench, "measure", lambda key, read: pytest.fail("nothing is measured"))
    out = tmp_path / "mine.md"
    data = text if isinstance(text, bytes) else text.encode()
    out.write_bytes(data)
    assert bench.main(["--only", "c", "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        line == f"bench: {out} is there and is no page of the bench; choose another file with --out"
    )
    assert out.read_bytes() == data


def test_the_page_in_docs_is_read_as_it_was_written() -> None:
    found = read_page(REPOSITORY / "docs" / "bench.md")
    assert set(found) <= set(FIGURES) and {"a", "b", "c", "d", "f"} <= set(found)
    for key, text in found.items():
        assert text.startswith(section(key, [], "").partition("\n")[0])
        assert "\n\nMeasured " in text and "\n### " in text


@pytest.mark.parametrize("words", [["--only", "a,x"], ["--only", ","], ["--draws", "1"]])
def test_wrong_options_end_with_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        bench.arguments(words)
    assert end.value.code == 2


def test_wrong_settings_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--only", "a", "--out", str(tmp_path / "x.md"), "model=gaussian_mixture", "particle=3"]
    assert bench.main(words) == 2
    assert "particles" in capsys.readouterr().err.strip()
    assert not (tmp_path / "x.md").exists()


def test_figures_have_two_digits() -> None:
    assert [two_digits(v) for v in (0.0, 0.0123, 1.234, 2e-7)] == ["0", "0.012", "1.2", "2.0e-07"]
