"""`glass init FOLDER`: a small project of one's own that runs as it stands."""

from __future__ import annotations

import shlex
from pathlib import Path

from glass_cli.common.errors import GlassError
from glass_cli.common.files import atomic_write, writing_to
from glass_cli.common.paths import from_here

_TEMPLATE = Path(__file__).with_name("project")
_ADVICE = "name another folder: glass init FOLDER"
_COMMAND = "glass sample -cd my_conf experiment=first"


def init(folder: Path) -> str:
    """Writes the project into ``folder``, which is made where it is not there; says what to do.

    Raises GlassError, one line, where something is in the folder or it cannot be written.
    """
    with writing_to(folder, _ADVICE):
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise GlassError(f"{folder} is not empty; {_ADVICE}")
    files = sorted(path.relative_to(_TEMPLATE) for path in _template_files())
    for name in files:
        path = folder / name
        with writing_to(folder, _ADVICE):
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as part:
                part.write_bytes((_TEMPLATE / name).read_bytes())
    there = "" if folder.resolve() == Path.cwd() else f"cd {shlex.quote(from_here(folder))}\n"
    listed = "\n".join(f"  {name.as_posix()}" for name in files)
    return f"{folder} has\n{listed}\n\nnow\n{there}{_COMMAND}"


def _template_files() -> list[Path]:
    """Python leaves its own files beside modules: those are no part of it."""
    kept = [path for path in _TEMPLATE.rglob("*") if path.is_file()]
    return [path for path in kept if "__pycache__" not in path.parts]
