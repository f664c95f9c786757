"""Plans of whole runs: what is checked is planned for those who do it, within their memory."""

from __future__ import annotations

from pathlib import Path

from runs import inputs
from tlseg.plan import BASE_BYTES
from tlseg.run.planning import plan_for
from tlseg.run.request import Request, check
from tlseg.run.tasks.workers import Site


def test_as_many_windows_at_once_as_cores_and_memory_allow(tmp_path: Path) -> None:
    movie, _ = inputs(tmp_path, frames=1)
    checked = check(Request(movie=movie))
    ample = plan_for(checked, Site("cpu", 8, 2**36))
    window = (ample.plan.memory_per_worker_bytes - BASE_BYTES) // 8
    short = plan_for(checked, Site("cpu", 8, BASE_BYTES + 3 * window + 1))
    assert (ample.run.threads, short.run.threads) == (8, 3)
    assert short.plan.memory_per_worker_bytes <= BASE_BYTES + 3 * window + 1
