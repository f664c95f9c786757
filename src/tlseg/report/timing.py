"""In what unit a person reads the times of this movie."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """Frames to times.

    Attributes
    ----------
    unit : str
        "h", "min", "s", or "frame" where the interval is unknown.
    per_frame : float
        Units between frames.
    """

    unit: str
    per_frame: float

    def at(self, frame: float) -> float:
        """Time of a frame in this unit, 0 at the result's first frame."""
        return frame * self.per_frame

    @property
    def axis(self) -> str:
        """Label of a time axis."""
        return "time (frame)" if self.unit == "frame" else f"time ({self.unit})"

    def text(self, frames: float) -> str:
        """Duration of some frames, such as "12.5 h"."""
        value = self.at(frames)
        plural = "s" if self.unit == "frame" and value != 1 else ""
        return f"{value:.3g} {self.unit}{plural}"


def clock_for(frames: int, interval_s: float | None) -> Clock:
    """Clock whose unit keeps a movie's times between 1 and a few hundred."""
    if not interval_s:
        return Clock("frame", 1.0)
    length = max(frames - 1, 1) * interval_s
    unit, seconds = ("h", 3600.0) if length >= 3 * 3600 else ("min", 60.0) if length >= 180 else ("s", 1.0)
    return Clock(unit, interval_s / seconds)
