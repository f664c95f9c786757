"""Tables as text for people and spreadsheets.

They are written in one format, without digits that are only rounding, and read as any of these programs saves them.
"""

from __future__ import annotations

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from pathlib import Path
from typing import TextIO

import pandas as pd

from tlseg.errors import LabelError
from tlseg.store.fs.location import one_line

DIGITS = 12
"""Significant; sums of grey values are whole numbers of nearly as many, and rounding shows from the sixteenth on."""


def write_rows(table: pd.DataFrame, to: Path | TextIO, *, header: bool = True) -> None:
    """Write a table as CSV, whatever the name of the file says."""
    table.to_csv(to, index=False, header=header, compression=None, lineterminator="\n", float_format=f"%.{DIGITS}g")


def text_in(path: Path, *, expected: str) -> str:
    """Content of a text file in UTF-8, or in UTF-16 if it begins with the mark of it.

    Raises
    ------
    LabelError
        If it cannot be read as text; `expected` says what it should be.
    """
    try:
        data = path.read_bytes()
        return data.decode("utf-16" if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"{path} cannot be read as text ({one_line(error)}). {expected}") from error
