"""Which number does a frame of labels have? That of the image beside them, counted from 0.

Labels alone, of a movie that is elsewhere, count from time 0: a part of a movie keeps the movie's numbers.
"""

from __future__ import annotations

from tlseg.store.image.metadata import ImageMetadata


def first_frame(labels: ImageMetadata, image: ImageMetadata | None) -> int:
    """Number of the labels' first frame; 0 unless something says otherwise."""
    if image is not None:
        interval_s = image.interval_s if labels.interval_s else None
        shift = frames_apart(image.start_s(), labels.start_s(), interval_s=interval_s)
        if shift >= 0:
            return shift
    return frames_since_0(labels) or 0


def frames_apart(first_s: float, then_s: float, *, interval_s: float | None) -> int:
    """Whole frames from one time to another, seconds; 0 if times are unknown."""
    return round((then_s - first_s) / interval_s) if interval_s else 0


def frames_since_0(labels: ImageMetadata) -> int | None:
    """Frames from time 0 to the first one; None if times are unknown, or the first is before 0 or between frames."""
    return frames_until(labels.start_s(), interval_s=labels.interval_s)


def frames_until(start_s: float, *, interval_s: float | None) -> int | None:
    """Whole frames from time 0 to another; None if the interval is unknown, or it is before 0 or between frames."""
    if not interval_s:
        return None
    first = start_s / interval_s
    return round(first) if first >= 0 and abs(first - round(first)) < 1e-6 * max(1.0, first) else None
