"""What happened to every nucleus: tracks with a beginning and an end, divisions, complete cell cycles.

Made from the nucleus table alone, so a result without a graph has a history too.
"""

from __future__ import annotations

import numpy as np
import pandas as pd


def complete(table: pd.DataFrame) -> pd.DataFrame:
    """Nucleus table with the columns a history needs; if they are missing, a label is a track without a mother.

    Parameters
    ----------
    table : DataFrame
        At least `t` and `label`.
    """
    track = table["track"] if "track" in table.columns else table["label"]
    begin = table["t"].groupby(track).transform("min")
    return table.assign(
        track=track,
        lineage=table["lineage"] if "lineage" in table.columns else track,
        parent=table["parent"] if "parent" in table.columns else 0,
        generation=table["generation"] if "generation" in table.columns else np.where(begin == table["t"].min(), 0, -1),
        seed=table["seed"].astype(str) if "seed" in table.columns else "detected",
        touches_edge=table["touches_edge"].astype(bool) if "touches_edge" in table.columns else False,
    )


def track_table(table: pd.DataFrame) -> pd.DataFrame:
    """One row per track, by number.

    Parameters
    ----------
    table : DataFrame
        A complete nucleus table.

    Returns
    -------
    DataFrame
        `track`, first and last frame, `frames` it was seen in, `parent` (0: none or not in this table), `lineage`,
        `generation`, and `divided`: the first frame of its daughters, -1 where it has none.
    """
    groups = table.groupby("track", sort=True)
    tracks = groups.agg(
        first=("t", "min"),
        last=("t", "max"),
        frames=("t", "nunique"),
        parent=("parent", "first"),
        lineage=("lineage", "first"),
        generation=("generation", "first"),
    ).reset_index()
    tracks["parent"] = tracks["parent"].where(tracks["parent"].isin(tracks["track"]), 0).astype(np.int64)
    born = tracks[tracks["parent"] > 0].groupby("parent")["first"].min()
    tracks["divided"] = tracks["track"].map(born).fillna(-1).astype(np.int64)
    return tracks


def divisions(tracks: pd.DataFrame) -> pd.DataFrame:
    """Divisions by time: `t` (first frame of the daughters), `track` of the mother, her `generation`, `daughters`."""
    daughters = tracks[tracks["parent"] > 0].groupby("parent")["track"].apply(lambda s: tuple(int(v) for v in s))
    mothers = tracks[tracks["divided"] >= 0]
    found = pd.DataFrame(
        {
            "t": mothers["divided"].to_numpy(),
            "track": mothers["track"].to_numpy(),
            "generation": mothers["generation"].to_numpy(),
            "daughters": [daughters[track] for track in mothers["track"]],
        }
    )
    return found.sort_values(["t", "track"], ignore_index=True)


def cycles(tracks: pd.DataFrame) -> pd.DataFrame:
    """Complete cell cycles: tracks that began and ended with a division, with `length` in frames."""
    whole = tracks[(tracks["parent"] > 0) & (tracks["divided"] >= 0)]
    return whole.assign(length=whole["divided"] - whole["first"])[["track", "generation", "first", "length"]]


def gaps(table: pd.DataFrame) -> pd.DataFrame:
    """Frames in which a track was not seen: `track`, last frame before (`t`), next frame after (`t_next`)."""
    rows = table[["track", "t"]].drop_duplicates().sort_values(["track", "t"])
    following = rows.groupby("track")["t"].shift(-1)
    missing = following - rows["t"] > 1
    found = rows[missing].assign(t_next=following[missing].astype(np.int64))
    return found.sort_values(["t", "track"], ignore_index=True)


def of_known_generation(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows whose `generation` is known: below 0 are tracks of families that begin after the first frame."""
    return rows[rows["generation"] >= 0]


MANY_MOTHERLESS = 0.25
"""Share of motherless tracks, edge excluded, from which tracking has probably failed; a few per cent are usual."""


def motherless(table: pd.DataFrame, *, first: int) -> pd.DataFrame:
    """First rows of the tracks that begin within the movie without a mother; `touches_edge` tells who may have come in.

    Parameters
    ----------
    table : DataFrame
        `t`, `track`, `parent` and `touches_edge` of every nucleus.
    first : int
        First frame that was segmented: there, all tracks begin without a mother.
    """
    begin = table.sort_values(["track", "t"]).drop_duplicates("track")
    return begin[(begin["t"] > first) & ~begin["parent"].isin(begin["track"])]


def counts(table: pd.DataFrame, frames: int) -> np.ndarray:
    """Nuclei in each frame, int64 (frames,)."""
    return np.bincount(table["t"].to_numpy(dtype=np.int64), minlength=frames)[:frames]
