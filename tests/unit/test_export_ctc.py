"""Tracks as the Cell Tracking Challenge defines them: contiguous, uint16, with every row of the table in one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlseg.errors import LabelError
from tlseg.store.export.ctc import ctc_tracks


def rows_of(tracks: dict[int, tuple[int, list[int]]]) -> pd.DataFrame:
    """Rows of tracks given as number: (parent, frames)."""
    return pd.DataFrame(
        [(t, k, k, parent) for k, (parent, frames) in tracks.items() for t in frames],
        columns=["t", "label", "track", "parent"],
    )


def lines(tracks: pd.DataFrame) -> list[tuple[int, ...]]:
    return [tuple(row) for row in tracks[["number", "begin", "end", "parent"]].to_numpy().tolist()]


def test_whole_tracks_keep_their_numbers() -> None:
    nodes, tracks = ctc_tracks(rows_of({1: (0, [0, 1]), 2: (1, [2, 3]), 5: (1, [2])}))
    assert lines(tracks) == [(1, 0, 1, 0), (2, 2, 3, 1), (5, 2, 2, 1)]
    assert (nodes["number"] == nodes["label"]).all()


def test_a_gap_makes_a_new_track_with_the_old_as_parent() -> None:
    nodes, tracks = ctc_tracks(rows_of({1: (0, [0, 1, 4, 6]), 2: (1, [7])}))
    assert lines(tracks) == [(1, 0, 1, 0), (2, 7, 7, 4), (3, 4, 4, 1), (4, 6, 6, 3)]
    assert nodes.loc[nodes["t"] == 6, "number"].tolist() == [4]


def test_a_parent_that_was_not_exported_is_none() -> None:
    assert lines(ctc_tracks(rows_of({7: (3, [5])}))[1]) == [(7, 5, 5, 0)]


def test_an_empty_movie_has_no_tracks() -> None:
    nodes, tracks = ctc_tracks(rows_of({}))
    assert (len(nodes), len(tracks)) == (0, 0)


def test_numbers_are_made_compact_only_where_16_bits_need_it() -> None:
    _, tracks = ctc_tracks(rows_of({70_000: (0, [1]), 80_000: (70_000, [2, 4]), 65_536: (0, [0])}))
    assert lines(tracks) == [(1, 0, 0, 0), (2, 1, 1, 0), (3, 2, 2, 2), (4, 4, 4, 3)]


def test_too_many_tracks_are_counted_in_the_error() -> None:
    rows = pd.DataFrame({"t": 0, "label": np.arange(1, 65_537), "track": np.arange(1, 65_537), "parent": 0})
    with pytest.raises(LabelError, match="65536 tracks"):
        ctc_tracks(rows)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.integers(1, 100_000), st.sets(st.integers(0, 9), min_size=1), max_size=8))
def test_pieces_are_contiguous_and_hold_every_row_once(frames: dict[int, set[int]]) -> None:
    rows = rows_of({k: (0, sorted(t)) for k, t in frames.items()})
    nodes, tracks = ctc_tracks(rows.sample(frac=1, random_state=0))
    assert sorted(zip(nodes["t"], nodes["label"], strict=True)) == sorted(zip(rows["t"], rows["label"], strict=True))
    assert tracks["number"].is_unique
    assert tracks["number"].max() <= 65_535 if len(tracks) else True
    for number, begin, end, parent in lines(tracks):
        here = nodes[nodes["number"] == number]
        assert here["t"].tolist() == list(range(begin, end + 1))
        assert here["label"].nunique() == 1
        if parent:
            before = tracks.set_index("number").loc[parent]
            assert before["end"] < begin - 1
            assert nodes.loc[nodes["number"] == parent, "label"].iloc[0] == here["label"].iloc[0]
