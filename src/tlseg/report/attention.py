"""Where a person should look first: the places the run itself is least sure of.

Every row says frame, track and position, so that it can be found in the pictures and in any viewer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tlseg.measure.criteria import NEWBORN_FRAMES, division_confidence, newborn_centres
from tlseg.measure.history import divisions, gaps, motherless, track_table
from tlseg.report.svg import size_text
from tlseg.wording import how_many

MOST_ROWS = 60
MOST_DIVISIONS = 400
"""Rows of a list; divisions are checked one by one, so more of them are shown."""
DOUBTFUL = 0.95
"""Confidence below which a link is worth a look."""
JUMP = 2.0
"""Factor by which a nucleus grows or shrinks between frames from which it is worth a look."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One kind of thing worth checking.

    Attributes
    ----------
    key : str
        Short name.
    title, about : str
        What it is, and why it deserves a look.
    total : int
        How many there are.
    rows : DataFrame
        The first `MOST_ROWS` of them (`MOST_DIVISIONS` of divisions): `t`, `track`, position (`z`, `y`, `x` voxels and
        `*_um`, where known), and columns of its own.
    shown : mapping of str to str
        Columns of its own and their titles.
    """

    key: str
    title: str
    about: str
    total: int
    rows: pd.DataFrame
    shown: Mapping[str, str]


def listings(
    table: pd.DataFrame, edges: pd.DataFrame | None, *, frames: Sequence[int], first_frame: int = 0
) -> list[Listing]:
    """Everything worth checking, most doubtful first.

    Parameters
    ----------
    table : DataFrame
        A complete nucleus table.
    edges : DataFrame or None
        Links with their confidence, see `store.tracks.read_tracks`.
    frames : sequence of int
        Frames that were segmented, ascending: tracks begin in the first, end in the last and are not seen between them
        without anything being wrong.
    first_frame : int
        Number, in the movie, of frame 0: texts have the movie's numbers.
    """
    tracks = track_table(table)
    return [
        *([] if edges is None else [_links(table, edges, first_frame)]),
        _divisions(table, tracks, edges),
        _seeds(table, "fallback", "Fallback instances", "Foreground in which no nucleus centre was detected."),
        _seeds(
            table,
            "repaired",
            "Repaired instances",
            "Merged or cut in their frame, corrected using the frames before and after.",
        ),
        _jumps(table, tracks),
        _gaps(table, frames, first_frame),
        _loose(table, frames),
        _edge(table),
    ]


def _links(table: pd.DataFrame, edges: pd.DataFrame, first_frame: int) -> Listing:
    doubtful = edges[edges["confidence"] < DOUBTFUL].sort_values("confidence", kind="stable")
    first = doubtful.head(MOST_ROWS).rename(columns={"t_a": "t", "label_a": "label"})
    rows = first.merge(_places(table), on=["t", "label"], how="left")
    rows["track"] = rows["track"].fillna(rows["label"]).astype(np.int64)
    rows["becomes"] = [
        f"{int(b)} in frame {first_frame + int(t)}" for b, t in zip(rows["label_b"], rows["t_b"], strict=True)
    ]
    rows["sure"] = [f"{v:.3f}" for v in rows["confidence"]]
    return Listing(
        "links",
        "Least confident links",
        f"Links between frames with a confidence below {DOUBTFUL:g}, least confident first: a swap of two nuclei is most "
        "likely here. The position is that of the earlier nucleus.",
        len(doubtful),
        rows,
        {"becomes": "becomes", "kind": "kind", "sure": "confidence"},
    )


def _divisions(table: pd.DataFrame, tracks: pd.DataFrame, edges: pd.DataFrame | None) -> Listing:
    """All divisions, least confident first; in order of time if their confidence is unknown."""
    found = divisions(tracks)
    rows = found.join(newborn_centres(table, found), on="track")
    rows["daughters"] = [", ".join(str(v) for v in daughters) for daughters in found["daughters"]]
    shown = {"daughters": "daughters"}
    order = ""
    if edges is not None:
        sure = division_confidence(table, edges).reindex(found["track"]).to_numpy()
        rows = rows.assign(sure=[f"{v:.3f}" if v == v else "–" for v in sure], value=sure)
        rows = rows.sort_values("value", kind="stable", ignore_index=True)
        shown, order = shown | {"sure": "confidence"}, ", least confident first"
    return Listing(
        "divisions",
        "Divisions",
        f"All of them{order}. The frame is the daughters' first, the track is their mother's, and the position is midway "
        "between them. With times, as CSV: tlseg export --format criteria.",
        len(rows),
        rows.head(MOST_DIVISIONS),
        shown,
    )


def _jumps(table: pd.DataFrame, tracks: pd.DataFrame) -> Listing:
    """Nuclei whose volume jumps from one frame to the next, the largest jumps first; divisions and the edge excluded."""
    title = "Volume jumps"
    about = (
        f"Nuclei that became more than {JUMP:g} times larger or smaller since the frame before, not at the frame's edge and "
        "not around a division: two may be merged here, or one is cut, or it is another nucleus."
    )
    if "volume_um3" not in table.columns:
        return Listing("jumps", title, about, 0, table.head(0), {})
    rows = table.sort_values(["track", "t"]).merge(tracks[["track", "first", "divided"]], on="track")
    before = rows.groupby("track")[["t", "volume_um3", "touches_edge"]].shift(1)
    times = rows["volume_um3"] / before["volume_um3"]
    born = (rows["parent"] > 0) & (before["t"] < rows["first"] + NEWBORN_FRAMES)
    dividing = (rows["divided"] >= 0) & (rows["t"] >= rows["divided"] - NEWBORN_FRAMES)
    whole = ~rows["touches_edge"] & (before["touches_edge"] == False)  # noqa: E712 - missing before the first
    odd = ((times > JUMP) | (times < 1 / JUMP)) & (before["t"] == rows["t"] - 1) & whole & ~born & ~dividing
    found = rows[odd].assign(before=before["volume_um3"][odd], size=np.abs(np.log(times[odd])))
    found = found.sort_values(["size", "t", "track"], ascending=[False, True, True], ignore_index=True)
    first = _with_volume(found.head(MOST_ROWS))
    first["was"] = [size_text(v) for v in first["before"]]
    return Listing("jumps", title, about, len(found), first, {"was": "before (µm³)", **_volume_column(table)})


def _seeds(table: pd.DataFrame, seed: str, title: str, about: str) -> Listing:
    found = table[table["seed"] == seed].sort_values(["t", "track"])
    return Listing(seed, title, about, len(found), _with_volume(found.head(MOST_ROWS)), _volume_column(table))


def _gaps(table: pd.DataFrame, frames: Sequence[int], first_frame: int) -> Listing:
    found, looked_at = gaps(table), set(frames)
    missed = [not looked_at.isdisjoint(range(a + 1, b)) for a, b in zip(found["t"], found["t_next"], strict=True)]
    found = found[np.array(missed, dtype=bool)]
    rows = found.head(MOST_ROWS).merge(_places(table).drop(columns="label"), on=["t", "track"], how="left")
    rows["missed"] = [
        f"{a + 1}" if b - a == 2 else f"{a + 1} to {b - 1}"
        for a, b in zip(rows["t"] + first_frame, rows["t_next"] + first_frame, strict=True)
    ]
    return Listing(
        "gaps",
        "Gaps",
        "Frames in which a track was not seen; the position is the last one before the gap.",
        len(found),
        rows,
        {"missed": "missing frames"},
    )


def _loose(table: pd.DataFrame, frames: Sequence[int]) -> Listing:
    """Tracks that begin without a mother or end without daughters within the movie, and not at the frame's edge."""
    known = table.sort_values(["track", "t"])
    begun, end = motherless(known, first=frames[0]), known.drop_duplicates("track", keep="last")
    vanish = end[(end["t"] < frames[-1]) & ~end["track"].isin(known["parent"]) & ~end["touches_edge"]]
    found = pd.concat([begun[~begun["touches_edge"]].assign(what="begins"), vanish.assign(what="ends")])
    found = found.sort_values(["t", "track", "what"], ignore_index=True)
    return Listing(
        "loose",
        "Tracks with an unexplained beginning or end",
        "They begin without a mother after the first frame, or end without daughters before the last: a division or a link "
        "was missed, the nucleus died, or it is not a nucleus. Those at the frame's edge, which may have entered or left "
        "there, are not listed.",
        len(found),
        _with_volume(found.head(MOST_ROWS)),
        {"what": "here it", **_volume_column(table)},
    )


