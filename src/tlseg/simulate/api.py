"""Write a simulated movie as OME-Zarr with its truth beside the pixels, one frame or region in memory at a time.

It becomes a movie only once it is complete, so a simulation that was stopped starts over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlseg.errors import MovieError
from tlseg.geometry import Box, Shape, Spacing
from tlseg.simulate.dense import DenseSettings, simulate_large_frame
from tlseg.simulate.lineage import grow_lineage
from tlseg.simulate.motion import move_nuclei
from tlseg.simulate.movie import simulate_frames
from tlseg.simulate.settings import SimulationSettings
from tlseg.simulate.truth import Row, frame_rows, truth_edges, truth_table
from tlseg.store.fs.documents import read_json
from tlseg.store.fs.place import Place, place_of
from tlseg.store.image.image_writer import ImageWriter, create_image
from tlseg.store.image.pyramid import plan_pyramid
from tlseg.store.labels.label_writer import LabelWriter, create_labels
from tlseg.store.labels.table_writer import write_table
from tlseg.store.labels.tracks import write_tracks
from tlseg.store.locks.whole import names_in, written_whole

NAME = "truth"
MADE_BY = "tlseg simulate"
MARK = "simulating.json"
"""Object present in an object store's OME-Zarr while a simulation writes it, or after it was stopped."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Simulated:
    """A simulated movie that was written.

    Attributes
    ----------
    path : str
        Absolute path or URL of its OME-Zarr group.
    frames : int
    shape : (z, y, x)
        Voxels of a frame.
    spacing_um : (z, y, x)
        Voxel size in micrometres.
    interval_s : float or None
        Seconds between frames.
    tracks, divisions : int or None
        Of its truth; None if they were not counted, as in tissue.
    nuclei : tuple of int or None
        Of each frame.
    """

    path: str
    frames: int
    shape: Shape
    spacing_um: Spacing
    interval_s: float | None
    tracks: int | None = None
    divisions: int | None = None
    nuclei: tuple[int, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def simulate(
    out: str | Path,
    settings: SimulationSettings | None = None,
    *,
    overwrite: bool = False,
    made_by: str = MADE_BY,
    progress: Progress | None = None,
) -> Simulated:
    """Write a movie of a growing embryo: pixels, `labels/truth`, `tables/truth` and `tracks.geff`.

    Parameters
    ----------
    out : str or Path
        OME-Zarr group to create, such as `embryo.ome.zarr`, a path or a URL.
    settings : SimulationSettings, optional
        What to simulate; ten frames of a mouse embryo by default.
    overwrite : bool, default: False
        Replace an existing simulated movie, with everything beside its pixels.
    made_by : str
        What simulated it, for `simulated_by`.
    progress : callable, optional
        Called with (frames done, frames) after each.

    Returns
    -------
    Simulated
        Where it is and what is in it.

    Raises
    ------
    SimulationError
        The egg is too small for its nuclei; nothing is written then.
    MovieError
        Something exists already, and it may not be overwritten or was not simulated.
    """
    settings = settings or SimulationSettings()
    # Motion is cheap beside pictures: a movie that cannot be must fail before a pixel is written.
    for _ in move_nuclei(grow_lineage(settings), settings=settings):
        pass
    rows: list[Row] = []
    nuclei: list[int] = []
    whole = Box.of_shape(settings.shape)
    with _publishing(
        out, settings, settings.spacing_um, settings.interval_s, overwrite=overwrite, made_by=made_by
    ) as movie:
        for frame in simulate_frames(settings):
            movie.write(frame.t, whole, frame.image, frame.labels)
            rows.extend(frame_rows(frame, spacing_um=settings.spacing_um))
            nuclei.append(len(frame.nodes))
            if progress is not None:
                progress(frame.t + 1, settings.frames)
        table = truth_table(rows)
        edges = truth_edges(table)
        write_table(movie.place, NAME, (rows for _, rows in table.groupby("t")))
        write_tracks(
            movie.place,
            table,
            edges,
            spacing_um=settings.spacing_um,
            interval_s=settings.interval_s,
            name=NAME,
            axes="tyx" if movie.image.source.is_2d else "tzyx",
        )
    return Simulated(
        path=str(place_of(out)),
        frames=settings.frames,
        shape=settings.shape,
        spacing_um=settings.spacing_um,
        interval_s=settings.interval_s,
        tracks=int(table["track"].nunique()),
        divisions=int(edges.loc[edges["kind"] == "division", "label_a"].nunique()),
        nuclei=tuple(nuclei),
    )


def simulate_dense(
    out: str | Path,
    settings: DenseSettings | None = None,
    *,
    spacing_um: Spacing = (1.0, 1.0, 1.0),
    interval_s: float | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Simulated:
    """Write frames packed with touching nuclei and `labels/truth`, region by region, whatever their size.

    Labels are tracks: a number is one nucleus in all frames, and none divides.

    Parameters
    ----------
    out : str or Path
        OME-Zarr group to create, a path or a URL.
    settings : DenseSettings, optional
    spacing_um : Spacing
        Voxel size along (z, y, x) to write down, micrometres.
    interval_s : float, optional
        Seconds between frames to write down.
    overwrite : bool, default: False
        Replace an existing simulated movie, with everything beside its pixels.
    progress : callable, optional
        Called with (regions done, regions) after each.

    Returns
    -------
    Simulated
        Without tracks, divisions and nuclei, which are not counted.

    Raises
    ------
    SimulationError
        The settings make no tissue; nothing is written then.
    MovieError
        Something exists already, and it may not be overwritten or was not simulated.
    """
    settings = settings or DenseSettings()
    boxes = plan_pyramid(settings.shape, spacing_um=spacing_um).regions
    regions = [(t, box) for t in range(settings.frames) for box in boxes]

    with _publishing(out, settings, spacing_um, interval_s, overwrite=overwrite) as movie:
        for done, (t, box) in enumerate(regions, start=1):
            movie.write(t, box, *simulate_large_frame(settings, box, t=t))
            if progress is not None:
                progress(done, len(regions))
    return Simulated(
        path=str(place_of(out)),
        frames=settings.frames,
        shape=settings.shape,
        spacing_um=spacing_um,
        interval_s=interval_s,
    )


@dataclass(frozen=True, slots=True)
class _Movie:
    """A movie being written: its arrays exist, but not yet the metadata that make it a movie."""

    place: Place
    image: ImageWriter
    labels: LabelWriter

    def write(self, t: int, box: Box, voxels: NDArray[np.uint16], labels: NDArray[np.uint32]) -> None:
        self.image.write(t, box, voxels)
        self.labels.write(t, box, labels)


@contextmanager
def _publishing(
    out: str | Path,
    settings: SimulationSettings | DenseSettings,
    spacing_um: Spacing,
    interval_s: float | None,
    *,
    overwrite: bool,
    made_by: str = MADE_BY,
) -> Iterator[_Movie]:
    """Yield a movie to fill, which is at `out` and can be read once it is complete."""
    target = place_of(out)
    check = partial(_check_target, target, overwrite=overwrite)
    check()
    with written_whole(target, mark=MARK, check=check) as part:
        image = create_image(
            part,
            pyramid=plan_pyramid(settings.shape, spacing_um=spacing_um),
            n_frames=settings.frames,
            dtype="uint16",
            channel_names=["nuclei"],
            is_2d=settings.shape[0] == 1,
            interval_s=interval_s,
        )
        movie = _Movie(part, image, create_labels(part, name=NAME, source=image.source))
        yield movie
        movie.labels.finish({"made_by": made_by, "settings": asdict(settings)})
        image.finish()


def simulated_by(movie: Place) -> str | None:
    """What simulated a movie, as its truth says; None if not recorded."""
    truth = movie / "labels" / NAME / "zarr.json"
    made_by = read_json(truth).get("attributes", {}).get("tlseg", {}).get("made_by") if truth.exists() else None
    return None if made_by is None else str(made_by)


def _check_target(target: Place, *, overwrite: bool) -> None:
    """Raise `MovieError` unless nothing is there, or a simulated movie that may be deleted with the results beside it."""
    names = names_in(target)
    if names is None or (not names and target.is_dir()) or (target.remote and MARK in names):
        return
    if simulated_by(target) is None:
        raise MovieError(
            f"{target} exists and was not simulated. Expected a new path or a simulated movie; write elsewhere, or "
            "remove it yourself."
        )
    if not overwrite:
        raise MovieError(f"{target} exists. Use --overwrite to replace it, or choose another output.")
