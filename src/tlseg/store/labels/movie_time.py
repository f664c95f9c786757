"""Which frame of the filmed movie is a frame of labels, and when was it?

Tables and graphs count frames from the labels' first one; what a person reads has the movie's numbers and times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tlseg.store.image.movie import MovieSource
from tlseg.store.labels.record import recorded_frames


@dataclass(frozen=True, slots=True)
class MovieTime:
    """Number and time of a label movie's frames.

    Attributes
    ----------
    first : int
        Number, in the segmented movie, of the labels' first frame.
    start_s : float
        Its time, seconds.
    interval_s : float or None
        Seconds between frames; None where unknown.
    """

    first: int = 0
    start_s: float = 0.0
    interval_s: float | None = None

    @property
    def zero_s(self) -> float:
        """Time of the movie's frame 0, seconds."""
        return self.start_s - self.first * (self.interval_s or 0.0)

    def numbers(self, frames: range) -> range:
        """Numbers of frames that are counted from the labels' first one."""
        return range(frames.start + self.first, frames.stop + self.first)


def movie_time(labels: MovieSource, record: Mapping[str, Any]) -> MovieTime:
    """Say when labels begin.

    Parameters
    ----------
    labels : MovieSource
        The label movie.
    record : mapping
        The run record beside it, empty where there is none.
    """
    chosen = recorded_frames(record, labels.n_frames)
    # Labels beside a movie hold all its frames, also where a run segmented some of them.
    first = chosen.start if len(chosen) == labels.n_frames else 0
    return MovieTime(first, labels.start_s, labels.interval_s)
