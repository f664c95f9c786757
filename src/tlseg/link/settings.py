"""Settings of linking that a person may choose; values with which no movie can be linked are refused.

Costs have one scale: 1 is what leaving a nucleus unlinked costs, so every weight reads as a share of that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated

from tlseg.errors import LabelError
from tlseg.rules import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, check_fields, inside


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """How nuclei are joined from frame to frame.

    Parameters
    ----------
    max_distance_um
        Greatest distance a nucleus may move between two frames, after the embryo's own motion is removed. None takes three
        times the median motion, kept between 1.5 and 4 median nucleus radii.
    neighbours
        Maximum number of candidates in the next frame for one nucleus.
    max_gap
        Maximum number of consecutive frames in which a nucleus may be missing and still keep its number; 0 bridges no gaps.
    overlap_weight, volume_weight, intensity_weight
        Weights of IoU and of the squared log ratios of volume and intensity against the squared distance in units of
        `max_distance_um`.
    divisions
        Whether to look for divisions.
    division_probability
        Minimum probability of a mother and two daughters (see `divisions.features`) that counts as a division.
    division_gap
        Maximum number of frames in which each daughter may be missed after the mother was last seen.
    min_cycle_frames
        Minimum number of frames between a nucleus's birth by division and its own division.
    min_cycle_s
        The same in seconds, instead of frames; `with_interval` turns it into frames.
    register
        Whether to remove the rigid motion of the whole embryo first.
    rotations
        Rotations tried over all of SO(3) where small motion does not explain a pair of frames.

    Raises
    ------
    LabelError
        If no movie can be linked with them.
    """

    max_distance_um: PositiveFloat | None = None
    neighbours: PositiveInt = 6
    max_gap: NonNegativeInt = 3
    overlap_weight: NonNegativeFloat = 0.5
    volume_weight: NonNegativeFloat = 0.25
    intensity_weight: NonNegativeFloat = 0.1
    divisions: bool = True
    division_probability: Annotated[float, inside(0, 1)] = 0.4
    division_gap: NonNegativeInt = 2
    min_cycle_frames: PositiveInt = 3
    min_cycle_s: PositiveFloat | None = None
    register: bool = True
    rotations: PositiveInt = 4000

    def __post_init__(self) -> None:
        """Refuse settings that no movie can be linked with."""
        check_fields(self, error=LabelError)

    def within(self, frames: int) -> LinkSettings:
        """Settings for a movie of this many frames, which no gap can exceed."""
        return replace(self, max_gap=min(self.max_gap, frames), division_gap=min(self.division_gap, frames))

    def with_interval(self, interval_s: float | None) -> LinkSettings:
        """Settings for a movie with this many seconds between frames: times become whole frames, rounded up.

        Raises
        ------
        LabelError
            If the interval is not a valid time, or a time was given and the interval is unknown.
        """
        if interval_s is not None and not 0 < interval_s < math.inf:
            raise LabelError(
                f"interval_s is {interval_s!r}, expected a positive, finite number of seconds between frames."
            )
        if self.min_cycle_s is None:
            return self
        if interval_s is None:
            raise LabelError(
                "The shortest cell cycle was given as a time, but the movie does not say how many seconds lie between "
                "frames. Give it in frames, or the interval when converting (tlseg convert --interval) or linking (tlseg "
                "link --interval)."
            )
        # A cycle of exactly n frames must not become n + 1 by rounding.
        frames = max(1, math.ceil(self.min_cycle_s / interval_s - 1e-9))
        return replace(self, min_cycle_frames=frames, min_cycle_s=None)
