"""Metrics of tlseg's own work for Prometheus, beside those of Dask.

Dask serves the registry of each process under `/metrics` where prometheus-client is installed (extra `metrics`), so
counting there is all there is to do; without it nothing is counted.
"""

from __future__ import annotations

try:
    from prometheus_client import Counter, Histogram
except ImportError:
    INSTALLED = False
else:
    INSTALLED = True
    SECONDS = Histogram(
        "tlseg_task_seconds",
        "Seconds that a task took.",
        ["stage"],
        buckets=(0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0),
    )
    UNITS = Counter("tlseg_units", "Windows, blocks, regions or frames that were done.", ["stage"])
    FAILURES = Counter("tlseg_task_failures", "Tasks that raised an error.", ["stage"])


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
    if not INSTALLED:
        return
    if failed:
        FAILURES.labels(stage).inc()
        return
    SECONDS.labels(stage).observe(seconds)
    UNITS.labels(stage).inc(units)
