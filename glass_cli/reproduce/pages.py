"""The pages of a comparison: its results, its claims, and both as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from glass_cli.common.files import atomic_write, writing_to
from glass_cli.report.quantities import Estimate
from glass_cli.report.results_file import Row, as_csv, row_of
from glass_cli.report.tables import digits, estimate_text, number
from glass_cli.reproduce.claims import Claim, Finding, claims
from glass_cli.reproduce.equal_seconds import at_equal_seconds, best_of_n
from glass_cli.reproduce.figure import points, right_over_calls
from glass_cli.reproduce.measured import CORRECT, REWARD, Measured
from glass_cli.reproduce.plan import BUDGET, SMALLER, Evaluation, budget_of

Command = Callable[[Evaluation], str]
"""What a reader types to make a row again."""


_CAPTION = "Judged right over network calls, each method at its best split of a budget"
_SECONDS = (
    "The last column is the difference from best-of-N of as many seconds: between the two of its"
    " rows that took less and more, what it reaches is taken to rise evenly with the logarithm of"
    " the seconds; rows that took longer than a better one do not count. It is empty (-) where no"
    " row of best-of-N took as long, or as short."
    " Seconds are as each row recorded them, on the machine that drew it."
)


def write_pages(out: Path, name: str, measured: Measured, command: Command) -> list[Path]:
    """Writes the results and the claims of a comparison into the folder ``out``; says where.

    Raises GlassError where it cannot be written.
    """
    rows = {
        key: _portable(row_of(key[0], group, command(measured.evaluations[key])))
        for key, group in measured.rows.items()
    }
    claimed = claims(measured)
    commands = {key: row.command for key, row in rows.items()}
    for study in measured.studies:
        commands[study, study] = f"glass eval experiment={name}/{study}"
    texts = {
        f"{name}.csv": as_csv([*rows.values()]),
        f"{name}.md": _results(name, measured, rows),
        "claims.csv": _claims_csv(claimed, commands),
        "claims.md": _claims(name, claimed, commands, [*rows.values()]),
    }
    files = {file: text.encode() for file, text in texts.items()}
    for benchmark, own in _by_benchmark(rows).items():
        picture = right_over_calls(own)
        if picture is not None:
            files[_picture(name, benchmark)] = picture
    with writing_to(out, "name another folder with --out"):
        out.mkdir(parents=True, exist_ok=True)
        for file, content in files.items():
            with atomic_write(out / file) as part:
                part.write_bytes(content)
    return [out / file for file in files]


def _picture(name: str, benchmark: str) -> str:
    return f"{name}_{benchmark}.png"


def _by_benchmark(rows: Mapping[tuple[str, str], Row]) -> dict[str, dict[str, Row]]:
    """Benchmark -> row's name -> row."""
    found: dict[str, dict[str, Row]] = {}
    for (run, benchmark), row in rows.items():
        found.setdefault(benchmark, {})[run] = row
    return found


def _portable(row: Row) -> Row:
    """Without the folder in which a list of prompts lies here."""
    path = row.settings.get("benchmark.path")
    if not isinstance(path, str):
        return row
    return replace(row, settings={**row.settings, "benchmark.path": Path(path).name})


def _results(name: str, measured: Measured, rows: Mapping[tuple[str, str], Row]) -> str:
    lines = [
        f"# Results: the {name} comparison",
        "",
        f"Made by `glass reproduce {name}`; every number, with code, weights and settings, is in"
        f" [{name}.csv]({name}.csv), and what the paper claims in [claims.md](claims.md).",
        f"`glass compare {name}.csv FOLDER` says whether a run of your own agrees.",
        *_made_with([*rows.values()]),
    ]
    for benchmark, of in _by_benchmark(rows).items():
        title = next(iter(of.values())).benchmark
        lines += ["", f"## {title}", "", _basis([*of.values()]), ""]
        if points(of):
            lines += [f"![{_CAPTION}]({_picture(name, benchmark)})", "", f"{_CAPTION}.", ""]
        lines += [*_table(measured, benchmark, of), "", _SECONDS, *_plans(measured, benchmark)]
    for study_name, study in measured.studies.items():
        lines += ["", f"## {study_name}", ""]
        lines += _study(study.summary.get("posterior") or [])
    return "\n".join(lines) + "\n"


def _made_with(rows: Sequence[Row]) -> list[str]:
    """The versions of all rows, each said once."""
    used: dict[str, list[str]] = {}
    for row in rows:
        for versions in row.versions:
            for part, value in versions.items():
                several = value.items() if isinstance(value, Mapping) else [("", value)]
                for sub, one in several:
                    seen = used.setdefault(f"weights {sub}" if sub else part, [])
                    if one is not None and str(one) not in seen:
                        seen.append(str(one))
    numbers = {str(row.settings.get("dtype") or "auto") for row in rows} - {"auto"}
    used["dtype"] = sorted(numbers)  # of the network, where a run was told it
    lines = [f"- {part}: {', '.join(seen)}" for part, seen in used.items() if seen]
    return ["", *lines] if lines else []


def _basis(rows: Sequence[Row]) -> str:
    prompts = sorted({row.prompts for row in rows})
    seeds = sorted({len(row.seeds) for row in rows})
    return (
        f"{_range(prompts)} prompts, {_range(seeds)} seed{'s' * (seeds[-1] > 1)}, one picture each;"
        " 95 % bootstrap intervals over prompts."
    )


def _range(values: Sequence[int]) -> str:
    return str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"


