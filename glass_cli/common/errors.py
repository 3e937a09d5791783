"""The error a user can do something about, and the near matches that go with it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GlassError(Exception):
    """A mistake of the user's, in one line: what is wrong, why, what to do.

    The command line prints it as `glass: <line>` without a traceback and exits with code 2.
    """


class Unfinished(GlassError):
    """What stopped a run from outside, though nothing in its settings is wrong.

    The command line adds how to go on, and exits with code 1.
    """


def one_line(text: object) -> str:
    """`text` with every run of white space (line ends too) as one space."""
    return " ".join(str(text).split())


def shown(text: object, most: int = 80) -> str:
    """`text` on one line for a message; of a long one the first `most` characters."""
    line = one_line(text)
    return line if len(line) <= most else f"{line[: most - 3]}..."


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to `name`; None where none is close.

    A dotted name is compared as a whole first, then by its last part alone, so that `steps`
    finds `sampler.steps` and `sampler.stps` does too.
    """
    candidates = list(dict.fromkeys(known))
    close = difflib.get_close_matches(name, candidates, n=1, cutoff=0.6)
    if close:
        return close[0]
    by_last: dict[str, str] = {}
    for candidate in candidates:
        by_last.setdefault(candidate.rpartition(".")[2], candidate)
    close = difflib.get_close_matches(name.rpartition(".")[2], by_last, n=1, cutoff=0.75)
    return by_last[close[0]] if close else None


def near(name: str, known: Iterable[str]) -> str:
    """The end of an error message, `; did you mean X?`, or nothing where no known name is close."""
    close = nearest(name, known)
    return "" if close is None else f"; did you mean {close}?"
