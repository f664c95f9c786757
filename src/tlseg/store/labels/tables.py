"""Per-nucleus tables beside the pixels: one parquet file in `tables/<name>`, where ngio looks for it.

What columns a table has, and how it is read. Tables are listed once they are complete (`table_writer`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tlseg.config import Frames, as_frames
from tlseg.errors import LabelError, MovieError, one_line
from tlseg.store.fs.groups import child_of, open_group
from tlseg.store.fs.place import Place, place_of
from tlseg.store.fs.retry import again

FILE = "table.parquet"

COLUMNS: dict[str, str] = {
    "label": "int64",
    "t": "int64",
    "z": "double",
    "y": "double",
    "x": "double",
    "z_um": "double",
    "y_um": "double",
    "x_um": "double",
    "volume_voxels": "int64",
    "volume_um3": "double",
    "surface_um2": "double",
    "intensity_mean": "double",
    "intensity_sum": "double",
    "bbox_z0": "int64",
    "bbox_z1": "int64",
    "bbox_y0": "int64",
    "bbox_y1": "int64",
    "bbox_x0": "int64",
    "bbox_x1": "int64",
    "touches_edge": "bool",
    "seed": "string",
    "track": "int64",
    "lineage": "int64",
    "parent": "int64",
    "generation": "int64",
    "elongation": "double",
}
"""Columns of a nucleus table in order, with Arrow types. Tables may lack some (not `label` and `t`) or add others."""

CHANNEL_PREFIXES = ("intensity_mean_", "intensity_sum_")
"""How names of columns begin that hold grey values of further channels; what follows is the channel."""


def read_table(
    root: str | Path | Place, name: str, *, columns: Sequence[str] | None = None, frames: Frames | None = None
) -> pd.DataFrame:
    """Read a table.

    Parameters
    ----------
    root
        OME-Zarr group, a local path or an fsspec URL.
    name
        Name of the table.
    columns
        Only these columns, all if not given.
    frames
        Only rows of these frames: "A:B", `range(A, B)`, `slice(A, B)` or (A, B); only their row groups are read.

    Returns
    -------
    pandas.DataFrame
        Rows in the order they were written.

    Raises
    ------
    LabelError
        If the table does not exist, lacks a column or cannot be read.
    MovieError
        If `frames` is not a valid range of frames.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = place_of(root)
    known = list_tables(place)
    if name not in known:
        raise LabelError(
            f"{place} has no table {name!r} of nuclei and their tracks; it has {', '.join(known) or 'none'}. Labels alone "
            "have neither: track them first, with tlseg link; or, where their numbers are tracks already, with tlseg adopt."
        )
    fs, path = _file(place, name)
    first, stop = as_frames(frames)
    chosen = [("t", ">=", first)] if first else []
    chosen += [] if stop is None else [("t", "<", stop)]
    try:
        table = again(
            lambda: pq.read_table(
                path, filesystem=fs, columns=None if columns is None else list(columns), filters=chosen or None
            )
        )
    except (OSError, pa.ArrowException) as error:
        present = column_names(place, name)
        if missing := [column for column in columns or () if column not in present]:
            raise LabelError(
                f"Table {name!r} of {place} lacks {', '.join(missing)}; it has {', '.join(present)}. Tables that tlseg "
                "writes have them: make it again with tlseg link."
            ) from error
        raise unreadable(place, name, error) from error
    rows: pd.DataFrame = table.to_pandas()
    return rows


def column_names(root: str | Path | Place, name: str) -> tuple[str, ...]:
    """Names of the columns of a table that exists.

    Raises
    ------
    LabelError
        If it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = place_of(root)
    fs, path = _file(place, name)
    try:
        return tuple(again(lambda: pq.read_schema(path, filesystem=fs)).names)
    except (OSError, pa.ArrowException) as error:
        raise unreadable(place, name, error) from error


def empty_table() -> pd.DataFrame:
    """All columns of a nucleus table with their types, and no rows."""
    rows: pd.DataFrame = full_schema().empty_table().to_pandas()
    return rows


def list_tables(root: str | Path | Place) -> list[str]:
    """Names of the finished tables of a group, in the order they were listed.

    Raises
    ------
    LabelError
        If the Zarr group does not exist.
    """
    try:
        group = open_group(place_of(root).url)
    except MovieError as error:
        raise LabelError(str(error)) from error
    tables = child_of(group, "tables")
    return listed_tables(tables) if tables is not None else []


def listed_tables(tables: Any) -> list[str]:
    """Names that the group `tables/` lists."""
    names = tables.attrs.get("tables", [])
    return [str(name) for name in names] if isinstance(names, list) else []


def unreadable(root: Place, name: str, error: Exception) -> LabelError:
    """Error for a table whose file cannot be read."""
    return LabelError(f"Table {name!r} of {root} cannot be read ({one_line(error)}). Write it again.")


def _file(root: Place, name: str) -> tuple[Any, str]:
    """File system of a table's file as Arrow takes it, and the path in it."""
    from pyarrow.fs import LocalFileSystem

    file = root / "tables" / name / FILE
    return file.file_system() if file.remote else (LocalFileSystem(), file.url)


def full_schema() -> Any:
    """Arrow schema of `COLUMNS`."""
    import pyarrow as pa

    return pa.schema([(name, pa.type_for_alias(kind)) for name, kind in COLUMNS.items()])
