"""A comparison as a table for the terminal, as CSV and as LaTeX."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable

from glass_cli.output.tables import text_table
from glass_cli.report.comparison import Comparison, Cost
from glass_cli.report.quantities import Estimate

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    # at the start of a row's first cell, brackets would be an option of \\ and \midrule
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
}


def digits(estimates: Iterable[Estimate | None]) -> int:
    """Decimals that show two digits of the narrowest interval's half width, from 0 to 4.

    Without intervals, four digits of the largest mean.
    """
    known = [e for e in estimates if e is not None]
    halves = [(e.interval[1] - e.interval[0]) / 2 for e in known if e.interval]
    narrow = min((half for half in halves if half > 0), default=0.0)
    if narrow > 0:
        return min(max(1 - math.floor(math.log10(narrow)), 0), 4)
    return decimals((e.mean for e in known), 4)


def decimals(values: Iterable[float | None], figures: int) -> int:
    """Decimals that show ``figures`` digits of the largest value, from 0 to 4."""
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    if largest == 0.0:
        return 1
    return min(max(figures - 1 - math.floor(math.log10(largest)), 0), 4)


def number(value: float | None, places: int, signed: bool = False) -> str:
    """``value`` with so many decimals, or "-"; never a negative zero."""
    if value is None:
        return "-"
    rounded = round(value, places) + 0.0
    return f"{rounded:{'+' if signed else ''}.{places}f}"


def estimate_text(estimate: Estimate | None, places: int, signed: bool = False) -> str:
    """An estimate as "76.7 [74.8, 78.5]", or "-"."""
    if estimate is None:
        return "-"
    text = number(estimate.mean, places, signed)
    if estimate.interval is None:
        return text
    low, high = (number(end, places, signed) for end in estimate.interval)
    return f"{text} [{low}, {high}]"


def basis(comparison: Comparison) -> str:
    """What the numbers stand on, in one line."""
    prompts = f"{comparison.prompts} prompt{'s' * (comparison.prompts != 1)}"
    pictures = "" if comparison.pairs == comparison.prompts else f", {comparison.pairs} results"
    parts = [over(comparison.prompts, comparison.pairs)]
    parts += ["differences paired by prompt and seed"] * (len(comparison.runs) > 1)
    return f"{prompts}{pictures}; {', '.join(parts)}"


def over(prompts: int, results: int) -> str:
    """What is drawn anew for an interval of so many prompts with so many results."""
    if prompts > 1:
        return "95 % bootstrap intervals over prompts"
    if results > 1:
        return "95 % bootstrap intervals over its results"
    return "no intervals, which need several prompts or seeds"


def terminal(comparison: Comparison) -> str:
    """The table that `glass compare` prints."""
    labels = comparison.labels
    head = ["", "NFE", "mean", *[f"less {labels[comparison.against]}"] * (len(labels) > 1)]
    rows: list[list[str]] = []
    for quantity in comparison.quantities:
        cells = comparison.cells[quantity.key]
        places = digits(e for cell in cells for e in (cell.value, cell.difference))
        rows.append([quantity.label.strip()])
        for i, cell in enumerate(cells):
            row = [f"  {labels[i]}", number(comparison.costs[i].nfe, 0)]
            row.append(estimate_text(cell.value, places))
            if i != comparison.against:
                row.append(estimate_text(cell.difference, places, True))
            rows.append(row)
    costs = [] if len(labels) < 2 else ["", cost_table(comparison)]
    return "\n".join([basis(comparison), "", text_table(head, rows), *costs])


def cost_table(comparison: Comparison) -> str:
    """What a picture of each run cost: equal network calls need not be equal reward calls or
    seconds."""
    rows = [
        [label, *cost_cells(cost)]
        for label, cost in zip(comparison.labels, comparison.costs, strict=True)
    ]
    return text_table(["cost of a picture", *COSTS], rows)


COSTS = ("NFE", "reward calls", "seconds")


def cost_cells(cost: Cost) -> list[str]:
    """The cells under COSTS."""
    seconds = number(cost.seconds, decimals([cost.seconds], 3))
    return [number(cost.nfe, 0), number(cost.reward_calls, 0), seconds]


COLUMNS = (
    "quantity",
    "run",
    "folder",
    "prompts",
    "results",
    "nfe",
    "reward_calls",
    "seconds",
    "mean",
    "low",
    "high",
    "against",
    "difference",
    "difference_low",
    "difference_high",
)


def as_csv(comparison: Comparison) -> str:
    """One line a quantity and run, numbers in full, what is not known empty.

    The folders of several seeds are separated by semicolons.
    """
    labels = [_inert(label) for label in comparison.labels]
    folders = [_inert("; ".join(map(str, run.folders))) for run in comparison.runs]
    text = io.StringIO()
    write = csv.writer(text, lineterminator="\n")
    write.writerow(COLUMNS)
    for quantity in comparison.quantities:
        for i, cell in enumerate(comparison.cells[quantity.key]):
            cost = comparison.costs[i]
            write.writerow(
                [
                    _inert(quantity.key),
                    labels[i],
                    folders[i],
                    comparison.prompts if cell.value is None else cell.value.prompts,
                    comparison.pairs,
                    cost.nfe,
                    cost.reward_calls,
                    cost.seconds,
                    *_three(cell.value),
                    "" if i == comparison.against else labels[comparison.against],
                    *_three(cell.difference),
                ]
            )
    return text.getvalue()


def _inert(text: str) -> str:
    """Text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _three(estimate: Estimate | None) -> list[float | None]:
    if estimate is None:
        return [None, None, None]
    return [estimate.mean, *(estimate.interval or (None, None))]


def latex(comparison: Comparison) -> str:
    """A booktabs tabular: a row a run, a column a quantity; below it the differences."""
    shown = comparison.quantities
    places = {
        q.key: digits(e for c in comparison.cells[q.key] for e in (c.value, c.difference))
        for q in shown
    }
    heads = [escaped(q.label.strip()) for q in shown]
    lines = [
        r"% needs \usepackage{booktabs}",
        f"% {basis(comparison)}",
        rf"\begin{{tabular}}{{lr{'l' * len(shown)}}}",
        r"\toprule",
        " & ".join(["run", "NFE", *heads]) + r" \\",
        r"\midrule",
    ]
    rows, differences = [], []
    for i, label in enumerate(comparison.labels):
        start = [escaped(label), number(comparison.costs[i].nfe, 0)]
        cells = [(q, comparison.cells[q.key][i]) for q in shown]
        rows.append([*start, *(_math(c.value, places[q.key], False) for q, c in cells)])
        if i != comparison.against:
            shifts = [_math(c.difference, places[q.key], True) for q, c in cells]
            differences.append([start[0], "", *shifts])
    lines += [" & ".join(row) + r" \\" for row in rows]
    if differences:
        base = escaped(comparison.labels[comparison.against])
        title = f"paired difference from {base}"
        lines += [r"\midrule", rf"\multicolumn{{{len(shown) + 2}}}{{l}}{{{title}}} \\"]
        lines += [" & ".join(row) + r" \\" for row in differences]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _math(estimate: Estimate | None, places: int, signed: bool) -> str:
    if estimate is None:
        return "--"
    text = f"${number(estimate.mean, places, signed)}$"
    if estimate.interval is None:
        return text
    low, high = (number(end, places, signed) for end in estimate.interval)
    return rf"{text} {{\small $[{low}, {high}]$}}"


def escaped(text: str) -> str:
    """``text`` with everything that TeX would read as a command made a letter; one line."""
    return "".join(_LATEX.get(letter, letter) for letter in " ".join(text.split()))
