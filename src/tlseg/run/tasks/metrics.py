"""Metrics of tlseg's own work for Prometheus, beside those of Dask.

Dask serves the registry of each process under `/metrics` where prometheus-client is installed (extra `metrics`), so
counting there is all there is to do; without it nothing is counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import Counter, Histogram

BUCKETS_S = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)

_MAKING = Lock()
"""A registry takes each metric once, but the first tasks of a worker with several threads may end together."""


@dataclass(frozen=True, slots=True)
class _Metrics:
    seconds: Histogram
    units: Counter
    failures: Counter


def count_task(stage: str, seconds: float, *, units: int, failed: bool) -> None:
    """Count a task that this process has done, or failed to do.

    Parameters
    ----------
    stage
        Stage of the run.
    seconds
        How long it took.
    units
        Windows, blocks, regions or frames it covered.
    failed
        Whether it raised an error.
    """
    with _MAKING:
        metrics = _metrics()
    if metrics is None:
        return
    if failed:
        metrics.failures.labels(stage).inc()
        return
    metrics.seconds.labels(stage).observe(seconds)
    metrics.units.labels(stage).inc(units)


@cache
def _metrics() -> _Metrics | None:
    try:
        from prometheus_client import Counter, Histogram
    except ImportError:
        return None
    return _Metrics(
        Histogram("tlseg_task_seconds", "Seconds that a task took.", ["stage"], buckets=BUCKETS_S),
        Counter("tlseg_units", "Windows, blocks, regions or frames that were done.", ["stage"]),
        Counter("tlseg_task_failures", "Tasks that raised an error.", ["stage"]),
    )
