"""Write outputs that never look complete before they are, one start at a time.

On a file system it is written in a folder beside its place and renamed when it is whole. On an object store nothing can
be renamed: an object in it says that it is being written, or was stopped, and what makes it a movie is written last.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tlseg.errors import MovieError, RunError, one_line
from tlseg.store.fs.place import Place, writable
from tlseg.store.fs.refused import refusal
from tlseg.store.locks.lock import LOCK, lock_of
from tlseg.store.locks.swap import swap


@contextmanager
def written_whole(target: Place, *, mark: str, check: Callable[[], None]) -> Iterator[Place]:
    """Yield a place to write an OME-Zarr to, which becomes `target` once the block ends without an error.

    What was there is dropped.

    Parameters
    ----------
    target
        Path or URL of the group.
    mark
        Name of the object that is in an object store's group as long as it is not whole. What was begun may be begun
        again without being told to overwrite.
    check : callable
        Raises where what is at `target` may not be replaced. Asked by who alone may write there, since another start may
        have come to its end in the meantime.

    Raises
    ------
    LabelError
        If nothing can be written there from the start.
    RunError
        If it can no longer be written, or another start is writing it.
    """
    try:
        with _in_place(target, mark, check) if target.remote else staged(target, check=check) as part:
            yield part
    except OSError as error:
        raise RunError(
            f"{target} cannot be written ({error.strerror or one_line(error)}). Free space or choose another place."
        ) from error


@contextmanager
def staged(target: Place, *, check: Callable[[], None]) -> Iterator[Place]:
    """Yield a local path beside `target`, which takes its name once the block ends without an error.

    What was there is dropped then; if the block fails, nothing remains. `check` raises where it may not be dropped, and is
    asked before the block and after it.

    Raises
    ------
    LabelError
        If nothing can be written there from the start.
    OSError
        If the file system refuses to write.
    RunError
        If the disk is full from the start, or another start is writing it.
    """
    work = target.parent / f".{target.name}.partial"
    part = work / target.name
    try:
        work.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        found = f"{target} cannot be written ({error.strerror or one_line(error)})"
        raise refusal(error, found, instead="Choose another place, or fix its permissions.") from error
    try:
        with lock_of(work) as lock:
            check()
            _clear(work)
            try:
                yield part
                lock.beat()
                check()
                swap(part.path, target.path)
            finally:
                if not lock.lost:  # else it is of who took it
                    part.remove()
    finally:
        with suppress(OSError):  # another start is in it
            work.path.rmdir()


def names_in(target: Place) -> list[str] | None:
    """Names of everything in an output, None if there is nothing.

    Raises
    ------
    MovieError
        If a store cannot be reached, or is read-only.
    """
    if not target.remote:
        return target.names() if os.path.lexists(target.url) else None
    with writable(target, kind=MovieError):
        return [name for name in target.names() if name != LOCK] or None


@contextmanager
def _in_place(target: Place, mark: str, check: Callable[[], None]) -> Iterator[Place]:
    with lock_of(target) as lock:
        check()
        (target / mark).write(b"{}\n")
        (target / "zarr.json").remove()  # what makes it a movie goes first
        _clear(target, mark)
        yield target
        lock.beat()
        (target / mark).remove()


def _clear(place: Place, *kept: str) -> None:
    """Remove what an earlier start left, but no lock, and none that is being made."""
    for name in place.names():
        if name not in kept and not name.lstrip(".").startswith(LOCK):
            (place / name).remove()
