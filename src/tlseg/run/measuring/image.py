"""Which image holds the channels, and which of its frames corresponds to the first frame of the labels?

The copy in a result holds only the segmented channel, so for a movie with several channels, the movie itself is opened,
which the run record names. Labels are never paired with frames of another time: if they cannot be matched, that is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tlseg.errors import LabelError, MissingExtraError, MovieError
from tlseg.store.fs.paths import real
from tlseg.store.fs.place import Place
from tlseg.store.image.chunks import describe_missing
from tlseg.store.image.metadata import Json
from tlseg.store.image.movie import MovieSource, address_of, open_source
from tlseg.store.labels.frames import frames_apart
from tlseg.store.labels.image_of import image_of
from tlseg.store.labels.label_movie_zarr import is_label_image
from tlseg.store.labels.movie_time import movie_time
from tlseg.store.labels.protect import read_claim
from tlseg.store.labels.record import first_of_input
from tlseg.store.labels.result import Result
from tlseg.wording import how_many

Channels = Sequence[int | str]

_SAME_INTERVAL = 1e-6
"""Relative difference up to which two intervals are the same: files store them in different units."""


@dataclass(frozen=True, slots=True)
class ChosenImage:
    """An image of the same voxels as the labels.

    Attributes
    ----------
    image : MovieSource
        Its first channel.
    first : int
        Frame of the image that corresponds to the first frame of the labels.
    note : str
        What was assumed; empty if nothing was.
    """

    image: MovieSource
    first: int
    note: str = ""

    def channels(self, wanted: Channels | None) -> tuple[MovieSource, ...]:
        """Return channels by number or name, each once; all of them for None.

        Raises
        ------
        MovieError
            If there is no such channel, or the pixels are not real numbers.
        """
        dtype = np.dtype(self.image.dtype)
        if dtype.kind not in "buif":
            raise MovieError(f"{self.image.url} has {dtype.name} pixels. Expected integers or floats; convert it.")
        if wanted is None:
            return tuple(replace(self.image, channel=number) for number in range(len(self.image.channel_names)))
        if not len(wanted):
            raise MovieError(
                "The list of channels is empty. Name at least one, or leave the list out to measure every channel."
            )
        found = [open_source(self.image.url, channel=channel) for channel in wanted]
        return tuple({source.channel: source for source in found}.values())


def choose_image(
    result: Result, labels: MovieSource, *, image: str | Path | None, wanted: Channels | None
) -> ChosenImage:
    """Find the image to measure.

    Parameters
    ----------
    result
        The result.
    labels
        Its label movie.
    image
        The image to use. By default, the image of the result if it has the channels, else the movie named in the run
        record.
    wanted
        Channels by number or name; None for all.

    Raises
    ------
    MovieError
        If there is no image, or it differs in shape or lacks frames.
    """
    origins = list(_origins(result, labels))
    if image is not None:
        given = open_source(image)
        if is_label_image(given.url):
            raise MovieError(
                f"{given.url} is a label image, which has no intensities. Give the movie with --image MOVIE."
            )
        return _given(given, labels, origins, numbered=movie_time(labels, result).first)
    own, why = _own(result, labels, origins, wanted)
    if own is not None:
        return own
    if not origins:
        raise MovieError(
            f"{result.path} has no image of these labels{why}, and no run record names their movie. Give the movie with "
            "--image MOVIE."
        )
    url, first = origins[-1]
    try:
        movie = open_source(url)
    except (MovieError, MissingExtraError) as error:
        raise MovieError(
            f"These labels were made from {url}, which can no longer be opened: {error} If the movie has moved, give its "
            "place with --image MOVIE."
        ) from error
    return _fitting(ChosenImage(movie, first), labels)


def check_chunks(channels: Sequence[MovieSource], frames: Sequence[int]) -> None:
    """Raise `MovieError` if chunks of these frames are missing: they would be measured as the fill value."""
    for channel in channels:
        if missing := describe_missing(channel.missing_chunks(frames)):
            raise MovieError(
                f"{channel.url}, channel {channel.channel_names[channel.channel]}: {missing}, which would be read as the "
                "fill value. Copy the movie again, or use --allow-missing (allow_missing=True in Python) if empty chunks "
                "were never written."
            )


def _own(
    result: Result, labels: MovieSource, origins: list[tuple[str, int]], wanted: Channels | None
) -> tuple[ChosenImage | None, str]:
    """Return the image of the result itself, or None and why it cannot be used."""
    if result.image is None:
        return None, ""
    claim = read_claim(Place(result.path))
    if claim is not None:
        copy = open_source(result.path)
        if not _has_all(copy, wanted, whole=_is_whole(result, claim)):
            return None, " with all these channels"
        if origins and claim["input"].get("url") == origins[0][0]:
            return _fitting(ChosenImage(copy, origins[0][1] - int(claim["frames"][0])), labels), ""
    found = image_of(labels, result.path)
    return (None, f" ({found.note})") if found.image is None else (ChosenImage(found.image, found.first), "")


def _is_whole(result: Result, claim: Json) -> bool:
    """Whether a copy has all channels of its movie, judged by the axes of the movie or by the run record."""
    return "c" not in claim["input"].get("axes", "c") or len(result.record.get("channels", ())) == 1


def _has_all(copy: MovieSource, wanted: Channels | None, *, whole: bool) -> bool:
    """Whether a copy has all wanted channels; numbers are those of the movie, so they count only if the copy is whole."""
    return whole or (wanted is not None and len(wanted) > 0 and all(name in copy.channel_names for name in wanted))


def _origins(result: Result, labels: MovieSource) -> Iterator[tuple[str, int]]:
    """Yield the image these labels were made from and, if it is a copy, its movie; each with the labels' first frame."""
    made_of = result.record.get("fingerprint", {}).get("input")
    if not isinstance(made_of, dict):
        return
    told = first_of_input(result.record, labels.n_frames)
    first = movie_time(labels, result).first if told is None else told
    yield from _copied(address_of(made_of, root=result.path), first)


