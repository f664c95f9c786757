"""Which image do labels belong to, and at which of its frames do they start?

The image beside labels may be of other frames, or of another movie. An image that does not cover the labels is left out, and
a note says why; it is never paired with labels of another time.
"""

from __future__ import annotations

from dataclasses import dataclass

from tlseg.store.fs.groups import open_group
from tlseg.store.image.metadata import ome_of
from tlseg.store.image.movie import MovieSource, open_source
from tlseg.store.labels.frames import frames_apart
from tlseg.wording import how_many


@dataclass(frozen=True, slots=True)
class ImageBeneath:
    """What was found beside labels.

    Attributes
    ----------
    image : MovieSource or None
        Image of the same voxels that has all frames of the labels.
    first : int
        Its frame that the labels' first frame labels; 0 if there is no image.
    note : str
        Why an image was left out, empty if none was.
    """

    image: MovieSource | None
    first: int = 0
    note: str = ""


def image_of(labels: MovieSource, root: str, *, channel: int | str | None = None) -> ImageBeneath:
    """Find the image that labels belong to.

    Parameters
    ----------
    labels
        A label movie.
    root
        OME-Zarr group that holds it, and maybe an image.
    channel
        Channel of the image, the first if not given.

    Raises
    ------
    MovieError
        If the image is damaged.
    """
    if "multiscales" not in ome_of(dict(open_group(root).attrs)):
        return ImageBeneath(None)
    image = open_source(root, channel=channel)
    if image.frame_shape != labels.frame_shape:
        return ImageBeneath(
            None,
            note=f"The image has frames of {image.frame_shape} voxels and the labels of {labels.frame_shape}, so it was "
            "left out.",
        )
    first = frames_apart(image, labels)
    if not 0 <= first <= image.n_frames - labels.n_frames:
        return ImageBeneath(
            None,
            note=f"The image has {how_many(image.n_frames, 'frame')} and lacks some that have labels, so it was left out.",
        )
    return ImageBeneath(image, first)
