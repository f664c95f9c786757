"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from distributed import LocalCluster

# Before PyTorch is imported: the threads of a small network wait for each other for minutes where another program runs too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

DATA = Path(os.environ.get("TLSEG_DATA", Path(__file__).parents[1] / "data"))


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Commands that tests start end on Ctrl-C, also where a shell began the tests in the background and had it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of real embryos with truth; the test is skipped where it is absent."""
    if not (DATA / "bbbc050").is_dir():
        pytest.skip(f"no real data at {DATA}: set TLSEG_DATA to the folder that holds bbbc050/")
    return DATA


@pytest.fixture(scope="session")
def forked_workers() -> Iterator[None]:
    """Worker processes of the test are there at once."""
    from workers import forked

    with forked():
        yield


@pytest.fixture(scope="module")
def cluster(forked_workers: None) -> Iterator[LocalCluster]:
    """A cluster of two workers that existed before the test and outlives it."""
    from workers import cluster_here

    with cluster_here(n_workers=2) as made:
        yield made


@pytest.fixture
def small_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lay frames out in shards of 32 voxels a side, so that small test frames have several."""
    from tlseg.store.image import pyramid

    monkeypatch.setattr(pyramid, "_REGION", (32, 32, 32))
