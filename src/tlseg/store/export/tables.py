"""Tables as text for people and programs: every nucleus with units, and tracks as napari takes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from tlseg.store.labels.movie_time import MovieTime
from tlseg.store.labels.tables import CHANNEL_PREFIXES, read_table
from tlseg.store.labels.text import write_rows

FRAMES_AT_ONCE = 64

_VOXELS = ("z", "y", "x", *(f"bbox_{axis}{end}" for axis in "zyx" for end in (0, 1)))
UNITS = {"t": "t_frames"} | {name: f"{name}_voxels" for name in _VOXELS}
UNITS |= {"intensity_mean": "intensity_mean_grey", "intensity_sum": "intensity_sum_grey"}
"""Columns whose name does not tell their unit yet, and what they are called in CSV."""


def write_csv(
    root: str,
    name: str,
    path: Path,
    *,
    frames: int,
    time: MovieTime,
    progress: Callable[[int, int], None],
) -> int:
    """Write the table as CSV with units in its header, a few frames at a time; returns the number of rows.

    `t_frames` is the frame's number in the movie; if the interval is known, `time_s`, its time there, follows.
    """
    rows = 0
    progress(0, frames)
    with path.open("w", newline="", encoding="utf-8") as file:
        for start in range(0, max(frames, 1), FRAMES_AT_ONCE):
            part = _rows(root, name, range(start, start + FRAMES_AT_ONCE), time)
            write_rows(part, file, header=start == 0)
            rows += len(part)
            progress(min(start + FRAMES_AT_ONCE, frames), frames)
    return rows


def csv_columns(root: str, name: str, *, time: MovieTime) -> list[str]:
    """Header that `write_csv` gives a table."""
    return list(_rows(root, name, range(1), time).columns)


def is_of_channel(column: str) -> bool:
    """Whether a column of `write_csv` may be of a further channel, so that an earlier export may lack it or have others."""
    return column.startswith(CHANNEL_PREFIXES) and column not in UNITS.values()


def napari_columns(*, is_2d: bool) -> list[str]:
    """Header that `write_napari` gives tracks."""
    return ["track_id", "t", *("yx" if is_2d else "zyx"), "parent", "lineage"]


def write_napari(root: str, name: str, path: Path, *, is_2d: bool, progress: Callable[[int, int], None]) -> int:
    """Write the rows of a napari tracks layer, sorted by track and time; returns their number.

    The first five columns (four in 2D) are the layer's data, in frames and voxels like the label layer's, whose scale
    and translation they take; `parent` makes its graph and `lineage` is a feature. `progress` is called with (done, total)
    steps.
    """
    progress(0, 2)
    first, *others = napari_columns(is_2d=is_2d)
    rows: pd.DataFrame = read_table(root, name, columns=["track", *others])
    rows = rows.rename(columns={"track": first}).sort_values([first, "t"], ignore_index=True)
    progress(1, 2)
    write_rows(rows[[first, *others]], path)
    progress(2, 2)
    return len(rows)


def _rows(root: str, name: str, frames: range, time: MovieTime) -> pd.DataFrame:
    part = read_table(root, name, frames=frames)
    if time.interval_s is not None:
        part.insert(list(part.columns).index("t") + 1, "time_s", time.start_s + part["t"] * time.interval_s)
    part["t"] += time.first
    return part.rename(
        columns=UNITS | {name: f"{name}_grey" for name in part.columns if name.startswith(CHANNEL_PREFIXES)}
    )
