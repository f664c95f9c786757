"""Tracked labels as a Cell Tracking Challenge result: `maskTTT.tif` and `res_track.txt`.

In this format a track has pixels in every frame from its first to its last, so a gap ends one and begins another, which
names the first as its parent. Labels are uint16. Frames count from 000, as the challenge's tools do, also those of a part of
a movie.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tlseg.errors import LabelError
from tlseg.store.export.tiff import MOST_UINT16, planes, write_stack
from tlseg.store.image.movie import MovieSource
from tlseg.store.labels.values import renumber

TRACK_FILE = "res_track.txt"


def ctc_tracks(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cut tracks at gaps and number the pieces.

    A piece keeps the number of its track if it is the first of it; the others count on from the greatest. Only if that does
    not fit into 16 bits are all renumbered from 1, by first frame and track.

    Parameters
    ----------
    rows : DataFrame
        One row per nucleus per frame: `t, label, track, parent` (0: none).

    Returns
    -------
    nodes : DataFrame
        `t, label, number`, sorted by (t, label): the new number of each label in each frame.
    tracks : DataFrame
        `number, begin, end, parent`, sorted by number; both ends are frames that the piece is in.

    Raises
    ------
    LabelError
        If there are more pieces than 16 bits can number.
    """
    rows = rows.sort_values(["track", "t"], ignore_index=True)
    track, t = rows["track"].to_numpy(dtype=np.int64), rows["t"].to_numpy(dtype=np.int64)
    first = np.append(True, np.diff(track) != 0)[: len(rows)]
    starts = first | np.append(True, np.diff(t) > 1)[: len(rows)]
    at = np.flatnonzero(starts)
    ends = np.append(at[1:], len(rows))[: len(at)] - 1
    owner = track[at]
    number = _numbers(owner, t[at], opens=first[at])
    tracks = pd.DataFrame(
        {
            "number": number,
            "begin": t[at],
            "end": t[ends],
            "parent": _parents(owner, rows["parent"].to_numpy(dtype=np.int64)[at], number, opens=first[at]),
        }
    )
    nodes = rows[["t", "label"]].assign(number=number[np.cumsum(starts) - 1] if len(rows) else number)
    return nodes.sort_values(["t", "label"], ignore_index=True), tracks.sort_values("number", ignore_index=True)


def write_ctc(labels: MovieSource, rows: pd.DataFrame, folder: Path, *, progress: Callable[[int, int], None]) -> int:
    """Write masks and track file into a new folder; returns how many tracks they have.

    Parameters
    ----------
    labels : MovieSource
        The label movie.
    rows : DataFrame
        See `ctc_tracks`; `t` counts from the label movie's first frame.
    folder : Path
        New folder, such as `01_RES`.
    progress : callable
        Called with (done, total) frames.
    """
    nodes, tracks = ctc_tracks(rows)
    folder.mkdir()
    digits = max(3, len(str(labels.n_frames - 1)))
    by_frame = dict(tuple(nodes.groupby("t")))
    none = nodes.iloc[:0]
    progress(0, labels.n_frames)
    for frame in range(labels.n_frames):
        here = by_frame.get(frame, none)
        change = partial(
            renumber,
            old=here["label"].to_numpy(),
            new=here["number"].to_numpy(dtype=np.uint16),
            unknown=partial(_not_in_table, frame=frame),
        )
        write_stack(
            folder / f"mask{frame:0{digits}d}.tif",
            planes(labels, frame, renumber=change),
            shape=labels.frame_shape,
            dtype="uint16",
            spacing_um=labels.spacing_um,
            interval_s=labels.interval_s,
            is_2d=labels.is_2d,
        )
        progress(frame + 1, labels.n_frames)
    lines = (" ".join(map(str, row)) for row in tracks.to_numpy().tolist())
    (folder / TRACK_FILE).write_text("".join(f"{line}\n" for line in lines))
    return len(tracks)


def _numbers(owner: NDArray[np.int64], begin: NDArray[np.int64], *, opens: NDArray[np.bool_]) -> NDArray[np.int64]:
    later = np.flatnonzero(~opens)
    number = owner.copy()
    number[later[np.lexsort((owner[later], begin[later]))]] = owner.max(initial=0) + 1 + np.arange(len(later))
    if number.max(initial=0) <= MOST_UINT16:
        return number
    if len(number) > MOST_UINT16:
        raise LabelError(
            f"There are {len(number)} tracks, counting the parts between gaps; the Cell Tracking Challenge's format "
            f"holds {MOST_UINT16}. Export fewer frames, or another format such as geff."
        )
    number[np.lexsort((owner, begin))] = 1 + np.arange(len(number))
    return number


def _parents(
    owner: NDArray[np.int64], mother: NDArray[np.int64], number: NDArray[np.int64], *, opens: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return the number of the piece before, of the mother's last piece, or 0."""
    last = np.append(owner[1:] != owner[:-1], True)[: len(owner)]
    last_of = pd.Series(number[last], index=owner[last])
    of_mother = last_of.reindex(mother).fillna(0).to_numpy(dtype=np.int64)
    return np.where(opens, of_mother, np.append(0, number[:-1])[: len(number)])


def _not_in_table(label: int, *, frame: int) -> LabelError:
    return LabelError(
        f"Label {label} of frame {frame} is not in the table. Table and labels must come from the same run; make them "
        "again with tlseg link."
    )
