"""What may a run replace? Labels and a table only if told to, an image only if a run copied it.

A record beside an image says of which movie and frames it is a copy. It is written before the first pixel of the copy, so an
image without one was not made by a run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from tlseg.errors import LabelError
from tlseg.store.fs.documents import read_json, replace_json
from tlseg.store.fs.place import Place
from tlseg.store.image.image_writer import ImageCopy, copy_image, image_levels_in
from tlseg.store.image.metadata import Json, ome_of
from tlseg.store.image.movie import MovieSource
from tlseg.store.labels.label_group import existing_labels
from tlseg.store.labels.tables import list_tables


def check_unused(root: Place, name: str) -> None:
    """Raise `LabelError` if a group has labels or a table of this name, finished or not."""
    if name in existing_labels(root) or (root / "labels" / name).exists():
        raise LabelError(f"{root} already has labels {name!r}. Use --overwrite to replace them, or another --name.")
    if (root / "zarr.json").exists() and name in list_tables(root):
        raise LabelError(f"{root} already has a table {name!r}. Use --overwrite to replace it, or another --name.")


def read_claim(root: Place) -> Json | None:
    """Of which movie (`input`) and `frames` the image of a group is a copy; None if it is not a copy."""
    record = _record_in(root)
    return read_json(record) if record.exists() else None


@dataclass(frozen=True, slots=True)
class CopiedImage:
    """The image of a result, which is a copy of frames of a movie or is to become one.

    Attributes
    ----------
    root : Place
        OME-Zarr group of the result.
    source : MovieSource
        What is copied.
    frames : range
        Frames of the movie that are copied.
    """

    root: Place
    source: MovieSource
    frames: range

    @property
    def record(self) -> Place:
        """File that says of which movie and frames the image is a copy; without it, the image is not a copy."""
        return _record_in(self.root)

    def check(self, *, may_replace: bool, name: str) -> None:
        """Raise `LabelError` if the group holds an image that may not be replaced.

        Parameters
        ----------
        may_replace
            Whether the copy of another movie or of other frames may be replaced; an image that is not a copy never may.
        name
            Labels that are to be written: if others are finished, the image belongs to them too.
        """
        if not image_levels_in(self.root):
            return
        if not self.record.exists():
            raise LabelError(
                f"{self.root} holds an image that is not a copy made by a run, so it is not replaced. Add the labels beside "
                "it with --no-image, or write elsewhere with --out."
            )
        if self._is_recorded():
            return
        others = [other for other in existing_labels(self.root) if other != name]
        if others:
            raise LabelError(
                f"{self.root} holds the copy of another movie or of other frames, to which the labels {', '.join(others)} "
                "belong, so it is not replaced. Leave it as it is with --no-image, or write elsewhere with --out."
            )
        if not may_replace:
            raise LabelError(
                f"{self.root} holds the copy of another movie or of other frames. Use --overwrite to replace it, or "
                "write elsewhere with --out."
            )

    def is_whole(self) -> bool:
        """Whether the copy is there and finished."""
        if not image_levels_in(self.root) or not self._is_recorded():
            return False
        return "multiscales" in ome_of(read_json(self.root / "zarr.json").get("attributes"))

    def open(self) -> ImageCopy:
        """Start the copy, or continue it; the copy of another movie keeps its record until it is gone."""
        if self.record.exists() and not self._is_recorded():
            copy = copy_image(self.source, self.root, frames=self.frames, mode="overwrite")
            replace_json(self.record, self._claim())
            return copy
        replace_json(self.record, self._claim())
        return copy_image(self.source, self.root, frames=self.frames, mode="resume")

    def _claim(self) -> Json:
        claim: Json = json.loads(
            json.dumps({"input": self.source.identity(), "frames": [self.frames.start, self.frames.stop]})
        )
        return claim

    def _is_recorded(self) -> bool:
        return read_claim(self.root) == self._claim()


def _record_in(root: Place) -> Place:
    return root / "tlseg" / "image.json"
