"""Where an export goes: a temporary sibling that takes the target's name once it is complete.

A reader sees the old files or the new ones, and only an export of the same kind is ever replaced.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tlseg.errors import LabelError, RunError
from tlseg.store.fs.paths import is_url, real, resolve
from tlseg.store.fs.place import Place
from tlseg.store.locks.whole import staged


@contextmanager
def publishing(
    target: Path, *, overwrite: bool, replaceable: Callable[[Path], bool], apart_from: str | None
) -> Iterator[Path]:
    """Yield a path to write to, which becomes `target` at the end of the block; if the block fails, nothing remains.

    Parameters
    ----------
    target : Path
        File or folder to write.
    overwrite : bool
        Replace what is there, if `replaceable` says that it is an export of the same kind.
    replaceable : callable
        Whether a path that exists may be replaced.
    apart_from : str or None
        What is read, if it has a path; the target may be neither inside it nor around it.

    Raises
    ------
    LabelError
        If there is something that may not be replaced, or nothing can be written there.
    RunError
        If it cannot be written to disk, or another start is writing it.
    """
    check = partial(_check, target, overwrite=overwrite, replaceable=replaceable, apart_from=apart_from)
    check()
    try:
        with staged(Place(str(target)), check=check) as part:
            yield part.path
    except OSError as error:
        raise RunError(
            f"{target} cannot be written ({error.strerror or error}). Free space or choose another place with --out."
        ) from error


def local_target(out: str | Path) -> Path:
    """Absolute path to write to.

    Raises
    ------
    LabelError
        If it is a URL.
    """
    place = resolve(out)
    if is_url(place):
        raise LabelError(f"This is written to a local folder, not to {place}. Write locally and copy the result.")
    return Path(place)


def only_files(folder: Path, matches: Callable[[str], bool]) -> bool:
    """Whether a folder holds files alone, all of them with names that match."""
    return only_entries(folder, matches) and all(entry.is_file() for entry in folder.iterdir())


def only_entries(folder: Path, matches: Callable[[str], bool]) -> bool:
    """Whether a folder holds nothing but entries with names that match."""
    return folder.is_dir() and all(matches(entry.name) for entry in folder.iterdir())


def beside(root: str, name: str, ends: str) -> Path:
    """Where an export goes by default: beside the result, or in the current folder if the result is remote."""
    folder = Path.cwd() if is_url(root) else Path(root).parent
    stem = root.rsplit("/", 1)[-1].removesuffix(".zarr").removesuffix(".ome") or "result"
    return folder / f"{stem}-{name}{ends}"


def has_header(file: Path, columns: Iterable[str], *, optional: Callable[[str], bool] = lambda column: False) -> bool:
    """Whether a file is a CSV with exactly these columns, those apart that are `optional` in both."""
    if not file.is_file():
        return False
    with file.open(encoding="utf-8", errors="replace", newline="") as lines:
        try:
            found = next(csv.reader(lines), [])
        except csv.Error:  # no text at all
            return False
    return [c for c in found if not optional(c)] == [c for c in columns if not optional(c)]


def attributes_of(folder: Path) -> Mapping[str, Any]:
    """Attributes of a Zarr v2 group; empty if there is no such group, or they are damaged."""
    try:
        found = json.loads((folder / ".zattrs").read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, Mapping) else {}


def _check(target: Path, *, overwrite: bool, replaceable: Callable[[Path], bool], apart_from: str | None) -> None:
    if apart_from is not None and _overlap(real(target), real(apart_from)):
        raise LabelError(f"One of {target} and {apart_from} lies inside the other. Write beside it with --out.")
    if not os.path.lexists(target):
        return
    if not (_is_empty(target) or replaceable(target)):
        raise LabelError(
            f"{target} exists and is not an export in this format, so it is not replaced. Choose another --out."
        )
    if not overwrite:
        raise LabelError(f"{target} exists. Use --overwrite to replace it, or choose another --out.")


def _overlap(place: str, other: str) -> bool:
    return f"{place}/".startswith(f"{other}/") or f"{other}/".startswith(f"{place}/")


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())
