"""Dask's own /metrics page shows what tlseg's tasks did."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from tlseg.run.tasks.compute import Compute
from tlseg.run.tasks.flow import Finished, Task, drive
from tlseg.run.tasks.pools import open_pool

pytest.importorskip("prometheus_client")


def double(number: int) -> int:
    return 2 * number


def fail_once(path: str) -> None:
    """Fail if a file is absent, and create it."""
    from pathlib import Path

    if not Path(path).exists():
        Path(path).touch()
        raise ConnectionError("once")


def page(url: str) -> str:
    with urllib.request.urlopen(url) as answer:
        return str(answer.read().decode())


def test_scheduler_and_workers_serve_metrics(tmp_path_factory: pytest.TempPathFactory) -> None:
    mark = str(tmp_path_factory.mktemp("mark") / "failed")
    seen: list[Finished] = []

    def tasks() -> Any:
        yield [Task("flood", 0, n, double, (n,), weight=2) for n in range(5)]
        yield [Task("detect", 0, 0, fail_once, (mark,))]

    flows: list[Any] = [tasks()]
    following: Callable[[], Any] = lambda: flows.pop() if flows else None  # noqa: E731
    with open_pool(Compute(workers=1)) as pool:
        drive(following, pool, open_flows=1, on_done=lambda task, finished: seen.append(finished))
        client = pool.client  # type: ignore[union-attr]
        scheduler = page(f"{client.dashboard_link.removesuffix('/status')}/metrics")
        (worker,) = client.scheduler_info()["workers"].values()
        ours = page(f"http://127.0.0.1:{worker['services']['dashboard']}/metrics")
    assert "dask_scheduler_workers" in scheduler
    assert "dask_worker_tasks" in ours
    assert 'tlseg_units_total{stage="flood"} 10.0' in ours
    assert 'tlseg_task_seconds_count{stage="flood"} 5.0' in ours
    assert 'tlseg_task_failures_total{stage="detect"} 1.0' in ours
    assert {finished.worker for finished in seen} == {seen[0].worker}
    assert [(f.failures, f.error) for f in seen] == [(0, "")] * 5 + [(1, "ConnectionError: once")]
