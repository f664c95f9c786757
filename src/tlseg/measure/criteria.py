"""What do the numbers tell about the embryo? Growth per frame, life of each track, divisions, and each generation's pace.

Everything is made from the nucleus table alone, row order apart, so it is as independent of how the work was cut as the
table is. Times are frames, and seconds too where the interval between frames is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tlseg.measure.history import complete, cycles, divisions, of_known_generation, track_table
from tlseg.store.labels.tables import CHANNEL_PREFIXES

QUANTITIES = ("volume_um3", "surface_um2", "elongation", "intensity_mean", "intensity_sum")
"""Columns of the nucleus table that are summed, averaged and followed, where the table has them."""

NEWBORN_FRAMES = 3
"""Frames after a division over which sisters are compared: one frame alone still shows the plates of mitosis."""

_PLACE = ("z_um", "y_um", "x_um")
_OF_TWO = ("sister_volume_ratio", "sister_intensity_ratio", "sister_distance_um", "volume_ratio")


@dataclass(frozen=True, slots=True, eq=False)
class Criteria:
    """Four tables.

    Attributes
    ----------
    frames : DataFrame
        One row per frame that was looked at, empty ones too: `t`, `count`, and `*_sum`, `*_mean`, `*_std` (population)
        of every quantity.
    tracks : DataFrame
        One row per track: `track`, `first`, `last`, `frames` (in which it was seen), `parent`, `lineage`, `generation`,
        `divided` (first frame of its daughters, -1: never), `*_mean` of every quantity, `volume_um3_per_frame` (slope of
        a straight line through its volumes), `path_um` and `speed_um_per_frame` (of its centroid, as filmed).
    divisions : DataFrame
        One row per division: `t` (first frame of the daughters), `mother`, her `generation`, `daughters` (how many of
        them are in the table), `daughter_1`, `daughter_2` (the first two by number, 0: none), `z_um, y_um, x_um` (the
        middle between them in that frame), `confidence` (of its less certain link, where links are given),
        `sister_volume_ratio` (smaller over larger, means over the first frames in which both are seen),
        `sister_intensity_ratio`, `sister_distance_um`, and `volume_ratio` (both daughters over the mother). These four
        are missing where daughters are not two.
    generations : DataFrame
        One row per known generation: `tracks`, `cycles` (tracks seen from division to division), `cycle_frames_mean`,
        `_std`, `_min`, `_max`; `divisions`, `division_t_mean`, and `division_t_std`: their synchrony, 0 when all nuclei
        divide in the same frame. Standard deviations are of the sample, missing for fewer than two.
    """

    frames: pd.DataFrame
    tracks: pd.DataFrame
    divisions: pd.DataFrame
    generations: pd.DataFrame

    def tables(self) -> dict[str, pd.DataFrame]:
        """All tables by name."""
        return {name: getattr(self, name) for name in self.__slots__}


def measure_criteria(
    table: pd.DataFrame,
    *,
    frames: int | Sequence[int],
    interval_s: float | None = None,
    zero_s: float = 0.0,
    edges: pd.DataFrame | None = None,
) -> Criteria:
    """Criteria of a movie.

    Parameters
    ----------
    table : DataFrame
        A nucleus table: at least `t` and `label`; without tracks, each label is a track without a mother.
    frames : int or sequence of int
        Number of frames of the movie, or those of them that were segmented: of the others nothing is known, not even
        that they are empty.
    interval_s : float, optional
        Seconds from frame to frame; with it, columns in seconds stand beside those in frames.
    zero_s : float
        Time of frame 0, seconds.
    edges : DataFrame, optional
        Links with their confidence, between nuclei of `table`; with them, divisions have theirs.
    """
    table = complete(table).sort_values(["t", "label"], ignore_index=True)
    tracks = track_table(table)
    return Criteria(
        frames=_with_seconds(frame_criteria(table, frames=frames), interval_s, zero_s),
        tracks=track_criteria(table, tracks),
        divisions=_with_seconds(division_criteria(table, tracks, edges=edges), interval_s, zero_s),
        generations=_with_seconds(generation_criteria(tracks), interval_s, zero_s),
    )


def frame_criteria(table: pd.DataFrame, *, frames: int | Sequence[int]) -> pd.DataFrame:
    """Count, and sum, mean and standard deviation of every quantity, frame by frame; see `Criteria.frames`."""
    every = pd.Index(frames if isinstance(frames, Sequence) else range(frames), dtype=np.int64, name="t")
    groups = table.groupby("t")
    columns: dict[str, pd.Series] = {"count": groups.size().reindex(every, fill_value=0).astype(np.int64)}
    for name in _known(table):
        columns[f"{name}_sum"] = groups[name].sum(min_count=1).reindex(every, fill_value=0.0)
        columns[f"{name}_mean"] = groups[name].mean().reindex(every)
        columns[f"{name}_std"] = groups[name].std(ddof=0).reindex(every)
    return pd.DataFrame(columns).reset_index()


def track_criteria(table: pd.DataFrame, tracks: pd.DataFrame) -> pd.DataFrame:
    """Means, growth and path of every track; see `Criteria.tracks`."""
    rows = table.sort_values(["track", "t"])
    groups = rows.groupby("track")
    found = tracks.set_index("track")
    for name in _known(table):
        found[f"{name}_mean"] = groups[name].mean()
    if "volume_um3" in table.columns:
        found["volume_um3_per_frame"] = _slope(rows, "volume_um3")
    place = [name for name in _PLACE if name in table.columns]
    if place:
        steps = rows[place].groupby(rows["track"]).diff()
        found["path_um"] = np.sqrt((steps**2).sum(axis=1)).groupby(rows["track"]).sum()
        found["speed_um_per_frame"] = found["path_um"] / (found["last"] - found["first"]).where(lambda n: n > 0)
    return found.reset_index()


def division_criteria(table: pd.DataFrame, tracks: pd.DataFrame, *, edges: pd.DataFrame | None = None) -> pd.DataFrame:
    """Where was each division, how alike are the sisters, what became of their mother's volume? See `Criteria.divisions`."""
    found = divisions(tracks)
    result = pd.DataFrame(
        {
            "t": found["t"],
            "mother": found["track"],
            "generation": found["generation"],
            "daughters": np.array([len(d) for d in found["daughters"]], dtype=np.int64),
            "daughter_1": np.array([d[0] for d in found["daughters"]], dtype=np.int64),
            "daughter_2": np.array([(*d, 0)[1] for d in found["daughters"]], dtype=np.int64),
        }
    )
    centre = newborn_centres(table, found)
    for axis in [name for name in _PLACE if name in centre.columns]:
        result[axis] = centre[axis].reindex(found["track"]).to_numpy()
    if edges is not None:
        result["confidence"] = division_confidence(table, edges).reindex(found["track"]).to_numpy()
    born, last = _ends(table, tracks)
    one, two = (born.reindex(result[name]).reset_index(drop=True) for name in ("daughter_1", "daughter_2"))
    if "volume_um3" in table.columns:
        mother = last.reindex(result["mother"]).reset_index(drop=True)
        result["sister_volume_ratio"] = _smaller_over_larger(one["volume_um3"], two["volume_um3"])
        result["volume_ratio"] = (one["volume_um3"] + two["volume_um3"]) / mother["volume_um3"]
    if "intensity_mean" in table.columns:
        result["sister_intensity_ratio"] = _smaller_over_larger(one["intensity_mean"], two["intensity_mean"])
    place = [name for name in _PLACE if name in table.columns]
    if place:
        result["sister_distance_um"] = np.sqrt(((one[place] - two[place]) ** 2).sum(axis=1, skipna=False))
    compared = [name for name in _OF_TWO if name in result.columns]
    result[compared] = result[compared].where(result["daughters"] == 2)
    return result


