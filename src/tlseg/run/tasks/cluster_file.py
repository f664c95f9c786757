"""Which cluster a file describes.

A cluster file is YAML with the name of a class, its options, and how many workers::

    class: SLURMCluster            # LocalCluster, LocalCUDACluster, SLURMCluster, KubeCluster, or package.module.Class
    options: {queue: gpu, cores: 1, memory: 32GB, worker_extra_args: ["--resources", "GPU=1"]}
    workers: 4                     # or: adapt: {minimum: 1, maximum: 32}
    wait_s: 3600                   # how long the first worker may take; 600 if not given
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import yaml
from distributed.deploy.cluster import Cluster

from tlseg.errors import PlanError, RunError, one_line
from tlseg.installed import missing_extra
from tlseg.rules import positive, whole

Started = TypeVar("Started")

WAIT_S = 600.0
"""How long the first worker of a cluster from a file may take: queues and images have their own pace."""

KNOWN: Mapping[str, tuple[str, str]] = {
    "LocalCluster": ("distributed", ""),
    "LocalCUDACluster": ("dask_cuda", "cuda"),
    "SLURMCluster": ("dask_jobqueue", "slurm"),
    "KubeCluster": ("dask_kubernetes.operator", "kubernetes"),
}
"""Module of each class that may be given by name alone, and the extra that installs it."""


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """A cluster that a file describes."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    workers: int | None = None
    adapt: Mapping[str, Any] | None = None
    wait_s: float = WAIT_S

    @classmethod
    def read(cls, path: str | Path) -> ClusterSpec:
        """Read a cluster file.

        Raises
        ------
        PlanError
            When it is not a valid cluster file.
        """
        try:
            values = yaml.safe_load(Path(path).read_bytes())
        except OSError as error:
            raise PlanError(f"The cluster file {path} cannot be read ({error.strerror}).") from error
        except (yaml.YAMLError, ValueError) as error:  # a date that is none is a ValueError
            raise PlanError(f"The cluster file {path} is not YAML ({one_line(error)}).") from error
        return cls.parse(values, where=str(path))

    @classmethod
    def parse(cls, values: Any, *, where: str) -> ClusterSpec:
        """Check the content of a cluster file; `where` names it in errors."""
        known = {"class", "options", "workers", "adapt", "wait_s"}
        if not isinstance(values, Mapping) or not isinstance(values.get("class"), str):
            raise PlanError(f"{where}: expected a mapping with the name of a class, such as `class: SLURMCluster`.")
        if unknown := sorted(set(map(str, values)) - known):
            raise PlanError(f"{where}: {', '.join(unknown)} is unknown. Expected {', '.join(sorted(known))}.")
        options, adapt, workers = values.get("options") or {}, values.get("adapt"), values.get("workers")
        wait_s = values.get("wait_s", WAIT_S)
        if not isinstance(options, Mapping) or not isinstance(adapt, Mapping | None):
            raise PlanError(f"{where}: options and adapt are mappings, such as `adapt: {{minimum: 1, maximum: 8}}`.")
        if workers is not None and not whole(1).holds(workers):
            raise PlanError(f"{where}: workers is {workers!r}. Expected a whole number from 1.")
        if workers is not None and adapt is not None:
            raise PlanError(f"{where}: give either workers or adapt, not both.")
        if not positive().holds(wait_s):
            raise PlanError(f"{where}: wait_s is {wait_s!r}. Expected seconds, such as `wait_s: 3600`.")
        if adapt is not None and not whole(1).holds(_minimum(adapt)):
            raise PlanError(
                f"{where}: adapt needs a minimum, a whole number from 1: the first worker shows what workers have."
            )
        return cls(values["class"], dict(options), workers, adapt, float(wait_s))

    @property
    def least(self) -> int:
        """Workers that must have joined before the run starts."""
        return 1 if self.adapt is None else int(_minimum(self.adapt))

    def open(self) -> Cluster:
        """Start the cluster with its workers, or with scaling that adapts.

        Raises
        ------
        MissingExtraError
            When the package of the class is not installed.
        RunError
            When the cluster does not start.
        """
        made = self._class()
        try:
            with ExitStack() as undo:
                cluster = patiently(partial(made, **self.options))
                undo.callback(cluster.close)
                if self.adapt is not None:
                    cluster.adapt(**self.adapt)
                elif self.workers is not None:
                    cluster.scale(self.workers)
                undo.pop_all()
        except Exception as error:  # every kind of cluster has errors of its own
            raise RunError(
                f"{self.name} does not start ({one_line(first_cause(error))}). Check the options in the cluster file."
            ) from error
        return cluster

    def _class(self) -> type[Cluster]:
        module, _, name = self.name.rpartition(".")
        known = KNOWN.get(self.name)
        try:
            found = getattr(import_module(known[0] if known else module or "distributed"), name, None)
        except Exception as error:  # what is imported may fail in its own way
            if known and known[1] and isinstance(error, ImportError):
                raise missing_extra(f"A cluster of class {self.name}", known[1]) from error
            raise PlanError(
                f"The class {self.name} cannot be imported ({one_line(error)}). Install its package."
            ) from error
        if not (isinstance(found, type) and issubclass(found, Cluster)):
            raise PlanError(
                f"{self.name} is not a Dask cluster class. Expected {', '.join(KNOWN)}, or package.module.Class."
            )
        return found


def _minimum(adapt: Mapping[str, Any]) -> Any:
    """Fewest workers, which dask-jobqueue also takes as jobs."""
    return adapt.get("minimum", adapt.get("minimum_jobs"))


def patiently(start: Callable[[], Started]) -> Started:
    """Start a client or a cluster, and try once more if the event loop was late.

    Distributed waits 10 s for the thread of its loop and then asserts that it is there; a busy machine may take longer.
    """
    try:
        return start()
    except AssertionError:
        return start()


def first_cause(error: BaseException) -> BaseException:
    """The original error: Dask wraps it in several that say that something failed to start."""
    return error if error.__cause__ is None else first_cause(error.__cause__)
