"""Labels of an unfinished run: which frames are complete, and their voxels, before tracks join them.

Only what the run leaves on disk is read; nothing is written, locked or waited for, so looking disturbs no run. A frame is
shown only once all of it is labelled. Its numbers are provisional (a nucleus has a different one in every frame) until the
run has written the frame's final labels, which are shown from then on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from tlseg.errors import MovieError, TlsegError
from tlseg.geometry import Box, Grid, Shape, triple
from tlseg.store.fs.atomic import write_atomically
from tlseg.store.fs.groups import open_store
from tlseg.store.fs.place import Place
from tlseg.store.image.arrays import PyramidArrays
from tlseg.store.image.metadata import Json, image_axes, write_multiscales
from tlseg.store.image.movie import MovieSource, address_of, open_source
from tlseg.store.image.pyramid import Pyramid, downsample_labels, plan_pyramid
from tlseg.store.labels.label_group import existing_labels
from tlseg.store.labels.label_writer import pyramid_beside
from tlseg.store.working.names import Begun, Table
from tlseg.store.working.scratch import LABELS, Scratch

if TYPE_CHECKING:
    from zarr.abc.buffer import Buffer

State = Literal["provisional", "final"]

AXES = "tzyx"
NOTE = "Labels of frames before tracks are made: a nucleus has another number in every frame. Unfinished frames are 0."


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What can be viewed of a run that is running or was stopped.

    Attributes
    ----------
    path, name : str
        Output of the run, and name of its labels.
    scratch : Scratch
        Its working files.
    source : MovieSource
        The movie it labels.
    frames : range
        Frames of the movie it labels.
    block : (z, y, x)
        Core of its blocks.
    """

    path: str
    name: str
    scratch: Scratch
    source: MovieSource
    frames: range
    block: Shape

    @property
    def pyramid(self) -> Pyramid:
        """Layout of a frame, that of the final labels."""
        return pyramid_beside(self.source, self.path)

    @property
    def labels(self) -> MovieSource:
        """Shape, spacing and times of the labels, as those of a movie; their voxels are read with `read`."""
        source, pyramid = self.source, self.pyramid
        return replace(
            source,
            url=self.working_labels,
            array_path="0",
            axes=AXES,
            channel=0,
            shape=(len(self.frames), *source.frame_shape),
            dtype="<u4",
            start_s=source.time_s(self.frames.start),
            channel_names=(self.name,),
            level_shapes=tuple(pyramid.level_shape(level) for level in range(len(pyramid.factors))),
            writable=False,
        )

    @property
    def working_labels(self) -> str:
        """OME-Zarr label image of all frames in the working files; voxels not labelled yet are 0 in it."""
        return str(self.scratch.path / LABELS)

    def states(self) -> dict[int, State]:
        """Frames of the movie that can be viewed, in order."""
        found = {frame: self.state(frame) for frame in self.frames}
        return {frame: state for frame, state in found.items() if state is not None}

    def state(self, frame: int) -> State | None:
        """Which labels of a frame can be viewed: none, provisional, or final ones."""
        scratch = self.scratch
        if Scratch.at(scratch.folder).lease != scratch.lease:
            return "final" if self._over() else None
        # A frame is written before it is dropped, so a look in this order never misses both.
        if len(scratch.done(Table.WRITE, frame)) == len(self.pyramid.regions):
            return "final"
        here = scratch.holds(LABELS, frame - self.frames.start) and self._is_labelled(frame)
        return "provisional" if here else None

    def read(self, frame: int, box: Box, *, level: int = 0) -> npt.NDArray[np.uint32] | None:
        """Read the labels (z, y, x) of a box of one frame of the movie; None if the frame cannot be viewed yet.

        Parameters
        ----------
        frame
            Frame of the movie.
        box
            In voxels of `level`.
        level
            Pyramid level; coarser ones keep the voxel in the middle of each block.
        """
        if self.state(frame) == "provisional":
            # The run drops the frame as soon as its final labels are there.
            with suppress(TlsegError):
                return self._read_provisional(frame, box, level)
        if self.state(frame) != "final":
            return None
        row = frame - (0 if self.path == self.source.url else self.frames.start)
        array = _open_final(f"{self.path}/labels/{self.name}/{level}")
        return np.asarray(array[(row, *box.slices)]).astype(np.uint32, copy=False)

    def arrays(self) -> list[Any]:
        """Every level as a lazy dask array (t, z, y, x); frames that cannot be viewed yet read as 0."""
        import dask.array

        found = []
        for level in range(len(self.pyramid.factors)):
            shape = (len(self.frames), *self.pyramid.level_shape(level))
            chunks = (1, *self.pyramid.chunk(level))
            lazy = dask.array.from_array(  # type: ignore[no-untyped-call]
                _Lazy(self, level, shape), chunks=chunks, name=False, meta=np.zeros((0,) * 4, np.uint32)
            )
            found.append(lazy)
        return found

    def _read_provisional(self, frame: int, box: Box, level: int) -> npt.NDArray[np.uint32]:
        factor, shape = self.pyramid.factors[level], self.source.frame_shape
        start = tuple(a * f for a, f in zip(box.start, factor, strict=True))
        stop = tuple(min(b * f, n) for b, f, n in zip(box.stop, factor, shape, strict=True))
        place = (frame - self.frames.start, *map(slice, start, stop))
        return downsample_labels(self.scratch.read(LABELS, place, frame=frame), factor).astype(np.uint32, copy=False)

    def _is_labelled(self, frame: int) -> bool:
        """Whether every block is done; tables of the stages after that say so in one look."""
        scratch, blocks = self.scratch, len(Grid(self.source.frame_shape, self.block))
        whole = scratch.has(Table.OBJECTS, frame, 0) or scratch.has(Table.COMPONENTS, frame, 0)
        return whole or len(scratch.done(Table.FLOOD, frame)) == blocks

    def _over(self) -> bool:
        """Whether the run has finished: its working files are gone, and its labels are listed."""
        return not Scratch.at(self.scratch.folder).lease and self.name in existing_labels(Place(self.path))


