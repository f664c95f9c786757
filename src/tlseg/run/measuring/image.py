"""Which image holds the channels, and which of its frames shows what the labels' first frame labels?

The copy of an image that a run made holds one channel, so of a movie with several the movie itself is asked for, which the
run record names. Labels are never paired with frames of another time: what nothing tells is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tlseg.errors import LabelError, MissingExtraError, MovieError
from tlseg.store.fs.location import real
from tlseg.store.fs.place import Place
from tlseg.store.image.chunks import describe_missing
from tlseg.store.image.metadata import Json
from tlseg.store.image.movie import MovieSource, address_of, open_source
from tlseg.store.labels.frames import frames_apart
from tlseg.store.labels.image_of import image_of
from tlseg.store.labels.movie_time import movie_time
from tlseg.store.labels.protect import read_claim
from tlseg.store.labels.result import Result

Channels = Sequence[int | str]

_SAME_INTERVAL = 1e-6
"""Part by which intervals may differ that are one: they are stored in units of their own."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """An image of the labels' voxels.

    Attributes
    ----------
    image : MovieSource
        Its first channel.
    first : int
        Its frame that is the labels' first one.
    note : str
        What was taken for granted, empty where nothing was.
    """

    image: MovieSource
    first: int
    note: str = ""

    def channels(self, wanted: Channels | None) -> tuple[MovieSource, ...]:
        """Channels by number or name, each once; all where none are named.

        Raises
        ------
        MovieError
            If there is no such channel, or its values cannot be added.
        """
        dtype = np.dtype(self.image.dtype)
        if dtype.kind not in "buif":
            raise MovieError(f"{self.image.url} has {dtype.name} pixels. Expected whole or real numbers; convert it.")
        if wanted is None:
            return tuple(replace(self.image, channel=number) for number in range(len(self.image.channel_names)))
        if not len(wanted):
            raise MovieError("No channel was named. Name one at least, or none at all for every channel.")
        found = [open_source(self.image.url, channel=channel) for channel in wanted]
        return tuple({source.channel: source for source in found}.values())


def choose_image(result: Result, labels: MovieSource, *, image: str | Path | None, wanted: Channels | None) -> Chosen:
    """Find the image to measure.

    Parameters
    ----------
    result
        Whose labels these are.
    labels
        The label movie.
    image
        The image, where somebody says so. Else it is that of the result if it has the channels, and else the movie that
        the run record names.
    wanted
        Channels by number or name; all where not given.

    Raises
    ------
    MovieError
        If there is none, or it has other voxels or not all frames.
    """
    origins = list(_origins(result, labels))
    if image is not None:
        return _given(open_source(image), labels, origins, numbered=movie_time(labels, result).first)
    own, why = _own(result, labels, origins, wanted)
    if own is not None:
        return own
    if not origins:
        raise MovieError(
            f"{result.path} has no image of these labels{why}, and no run record names their movie. Say where it is with "
            "--image MOVIE."
        )
    url, first = origins[-1]
    try:
        movie = open_source(url)
    except (MovieError, MissingExtraError) as error:
        raise MovieError(
            f"These labels were made of {url}, which cannot be opened any more: {error} Say where the movie is now with "
            "--image MOVIE."
        ) from error
    return _fitting(Chosen(movie, first), labels)


def check_chunks(channels: Sequence[MovieSource], frames: Sequence[int]) -> None:
    """Raise `MovieError` where chunks of these frames are absent, which would be measured as their fill value."""
    for channel in channels:
        if missing := describe_missing(channel.missing_chunks(frames)):
            raise MovieError(
                f"{channel.url}, channel {channel.channel_names[channel.channel]}: {missing}; a reader would see the fill "
                "value there. Expected every chunk: copy the movie again, or use --allow-missing (allow_missing=True in "
                "Python) if empty chunks were never written."
            )


def _own(
    result: Result, labels: MovieSource, origins: list[tuple[str, int]], wanted: Channels | None
) -> tuple[Chosen | None, str]:
    """Image of the result itself, or why it is not the one."""
    if result.image is None:
        return None, ""
    claim = read_claim(Place(result.path))
    if claim is not None:
        copy = open_source(result.path)
        if not _has_all(copy, wanted, whole=_is_whole(result, claim)):
            return None, " with all these channels"
        if origins and claim["input"].get("url") == origins[0][0]:
            return _fitting(Chosen(copy, origins[0][1] - int(claim["frames"][0])), labels), ""
    found = image_of(labels, result.path)
    return (None, f" ({found.note})") if found.image is None else (Chosen(found.image, found.first), "")


def _is_whole(result: Result, claim: Json) -> bool:
    """Whether the copy of a movie has all channels of it, which is said by the movie's axes or by the record."""
    return "c" not in claim["input"].get("axes", "c") or len(result.record.get("channels", ())) == 1


