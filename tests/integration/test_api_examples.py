"""The examples in docs/api.md, run as a user would: as one program, and each guarded example as its own script."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parents[2] / "docs/api.md"
GUARD = 'if __name__ == "__main__":'

CHECKS = """
from pathlib import Path
assert result.labels.sizes["t"] == summary.frames == 2
assert status.state == "complete"
assert Path(report.path).is_file()
assert repr(result) == f"Result(path='{Path.cwd()}/result.ome.zarr', name='nuclei')"
"""


def _run(script: Path, text: str) -> None:
    script.write_text(text)
    done = subprocess.run([sys.executable, script.name], cwd=script.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_every_example_runs(tmp_path: Path) -> None:
    examples = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    guarded = [example for example in examples if GUARD in example]
    assert guarded
    _run(tmp_path / "program.py", "\n".join(e for e in examples if GUARD not in e) + CHECKS)
    for number, example in enumerate(guarded):
        _run(tmp_path / f"guarded_{number}.py", example)
    assert (tmp_path / "whole.ome.zarr").is_dir()
