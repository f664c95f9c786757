"""What `import tlseg` gives: plain functions, each loaded on first use, also where a package has its name."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
from importlib import import_module

import pytest

import tlseg

FUNCTIONS = [name for name in dir(tlseg) if not name.startswith("_")]


def python(code: str) -> str:
    """What a new process prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_it_loads_nothing_slow() -> None:
    slow = {"torch", "dask", "numpy", "zarr", "pandas", "click"}
    assert python(f"import sys, tlseg; print({slow} & set(sys.modules))") == "set()\n"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_name_is_a_documented_function(name: str) -> None:
    function = getattr(tlseg, name)
    assert inspect.isfunction(function)
    assert function.__name__ == name
    assert (function.__doc__ or "").strip()
    assert pickle.loads(pickle.dumps(function)) is function
    defaults = [p for p in inspect.signature(function).parameters.values() if p.default is not p.empty]
    assert all(p.kind is p.KEYWORD_ONLY for p in defaults[1:])


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
