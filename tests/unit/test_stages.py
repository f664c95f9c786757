"""Stages: doing one twice changes nothing, and disagreements between neighbouring blocks are counted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tlseg.geometry import Box, Grid, Shape
from tlseg.label.block import Detection, LabelledBlock
from tlseg.label.components import BlockComponents
from tlseg.label.seeds import Candidates
from tlseg.run import components, stages
from tlseg.run.tables import save_detection
from tlseg.store.working.scratch import LostWorkError, Scratch

SIDE = 16
BLOCK: Shape = (SIDE, SIDE, SIDE)
FALLBACK = 2


def context(folder: Path, shape: Shape = BLOCK) -> Any:
    """A run of one frame of this shape, with its instances numbered."""
    scratch = Scratch(str(folder)).begin({})
    scratch.create("labels", shape=(1, *shape), dtype="uint32", shards=(1, *BLOCK), chunks=(1, *BLOCK))
    none = np.zeros(0, np.int64)
    numbers = {"seeds": none, "labels": none, "fallback": none, "seedless": none, "offsets": np.zeros(2, np.int64)}
    scratch.put("numbers", 0, 0, fallback_labels=np.array([FALLBACK]), **numbers)
    return SimpleNamespace(
        scratch=scratch,
        source=SimpleNamespace(read=lambda frame, box: np.ones(box.shape, np.uint16)),
        frames=range(1),
        grid=Grid(shape, BLOCK),
        frame_box=Box.of_shape(shape),
        spacing_um=(1.0, 1.0, 1.0),
        settings=SimpleNamespace(method="qcanet"),
        most_voxels=None,
        row=lambda frame: frame,
    )


def test_a_detection_that_comes_late_asks_for_no_window(tmp_path: Path) -> None:
    """The windows may have been removed already."""
    run, none, two = context(tmp_path), np.zeros(0, np.int64), np.zeros((0, 2), np.int64)
    maxima = Candidates(np.ones((3, 3), np.int64), np.ones(3, np.int64))
    save_detection(run.scratch, 0, 0, Detection(maxima, none, BlockComponents(none, none, (two,) * 3, (two,) * 3)))
    assert stages.detect(run, 0, 0) == 3


def test_a_flood_that_comes_late_leaves_the_labels_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = context(tmp_path)

    def labelled(number: int) -> LabelledBlock:
        plane = np.zeros((SIDE, SIDE), np.uint32)
        return LabelledBlock(np.full(BLOCK, number, np.uint32), (plane, plane, plane), halo=(1, 1, 1), tries=number)

    def slow(*_: Any, **__: Any) -> LabelledBlock:
        monkeypatch.setattr(stages, "label_block", lambda *_, **__: labelled(1))
        assert stages.flood(run, 0, 0) == 1
        return labelled(2)

    monkeypatch.setattr(stages, "label_block", slow)
    assert stages.flood(run, 0, 0) == 2
    assert (run.scratch.read("labels", (0,), frame=0) == 1).all()
    assert run.scratch.get("flood", 0, 0)["tries"] == 1


def with_regions(folder: Path) -> Any:
    """A run by connected regions: a voxel that is too small, a region across the two blocks, and one in the second."""
    shape = (SIDE, SIDE, 2 * SIDE)
    run = context(folder, shape)
    run.source.frame_shape, run.block = shape, BLOCK
    run.settings = SimpleNamespace(region_threshold=128, minimum_volume_um3=2.0)
    maps = np.zeros(shape, np.uint8)
    maps[0, 0, 0] = maps[2, 2, 10:20] = maps[4, 4, 30:] = 200
    run.scratch.create("maps", shape=(1, 1, *shape), dtype="uint8", shards=(1, 1, *BLOCK), chunks=(1, 1, *BLOCK))
    run.scratch.write("maps", (0, 0), maps)
    return run


def assert_regions(run: Any) -> None:
    labels = run.scratch.read("labels", (0,), frame=0)
    assert (labels[2, 2, 10:20] == 1).all()
    assert (labels[4, 4, 30:] == 2).all()
    assert (labels > 0).sum() == 12
    assert run.scratch.get("components", 0, 0)["total"] == 2


def test_connected_regions_that_come_late_ask_for_no_maps(tmp_path: Path) -> None:
    run = with_regions(tmp_path)
    assert components.label_components(run, 0) == 2
    run.scratch.drop("maps", 0)
    assert components.label_components(run, 0) == 2
    assert_regions(run)


def test_maps_that_are_lost_are_no_background(tmp_path: Path) -> None:
    run = with_regions(tmp_path)
    run.scratch.drop("maps", 0)
    with pytest.raises(LostWorkError):
        components.label_components(run, 0)
    assert not run.scratch.done("components", 0)


def test_two_workers_that_label_a_frame_at_once_write_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, volumes = with_regions(tmp_path), components.volume_um3

    def slow(*arguments: Any, **settings: Any) -> Any:
        monkeypatch.setattr(components, "volume_um3", volumes)
        assert components.label_components(run, 0) == 2
        return volumes(*arguments, **settings)

    monkeypatch.setattr(components, "volume_um3", slow)
    assert components.label_components(run, 0) == 2
    assert_regions(run)


CERTIFIED, WHOLE, UNSURE = (3, 4), (8, 9), (12, 2)
"""Where on the face a nucleus goes on that the flood certified, one without a seed, and one of which it knows nothing."""


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize(("forged", "wrong"), [(None, 0), (CERTIFIED, 1), (WHOLE, 1), (UNSURE, 0)])
def test_what_a_block_says_about_its_neighbour_is_compared(
    tmp_path: Path, axis: int, forged: tuple[int, int] | None, wrong: int
) -> None:
    z, y, x = (SIDE * (1 + (axis == a)) for a in range(3))
    run = context(tmp_path, (z, y, x))
    labels = np.zeros((z, y, x), np.uint32)
    along = np.moveaxis(labels, axis, 0)
    for number, place in enumerate((CERTIFIED, WHOLE, UNSURE), start=1):
        along[SIDE - 2 : SIDE + 2, *place] = number
    if forged is not None:
        along[SIDE, *forged] = 7
    run.scratch.write("labels", (0,), labels)
    says = np.zeros((SIDE, SIDE), np.uint32)
    says[CERTIFIED] = 1
    claims = {name: says if a == axis else np.zeros_like(says) for a, name in enumerate("zyx")}
    run.scratch.put("flood", 0, 0, **claims, halo=np.array([1, 1, 1]), tries=np.array(1))
    assert stages.measure(run, 0, 0) == (2, wrong)
