"""Workers change nothing: local processes, a remote scheduler, a killed worker; the same bytes, nothing left over."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import dask
import psutil
import pytest
from dask.base import get_scheduler
from distributed import Client, LocalCluster
from distributed.utils import LoopRunner

from runs import essence, inputs, run, tree
from tlseg.errors import PlanError, RunError
from tlseg.run.tasks import cluster as clusters
from tlseg.run.watch.events import Event, Notice
from workers import cluster_here

pytestmark = pytest.mark.usefixtures("forked_workers")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a movie of two frames, a model, and a serial run in `result.zarr`."""
    folder = tmp_path_factory.mktemp("workers")
    movie, model = inputs(folder, frames=2)
    run(movie, model, out=folder / "result.zarr")
    return folder


@pytest.fixture
def no_remains(forked_workers: None) -> Iterator[None]:
    """Check that every process the test started has ended."""
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    yield
    started = [p for p in psutil.Process().children(recursive=True) if p.pid not in before]
    _, alive = psutil.wait_procs([p for p in started if "resource_tracker" not in " ".join(p.cmdline())], timeout=5)
    assert not alive


@pytest.mark.parametrize(("workers", "start"), [(1, "spawn"), (2, "forkserver")])
@pytest.mark.usefixtures("no_remains")
def test_processes_on_this_machine(base: Path, tmp_path: Path, workers: int, start: str) -> None:
    with dask.config.set({"distributed.worker.multiprocessing-method": start}):
        run(base / "movie.ome.zarr", base / "model", out=tmp_path / "out.zarr", workers=workers)
    assert essence(tmp_path / "out.zarr") == essence(base / "result.zarr")


def test_a_scheduler_by_its_address(base: Path, tmp_path: Path, cluster: LocalCluster) -> None:
    address = cluster.scheduler_address
    run(base / "movie.ome.zarr", base / "model", out=tmp_path / "out.zarr", scheduler=address)
    assert essence(tmp_path / "out.zarr") == essence(base / "result.zarr")
    with Client(address) as client:
        assert client.submit(abs, -1).result() == 1, "a cluster that was given still runs"


def test_a_client(base: Path, tmp_path: Path, cluster: LocalCluster) -> None:
    with Client(cluster) as client:
        run(base / "movie.ome.zarr", base / "model", out=tmp_path / "out.zarr", client=client)
        assert client.status == "running"
        assert not client.who_has(), "no result of a task stays with the workers"
    assert essence(tmp_path / "out.zarr") == essence(base / "result.zarr")


def test_workers_that_stay_see_a_new_run(base: Path, tmp_path: Path, cluster: LocalCluster) -> None:
    """The same place is used again with other blocks: what workers remember of the first run must not be used."""
    with Client(cluster) as client:
        for block in [(32, 48, 48), (16, 16, 48)]:
            run(
                base / "movie.ome.zarr",
                base / "model",
                out=tmp_path / "out.zarr",
                block=block,
                client=client,
                overwrite=True,
            )
            assert essence(tmp_path / "out.zarr") == essence(base / "result.zarr")


@pytest.mark.parametrize("stage", ["predict", "flood"])
def test_a_worker_that_is_killed(base: Path, tmp_path: Path, cluster: LocalCluster, stage: str) -> None:
    killed = threading.Event()

    def kill_one(event: Event | Notice) -> None:
        if isinstance(event, Event) and event.stage == stage and event.done and not killed.is_set():
            killed.set()
            os.kill(client.run(os.getpid, workers=[next(iter(client.nthreads()))]).popitem()[1], signal.SIGKILL)

    with Client(cluster) as client:
        client.wait_for_workers(2, timeout=30)
        run(base / "movie.ome.zarr", base / "model", out=tmp_path / "out.zarr", client=client, listener=kill_one)
    assert killed.is_set()
    assert essence(tmp_path / "out.zarr") == essence(base / "result.zarr")


def test_a_cluster_that_goes_away(base: Path, tmp_path: Path) -> None:
    """The run ends with one line, and continues with the same command."""
    gone = cluster_here(n_workers=1)

    def close(event: Event | Notice) -> None:
        if isinstance(event, Event) and event.stage == "flood" and event.done == 1:
            gone.close()

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        gone,
        Client(gone, timeout=5) as client,
        pytest.raises(RunError, match="run the same command again") as caught,
    ):
        run(base / "movie.ome.zarr", base / "model", out=tmp_path / "out.zarr", client=client, listener=close)
    assert "\n" not in str(caught.value)
    assert run(base / "movie.ome.zarr", base / "model", out=tmp_path / "out.zarr").resumed
    assert essence(tmp_path / "out.zarr") == essence(base / "result.zarr")


