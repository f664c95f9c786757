"""What a run may replace: copies made by runs and results it was told to replace, but never an original image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handmade import write_movie
from runs import tree
from tlseg.errors import LabelError
from tlseg.geometry import Box
from tlseg.store.fs.place import Place
from tlseg.store.image.movie import open_source
from tlseg.store.labels import protect
from tlseg.store.labels.label_writer import create_labels
from tlseg.store.labels.protect import CopiedImage, check_unused

SHAPE = (3, 4, 16, 16)


@pytest.fixture
def copied(tmp_path: Path) -> CopiedImage:
    return image_of(tmp_path, "movie", 1)


def image_of(folder: Path, name: str, value: int, frames: range = range(3)) -> CopiedImage:
    movie = write_movie(folder / f"{name}.ome.zarr", np.full(SHAPE, value, np.uint16 if value == 1 else np.uint8))
    return CopiedImage(Place(f"{folder}/out.ome.zarr"), open_source(movie), frames)


def make(image: CopiedImage) -> None:
    copy = image.open()
    for frame in image.frames:
        copy.write(frame, Box.of_shape(SHAPE[1:]))
    copy.finish()


def test_an_image_of_ones_own_is_never_replaced(tmp_path: Path, copied: CopiedImage) -> None:
    own = write_movie(tmp_path / "own.ome.zarr", np.ones(SHAPE, np.uint16))
    before = tree(own)
    for may_replace in (False, True):
        with pytest.raises(LabelError, match="not a copy made by a run"):
            CopiedImage(Place(str(own)), copied.source, copied.frames).check(may_replace=may_replace, name="nuclei")
    assert tree(own) == before


def test_the_copy_of_something_else_is_replaced_only_when_told(tmp_path: Path, copied: CopiedImage) -> None:
    copied.check(may_replace=False, name="nuclei")
    make(copied)
    copied.check(may_replace=False, name="nuclei")
    assert copied.is_whole()
    for other in (image_of(tmp_path, "other", 2), CopiedImage(copied.root, copied.source, range(2))):
        assert not other.is_whole()
        with pytest.raises(LabelError, match="copy of another movie or of other frames"):
            other.check(may_replace=False, name="nuclei")
        other.check(may_replace=True, name="nuclei")
    make(other)
    assert other.is_whole()
    assert not copied.is_whole()


def test_the_copy_that_other_labels_belong_to_stays(copied: CopiedImage) -> None:
    make(copied)
    create_labels(copied.root, name="nuclei", source=copied.source, frames=copied.frames).finish()
    other = CopiedImage(copied.root, copied.source, range(1, 3))
    other.check(may_replace=True, name="nuclei")
    copied.check(may_replace=False, name="cells")
    with pytest.raises(LabelError, match=r"the labels nuclei belong.*--no-image"):
        other.check(may_replace=True, name="cells")


def test_an_image_is_claimed_before_its_first_pixel(copied: CopiedImage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thus whatever a stopped run leaves of it is known to be the run's."""
    claims: list[Any] = []
    copy_image = protect.copy_image

    def spy(*arguments: Any, **settings: Any) -> Any:
        claims.append(json.loads(copied.record.read_bytes()))
        return copy_image(*arguments, **settings)

    monkeypatch.setattr(protect, "copy_image", spy)
    copied.open()
    assert claims[0]["frames"] == [0, 3]
    assert not copied.is_whole()
    copied.check(may_replace=False, name="nuclei")


def test_another_copy_keeps_its_record_until_it_is_gone(
    tmp_path: Path, copied: CopiedImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If stopped in between, the next start does not mistake the pixels of one movie for those of another."""
    make(copied)
    other = image_of(tmp_path, "other", 2)

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(protect, "copy_image", stop)
        with pytest.raises(KeyboardInterrupt):
            other.open()
    assert copied.is_whole()
    assert not other.is_whole()


def test_a_damaged_record_is_told(copied: CopiedImage) -> None:
    make(copied)
    copied.record.write(b'{"input":')
    with pytest.raises(LabelError, match=r"image\.json cannot be read"):
        copied.check(may_replace=False, name="nuclei")


def test_names_that_are_taken(tmp_path: Path) -> None:
    root = Place(str(write_movie(tmp_path / "movie.ome.zarr", np.ones(SHAPE, np.uint16))))
    check_unused(root, "nuclei")
    (tmp_path / "movie.ome.zarr/labels/nuclei").mkdir(parents=True)  # of a run that was stopped
    with pytest.raises(LabelError, match=r"already has labels 'nuclei'\. Use --overwrite"):
        check_unused(root, "nuclei")
    check_unused(root, "other")
