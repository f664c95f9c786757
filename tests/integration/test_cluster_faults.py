"""A pool on a cluster: work goes to its role, failures are retried and named, and a lost cluster is reported."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import pytest
from distributed import Client, Scheduler, SpecCluster, Worker, get_worker
from distributed.security import Security

from runs import essence, inputs, run
from tlseg.errors import MovieError, PlanError, RunError
from tlseg.run.tasks import client_pool
from tlseg.run.tasks.client_pool import ClientPool
from tlseg.run.tasks.cluster import Tls, connected, local_cluster
from tlseg.run.tasks.compute import Compute
from tlseg.run.tasks.failures import TRIES
from tlseg.run.tasks.flow import Finished, Flow, Needs, Task, TasksError, drive
from tlseg.run.tasks.pools import open_pool
from workers import cluster_here

SCHEDULER = {"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "port": 0}}

IN_THIS_PROCESS = {
    "n_workers": 0,
    "threads_per_worker": 1,
    "processes": False,
    "protocol": "tcp://",
    "host": "127.0.0.1",
    "dashboard_address": "127.0.0.1:0",
}


@contextmanager
def workers_offering(*offers: dict[str, float]) -> Iterator[Client]:
    """Workers in this process, each with what it offers."""
    workers = {
        str(i): {"cls": Worker, "options": {"host": "127.0.0.1", "nthreads": 1, "resources": o, "dashboard": False}}
        for i, o in enumerate(offers)
    }
    with SpecCluster(workers=workers, scheduler=SCHEDULER, silence_logs=50) as cluster, Client(cluster) as client:
        yield client


@pytest.fixture
def processes(forked_workers: None) -> Iterator[Client]:
    """Two workers that may be killed; a task that killed two is given up."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        local_cluster(2, gpus=0, memory_bytes=2**30) as cluster,
        Client(cluster) as client,
    ):
        yield client


def all_of(pool: Any, tasks: list[Task]) -> list[tuple[Task, Finished]]:
    """Drive one step of tasks."""
    done: list[tuple[Task, Finished]] = []

    def flow() -> Flow:
        yield tasks

    flows = iter([flow()])
    drive(lambda: next(flows, None), pool, open_flows=2, on_done=lambda *pair: done.append(pair))
    return done


def tasks_of(function: Callable[[int], Any], count: int, needs: Needs = "core", stage: str = "flood") -> list[Task]:
    return [Task(stage, 3, number, function, (number,), needs=needs) for number in range(count)]


def where(number: int) -> str:
    return str(get_worker().name)


@pytest.mark.parametrize(
    ("offers", "networks", "rest"),
    [
        ([{"GPU": 1}, {"CPU": 1}], {"0"}, {"1"}),
        ([{"GPU": 1}, {}], {"0"}, {"0", "1"}),
        ([{"GPU": 1}], {"0"}, {"0"}),
        ([{}, {}], {"0", "1"}, {"0", "1"}),
    ],
    ids=["both", "gpu and any", "gpu alone", "none said"],
)
def test_work_goes_to_its_role(offers: list[dict[str, float]], networks: set[str], rest: set[str]) -> None:
    with workers_offering(*offers) as client:
        done = all_of(ClientPool(client), tasks_of(where, 40, "network", "predict") + tasks_of(where, 40))
    assert len(done) == 80
    assert {end.result for task, end in done if task.needs == "network"} <= networks
    assert {end.result for task, end in done if task.needs == "core"} <= rest
    assert offers != [{"GPU": 1}, {"CPU": 1}] or {end.result for _, end in done} == {"0", "1"}


def test_networks_run_anywhere_where_only_the_rest_has_workers_of_its_own() -> None:
    def slowly(number: int) -> str:
        time.sleep(0.05)
        return where(number)

    with workers_offering({"CPU": 1}, {}) as client:
        done = all_of(ClientPool(client), tasks_of(slowly, 20, "network", "predict") + tasks_of(slowly, 20))
    assert {end.result for task, end in done if task.needs == "network"} == {"0", "1"}
    assert {end.result for task, end in done if task.needs == "core"} == {"0"}


def test_the_site_is_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    with workers_offering({"GPU": 1}, {"CPU": 1}) as client:
        pool = ClientPool(client)
        assert pool.site("auto").device == "cpu"
        with pytest.raises(RunError, match=r"--device cuda.* 1 of 1 worker that runs networks found none"):
            pool.site("cuda")
        monkeypatch.setattr("tlseg.run.tasks.workers.gpu_count", lambda: 1)
        assert pool.site("cuda").device == "cuda"
        monkeypatch.setattr("tlseg.run.tasks.workers.probe_worker", lambda: _other_version())
        with pytest.raises(RunError, match=r"has tlseg 0\.0\.0.*same version"):
            pool.site("cpu")


