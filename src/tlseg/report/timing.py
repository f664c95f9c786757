"""The unit in which the times of a movie are shown."""

from __future__ import annotations

from dataclasses import dataclass

from tlseg.report.svg import ticks


@dataclass(frozen=True, slots=True)
class Clock:
    """Frames to times.

    Attributes
    ----------
    unit : str
        "h", "min", "s", or "frame" where the interval is unknown.
    per_frame : float
        Units between frames.
    start : float
        Time of the result's first frame in this unit.
    first : int
        Its number in the movie.
    """

    unit: str
    per_frame: float
    start: float = 0.0
    first: int = 0

    def number(self, frame: float) -> int:
        """Number in the movie of a frame that is counted from the result's first one."""
        return self.first + int(frame)

    def at(self, frame: float) -> float:
        """Time of a frame in this unit."""
        return self.start + frame * self.per_frame

    def lasting(self, frames: float) -> float:
        """How long some frames are in this unit."""
        return frames * self.per_frame

    @property
    def units(self) -> str:
        """The unit of a duration."""
        return "frames" if self.unit == "frame" else self.unit

    @property
    def axis(self) -> str:
        """Label of a time axis."""
        return "time (frame)" if self.unit == "frame" else f"time ({self.unit})"

    def ticks(self, frames: int) -> list[float]:
        """Round times within a movie of so many frames; frames have whole numbers only."""
        return ticks(self.at(0), self.at(frames - 1), whole=self.unit == "frame")

    def text(self, frames: float) -> str:
        """Duration of some frames, such as "12.5 h"."""
        value = self.lasting(frames)
        plural = "s" if self.unit == "frame" and value != 1 else ""
        return f"{value:.3g} {self.unit}{plural}"

    def moment(self, frame: float) -> str:
        """Time of a frame in words, such as "12.5 h"."""
        return f"{self.at(frame):.4g} {self.unit}"


def clock_for(frames: int, interval_s: float | None, *, start_s: float = 0.0, first: int = 0) -> Clock:
    """Clock whose unit keeps a movie's times between 1 and a few hundred.

    Parameters
    ----------
    frames : int
    interval_s : float or None
        Seconds between frames, where known.
    start_s : float
        Time of the result's first frame.
    first : int
        Its number in the movie.
    """
    if not interval_s:
        return Clock("frame", 1.0, float(first), first)
    length = abs(start_s) + max(frames - 1, 1) * interval_s
    unit, seconds = ("h", 3600.0) if length >= 3 * 3600 else ("min", 60.0) if length >= 180 else ("s", 1.0)
    return Clock(unit, interval_s / seconds, start_s / seconds, first)
