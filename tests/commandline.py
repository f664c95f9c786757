"""Commands as a person gives them, with standard output and standard error apart."""

from __future__ import annotations

import click
from click.testing import CliRunner, Result


def invoke(command: click.Command, *words: object) -> Result:
    """What a command said and how it ended."""
    try:
        runner = CliRunner(mix_stderr=False)
    except TypeError:  # click 8.2 always keeps them apart
        runner = CliRunner()
    return runner.invoke(command, [str(word) for word in words])