def _other_version() -> Any:
    from tlseg.run.tasks.workers import WorkerInfo

    return WorkerInfo("0.0.0", "host", 0, 2**30)


def test_thousands_of_short_tasks_go_in_batches_with_few_in_flight() -> None:
    with workers_offering({}, {}) as client:
        pool, most = ClientPool(client), 0
        submit = pool._submit

        def watched(*args: Any) -> None:
            nonlocal most
            submit(*args)
            most = max(most, len(pool.in_flight))

        pool._submit = watched  # type: ignore[method-assign]
        done = all_of(pool, tasks_of(abs, 3000))
        assert sorted(task.number for task, _ in done) == list(range(3000))
        assert [end.result for _, end in sorted(done, key=lambda pair: pair[0].number)] == list(range(3000))
        assert most <= 2 * 2 + 2
        assert pool.sent < 600
        assert not pool.in_flight
        end = time.monotonic() + 10
        while client.who_has() and time.monotonic() < end:
            time.sleep(0.05)
        assert not client.who_has(), "no result stays with the workers"


def test_what_fails_for_now_is_tried_again(tmp_path: Path) -> None:
    def flaky(number: int, mark: str = str(tmp_path / "failed")) -> int:
        if number == 7 and not os.path.exists(mark):  # noqa: PTH110
            os.mkdir(mark)  # noqa: PTH102
            raise OSError("the file server was restarted")
        return number

    with workers_offering({}) as client:
        done = all_of(ClientPool(client), tasks_of(flaky, 20))
    assert sorted(end.result for _, end in done) == list(range(20))


def test_a_region_that_always_fails_is_named(tmp_path: Path) -> None:
    def poisoned(number: int, folder: str = str(tmp_path)) -> int:
        if number == 7:
            open(f"{folder}/{time.monotonic_ns()}", "w").close()  # noqa: PTH123
            raise ZeroDivisionError("no\nway")
        return number

    with workers_offering({}) as client, pytest.raises(RunError) as caught:
        all_of(ClientPool(client), tasks_of(poisoned, 20))
    assert str(caught.value).startswith("Stage flood failed 3 times on frame 3, region 7: ZeroDivisionError: no")
    assert "\n" not in str(caught.value)
    assert len(list(tmp_path.iterdir())) == TRIES


def test_an_error_that_cannot_be_sent_is_one_like_any_other(tmp_path: Path) -> None:
    def unsendable(number: int, folder: str = str(tmp_path)) -> int:
        class Local(Exception):
            pass

        open(f"{folder}/{time.monotonic_ns()}", "w").close()  # noqa: PTH123
        raise Local("no way")

    with workers_offering({}) as client, pytest.raises(TasksError, match=r"failed 3 times .*region 0: .*Local: no way"):
        all_of(ClientPool(client), tasks_of(unsendable, 1))
    assert len(list(tmp_path.iterdir())) == TRIES


class Unreadable:
    """An argument that workers cannot load, as when a package is missing there."""

    def __reduce__(self) -> tuple[Any, ...]:
        return __import__, ("no_such_package",)


def test_a_batch_that_workers_cannot_load_is_no_lost_cluster() -> None:
    with (
        workers_offering({}) as client,
        pytest.raises(TasksError, match=r"region 0 \(ModuleNotFoundError") as caught,
    ):
        all_of(ClientPool(client), [Task("flood", 3, 0, abs, (Unreadable(),))])
    assert "lost" not in str(caught.value)


@pytest.mark.parametrize("kind", ["closed", "asynchronous"])
def test_a_client_that_is_of_no_use(kind: str) -> None:
    with workers_offering({}) as client:
        pass
    given = client if kind == "closed" else SimpleNamespace(submit=abs, status="running", asynchronous=True)
    with pytest.raises(PlanError, match=r"Expected a connected, synchronous dask\.distributed\.Client"):
        Compute(client=given)


def test_what_is_certain_is_not_tried_again(tmp_path: Path) -> None:
    def certain(number: int, folder: str = str(tmp_path)) -> int:
        open(f"{folder}/{time.monotonic_ns()}", "w").close()  # noqa: PTH123
        raise MovieError("movie.zarr: frame 3: a chunk is damaged")

    with workers_offering({}) as client, pytest.raises(MovieError, match="a chunk is damaged"):
        all_of(ClientPool(client), tasks_of(certain, 1))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_region_that_kills_its_workers_is_named_and_no_other(processes: Client) -> None:
    def deadly(number: int) -> int:
        if number == 7:
            os._exit(1)
        time.sleep(0.02)
        return number

    with pytest.raises(RunError) as caught:
        all_of(ClientPool(processes), tasks_of(deadly, 12))
    assert str(caught.value).startswith(
        "Stage flood killed 2 workers on frame 3, region 7, most likely for lack of memory"
    )
    assert "\n" not in str(caught.value)


