"""Benchmarks work, on hardly any data: they use the internals of runs, so they break if these change."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest

from tlseg.simulate.api import simulate
from tlseg.simulate.settings import SimulationSettings

ROOT = Path(__file__).parents[2]


def bench(name: str, *arguments: str) -> str:
    """Run a benchmark; returns what it printed."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / name), *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_costs_of_a_run_go_into_the_model(tmp_path: Path) -> None:
    costs, out = tmp_path / "costs.json", tmp_path / "scaling"
    told = bench("pipeline.py", "--frames", "1", "--shape", "16,48,48", "--label-frames", "1", "--costs", str(costs))
    assert "Not the networks: " in told
    measured = json.loads(costs.read_text())
    assert measured.keys() == {"cpu_s", "serial_s"}
    assert min(measured.values()) > 0
    told = bench("scaling.py", "--costs", str(costs), "--frames", "5", "--out", str(out))
    assert told.count("| measured |") == 2 * len(measured), "both movies"
    assert {path.name for path in out.iterdir()} == {"scaling.csv", "scaling.png"}


@pytest.mark.slow
def test_scores_of_planes_do_not_replace_those_of_stacks(tmp_path: Path) -> None:
    movie, out = tmp_path / "m.ome.zarr", tmp_path / "out"
    simulate(movie, SimulationSettings(frames=1, start_nuclei=2, shape=(16, 48, 48)))
    words = ["--data", str(movie), "--fold", "m=embryo", "--out", str(out), "--device", "cpu"]
    bench("accuracy.py", *words)
    files = {path.name: path.read_bytes() for path in out.glob("*.*")}
    assert files.keys() == {"accuracy.csv", "accuracy.json", "accuracy.md"}
    bench("accuracy.py", *words, "--planes")
    assert {name: (out / name).read_bytes() for name in files} == files
    assert {path.name for path in out.glob("*planes*")} == {f"accuracy-planes.{end}" for end in ("csv", "json", "md")}


@pytest.mark.slow
def test_every_region_comes_back(tmp_path: Path) -> None:
    told = bench("scheduler.py", "--regions", "700", "--workers", "1", "--out", str(tmp_path))
    assert "\n700 regions in " in told
    assert {path.name for path in tmp_path.iterdir()} == {"scheduler.csv", "scheduler.png"}


def test_stages_stand_in_their_order_whatever_that_of_the_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    before = set(sys.modules)
    accuracy = import_module("accuracy")
    rows = pd.DataFrame(
        {"method": ["b", "a"] * 3, "nuclei": [40, 40, 2, 2, 9, 9], "seg": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]}
    )
    head, _, *lines = accuracy.by_stage(accuracy.with_stage(rows), "seg").splitlines()
    assert head == "| method | 2 | 9-16 | 32+ |"
    assert lines == ["| b | 0.300 | 0.500 | 0.100 |", "| a | 0.400 | 0.600 | 0.200 |"]
    for name in {"accuracy", "folds", "machine"} - before:
        sys.modules.pop(name, None)
