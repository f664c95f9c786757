"""Which nuclei consist of pieces that lie apart, as when one number was given to two nuclei by mistake?

Sums that are measured anyway answer this; no pixel is read again.
"""

from __future__ import annotations

from collections.abc import Sequence

from tlseg.measure.objects import looseness
from tlseg.run.linking.tables import FrameSums
from tlseg.wording import how_many

LOOSE = 2.5
"""Least `looseness` of a nucleus in pieces: two equal balls whose centres are 4.4 radii apart. No nucleus in the ground
truth of BBBC050 (Tokuoka et al. 2020) is above 1.8."""


def note_on_pieces(frames: Sequence[FrameSums]) -> str:
    """Say how many nuclei are in pieces that lie apart, and name the first; empty if none is."""
    found = [
        (sums.frame, int(label)) for sums in frames for label in sums.objects.label[looseness(sums.objects) > LOOSE]
    ]
    if not found:
        return ""
    frame, label = found[0]
    nuclei = len({label for _, label in found})
    return (
        f"{how_many(nuclei, 'nucleus is', 'nuclei are')} in several pieces that lie apart, first label {label} in frame "
        f"{frame}: one number may have been given to two nuclei."
    )
