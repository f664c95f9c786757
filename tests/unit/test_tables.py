"""A table is read as it was written, frame by frame or at once, and is never half written."""

from __future__ import annotations

import errno
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import zarr

from tlseg.errors import LabelError, MovieError
from tlseg.store.labels import table_writer as module
from tlseg.store.labels.table_writer import create_table, write_table
from tlseg.store.labels.tables import COLUMNS, FILE, list_tables, read_table


def frame(t: int, count: int = 4) -> pd.DataFrame:
    """Every column of the contract for one frame."""
    generator = np.random.default_rng(t)
    columns = {}
    for name, kind in COLUMNS.items():
        if kind == "double":
            columns[name] = generator.random(count)
        elif kind == "string":
            columns[name] = generator.choice(["detected", "fallback", "repaired"], count).astype(object)
        elif kind == "bool":
            columns[name] = generator.random(count) < 0.5
        else:
            columns[name] = generator.integers(0, 1000, count)
    return pd.DataFrame(columns | {"label": np.arange(1, count + 1), "t": t})[list(COLUMNS)]


def breaking_off(first: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """One frame, and then an error."""
    yield first
    raise KeyError


@pytest.fixture(params=["folder", "file url", "memory url"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str | Path]:
    if request.param == "memory url":
        import fsspec

        yield f"memory://{tmp_path.name}/movie.zarr"
        fsspec.filesystem("memory").store.clear()
        return
    yield tmp_path / "movie.zarr" if request.param == "folder" else f"file://{tmp_path}/movie.zarr"


def test_what_is_written_is_read(root: str | Path) -> None:
    frames = [frame(t) for t in range(3)]
    write_table(root, "nuclei", frames)
    assert list_tables(root) == ["nuclei"]
    pd.testing.assert_frame_equal(read_table(root, "nuclei"), pd.concat(frames, ignore_index=True))


def test_at_once_equals_frame_by_frame(tmp_path: Path) -> None:
    frames = [frame(0), frame(1, count=0), frame(2, count=9)]
    write_table(tmp_path / "a.zarr", "n", pd.concat(frames, ignore_index=True))
    write_table(tmp_path / "b.zarr", "n", iter(frames))
    pd.testing.assert_frame_equal(read_table(tmp_path / "a.zarr", "n"), read_table(tmp_path / "b.zarr", "n"))
    assert pq.ParquetFile(tmp_path / "b.zarr" / "tables" / "n" / FILE).num_row_groups == 2


def test_frames_and_columns_can_be_chosen(tmp_path: Path) -> None:
    write_table(tmp_path, "n", [frame(t) for t in range(6)])
    part = read_table(tmp_path, "n", columns=["label", "t"], frames=range(2, 4))
    assert list(part.columns) == ["label", "t"]
    assert set(part["t"]) == {2, 3}
    assert set(read_table(tmp_path, "n", frames="4:")["t"]) == {4, 5}
    with pytest.raises(MovieError, match="one by one"):
        read_table(tmp_path, "n", frames=range(0, 6, 2))


def test_types_do_not_depend_on_the_first_frame(tmp_path: Path) -> None:
    first = frame(0).assign(z=[1, 2, 3, 4], label=np.arange(1, 5, dtype=np.uint32))
    write_table(tmp_path, "n", [frame(0, count=0), first, frame(1)])
    read = read_table(tmp_path, "n")
    assert read["z"].dtype == np.float64
    assert read["label"].dtype == np.int64


def test_other_columns_are_kept_and_come_last(tmp_path: Path) -> None:
    few = pd.DataFrame({"score": [0.5], "t": [0], "label": [1], "note": ["x"]})
    write_table(tmp_path, "n", few)
    pd.testing.assert_frame_equal(read_table(tmp_path, "n"), few[["label", "t", "score", "note"]])


def test_a_table_of_no_nuclei_has_all_columns(tmp_path: Path) -> None:
    write_table(tmp_path, "n", [])
    read = read_table(tmp_path, "n")
    assert len(read) == 0
    assert list(read.columns) == list(COLUMNS)


def test_a_table_is_replaced_only_when_told(root: str | Path) -> None:
    write_table(root, "n", frame(0))
    with pytest.raises(LabelError, match="already has a table 'n'"):
        write_table(root, "n", frame(1))
    write_table(root, "n", frame(1), overwrite=True)
    pd.testing.assert_frame_equal(read_table(root, "n"), frame(1))
    assert list_tables(root) == ["n"]


def test_a_failed_write_leaves_what_was_there(root: str | Path) -> None:
    with pytest.raises(KeyError):
        write_table(root, "new", breaking_off(frame(0)))
    assert list_tables(root) == []
    write_table(root, "n", frame(0))
    with pytest.raises(KeyError):
        write_table(root, "n", breaking_off(frame(1)), overwrite=True)
    pd.testing.assert_frame_equal(read_table(root, "n"), frame(0))


def test_tables_that_are_finished_at_the_same_time_are_all_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One reads the list, and before it adds itself, the other does."""
    other, found = threading.Thread(target=write_table, args=(tmp_path, "b", frame(1))), module.listed_tables
    one = create_table(tmp_path, "a")

    def slowly(tables: Any) -> list[str]:
        names = found(tables)
        if not other.ident:
            other.start()
            other.join(timeout=1)
        return names

    with one:
        one.write(frame(0))
        monkeypatch.setattr(module, "listed_tables", slowly)
    other.join()
    assert sorted(list_tables(tmp_path)) == ["a", "b"]


def test_what_a_killed_start_left_of_a_table_goes(tmp_path: Path) -> None:
    killed = create_table(tmp_path, "n")
    killed.write(frame(0))
    write_table(tmp_path, "n", frame(1))
    assert sorted(path.name for path in (tmp_path / "tables" / "n").iterdir()) == [FILE, "zarr.json"]
    pd.testing.assert_frame_equal(read_table(tmp_path, "n"), frame(1))


def test_nothing_is_left_of_a_failed_table(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        write_table(tmp_path, "new", breaking_off(frame(0)))
    assert not list(tmp_path.rglob("*new*")) + list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize("fails_in_between", [False, True])
def test_nothing_is_left_of_a_table_that_filled_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_in_between: bool
) -> None:
    """Parquet writes the end of its file when it is closed, which fails again."""

    def full(writer: Any) -> None:
        writer.is_open = False  # so that collecting it does not close it once more
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pq.ParquetWriter, "close", full)
        with pytest.raises(KeyError if fails_in_between else OSError, match=None if fails_in_between else "No space"):
            write_table(tmp_path, "new", breaking_off(frame(0)) if fails_in_between else frame(0))
    assert not list(tmp_path.rglob("*new*")) + list(tmp_path.rglob("*.partial"))


def test_two_tables_live_beside_each_other(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_table(tmp_path, name, frame(0), labels="nuclei")
    assert list_tables(tmp_path) == ["one", "two"]
    attributes = zarr.open_group(tmp_path, mode="r")["tables/two"].attrs.asdict()
    assert attributes["region"] == {"path": "../labels/nuclei"}


def test_readers_of_consolidated_metadata_see_the_table(tmp_path: Path) -> None:
    zarr.create_group(tmp_path, zarr_format=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer zarr says that the v3 specification lacks consolidation
        zarr.consolidate_metadata(tmp_path)
    write_table(tmp_path, "n", frame(0))
    group = zarr.open_group(tmp_path, mode="r", use_consolidated=True)
    assert group["tables"].attrs["tables"] == ["n"]


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "é"])
def test_names_that_are_no_folders_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="not a valid name for labels or a table"):
        create_table(tmp_path, name)


@pytest.mark.parametrize("frames", [None, (0, 1)])
def test_a_column_that_is_not_there_is_named(tmp_path: Path, frames: Any) -> None:
    write_table(tmp_path, "n", pd.DataFrame({"label": [1], "t": [0]}))
    with pytest.raises(LabelError, match="lacks track; it has label, t"):
        read_table(tmp_path, "n", columns=["label", "track"], frames=frames)


def test_errors_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="does not exist"):
        read_table(tmp_path / "nowhere", "n")
    write_table(tmp_path, "n", frame(0))
    with pytest.raises(LabelError, match="no table 'm'"):
        read_table(tmp_path, "m")
    with pytest.raises(LabelError, match="lacks t"):
        write_table(tmp_path, "x", pd.DataFrame({"label": [1]}))
    with pytest.raises(LabelError, match=r"columns differ between frames.*seed"):
        write_table(tmp_path, "x", [frame(0), frame(1).drop(columns="seed")])
    with pytest.raises(LabelError, match="does not hold what its name promises"):
        write_table(tmp_path, "x", [frame(0).assign(label=["a", "b", "c", "d"])])
    (tmp_path / "tables" / "n" / FILE).write_bytes(b"cut short")
    with pytest.raises(LabelError, match="cannot be read"):
        read_table(tmp_path, "n")
    for text in ('{"zarr', "null", "{}"):
        (tmp_path / "tables" / "zarr.json").write_text(text)
        with pytest.raises(LabelError, match="tables: its Zarr metadata cannot be read"):
            read_table(tmp_path, "n")
