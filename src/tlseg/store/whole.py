"""Write an OME-Zarr that never looks whole before it is.

In a folder it is written beside its place and renamed when it is whole. On an object store nothing can be renamed: an
object in it says that it is being written, or was stopped, and what makes it a movie is written last.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tlseg.errors import RunError
from tlseg.store.location import one_line
from tlseg.store.place import Place
from tlseg.store.swap import swap


@contextmanager
def written_whole(target: Place, *, mark: str) -> Iterator[Place]:
    """Give a place to write to, which is `target` once the block was left without an error; what was there is dropped.

    Parameters
    ----------
    target
        Path or URL of the group.
    mark
        Name of the object that is in an object store's group as long as it is not whole. What was begun may be begun
        again without being told to overwrite.

    Raises
    ------
    RunError
        If it cannot be written.
    """
    part = target if target.remote else target.parent / f".{target.name}.partial"
    try:
        _begin(part, mark)
        yield part
        if part.remote:
            (part / mark).remove()
        else:
            swap(part.path, target.path)
    except OSError as error:
        raise RunError(
            f"{target} cannot be written ({error.strerror or one_line(error)}). Free space or choose another place."
        ) from error
    finally:
        if not part.remote:
            part.remove()


def _begin(part: Place, mark: str) -> None:
    if not part.remote:
        part.remove()
        return
    (part / mark).write(b"{}\n")
    # What makes it a movie goes first.
    for name in ("zarr.json", *part.names()):
        if name != mark:
            (part / name).remove()
