"""A stage that is done a second time changes nothing: another worker was faster, and others have built on what it left."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tlseg.geometry import Box, Grid
from tlseg.label.block import LabelledBlock
from tlseg.run import stages
from tlseg.store.scratch import Scratch

SHAPE = (16, 16, 16)


@pytest.fixture
def context(tmp_path: Path) -> Any:
    """A run of one frame of one block, whose seeds are numbered."""
    scratch = Scratch(str(tmp_path)).begin({})
    scratch.create("labels", shape=(1, *SHAPE), dtype="uint32", shards=(1, *SHAPE), chunks=(1, *SHAPE))
    nothing = np.zeros(0, np.int64)
    scratch.put(
        "numbers",
        0,
        0,
        seeds=nothing,
        labels=nothing,
        fallback=nothing,
        seedless=nothing,
        offsets=np.zeros(2, np.int64),
    )
    return SimpleNamespace(
        scratch=scratch,
        grid=Grid(SHAPE, SHAPE),
        frame_box=Box.of_shape(SHAPE),
        spacing_um=(1.0, 1.0, 1.0),
        settings=None,
        most_voxels=None,
        row=lambda frame: frame,
    )


def test_a_flood_that_comes_late_leaves_the_labels_alone(context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def labelled(number: int) -> LabelledBlock:
        plane = np.zeros((16, 16), np.uint32)
        return LabelledBlock(np.full(SHAPE, number, np.uint32), (plane, plane, plane), halo=(1, 1, 1), tries=number)

    def slow(*_: Any, **__: Any) -> LabelledBlock:
        monkeypatch.setattr(stages, "label_block", lambda *_, **__: labelled(1))
        assert stages.flood(context, 0, 0) == 1
        return labelled(2)

    monkeypatch.setattr(stages, "label_block", slow)
    assert stages.flood(context, 0, 0) == 2
    assert (context.scratch.read("labels", (0,), frame=0) == 1).all()
    assert context.scratch.get("flood", 0, 0)["tries"] == 1
