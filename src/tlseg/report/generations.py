"""How long does each generation live, how much in step does it divide, and how large is it? The figures in a table.

The numbers are those of `tlseg.measure.criteria`, in the unit in which the page tells times.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from tlseg.measure.criteria import division_criteria, generation_criteria
from tlseg.report.timing import Clock

ABOUT = (
    "Mean ± standard deviation of the sample. A cycle is complete where a track begins and ends with a division; the "
    "deviation of the times of division is the generation's synchrony, 0 when all divide in one frame. The same as CSV: "
    "tlseg export --format criteria."
)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A small table, ready to be shown: titles of its columns, and its rows as text."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def generation_sheet(table: pd.DataFrame, tracks: pd.DataFrame, clock: Clock) -> Sheet:
    """One row per generation.

    Parameters
    ----------
    table : DataFrame
        A complete nucleus table.
    tracks : DataFrame
        Its track table, see `history.track_table`.
    clock : Clock
        Unit of times.
    """
    found = generation_criteria(tracks).set_index("generation")
    unit = "frames" if clock.unit == "frame" else clock.unit
    texts = {
        "generation": found.index.astype(str).to_series(index=found.index),
        "tracks": found["tracks"].map("{:,}".format),
        "complete cycles": found["cycles"].map("{:,}".format),
        f"cycle length ({unit})": _times(found["cycle_frames_mean"], found["cycle_frames_std"], clock),
        f"shortest to longest ({unit})": _ranges(found["cycle_frames_min"], found["cycle_frames_max"], clock),
        "divisions": found["divisions"].map("{:,}".format),
        f"time of division ({unit})": _times(found["division_t_mean"], found["division_t_std"], clock),
    }
    if "volume_um3" in table.columns:
        volumes = table.groupby("generation")["volume_um3"]
        sisters = division_criteria(table, tracks).groupby("generation")["sister_volume_ratio"]
        texts["volume (µm³)"] = _spread(volumes.mean(), volumes.std(), "{:,.0f}").reindex(found.index)
        texts["sister volume ratio"] = _spread(sisters.mean(), sisters.std(), "{:.2f}").reindex(found.index)
    rows = pd.DataFrame(texts).fillna("–")
    return Sheet(tuple(rows.columns), tuple(rows.itertuples(index=False, name=None)))


def _times(mean: pd.Series, deviation: pd.Series, clock: Clock) -> pd.Series:
    return _spread(mean.map(clock.at), deviation.map(clock.at), "{:.2f}")


def _ranges(low: pd.Series, high: pd.Series, clock: Clock) -> pd.Series:
    told = [f"{clock.at(a):.2f} to {clock.at(b):.2f}" if a == a else "–" for a, b in zip(low, high, strict=True)]
    return pd.Series(told, index=low.index, dtype=object)


def _spread(mean: pd.Series, deviation: pd.Series, form: str) -> pd.Series:
    """Text of each mean with its deviation, where there is one."""
    told = []
    for value, sd in zip(mean, deviation, strict=True):
        around = f" ± {form.format(sd)}" if sd == sd else ""
        told.append(f"{form.format(value)}{around}" if value == value else "–")
    return pd.Series(told, index=mean.index, dtype=object)
