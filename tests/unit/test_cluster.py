"""Cluster files, TLS files and roles: what is requested, and the message if it is not available."""

from __future__ import annotations

import multiprocessing
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from distributed import LocalCluster
from distributed.core import Status
from distributed.security import Security

from tlseg import __version__
from tlseg.errors import MissingExtraError, PlanError, RunError
from tlseg.run.tasks import cluster
from tlseg.run.tasks.cluster import Tls, local_cluster
from tlseg.run.tasks.cluster_file import KNOWN, ClusterSpec
from tlseg.run.tasks.workers import Worker, WorkerInfo, Workers, _device, site_of

HERE = Path(__file__).parents[2]


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text("class: SLURMCluster\noptions: {queue: gpu}\nadapt: {minimum: 2, maximum: 8}\nwait_s: 5\n")
    spec = ClusterSpec.read(path)
    assert spec == ClusterSpec("SLURMCluster", {"queue": "gpu"}, None, {"minimum": 2, "maximum": 8}, 5.0)
    assert spec.least == 2
    assert ClusterSpec.parse({"class": "LocalCluster", "workers": 3}, where="x").least == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("class: [", "is not YAML"),
        ("- 1", "name of a class"),
        ("options: {}", "name of a class"),
        ("{class: LocalCluster, worker: 3}", "worker is unknown"),
        ("{class: LocalCluster, workers: many}", "whole number"),
        ("{class: LocalCluster, workers: 1, adapt: {minimum: 1}}", "not both"),
        ("{class: LocalCluster, adapt: {maximum: 3}}", "minimum, a whole number from 1"),
        ("{class: LocalCluster, options: 3}", "mappings"),
        ("{class: LocalCluster, workers: true}", "whole number"),
        ("{class: LocalCluster, wait_s: 1h}", "wait_s is '1h'. Expected seconds"),
        ("{class: LocalCluster, wait_s: [1]}", "Expected seconds"),
        ("{class: LocalCluster, wait_s: null}", "Expected seconds"),
        ("{class: LocalCluster, wait_s: .nan}", "Expected seconds"),
        ("{class: LocalCluster, wait_s: -1}", "Expected seconds"),
        ("{class: LocalCluster, wait_s: 2024-13-41}", "is not YAML"),
        ("{class: LocalCluster, adapt: {minimum: many}}", "minimum, a whole number from 1"),
        ("{class: LocalCluster, adapt: {minimum: null}}", "minimum, a whole number from 1"),
        ("{class: LocalCluster, adapt: {minimum: 1.5}}", "minimum, a whole number from 1"),
        ("{class: LocalCluster, adapt: {minimum_jobs: many}}", "minimum, a whole number from 1"),
        ("{class: LocalCluster, adapt: {}}", "minimum, a whole number from 1"),
        (b"class: \xff\xfe\xfd", "is not YAML"),
        ("class: a\0b", "is not YAML"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, content: str | bytes, said: str) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(PlanError, match=said) as caught:
        ClusterSpec.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="cannot be read"):
        ClusterSpec.read(tmp_path / "none.yaml")


@pytest.mark.parametrize("name", [name for name, (_, extra) in KNOWN.items() if extra])
def test_a_missing_package_names_its_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, extra = KNOWN[name]
    monkeypatch.setitem(sys.modules, module.split(".")[0], None)
    with pytest.raises(MissingExtraError, match=rf"pip install '.*\[{extra}\]'"):
        ClusterSpec(name).open()


@pytest.mark.parametrize("name", ["os.path", "pathlib.Path", "Nothing", "no.such.Cluster", ".x.Y", "x..Y", "."])
def test_a_class_that_is_no_cluster(name: str) -> None:
    with pytest.raises(PlanError, match=re.escape(name)):
        ClusterSpec(name).open()


def test_options_that_the_class_does_not_take() -> None:
    with pytest.raises(RunError, match="Check the options in the cluster file"):
        ClusterSpec("LocalCluster", {"host": "256.0.0.1", "n_workers": 0, "dashboard_address": "127.0.0.1:0"}).open()


