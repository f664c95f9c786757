"""What the sections of a page show: one value, whether the result has a time or not.

The page draws whatever is in it and leaves out what is empty; only who fills it knows of time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from tlseg.report.attention import Listing
from tlseg.report.channels import MeasuredChannel
from tlseg.report.facts import Facts
from tlseg.report.generations import GenerationTable
from tlseg.report.pictures import Strip
from tlseg.report.svg import Raw
from tlseg.report.tiles import Tile
from tlseg.report.timing import Clock


@dataclass(frozen=True, slots=True)
class ReportData:
    """What a report is made from.

    Attributes
    ----------
    facts : Facts
    table, tracks, divided : DataFrame
        The complete nucleus table; its tracks and divisions, see `measure.history`.
    clock : Clock
    frames : int
        Frames of the labels.
    seen : sequence of int
        Those that were segmented.
    listings : sequence of Listing
        Everything worth checking.
    depth : str
        What a volume is if there is one plane only; empty elsewhere.
    strip : Strip
        Pictures of frames.
    pictured : bool
        Whether the image is in them.
    note : str
        What to know about them, may be empty.
    """

    facts: Facts
    table: pd.DataFrame
    tracks: pd.DataFrame
    divided: pd.DataFrame
    clock: Clock
    frames: int
    seen: Sequence[int]
    listings: Sequence[Listing]
    depth: str
    strip: Strip
    pictured: bool
    note: str

    @property
    def drawn(self) -> list[MeasuredChannel]:
        """Measured channels that have figures."""
        return [channel for channel in self.facts.measured if channel.drawn]


@dataclass(frozen=True, slots=True)
class Panel:
    """One figure with its title and what it shows; a `hint` says what a page can do with it, `above` it may be choices."""

    title: str
    about: str
    drawing: Raw | None
    instead: str = ""
    hint: str = ""
    above: Raw | None = None


@dataclass(frozen=True, slots=True)
class Sections:
    """What is shown, in the order of the page.

    Attributes
    ----------
    tiles : sequence of Tile
        The first numbers.
    heading : str
        Over the pictures.
    beside : sequence of Panel
        Figures beside them.
    tree : Panel or None
        The lineage tree.
    measured : sequence of Panel
        Figures of measured channels.
    more : sequence of Panel
        Other figures.
    generations : GenerationTable or None
        Figures of each generation.
    listings : sequence of Listing
        Where to look.
    named_by : mapping of str to str
        Columns that tell the rows of a listing apart, `t` or `track`, and their titles.
    """

    tiles: Sequence[Tile]
    heading: str
    beside: Sequence[Panel]
    tree: Panel | None
    measured: Sequence[Panel]
    more: Sequence[Panel]
    generations: GenerationTable | None
    listings: Sequence[Listing]
    named_by: Mapping[str, str]

    @property
    def figures(self) -> list[Panel]:
        """Panels that have a drawing."""
        tree = [] if self.tree is None else [self.tree]
        return [panel for panel in (*self.beside, *tree, *self.measured, *self.more) if panel.drawing is not None]
