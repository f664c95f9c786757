"""Tables of points, one row per nucleus per frame, as CSV or parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from tlseg.errors import LabelError, one_line
from tlseg.store.fs.paths import is_url, resolve

SUFFIXES = (".csv", ".parquet")

_PANDAS = tuple(int(part) for part in pd.__version__.split(".")[:2])
EXACT: dict[str, Any] = {"float_precision": "round_trip"} if _PANDAS < (3, 1) else {}
"""Has pandas read numbers as they were written; from 3.1 on it always does."""


def is_points(path: str | Path) -> bool:
    """Whether a path names a table of points."""
    return Path(path).suffix.lower() in SUFFIXES


def read_points(path: str | Path) -> pd.DataFrame:
    """Read a table as it is.

    Raises
    ------
    LabelError
        If it does not exist or cannot be read.
    """
    text = resolve(path)
    if is_url(text):
        raise LabelError(f"Points are read from local files, not from {text}. Copy it and give the copy.")
    place = Path(text)
    if not place.is_file():
        raise LabelError(f"There is no file {place}. Check the path.")
    try:
        if place.suffix.lower() == ".parquet":
            return pd.read_parquet(place)
        table: pd.DataFrame = pd.read_csv(place, skipinitialspace=True, **EXACT)
        return table
    except Exception as error:  # parsers have errors of their own
        raise LabelError(
            f"{place} cannot be read as a table ({one_line(error)}). Expected a CSV with a header, or a parquet file."
        ) from error


def write_points(path: Path, points: pd.DataFrame) -> None:
    """Write a table in the format its name says."""
    if path.suffix.lower() == ".parquet":
        points.to_parquet(path, index=False)
    else:
        points.to_csv(path, index=False, lineterminator="\n")
