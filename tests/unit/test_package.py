"""What the package requires: extras are documented and used by name, and lower bounds agree."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
FOR_DEVELOPERS = {"bench", "test", "dev"}


def lowest(name: str) -> Version:
    """Lower bound of a dependency, wherever it is required."""
    asked = [Requirement(text) for texts in (PROJECT["dependencies"], *EXTRAS.values()) for text in texts]
    bounds = {Version(s.version) for r in asked if r.name == name for s in r.specifier if s.operator == ">="}
    (bound,) = bounds
    return bound


def test_every_extra_is_described() -> None:
    extras = (ROOT / "docs" / "guide.md").read_text().split("## Extras")[1]
    rows = re.findall(r"^\| `([a-z0-9]+)` \| .+ \|$", extras, re.MULTILINE)
    assert set(rows) == set(EXTRAS) - FOR_DEVELOPERS


def test_lower_bounds_fit_each_other() -> None:
    assert lowest("dask") == lowest("distributed"), "distributed takes the dask of its own version alone"
    assert lowest("dask-cuda") >= Version("25.8"), "earlier ones pin a dask older than 2025.7"
    assert lowest("numpy") >= Version("2"), "zarr 3.1 needs it"


@pytest.mark.parametrize("path", sorted((ROOT / "deploy").glob("Dockerfile*")), ids=lambda path: path.name)
def test_images_install_extras_and_nothing_by_hand(path: Path) -> None:
    (given,) = re.findall(r'pip install .*"\.\[([a-z0-9,]+)\]"(.*)', path.read_text())
    assert "cluster" in given[0].split(",")
    assert set(given[0].split(",")) <= set(EXTRAS)
    assert not given[1].strip()


def test_an_example_without_its_package_names_the_extra() -> None:
    script = ROOT / "examples" / "hdf5_pairs.py"
    code = f"import runpy, sys; sys.modules['h5py'] = None; runpy.run_path({str(script)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr == "Reading HDF5 needs h5py. Install it with: pip install 'tlseg[hdf5]'\n"
    assert [Requirement(text).name for text in EXTRAS["hdf5"]] == ["h5py"]
