"""Clusters of this machine, and worker processes that are there at once: forked from one that has imported what they need.

A worker that is spawned imports for four seconds of processor time, and a killed one again: most of what tests of clusters
would take.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from typing import Any
from unittest import mock

import dask
from distributed import LocalCluster
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


def cluster_here(**options: Any) -> LocalCluster:
    """A cluster on loopback, of workers with one thread each.

    Distributed gives the thread of its event loop ten seconds to start, and fails at an assertion on a machine that stalls
    for so long: it is asked once more.
    """
    local = {"threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "silence_logs": 50}
    try:
        return LocalCluster(**local | options)
    except AssertionError:
        return LocalCluster(**local | options)
