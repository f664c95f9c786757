"""Where do the mothers that somebody told and the labels differ, without contradicting each other?

The labels count; what is left out of what was told is said.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from tlseg.link.adopted import Numbers
from tlseg.link.lineage import DIVISION, Lineage
from tlseg.link.objects import Ints
from tlseg.store.labels.parents import Parents


def mothers_among(told: Parents, tracks: Ints) -> pd.DataFrame:
    """Rows `track, parent` of tracks that are there and have a mother; of a graph, one that is there too."""
    mothers = _with_mother(told, tracks)
    return mothers[mothers["parent"].isin(tracks)] if told.kind == "graph" else mothers


def notes_on(told: Parents, numbers: Numbers, lineage: Lineage, *, first: int) -> tuple[str, ...]:
    """What to know, one note for each thing.

    Parameters
    ----------
    told
        Mothers, as somebody wrote them down.
    numbers
        The nuclei.
    lineage
        What was made of both.
    first
        First frame of the labels, from which a track file may count.
    """
    known = int((lineage.nodes.drop_duplicates("track")["parent"] > 0).sum())
    said = f"{told.where} says the mothers of {known} of {_many(len(numbers.track), 'track')}."
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
        f"Without a mother now, because she is not in the labels any more: {_many(len(gone), 'track')}, first {track}, "
        f"whose mother was {parent}."
    )


def _mother_elsewhere(told: Parents, numbers: Numbers, *, first: int) -> str:
    """Who was split, or joined with another: her daughters may not be hers any more."""
    if told.kind != "graph":
        return ""
    seen = pd.DataFrame({"parent": numbers.track, "last": numbers.t[numbers.last]})
    mothers = told.tracks[told.tracks["track"].isin(numbers.track)].merge(seen, on="parent")
    wrong = _fewest([mothers[mothers["last"] - shift != mothers["left"]] for shift in (0, first)])
    if not len(wrong):
        return ""
    row = wrong.iloc[0]
    return (
        f"Not last seen where the graph says, and still taken for the mothers of {_many(len(wrong), 'track')}: first "
        f"{row['parent']}, of {row['track']}, last seen in {row['last']}. Where tracks were split or joined, tell mothers "
        "with --parents."
    )


def _in_no_frame(told: Parents, tracks: Ints) -> str:
    missing = told.tracks.loc[~told.tracks["track"].isin(tracks), "track"].to_numpy()
    if told.kind == "graph" or not len(missing):
        return ""
    return f"In no frame of the labels: {_many(len(missing), 'track')} of {told.where}, first {missing[0]}."


def _not_listed(told: Parents, tracks: Ints) -> str:
    more = tracks[~np.isin(tracks, told.tracks["track"])]
    if told.kind != "track file" or not len(more):
        return ""
    return f"Not in {told.where}, so without a mother: {_many(len(more), 'track')} of the labels, first {more[0]}."


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
        f"In other frames than {told.where} says: {_many(len(wrong), 'track')}, first {row['track']}, seen in "
        f"{row['begin']} to {row['last']} and said to be in {row['start']} to {row['end']}. What is seen counts."
    )


def _one_daughter(lineage: Lineage) -> str:
    edges = lineage.edges[lineage.edges["kind"] == DIVISION]
    daughters = edges.groupby("label_a").size()
    single = daughters.index[daughters == 1]
    if not len(single):
        return ""
    return (
        f"With one daughter, and counted as divisions: {_many(len(single), 'mother')}, first {single[0]}. The Cell Tracking "
        "Challenge writes a nucleus that is missing for some frames so too; to have it as one track, give both parts one "
        "number."
    )


def _fewest(tables: list[pd.DataFrame]) -> pd.DataFrame:
    return min(tables, key=len)


def _many(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
