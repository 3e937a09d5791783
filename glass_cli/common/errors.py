"""The error a user can do something about, and the near matches that go with it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GlassError(Exception):
    """A mistake of the user's, in one line: what is wrong, why, what to do.

    The command line prints it as `glass: <line>` without a traceback and exits with code 2.
    """


def one_line(text: object) -> str:
    """`text` with every run of white space (line ends too) as one space."""
    return " ".join(str(text).split())


def near(word: str, known: Iterable[str]) -> str:
    """The known word closest to `word`, as `; did you mean X?`, or nothing when none is close.

    A dotted word is compared as a whole first, then by its last part alone, so that `steps`
    finds `sampler.steps` and `sampler.stps` does too.
    """
    candidates = list(dict.fromkeys(known))
    close = difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)
    if not close:
        last = word.rpartition(".")[2]
        by_last: dict[str, str] = {}
        for candidate in candidates:
            by_last.setdefault(candidate.rpartition(".")[2], candidate)
        close = [by_last[m] for m in difflib.get_close_matches(last, by_last, n=1, cutoff=0.75)]
    return f"; did you mean {close[0]}?" if close else ""