@pytest.mark.parametrize(
    "more", [{"adapt": {"minimum": 1, "interval": "often"}}, {"workers": 1}], ids=["adapt", "scale"]
)
def test_a_cluster_that_fails_after_it_was_made_is_closed(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    made = []

    class Watched(LocalCluster):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            made.append(self)

        def scale(self, n: int = 0, **more: Any) -> Any:
            if n:
                raise ValueError("no quota")
            return super().scale(n, **more)

        def adapt(self, **_: Any) -> None:  # one of Dask that fails half made also complains when it is collected
            raise ValueError("no such time: often")

    monkeypatch.setattr("distributed.LocalCluster", Watched)
    options = {"n_workers": 0, "processes": False, "dashboard_address": "127.0.0.1:0"}
    with pytest.raises(RunError, match="LocalCluster does not start"):
        ClusterSpec("LocalCluster", options, **more).open()
    assert [cluster.status for cluster in made] == [Status.closed]


def test_any_class_by_its_path() -> None:
    assert ClusterSpec("distributed.LocalCluster")._class() is LocalCluster


@pytest.mark.parametrize("file", ["gpu.yaml", "cpu.yaml"])
def test_slurm_jobs_are_what_the_file_says(file: str) -> None:
    """The script that dask-jobqueue would submit for the example files."""
    jobqueue = pytest.importorskip("dask_jobqueue")
    spec = ClusterSpec.read(HERE / "deploy/slurm" / file)
    with jobqueue.SLURMCluster(
        **spec.options, scheduler_options={"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "port": 0}
    ) as cluster:
        script = cluster.job_script()
    assert f"#SBATCH -p {spec.options['queue']}" in script
    for directive in spec.options.get("job_extra_directives", ()):
        assert f"#SBATCH {directive}" in script
    for argument in spec.options["worker_extra_args"]:
        assert argument in script
    assert "--nthreads 1" in script


@pytest.mark.parametrize("path", sorted(HERE.glob("deploy/**/*.yaml")), ids=lambda path: path.name)
def test_cluster_files_that_are_given_are_read(path: Path) -> None:
    documents = list(yaml.safe_load_all(path.read_text()))
    if isinstance(documents[0], dict) and "class" in documents[0]:
        assert ClusterSpec.read(path).name in KNOWN


def test_tls_needs_all_its_files(tmp_path: Path) -> None:
    assert Tls().security() is None, "then Dask's configuration holds"
    pem = tmp_path / "a.pem"
    with pytest.raises(PlanError, match="--tls-cert and --tls-key is missing"):
        Tls(ca=pem).security()
    with pytest.raises(PlanError, match=r"--tls-ca .*a\.pem cannot be read"):
        Tls(pem, pem, pem).security()
    pem.write_text("")
    made = Tls(pem, pem, pem).security()
    assert isinstance(made, Security)
    assert made.require_encryption
    assert made.tls_client_key == str(pem)


# --- roles ----------------------------------------------------------------------------------------------------------


def worker(name: str, threads: int = 1, **offers: float) -> Worker:
    return Worker(name, threads, 2**30, offers)


def found(*gpus: int) -> dict[str, WorkerInfo]:
    return {name: WorkerInfo("1", f"host-{name}", count, 2**30) for name, count in zip("abc", gpus, strict=False)}


def test_who_does_what() -> None:
    both = Workers((worker("a", GPU=1), worker("b", 4, CPU=4), worker("c", GPU=2)))
    assert both.roles() == {"network", "core"}
    assert [both.slots(needs, both.roles()) for needs in ("network", "core")] == [3, 4]
    one = Workers((worker("a", 2), worker("b", 3)))
    assert one.roles() == set()
    assert [one.slots(needs, one.roles()) for needs in ("network", "core")] == [5, 5]
    gone = Workers((worker("b", 4, CPU=4),))
    assert gone.slots("network", both.roles()) == 0, "networks wait for a GPU worker to come back"


@pytest.mark.parametrize(
    ("gpus", "device", "expected"),
    [((1, 1), "auto", "cuda"), ((0, 0), "auto", "cpu"), ((1, 0), "cpu", "cpu"), ((2, 1), "cuda", "cuda")],
)
def test_the_device_is_the_workers(gpus: tuple[int, ...], device: Any, expected: str) -> None:
    assert _device(Workers((worker("a"), worker("b"))), found(*gpus), device) == expected


def test_only_those_that_run_networks_are_asked() -> None:
    workers = Workers((worker("a", GPU=1), worker("b")))
    assert _device(workers, found(1, 0), "cuda") == _device(workers, found(1, 0), "auto") == "cuda"
    with pytest.raises(RunError, match=r"1 of 1 worker that runs .*a on host-a"):
        _device(workers, found(0, 1), "cuda")


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_gpu_on_some_is_none_to_reckon_with(device: Any) -> None:
    with pytest.raises(RunError, match=r"b on host-b.*--resources GPU=1"):
        _device(Workers((worker("a"), worker("b"))), found(1, 0), device)


def test_asking_for_a_gpu_and_getting_none_is_an_error() -> None:
    with pytest.raises(RunError, match=r"A GPU was requested .* 2 of 2"):
        _device(Workers((worker("a"), worker("b"))), found(0, 0), "cuda")


def test_a_script_that_its_own_processes_run_again_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with (
        pytest.raises(RunError, match=r"runs the script again.*__main__"),
        local_cluster(1, gpus=0, memory_bytes=2**30),
    ):
        pass


def test_processes_that_do_not_start_are_one_error_with_its_first_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(**_: Any) -> None:
        try:
            raise OSError("no more processes")
        except OSError as error:
            raise RuntimeError("Nanny failed to start.") from error

    monkeypatch.setattr(cluster, "SpecCluster", stop)
    with (
        pytest.raises(RunError, match=r"OSError: no more processes\)\. .*__main__"),
        local_cluster(1, gpus=0, memory_bytes=1),
    ):
        pass


def test_an_event_loop_that_was_late_once_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """So is a local cluster's, and that of a cluster from a file."""
    begun: list[int] = []

    def late(**_: Any) -> None:
        begun.append(1)
        if len(begun) % 2:
            raise AssertionError
        raise OSError("the second time")

    monkeypatch.setattr(cluster, "SpecCluster", late)
    with pytest.raises(RunError, match="the second time"), local_cluster(1, gpus=0, memory_bytes=1):
        pass
    monkeypatch.setattr(ClusterSpec, "_class", lambda spec: late)
    with pytest.raises(RunError, match="the second time"):
        ClusterSpec("LocalCluster").open()


def test_memory_is_that_of_the_thread_with_the_least() -> None:
    """A worker without a limit has the memory of its machine."""
    workers = Workers((Worker("a", 4, 8 * 2**30, {}), Worker("b", 1, 3 * 2**30, {}), Worker("c", 2, 0, {})))

    def least(free: int) -> int:
        answers = {w.address: WorkerInfo(__version__, "host", 0, free) for w in workers.all}
        return site_of(SimpleNamespace(run=lambda *_, **__: answers), workers, "cpu").memory_bytes

    assert least(10 * 2**30) == 2 * 2**30
    assert least(2**30) == 2**29
