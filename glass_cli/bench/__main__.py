"""`python -m glass_cli.bench`: measures speed, accuracy and memory and writes docs/bench.md."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from glass_cli.bench.page import FIGURES, read_page, section, write_page
from glass_cli.common.errors import GlassError
from glass_cli.output.tables import Table

OUT = Path("docs") / "bench.md"


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; exits with 2 and one line where it is wrong."""
    about = "; ".join(f"{key}: {what}" for key, what in FIGURES.items())
    parser = argparse.ArgumentParser("python -m glass_cli.bench", description=__doc__)
    parser.add_argument("--only", default="a,b,c,d,f", help=f"figures, such as a,c ({about})")
    parser.add_argument(
        "--out",
        type=Path,
        default=OUT,
        help=f"page to write (default {OUT}); figures in it that are not measured now stay",
    )
    parser.add_argument("--repeats", type=int, default=7, help="repeats of figures a and f")
    parser.add_argument("--draws", type=int, default=2048, help="draws for each x_t of figure b")
    parser.add_argument(
        "settings", nargs="*", help="further settings for a, d and f, such as model.path=FOLDER"
    )
    read = parser.parse_args(argv)
    read.only = [word.strip() for word in read.only.split(",") if word.strip()]
    unknown = [word for word in read.only if word not in FIGURES]
    if unknown or not read.only:
        parser.error(f"--only takes some of {','.join(FIGURES)} (got {','.join(unknown) or ''!r})")
    for name, least in (("repeats", 1), ("draws", 2)):
        if getattr(read, name) < least:
            parser.error(f"--{name} must be at least {least} (got {getattr(read, name)})")
    return read


def measure(key: str, read: argparse.Namespace) -> list[Table]:
    """The tables of one figure."""
    if key == "a":
        from glass_cli.bench.loop import loop

        return [loop(read.settings, read.repeats)]
    if key == "b":
        from glass_cli.bench.accuracy import accuracy
        from glass_cli.bench.whole import whole

        return [*accuracy(draws=read.draws), *whole(draws=read.draws)]
    if key == "c":
        from glass_cli.bench.help import help_time

        return [help_time()]
    if key == "f":
        from glass_cli.bench.pipelines import pipelines

        return [pipelines(read.settings, read.repeats)]
    if key == "g":
        from glass_cli.bench.explore import explore

        return list(explore())
    if key == "e":
        from glass_cli.bench.rewards import rewards

        return rewards()
    from glass_cli.bench.memory import memory

    return [memory(read.settings)]


def main(argv: Sequence[str] | None = None) -> int:
    """Measures what is asked for; the page is written after each figure. Returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    read = arguments(argv)
    command = shlex.join(["python", "-m", "glass_cli.bench", *argv])
    try:
        sections = read_page(read.out)
        for key in read.only:
            tables = measure(key, read)
            for table in tables:
                print(f"{table.text()}\n", flush=True)
            sections[key] = section(key, tables, command)
            write_page(read.out, sections)
    except (GlassError, RuntimeError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2 if isinstance(error, GlassError) else 1
    print(f"written to {read.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
