"""Add the intensities of a movie's channels to the nucleus table of a finished result.

Labels, tracks and all other columns are only read. The table is replaced as a whole at the end, by the process that holds
the lock on these labels, so an interrupted measurement leaves it unchanged; the next one continues with the frames it kept.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tlseg.errors import RunError, one_line
from tlseg.geometry import Shape, as_block
from tlseg.run.checks import check_scratch, check_scratch_access
from tlseg.run.measuring.image import Channels, check_chunks, choose_image
from tlseg.run.measuring.kept_sums import KeptSums, MeasureInput, columns_begun, folder_for, kept_sums
from tlseg.run.measuring.names import channel_keys, columns_of
from tlseg.run.measuring.regions import MeasureJob, block_for, measure_flows
from tlseg.run.measuring.rows import RowValues
from tlseg.run.measuring.target import check_columns, check_measurable, folder_of, locked, remember
from tlseg.run.tasks.cluster import Tls
from tlseg.run.tasks.compute import Compute
from tlseg.run.tasks.failures import describe_error
from tlseg.run.tasks.pools import open_pool
from tlseg.run.tasks.work import Work
from tlseg.run.watch.events import Counters, Listener, silent
from tlseg.store.fs.place import Place
from tlseg.store.image.movie import open_source
from tlseg.store.labels.result import Result, as_result, open_result
from tlseg.store.labels.table_columns import set_columns
from tlseg.store.labels.tables import read_table
from tlseg.store.locks.lock import Lock, check_free
from tlseg.store.working.names import Stage

if TYPE_CHECKING:
    from distributed import Client

GOES_ON = "What is measured is kept; run the same command again to continue."


@dataclass(frozen=True, slots=True)
class Measured:
    """What was added to a table.

    Attributes
    ----------
    path, name : str
        Group of the result, and name of its labels.
    image : str
        The image that was measured.
    first_frame : int
        Frame of the image that corresponds to the first frame of the labels.
    frames : int
        Number of frames with nuclei in the table.
    nuclei : int
        Rows of the table.
    channels, columns : tuple of str
        Names of the channels, and of their columns: mean and sum of the first, then of the second, and so on.
    kept_frames : int
        Number of frames that an earlier start had measured before it was stopped.
    without_pixels : int
        Rows whose label is no longer in its frame; they contain NaN.
    without_value : dict of str to int
        For each column of means, the number of rows that contain NaN because a voxel is NaN or infinite.
    unlisted_labels, unlisted_voxels : int
        Labels in single frames that have no row, and their voxels.
    seconds : float
        How long it took.
    notes : tuple of str
        Notes on the measurement, one for each finding.
    """

    path: str
    name: str
    image: str
    first_frame: int
    frames: int
    nuclei: int
    channels: tuple[str, ...]
    columns: tuple[str, ...]
    kept_frames: int
    without_pixels: int
    without_value: Mapping[str, int]
    unlisted_labels: int
    unlisted_voxels: int
    seconds: float
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureRequest:
    """What to measure; a `Compute` says where.

    The fields are arguments of `tlseg.measure_channels` and are documented there.
    """

    result: str | Path | Result
    image: str | Path | None = None
    channels: Channels | int | str | None = None
    name: str | None = None
    prefix: str | None = None
    overwrite: bool = False
    allow_missing: bool = False
    block: Shape | None = None
    scratch: str | Path | None = None


def measure_channels(
    result: str | Path | Result,
    *,
    image: str | Path | None = None,
    channels: Channels | int | str | None = None,
    name: str | None = None,
    prefix: str | None = None,
    overwrite: bool = False,
    allow_missing: bool = False,
    block: Shape | None = None,
    workers: int = 0,
    scheduler: str | None = None,
    client: Client | None = None,
    cluster: str | Path | Mapping[str, Any] | None = None,
    tls: Tls | None = None,
    memory_limit: int | None = None,
    scratch: str | Path | None = None,
    listener: Listener = silent,
) -> Measured:
    """Add the mean and sum of a movie's channels, per nucleus and frame, to the nucleus table of a result.

    The columns of a channel are `intensity_mean_KEY` and `intensity_sum_KEY`. KEY is the name of the channel, with every
    character except letters, digits, `-` and `_` replaced by `_`, or `channelN` if it has no name (N is its number, from
    0). Columns that were measured in the same image earlier are replaced; everything else in the table stays unchanged. A
    measurement that was stopped continues with the same call: frames already measured are kept.

    Parameters
    ----------
    result : str, Path or Result
        OME-Zarr group with finished labels and their table (path or URL), or an open result from `open_result`.
    image : str or Path, optional
        OME-Zarr image of the same voxels. By default, the image of the result if it has the channels, else the movie
        named in the run record.
    channels : int, str or sequence of these, optional
        Channels by number or name; by default, every channel.
    name : str, optional
        Name of the labels. By default, those of the open result, else "nuclei" or the only ones.
    prefix : str, optional
        Text that comes before KEY, joined with `_`, so that channels of several images can have the same name.
    overwrite : bool, default: False
        Also replace columns of these names that were measured in another image.
    allow_missing : bool, default: False
        Accept missing chunks, which are read as the fill value.
    block : (z, y, x), optional
        Voxels that one task measures. Affects memory and speed, never values.
    workers, scheduler, client, cluster, tls, memory_limit
        Where the work is done, as for `tlseg.segment`.
    scratch : str or Path, optional
        Folder for working files, as for `tlseg.segment`, but workers need not see it.
    listener
        Called with each progress event.

    Returns
    -------
    Measured
        Columns, counts and notes.

    Raises
    ------
    LabelError
        If the result is not finished, has no table, or cannot be written to; if the table has such columns of another
        image, or the prefix is not valid.
    MovieError
        If the image or a channel does not exist, the image differs in shape or lacks frames, or chunks are missing.
    PlanError
        If the block, the folder for working files, or the options for workers and memory cannot be used.
    RunError
        If the run fails, or another run is writing to the result; the table is unchanged, and a second call continues.
    """
    request = MeasureRequest(
        result=result,
        image=image,
        channels=channels,
        name=name,
        prefix=prefix,
        overwrite=overwrite,
        allow_missing=allow_missing,
        block=block,
        scratch=scratch,
    )
    compute = Compute(
        workers=workers,
        scheduler=scheduler,
        client=client,
        cluster=cluster,
        tls=tls,
        device="cpu",
        memory_limit=memory_limit,
    )
    return measure_request(request, compute, listener=listener)


def measure_request(request: MeasureRequest, compute: Compute, *, listener: Listener = silent) -> Measured:
    """Carry out a request; `measure_channels` documents what is returned and raised."""
    began = time.monotonic()
    result = as_result(request.result, name=request.name)
    asked = _check(result, request)
    if not request.allow_missing:
        check_chunks(asked.pixels.channels, asked.frames_with_nuclei)
    check_free(folder_of(result))
    try:
        with open_pool(compute) as pool, locked(result) as lock:
            result = open_result(result.path, name=result.name)  # from here on, no other process writes to it
            asked = _check(result, request)
            pixels = asked.pixels
            block = request.block or block_for(
                pixels.labels, pixels.channels[0], memory_bytes=compute.limited(pool.site("cpu")).memory_bytes
            )
            with kept_sums(asked.working_files, pixels, root=result.path) as kept:
                job = MeasureJob(pixels, as_block(block))
                values, before = _measure(job, kept, asked.rows, Work(pool, Counters(listener), lock, GOES_ON))
                _replace(result, asked, values, kept, lock)
    except OSError as error:
        raise RunError(f"The measurement stopped: {describe_error(error)} {GOES_ON}") from error
    return _summary(result, asked, values, kept_frames=before, seconds=time.monotonic() - began)


@dataclass(frozen=True, slots=True, eq=False)
class _CheckedRequest:
    """A request that was checked: matching pixels, rows of the table and its new columns, and a folder for working files."""

    pixels: MeasureInput
    rows: pd.DataFrame
    columns: tuple[tuple[str, str], ...]
    working_files: str
    note: str

    @property
    def frames_with_nuclei(self) -> list[int]:
        """Frames of the image that have nuclei in the table."""
        of = self.pixels
        return [of.first + int(t) for t in self.rows["t"].unique() if 0 <= t < of.labels.n_frames]


def _check(result: Result, request: MeasureRequest) -> _CheckedRequest:
    """Check that result, image and channels match, without reading pixels."""
    check_measurable(result)
    if request.block is not None:
        as_block(request.block)
    labels = open_source(f"{result.path}/labels/{result.name}")
    rows = read_table(result.path, result.name, columns=["t", "label"])
    wanted = [request.channels] if isinstance(request.channels, int | np.integer | str) else request.channels
    chosen = choose_image(result, labels, image=request.image, wanted=wanted)
    channels = chosen.channels(wanted)
    keys = channel_keys(chosen.image.channel_names, where=chosen.image.url)
    columns = tuple(columns_of(keys[channel.channel], request.prefix) for channel in channels)
    pixels = MeasureInput(labels, channels, chosen.first)
    check_scratch(Place(result.path), request.scratch, movie=chosen.image.url, elsewhere=False)
    check_scratch_access(request.scratch)
    folder = folder_for(result, request.scratch)
    if not request.overwrite:
        check_columns(result, columns, chosen.image, begun=columns_begun(folder, pixels, root=result.path))
    return _CheckedRequest(pixels, rows, columns, folder, chosen.note)


def _measure(job: MeasureJob, kept: KeptSums, rows: pd.DataFrame, work: Work) -> tuple[RowValues, int]:
    """Measure the frames that are not kept; returns the values of all, and how many frames were kept."""
    labels = job.pixels.labels
    values = RowValues.of(rows, channels=len(job.pixels.channels))
    left = set(range(labels.n_frames))
    for frame, sums in kept.found():
        values.put(frame, sums)
        left.remove(frame)
    before, regions = labels.n_frames - len(left), len(job.grid)
    work.counters.expect(
        Stage.MEASURE, labels.n_frames * regions, done=before * regions, voxels=math.prod(labels.shape)
    )
    work.do(measure_flows(job, kept, sorted(left), values.put))
    return values, before


def _replace(result: Result, asked: _CheckedRequest, values: RowValues, kept: KeptSums, lock: Lock) -> None:
    """Replace the table, and add to the run record what its columns are."""
    columns = [column for pair in asked.columns for column in pair]
    both = np.stack([values.mean, values.sum], axis=1).reshape(len(columns), -1)
    lock.beat()
    kept.replacing(columns)
    try:
        set_columns(Place(result.path), result.name, dict(zip(columns, both, strict=True)))
    except OSError as error:
        raise RunError(
            f"The table of {result.path} cannot be replaced ({error.strerror or one_line(error)}). Free space, or check "
            f"its permissions. {GOES_ON}"
        ) from error
    first = asked.pixels.first
    remember(result, asked.pixels.channels, asked.columns, range(first, first + asked.pixels.labels.n_frames))


def _summary(
    result: Result, asked: _CheckedRequest, values: RowValues, *, kept_frames: int, seconds: float
) -> Measured:
    channels, means = asked.pixels.channels, [mean for mean, _ in asked.columns]
    return Measured(
        path=result.path,
        name=result.name,
        image=channels[0].url,
        first_frame=asked.pixels.first,
        frames=asked.rows["t"].nunique(),
        nuclei=len(asked.rows),
        channels=tuple(channel.channel_names[channel.channel] for channel in channels),
        columns=tuple(column for pair in asked.columns for column in pair),
        kept_frames=kept_frames,
        without_pixels=values.lost,
        without_value={mean: int(count) for mean, count in zip(means, values.unknown, strict=True) if count},
        unlisted_labels=values.unlisted_labels,
        unlisted_voxels=values.unlisted_voxels,
        seconds=seconds,
        notes=tuple(filter(None, (asked.note, *values.notes(means)))),
    )