def test_workers_that_die_by_themselves_cost_nothing(processes: Client, tmp_path: Path) -> None:
    """Each region ends its worker once, more often than a region may."""

    def once(number: int, folder: str = str(tmp_path)) -> int:
        mark = f"{folder}/{number}"
        if number % 4 == 0 and not os.path.exists(mark):  # noqa: PTH110
            open(mark, "w").close()  # noqa: PTH123
            os._exit(1)
        return number

    done = all_of(ClientPool(processes), tasks_of(once, 12))
    assert sorted(end.result for _, end in done) == list(range(12))
    assert len(list(tmp_path.iterdir())) == 3


def test_a_cluster_without_workers_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_pool, "CHECK_S", 0.1)
    monkeypatch.setattr(client_pool, "PATIENCE_S", 0.5)
    with workers_offering({"GPU": 1}, {"CPU": 1}) as client:
        pool = ClientPool(client)
        client.cluster.scale(0)  # those of this process leave at once
        with pytest.raises(TasksError, match="no worker with") as caught:
            all_of(pool, tasks_of(abs, 3, "network"))
    assert "\n" not in str(caught.value)


def test_what_waits_never_starts_once_a_run_has_failed(tmp_path: Path) -> None:
    def slow(number: int, folder: str = str(tmp_path)) -> int:
        if number == 0:
            raise MovieError("damaged")
        open(f"{folder}/{number}", "w").close()  # noqa: PTH123
        time.sleep(0.3)
        return number

    with workers_offering({}) as client:
        with pytest.raises(MovieError):
            all_of(ClientPool(client), tasks_of(slow, 20))
        before = len(list(tmp_path.iterdir()))
        time.sleep(1)
        assert len(list(tmp_path.iterdir())) <= before + 1, "only what had begun goes on"


def test_a_cluster_from_its_file_ends_with_the_run() -> None:
    before = threading.active_count()
    with open_pool(
        Compute(cluster={"class": "LocalCluster", "options": IN_THIS_PROCESS, "workers": 2, "wait_s": 30})
    ) as pool:
        assert isinstance(pool, ClientPool)
        assert len(all_of(pool, tasks_of(abs, 5))) == 5
        client = pool.client
    assert client.status == "closed"
    assert threading.active_count() <= before + 4


def test_a_cluster_that_adapts() -> None:
    """It grows to what it may have, although the scheduler sees only the few tasks that are in flight."""
    spec = {
        "class": "LocalCluster",
        "options": IN_THIS_PROCESS,
        "adapt": {"minimum": 1, "maximum": 3, "interval": "100ms"},
    }
    with open_pool(Compute(cluster=spec)) as pool:
        done = all_of(pool, tasks_of(lambda number: time.sleep(0.2) or get_worker().name, 40))
    assert len(done) == 40
    assert len({end.result for _, end in done}) == 3


def test_a_cluster_whose_workers_do_not_come() -> None:
    with (
        pytest.raises(RunError, match=r"LocalCluster has 0 of 1 worker after 0 s.*wait_s"),
        open_pool(Compute(cluster={"class": "LocalCluster", "options": IN_THIS_PROCESS, "wait_s": 0.2})),
    ):
        pass


def test_tls(tmp_path: Path) -> None:
    """The files of one authority give access; without them there is no answer, and the error says what is missing."""
    pytest.importorskip("cryptography")
    own = Security.temporary()
    files = {name: tmp_path / f"{name}.pem" for name in ("ca", "cert", "key")}
    for path, text in zip(files.values(), (own.tls_ca_file, own.tls_client_cert, own.tls_client_key), strict=True):
        path.write_text(text)
    with cluster_here(n_workers=1, processes=False, security=own, protocol="tls://") as cluster:
        assert cluster.scheduler_address.startswith("tls://")
        with connected(cluster.scheduler_address, Tls(**files)) as client:
            assert len(all_of(ClientPool(client), tasks_of(abs, 3))) == 3
        with (
            pytest.raises(RunError, match=r"--tls-ca, --tls-cert and --tls-key"),
            connected(cluster.scheduler_address, Tls()),
        ):
            pass


def test_a_scheduler_by_its_file(tmp_path: Path) -> None:
    with workers_offering({}) as client:
        client.write_scheduler_file(str(tmp_path / "scheduler.json"))
        with open_pool(Compute(scheduler=str(tmp_path / "scheduler.json"))) as pool:
            assert len(all_of(pool, tasks_of(abs, 3))) == 3


def test_labels_are_the_same_whoever_does_what(tmp_path: Path) -> None:
    """A whole run, networks on one worker and everything else on another."""
    movie, model = inputs(tmp_path, frames=2)
    run(movie, model, out=tmp_path / "serial.zarr")
    with workers_offering({"GPU": 1}, {"CPU": 1}) as client:
        run(movie, model, out=tmp_path / "roles.zarr", client=client)
    assert essence(tmp_path / "roles.zarr") == essence(tmp_path / "serial.zarr")
