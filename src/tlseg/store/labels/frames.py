"""Which number does a frame of labels have? That of the image beside them, counted from 0.

Labels alone, of a movie that is elsewhere, count from time 0: a part of a movie keeps the movie's numbers.
"""

from __future__ import annotations

from typing import Protocol


class Timed(Protocol):
    """An image or labels with times."""

    @property
    def start_s(self) -> float:
        """Time of the first frame."""

    @property
    def interval_s(self) -> float | None:
        """Seconds between frames; None where unknown."""


def first_frame(labels: Timed, image: Timed | None) -> int:
    """Number of the labels' first frame; 0 unless something says otherwise."""
    shift = -1 if image is None else frames_apart(image, labels)
    return shift if shift >= 0 else frames_since_0(labels) or 0


def frames_apart(image: Timed, labels: Timed) -> int:
    """Whole frames from the first one of an image to that of labels; 0 if times are unknown."""
    if not image.interval_s or not labels.interval_s:
        return 0
    return round((labels.start_s - image.start_s) / image.interval_s)


def frames_since_0(labels: Timed) -> int | None:
    """Whole frames from time 0 to the first one; None if times are unknown, or it is before 0 or between frames."""
    if not labels.interval_s:
        return None
    first = labels.start_s / labels.interval_s
    return round(first) if first >= 0 and abs(first - round(first)) < 1e-6 * max(1.0, first) else None
