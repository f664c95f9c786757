"""Measured values for each row of the table: the sums of each frame go to the rows of its labels, in any order.

Rows without a value contain NaN, and pixels without a row are counted, so that neither goes unnoticed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tlseg.measure.channels import GreySums, means_and_sums
from tlseg.wording import how_many


@dataclass(slots=True)
class RowValues:
    """Means and sums of the rows of a table, filled frame by frame.

    Attributes
    ----------
    mean, sum : (channels, rows)
        NaN where there is no value.
    seen : (rows,)
        Whether the label of a row has pixels in its frame.
    unknown : (channels,)
        How many rows contain NaN because a voxel is NaN or infinite.
    unlisted_labels, unlisted_voxels : int
        Labels in single frames that have no row, and their voxels.
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
        """Start with nothing measured, for rows with `t` and `label`."""
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
        """How many rows have a label without pixels in its frame."""
        return int((~self.seen).sum())

    def put(self, frame: int, sums: GreySums | None) -> None:
        """Enter the sums of a frame; None if it has no labels."""
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
        """Yield notes on rows and labels without values; `columns` are those of the means."""
        if self.lost:
            yield (
                "Rows with NaN because their label has no pixels in its frame (labels were edited since, or chunks are "
                f"missing): {self.lost} of {len(self.seen)}."
            )
        if self.unlisted_labels:
            yield (
                f"Labelled instances that have no row in the table and were not measured: {self.unlisted_labels} "
                f"({how_many(self.unlisted_voxels, 'voxel')})."
            )
        for column, count in zip(columns, self.unknown, strict=True):
            if count:
                yield f"Rows with NaN in {column} and its sum because a voxel is NaN or infinite: {count}."
