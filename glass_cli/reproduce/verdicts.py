"""From an interval to a verdict."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

Verdict = Literal["holds", "does not hold", "undecided", "not measured"]
HOLDS: Final = "holds"
DOES_NOT: Final = "does not hold"
UNDECIDED: Final = "undecided"
NOT_MEASURED: Final = "not measured"
Kind = Literal["above", "below", "not below", "equal"]


def verdict(kind: Kind, interval: tuple[float, float] | None, margin: float = 0.0) -> Verdict:
    """What the 95 % interval of a difference says of a claim about it.

    kind: the difference is "above" 0, "below" 0, "not below" -margin, or "equal" to 0 within the
        margin.
    interval: None where there is none, such as of a single prompt.
    margin: 0 or more; a difference that is smaller is of no consequence.

    A claim does not hold where the interval speaks against it, which is more than that it does not
    speak for it: there it is undecided.
    """
    if interval is None:
        return UNDECIDED
    low, high = interval
    if kind == "below":
        return verdict("above", (-high, -low))
    if kind == "above":
        return HOLDS if low > 0.0 else DOES_NOT if high < 0.0 else UNDECIDED
    if kind == "not below":
        return HOLDS if low >= -margin else DOES_NOT if high < 0.0 else UNDECIDED
    if -margin <= low and high <= margin:
        return HOLDS
    return DOES_NOT if low > 0.0 or high < 0.0 else UNDECIDED


def together(verdicts: Iterable[Verdict]) -> Verdict:
    """A claim holds where each of its tests does, and does not where one speaks against it.

    Undecided without a test.
    """
    several = list(verdicts)
    if DOES_NOT in several:
        return DOES_NOT
    return HOLDS if several and all(each == HOLDS for each in several) else UNDECIDED