def newborn_centres(table: pd.DataFrame, divided: pd.DataFrame) -> pd.DataFrame:
    """Middle between the daughters in their first frame, in voxels and micrometres where known, by the mother's track.

    Parameters
    ----------
    table : DataFrame
        A complete nucleus table.
    divided : DataFrame
        Divisions, see `history.divisions`.
    """
    known = [name for name in (*"zyx", *_PLACE) if name in table.columns]
    first = divided[["track", "t"]].rename(columns={"track": "parent"})
    return table.merge(first, on=["parent", "t"]).groupby("parent")[known].mean()


def division_confidence(table: pd.DataFrame, edges: pd.DataFrame) -> pd.Series:
    """Confidence of each division (of its less certain daughter), by the mother's track; see `store.labels.tracks`."""
    joins = edges[edges["kind"] == "division"].rename(columns={"t_a": "t", "label_a": "label"})
    mothers = joins.merge(table[["t", "label", "track"]], on=["t", "label"])
    return mothers.groupby("track")["confidence"].min()


def generation_criteria(tracks: pd.DataFrame) -> pd.DataFrame:
    """Cycle lengths and synchrony, generation by generation; see `Criteria.generations`."""
    tracks = of_known_generation(tracks)
    index = pd.Index(sorted(tracks["generation"].unique()), name="generation")
    length = cycles(tracks).groupby("generation")["length"]
    divided = tracks[tracks["divided"] >= 0].groupby("generation")["divided"]
    return pd.DataFrame(
        {
            "tracks": tracks.groupby("generation").size().reindex(index),
            "cycles": length.size().reindex(index, fill_value=0),
            **{f"cycle_frames_{what}": length.agg(what).reindex(index) for what in ("mean", "std", "min", "max")},
            "divisions": divided.size().reindex(index, fill_value=0),
            "division_t_mean": divided.mean().reindex(index),
            "division_t_std": divided.std().reindex(index),
        }
    ).reset_index()


