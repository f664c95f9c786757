"""Two movies of 500 frames are compared without either being in memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import zarr

from tlseg.evaluate.api import evaluate

FRAMES, SHAPE, TILE = 500, (8, 64, 64), 16


def write(path: Path, *, first: int, lost: int) -> Path:
    """Boxes that drift along x, one movie in chunks of a frame; box `lost` is missing in every tenth frame."""
    movie = zarr.create_array(
        path, shape=(FRAMES, *SHAPE), chunks=(1, *SHAPE), dtype="uint32", compressors=zarr.codecs.ZstdCodec(level=1)
    )
    y, x = np.indices(SHAPE[1:])
    tiles = (y // TILE * (SHAPE[2] // TILE) + x // TILE + first).astype(np.uint32)
    tiles[(y % TILE < 2) | (x % TILE < 2)] = 0
    for t in range(FRAMES):
        frame = np.roll(tiles, t % 3, axis=1)
        frame = np.where(frame == (lost if t % 10 == 0 else -1), 0, frame)
        movie[t] = np.broadcast_to(frame, SHAPE)
    return path


def test_memory_does_not_hold_a_movie(tmp_path: Path) -> None:
    truth = write(tmp_path / "truth.zarr", first=1, lost=-1)
    result = write(tmp_path / "result.zarr", first=1001, lost=1005)
    evaluate(truth, truth, frames=(0, 2), tracking="always")  # what is loaded on first use is not the movies'
    tracemalloc.start()
    found = evaluate(result, truth, tracking="always")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    whole = FRAMES * int(np.prod(SHAPE)) * 4
    assert peak < whole / 5
    assert (len(found.frames), found.misses, found.n_truth) == (FRAMES, FRAMES // 10, FRAMES * 16)
    assert found.tracking is not None
    assert found.tracking.errors.fn == FRAMES // 10
    assert found.tracking.complete_lineages == 15 / 16
