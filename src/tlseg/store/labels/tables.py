"""Per-nucleus tables beside the pixels: one parquet file in `tables/<name>`, where ngio looks for it.

Frames are appended as row groups, so a long movie's table is never whole in memory while it is written, and it is
listed only when it is complete. For a remote group it is made in a temporary file and sent whole.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd

from tlseg.config import Frames, as_frames
from tlseg.errors import LabelError, MovieError, one_line
from tlseg.store.fs.documents import refresh_consolidated
from tlseg.store.fs.durable import flush
from tlseg.store.fs.groups import child_of, open_group, writable_group
from tlseg.store.fs.paths import check_name
from tlseg.store.fs.place import Place, place_of
from tlseg.store.fs.retry import again
from tlseg.store.locks.group_lock import turn

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

        if self._schema is None and len(frame):
            self._open(_schema_of(frame))
        if not len(frame):
            return
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
                self._open(_full_schema())
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
        names = _listed(tables)
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
    if tables is not None and name in _listed(tables) and not overwrite:
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
        If the table does not exist or cannot be read.
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
    rows: pd.DataFrame = _full_schema().empty_table().to_pandas()
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
    return _listed(tables) if tables is not None else []


def _listed(tables: Any) -> list[str]:
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


def _full_schema() -> Any:
    import pyarrow as pa

    return pa.schema([(name, pa.type_for_alias(kind)) for name, kind in COLUMNS.items()])


def _schema_of(frame: pd.DataFrame) -> Any:
    """Types by column: the contract's for its columns, in its order, then what Arrow infers for the others."""
    import pyarrow as pa

    missing = [name for name in ("label", "t") if name not in frame.columns]
    if missing:
        raise LabelError(f"The table lacks {' and '.join(missing)}; found {', '.join(map(str, frame.columns))}.")
    known = [field for field in _full_schema() if field.name in frame.columns]
    others = [name for name in frame.columns if name not in COLUMNS]
    inferred = list(pa.Schema.from_pandas(frame[others], preserve_index=False)) if others else []
    return pa.schema([*known, *inferred])
