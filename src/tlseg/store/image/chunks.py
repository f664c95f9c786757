"""Which chunks of an array are missing from the store, or were written since? Looked up on demand, never all in advance.

Names are compared folder by folder on this machine, and frame by frame in an object store, so the first missing chunks
of a movie of any size are found at once and without a list of all.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product
from math import prod
from typing import TYPE_CHECKING, Any

from tlseg.store.fs.groups import read_only_store
from tlseg.store.fs.paths import is_url
from tlseg.store.fs.place import Place
from tlseg.store.fs.retry import again
from tlseg.wording import how_many

if TYPE_CHECKING:
    from zarr import Array
    from zarr.abc.store import Store

MANY = 100
"""Most missing chunks to count: to say how many more there are, all would have to be looked up."""

FEW = 100
"""Chunks of a frame below which an object store is asked for all frames at once: an answer holds a thousand names."""


@dataclass(frozen=True, slots=True)
class Chunks:
    """Those chunks (or shards) of an array that hold some frames, in a store that can be listed.

    Attributes
    ----------
    url
        The store.
    key_of
        Key of a chunk by its indices.
    axes
        Letters of the array's axes.
    grid
        Number of chunks along each axis.
    wanted
        Indices along each axis of the chunks that hold the frames.
    """

    url: str
    key_of: Callable[[tuple[int, ...]], str]
    axes: str
    grid: tuple[int, ...]
    wanted: tuple[Sequence[int], ...]

    @classmethod
    def of(cls, array: Array[Any], *, url: str, path: str, axes: str, frames: Iterable[int], channel: int) -> Chunks:
        """Return those that hold one channel of `frames`; `path` is that of the array in the store."""
        size = dict(zip(axes, array.shards or array.chunks, strict=True))
        grid = {a: -(-n // size[a]) for a, n in zip(axes, array.shape, strict=True)}
        wanted: dict[str, Sequence[int]] = {a: range(n) for a, n in grid.items()}
        if "t" in wanted:
            wanted["t"] = sorted({f // size["t"] for f in frames})
        if "c" in wanted:
            wanted["c"] = [channel // size["c"]]

        def key_of(place: tuple[int, ...]) -> str:
            return f"{path}/{array.metadata.encode_chunk_key(place)}"

        return cls(url, key_of, axes, tuple(grid.values()), tuple(wanted.values()))

    @property
    def keys(self) -> Iterator[str]:
        """Keys in the order of their indices."""
        return map(self.key_of, product(*self.wanted))

    def missing(self) -> Iterator[str]:
        """Yield the keys of those that the store does not hold, in the order of their indices."""
        (above, nested), lead = self._folder(), self._lead()
        if not is_url(self.url):
            yield from _not_in_folders(self.url, above, self.wanted) if nested else _not_there(self.url, self.keys)
        elif nested and prod(self.grid) >= FEW * prod(map(len, self.wanted[:lead])):
            yield from _not_in_frames(read_only_store(self.url), above, self.wanted, lead)
        else:
            yield from _not_listed(read_only_store(self.url), above, self.keys)

    def mark(self) -> str:
        """Return a text that is another one once any of them was written: from their sizes and times of writing.

        In an object store, more chunks than these may count.
        """
        if not is_url(self.url):
            found: list[object] = [(key, *_written(f"{self.url}/{key}")) for key in self.keys]
        else:
            above, nested = self._folder()
            places = product(*self.wanted[: self._lead()]) if nested else [()]
            frames = ["/".join((above, *map(str, place))) for place in places]
            found = [told for frame in frames for told in sorted(_listing(Place(self.url) / frame).items())]
        return hashlib.sha256(repr(found).encode()).hexdigest()[:16]

    def _lead(self) -> int:
        """Number of axes that are time and channels, which come first."""
        return len(self.axes) - len(self.axes.lstrip("tc"))

    def _folder(self) -> tuple[str, bool]:
        """Folder of all chunks of the array, and whether each index is a folder of its own."""
        first = self.key_of((0,) * len(self.axes))
        head = first.removesuffix("/0" * len(self.axes))
        nested = head != first
        return head if nested else first.rpartition("/")[0], nested


def describe_missing(missing: Iterable[str]) -> str | None:
    """Say how many chunks are missing, and which is the first; None if none is."""
    found = list(islice(missing, MANY))
    if not found:
        return None
    least = "at least " if len(found) == MANY else ""
    return f"{least}{how_many(len(set(found)), 'chunk is', 'chunks are')} missing, the first is {found[0]}"


def _written(path: str) -> tuple[int, ...]:
    """Size of a file and when it was written; nothing if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116, a Path per chunk is slow
    except OSError:
        return ()
    return found.st_size, found.st_mtime_ns


def _listing(folder: Place) -> dict[str, str]:
    """Everything that an object store tells about the objects in a folder, by name."""
    fs, path = folder.file_system()
    return {name: repr(told) for name, told in again(lambda: fs.find(path, detail=True)).items()}


def _not_in_folders(url: str, head: str, wanted: Sequence[Sequence[int]]) -> Iterator[str]:
    """Compare the names in a folder, and go into those that are there."""
    here, *below = wanted
    present = _names(f"{url}/{head}")
    for index in here:
        key = f"{head}/{index}"
        if str(index) not in present:
            yield from ("/".join((key, *map(str, place))) for place in product(*below))
        elif below:
            yield from _not_in_folders(url, key, below)


def _not_there(url: str, keys: Iterable[str]) -> Iterator[str]:
    return (key for key in keys if not os.path.exists(f"{url}/{key}"))  # noqa: PTH110, a Path per chunk is slow


def _names(folder: str) -> set[str]:
    """Names in a folder; a link that leads nowhere does not count."""
    try:
        with os.scandir(folder) as entries:
            return {e.name for e in entries if not e.is_symlink() or os.path.exists(e.path)}  # noqa: PTH110
    except OSError:
        return set()


def _not_in_frames(store: Store, head: str, wanted: Sequence[Sequence[int]], lead: int) -> Iterator[str]:
    """List the keys of a frame at a time; the first `lead` axes are time and channels."""
    for place in product(*wanted[:lead]):
        frame = "/".join((head, *map(str, place)))
        yield from _not_listed(store, frame, ("/".join((frame, *map(str, p))) for p in product(*wanted[lead:])))


def _not_listed(store: Store, prefix: str, keys: Iterable[str]) -> Iterator[str]:
    from tlseg.store.fs.zarr_loop import wait_for

    async def collect() -> set[str]:
        return {key async for key in store.list_prefix(f"{prefix}/")}

    present = wait_for(collect())
    return (key for key in keys if key not in present)
