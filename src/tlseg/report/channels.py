"""Which channels does the table have besides the one that was segmented, what are they called, and of which image are they?

The table decides which there are; the run record adds names and images, where it knows them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from tlseg.store.image.movie import address_of
from tlseg.store.labels.record import MEASURED
from tlseg.store.labels.tables import CHANNEL_PREFIXES
from tlseg.wording import how_many

MOST_CHANNELS = 6
"""Most measured channels that are drawn; the others are named."""

_MOST_NAMES = 12  # of channels that are not drawn
_LONGEST = 48  # characters of a name where there is little room


@dataclass(frozen=True, slots=True)
class MeasuredChannel:
    """A column of means that `tlseg measure` added.

    Attributes
    ----------
    name : str
        What it is called on the page: the channel's name, or what the column ends in if that is unknown or not its own.
    column : str
    image : str
        Address of the image that was measured, empty if the record does not say.
    values : int
        Rows of the table that have a value.
    rows : int
        Rows of the table.
    drawn : bool
        Whether the page shows it.
    """

    name: str
    column: str
    image: str
    values: int
    rows: int
    drawn: bool

    @property
    def short(self) -> str:
        """The name, cut where it is very long."""
        return self.name if len(self.name) <= _LONGEST else f"{self.name[: _LONGEST - 1]}…"

    @property
    def about(self) -> str:
        """Of which image the values are, what was not done to them, and how many there are."""
        place = PurePosixPath(self.image.rstrip("/")).name or self.image
        image = place or "an image that the run record does not name"
        missing = self.rows - self.values
        lack = (
            f" There is no value for {missing:,} of {how_many(self.rows, 'nucleus', 'nuclei')} in frames."
            if missing
            else ""
        )
        return f"Values are of {image}, column {self.column}; background is not subtracted.{lack}"


def measured_channels(table: pd.DataFrame, record: Mapping[str, Any], *, root: str) -> tuple[MeasuredChannel, ...]:
    """Channels of a nucleus table that were measured, in the order of its columns.

    Parameters
    ----------
    table : DataFrame
        A nucleus table.
    record : mapping
        The run record of its labels.
    root : str
        The result.
    """
    prefix = CHANNEL_PREFIXES[0]
    columns = [c for c in table.columns if c.startswith(prefix) and is_numeric_dtype(table[c])]
    entries = _entries(record)
    named = {column: str(entries.get(column, {}).get("name") or column.removeprefix(prefix)) for column in columns}
    often = Counter(named.values())
    return tuple(
        MeasuredChannel(
            name=named[column] if often[named[column]] == 1 else column.removeprefix(prefix),
            column=column,
            image=address_of({"url": entries.get(column, {}).get("image", "")}, root=root),
            values=int(np.isfinite(values_of(table, column)).sum()),
            rows=len(table),
            drawn=i < MOST_CHANNELS,
        )
        for i, column in enumerate(columns)
    )


def values_of(table: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """Values of a column, NaN where there is none or it is infinite."""
    values = table[column].to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isfinite(values), values, np.nan)


def about_undrawn(channels: tuple[MeasuredChannel, ...]) -> str:
    """Names of the channels that are not drawn; empty if all are."""
    rest = [channel.short for channel in channels if not channel.drawn]
    if not rest:
        return ""
    more = f" and {len(rest) - _MOST_NAMES:,} more" if len(rest) > _MOST_NAMES else ""
    names = ", ".join(rest[:_MOST_NAMES])
    return (
        f"The first {len(channels) - len(rest)} of {len(channels):,} measured channels are drawn. In the table only: "
        f"{names}{more}."
    )


def _entries(record: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Entries of the run record by their columns."""
    measured = record.get(MEASURED)
    found = measured if isinstance(measured, list) else []
    return {
        str(column): entry for entry in found if isinstance(entry, Mapping) for column in entry.get("columns") or ()
    }
