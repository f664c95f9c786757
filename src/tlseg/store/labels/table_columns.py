"""Add columns to a table, or replace their values; everything else in it stays the same, bit for bit.

Rows, their order, other columns, data types and row groups are copied as stored. The table is replaced as a whole.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlseg.errors import LabelError
from tlseg.store.fs.place import Place
from tlseg.store.labels.table_writer import create_table
from tlseg.store.labels.tables import FILE, unreadable
from tlseg.wording import how_many


def set_columns(root: Place, name: str, columns: Mapping[str, NDArray[np.float64]]) -> None:
    """Replace a table by one that also has these columns.

    Existing columns of these names are replaced in place; new ones are appended. Until the new table is complete, readers
    see the old one, which remains if anything fails.

    Parameters
    ----------
    root
        OME-Zarr group.
    name
        Name of the table.
    columns
        One value for each row of the table, in table order; NaN where there is none.

    Raises
    ------
    LabelError
        If the table cannot be read, or has a different number of rows.
    """
    import pyarrow as pa

    file = _open(root, name)
    rows = file.metadata.num_rows
    wrong = {column: len(values) for column, values in columns.items() if len(values) != rows}
    if wrong:
        raise LabelError(
            f"Table {name!r} of {root} has {how_many(rows, 'row')}, but "
            f"{how_many(max(wrong.values()), 'was', 'were')} measured: it was replaced in the meantime. Measure again."
        )
    try:
        with create_table(root, name, overwrite=True) as writer:
            start = 0
            for part in _parts(file):
                here = slice(start, start + part.num_rows)
                writer.write_arrow(_with(part, {column: values[here] for column, values in columns.items()}))
                start = here.stop
    except pa.ArrowException as error:
        raise unreadable(root, name, error) from error


def _parts(file: Any) -> Iterator[Any]:
    """Yield an empty table, which defines the columns, and then one row group after another."""
    yield file.schema_arrow.empty_table()
    yield from (file.read_row_group(group) for group in range(file.num_row_groups))


def _with(rows: Any, columns: Mapping[str, NDArray[np.float64]]) -> Any:
    """Return Arrow rows with these columns added or replaced."""
    import pyarrow as pa

    for column, values in columns.items():
        field, found = pa.field(column, pa.float64()), pa.array(values, from_pandas=True)
        place = rows.schema.get_field_index(column)
        rows = rows.append_column(field, found) if place < 0 else rows.set_column(place, field, found)
    return rows


def _open(root: Place, name: str) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = root / "tables" / name / FILE
    try:
        return pq.ParquetFile(io.BytesIO(place.read_bytes()) if place.remote else place.path)
    except (OSError, pa.ArrowException) as error:
        raise unreadable(root, name, error) from error
