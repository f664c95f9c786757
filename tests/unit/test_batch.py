"""Batches: each task succeeds or fails on its own, and batch size depends on how long tasks take."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tlseg.errors import RunError, TlsegError
from tlseg.predict.infer import in_batches
from tlseg.run.tasks.batch import MOST, BatchSizes, run_batch
from tlseg.run.tasks.flow import Task


def fail() -> None:
    class Local(TlsegError):  # does not survive pickling
        pass

    raise Local("of this task")


def test_each_task_of_a_batch_fails_alone() -> None:
    outcomes = run_batch((Task("s", 0, 0, abs, (-1,)), Task("s", 0, 1, fail, ()), Task("s", 0, 2, abs, (-3,))))
    assert [outcome.result for outcome in outcomes] == [1, None, 3]
    assert [outcome.error is None for outcome in outcomes] == [True, False, True]
    assert "of this task" in str(outcomes[1].error)


def test_short_tasks_go_together_and_long_ones_alone() -> None:
    sizes = BatchSizes()
    assert sizes.of("detect") == sizes.largest == 1
    sizes.learn("detect", 0.0001)
    assert sizes.of("detect") == sizes.largest == MOST
    sizes.learn("detect", 5.0)
    assert sizes.of("detect") == 1, "one long task among short ones is enough to send them alone"
    sizes.learn("detect", 0.0001)
    assert sizes.of("detect") == 1, "and is reckoned with for a while"
    for _ in range(200):
        sizes.learn("detect", 0.0001)
    assert sizes.of("detect") == MOST
    assert sizes.of("flood") == 1


@pytest.mark.parametrize("most", [1, 2, 3, 8])
def test_a_gpu_that_runs_out_of_memory_gets_smaller_batches(most: int) -> None:
    """Every window once and in order, whatever fits."""
    windows = np.arange(13 * 8, dtype=np.float32).reshape(13, 2, 2, 2)
    tried: list[int] = []

    def run(part: np.ndarray, batch: int) -> np.ndarray:
        assert len(part) <= batch
        tried.append(len(part))
        if batch > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return part.astype(np.uint8)

    maps, batch = in_batches(run, windows, batch=8)
    np.testing.assert_array_equal(maps, windows.astype(np.uint8))
    assert batch == max(b for b in (1, 2, 4, 8) if b <= most)
    assert sum(n for n in tried if n <= most) == 13


def test_all_windows_are_computed_in_batches_of_the_size_that_is_returned() -> None:
    """If memory runs out partway, what was computed in larger batches is computed again."""
    windows = np.zeros((6, 2, 2, 2), np.float32)
    calls: list[int] = []

    def run(part: np.ndarray, batch: int) -> np.ndarray:
        calls.append(batch)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return np.full(part.shape, batch, np.uint8)

    maps, batch = in_batches(run, windows, batch=4)
    assert calls == [4, 4, 2, 2, 2]
    assert batch == 2
    assert (maps == 2).all()


def test_a_window_that_does_not_fit_is_an_error() -> None:
    def run(part: np.ndarray, batch: int) -> np.ndarray:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(RunError, match=r"does not fit into the memory of the GPU.*--device cpu"):
        in_batches(run, np.zeros((3, 2, 2, 2), np.float32), batch=4)
