"""Where an export goes: a temporary sibling that takes the target's name when it is whole.

A reader sees the old files or the new ones, and nothing that is no export of the same kind is ever replaced.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tlseg.errors import LabelError, RunError


@contextmanager
def publishing(
    target: Path, *, overwrite: bool, replaceable: Callable[[Path], bool], apart_from: str
) -> Iterator[Path]:
    """Give a path to write to, which becomes `target` at the end of the block; if the block fails nothing remains.

    Parameters
    ----------
    target : Path
        File or folder to make.
    overwrite : bool
        Replace what is there, if `replaceable` says that it is an export of the same kind.
    replaceable : callable
        Whether a path that exists may be replaced.
    apart_from : str
        What is read; the target may be neither inside it nor around it.

    Raises
    ------
    LabelError
        If there is something that may not be replaced.
    RunError
        If the disk does not take what is written.
    """
    _check(target, overwrite=overwrite, replaceable=replaceable, apart_from=apart_from)
    part, old = (target.with_name(f".{target.name}.{kind}") for kind in ("partial", "old"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove(part)
        yield part
        if os.path.lexists(target):
            _remove(old)
            target.replace(old)
        part.replace(target)
        _remove(old)
    except OSError as error:
        raise RunError(
            f"{target} cannot be written ({error.strerror or error}). Free space or choose another place with --out."
        ) from error
    finally:
        _remove(part)


def only_files(folder: Path, matches: Callable[[str], bool]) -> bool:
    """Whether a folder holds files alone, all of them with names that match."""
    return only_entries(folder, matches) and all(entry.is_file() for entry in folder.iterdir())


def only_entries(folder: Path, matches: Callable[[str], bool]) -> bool:
    """Whether a folder holds nothing but entries with names that match."""
    return folder.is_dir() and all(matches(entry.name) for entry in folder.iterdir())


def _check(target: Path, *, overwrite: bool, replaceable: Callable[[Path], bool], apart_from: str) -> None:
    place, source = target.resolve(), Path(apart_from).resolve()
    if "://" not in apart_from and (place == source or source in place.parents or place in source.parents):
        raise LabelError(f"{target} and {apart_from} lie in each other. Write beside it with --out.")
    if not os.path.lexists(target):
        return
    if not replaceable(target):
        raise LabelError(
            f"{target} exists and is no export of this format, so it is not replaced. Choose another --out."
        )
    if not overwrite:
        raise LabelError(f"{target} exists. Use --overwrite to replace it, or choose another --out.")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
