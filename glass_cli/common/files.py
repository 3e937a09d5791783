"""Files that are whole or absent, and values that any JSON reader takes."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from glass_cli.common.errors import GlassError

P = TypeVar("P", str, Path)

# of errors that say that a disk has no room, or none for this user
FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A hidden name beside ``path`` to write to; renamed to ``path`` if the block ends well.

    The hidden name keeps the suffix, by which writers such as matplotlib choose their format.
    Raises OSError.
    """
    part = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield part
        os.replace(part, path)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


# of a run's folder
_FREE_IT = (
    "free it, or choose another with hydra.run.dir=FOLDER; the same command goes on where it"
    " stopped"
)


@contextmanager
def writing_to(place: Path, advice: str = _FREE_IT) -> Iterator[None]:
    """Turns an OSError of the block into a GlassError: one line that names ``place``.

    place: the folder or file that is written.
    advice: what the user can do about it.
    """
    try:
        yield
    except OSError as error:
        raise cannot_write(place, why(error), advice) from error


def cannot_write(place: Path, reason: str, advice: str = _FREE_IT) -> GlassError:
    """The error of :func:`writing_to`, for a reason that is no exception."""
    return GlassError(f"cannot write to {place}: {reason}; {advice}")


def why(error: OSError) -> str:
    """What the system says, in lower case and without the path."""
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return "a file of that name is in the way"
    return (error.strerror or str(error)).lower()


def regular(path: P) -> P:
    """``path``, if what is there has an end: a pipe is waited for, and a device has none.

    Raises OSError, also where nothing is there.
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # a folder ``open`` names as one
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path


def expanded(path: str | Path) -> Path:
    """``path`` with the home folder for ``~``; as it is where the system knows none."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def plain(value: Any, *, finite: bool = True) -> Any:
    """``value`` as dicts, lists, strings, numbers, booleans and None.

    Arrays, scalars and tensors become lists and numbers, other objects their text. Strings lose
    what UTF-8 cannot carry (lone surrogates are spelled out). Where ``finite``, NaN and
    infinities become None, since JSON has no word for them.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) or not finite else None
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, Mapping):
        return {str(plain(str(key))): plain(item, finite=finite) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item, finite=finite) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist(), finite=finite)
    return plain(str(value))


def json_text(value: Any, indent: int | None = None) -> str:
    """``value`` as JSON, non-ASCII text readable, NaN and infinities as null."""
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False, indent=indent)


def read_jsonl(path: Path) -> list[Any]:
    """The records of a JSON-lines file; a last line that was cut short is left out."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]
