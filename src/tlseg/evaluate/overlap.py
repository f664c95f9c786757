"""Count the voxels that labels share, and find the middle of each.

Counts and coordinate sums are integers and add up over blocks, so a frame cut any way gives the same table to the bit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tlseg.errors import EvaluationError
from tlseg.geometry import Shape
from tlseg.store.labels.values import as_labels

Ints = npt.NDArray[np.int64]
Ids = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Contingency:
    """Voxels shared by each pair of labels that meet, sorted by (truth, result); the pair (0, 0) is left out.

    Attributes
    ----------
    truth, result : (n,) uint64
        Label of each side; 0 is background.
    voxels : (n,) int64
        Number of voxels that carry the pair.
    sums : (n, 3) int64
        Sum over those voxels of their (z, y, x) position in the frame.
    """

    truth: Ids
    result: Ids
    voxels: Ints
    sums: Ints


@dataclass(frozen=True, slots=True)
class Objects:
    """The objects of one side of a frame, ascending by label.

    Attributes
    ----------
    labels : (n,) uint64
    voxels : (n,) int64
        Volume in voxels.
    centroids : (n, 3) float64
        Mean (z, y, x) position in voxels.
    """

    labels: Ids
    voxels: Ints
    centroids: Floats

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class Overlap:
    """One frame as its objects and the pairs of objects that share voxels.

    Attributes
    ----------
    truth, result : Objects
    i, j : (m,) int64
        Row in `truth` and in `result` of each pair that meets, ascending.
    voxels : (m,) int64
        Voxels the pair shares, at least 1.
    """

    truth: Objects
    result: Objects
    i: Ints
    j: Ints
    voxels: Ints

    @property
    def iou(self) -> Floats:
        """Intersection over union of each pair, shape (m,), in (0, 1]."""
        union = self.truth.voxels[self.i] + self.result.voxels[self.j] - self.voxels
        return np.asarray(self.voxels / union, dtype=np.float64)

    @property
    def covers_truth(self) -> npt.NDArray[np.bool_]:
        """Per pair, whether the result object holds more than half of the truth object: at most one does."""
        return np.asarray(2 * self.voxels > self.truth.voxels[self.i])

    @property
    def covers_result(self) -> npt.NDArray[np.bool_]:
        """Per pair, whether the truth object holds more than half of the result object: at most one does."""
        return np.asarray(2 * self.voxels > self.result.voxels[self.j])


def count_overlap(truth: npt.NDArray[np.generic], result: npt.NDArray[np.generic], *, origin: Shape) -> Contingency:
    """Count the voxels of each pair of labels in one block.

    Parameters
    ----------
    truth, result : (z, y, x)
        Labels of the same block, whole numbers of any type; 0 is background.
    origin : (z, y, x)
        Position of the block's first voxel in the frame.

    Raises
    ------
    EvaluationError
        When the shapes differ.
    LabelError
        When the values are not labels.
    """
    if truth.shape != result.shape or truth.ndim != 3:
        raise EvaluationError(
            f"The blocks to compare have shapes {result.shape} and {truth.shape}; both must be the same (z, y, x)."
        )
    a, b = (np.ascontiguousarray(as_labels(side, where="A block")).reshape(-1) for side in (truth, result))
    width = truth.shape[2]
    starts = _run_starts(a, b, width)
    if not len(starts):
        return _empty()
    lengths = np.diff(starts, append=a.size)
    ta, rb = a[starts].astype(np.uint64), b[starts].astype(np.uint64)
    keep = (ta != 0) | (rb != 0)
    starts, lengths, ta, rb = starts[keep], lengths[keep], ta[keep], rb[keep]
    rows, x = np.divmod(starts, width)
    z, y = np.divmod(rows, truth.shape[1])
    # The positions of a run of n voxels from x0 sum to n * x0 + n (n - 1) / 2, in whole numbers.
    sums = np.stack(
        [
            lengths * (z + origin[0]),
            lengths * (y + origin[1]),
            lengths * (x + origin[2]) + lengths * (lengths - 1) // 2,
        ],
        axis=1,
    )
    return _grouped(ta, rb, lengths, sums)


def add_up(parts: Iterable[Contingency]) -> Contingency:
    """Sum the tables of blocks that tile a frame; their order does not matter."""
    tables = list(parts)
    if not tables:
        return _empty()
    return _grouped(
        np.concatenate([t.truth for t in tables]),
        np.concatenate([t.result for t in tables]),
        np.concatenate([t.voxels for t in tables]),
        np.concatenate([t.sums for t in tables]),
    )


def overlap_of(table: Contingency) -> Overlap:
    """Return the objects of both sides and the pairs that meet."""
    truth, result = _objects(table.truth, table), _objects(table.result, table)
    both = (table.truth != 0) & (table.result != 0)
    return Overlap(
        truth,
        result,
        np.searchsorted(truth.labels, table.truth[both]).astype(np.int64),
        np.searchsorted(result.labels, table.result[both]).astype(np.int64),
        table.voxels[both],
    )


def _run_starts(a: npt.NDArray[np.generic], b: npt.NDArray[np.generic], width: int) -> Ints:
    """Flat index where each run of equal pairs starts; runs end at the end of a row, so that a run lies along x."""
    if not a.size:
        return np.empty(0, dtype=np.int64)
    new = np.empty(a.size, dtype=np.bool_)
    np.not_equal(a[1:], a[:-1], out=new[1:])
    new[1:] |= b[1:] != b[:-1]
    new[::width] = True
    return np.flatnonzero(new).astype(np.int64)


def _grouped(truth: Ids, result: Ids, voxels: Ints, sums: Ints) -> Contingency:
    """Add up the rows of each pair, in whole numbers."""
    if not len(truth):
        return _empty()
    order = np.lexsort((result, truth))
    truth, result = truth[order], result[order]
    first = np.flatnonzero(np.concatenate([[True], (truth[1:] != truth[:-1]) | (result[1:] != result[:-1])]))
    return Contingency(
        truth[first],
        result[first],
        np.add.reduceat(voxels[order], first),
        np.add.reduceat(sums[order], first, axis=0),
    )


def _objects(labels: Ids, table: Contingency) -> Objects:
    kept = labels != 0
    ids, where = np.unique(labels[kept], return_inverse=True)
    voxels = np.zeros(len(ids), dtype=np.int64)
    sums = np.zeros((len(ids), 3), dtype=np.int64)
    np.add.at(voxels, where, table.voxels[kept])
    np.add.at(sums, where, table.sums[kept])
    return Objects(ids, voxels, sums / voxels[:, None])


def _empty() -> Contingency:
    ids, ints = np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)
    return Contingency(ids, ids, ints, np.empty((0, 3), dtype=np.int64))
