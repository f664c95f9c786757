"""Jobs that have ended are started again; those that are queued or only lack a worker are left alone."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tlseg.run.tasks import cluster as clusters
from tlseg.run.tasks import lost_jobs
from tlseg.run.tasks.cluster import started
from tlseg.run.tasks.cluster_file import ClusterSpec
from tlseg.run.tasks.lost_jobs import JobReplacer

SBATCH = """#!/bin/bash
# Begins a job of its own at once, as a node would, and says its number.
script="${!#}"
echo x >> "$JOBS/begun"
number=$(wc -l < "$JOBS/begun")
cp "$script" "$JOBS/$number.sh"  # the script is gone in a moment
setsid bash "$JOBS/$number.sh" > "$JOBS/$number.log" 2>&1 < /dev/null &
echo $! > "$JOBS/$number.pid"
echo "Submitted batch job $number"
"""
SCANCEL = """#!/bin/bash
kill -KILL -- "-$(cat "$JOBS/$1.pid")"
"""


class Job:
    """A job as a cluster represents it."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.closed, self.stubborn = False, stubborn

    async def close(self) -> None:
        self.closed = True
        if self.stubborn:
            raise RuntimeError("no such job")


class Jobs:
    """What a replacer sees of a cluster; waiting for it starts the wanted workers, as in Dask."""

    def __init__(self, **wanted: dict[str, Any]) -> None:
        self.worker_spec, self.workers = wanted, {name: Job() for name in wanted}
        self.here: set[str] = set()
        self.begun = 0

    @property
    def scheduler_info(self) -> dict[str, Any]:
        return {"workers": {f"tcp://{name}": {"name": name} for name in self.here}}

    def __await__(self) -> Generator[Any, None, None]:
        for name in set(self.worker_spec) - set(self.workers):
            self.workers[name] = Job()
            self.begun += 1
        yield from asyncio.sleep(0).__await__()


def look(replacer: JobReplacer) -> None:
    asyncio.run(replacer.check())


@pytest.mark.parametrize("group", [None, ["-0", "-1"]])
def test_a_job_that_is_gone_is_begun_again(group: list[str] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    jobs = Jobs(a={"group": group} if group else {})
    replacer, members = JobReplacer(jobs, patience_s=100.0), {f"a{suffix}" for suffix in group or [""]}  # type: ignore[arg-type]
    first = jobs.workers["a"]
    now = 1000.0
    look(replacer)
    assert jobs.begun == 0, "it waits in a queue"
    jobs.here = set(members)
    look(replacer)
    if group:
        jobs.here = {"a-1"}
        now += 1000.0
        look(replacer)
        assert jobs.begun == 0, "a part of it is there"
    jobs.here = set()
    now += 99.0
    look(replacer)
    jobs.here = set(members)
    look(replacer)
    assert jobs.begun == 0, "it came back in time"
    jobs.here = set()
    now += 101.0
    look(replacer)
    assert (jobs.begun, first.closed, jobs.workers["a"] is first) == (1, True, False)
    now += 1000.0
    look(replacer)
    assert jobs.begun == 1, "the new one waits in a queue"
    jobs.here = set(members)
    look(replacer)
    jobs.here = set()
    now += 101.0
    jobs.workers["a"].stubborn = True
    look(replacer)
    assert jobs.begun == 2


def test_only_what_is_wanted_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    jobs = Jobs(a={}, b={})
    replacer = JobReplacer(jobs, patience_s=10.0)  # type: ignore[arg-type]
    jobs.here = {"a", "b"}
    look(replacer)
    del jobs.worker_spec["b"], jobs.workers["b"]  # scaled down
    jobs.here, now = {"a"}, 100.0
    look(replacer)
    assert (jobs.begun, set(jobs.workers)) == (0, {"a"})


@pytest.mark.slow
def test_a_slurm_job_that_reached_its_walltime_is_submitted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dask-jobqueue's own class; `sbatch` and `scancel` are stand-ins that run the script on this machine."""
    pytest.importorskip("dask_jobqueue")
    for name, script in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("JOBS", str(tmp_path))
    monkeypatch.setattr(clusters, "LOST_WORKER_S", 1.0)
    monkeypatch.setattr(clusters, "LOST_WORKER_TIMEOUT", "distributed.tlseg-test")
    monkeypatch.setattr(lost_jobs, "CHECK_S", 0.5)
    options = {
        "cores": 2,
        "processes": 2,
        "memory": "2GB",
        "walltime": "00:10:00",
        "scheduler_options": {"host": "127.0.0.1", "dashboard": False},
        "local_directory": str(tmp_path),
        "death_timeout": 120,
    }
    with (
        clusters.dask.config.set({"distributed.tlseg-test": "1s"}),
        started(ClusterSpec("SLURMCluster", options, workers=2, wait_s=120)) as client,
    ):
        client.wait_for_workers(2, timeout=120)
        first = client.run(os.getpid)
        time.sleep(4 * lost_jobs.CHECK_S)  # it must have been seen to be missed
        os.killpg(int((tmp_path / "1.pid").read_text()), signal.SIGKILL)
        end = time.monotonic() + 120
        while time.monotonic() < end:
            now = set(client.scheduler_info(n_workers=-1)["workers"])
            if len(now - set(first)) == 2:
                break
            time.sleep(0.2)
        assert len(client.run(os.getpid)) == 2
        assert set(client.run(os.getpid).values()).isdisjoint(first.values())
    assert (tmp_path / "begun").read_text() == "x\nx\n"
