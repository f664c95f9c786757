"""A run whose workers and client are killed ends with the same labels as one left undisturbed.

The longer one, over every stage, is `make chaos`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_chaos() -> None:
    script = ROOT / "benchmarks" / "chaos.py"
    few = ["--rounds", "1", "--stages", "flood", "--clients", "1", "--schedulers", "0"]
    done = subprocess.run(
        [sys.executable, str(script), *few],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = re.search(r"^(\d+) kills, (\d+) of (\d+) runs identical", done.stdout, re.MULTILINE)
    assert told, done.stdout
    kills, same, runs = map(int, told.groups())
    assert kills >= 2, "somebody died"
    assert same == runs == 2
