"""Write a per-nucleus table frame by frame.

Frames are appended as row groups, so a long movie's table is never whole in memory, and it is listed only when it is
complete. For a remote group it is made in a temporary file and sent whole.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd

from tlseg.errors import LabelError, one_line
from tlseg.store.fs.documents import refresh_consolidated
from tlseg.store.fs.durable import flush
from tlseg.store.fs.groups import child_of, writable_group
from tlseg.store.fs.paths import check_name
from tlseg.store.fs.place import Place, place_of
from tlseg.store.labels.tables import COLUMNS, FILE, full_schema, listed_tables
from tlseg.store.locks.group_lock import turn


class TableWriter:
    """Appends frames to a table; use it in a `with` block, at whose end the table is listed.

    If the block fails, nothing remains of the new table, and one that was to be replaced is still there.
    """

    def __init__(self, root: Place, name: str, labels: str) -> None:
        self._root, self._name, self._labels = root, name, labels
        self._folder = root / "tables" / name
        # Beside its place it always has the same name, so that what a start left that was killed is written over.
        self._part = (
            Path(tempfile.gettempdir()) / f".{uuid.uuid4().hex}.partial"
            if root.remote
            else self._folder.path / f".{FILE}.partial"
        )
        self._schema: Any = None
        self._writer: Any = None

    def __enter__(self) -> TableWriter:
        return self

    def write(self, frame: pd.DataFrame) -> None:
        """Append rows, as a row group of their own; an empty frame adds none.

        Parameters
        ----------
        frame
            Rows of one frame (or more), with the same columns every time.

        Raises
        ------
        LabelError
            If columns are missing, differ from those written before, or do not hold what their name promises.
        """
        import pyarrow as pa

        if not len(frame):
            return
        if self._schema is None:
            self._open(_schema_of(frame))
        names = set(self._schema.names)
        if set(frame.columns) != names:
            raise LabelError(
                f"Table {self._name!r}: columns differ between frames: "
                f"{sorted(names.symmetric_difference(map(str, frame.columns)))}. Give the same columns for each frame."
            )
        try:
            rows = pa.Table.from_pandas(frame, schema=self._schema, preserve_index=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise LabelError(
                f"Table {self._name!r}: a column does not hold what its name promises ({one_line(error)})."
            ) from error
        self._writer.write_table(rows)

    def write_arrow(self, rows: Any) -> None:
        """Append rows of an Arrow table as they are, as a row group of their own; types are those of the first.

        Without rows it says what columns a table has in which there may be none.
        """
        if self._schema is None:
            self._open(rows.schema)
        if rows.num_rows:
            self._writer.write_table(rows)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """List the table, or remove what was written."""
        if kind is not None:
            self._discard()
            return
        try:
            if self._writer is None:
                self._open(full_schema())
            self._writer.close()
            self._publish()
        except BaseException:
            self._discard()
            raise

    def _open(self, schema: Any) -> None:
        import pyarrow.parquet as pq

        self._schema = schema
        self._part.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(self._part, schema, compression="zstd")

    def _discard(self) -> None:
        if self._writer is not None:
            with suppress(Exception):  # a full disk refuses the end of the file, too
                self._writer.close()
        self._part.unlink(missing_ok=True)
        if not self._root.remote and not self._folder.names():
            self._folder.remove()

    def _publish(self) -> None:
        file = self._folder / FILE
        with turn(self._root):
            if self._root.remote:
                file.put(self._part)
                self._part.unlink()
            else:
                # What it replaces is not given up for what a power cut takes.
                flush([self._part], below=self._folder.path)
                self._part.replace(file.path)
            self._list()

    def _list(self) -> None:
        tables = writable_group(self._root.url).require_group("tables")
        table = tables.require_group(self._name)
        table.attrs.put(
            {
                "type": "feature_table",
                "table_version": "1",
                "backend": "parquet",
                "index_key": "label",
                "index_type": "int",
                "instance_key": "label",
                "region": {"path": f"../labels/{self._labels}"},
            }
        )
        names = listed_tables(tables)
        if self._name not in names:
            tables.attrs["tables"] = [*names, self._name]
        refresh_consolidated(self._root)


def create_table(
    root: str | Path | Place, name: str, *, labels: str | None = None, overwrite: bool = False
) -> TableWriter:
    """Start a table that is written frame by frame.

    Parameters
    ----------
    root
        OME-Zarr group, a local path or an fsspec URL; created if absent.
    name
        Name of the table.
    labels
        Label image the table describes, in `labels/`; `name` if not given.
    overwrite
        Replace a table of this name.

    Raises
    ------
    LabelError
        If there is a table of this name, the name is not valid, or the group cannot be written to.
    """
    place = place_of(root)
    check_name(name)
    tables = child_of(writable_group(place.url), "tables")
    if tables is not None and name in listed_tables(tables) and not overwrite:
        raise LabelError(f"{place} already has a table {name!r}. Use --overwrite to replace it, or another --name.")
    return TableWriter(place, name, labels if labels is not None else name)


def write_table(
    root: str | Path | Place,
    name: str,
    frames: pd.DataFrame | Iterable[pd.DataFrame],
    *,
    labels: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write a table at once, or from frames in turn; see `create_table`."""
    with create_table(root, name, labels=labels, overwrite=overwrite) as writer:
        for frame in [frames] if isinstance(frames, pd.DataFrame) else frames:
            writer.write(frame)


def _schema_of(frame: pd.DataFrame) -> Any:
    """Types by column: the contract's for its columns, in its order, then what Arrow infers for the others."""
    import pyarrow as pa

    missing = [name for name in ("label", "t") if name not in frame.columns]
    if missing:
        raise LabelError(f"The table lacks {' and '.join(missing)}; found {', '.join(map(str, frame.columns))}.")
    known = [field for field in full_schema() if field.name in frame.columns]
    others = [name for name in frame.columns if name not in COLUMNS]
    inferred = list(pa.Schema.from_pandas(frame[others], preserve_index=False)) if others else []
    return pa.schema([*known, *inferred])
