"""Names and paths of the user are shown as they are, brackets included."""

from __future__ import annotations

import io
import sys

import pytest

from tlseg.cli.progress import RunProgress, StepProgress
from tlseg.run.watch.events import Notice


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TERM": "xterm", "COLUMNS": "200", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)


def test_bars_show_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", shown := Terminal())
    with StepProgress("train without [/old]", 2) as progress:
        progress.update(1, "stack[b]1")
    assert "train without [/old]" in shown.getvalue()
    assert "stack[b]1" in shown.getvalue()


def test_notices_show_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", shown := Terminal())
    with RunProgress() as progress:
        progress(Notice("the model 'models/[/new]/embryo' expects"))
    assert "models/[/new]/embryo" in shown.getvalue()
