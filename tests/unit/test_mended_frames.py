"""Which nuclei of a mended frame are kept: those kept before, and whatever repair made of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tlseg.config import LabelSettings
from tlseg.geometry import Box
from tlseg.measure.objects import ObjectSums, measure_block
from tlseg.run import repair
from tlseg.run.finish import frame_objects
from tlseg.store.working.scratch import Scratch

SPACING_UM = (2.0, 1.0, 1.0)


def rods(voxels: dict[int, int]) -> ObjectSums:
    """Sums of rod-shaped nuclei, given as number: voxels."""
    labels = np.zeros((1, len(voxels), max(voxels.values())), np.uint32)
    for row, (label, length) in enumerate(voxels.items()):
        labels[0, row, :length] = label
    box = Box.of_shape(labels.shape)  # type: ignore[arg-type]
    return measure_block(labels, labels, crop=box, core=box, frame=box, spacing_um=SPACING_UM)


class Frame:
    """A frame in which repair replaced some nuclei by new ones."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.scratch, self.monkeypatch = Scratch(str(folder / "scratch")).begin({}), monkeypatch

    def kept(self, flooded: dict[int, int], replaced: list[int], new: dict[int, int], **least: float) -> set[int]:
        """Numbers of the nuclei that are kept, given the voxels of each."""
        self.monkeypatch.setattr(repair, "certified_sums", lambda run, frame: rods(flooded))
        self.scratch.put("components", 0, 0, total=np.array(max(flooded)))
        shared = dict.fromkeys(("before", "after"), np.zeros((0, 3), np.int64))
        self.scratch.put("replaced", 0, 0, replaced=np.array(replaced), **shared, **rods(new).to_arrays())
        run: Any = SimpleNamespace(
            scratch=self.scratch,
            source=SimpleNamespace(translation_um=(0.0, 0.0, 0.0), frame_shape=(9, 99, 99), dtype="|u1"),
            settings=LabelSettings(method="components", **least),
            spacing_um=SPACING_UM,
        )
        table = frame_objects(run, 0)
        assert set(table.loc[table["seed"] == "repaired", "label"]) == set(new)
        return set(table["label"])


@pytest.fixture
def frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Frame:
    return Frame(tmp_path, monkeypatch)


@pytest.mark.parametrize("least", [{"minimum_volume_um3": 60.0}, {"minimum_volume_fraction": 0.35}])
def test_a_part_of_a_merged_label_is_kept_however_small(frame: Frame, least: dict[str, float]) -> None:
    assert frame.kept({1: 100, 2: 100, 3: 130}, [3], {3: 101, 4: 29}, **least) == {1, 2, 3, 4}


def test_what_was_dropped_does_not_come_back_as_the_median_falls(frame: Frame) -> None:
    flooded = {1: 100, 2: 100, 3: 80, 4: 15}
    assert frame.kept(flooded, [3], {3: 40, 5: 40}, minimum_volume_fraction=0.2) == {1, 2, 3, 5}


def test_what_was_kept_stays_as_the_median_rises(frame: Frame) -> None:
    flooded = {1: 100, 2: 50, 3: 50, 4: 15}
    assert frame.kept(flooded, [2, 3], {2: 100}, minimum_volume_fraction=0.25) == {1, 2, 4}