def _edge(table: pd.DataFrame) -> Listing:
    """Tracks that the frame's edge cuts, once each."""
    cut = table[table["touches_edge"]].sort_values(["track", "t"])
    cut_frames = cut.groupby("track")["t"].agg(["size", "max"])
    first = cut.drop_duplicates("track").sort_values(["t", "track"])
    rows = _with_volume(first.head(MOST_ROWS))
    rows["cut"] = [f"{int(cut_frames.loc[track, 'size'])}" for track in rows["track"]]
    return Listing(
        "edge",
        "Tracks cut by the frame's edge",
        f"Their volumes are too small and their shapes incomplete; {how_many(len(cut), 'instance')}. The "
        "first frame of each is shown.",
        len(first),
        rows,
        {"cut": "frames cut", **_volume_column(table)},
    )


def _places(table: pd.DataFrame) -> pd.DataFrame:
    known = ["t", "label", "track", "z", "y", "x", "z_um", "y_um", "x_um"]
    return table[[name for name in known if name in table.columns]]


def _volume_column(table: pd.DataFrame) -> dict[str, str]:
    return {"volume": "volume (µm³)"} if "volume_um3" in table.columns else {}


def _with_volume(rows: pd.DataFrame) -> pd.DataFrame:
    if "volume_um3" not in rows.columns:
        return rows.copy()
    return rows.assign(volume=[size_text(v) for v in rows["volume_um3"]])
