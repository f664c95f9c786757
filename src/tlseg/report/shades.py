"""Colours of the lineage tree by the mean intensity of a channel: one of a few levels for each track and frame.

The page draws them over the tracks it already shows, so a channel costs one letter for each nucleus in a frame.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tlseg.report.channels import MeasuredChannel, values_of
from tlseg.report.svg import Raw, join, tag

LEVELS = 24
MOST_SHADES = 200_000
"""Most colours of all channels together; of more, frames next to each other share one."""

_ENDS = (1.0, 99.0)  # percentiles of all nuclei in frames that have the first and the last colour
_ANCHORS = ("#3b63c9", "#8a5bc4", "#c9569f", "#e9695f", "#f2a02c")  # can be seen on white and on black
_NONE = "-"


def tree_shades(table: pd.DataFrame, tracks: Collection[int], channels: Sequence[MeasuredChannel]) -> Raw | None:
    """Choice of a channel for the tree, a legend, and its colours for the page's script; None without values.

    Parameters
    ----------
    table : DataFrame
        A complete nucleus table with the columns of the channels.
    tracks : collection of int
        Those that the tree shows.
    channels : sequence of MeasuredChannel
        Channels to choose from; those without values are left out.
    """
    channels = [channel for channel in channels if channel.values]
    if not channels:
        return None
    rows = table[table["track"].isin(list(tracks))]
    every = max(1, -(-len(rows) * len(channels) // MOST_SHADES))
    options, levels = [tag("option", "track", value="")], []
    for i, channel in enumerate(channels):
        values = values_of(table, channel.column)
        low, high = (float(v) for v in np.percentile(values[np.isfinite(values)], _ENDS))
        options.append(tag("option", channel.short, value=i, data_low=f"{low:.4g}", data_high=f"{high:.4g}"))
        levels.append(_levels(rows, values_of(rows, channel.column), low, high, every=every))
    data = json.dumps({"every": every, "ramp": ramp(LEVELS), "levels": levels}, separators=(",", ":"))
    shared = f"; each colour is the mean over {every} frames" if every > 1 else ""
    legend = tag(
        "p",
        tag("span", id="legend-low"),
        tag("span", class_="ramp"),
        tag("span", id="legend-high"),
        tag("span", f"mean grey value, 1st to 99th percentile of all nuclei; grey: no value{shared}"),
        id="legend",
        class_="soft",
        hidden="",
    )
    choice = tag("label", "Colour", tag("select", *options, id="shade"))
    script = tag("script", Raw(data), type="application/json", id="shades")
    return join([tag("div", choice, class_="controls"), legend, script])


def ramp(count: int) -> list[str]:
    """Colours from low to high, as in CSS."""
    anchors = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in _ANCHORS])
    at = np.linspace(0, len(anchors) - 1, count)
    mixed = np.stack([np.interp(at, np.arange(len(anchors)), anchors[:, i]) for i in range(3)], axis=1)
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in mixed.round().astype(int)]


def _levels(
    rows: pd.DataFrame, values: NDArray[np.float64], low: float, high: float, *, every: int
) -> dict[int, tuple[int, str]]:
    """First interval of frames of each track, and a letter for each from there on: a for the lowest level."""
    binned = pd.DataFrame({"track": rows["track"], "at": rows["t"] // every, "value": values})
    found = {}
    for track, part in binned.groupby(["track", "at"])["value"].mean().reset_index("at").groupby("track"):
        first = int(part["at"].iloc[0])
        letters = [_NONE] * (int(part["at"].iloc[-1]) - first + 1)
        for at, value in zip(part["at"], part["value"], strict=True):
            letters[int(at) - first] = _letter(float(value), low, high)
        found[int(str(track))] = (first, "".join(letters))
    return found


def _letter(value: float, low: float, high: float) -> str:
    if not np.isfinite(value):
        return _NONE
    part = (value - low) / (high - low) if high > low else 0.5
    return chr(ord("a") + int(np.clip(part * LEVELS, 0, LEVELS - 1)))