@dataclass(frozen=True, slots=True)
class _Lazy:
    """One level as what dask reads chunks from."""

    run: Unfinished
    level: int
    shape: tuple[int, ...]
    dtype: str = "<u4"
    ndim: int = 4

    def __getitem__(self, place: tuple[slice, ...]) -> npt.NDArray[np.uint32]:
        frames, *space = (range(*part.indices(n)) for part, n in zip(place, self.shape, strict=True))
        (z, y, x) = space
        box = Box((z.start, y.start, x.start), (z.stop, y.stop, x.stop))
        found = [self.run.read(self.run.frames[row], box, level=self.level) for row in frames]
        return np.stack([np.zeros(box.shape, np.uint32) if part is None else part for part in found])


def find_unfinished(path: str, name: str, *, folder: str) -> Unfinished | None:
    """Return what can be viewed of the run that writes the labels `name` of `path`; None if there is none.

    Parameters
    ----------
    path, name
        Output of the run (see `tlseg.store.fs.paths.resolve`), and name of its labels.
    folder
        Its working files.

    Raises
    ------
    MovieError
        If its movie cannot be read, or has been replaced since the run began.
    """
    scratch = Scratch.at(folder)
    begun = Begun.of(scratch.fingerprint())
    if begun is None or not scratch.lease:
        return None
    source = open_source(address_of(begun.movie, root=path), channel=int(begun.movie["channel"]))
    if json.loads(json.dumps(source.identity(root=path))) != begun.movie:
        raise MovieError(f"{source.url} has been replaced since the run in {path} began, so its labels do not fit it.")
    return Unfinished(path, name, scratch, source, begun.frames, begun.block)


def describe(scratch: Scratch, source: MovieSource, frames: range) -> None:
    """Make the working labels an OME-Zarr label image, so that any reader opens them during the run."""
    plain = plan_pyramid(source.frame_shape, spacing_um=source.spacing_um, translation_um=source.translation_um)
    pyramid = replace(plain, factors=plain.factors[:1])
    arrays = _label_arrays(frames, pyramid)
    datasets = arrays.datasets(interval_s=source.interval_s, start_s=source.time_s(frames.start))
    document = _group(source, datasets, name="provisional labels")
    write_atomically(scratch.path / LABELS / "zarr.json", json.dumps(document, indent=2).encode())


def documents(run: Unfinished) -> dict[str, bytes]:
    """Metadata of an OME-Zarr label image with all levels and uncompressed chunks, by key: what `chunk` belongs to."""
    import zarr
    from zarr.storage import MemoryStore

    pyramid = run.pyramid
    arrays = _label_arrays(run.frames, pyramid)
    stored: dict[str, Buffer] = {}
    store = MemoryStore(stored)
    for level in range(len(pyramid.factors)):
        zarr.create_array(
            store,
            name=str(level),
            shape=arrays.array_shape(level),
            chunks=arrays.chunk_shape(level),
            dtype="uint32",
            compressors=None,
            fill_value=0,
            dimension_names=tuple(AXES),
        )
    found = {key: bytes(value.to_bytes()) for key, value in stored.items() if key.endswith("zarr.json")}
    datasets = arrays.datasets(interval_s=run.source.interval_s, start_s=run.source.time_s(run.frames.start))
    group = _group(run.source, datasets, name=f"{run.name} (provisional)")
    return found | {"zarr.json": json.dumps(group).encode()}


def chunk(run: Unfinished, level: int, place: Iterable[int]) -> bytes | None:
    """Bytes of a chunk (t, z, y, x) of the image that `documents` describes; None if it cannot be viewed yet."""
    row, *at = place
    size, shape = run.pyramid.chunk(level), run.pyramid.level_shape(level)
    start = tuple(i * c for i, c in zip(at, size, strict=True))
    stop = tuple(min(a + c, n) for a, c, n in zip(start, size, shape, strict=True))
    if not 0 <= row < len(run.frames) or any(a < 0 or a >= b for a, b in zip(start, stop, strict=True)):
        return None
    labels = run.read(run.frames[row], Box(triple(start), triple(stop)), level=level)
    if labels is None:
        return None
    whole = np.zeros(size, dtype="<u4")
    whole[tuple(map(slice, labels.shape))] = labels
    return whole.tobytes()


def chunk_bytes(run: Unfinished, level: int) -> int:
    """Size of every chunk of a level."""
    return 4 * int(np.prod(run.pyramid.chunk(level)))


def _label_arrays(frames: range, pyramid: Pyramid) -> PyramidArrays:
    return PyramidArrays("", "labels", AXES, len(frames), 1, "uint32", pyramid)


def _group(source: MovieSource, datasets: list[Json], *, name: str) -> Mapping[str, Any]:
    """Metadata of an OME-Zarr 0.5 label image."""
    import zarr
    from zarr.storage import MemoryStore

    group = zarr.create_group(MemoryStore())
    axes = image_axes(AXES, interval_known=source.interval_s is not None)
    write_multiscales(group, name=name, axes=axes, datasets=datasets, kind="stride")
    attributes: Json = dict(group.attrs)
    attributes["ome"]["image-label"] = {"version": "0.5"}
    attributes["tlseg"] = {"provisional": True, "note": NOTE}
    return {"zarr_format": 3, "node_type": "group", "attributes": attributes}


@lru_cache(maxsize=32)
def _open_final(path: str) -> Any:
    import zarr

    return zarr.open_array(open_store(path), mode="r", zarr_format=3)
