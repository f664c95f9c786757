"""How long does each generation live, how synchronously does it divide, and how large is it? The figures in a table.

The numbers are those of `tlseg.measure.criteria`, in the time unit of the page.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from tlseg.measure.criteria import division_criteria, generation_criteria
from tlseg.measure.history import of_known_generation
from tlseg.report.svg import decimals
from tlseg.report.timing import Clock
from tlseg.wording import how_many

ABOUT = (
    "Mean ± sample standard deviation. A cycle is complete where a track begins and ends with a division; the deviation of "
    "the times of division is the generation's synchrony, 0 when all divide in one frame. As CSV: tlseg export --format "
    "criteria."
)


def about_unknown(tracks: pd.DataFrame) -> str:
    """How many tracks the figures by generation leave out, and why; empty if none."""
    left = len(tracks) - len(of_known_generation(tracks))
    if not left:
        return ""
    return (
        f" Left out, because their families begin after the first frame and their generation is unknown: {left:,} of "
        f"{how_many(len(tracks), 'track')}."
    )


ABOUT_ENDED = (
    " Grey: the movie ends within the generation, so its cycles look shorter and its divisions more in step than "
    "they are."
)

STILL_TO_DIVIDE = 0.1
"""Share of a generation alive in the last frame from which the movie counts as ending within it."""


@dataclass(frozen=True, slots=True)
class GenerationTable:
    """A small table, ready to be shown.

    Attributes
    ----------
    titles, rows
        Of its columns, and their text.
    ended
        Generations the movie ends within.
    unknown
        What to know about tracks that are left out, may be empty.
    """

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    ended: tuple[int, ...]
    unknown: str


def ended_generations(tracks: pd.DataFrame) -> list[int]:
    """Generations that the movie ends within: late divisions are not seen, so the others look fast and in step."""
    end = tracks["last"].max()
    tracks = of_known_generation(tracks)
    waiting = (tracks["divided"] < 0) & (tracks["last"] == end)
    share = waiting.groupby(tracks["generation"]).mean()
    return [int(g) for g in share.index[share >= STILL_TO_DIVIDE]]


def ended_caption(seen: pd.DataFrame, tracks: pd.DataFrame, *, looks: str, done: str) -> str:
    """What a figure of such generations must say; nothing if it shows none.

    Parameters
    ----------
    seen : DataFrame
        Rows with the `generation` of what the figure shows.
    tracks : DataFrame
        The track table.
    looks, done : str
        How the generations look, and what was seen of some of their tracks.
    """
    parts = []
    for generation in ended_generations(tracks):
        if shown := int((seen["generation"] == generation).sum()):
            parts.append(f"gen {generation}: {shown:,} of {int((tracks['generation'] == generation).sum()):,} {done}")
    return f" Grey: the movie ends within the generation, which looks {looks} ({', '.join(parts)})." if parts else ""


def generation_table(table: pd.DataFrame, tracks: pd.DataFrame, clock: Clock) -> GenerationTable:
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
    unit, lasting = clock.units, clock.lasting
    cycle = {what: found[f"cycle_frames_{what}"].map(lasting) for what in ("mean", "std", "min", "max")}
    texts = {
        "generation": found.index.astype(str).to_series(index=found.index),
        "tracks": found["tracks"].map("{:,}".format),
        "complete cycles": found["cycles"].map("{:,}".format),
        f"cycle length ({unit})": _spread(cycle["mean"], cycle["std"], "{:.2f}"),
        f"shortest to longest ({unit})": _ranges(cycle["min"], cycle["max"]),
        "divisions": found["divisions"].map("{:,}".format),
        f"time of division ({unit})": _spread(
            found["division_t_mean"].map(clock.at), found["division_t_std"].map(lasting), "{:.2f}"
        ),
    }
    if "volume_um3" in table.columns:
        volumes = of_known_generation(table).groupby("generation")["volume_um3"]
        sisters = division_criteria(table, tracks).groupby("generation")["sister_volume_ratio"]
        form = f"{{:,.{decimals(volumes.mean().min())}f}}"
        texts["volume (µm³)"] = _spread(volumes.mean(), volumes.std(), form).reindex(found.index)
        texts["sister volume ratio"] = _spread(sisters.mean(), sisters.std(), "{:.2f}").reindex(found.index)
    rows = pd.DataFrame(texts).fillna("–")
    ended = tuple(ended_generations(tracks))
    return GenerationTable(
        tuple(rows.columns), tuple(rows.itertuples(index=False, name=None)), ended, about_unknown(tracks)
    )


def _ranges(low: pd.Series, high: pd.Series) -> pd.Series:
    told = [f"{a:.2f} to {b:.2f}" if a == a else "–" for a, b in zip(low, high, strict=True)]
    return pd.Series(told, index=low.index, dtype=object)


def _spread(mean: pd.Series, deviation: pd.Series, form: str) -> pd.Series:
    """Text of each mean with its deviation, if there is one."""
    told = []
    for value, sd in zip(mean, deviation, strict=True):
        around = f" ± {form.format(sd)}" if sd == sd else ""
        told.append(f"{form.format(value)}{around}" if value == value else "–")
    return pd.Series(told, index=mean.index, dtype=object)
