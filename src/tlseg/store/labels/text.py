"""Tables as text for people and spreadsheets: one format, and no digits that are only rounding."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import pandas as pd

DIGITS = 12
"""Significant; sums of grey values are whole numbers of nearly as many, and rounding shows from the sixteenth on."""


def write_rows(table: pd.DataFrame, to: Path | TextIO, *, header: bool = True) -> None:
    """Write a table as CSV, whatever the name of the file says."""
    table.to_csv(to, index=False, header=header, compression=None, lineterminator="\n", float_format=f"%.{DIGITS}g")
