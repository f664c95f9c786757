"""Worker processes that are there at once: forked from a process that has already imported what they need.

A worker that is spawned imports for four seconds of processor time, and a killed one again: most of what tests of clusters
would take.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from unittest import mock

import dask
from distributed.utils import get_mp_context

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@contextmanager
def forked() -> Iterator[None]:
    """Let workers that Dask starts from here be forked from one process, which stays until this one ends."""
    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        # Dask names what it wants imported when it is asked for the first time; this names what we want too.
        get_mp_context().set_forkserver_preload(["distributed", "tlseg.run.segment"])
        # Libraries count their threads when they are loaded, before a worker could tell them.
        with mock.patch.dict(os.environ, ONE_THREAD):
            forkserver.ensure_running()
        yield
