"""Where weights come from: a folder or file, the package itself, or the Hugging Face hub.

A name is read the same way everywhere: ``embedded:<name>`` is part of the package, what exists on
disk is taken from there, and ``owner/name`` is a repository of the hub, downloaded once into its
cache. ``HF_HUB_OFFLINE=1`` keeps to the cache. Every failure is one line that says what to do.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from glass_cli.common.errors import GlassError, one_line
from glass_cli.common.files import expanded

EMBEDDED = Path(__file__).parents[1] / "embedded" / "weights"
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def local(name: str) -> Path | None:
    """The folder or file that ``name`` stands for on this disk; None for a hub repository."""
    kind, _, rest = name.partition(":")
    if kind == "embedded":
        return EMBEDDED / rest
    path = expanded(name)
    return path if path.exists() or not _REPOSITORY.fullmatch(name) else None


def is_embedded(name: str) -> bool:
    """Whether ``name`` stands for weights that are part of the package."""
    place = local(name)
    return place is not None and place.resolve().is_relative_to(EMBEDDED.resolve())


def check(name: str, key: str, needs: Sequence[str] = (), what: str = "folder") -> None:
    """Raises ValueError unless ``name`` is a hub repository, or is there and holds ``needs``.

    ``key`` is the setting's name, such as ``model.path``; ``what`` describes what is wanted.
    """
    place = local(name)
    if place is None:
        return
    if not place.exists():
        raise ValueError(
            f"{key}={name} is neither there ({place}) nor the name of a hub repository"
            f" (owner/name); give {what}"
        )
    if place.is_dir():
        missing = [file for file in needs if not (place / file).is_file()]
        if missing:
            raise ValueError(f"{key}={name} has no {missing[0]} ({place}); give {what}")


def folder(
    name: str, key: str, files: Sequence[str], revision: str | None = None, offline: bool = False
) -> Path:
    """The folder behind ``name``, after downloading the ``files`` (glob patterns) it needs.

    ``offline`` keeps to the cache. Raises GlassError where it cannot be had.
    """
    place = local(name)
    if place is not None:
        return place
    from huggingface_hub import snapshot_download

    with explained(name, key):
        path = snapshot_download(
            name, allow_patterns=list(files), revision=revision, local_files_only=offline
        )
    return Path(path)


def file(
    name: str, file: str, key: str, revision: str | None = None, offline: bool = False
) -> Path:
    """``file`` of the folder or repository ``name``; ``name`` itself where that is a file.

    Raises GlassError where it cannot be had.
    """
    place = local(name)
    if place is not None and place.is_file():
        return place
    # not hf_hub_download, which tries for half a minute where there is no network
    path = folder(name, key, [file], revision, offline) / file
    if not path.is_file():
        raise GlassError(f"{key}={name} has no {file}; give the file itself or its folder")
    return path


@contextmanager
def explained(name: str, key: str) -> Iterator[None]:
    """Turns what the hub and the vendors' loaders raise for ``name`` into one line."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise GlassError(
            f"{key}={name} is gated: accept its licence at https://huggingface.co/{name}, then"
            " log in with `hf auth login` (or set HF_TOKEN)"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise GlassError(
            f"{key}={name} is not on the hub, or is private; check its name, or log in with"
            " `hf auth login`"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise GlassError(f"{key}={name} has no such revision; see its page on the hub") from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        unset = " and unset HF_HUB_OFFLINE" if os.environ.get("HF_HUB_OFFLINE") else ""
        raise GlassError(
            f"{key}={name} is not in the cache and the hub cannot be reached; connect{unset}, or"
            f" give a folder: {key}=PATH"
        ) from error
    except errors.EntryNotFoundError as error:
        raise GlassError(f"{key}={name} lacks a file: {one_line(error)}") from error
    except errors.HfHubHTTPError as error:
        raise GlassError(f"{key}={name} cannot be downloaded: {one_line(error)}") from error
    except OSError as error:
        raise GlassError(f"{key}={name} cannot be loaded: {one_line(error)}") from error
