"""What any viewer shows: image, labels in their colours, and tracks as lines through space.

Nothing here knows a viewer; pixels stay where they are until one asks for them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tlseg.errors import LabelError
from tlseg.geometry import Box, Spacing
from tlseg.report.facts import segmented_frames
from tlseg.report.pictures import thinned
from tlseg.report.pixels import Window, css_colors, grey_window
from tlseg.store.image.movie import MovieSource, open_source
from tlseg.store.labels.image_of import image_of
from tlseg.store.labels.result import Result, open_result
from tlseg.store.working.unfinished import Unfinished

MOST_COLORS = 20_000
"""Labels whose colours are sent to a viewer; with more it chooses its own."""

WINDOW_FRAMES = 9
"""Frames that decide which grey values are shown white: brightness changes over a movie."""


@dataclass(frozen=True, slots=True)
class Trail:
    """Where one track goes.

    Attributes
    ----------
    track : int
    parent : int
        Track it came from, 0 where none.
    frames : ndarray of int, (n,)
        Ascending.
    points_um : ndarray of float, (n, 3)
        Centres (z, y, x), micrometres in the movie's coordinates. The last position of the mother comes first, so that
        divisions look like forks.
    """

    track: int
    parent: int
    frames: NDArray[np.int64]
    points_um: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scene:
    """A result ready to be shown, or what there is of it while its run is going on.

    Attributes
    ----------
    result : Result or Unfinished
    labels : MovieSource
        Labels at the finest level.
    image : MovieSource or None
        The channel that was segmented.
    window : (low, high) or None
        Grey values shown black and white.
    trails : list of Trail
        Longest first.
    colors : dict of int to str
        CSS colour of each label, the same as in reports; empty where there are too many.
    first : int
        Frame of the image that lies beneath the labels' first.
    note : str
        Why an image is not shown, empty where none was left out.
    """

    result: Result | Unfinished
    labels: MovieSource
    image: MovieSource | None
    window: Window | None
    trails: list[Trail] = field(repr=False)
    colors: dict[int, str] = field(repr=False)
    first: int = 0
    note: str = ""

    @property
    def title(self) -> str:
        """Name of the labels, as shown to people."""
        return self.result.name if isinstance(self.result, Result) else f"{self.result.name} (provisional)"

    @property
    def first_row(self) -> int:
        """Frame of the labels that is shown first."""
        if isinstance(self.result, Result):
            return 0
        return next((frame - self.result.frames.start for frame in self.result.states()), 0)

    @property
    def centre_um(self) -> Spacing:
        """Middle of the frame, (z, y, x) micrometres in the movie's coordinates."""
        sizes = zip(self.labels.frame_shape, self.labels.spacing_um, self.labels.translation_um, strict=True)
        z, y, x = (start + (n - 1) / 2 * step for n, step, start in sizes)
        return z, y, x


def open_scene(path: str | Path, *, name: str | None = None) -> Scene:
    """Open a result for a viewer.

    Parameters
    ----------
    path : str or Path
        OME-Zarr group a run wrote to, local or a URL.
    name : str, optional
        Name of the labels; "nuclei", or the only ones, if not given.

    Raises
    ------
    LabelError
        If there are no finished labels of this name.
    MovieError
        If image or labels are damaged.
    """
    result = open_result(path, name=name)
    labels = open_source(f"{result.path}/labels/{result.name}")
    found = image_of(labels, result.path, channel=result.image_channel)
    window = None
    if found.image is not None:
        seen = segmented_frames(result, labels)
        window = _window(found.image, range(found.first + seen.start, found.first + seen.stop))
    nodes = _nodes(result)
    numbers = np.unique(nodes["label"].to_numpy(dtype=np.int64)) if len(nodes) else np.zeros(0, np.int64)
    few = numbers if len(numbers) <= MOST_COLORS else numbers[:0]
    colors = dict(zip(few.tolist(), css_colors(few), strict=True))
    return Scene(result, labels, found.image, window, trails(nodes), colors, found.first, found.note)


def open_unfinished(run: Unfinished) -> Scene:
    """Show the labelled frames of a run in progress; there are no tracks yet, and no colours that stand for them.

    Raises
    ------
    MovieError
        If the movie is damaged.
    """
    return Scene(run, run.labels, run.source, _window(run.source, run.frames), [], {}, run.frames.start)


def trails(nodes: pd.DataFrame) -> list[Trail]:
    """Paths of all tracks, the longest first.

    Parameters
    ----------
    nodes : DataFrame
        `t, track, y_um, x_um` and if known `z_um` and `parent`; a nucleus per frame.
    """
    columns = ["z_um", "y_um", "x_um"]
    if "z_um" not in nodes.columns:
        nodes = nodes.assign(z_um=0.0)
    if not len(nodes) or not set(columns) <= set(nodes.columns):
        return []
    groups = {int(str(track)): rows for track, rows in nodes.sort_values("t").groupby("track")}
    found = []
    for track, rows in groups.items():
        parent = int(rows["parent"].iloc[0]) if "parent" in rows.columns else 0
        path = pd.concat([groups[parent].tail(1), rows]) if parent in groups else rows
        found.append(Trail(track, parent, path["t"].to_numpy(np.int64), path[columns].to_numpy(np.float64)))
    return sorted(found, key=lambda trail: (-len(trail.frames), trail.track))


def _nodes(result: Result) -> pd.DataFrame:
    try:
        return result.tracks()[0]
    except LabelError:
        # Labels without a graph are shown without trails.
        return pd.DataFrame({"label": np.zeros(0, np.int64)})


def _window(image: MovieSource, frames: range) -> Window:
    """Grey values of the coarsest level of a few frames from the first to the last, so that none of them is flat white."""
    coarsest = open_source(image.url, channel=image.channel, level=len(image.level_shapes) - 1)
    box = Box.of_shape(coarsest.frame_shape)
    windows = [grey_window(coarsest.read(frame, box)) for frame in thinned(frames, WINDOW_FRAMES)]
    return min(low for low, _ in windows), max(high for _, high in windows)