def movie_of(url: str) -> str:
    """The movie that an image is a copy of, or the image itself; whether these still exist does not matter."""
    return real([found for found, _ in _copied(url, 0)][-1])


def _copied(url: str, first: int) -> Iterator[tuple[str, int]]:
    """Yield an image and, if it is a copy, its movie; each with the frame that corresponds to `first` of the image."""
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


def _given(image: MovieSource, labels: MovieSource, origins: list[tuple[str, int]], *, numbered: int) -> ChosenImage:
    """Match the frames of a given image: by what the record says about it, else by time, else by frame number."""
    known = {real(url): first for url, first in origins}
    if real(image.url) in known:
        return _fitting(ChosenImage(image, known[real(image.url)]), labels)
    first = numbered
    if _same_interval(image.interval_s, labels.interval_s):
        first = frames_apart(image, labels)
    if not _covers(image, labels, first) and image.n_frames == labels.n_frames:
        note = (
            f"{image.url} does not have frames {first} to {first + labels.n_frames - 1}, which were labelled. It has as "
            "many frames as the labels, so they were assumed to be the same ones."
        )
        return _fitting(ChosenImage(image, 0, note), labels)
    return _fitting(ChosenImage(image, first), labels)


def _fitting(chosen: ChosenImage, labels: MovieSource) -> ChosenImage:
    """Return the image, or raise `MovieError` if it differs from the labels in shape or lacks frames."""
    image, first = chosen.image, chosen.first
    if image.frame_shape != labels.frame_shape:
        raise MovieError(
            f"{image.url} has frames of {_voxels(image)} voxels, but the labels {labels.url} have {_voxels(labels)}. "
            "Expected an image of the same voxels; choose another with --image."
        )
    if not _covers(image, labels, first):
        raise MovieError(
            f"{image.url} has {how_many(image.n_frames, 'frame')}, but the labels {labels.url} cover frames {first} to "
            f"{first + labels.n_frames - 1}. Expected an image with all of them; choose another with --image."
        )
    return chosen


def _covers(image: MovieSource, labels: MovieSource, first: int) -> bool:
    return 0 <= first <= image.n_frames - labels.n_frames


def _same_interval(one: float | None, other: float | None) -> bool:
    return bool(one and other) and abs(float(one or 0) / float(other or 1) - 1) < _SAME_INTERVAL


def _voxels(source: MovieSource) -> str:
    return " x ".join(map(str, source.frame_shape))
