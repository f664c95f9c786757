"""The volume rules by which a label counts as two nuclei: each just met, and just missed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tlseg.link import merged
from tlseg.link.repair import find_repairs

V, WHEN, FRAMES = 900.0, 3, 7
LEFT, RIGHT = np.array([0.0, 0.0, 0.0]), np.array([0.0, 0.0, 9.0])
FAR = np.array([[40.0, 0, 0], [0, 40.0, 0], [0, 0, 50.0], [40.0, 40.0, 0]])
NO_OVERLAPS = pd.DataFrame({"t": [], "label_a": [], "label_b": [], "voxels": []}, dtype=np.int64)
JUST = 0.02
"""How far from a limit both sides of it are tried."""

Nucleus = tuple[np.ndarray, float]


def repairs(
    before: list[Nucleus],
    label: Nucleus,
    after: list[Nucleus],
    *,
    beside: Nucleus | None = None,
    shining: float = 1.0,
    far: float = V,
) -> list[tuple[int, str, tuple[int, ...]]]:
    """What is repaired where nuclei become one label in one frame; `beside` is there in all, as are four of volume `far`.

    From that frame on all but the others are brighter by the factor `shining`.
    """
    rows = []
    for t in range(FRAMES):
        here = before if t < WHEN else [label] if t == WHEN else after
        others = [(place, far) for place in FAR] + ([beside] if beside else [])
        for number, (place, volume) in enumerate([*here, *others], start=1):
            bright = shining if t >= WHEN and number <= len(here) else 1.0
            rows.append((t, number, *place, volume, 100.0 * bright))
    columns = ["t", "label", "z_um", "y_um", "x_um", "volume_um3", "intensity_mean"]
    found = find_repairs(pd.DataFrame(rows, columns=columns), NO_OVERLAPS)
    return [(one.frame, one.kind, one.labels) for one in found]


TAKEN_APART = [(WHEN, "merged", (1,))]


def centre(left: float, right: float) -> np.ndarray:
    return (left * LEFT + right * RIGHT) / (left + right)


@pytest.mark.parametrize(
    ("share", "apart"),
    [
        (1.0, True),
        (merged._SUM - JUST, True),
        (merged._SUM + JUST, False),
        (1 / (merged._SUM - JUST), True),
        (1 / (merged._SUM + JUST), False),
    ],
)
def test_a_merged_label_is_as_large_as_both(share: float, apart: bool) -> None:
    pair = [(LEFT, V), (RIGHT, V)]
    assert repairs(pair, (centre(V, V), share * 2 * V), pair) == (TAKEN_APART if apart else [])


@pytest.mark.parametrize(("more", "apart"), [(JUST, True), (-JUST, False)])
def test_a_merged_label_is_larger_than_one_of_them_ever_is(more: float, apart: bool) -> None:
    # Of a small one beside a large one the sum says little: a nucleus that swells is no two.
    small = 0.12 * V
    pair = [(LEFT, V), (RIGHT, small)]
    assert repairs(pair, (centre(V, small), (merged._EXCESS + more) * V), pair) == (TAKEN_APART if apart else [])


@pytest.mark.parametrize(("factor", "apart"), [(merged._ALIKE - JUST, True), (merged._ALIKE + JUST, False)])
@pytest.mark.parametrize("grows", [True, False], ids=["grows", "shrinks"])
def test_who_is_not_the_same_before_and_after_says_nothing(factor: float, apart: bool, grows: bool) -> None:
    small, large = V / 2, V / 2 * factor
    first, last = (small, large) if grows else (large, small)
    between = float(np.sqrt(small * large))
    label = (centre(V, between), V + between)
    found = repairs([(LEFT, V), (RIGHT, first)], label, [(LEFT, V), (RIGHT, last)])
    assert found == (TAKEN_APART if apart else [])


@pytest.mark.parametrize(("share", "apart"), [(merged._EXCESS - JUST, True), (merged._EXCESS + JUST, False)])
def test_a_label_no_larger_than_who_is_missing_does_not_hold_it(share: float, apart: bool) -> None:
    # A neighbour lies nearer to the missing one than the merged label; were it asked, nothing would be found.
    missing = 0.6 * V
    pair = [(LEFT, V), (RIGHT, missing)]
    neighbour = (RIGHT + np.array([0.0, 3.0, 0.0]), share * missing)
    found = repairs(pair, (centre(V, missing), V + missing), pair, beside=neighbour)
    assert found == (TAKEN_APART if apart else [])


@pytest.mark.parametrize(("factor", "apart"), [(merged._SUM - JUST, True), (merged._SUM + JUST, False)])
@pytest.mark.parametrize("grows", [True, False], ids=["grows", "shrinks"])
def test_a_nucleus_not_linked_to_its_merged_label_is_told_by_its_volume(
    factor: float, apart: bool, grows: bool
) -> None:
    # So bright a change, with so far a way, is no link: the label's nucleus is known on one side alone.
    one, other = (V, factor * V) if grows else (factor * V, V)
    size = V * float(np.sqrt(factor))
    apart_by = np.array([0.0, 0.0, 7.0])
    label = (LEFT, 2 * size)
    found = repairs(
        [(LEFT - apart_by, one), (LEFT + apart_by, one)],
        label,
        [(LEFT - apart_by, other), (LEFT + apart_by, other)],
        shining=8.0,
    )
    assert found == (TAKEN_APART if apart else [])


@pytest.mark.parametrize(("share", "apart"), [(1.0, True), (1.5, False)], ids=["both", "more than both"])
def test_a_label_linked_to_none_of_its_nuclei_holds_each_of_them_once(share: float, apart: bool) -> None:
    # Among small nuclei that lie still the reach is short: the label is too far from both, and both are bridged as gaps.
    pair = [(LEFT, V), (RIGHT, V)]
    assert repairs(pair, (centre(V, V), share * 2 * V), pair, far=50.0) == (TAKEN_APART if apart else [])
