"""Laws of adopted tracks: no number changes, and families are those that linking would make of the same joins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlseg.errors import LabelError
from tlseg.link.adopted import Numbers, adopt
from tlseg.link.lineage import DIVISION, GAP, LINK, Edges, Lineage, build_lineage


@dataclass(frozen=True)
class Track:
    """A nucleus between divisions."""

    number: int
    frames: tuple[int, ...]
    mother: int


@st.composite
def families(draw: st.DrawFn) -> list[Track]:
    """Tracks under any numbers, with gaps, late mothers, and any number of daughters."""
    count = draw(st.integers(0, 8))
    numbers = draw(st.lists(st.integers(1, 2**32 - 1), min_size=count, max_size=count, unique=True))
    tracks: list[Track] = []
    for number in numbers:
        mother = draw(st.none() | st.sampled_from(tracks)) if tracks else None
        begin = draw(st.integers(0, 3)) if mother is None else mother.frames[-1] + draw(st.integers(1, 3))
        steps = draw(st.lists(st.integers(1, 3), max_size=4))
        frames = tuple(int(t) for t in begin + np.cumsum([0, *steps]))
        tracks.append(Track(number, frames, 0 if mother is None else mother.number))
    return tracks


def rows_of(tracks: list[Track]) -> tuple[np.ndarray, np.ndarray]:
    """Frame and number of every nucleus."""
    pairs = np.array([(t, track.number) for track in tracks for t in track.frames], np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def adopted(tracks: list[Track], t: np.ndarray, label: np.ndarray) -> Lineage:
    told = np.array([(k.number, k.mother) for k in tracks if k.mother], np.int64).reshape(-1, 2)
    return adopt(Numbers.of(t, label), daughter=told[:, 0], mother=told[:, 1], where="parents.csv")


def found(tracks: list[Track]) -> Lineage:
    """What linking makes of the same joins, under the numbers of `tracks`."""
    t, label = rows_of(tracks)
    row = {(int(a), int(b)): i for i, (a, b) in enumerate(zip(t, label, strict=True))}
    last = {k.number: (k.frames[-1], k.number) for k in tracks}
    joins = [
        (row[a, k.number], row[b, k.number], LINK if b == a + 1 else GAP)
        for k in tracks
        for a, b in zip(k.frames, k.frames[1:], strict=False)
    ]
    joins += [(row[last[k.mother]], row[k.frames[0], k.number], DIVISION) for k in tracks if k.mother]
    a, b, kind = ([j[i] for j in joins] for i in range(3))
    edges = Edges(np.array(a, np.int64), np.array(b, np.int64), np.array(kind, str), np.ones(len(joins)))
    lineage = build_lineage(t, label, edges)
    named = {0: 0} | dict(zip(lineage.nodes["track"], lineage.nodes["label"], strict=True))
    renamed = {column: lineage.nodes[column].map(named).astype(np.int64) for column in ("track", "lineage", "parent")}
    return Lineage(lineage.nodes.assign(**renamed), lineage.edges)


@given(families(), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_a_lineage_is_that_of_the_same_joins_under_the_given_numbers(tracks: list[Track], random: object) -> None:
    t, label = rows_of(tracks)
    order = np.arange(len(t))
    random.shuffle(order)  # type: ignore[attr-defined]
    lineage, same = adopted(tracks, t[order], label[order]), found(tracks)
    pd.testing.assert_frame_equal(lineage.nodes, same.nodes)
    pd.testing.assert_frame_equal(lineage.edges, same.edges)
    assert (lineage.nodes["track"] == lineage.nodes["label"]).all()
    assert lineage.tracks == len(tracks)
    assert lineage.divisions == len({k.mother for k in tracks if k.mother})
    assert lineage.gaps == sum(b > a + 1 for k in tracks for a, b in zip(k.frames, k.frames[1:], strict=False))


FAMILY = [Track(7, (0, 1, 2), 0), Track(30, (3, 4), 7), Track(20, (3, 5), 7), Track(11, (2, 3), 0), Track(9, (6,), 20)]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ([(30, 8)], "makes 8 the mother of 30, but no frame of the labels contains 8. Give 0"),
        ([(30, 8), (20, 8), (9, 20)], r"no frame of the labels contains 8 \(2 such cases\)"),
        ([(30, 7), (30, 11)], "gives 30 two mothers, 7 and 11"),
        ([(30, 30)], "makes 30 its own ancestor. Correct"),
        ([(30, 7), (7, 9), (9, 20), (20, 7)], r"makes 7 its own ancestor \(3 such cases\)"),
        (
            [(20, 7), (30, 11)],
            "mother of 30, but in the labels 11 lasts until frame 3 and 30 begins in frame 3. A mother",
        ),
        ([(20, 11), (30, 11)], r"begins in frame 3 \(2 such cases\)"),
        ([(7, 30)], "30 lasts until frame 4 and 7 begins in frame 0"),
    ],
)
def test_contradictions_are_one_error_that_names_the_first(told: list[tuple[int, int]], words: str) -> None:
    daughter, mother = np.array(told).T
    with pytest.raises(LabelError, match=words) as error:
        adopt(Numbers.of(*rows_of(FAMILY)), daughter=daughter, mother=mother, where="parents.csv")
    assert str(error.value).startswith("parents.csv ")


def test_generations_are_unknown_where_a_family_begins_late() -> None:
    lineage = adopted(FAMILY, *rows_of(FAMILY))
    of = lineage.nodes.drop_duplicates("track").set_index("track")
    assert of["generation"].to_dict() == {7: 0, 20: 1, 30: 1, 9: 2, 11: -1}
    assert of["lineage"].to_dict() == {7: 7, 20: 7, 30: 7, 9: 7, 11: 11}


def test_a_long_line_of_descent_is_no_circle() -> None:
    line = [Track(number + 1, (number,), number) for number in range(70)]
    lineage = adopted(line, *rows_of(line))
    assert lineage.nodes["generation"].tolist() == list(range(70))
