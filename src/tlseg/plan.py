"""What a run would do, before it does anything: blocks, tasks, memory and bytes, and whether that fits.

Pure arithmetic on shapes. Memory is projected from the largest arrays a task holds; `benchmarks/memory.py` compares the
projection with what workers really used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tlseg.errors import PlanError
from tlseg.geometry import AXES, Grid, Shape, as_block, triple

SHARD = 16
"""Blocks are whole multiples of this many voxels along each axis: the smallest shard of the working arrays."""

TARGET_BLOCK: Shape = (128, 256, 256)
TARGET_PLANE: Shape = (SHARD, 2048, 2048)

BASE_BYTES = 700 * 2**20
"""A worker that has loaded Python, PyTorch and two networks."""

FLOOD_BYTES_PER_VOXEL = 70
"""Per voxel of core, halo and margin: maps, three int32 of nearest positions, distances, order, and the watershed."""

BLEND_BYTES_PER_VOXEL = 40
"""Per voxel of a block and what its detection sees around it: sums and weights on the model's grid, and resampling.
Measuring takes less: slabs of a block are measured one by one (`tlseg.measure.objects`)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The work of one run; shapes in voxels (z, y, x), memory and disk in bytes, files before compression.

    `output_bytes` are those of labels and of the copy of the image, `image_bytes` of the copy alone.
    """

    frames: int
    frame_shape: Shape
    block: Shape
    halo_voxels: Shape
    blocks_per_frame: int
    windows_per_frame: Mapping[str, int]
    tasks: Mapping[str, int]
    total_tasks: int
    memory_per_worker_bytes: int
    memory_limit_bytes: int
    output_bytes: int
    scratch_bytes: int
    image_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def check_block(block: Shape) -> None:
    """Raise `PlanError` unless a block is three whole numbers, and whole shards along every axis."""
    for axis, voxels in zip(AXES, as_block(block), strict=True):
        if voxels % SHARD:
            raise PlanError(
                f"Along {axis}, a block of {voxels} voxels does not hold whole shards of {SHARD}: two workers would write "
                f"one shard and lose labels. Use a multiple of {SHARD}."
            )


def within_frame(block: Shape, frame: Shape) -> Shape:
    """Return the block with sides that reach the end of a frame, or past it, cut or rounded up to its last shard.

    Raises
    ------
    PlanError
        If it is not a block.
    """
    return triple(-(-n // SHARD) * SHARD if b >= n else b for b, n in zip(as_block(block), frame, strict=True))


def choose_cut(
    frame: Shape, *, halos: Sequence[Shape], seen: Shape, limit_bytes: int, block: Shape | None = None
) -> tuple[Shape, int]:
    """Largest block up to 128 x 256 x 256 voxels (2D: 2048 x 2048), and the first of some halos, with which its tasks fit.

    Blocks are equal parts of the frame, so that the last is not a sliver. A smaller halo comes before a smaller block: it
    grows where it must, while small blocks with wide halos flood the same voxels again and again.

    Parameters
    ----------
    frame
        Voxels of a frame (z, y, x).
    halos
        Halos in voxels, the widest first.
    seen
        Voxels around a block that its detection sees.
    limit_bytes
        Memory a worker may use.
    block
        A given block, for which only the halo is chosen.

    Returns
    -------
    Shape
        The block; the smallest one if none fits.
    int
        Which of the halos.
    """
    cuts = [(b, n) for b in ([block] if block else _blocks(frame)) for n in range(len(halos))]
    return next(
        (cut for cut in cuts if block_bytes(frame, cut[0], halo=halos[cut[1]], seen=seen) <= limit_bytes), cuts[-1]
    )


def block_bytes(frame: Shape, block: Shape, *, halo: Shape, seen: Shape) -> int:
    """Memory of a worker with one block: of its detection, which sees `seen` voxels around it, or of its flood."""
    # Of halo and margin, one voxel at least is read on each side, however coarse the voxels are.
    flood = [min(n, b + 4 * max(1, h)) for n, b, h in zip(frame, block, halo, strict=True)]
    blend = [min(n, b + 2 * s) for n, b, s in zip(frame, block, seen, strict=True)]
    return BASE_BYTES + max(FLOOD_BYTES_PER_VOXEL * math.prod(flood), BLEND_BYTES_PER_VOXEL * math.prod(blend))


def make_plan(
    *,
    frames: int,
    frame_shape: Shape,
    block: Shape,
    halo: Shape,
    seen: Shape,
    windows: Mapping[str, int],
    window_bytes: int,
    windows_at_once: int,
    write_regions: int,
    copied_itemsize: int,
    limit_bytes: int,
) -> Plan:
    """Work out a run.

    Parameters
    ----------
    frames, frame_shape, block, halo, seen
        Number of frames, and shapes in voxels; `seen` is what detection sees around a block.
    windows
        Windows per frame for each network.
    window_bytes, windows_at_once
        Memory of one forward pass, and how many a worker runs at the same time.
    write_regions
        Regions in which final labels of a frame are written.
    copied_itemsize
        Bytes per pixel of the image that is copied beside the labels, 0 if none is.
    limit_bytes
        Memory a worker may use.

    Raises
    ------
    PlanError
        When the block is not whole shards, or one worker would need more than `limit_bytes`.
    """
    check_block(block)
    blocks = len(Grid(frame_shape, block))
    tasks = {
        "statistics": frames,
        "predict": frames * sum(windows.values()),
        "detect": frames * blocks,
        "number": frames,
        "flood": frames * blocks,
        "measure": frames * blocks,
        "summarise": frames,
        "link": 1,
        "write": frames * write_regions,
    }
    voxels = math.prod(frame_shape)
    image = frames * _pyramid_bytes(frame_shape, copied_itemsize)
    networks = BASE_BYTES + window_bytes * windows_at_once
    memory = max(block_bytes(frame_shape, block, halo=halo, seen=seen), networks)
    plan = Plan(
        frames=frames,
        frame_shape=frame_shape,
        block=block,
        halo_voxels=halo,
        blocks_per_frame=blocks,
        windows_per_frame=dict(windows),
        tasks=tasks,
        total_tasks=sum(tasks.values()),
        memory_per_worker_bytes=memory,
        memory_limit_bytes=limit_bytes,
        output_bytes=frames * _pyramid_bytes(frame_shape, 4) + image,
        scratch_bytes=frames * voxels * (2 + 4),
        image_bytes=image,
    )
    if memory > limit_bytes:
        advice = f"Use smaller blocks (--block, now {','.join(map(str, block))}), or give"
        if networks > limit_bytes:
            advice = "Smaller blocks do not help, because the networks alone need more: give"
        raise PlanError(
            f"A worker would need about {sized(memory)} but may use only {sized(limit_bytes)}. {advice} it more memory "
            "(--memory-limit, or fewer workers)."
        )
    return plan


def sized(size: float) -> str:
    """Bytes for people to read, with one decimal: `3.5 GiB`, or below one GiB `12.0 MiB`."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"


def _pyramid_bytes(frame: Shape, itemsize: int) -> int:
    """Bytes of all levels of a frame, each of which has an eighth of the voxels of the one before, or a quarter in 2D."""
    times = 4 if frame[0] == 1 else 8
    return round(math.prod(frame) * itemsize * times / (times - 1))


def _blocks(frame: Shape) -> list[Shape]:
    """Blocks of a frame, from the largest to the least."""
    target, blocks = list(TARGET_PLANE if frame[0] == 1 else TARGET_BLOCK), []
    while True:
        blocks.append(triple(map(_side, frame, target)))
        if max(target) <= 2 * SHARD:
            return blocks
        target[target.index(max(target))] //= 2


def _side(n: int, target: int) -> int:
    """Whole shards near `target` of which the fewest voxels lie past the end of an axis of `n`."""
    if n <= target * 1.25:
        return -(-n // SHARD) * SHARD
    near = range(-(-target * 3 // 4 // SHARD) * SHARD, target * 5 // 4 + 1, SHARD)
    return min(near, key=lambda side: (-n % side / side, -side))
