"""Export a result for other programs: what is stored, in their formats, or what is computed from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tlseg.errors import LabelError
from tlseg.report.criteria_files import write_criteria
from tlseg.store.export.api import Exported, export_stored
from tlseg.store.export.formats import FORMATS, Format
from tlseg.store.labels.result import Result


def export(
    result: str | Path | Result,
    format: Format,
    *,
    out: str | Path | None = None,
    name: str | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Exported:
    """Write a result in another format.

    Parameters
    ----------
    result : str, Path or Result
        OME-Zarr group with finished labels, or what `open_result` gave.
    format : str
        "ctc": Cell Tracking Challenge folder; "geff": the lineage graph alone; "tiff": a label stack per frame; "csv":
        the table; "criteria": tables of frames, tracks, divisions and generations, as `write_criteria` makes them;
        "ome-zarr-0.4": image and labels; "napari": rows of a tracks layer as CSV.
    out : str or Path, optional
        File or folder to write; by default beside the result, or in the current folder if the result is remote.
    name : str, optional
        Name of the labels; by default those that were opened, "nuclei", or the only ones.
    overwrite : bool, default: False
        Replace an earlier export in the same format.
    progress : callable, optional
        Called with (done, total) frames or pieces.

    Raises
    ------
    LabelError
        If there are no such labels, tables or tracks, the format cannot hold them, or the target may not be replaced.
    MovieError
        If the result cannot be read.
    RunError
        If the files cannot be written to disk.
    """
    if format not in FORMATS:
        raise LabelError(f"{format!r} is not an export format. Expected one of {', '.join(FORMATS)}.")
    if format != "criteria":
        return export_stored(result, format, out=out, name=name, overwrite=overwrite, progress=progress)
    done = write_criteria(result, name=name, out=out, overwrite=overwrite, progress=progress)
    return Exported(done.path, format, done.frames, sum(done.rows.values()), "rows", tables=done.rows)
