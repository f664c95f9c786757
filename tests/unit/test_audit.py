"""The seam audit adds up what each block's flood reported, and reads one table per frame to do so."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tlseg.errors import RunError
from tlseg.geometry import Box, Grid
from tlseg.measure.objects import measure_block
from tlseg.run import stages
from tlseg.run.audit import check_audit, seam_audit
from tlseg.store.working.scratch import LostWorkError, Scratch

GRID = Grid((16, 32, 32), (16, 16, 16))
FRAMES = range(3, 5)


def context(folder: Path, device: str) -> Any:
    """A run of two frames with four blocks each, with nothing done yet."""
    return SimpleNamespace(
        scratch=Scratch(str(folder)).begin({}), frames=FRAMES, grid=GRID, roles=("nsn", "ndn"), device=device
    )


def measured(run: Any, *, tries: dict[tuple[int, int], int], batches: dict[tuple[int, int], int]) -> None:
    """Leave what `predict` and `measure` leave: (frame, block) floods tried, (frame, window) batches, 1 where not given."""
    nothing = Box.of_shape((16, 16, 16))
    sums = measure_block(
        np.zeros(nothing.shape, np.uint32),
        np.zeros(nothing.shape, np.uint16),
        crop=nothing,
        core=nothing,
        frame=nothing,
        spacing_um=(1.0, 1.0, 1.0),
    )
    for frame in FRAMES:
        for block in range(len(GRID)):
            n = tries.get((frame, block), 1)
            run.scratch.put(
                "measure",
                frame,
                block,
                overlaps=np.zeros((0, 3), np.int64),
                seam=np.array([10, n // 4]),
                flooded=np.array([n, 2**n, 5, 6]),
                **sums.to_arrays(),
            )
        for role in run.roles:
            for window in range(3):
                run.scratch.put(f"predict-{role}", frame, window, batch=np.array(batches.get((frame, window), 8)))


def audit(run: Any) -> dict[str, Any]:
    for frame in FRAMES:
        stages.summarise(run, frame)
    return seam_audit(run)


def test_counts_what_blocks_and_windows_said(tmp_path: Path) -> None:
    run = context(tmp_path, "cuda")
    measured(run, tries={(3, 1): 2, (4, 0): 2, (4, 2): 4}, batches={(4, 0): 4})
    assert audit(run) == {
        "blocks": 8,
        "certified_at_first_try": 5,
        "halos_enlarged": 3,
        "largest_halo_voxels": (16, 5, 6),
        "face_voxels_compared": 80,
        "face_voxels_that_disagree": 1,
        "windows_by_batch": {"8": 10, "4": 2},
    }


def test_blocks_that_disagree_fail_the_run() -> None:
    said = {"blocks": 4, "face_voxels_compared": 80, "face_voxels_that_disagree": 0}
    check_audit(said, method="qcanet")
    with pytest.raises(RunError, match="1 of 80 voxels compared across block faces disagree"):
        check_audit(said | {"face_voxels_that_disagree": 1}, method="qcanet")


def test_on_a_cpu_windows_have_no_batch(tmp_path: Path) -> None:
    run = context(tmp_path, "cpu")
    measured(run, tries={}, batches={})
    assert audit(run)["windows_by_batch"] == {"1": 12}


def test_frames_that_were_not_flooded_have_no_blocks(tmp_path: Path) -> None:
    run = context(tmp_path, "cpu")
    measured(run, tries={(frame, block): 0 for frame in FRAMES for block in range(len(GRID))}, batches={})
    found = audit(run)
    assert (found["blocks"], found["certified_at_first_try"], found["halos_enlarged"]) == (0, 0, 0)
    check_audit(found, method="components")
    with pytest.raises(RunError, match="certified no block"):
        check_audit(found, method="qcanet")


def test_reads_one_table_of_each_frame(tmp_path: Path) -> None:
    run = context(tmp_path, "cuda")
    measured(run, tries={(4, 2): 3}, batches={})
    before = audit(run)
    for stage in ("measure", "predict-nsn", "predict-ndn", "objects"):
        shutil.rmtree(run.scratch.path / "tables" / stage)
    assert seam_audit(run) == before


def test_a_frame_without_its_audit_is_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run stopped between the two tables of a frame's summary writes both again."""
    run, put = context(tmp_path, "cpu"), Scratch.put
    measured(run, tries={}, batches={})

    def stopped(self: Scratch, stage: str, frame: int, number: int, **arrays: Any) -> None:
        if stage == "audit":
            raise KeyboardInterrupt
        put(self, stage, frame, number, **arrays)

    monkeypatch.setattr(Scratch, "put", stopped)
    with pytest.raises(KeyboardInterrupt):
        stages.summarise(run, 3)
    assert not run.scratch.done("objects", 3)


def test_a_frame_whose_audit_is_lost_is_done_again(tmp_path: Path) -> None:
    run = context(tmp_path, "cuda")
    measured(run, tries={}, batches={})
    audit(run)
    (run.scratch.path / "tables/audit/000004/00000000.npz").write_bytes(b"")
    with pytest.raises(LostWorkError) as lost:
        seam_audit(run)
    assert lost.value.frame == 4
