"""A mistake in the labels of one frame, and the limits that every rule for finding one observes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tlseg.link.objects import Floats

Kind = Literal["merged", "cut"]

LONGEST = 3
"""Longest run of frames that is repaired."""

STEADY = 0.75
"""Whatever is repaired is where the frames before and after say, within so many of its radii; where nuclei move further
than that between frames, volumes that fit are chance."""


@dataclass(frozen=True, slots=True)
class Repair:
    """One mistake in one frame.

    Parameters
    ----------
    frame
        Frame it is in.
    kind
        `merged`: one label holds several nuclei; `cut`: several labels are one nucleus.
    labels
        Labels concerned: the one that is merged, or those to be joined, of which the first stays.
    position_um, volume_um3
        Where and how large each nucleus should be, from the frames before and after, shapes (k, 3) and (k,).
    """

    frame: int
    kind: Kind
    labels: tuple[int, ...]
    position_um: Floats
    volume_um3: Floats
