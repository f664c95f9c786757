"""Tables as text for people and spreadsheets.

They are written in one format, without digits that are only rounding, and read as any of these programs saves them.
"""

from __future__ import annotations

import csv
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from io import StringIO
from pathlib import Path
from typing import TextIO

import pandas as pd

from tlseg.errors import LabelError, one_line

DIGITS = 12
"""Significant; sums of grey values are whole numbers of nearly as many, and rounding shows from the sixteenth on."""

_DELIMITERS = ",;\t"
_MOST = 2**63 - 1


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


def cells_in(path: Path, text: str, *, expected: str) -> list[tuple[int, list[str]]]:
    """Split a table into numbered rows, header first, without blank ones and the line by which Excel names a delimiter.

    Raises
    ------
    LabelError
        If it is no such table; `expected` says what it should be.
    """
    first = next(iter(text.lstrip().splitlines()), "")
    told = re.fullmatch(r"sep=(.)", first, re.IGNORECASE)
    delimiter = told[1] if told else max(_DELIMITERS, key=first.count)
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter)
    try:
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise LabelError(f"{path} cannot be read as a table ({one_line(error)}). {expected}") from error
    return rows[1:] if told else rows


def whole_number(cell: str) -> int | None:
    """Parse a whole number from 0, or 0 from an empty cell; return None for anything else."""
    text = re.sub(r"\.0*$", "", cell.strip()) or "0"
    plain = text.isascii() and text.isdecimal() and len(text) <= len(str(_MOST))
    return int(text) if plain and int(text) <= _MOST else None
