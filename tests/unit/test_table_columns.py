"""Adding columns keeps the rest of a table bit for bit, and no table is ever half written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tlseg.errors import LabelError
from tlseg.store.fs.place import Place, place_of
from tlseg.store.labels.table_columns import set_columns
from tlseg.store.labels.table_writer import TableWriter, write_table
from tlseg.store.labels.tables import FILE, read_table


@pytest.fixture(params=["folder", "memory url"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "memory url":
        import fsspec

        yield place_of(f"memory://{tmp_path.name}/movie.zarr")
        fsspec.filesystem("memory").store.clear()
        return
    yield place_of(tmp_path / "movie.zarr")


def frame(t: int, count: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(t)
    return pd.DataFrame(
        {"label": rng.permutation(count) + 1, "t": t, "z": rng.random(count), "mark": list("abcdefgh")[:count]}
    )


def parquet(root: Place) -> Any:
    return pq.read_table(pa.BufferReader((root / "tables" / "n" / FILE).read_bytes()))


def test_everything_else_stays_as_it_is(root: Place) -> None:
    """Including what no run writes: other types, missing values beside NaN, categories, pandas metadata."""
    write_table(root, "n", [frame(0), frame(1, 0), frame(2)])
    odd = pa.table(
        {
            "t": pa.array([0, 0, 2, 1], pa.int32()),
            "label": pa.array([5, 2, 2, 9], pa.int64()),
            "f": pa.array([np.nan, None, -0.0, 1e-300]),
            "n": pa.array([1, None, 3, 4], pa.int16()),
            "c": pa.array(["a", None, "a", "b"]).dictionary_encode(),
        },
        metadata={"made by": "somebody"},
    )
    sink = pa.BufferOutputStream()
    pq.write_table(odd, sink, row_group_size=3)
    (root / "tables" / "n" / FILE).write(sink.getvalue().to_pybytes())
    set_columns(root, "n", {"a": np.array([1.0, 2, np.nan, 4]), "b": np.arange(4.0)})
    found = parquet(root)
    assert found.select(odd.column_names).schema.equals(odd.schema)
    assert found.schema.metadata == odd.schema.metadata
    for name in odd.column_names:
        ours, theirs = found[name].combine_chunks(), odd[name].combine_chunks()
        assert ours.is_null().equals(theirs.is_null())
        if name == "f":
            a, b = (np.array(x.fill_null(0.0)).view(np.int64) for x in (ours, theirs))
            np.testing.assert_array_equal(a, b)
        else:
            assert ours.to_pylist() == theirs.to_pylist()
    assert found.column_names == [*odd.column_names, "a", "b"]
    np.testing.assert_array_equal(read_table(root, "n")["a"], [1, 2, np.nan, 4])
    groups = pq.ParquetFile(pa.BufferReader((root / "tables" / "n" / FILE).read_bytes()))
    assert [groups.metadata.row_group(i).num_rows for i in range(groups.num_row_groups)] == [3, 1]


def test_columns_are_replaced_where_they_stand(root: Place) -> None:
    write_table(root, "n", [frame(0), frame(1)])
    set_columns(root, "n", {"a": np.zeros(6), "b": np.ones(6)})
    set_columns(root, "n", {"c": np.zeros(6), "a": np.full(6, 7.0)})
    found = read_table(root, "n")
    assert list(found.columns) == ["label", "t", "z", "mark", "a", "b", "c"]
    assert set(found["a"]) == {7.0}
    once = (root / "tables" / "n" / FILE).read_bytes()
    set_columns(root, "n", {"c": np.zeros(6), "a": np.full(6, 7.0)})
    assert (root / "tables" / "n" / FILE).read_bytes() == once


def test_a_table_of_no_nuclei_has_the_columns_too(root: Place) -> None:
    write_table(root, "n", [])
    set_columns(root, "n", {"a": np.zeros(0)})
    assert len(read_table(root, "n")) == 0
    assert read_table(root, "n")["a"].dtype == np.float64


def test_another_number_of_rows_is_another_table(root: Place) -> None:
    write_table(root, "n", frame(0))
    before = (root / "tables" / "n" / FILE).read_bytes()
    with pytest.raises(LabelError, match="has 3 rows, but 2 were measured"):
        set_columns(root, "n", {"a": np.zeros(2)})
    assert (root / "tables" / "n" / FILE).read_bytes() == before


@pytest.mark.parametrize("when", ["rows", "end"])
def test_what_fails_leaves_the_old_table(root: Place, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_table(root, "n", [frame(0), frame(1)])
    before = (root / "tables" / "n" / FILE).read_bytes()

    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    original = TableWriter.write_arrow

    def some(self: TableWriter, rows: Any) -> None:
        if rows.num_rows and read_table(root, "n")["t"].max() == 1:
            stop()
        original(self, rows)

    monkeypatch.setattr(TableWriter, *(("write_arrow", some) if when == "rows" else ("_publish", stop)))
    with pytest.raises(KeyboardInterrupt):
        set_columns(root, "n", {"a": np.zeros(6)})
    assert (root / "tables" / "n" / FILE).read_bytes() == before
    assert set((root / "tables" / "n").names()) == {FILE, "zarr.json"}


def test_a_damaged_table_is_one_line(root: Place) -> None:
    write_table(root, "n", frame(0))
    (root / "tables" / "n" / FILE).write(b"PAR1")
    with pytest.raises(LabelError, match="cannot be read"):
        set_columns(root, "n", {"a": np.zeros(3)})