def _has_all(copy: MovieSource, wanted: Channels | None, *, whole: bool) -> bool:
    """Whether a copy holds all that is wanted; a number is that of the movie, so in a part it may be of another channel."""
    return whole or (wanted is not None and len(wanted) > 0 and all(name in copy.channel_names for name in wanted))


def _origins(result: Result, labels: MovieSource) -> Iterator[tuple[str, int]]:
    """Yield what these labels were made of, a movie, or a copy and then its movie; each with the labels' first frame."""
    made_of = result.record.get("fingerprint", {}).get("input")
    if not isinstance(made_of, dict):
        return
    url, first = address_of(made_of, root=result.path), movie_time(labels, result).first
    seen: set[str] = set()
    while url and url not in seen:
        seen.add(url)
        yield url, first
        claim = None
        with suppress(OSError, LabelError, MovieError, MissingExtraError, ValueError):
            claim = read_claim(Place(url))
        if claim is None:
            return
        url, first = str(claim["input"].get("url", "")), first + int(claim["frames"][0])


def _given(image: MovieSource, labels: MovieSource, origins: list[tuple[str, int]], *, numbered: int) -> Chosen:
    """Pair an image that somebody named: by what is known of it, else by time, else by frame numbers."""
    known = {real(url): first for url, first in origins}
    if real(image.url) in known:
        return _fitting(Chosen(image, known[real(image.url)]), labels)
    first = numbered
    if _same_interval(image.interval_s, labels.interval_s):
        first = frames_apart(image.start_s, labels.start_s, interval_s=labels.interval_s)
    if not _covers(image, labels, first) and image.n_frames == labels.n_frames:
        note = (
            f"{image.url} has no frames {first} to {first + labels.n_frames - 1}, which the labels are of. It has as many as"
            " they have, so it was taken to show just these."
        )
        return _fitting(Chosen(image, 0, note), labels)
    return _fitting(Chosen(image, first), labels)


def _fitting(chosen: Chosen, labels: MovieSource) -> Chosen:
    """Return it, or raise `MovieError` where it has other voxels or lacks frames."""
    image, first = chosen.image, chosen.first
    if image.frame_shape != labels.frame_shape:
        raise MovieError(
            f"{image.url} has frames of {_spell(image)} voxels, and the labels {labels.url} of {_spell(labels)}. Expected "
            "an image of the same voxels; choose another with --image."
        )
    if not _covers(image, labels, first):
        raise MovieError(
            f"{image.url} has {image.n_frames} frames, and the labels {labels.url} are of frames {first} to "
            f"{first + labels.n_frames - 1}. Expected an image that has them all; choose another with --image."
        )
    return chosen


def _covers(image: MovieSource, labels: MovieSource, first: int) -> bool:
    return 0 <= first <= image.n_frames - labels.n_frames


def _same_interval(one: float | None, other: float | None) -> bool:
    return bool(one and other) and abs(float(one or 0) / float(other or 1) - 1) < _SAME_INTERVAL


def _spell(source: MovieSource) -> str:
    return " x ".join(map(str, source.frame_shape))
