"""What was measured, row by row of the table: each frame's sums go to the rows of its labels, whatever their order.

A row without an answer has NaN, and pixels without a row are counted, so that neither is overlooked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tlseg.measure.channels import GreySums, means_and_sums


@dataclass(slots=True)
class RowValues:
    """Means and sums of the rows of a table, filled frame by frame.

    Attributes
    ----------
    mean, sum : (channels, rows)
        NaN where there is none.
    seen : (rows,)
        Whether the label of a row has pixels in its frame.
    unknown : (channels,)
        Rows that have NaN since a voxel of theirs is NaN or infinite.
    unlisted_labels, unlisted_voxels : int
        Labels of a frame that have no row, and their voxels.
    """

    mean: NDArray[np.float64]
    sum: NDArray[np.float64]
    seen: NDArray[np.bool_]
    unknown: NDArray[np.int64]
    _label: NDArray[np.int64]
    _by_time: NDArray[np.intp]
    _t: NDArray[np.int64]
    unlisted_labels: int = 0
    unlisted_voxels: int = 0

    @classmethod
    def of(cls, rows: pd.DataFrame, *, channels: int) -> RowValues:
        """Nothing measured yet, of rows with `t` and `label`."""
        t, label = (rows[name].to_numpy(dtype=np.int64) for name in ("t", "label"))
        by_time = np.argsort(t, kind="stable")
        return cls(
            mean=np.full((channels, len(rows)), np.nan),
            sum=np.full((channels, len(rows)), np.nan),
            seen=np.zeros(len(rows), dtype=bool),
            unknown=np.zeros(channels, dtype=np.int64),
            _label=label,
            _by_time=by_time,
            _t=t[by_time],
        )

    @property
    def lost(self) -> int:
        """Rows whose label has no pixels in its frame."""
        return int((~self.seen).sum())

    def put(self, frame: int, sums: GreySums | None) -> None:
        """Take the sums of a frame; None where it has no labels."""
        if sums is None:
            return
        rows = self._by_time[slice(*np.searchsorted(self._t, [frame, frame + 1]))]
        place = np.minimum(np.searchsorted(sums.label, self._label[rows]), len(sums.label) - 1)
        there = sums.label[place] == self._label[rows]
        rows, place = rows[there], place[there]
        means, totals = means_and_sums(sums)
        self.mean[:, rows], self.sum[:, rows] = means[:, place], totals[:, place]
        self.seen[rows] = True
        self.unknown += (sums.unknown[:, place] > 0).sum(axis=1)
        unlisted = ~np.isin(np.arange(len(sums.label)), place)
        self.unlisted_labels += int(unlisted.sum())
        self.unlisted_voxels += int(sums.voxels[unlisted].sum())

    def notes(self, columns: Sequence[str]) -> Iterator[str]:
        """What to know about them, one sentence each; `columns` are those of the means."""
        if self.lost:
            yield (
                f"{self.lost} of {len(self.seen)} rows have a label without pixels in their frame (labels were changed "
                "since), and NaN in these columns."
            )
        if self.unlisted_labels:
            yield (
                f"{self.unlisted_labels} instances in the pixels ({self.unlisted_voxels} voxels) have no row in the table, "
                "and were left out."
            )
        for column, count in zip(columns, self.unknown, strict=True):
            if count:
                yield f"{count} rows have NaN in {column} and its sum: a voxel of theirs is NaN or infinite."
