"""Which mothers are given, and where do they and the labels differ without contradicting each other?

The labels take precedence; a note reports everything about the mothers that was not used.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from tlseg.link.adopted import Numbers
from tlseg.link.lineage import DIVISION, Lineage
from tlseg.link.objects import Ints
from tlseg.run.linking.source import LabelInput
from tlseg.store.labels.parents import Parents, parents_of, read_parents
from tlseg.wording import how_many


def parents_for(source: LabelInput, parents: str | Path | None) -> Parents | None:
    """Read the mothers that were given, or those stored with the labels; None if nothing says who they are."""
    if parents is None:
        return parents_of(source.movie)
    return read_parents(parents, prefer=tuple(n for n in (source.own_name, "nuclei") if n))


def mothers_to_use(told: Parents, tracks: Ints) -> pd.DataFrame:
    """Select rows `track, parent` of existing tracks with a mother; from a graph, only if she still exists, too."""
    mothers = _with_mother(told, tracks)
    return mothers[mothers["parent"].isin(tracks)] if told.kind == "graph" else mothers


def notes_on(told: Parents, numbers: Numbers, lineage: Lineage, *, first: int) -> tuple[str, ...]:
    """Return notes on how mothers and labels differ, one for each kind of difference.

    Parameters
    ----------
    told
        The mothers that were given.
    numbers
        The nuclei.
    lineage
        The lineage made from both.
    first
        First frame of the labels: frames of a track file may be counted from there.
    """
    known = int((lineage.nodes.drop_duplicates("track")["parent"] > 0).sum())
    said = f"{told.where} gives the mothers of {known} of {how_many(len(numbers.track), 'track')}."
    others = (
        _mother_gone(told, numbers.track),
        _mother_elsewhere(told, numbers, first=first),
        _in_no_frame(told, numbers.track),
        _not_listed(told, numbers.track),
        _other_frames(told, numbers, first=first),
        _one_daughter(lineage),
    )
    return (said, *filter(None, others))


def _with_mother(told: Parents, tracks: Ints) -> pd.DataFrame:
    return told.tracks.loc[(told.tracks["parent"] > 0) & told.tracks["track"].isin(tracks), ["track", "parent"]]


def _mother_gone(told: Parents, tracks: Ints) -> str:
    mothers = _with_mother(told, tracks)
    gone = mothers[~mothers["parent"].isin(tracks)]
    if told.kind != "graph" or not len(gone):
        return ""
    track, parent = gone.iloc[0]
    return (
        f"Without a mother, because she is no longer in the labels: {how_many(len(gone), 'track')}, first {track}, whose "
        f"mother was {parent}."
    )


def _mother_elsewhere(told: Parents, numbers: Numbers, *, first: int) -> str:
    """Note mothers that were split, or joined with other tracks: they may no longer be the mothers of these daughters."""
    if told.kind != "graph":
        return ""
    seen = pd.DataFrame({"parent": numbers.track, "last": numbers.t[numbers.last]})
    mothers = told.tracks[told.tracks["track"].isin(numbers.track)].merge(seen, on="parent")
    wrong = _fewest([mothers[mothers["last"] - shift != mothers["left"]] for shift in (0, first)])
    if not len(wrong):
        return ""
    row = wrong.iloc[0]
    return (
        f"With a mother who ends in another frame than the graph says, but was kept: {how_many(len(wrong), 'track')}, first "
        f"{row['track']}, whose mother {row['parent']} ends in frame {row['last']}. If tracks were split or joined, give "
        "the mothers with --parents."
    )


def _in_no_frame(told: Parents, tracks: Ints) -> str:
    missing = told.tracks.loc[~told.tracks["track"].isin(tracks), "track"].to_numpy()
    if told.kind == "graph" or not len(missing):
        return ""
    return f"Not in the labels: {how_many(len(missing), 'track')} of {told.where}, first {missing[0]}."


def _not_listed(told: Parents, tracks: Ints) -> str:
    more = tracks[~np.isin(tracks, told.tracks["track"])]
    if told.kind != "track file" or not len(more):
        return ""
    return f"Not listed in {told.where}, so without a mother: {how_many(len(more), 'track')} of the labels, first {more[0]}."


def _other_frames(told: Parents, numbers: Numbers, *, first: int) -> str:
    if told.kind != "track file":
        return ""
    seen = pd.DataFrame({"track": numbers.track, "begin": numbers.t[numbers.first], "last": numbers.t[numbers.last]})
    both = told.tracks.merge(seen, on="track")
    wrong = _fewest(
        [both[(both["begin"] - n != both["start"]) | (both["last"] - n != both["end"])] for n in (0, first)]
    )
    if not len(wrong):
        return ""
    row = wrong.iloc[0]
    return (
        f"In other frames than {told.where} says: {how_many(len(wrong), 'track')}, first {row['track']}, in frames "
        f"{row['begin']} to {row['last']} of the labels but {row['start']} to {row['end']} according to the file. The "
        "frames of the labels were used."
    )


def _one_daughter(lineage: Lineage) -> str:
    edges = lineage.edges[lineage.edges["kind"] == DIVISION]
    daughters = edges.groupby("label_a").size()
    single = daughters.index[daughters == 1]
    if not len(single):
        return ""
    return (
        f"With only one daughter, but counted as divisions: {how_many(len(single), 'mother')}, first {single[0]}. Cell "
        "Tracking Challenge files also describe a nucleus that is missing for some frames in this way; to make it one "
        "track, give both parts the same number."
    )


def _fewest(tables: list[pd.DataFrame]) -> pd.DataFrame:
    return min(tables, key=len)
