"""Labels are whole numbers from 0 however they are stored, and renumbering loses none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlseg.errors import LabelError, RunError
from tlseg.store.labels.values import as_labels, as_uint32, renumber

WHOLE = np.array([[0, 1], [250, 7]])


@pytest.mark.parametrize("dtype", ["u1", "i2", ">u2", "i8", "u8", "f2", "f4", "f8"])
def test_whole_numbers_are_labels_whatever_their_type(dtype: str) -> None:
    for found in (as_labels(WHOLE.astype(dtype), where="it"), as_uint32(WHOLE.astype(dtype), where="it")):
        assert found.dtype.kind in "ui"
        assert np.array_equal(found, WHOLE)
    assert as_labels(np.array([True, False]), where="it").tolist() == [1, 0]
    assert as_labels(np.empty((0, 3), dtype), where="it").size == 0


@pytest.mark.parametrize(
    "values", [[0.5], [np.nan, 1], [np.inf], [-1], [-1.0], [2.0**53], [1j], ["1"]], ids=lambda v: str(v[0])
)
def test_anything_else_is_none(values: Any) -> None:
    with pytest.raises(LabelError, match=r"^it has values"):
        as_labels(np.array(values), where="it")


@given(
    st.dictionaries(st.integers(1, 2**32 - 1), st.integers(1, 2**16 - 1), min_size=1, max_size=8),
    st.lists(st.integers(0, 8), max_size=20),
)
def test_every_label_becomes_its_number_and_background_stays(numbers: dict[int, int], which: list[int]) -> None:
    old = np.array(sorted(numbers), np.int64)
    new = np.array([numbers[n] for n in old.tolist()], np.uint16)
    labels = np.append(0, old)[[i % (len(old) + 1) for i in which]].astype(np.uint32)
    found = renumber(labels, old=old, new=new, unknown=lambda n: RunError(str(n)))
    assert found.dtype == new.dtype
    assert found.tolist() == [numbers.get(n, 0) for n in labels.tolist()]


@pytest.mark.parametrize("old", [[], [1, 4], [6]])
def test_a_label_without_a_number_is_named(old: list[int]) -> None:
    with pytest.raises(RunError, match=r"^5$"):
        renumber(np.array([0, 5]), old=np.array(old, int), new=np.array(old, int), unknown=lambda n: RunError(str(n)))