def _table(measured: Measured, benchmark: str, rows: Mapping[str, Row]) -> list[str]:
    """A row a run; at each budget the paired difference from best-of-N at its best split."""
    bases = {budget: measured.best("best_of_n", benchmark, budget) for budget in (BUDGET, *SMALLER)}
    timed = best_of_n(measured, benchmark)
    cells = []
    for run, row in sorted(rows.items(), key=lambda item: (-(item[1].nfe or 0), item[0])):
        budget = budget_of(row.nfe)
        base = None if budget is None else bases[budget]
        shift, own = None, measured.row(run, benchmark)
        measuring = any(run == each.label for _, each in timed)
        timely = None if own is None or measuring else at_equal_seconds(own, timed)
        if base is not None and base != run:
            shift = measured.difference(own, measured.row(base, benchmark), CORRECT)
        right, reward = row.estimates.get(CORRECT), row.estimates.get(REWARD)
        cells.append(
            [
                f"`{run}`",
                number(row.nfe, 0),
                number(row.reward_calls, 0),
                number(row.seconds, 2),
                _text(right),
                _text(reward),
                "the best best-of-N" if base == run else _text(shift, signed=True),
                _text(timely, signed=True),
            ]
        )
    head = ["run", "network calls", "reward calls", "seconds", "right, %", "reward"]
    return _markdown([*head, "right, less best-of-N", "less that of the same seconds"], cells)


def _plans(measured: Measured, benchmark: str) -> list[str]:
    """What the plans of ``steering=auto`` took, where one was made for a run on this benchmark."""
    made = []
    for (name, at), group in measured.rows.items():
        for run in group.runs if at == benchmark else ():
            calls, plan = run.summary.get("plan_nfe"), run.summary.get("plan")
            if calls and isinstance(plan, Mapping):
                made.append(f"`{name}` {int(calls):,} ({plan.get('title')})")
    if not made:
        return []
    return [
        "",
        "A plan is made once for a model, a reward and a budget, here on some of the row's own"
        " prompts, and not counted in the table. It took so many network calls beyond those that"
        f" another plan had made before: {', '.join(made)}.",
    ]


def _study(tables: Sequence[Mapping[str, object]]) -> list[str]:
    cells = []
    for table in tables:
        rows = table["rows"]
        assert isinstance(rows, list)
        for row in rows:
            distance = row["w2_freed"]
            ends = distance["interval95"]
            shown = Estimate(distance["mean"], None if ends is None else tuple(ends), 0)
            cells.append([f"{table['t']:g}", row["method"], str(row["calls"]), _text(shown)])
    head = ["t", "sampler", "network calls", "sliced W2 from the law, freed of the floor"]
    return _markdown(head, cells)


def _claims(
    name: str,
    claimed: Sequence[Claim],
    commands: Mapping[tuple[str, str], str],
    rows: Sequence[Row],
) -> str:
    lines = [
        "# Claims",
        "",
        "What the paper on GLASS Flows (arXiv 2509.25170) claims, tested on the models that are"
        f" part of this program, by `glass reproduce {name}` from [{name}.csv]({name}.csv). A test"
        " holds or does not where the 95 % interval of a paired difference says so; where it does"
        " not say, it is undecided. An undecided test decides nothing where the other method is"
        " right so often that even one that is always right could not be told to be better.",
        *_made_with(rows),
    ]
    for claim in claimed:
        lines += ["", f"## {claim.sentence}", "", f"**{claim.verdict}** here. {claim.note}", ""]
        cells = [
            [
                f"**{finding.what}**" if finding.decides else finding.what,
                finding.where,
                *(
                    ["-", "not measured"]
                    if finding.estimate is None
                    else [f"{_text(finding.estimate, True)} {finding.unit}", finding.verdict]
                ),
            ]
            for finding in claim.findings
        ]
        lines += _markdown(["difference (bold: it decides)", "on", "estimate", "verdict"], cells)
        used = [(row, finding.where) for finding in claim.findings for row in finding.rows]
        known = dict.fromkeys(commands[key] for key in used if key in commands)
        lines += ["", *(f"    {command}" for command in known)]
    return "\n".join(lines) + "\n"


CLAIM_COLUMNS = (
    "claim",
    "claim_verdict",
    "difference",
    "on",
    "decides",
    "mean",
    "low",
    "high",
    "unit",
    "margin",
    "verdict",
    "commands",
)


def _claims_csv(claimed: Sequence[Claim], commands: Mapping[tuple[str, str], str]) -> str:
    text = io.StringIO()
    write = csv.writer(text, lineterminator="\n")
    write.writerow(CLAIM_COLUMNS)
    for claim in claimed:
        for finding in claim.findings:
            write.writerow([claim.sentence, claim.verdict, *_finding(finding, commands)])
    return text.getvalue()


def _finding(finding: Finding, commands: Mapping[tuple[str, str], str]) -> list[object]:
    mean: list[float | None] = [None] * 3
    if finding.estimate is not None:
        mean = [finding.estimate.mean, *(finding.estimate.interval or (None, None))]
    keys = [(row, finding.where) for row in finding.rows]
    known = "; ".join(commands[key] for key in keys if key in commands)
    what = [finding.what, finding.where, finding.decides]
    return [*what, *mean, finding.unit, finding.margin, finding.verdict, known]


def _text(estimate: Estimate | None, signed: bool = False) -> str:
    return estimate_text(estimate, digits([estimate]), signed)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in lines]
