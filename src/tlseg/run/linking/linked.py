"""Summary of tracks made for existing labels or points, or adopted from labels."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tlseg.link.lineage import Lineage


@dataclass(frozen=True, slots=True)
class Linked:
    """Tracks made for labels or points from any source, or adopted from labels.

    Attributes
    ----------
    path : str
        Group or folder that holds them.
    name : str
        Name of the labels, or of the table of points.
    frames : int
        Number of frames from the first to the last, including missing ones.
    nuclei, tracks, divisions, gaps : int
        Nuclei summed over all frames, and how they are joined.
    motherless, motherless_at_edge : int
        Tracks that begin without a mother (see `history.motherless`), and how many of them begin at the frame's edge.
    seconds : float
        How long it took.
    notes : tuple of str
        Notes on the result, one sentence each.
    """

    path: str
    name: str
    frames: int
    nuclei: int
    tracks: int
    divisions: int
    gaps: int
    motherless: int
    seconds: float
    notes: tuple[str, ...] = ()
    motherless_at_edge: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def count(lineage: Lineage) -> dict[str, int]:
    """Count nuclei, tracks, divisions and gaps of a lineage."""
    return {
        "nuclei": len(lineage.nodes),
        "tracks": lineage.tracks,
        "divisions": lineage.divisions,
        "gaps": lineage.gaps,
    }
