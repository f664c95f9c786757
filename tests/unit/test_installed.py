"""Commands shown to a user work as typed."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tlseg import installed
from tlseg.errors import MissingExtraError
from tlseg.installed import missing_extra


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of programs in an environment where tlseg was installed from a folder beside it."""
    programs, source = tmp_path / "my env" / "bin", tmp_path / "tlseg"
    programs.mkdir(parents=True)
    source.mkdir()
    (source / "pyproject.toml").touch()
    for name in ("python", "pip", "tlseg"):
        (programs / name).touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    monkeypatch.setenv("PATH", "/nowhere")

    class Here(metadata.PathDistribution):
        def read_text(self, filename: str | Path) -> str:
            return json.dumps({"url": source.as_uri(), "dir_info": {"editable": True}})

    monkeypatch.setattr(metadata, "distribution", lambda name: Here(tmp_path))
    return programs


def test_commands_of_an_environment_that_is_not_active_have_their_path(environment: Path, tmp_path: Path) -> None:
    assert installed.this_command() == f"'{environment}/tlseg'"
    assert installed.install_command("view") == f"'{environment}/python' -m pip install '{tmp_path}/tlseg[view]'"


def test_commands_of_an_active_environment_have_their_name(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(environment))
    assert installed.this_command() == "tlseg"
    assert installed.install_command("view") == f"pip install '{tmp_path}/tlseg[view]'"


def test_where_the_source_is_gone_the_extra_is_that_of_the_package(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(environment))
    (tmp_path / "tlseg" / "pyproject.toml").unlink()
    assert str(missing_extra("This", "view")).endswith("Install it with: pip install 'tlseg[view]'")


def test_an_extra_that_is_missing_is_known_by_its_name_also_on_the_way_from_a_worker() -> None:
    error = pickle.loads(pickle.dumps(missing_extra("This", "view")))
    assert isinstance(error, MissingExtraError)
    assert (error.extra, str(error)) == ("view", str(missing_extra("This", "view")))


def test_errors_ask_nothing_of_the_environment() -> None:
    script = "import sys, tlseg.errors; sys.exit('tlseg.installed' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
