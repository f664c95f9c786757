"""Histograms: every nucleus in one bar, bars between round values, whole nuclei and cut ones told apart."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tlseg.report.histogram import histogram, spread_of

VALUES = st.lists(
    st.tuples(st.floats(-1e6, 1e6).map(lambda v: round(v, 3)), st.booleans()),
    min_size=1,
    max_size=60,
)


def no(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.zeros(len(values), bool)


@given(VALUES, st.sampled_from([None, 0.0]))
def test_every_nucleus_is_in_one_bar(rows: list[tuple[float, bool]], low: float | None) -> None:
    values, cut = np.array([v for v, _ in rows]), np.array([c for _, c in rows])
    spread = spread_of(values, cut, low=low)
    assert spread is not None
    assert (spread.whole.sum(), spread.cut.sum()) == ((~cut).sum(), cut.sum())
    assert len(spread.whole) == len(spread.cut) == len(spread.edges) - 1
    step = np.diff(spread.edges)
    assert np.allclose(step, step[0])
    assert spread.edges[0] <= values.min() + 1e-6 * step[0]
    assert spread.beyond == (values >= spread.edges[-1]).sum()
    assert (spread.median is None) == cut.all()
    ElementTree.fromstring(histogram(spread, label="volume (µm³)", unit="µm³", title="Volumes").text)


def test_bars_count_what_lies_between_their_ends() -> None:
    values = np.array([100.0, 250, 260, 299, 300, 420])
    spread = spread_of(values, np.array([True, False, False, True, False, False]), low=0.0)
    assert spread is not None
    assert spread.edges.tolist() == [0, 100, 200, 300, 400, 500]
    assert spread.whole.tolist() == [0, 0, 2, 1, 1]
    assert spread.cut.tolist() == [0, 1, 1, 0, 0]
    assert spread.median == 280.0


def test_one_giant_does_not_crowd_the_others() -> None:
    values = np.append(np.linspace(900, 1100, 40), 90_000.0)
    spread = spread_of(values, no(values), low=0.0)
    assert spread is not None
    assert spread.edges[-1] < 3000
    assert spread.beyond == 1
    assert spread.whole.sum() == 41
    drawing = histogram(spread, label="volume (µm³)", unit="µm³", title="Volumes").text
    assert "or more µm³: 1 nucleus" in drawing


def test_a_large_nucleus_that_fits_is_drawn_where_it_is() -> None:
    values = np.append(np.full(20, 1000.0) + np.arange(20) * 0.01, 1900.0)
    spread = spread_of(values, no(values), low=0.0)
    assert spread is not None
    assert spread.beyond == 0
    assert spread.edges[-1] > 1900


@pytest.mark.parametrize("values", [[], [np.nan, np.inf]])
def test_no_values_are_no_histogram(values: list[float]) -> None:
    assert spread_of(np.array(values), no(np.array(values))) is None


@pytest.mark.parametrize("value", [0.0, 5.0, -3.0, 0.004, 1e9])
def test_equal_values_have_one_bar(value: float) -> None:
    spread = spread_of(np.full(7, value), no(np.zeros(7)))
    assert spread is not None
    assert sorted(spread.whole.tolist())[-2:] == [0, 7]


def test_cut_nuclei_stand_dashed_on_top_and_the_median_is_where_it_belongs() -> None:
    values, cut = np.array([100.0, 150, 160, 310]), np.array([False, False, True, False])
    spread = spread_of(values, cut, low=0.0)
    assert spread is not None
    drawn = ElementTree.fromstring(histogram(spread, label="volume (µm³)", unit="µm³", title="Volumes").text)
    bars = list(drawn.iter("rect"))
    above = next(e for e in bars if e.get("class") == "box cut")
    below = next(e for e in bars if e.get("class") == "box" and e.get("x") == above.get("x"))
    assert float(above.get("y", 0)) + float(above.get("height", 0)) == pytest.approx(float(below.get("y", 0)), abs=0.2)
    assert {e.findtext("title", "").split(": ")[1] for e in bars} == {"1 nucleus", "1 cut by the frame's edge"}
    (stroke,) = (e for e in drawn.iter("line") if e.get("class") == "median")
    left = {e.findtext("title", "").split(" to ")[0]: float(e.get("x", 0)) for e in bars}
    assert float(stroke.get("x1", 0)) == pytest.approx(left["150"], abs=1)
    assert "median 150 µm³" in [e.text for e in drawn.iter("text")]
    assert drawn.get("aria-label") == "Volumes"
