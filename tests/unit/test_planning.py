"""Plans of whole runs: what is checked is planned for those who do it, within their memory."""

from __future__ import annotations

import inspect
import json
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
from click.testing import CliRunner

from runs import inputs
from tlseg.cli import main
from tlseg.errors import PlanError
from tlseg.plan import BASE_BYTES
from tlseg.run.planning import plan_for, plan_run
from tlseg.run.request import Request, check
from tlseg.run.segment import segment
from tlseg.run.tasks.compute import Compute
from tlseg.run.tasks.workers import Site
from tlseg.run.watch.events import silent


def test_as_many_windows_at_once_as_cores_and_memory_allow(tmp_path: Path) -> None:
    movie, _ = inputs(tmp_path, frames=1)
    checked = check(Request(movie=movie))
    ample = plan_for(checked, Site("cpu", 8, 2**36))
    window = (ample.plan.memory_per_worker_bytes - BASE_BYTES) // 8
    short = plan_for(checked, Site("cpu", 8, BASE_BYTES + 3 * window + 1))
    assert (ample.run.threads, short.run.threads) == (8, 3)
    assert short.plan.memory_per_worker_bytes <= BASE_BYTES + 3 * window + 1


def test_every_argument_says_what_is_wanted_or_where_it_is_done() -> None:
    """With the same defaults, however a run is started."""
    given = {name: p.default for name, p in inspect.signature(segment).parameters.items() if p.default is not p.empty}
    fields_of = {f.name: f.default for kind in (Request, Compute) for f in fields(kind) if f.default is not MISSING}
    assert given == {**fields_of, "listener": silent}
    assert {f.name for f in fields(Request)}.isdisjoint(f.name for f in fields(Compute))
    planned = inspect.signature(plan_run).parameters
    assert all(p.default == fields_of[name] for name, p in planned.items() if name != "movie")


def test_a_plan_is_the_same_from_python(tmp_path: Path) -> None:
    movie, _ = inputs(tmp_path, frames=2)
    said = CliRunner().invoke(main, ["plan", str(movie), "--memory-limit", "4", "--device", "cpu", "--json"])
    assert said.exit_code == 0, said.output
    found = plan_run(str(movie), memory_limit=4 * 2**30, device="cpu")
    assert json.loads(said.stdout) == json.loads(json.dumps(found.to_dict()))
    assert (found.plan.frames, found.device, found.is_2d) == (2, "cpu", False)
    with pytest.raises(PlanError, match="may use"):
        plan_run(movie, memory_limit=1)