def _known(table: pd.DataFrame) -> list[str]:
    return [name for name in QUANTITIES if name in table.columns] + [
        name for name in table.columns if name.startswith(CHANNEL_PREFIXES)
    ]


def _slope(rows: pd.DataFrame, column: str) -> pd.Series:
    """Least-squares slope of a column over `t` for each track; missing where a track has one frame."""
    track = rows["track"]
    t = rows["t"] - rows["t"].groupby(track).transform("mean")
    spread = (t**2).groupby(track).sum()
    return (t * rows[column]).groupby(track).sum() / spread.where(spread > 0)


def _ends(table: pd.DataFrame, tracks: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Means over the first frames of each daughter (those both sisters are seen in), and over the last of each mother."""
    rows = table.merge(tracks[["track", "first", "last"]], on="track")
    numbers = [name for name in (*QUANTITIES, *_PLACE) if name in table.columns]
    early = rows[(rows["parent"] > 0) & (rows["t"] < rows["first"] + NEWBORN_FRAMES)]
    together = early.groupby(["parent", "t"])["track"].transform("nunique") == 2
    late = rows[rows["t"] > rows["last"] - NEWBORN_FRAMES]
    return early[together].groupby("track")[numbers].mean(), late.groupby("track")[numbers].mean()


def _smaller_over_larger(one: pd.Series, two: pd.Series) -> pd.Series:
    both = pd.concat([one, two], axis=1)
    ratio: pd.Series = both.min(axis=1, skipna=False) / both.max(axis=1, skipna=False)
    return ratio


def _with_seconds(table: pd.DataFrame, interval_s: float | None, zero_s: float) -> pd.DataFrame:
    """Add a column in seconds after each column that is a time in frames."""
    if interval_s is None:
        return table
    result = table.copy()
    for name in table.columns:
        seconds = (
            "t_s" if name == "t" else name.replace("cycle_frames_", "cycle_s_").replace("division_t_", "division_s_")
        )
        if name == "t" or seconds != name:
            since_s = zero_s if name in ("t", "division_t_mean") else 0.0  # the others are lengths of time
            at = int(np.flatnonzero(result.columns == name)[0]) + 1
            result.insert(at, seconds, since_s + table[name] * interval_s)
    return result
