"""Nuclei of all frames as sorted arrays: what every step of linking reads.

Rows are sorted by frame, then position, then label, so that neither the order of the input rows nor the provisional
labels can change a sum, a tie or a link.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tlseg.errors import LabelError
from tlseg.geometry import ball_radius
from tlseg.wording import how_many

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

REQUIRED = ("t", "label", "z_um", "y_um", "x_um", "volume_um3", "intensity_mean")
MOST_EMPTY_FRAMES = 1_000_000
"""More empty frames than this are a mistake: longer than any movie."""

OVERLAP_COLUMNS = ("t", "label_a", "label_b", "voxels")


@dataclass(frozen=True, slots=True)
class Objects:
    """Nuclei of a movie, one row each; rows of one frame are contiguous.

    Parameters
    ----------
    t, label
        Frame and provisional label, shape (n,).
    position_um
        Centroids (z, y, x), shape (n, 3), in micrometres.
    volume_um3, radius_um, intensity
        Volume, radius of the ball of that volume, and mean intensity, shape (n,).
    starts
        Row at which each frame from `first` on begins, with the number of rows at the end, shape (frames + 1,).
    first
        Number of the first frame with an object; 0 without objects.
    """

    t: Ints
    label: Ints
    position_um: Floats
    volume_um3: Floats
    radius_um: Floats
    intensity: Floats
    starts: Ints
    first: int

    def __len__(self) -> int:
        return len(self.t)

    @property
    def frames(self) -> int:
        """Frames from the first with an object to the last, empty ones included."""
        return len(self.starts) - 1

    @property
    def last(self) -> int:
        """Number of the last frame with an object."""
        return self.first + self.frames - 1

    @property
    def is_planar(self) -> bool:
        """Whether all lie in one plane z, as in 2D movies."""
        return not _differ(self.position_um[:, 0])

    @property
    def have_volumes(self) -> bool:
        """Whether volumes say anything: where none were measured, all are the same."""
        return _differ(self.volume_um3)

    @property
    def have_intensities(self) -> bool:
        """Whether intensities say anything, likewise."""
        return _differ(self.intensity)

    def rows(self, frame: int) -> slice:
        """Rows of a frame, counted from `first`."""
        return slice(int(self.starts[frame]), int(self.starts[frame + 1]))


@dataclass(frozen=True, slots=True)
class Overlaps:
    """Pairs of nuclei in consecutive frames that share voxels, sorted by rows.

    Parameters
    ----------
    a, b
        Rows in `Objects`, shape (m,).
    iou
        Intersection over union, shape (m,), in (0, 1].
    """

    a: Ints
    b: Ints
    iou: Floats


def read_objects(objects: pd.DataFrame) -> tuple[Objects, Ints]:
    """Check an object table and sort it.

    Parameters
    ----------
    objects
        One row per nucleus per frame with the columns of `REQUIRED`.

    Returns
    -------
    Objects
        The sorted nuclei.
    Ints
        For each sorted row, its row in the input, shape (n,).

    Raises
    ------
    LabelError
        If a column is missing, a value is not a finite number, a volume is not positive, a frame or label is not a whole
        number, a label occurs twice in a frame, or the numbers of frames cannot be those of a movie.
    """
    _require(objects, REQUIRED, "object table")
    try:
        numbers = {name: objects[name].to_numpy(dtype=np.float64) for name in REQUIRED}
    except (TypeError, ValueError) as error:
        raise LabelError(
            f"The object table has values that are not numbers: {error}. Measure the labels again."
        ) from error
    bad = ~np.logical_and.reduce([np.isfinite(column) for column in numbers.values()]) | (numbers["volume_um3"] <= 0)
    bad |= np.logical_or.reduce([numbers[name] != np.floor(numbers[name]) for name in ("t", "label")])
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        values = {name: float(column[row]) for name, column in numbers.items()}
        raise LabelError(
            f"In {int(bad.sum())} of {how_many(len(objects), 'object')}, a value is not finite, a volume is not positive, "
            f"or t or label is not a whole number; first: {values}. Measure the labels again, or drop these rows."
        )
    t, label = objects["t"].to_numpy(dtype=np.int64), objects["label"].to_numpy(dtype=np.int64)
    position = np.stack([numbers[name] for name in ("z_um", "y_um", "x_um")], axis=1)
    order = _by_frame_and_place(t, label, position)
    t, label = t[order], label[order]
    _require_unique(t, label)
    first = int(t[0]) if len(t) else 0
    frames = int(t[-1]) - first + 1 if len(t) else 0
    if frames > len(t) + MOST_EMPTY_FRAMES:
        raise LabelError(
            f"Frames reach from {first} to {int(t[-1])}, with {how_many(len(t), 'object')} in them. Expected t to be a "
            "frame number, not a time in seconds or a clock time."
        )
    starts = np.searchsorted(t, first + np.arange(frames + 1)).astype(np.int64)
    volume, intensity = numbers["volume_um3"][order], numbers["intensity_mean"][order]
    return Objects(t, label, position[order], volume, ball_radius(volume), intensity, starts, first), order


def read_overlaps(overlaps: pd.DataFrame, *, table: pd.DataFrame, objects: Objects, order: Ints) -> Overlaps:
    """Look up overlapping pairs by row and turn shared voxels into IoU.

    Parameters
    ----------
    overlaps
        Rows `t, label_a, label_b, voxels`: voxels that label a of frame t shares with label b of frame t + 1.
    table
        The input object table; its `volume_voxels` is needed where there are overlaps.
    objects, order
        What `read_objects` made of `table`.

    Raises
    ------
    LabelError
        If a column is missing or a pair names an object that is not in the table.
    """
    if not len(overlaps):
        return Overlaps(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    _require(overlaps, OVERLAP_COLUMNS, "overlap table")
    _require(table, ("volume_voxels",), "object table (needed for IoU where there are overlaps)")
    summed = overlaps.groupby(["t", "label_a", "label_b"], sort=True, as_index=False)["voxels"].sum()
    index = pd.MultiIndex.from_arrays([objects.t, objects.label])
    rows_a = index.get_indexer(pd.MultiIndex.from_arrays([summed["t"], summed["label_a"]]))
    rows_b = index.get_indexer(pd.MultiIndex.from_arrays([summed["t"] + 1, summed["label_b"]]))
    unknown = (rows_a < 0) | (rows_b < 0)
    if unknown.any():
        pair = summed.iloc[int(np.flatnonzero(unknown)[0])]
        raise LabelError(
            f"{how_many(int(unknown.sum()), 'overlap names', 'overlaps name')} objects that are not in the object table; "
            f"first: label {int(pair['label_a'])} of frame {int(pair['t'])} with label {int(pair['label_b'])} of the next. "
            f"Both tables must come from the same labels; measure them again."
        )
    voxels = table["volume_voxels"].to_numpy(dtype=np.float64)[order]
    shared = summed["voxels"].to_numpy(dtype=np.float64)
    iou = shared / np.maximum(voxels[rows_a] + voxels[rows_b] - shared, 1.0)
    by_row = np.lexsort((rows_b, rows_a))
    return Overlaps(rows_a[by_row].astype(np.int64), rows_b[by_row].astype(np.int64), np.clip(iou[by_row], 0.0, 1.0))


def _differ(values: Floats) -> bool:
    return bool((values != values[:1]).any())


def _require(table: pd.DataFrame, columns: tuple[str, ...], what: str) -> None:
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise LabelError(
            f"The {what} lacks {', '.join(missing)}; found {', '.join(map(str, table.columns)) or 'none'}."
        )


def _by_frame_and_place(t: Ints, label: Ints, position: Floats) -> Ints:
    """Rows sorted by frame, then z, y, x, then label; frame by frame, which is faster than all of a movie at once."""
    order = np.argsort(t, kind="stable").astype(np.int64)
    for rows in np.split(order, np.flatnonzero(np.diff(t[order])) + 1):
        z, y, x = position[rows].T
        rows[:] = rows[np.lexsort((label[rows], x, y, z))]
    return order


def _require_unique(t: Ints, label: Ints) -> None:
    by_label = np.lexsort((label, t))
    same = (np.diff(t[by_label]) == 0) & (np.diff(label[by_label]) == 0)
    if same.any():
        row = by_label[int(np.flatnonzero(same)[0])]
        raise LabelError(
            f"Label {int(label[row])} occurs more than once in frame {int(t[row])}: one row per nucleus per frame is "
            f"expected. Sum block-wise measurements by (t, label) first."
        )
