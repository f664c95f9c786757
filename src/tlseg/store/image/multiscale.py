"""Open every level of an OME-Zarr image, and refuse one whose arrays contradict its metadata."""

from __future__ import annotations

import os
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

from tlseg.errors import MovieError, one_line
from tlseg.store.fs.groups import open_group
from tlseg.store.fs.paths import is_url
from tlseg.store.image.metadata import ImageMetadata, parse_image
from tlseg.wording import how_many

if TYPE_CHECKING:
    from zarr import Array


@dataclass(frozen=True, slots=True, eq=False)
class Multiscale:
    """An OME-Zarr image.

    Attributes
    ----------
    url : str
        Path or URL of its group.
    metadata : ImageMetadata
        What its group says.
    arrays : tuple of zarr.Array
        One per pyramid level, the finest first, all with `metadata.axes`.
    writable : bool
        Whether labels can be added to the group: a local 0.5 group with write permission.
    """

    url: str
    metadata: ImageMetadata
    arrays: tuple[Array[Any], ...]
    writable: bool

    @property
    def n_channels(self) -> int:
        """Number of channels; 1 if there is no axis of them."""
        axes = self.metadata.axes
        return int(self.arrays[0].shape[axes.index("c")]) if "c" in axes else 1

    @property
    def channel_names(self) -> tuple[str, ...]:
        """One name per channel, made of its number where the metadata give none."""
        names = self.metadata.channel_names
        return tuple(names[i] if i < len(names) else f"channel {i}" for i in range(self.n_channels))

    def array(self, level: int) -> Array[Any]:
        """Array of a level; raise `MovieError` if there is no such level."""
        if not 0 <= level < len(self.arrays):
            raise MovieError(
                f"{self.url}: level {level} was requested. Expected 0 (the finest) to {len(self.arrays) - 1}."
            )
        return self.arrays[level]

    def channel(self, channel: int | str) -> int:
        """Index of a channel given by index or name; raise `MovieError` if there is no such channel."""
        count = self.n_channels
        names = self.metadata.channel_names[:count]
        if isinstance(channel, str) and channel in names:
            return names.index(channel)
        if isinstance(channel, Integral) or (isinstance(channel, str) and channel.isdecimal()):
            index = int(channel)
            if 0 <= index < count and not isinstance(channel, bool):
                return index
        known = ", ".join(map(repr, names)) or "none named"
        numbers = f"0 to {count - 1}" if count > 1 else "0"
        raise MovieError(f"{self.url}: channel {channel!r} was requested. Expected {numbers} or a name ({known}).")


def open_multiscale(url: str) -> Multiscale:
    """Open the image of an OME-Zarr group.

    Parameters
    ----------
    url
        See `tlseg.store.fs.paths.resolve`.

    Raises
    ------
    MovieError
        If there is no readable image.
    MissingExtraError
        If a URL needs a file system that is not installed.
    """
    group = open_group(url)
    metadata = parse_image(dict(group.attrs), where=url)
    arrays = tuple(_array(group, path, metadata.axes, url) for path in metadata.paths)
    v05 = group.metadata.zarr_format == 3 and metadata.version == "0.5"
    return Multiscale(url, metadata, arrays, writable=v05 and not is_url(url) and os.access(url, os.W_OK))


def _array(group: Any, path: str, axes: tuple[str, ...], url: str) -> Array[Any]:
    from zarr import Array

    try:
        array = group[path]
    except Exception as error:  # every store and codec has errors of its own
        raise MovieError(
            f"{url}: its metadata name the array {path!r}, which cannot be opened ({one_line(error)}). "
            "Copy or convert the movie again."
        ) from error
    if not isinstance(array, Array):
        raise MovieError(f"{url}: its metadata name the array {path!r}, which is a group. Expected an array.")
    if array.ndim != len(axes):
        raise MovieError(
            f"{url}: array {path!r} has {how_many(array.ndim, 'dimension')} {array.shape}, its metadata list "
            f"{len(axes)} axes ({', '.join(axes)}). Expected one axis per dimension; correct the metadata or convert the "
            "movie again."
        )
    named = getattr(array.metadata, "dimension_names", None) or ()
    if set(named) == set(axes) and tuple(named) != axes:
        raise MovieError(
            f"{url}: array {path!r} names its dimensions ({', '.join(named)}), its metadata list the axes as "
            f"({', '.join(axes)}). Expected one order in both; correct the metadata or convert the movie again."
        )
    return array
