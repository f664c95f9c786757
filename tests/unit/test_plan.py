"""Plans: blocks are whole shards that fit in memory, and work that does not fit is refused in advance."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import pytest

from tlseg.errors import PlanError
from tlseg.geometry import Grid, Shape
from tlseg.plan import SHARD, block_bytes, check_block, choose_cut, make_plan, sized, within_frame
from tlseg.store.image.pyramid import plan_pyramid

GIB = 2**30
SEEN: Shape = (10, 20, 20)
FRAMES: tuple[Shape, ...] = (
    (1, 512, 512),
    (51, 140, 139),
    (200, 2048, 2048),
    (1000, 100, 3000),
    (16, 16, 16),
    (7, 5, 3),
)


def plan(**changes: Any) -> Any:
    values: dict[str, Any] = {
        "frames": 3,
        "frame_shape": (50, 200, 300),
        "block": (64, 112, 160),
        "halo": (12, 25, 25),
        "seen": (10, 20, 20),
        "windows": {"nsn": 6, "ndn": 4},
        "window_bytes": GIB,
        "windows_at_once": 2,
        "write_regions": 8,
        "copied_itemsize": 0,
        "limit_bytes": 16 * GIB,
    }
    return make_plan(**(values | changes))


@pytest.mark.parametrize("frame", [(1, 2048, 2048), (256, 256, 256)])
def test_bytes_written_are_those_of_all_levels(frame: Shape) -> None:
    pyramid = plan_pyramid(frame, spacing_um=(1.0, 1.0, 1.0), translation_um=(0.0, 0.0, 0.0))
    voxels = sum(math.prod(frame) / math.prod(factor) for factor in pyramid.factors)
    planned = plan(frame_shape=frame, block=(16, 256, 256)).output_bytes
    assert planned == pytest.approx(3 * 4 * voxels, rel=0.01)


@pytest.mark.parametrize(("frame", "limit"), list(itertools.product(FRAMES, (GIB, 4 * GIB, 64 * GIB))))
def test_a_chosen_block_is_whole_shards_and_no_longer_than_needed(frame: Shape, limit: int) -> None:
    block, _ = choose_cut(frame, halos=[(12, 25, 25)], seen=SEEN, limit_bytes=limit)
    check_block(block)
    for n, b in zip(frame, block, strict=True):
        assert b <= -(-n // SHARD) * SHARD


def test_the_last_block_is_not_a_sliver_where_memory_allows() -> None:
    for n in range(1, 2500, 7):
        frame = (n, n, n)
        block, _ = choose_cut(frame, halos=[(8, 8, 8)], seen=SEEN, limit_bytes=1000 * GIB)
        for b, parts in zip(block, Grid(frame, block).counts, strict=True):
            assert parts == 1 or n - (parts - 1) * b >= b / 4


@pytest.mark.parametrize("frame", FRAMES)
def test_a_block_beyond_the_frame_cuts_it_as_one_that_ends_with_it(frame: Shape) -> None:
    block = (16, 32, 99999999999999999984)
    within = within_frame(block, frame)
    check_block(within)
    assert Grid(frame, within).counts == Grid(frame, block).counts
    assert all(b < n + SHARD for b, n in zip(within, frame, strict=True))


def test_small_sizes_are_no_zeros() -> None:
    assert [sized(n) for n in (0, 3_670_016, GIB - 1, GIB, 3.5 * GIB)] == [
        "0.0 MiB",
        "3.5 MiB",
        "1024.0 MiB",
        "1.0 GiB",
        "3.5 GiB",
    ]


def test_a_chosen_block_fits_or_is_the_least() -> None:
    for frame, limit in itertools.product(FRAMES, (2 * GIB, 4 * GIB, 8 * GIB)):
        block, _ = choose_cut(frame, halos=[(8, 8, 8)], seen=SEEN, limit_bytes=limit)
        assert block_bytes(frame, block, halo=(8, 8, 8), seen=SEEN) <= limit or max(block) <= 48
    small, large = (
        choose_cut((200, 2048, 2048), halos=[(12, 25, 25)], seen=SEEN, limit_bytes=limit)[0]
        for limit in (2 * GIB, 64 * GIB)
    )
    assert math.prod(small) < math.prod(large)


def test_halos_shrink_before_blocks_do() -> None:
    """Voxels of 0.5 x 0.2 x 0.2 um make 20 um wide: a block would be a hundredth of what it reads."""
    frame, halos, seen = (600, 2048, 2048), [(40, 100, 100), (20, 50, 50), (10, 25, 25)], (32, 80, 80)
    block, chosen = choose_cut(frame, halos=halos, seen=seen, limit_bytes=4 * GIB)
    assert block_bytes(frame, block, halo=halos[chosen], seen=seen) <= 4 * GIB
    assert chosen > 0
    assert math.prod(block) >= 128 * 256 * 256 // 2
    assert choose_cut(frame, halos=halos, seen=seen, limit_bytes=64 * GIB) == ((160, 256, 256), 0)
    given, chosen = choose_cut(frame, halos=halos, seen=seen, limit_bytes=4 * GIB, block=(64, 128, 128))
    assert (given, chosen) == ((64, 128, 128), 1)


def test_a_halo_of_nothing_is_planned_as_it_is_read() -> None:
    frame, block = (1000, 1000, 1000), (144, 256, 112)
    none, least = (block_bytes(frame, block, halo=halo, seen=SEEN) for halo in ((0, 0, 0), (1, 1, 1)))
    assert none == least


def test_detection_counts_where_it_sees_far() -> None:
    frame, block = (600, 2048, 2048), (128, 256, 256)
    near, far = (block_bytes(frame, block, halo=(2, 2, 2), seen=seen) for seen in (SEEN, (64, 160, 160)))
    assert far > near


@pytest.mark.parametrize("block", [(8, 16, 16), (16, 24, 16)])
def test_a_block_of_broken_shards_is_refused(block: Shape) -> None:
    with pytest.raises(PlanError, match="whole shards of 16"):
        check_block(block)


@pytest.mark.parametrize("block", [(16, 16, 0), (16, 16, -16), (16, 16), (16, 16, 16.0), 16])
def test_a_block_that_is_none_is_refused(block: Any) -> None:
    with pytest.raises(PlanError, match="three whole numbers of voxels"):
        check_block(block)


def test_the_tasks_of_a_plan_add_up() -> None:
    made = plan()
    assert made.blocks_per_frame == 1 * 2 * 2
    assert made.tasks["predict"] == 3 * (6 + 4)
    assert made.tasks["flood"] == made.tasks["detect"] == 3 * 4
    assert made.total_tasks == sum(made.tasks.values())
    json.dumps(made.to_dict())


def test_memory_is_that_of_the_hungriest_task() -> None:
    few, many = plan(windows_at_once=1), plan(windows_at_once=12)
    assert few.memory_per_worker_bytes >= block_bytes(
        (50, 200, 300), (64, 112, 160), halo=(12, 25, 25), seen=(10, 20, 20)
    )
    assert many.memory_per_worker_bytes - 12 * GIB >= 0
    assert many.memory_per_worker_bytes > few.memory_per_worker_bytes


def test_a_worker_that_cannot_hold_its_block_is_an_error_with_a_remedy() -> None:
    with pytest.raises(PlanError, match=r"--block, now 64,1120,1600") as caught:
        plan(limit_bytes=GIB, frame_shape=(50, 2000, 3000), block=(64, 1120, 1600), window_bytes=GIB // 1024)
    assert "\n" not in str(caught.value)
    assert "GiB" in str(caught.value)
    with pytest.raises(PlanError, match=r"Smaller blocks do not help, .*--memory-limit"):
        plan(limit_bytes=GIB)
