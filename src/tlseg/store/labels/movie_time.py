"""Which frame of the recorded movie is a frame of labels, and when was it taken?

Tables and graphs count frames from the labels' first one; what a person reads has the movie's numbers and times.
"""

from __future__ import annotations

from dataclasses import dataclass

from tlseg.store.image.movie import MovieSource
from tlseg.store.labels.frames import frames_since_0
from tlseg.store.labels.record import recorded_frames
from tlseg.store.labels.result import Result


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


def movie_time(labels: MovieSource, result: Result) -> MovieTime:
    """Tell when labels begin.

    Parameters
    ----------
    labels : MovieSource
        The label movie.
    result : Result
        Whose it is: the run record says which frames these are. Without one labels count as the image beside them does,
        and where they are alone from time 0.
    """
    chosen = recorded_frames(result.record, labels.n_frames)
    if len(chosen) == labels.n_frames:
        first = chosen.start
    elif chosen or result.image is not None:
        first = 0  # labels beside a movie hold all its frames, also where a run segmented some of them
    else:
        first = frames_since_0(labels) or 0
    return MovieTime(first, labels.start_s, labels.interval_s)
