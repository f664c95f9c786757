"""Which formats can a result be exported to, and what do they hold?

Loads nothing: the command line lists them before anything is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Format = Literal["ctc", "geff", "tiff", "csv", "criteria", "ome-zarr-0.4", "napari"]


@dataclass(frozen=True, slots=True)
class About:
    """A format in words.

    Attributes
    ----------
    holds : str
        What is in it, for a list.
    ends : str
        How its name ends if none is given.
    """

    holds: str
    ends: str


FORMATS: Mapping[Format, About] = {
    "ctc": About("maskTTT.tif and res_track.txt of the Cell Tracking Challenge", "-ctc"),
    "geff": About("the lineage graph alone", ".geff"),
    "tiff": About("a label stack per frame, for Fiji", "-tiff"),
    "csv": About("the table, units in the header", ".csv"),
    "criteria": About("tables of frames, tracks, divisions and generations", "-criteria"),
    "ome-zarr-0.4": About("image and labels for readers that do not know 0.5 yet", "-v04.ome.zarr"),
    "napari": About("rows of a tracks layer, as CSV", "-tracks.csv"),
}
"""All formats; criteria are computed, the others hold what is stored in another form."""
