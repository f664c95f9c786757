"""Criteria of a result as CSV files, one per table, for spreadsheets and statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tlseg.measure.criteria import Criteria, measure_criteria
from tlseg.report.facts import links_of, seen_frames, segmented_frames
from tlseg.store.export.formats import FORMATS
from tlseg.store.export.target import beside, has_header, local_target, only_files, publishing
from tlseg.store.image.movie import open_source
from tlseg.store.labels.movie_time import movie_time
from tlseg.store.labels.result import Result, as_result
from tlseg.store.labels.tables import CHANNEL_PREFIXES, read_table
from tlseg.store.labels.text import write_rows


@dataclass(frozen=True, slots=True)
class WrittenCriteria:
    """A folder of criteria that was written.

    Attributes
    ----------
    path : str
        Folder.
    frames : int
        Frames that were segmented.
    rows : dict of str to int
        Rows of each table, by its file's name without `.csv`.
    """

    path: str
    frames: int
    rows: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"path": self.path, "format": "criteria", "frames": self.frames, "rows": self.rows}


FILES = tuple(f"{name}.csv" for name in Criteria.__slots__)
"""What such a folder holds."""


def write_criteria(
    path: str | Path | Result,
    *,
    name: str | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> WrittenCriteria:
    """Write criteria of a result (of frames, tracks, divisions and generations) as CSV files into a folder.

    Parameters
    ----------
    path : str, Path or Result
        OME-Zarr group with finished labels and their table, or what `open_result` gave.
    name : str, optional
        Name of the labels; by default those that were opened, "nuclei", or the only ones.
    out : str or Path, optional
        Folder to write; by default beside the result, or in the current folder if the result is remote.
    overwrite : bool, default: False
        Replace an earlier folder of criteria.
    progress : callable, optional
        Called with (done, total) files.

    Returns
    -------
    WrittenCriteria
        Where it is and what is in it.

    Raises
    ------
    LabelError
        If there are no such labels or no table, or the target may not be replaced.
    MovieError
        If the result cannot be read.
    RunError
        If the files cannot be written to disk.
    """
    chosen = local_target(out) if out is not None else None
    result = as_result(path, name=name)
    name = result.name
    source = open_source(f"{result.path}/labels/{name}")
    target = chosen or beside(result.path, name, FORMATS["criteria"].ends)
    table = read_table(result.path, name)
    time, edges = movie_time(source, result), links_of(result)
    found = measure_criteria(
        table.assign(t=table["t"] + time.first),
        frames=[t + time.first for t in seen_frames(result, source)],
        interval_s=source.interval_s,
        zero_s=time.zero_s,
        edges=None if edges is None else edges.assign(t_a=edges["t_a"] + time.first, t_b=edges["t_b"] + time.first),
    ).tables()
    with publishing(
        target, overwrite=overwrite, replaceable=lambda at: _is_ours(at, found), apart_from=result.path
    ) as part:
        part.mkdir()
        for done, (kind, rows) in enumerate(found.items()):
            progress(done, len(found))
            write_rows(rows, part / f"{kind}.csv")
        progress(len(found), len(found))
    return WrittenCriteria(
        str(target), len(segmented_frames(result, source)), {kind: len(rows) for kind, rows in found.items()}
    )


def _is_ours(folder: Path, tables: Mapping[str, pd.DataFrame]) -> bool:
    """Whether a folder holds `FILES` alone, with the columns that these tables give them."""
    return only_files(folder, FILES.__contains__) and all(
        has_header(folder / f"{kind}.csv", rows.columns, optional=lambda column: column.startswith(CHANNEL_PREFIXES))
        for kind, rows in tables.items()
    )
