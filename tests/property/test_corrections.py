"""Laws of corrections: rows stay, numbers change as told, and mothers follow their nuclei."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlseg.errors import LabelError
from tlseg.link.corrections import MOST, Corrected, Correction, apply_corrections, follow_mothers

FAMILY = {7: (0, 1, 2), 30: (3, 4, 5), 20: (3, 5), 11: (2, 3), 9: (6,)}
"""Frames of each track: 7 divides into 30 and 20, and 20 has the daughter 9."""
MOTHERS = {30: 7, 20: 7, 9: 20}


def rows_of(tracks: dict[int, tuple[int, ...]]) -> tuple[np.ndarray, np.ndarray]:
    pairs = np.array([(t, n) for n, frames in tracks.items() for t in frames], np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def no_pixels(correction: Correction, frame: int, labels: np.ndarray) -> np.ndarray:
    raise AssertionError("nothing is separated")


def halves(correction: Correction, frame: int, labels: np.ndarray) -> np.ndarray:
    return np.append(labels[:1], 1000 + np.arange(len(correction.at_um) - 1))


def apply(*corrections: Correction, shift: int = 0) -> Corrected:
    t, label = rows_of(FAMILY)
    return apply_corrections(t + shift, label, corrections, take_apart=halves, offset=-shift)


def tracks_of(found: Corrected) -> dict[int, tuple[int, ...]]:
    pairs = {(int(n), int(t)) for n, t in zip(found.number, found.t, strict=True) if n}
    return {n: tuple(sorted(t for m, t in pairs if m == n)) for n in {n for n, _ in pairs}}


def mothers_of(
    found: Corrected, mothers: dict[int, int] = MOTHERS
) -> tuple[dict[int, int], tuple[tuple[int, int], ...]]:
    daughter, mother = (np.array(list(v), np.int64) for v in (mothers.keys(), mothers.values()))
    return follow_mothers(found, daughter=daughter, mother=mother)


@st.composite
def movies(draw: st.DrawFn) -> dict[int, tuple[int, ...]]:
    numbers = draw(st.lists(st.integers(1, MOST), min_size=2, max_size=5, unique=True))
    return {n: tuple(sorted(draw(st.sets(st.integers(0, 9), min_size=1)))) for n in numbers}


@st.composite
def edits(draw: st.DrawFn, numbers: Iterable[int]) -> Correction:
    known = st.sampled_from(sorted(numbers))
    first = draw(st.none() | st.integers(0, 9))
    last = None if first is None else draw(st.none() | st.integers(first, 9))
    return Correction(
        draw(st.sampled_from(["remove", "join", "split", "swap", "divide", "mother"])),  # type: ignore[arg-type]
        draw(known),
        first,
        last,
        draw(st.none() | known),
    )


@given(st.data())
@settings(deadline=None)
def test_rows_stay_and_every_row_has_one_number(data: st.DataObject) -> None:
    tracks = data.draw(movies())
    t, label = rows_of(tracks)
    corrections: list[Correction] = []
    for edit in data.draw(st.lists(edits(tracks), max_size=6)):
        try:
            apply_corrections(t, label, [*corrections, edit], take_apart=no_pixels)
        except LabelError:
            continue
        corrections.append(edit)
    found = apply_corrections(t, label, corrections, take_apart=no_pixels)
    np.testing.assert_array_equal(found.t, t)
    np.testing.assert_array_equal(found.label, label)
    np.testing.assert_array_equal(found.origin, label)
    assert ((found.number >= 0) & (found.number <= MOST)).all()
    assert len(found.said) == len(corrections)
    mothers, _ = mothers_of(found, dict.fromkeys(list(tracks)[1:], next(iter(tracks))))
    assert set(mothers) <= set(found.number.tolist())
    named = {c.track for c in corrections if c.action == "mother"}
    kept = {child: mother for child, mother in mothers.items() if child not in {*named, *found.mothers}}
    ends = {n: max(found.t[found.number == n]) for n in kept.values()}
    assert all(ends[m] < min(found.t[found.number == c]) for c, m in kept.items())


@given(st.data())
@settings(deadline=None)
def test_what_is_done_twice_or_back_is_undone(data: st.DataObject) -> None:
    tracks = data.draw(movies())
    t, label = rows_of(tracks)
    a, b = data.draw(st.lists(st.sampled_from(sorted(tracks)), min_size=2, max_size=2, unique=True))
    first = data.draw(st.integers(0, 9))
    swap = Correction("swap", a, first, None, b)
    split = Correction("split", a, first, None)
    for pair in ([swap, swap], [split, Correction("join", 0, None, None, a)]):
        try:
            once = apply_corrections(t, label, pair[:1], take_apart=no_pixels)
        except LabelError:
            continue
        new = set(once.number.tolist()) - set(tracks)
        if new:
            pair[1] = Correction("join", new.pop(), None, None, a)
        found = apply_corrections(t, label, pair, take_apart=no_pixels)
        np.testing.assert_array_equal(found.number, label)


def test_each_action_does_what_it_says() -> None:
    cases = {
        Correction("remove", 30, 4, 4): {30: (3, 5)},
        Correction("remove", 11): {11: ()},
        Correction("join", 9, None, None, 20): {20: (3, 5, 6), 9: ()},
        Correction("join", 11, 3, None, 30): {11: (2,)},
        Correction("split", 30, 4): {30: (3,), 31: (4, 5)},
        Correction("split", 30, 4, 4, 99): {30: (3, 5), 99: (4,)},
        Correction("swap", 30, 5, None, 20): {},
        Correction("swap", 7, 2, None, 11): {7: (0, 1, 2, 3), 11: (2,)},
        Correction("divide", 30, 4, None, 9): {30: (3,), 31: (4, 5)},
        Correction("mother", 11, None, None, 7): {},
        Correction("separate", 30, 4, None, None, ((0, 0, 0), (1, 1, 1), (2, 2, 2))): {31: (4,), 32: (4,)},
        Correction("separate", 30, 4, None, 20, ((0, 0, 0), (1, 1, 1))): {20: (3, 4, 5)},
    }
    for correction, changed in cases.items():
        expected = {n: frames for n, frames in {**FAMILY, **changed}.items() if frames}
        assert tracks_of(apply(correction)) == expected, correction
        assert tracks_of(apply(correction, shift=5)) == {n: tuple(t + 5 for t in f) for n, f in expected.items()}


def test_mothers_follow_their_nuclei() -> None:
    cases = [
        ((), MOTHERS, ()),
        # the end of the mother has another number
        ((Correction("split", 7, 2),), {30: 31, 20: 31, 9: 20}, ()),
        # the beginning of a daughter has
        ((Correction("split", 30, 3, 3),), {31: 7, 20: 7, 9: 20}, ()),
        ((Correction("swap", 30, None, None, 20),), {30: 7, 20: 7, 9: 30}, ()),
        # no division after all: the other daughter has no mother
        ((Correction("join", 30, None, None, 7),), {9: 20}, ((30, 7), (20, 7))),
        ((Correction("remove", 20),), {30: 7}, ((9, 20),)),
        # what ends a mother was no nucleus; what was before is her
        ((Correction("remove", 7, 2),), MOTHERS, ()),
        # what comes before a daughter belongs to her
        ((Correction("join", 11, 2, 2, 30),), {20: 7, 9: 20}, ((30, 7),)),
        ((Correction("mother", 30),), {20: 7, 9: 20}, ()),
        ((Correction("mother", 9, None, None, 30),), {30: 7, 20: 7, 9: 30}, ()),
        ((Correction("divide", 30, 5, None, 9),), {30: 7, 20: 7, 31: 30, 9: 30}, ()),
        # named by lines further up, removed by one further down
        ((Correction("mother", 11, None, None, 7), Correction("remove", 11)), MOTHERS, ()),
    ]
    for corrections, mothers, lost in cases:
        assert mothers_of(apply(*corrections)) == (mothers, lost), corrections


def test_a_number_that_is_lost_is_not_given_again() -> None:
    found = apply(Correction("remove", 30), Correction("split", 20, 5))
    assert tracks_of(found)[31] == (5,)
    largest = apply_corrections(np.arange(3), np.full(3, MOST), [Correction("split", MOST, 1)], take_apart=no_pixels)
    assert largest.number.tolist() == [MOST, 1, 1]


@pytest.mark.parametrize(
    ("correction", "words"),
    [
        (Correction("remove", 8), "there is no nucleus 8"),
        (Correction("remove", 30, 6), "30 is in none of these frames. It is in frames 3 to 5."),
        (Correction("join", 30), "to join 30, give the number of another nucleus"),
        (Correction("join", 30, None, None, 30), "to join 30, give the number of another nucleus"),
        (Correction("join", 30, None, None, 8), "there is no nucleus 8"),
        (Correction("split", 30), "30 is in no other frames"),
        (Correction("split", 30, 4, None, 20), "20 is already the number of a nucleus"),
        (Correction("split", 30, 4, None, 0), "0 cannot be the number of a nucleus"),
        (Correction("swap", 30, 4, 4, 20), "20 is in none of these frames"),
        (Correction("divide", 30, None, None, 20), "give the first frame of the daughters"),
        (Correction("divide", 30, 6, None, 20), "give the first frame of the daughters"),
        (Correction("separate", 30, None, None, None, ((0, 0, 0), (1, 1, 1))), "in one frame at a time"),
        (Correction("separate", 30, 3, 4, None, ((0, 0, 0), (1, 1, 1))), "in one frame at a time"),
        (Correction("separate", 30, 3, None, None, ((0, 0, 0),)), "centres of two nuclei or more"),
        (Correction("separate", 30, 3, None, 20, ((0, 0, 0), (1, 1, 1))), "20 is in this frame already"),
        (Correction("separate", 30, 3, None, 99, ((0, 0, 0),) * 3), "2 new nuclei cannot all be 99"),
    ],
)
def test_what_cannot_be_done_is_one_error(correction: Correction, words: str) -> None:
    with pytest.raises(LabelError, match=words):
        apply(correction)
