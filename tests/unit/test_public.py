"""What `import tlseg` provides: functions and a value, each loaded on first use, even if a package has the same name."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import os
import pickle
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import tlseg

ROOT = Path(__file__).parents[2]
CLASSES = ["Layout"]
FUNCTIONS = [name for name in dir(tlseg) if not name.startswith("_") and name not in CLASSES]


def python(code: str) -> str:
    """Output of a new process."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_it_loads_nothing_slow() -> None:
    slow = {"torch", "dask", "numpy", "zarr", "pandas", "click"}
    assert python(f"import sys, tlseg; print({slow} & set(sys.modules))") == "set()\n"


@pytest.mark.parametrize(
    "name", ["link_labels", "adopt_labels", "correct_labels", "evaluate", "export", "write_report"]
)
def test_what_runs_no_network_loads_no_torch(name: str) -> None:
    assert python(f"import sys, tlseg; tlseg.{name}; print('torch' in sys.modules)") == "False\n"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_name_is_a_documented_function(name: str) -> None:
    function = getattr(tlseg, name)
    assert inspect.isfunction(function)
    assert function.__name__ == name
    assert (function.__doc__ or "").strip()
    assert pickle.loads(pickle.dumps(function)) is function
    defaults = [p for p in inspect.signature(function).parameters.values() if p.default is not p.empty]
    assert all(p.kind is p.KEYWORD_ONLY for p in defaults[1:])


@pytest.mark.parametrize("name", CLASSES)
def test_a_public_class_is_a_documented_value(name: str) -> None:
    cls = getattr(tlseg, name)
    assert cls.__name__ == name
    assert (cls.__doc__ or "").strip()
    assert dataclasses.is_dataclass(cls)
    assert pickle.loads(pickle.dumps(cls())) == cls()


@pytest.mark.parametrize("name", ["evaluate", "simulate"])
@pytest.mark.parametrize(
    "order", ["import tlseg; tlseg.{0}; import tlseg.{0}.api", "import tlseg.{0}.api; import tlseg"]
)
def test_a_function_stays_where_the_package_of_its_name_is_imported(name: str, order: str) -> None:
    more = {"evaluate": "tlseg.evaluate.scores", "simulate": "tlseg.simulate.scenes"}[name]
    code = f"{order.format(name)}; import {more}; from tlseg.{name}.api import {name}; print(tlseg.{name} is {name})"
    assert python(code) == "True\n"


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(AttributeError, match="nothing_here"):
        _ = tlseg.nothing_here
    assert import_module("tlseg.evaluate").__name__ == "tlseg.evaluate"


TYPED = """
from typing import assert_type

import tlseg
from tlseg.evaluate.report import Evaluation
from tlseg.report.write import Report
from tlseg.run.linking.linked import Linked
from tlseg.run.measuring.channels import Measured
from tlseg.run.planning import MoviePlan
from tlseg.run.segment import Summary
from tlseg.run.watch.status import RunStatus
from tlseg.simulate import SimulationSettings
from tlseg.simulate.api import Simulated
from tlseg.store.image.convert import Converted
from tlseg.store.export.api import Exported
from tlseg.store.labels.result import Result

assert_type(tlseg.simulate("a", SimulationSettings(frames=2)), Simulated)
assert_type(tlseg.plan_run("a", block=(16, 16, 16)), MoviePlan)
assert_type(tlseg.convert("a.tif", "a.ome.zarr", layout=tlseg.Layout(axes="TZYX")), Converted)
assert_type(tlseg.segment("a", frames=range(2)), Summary)
assert_type(tlseg.link_labels("a"), Linked)
assert_type(tlseg.adopt_labels("a", parents="b.csv"), Linked)
assert_type(tlseg.link_points("a.csv", out="b"), Linked)
assert_type(tlseg.measure_channels("a", channels=["GFP", 1]), Measured)
assert_type(tlseg.evaluate("a", "b", frames=(0, None)), Evaluation)
assert_type(tlseg.open_result("a"), Result)
assert_type(tlseg.export("a", "ctc"), Exported)
assert_type(tlseg.write_report(tlseg.open_result("a")), Report)
assert_type(tlseg.run_status("a"), RunStatus)
tlseg.nothing_here  # type: ignore[attr-defined]
tlseg.segment("a", workers="2")  # type: ignore[arg-type]
"""


@pytest.mark.slow
def test_a_type_checker_knows_every_public_name(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "use.py").write_text(TYPED)
    config = ["--config-file", str(ROOT / "pyproject.toml"), "--follow-imports", "silent", "--cache-dir", os.devnull]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *config, str(tmp_path / "use.py")],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_types_and_names_are_the_same() -> None:
    for package in (tlseg, import_module("tlseg.simulate")):
        (block,) = [node for node in ast.parse(inspect.getsource(package)).body if isinstance(node, ast.If)][:1]
        typed = {name.asname: node.module for node in block.body for name in node.names}  # type: ignore[attr-defined]
        assert typed == package._PUBLIC
