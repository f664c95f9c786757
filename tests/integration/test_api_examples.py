"""The examples of docs/api.md, one after the other as a person would type them, run as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

DOCUMENT = Path(__file__).parents[2] / "docs/api.md"


@pytest.mark.slow
def test_every_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "examples"}
    for example in re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL):
        exec(example, names)
    assert names["result"].labels.sizes["t"] == names["summary"].frames == 2
    assert names["status"].state == "complete"
    assert Path(names["report"].path).is_file()
    assert repr(names["result"]) == f"Result(path='{tmp_path}/result.ome.zarr', name='nuclei')"