def test_an_error_of_a_worker_is_one_line(base: Path, tmp_path: Path, cluster: LocalCluster) -> None:
    """Weights that are gone by the time workers need them."""
    movie, model = inputs(tmp_path, frames=1)

    def damage(event: Event | Notice) -> None:
        if isinstance(event, Event) and event.stage == "predict" and not event.done:
            (model / "nsn.safetensors").write_bytes(b"damaged")

    with Client(cluster) as client, pytest.raises(RunError, match=r"The model in .* changed") as caught:
        run(movie, model, out=tmp_path / "out.zarr", client=client, listener=damage)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("no_remains")
def test_a_worker_that_takes_long_to_come_back_is_waited_for() -> None:
    """By clusters that the run starts; Dask's own would give the worker up here for good."""
    with (
        dask.config.set({clusters.LOST_WORKER_TIMEOUT: "1ms"}),
        clusters.local_cluster(1, gpus=0, memory_bytes=2**30) as made,
        Client(made) as client,
    ):
        ((worker, pid),) = client.run(os.getpid).items()
        os.kill(pid, signal.SIGKILL)
        assert client.submit(os.getpid, pure=False).result(timeout=60) != pid
        assert worker not in client.nthreads()


@pytest.mark.parametrize("chosen", [{}, {clusters.TRIM: 4096}, {"MALLOC_MMAP_THRESHOLD_": 8 << 20}])
def test_workers_keep_the_memory_of_one_array_for_the_next(chosen: dict[str, int]) -> None:
    """Unless the user chose otherwise."""
    given = dask.config.get(clusters.BEFORE_SPAWN) | chosen
    expected = clusters.ALLOCATOR | chosen if clusters.TRIM not in chosen else chosen
    with mock.patch.dict(os.environ):
        for name in clusters.ALLOCATOR:  # nannies leave theirs in this process
            os.environ.pop(name, None)
        with (
            dask.config.set({clusters.BEFORE_SPAWN: given}),
            clusters.local_cluster(1, gpus=0, memory_bytes=2**30) as made,
            Client(made) as client,
        ):
            (found,) = client.run(lambda: dict(os.environ)).values()
    assert {name: found.get(name) for name in expected} == {name: str(value) for name, value in expected.items()}


@pytest.mark.usefixtures("no_remains")
def test_a_scheduler_that_does_not_answer(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert clusters.CONNECT_S <= 20
    monkeypatch.setattr(clusters, "CONNECT_S", 1.0)
    began = time.monotonic()
    with pytest.raises(RunError, match="No Dask scheduler answers at") as caught:
        run(base / "movie.ome.zarr", base / "model", out=tmp_path / "out.zarr", scheduler="tcp://127.0.0.1:9")
    assert time.monotonic() - began < 6
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.zarr").exists()


@pytest.mark.parametrize("address", ["nonsense", "tcp://", "carrier-pigeon://coop:1"])
def test_an_address_that_is_none(base: Path, tmp_path: Path, address: str) -> None:
    with pytest.raises(RunError, match="No Dask scheduler answers at") as caught:
        run(base / "movie.ome.zarr", base / "model", out=tmp_path / "out.zarr", scheduler=address)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("address", ["nonsense", "of a cluster"])
def test_what_else_is_computed_with_dask_stays_where_it_was(
    base: Path, tmp_path: Path, cluster: LocalCluster, address: str
) -> None:
    """A notebook computes other things with Dask: on its threads before the run, while it runs, and after it."""
    schedulers = [get_scheduler()]

    def look(event: Event | Notice) -> None:
        schedulers.append(get_scheduler())

    given = {"nonsense": address}.get(address, cluster.scheduler_address)
    with pytest.raises(RunError) if given == "nonsense" else nullcontext():
        run(base / "movie.ome.zarr", base / "model", out=tmp_path / "out.zarr", scheduler=given, listener=look)
    schedulers.append(get_scheduler())
    assert len(schedulers) > 1
    assert set(schedulers) == {None}


def test_a_machine_that_stood_still_while_the_event_loop_began(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, begun = LoopRunner._start_unlocked, []

    def late(self: LoopRunner) -> None:
        begun.append(self)
        assert len(begun) > 1
        begin(self)

    monkeypatch.setattr(LoopRunner, "_start_unlocked", late)
    with pytest.raises(RunError, match="No Dask scheduler answers at"):
        run(base / "movie.ome.zarr", base / "model", out=tmp_path / "out.zarr", scheduler="tcp://")
    assert len(begun) == 2


def test_a_scheduler_without_workers(base: Path, tmp_path: Path) -> None:
    with (
        cluster_here(n_workers=0) as empty,
        pytest.raises(RunError, match="has no workers"),
    ):
        run(base / "movie.ome.zarr", base / "model", out=tmp_path / "out.zarr", scheduler=empty.scheduler_address)
    assert not (tmp_path / "out.zarr").exists()


def test_one_place_to_run_only(base: Path, tmp_path: Path) -> None:
    before = tree(tmp_path)
    with pytest.raises(PlanError, match="--workers, --scheduler"):
        run(
            base / "movie.ome.zarr", base / "model", out=tmp_path / "out.zarr", workers=1, scheduler="tcp://127.0.0.1:9"
        )
    assert tree(tmp_path) == before
