"""Numbers in file names: which of them counts frames, and which frames are missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlseg.store.image.file_numbers import numbers_of, ordinal


def of(*names: str) -> tuple[int, ...] | None:
    found = numbers_of([Path("folder") / name for name in names])
    return None if found is None else found.values


@pytest.mark.parametrize(
    ("names", "values"),
    [
        (("t1.tif", "t2.tif", "t10.tif"), (1, 2, 10)),
        (("a2_t001.ome.tif", "a2_t051.ome.tif"), (1, 51)),
        (("t001_c0.tif", "t002_c0.tif"), (1, 2)),
        (("t001_c0.tif", "t001_c1.tif", "t002_c0.tif"), None),
        (("left1.tif", "right2.tif"), None),
        (("t01.tif", "t1.tif"), None),
        (("t010.tif",), (10,)),
        (("embryo_t010.TIFF",), (10,)),
        (("part10.tif",), None),
        (("labels2.tif",), None),
    ],
)
def test_only_names_that_differ_in_one_number_count(names: tuple[str, ...], values: tuple[int, ...] | None) -> None:
    assert of(*names) == values


@given(
    first=st.integers(0, 50),
    step=st.integers(1, 60),
    kept=st.lists(st.booleans(), min_size=1, max_size=30).map(lambda inner: [True, True, *inner, True]),
)
def test_files_and_missing_ones_are_all_steps(first: int, step: int, kept: list[bool]) -> None:
    every = [first + step * k for k in range(len(kept))]
    files = [Path(f"img_t{n:04d}.tif") for n, there in zip(every, kept, strict=True) if there]
    found = numbers_of(files)
    assert found is not None
    assert (found.step, found.missing) == (step, kept.count(False))
    assert [first + step * frame for frame in found.frames] == list(found.values)
    first_missing = next((f"img_t{n:04d}.tif" for n, there in zip(every, kept, strict=True) if not there), "")
    assert found.missing_names().split(",")[0].split(" and ")[0] == first_missing


def test_ordinals_read_well() -> None:
    assert [ordinal(n) for n in (2, 3, 11, 21, 50, 112)] == ["2nd", "3rd", "11th", "21st", "50th", "112th"]
