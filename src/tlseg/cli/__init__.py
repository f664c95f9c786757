"""The `tlseg` command: arguments to settings to run. Each command lives in the module of its name."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module

import click

from tlseg import __version__

COMMANDS = {
    "demo": "Simulate, segment, track, score and draw a small movie.",
    "simulate": "Write a synthetic movie with exact labels and lineage.",
    "convert": "Convert TIFFs or an OME-Zarr to an OME-Zarr 0.5 movie.",
    "plan": "Show blocks, tasks, memory and disk space of a run.",
    "segment": "Segment and track every nucleus of a movie.",
    "status": "Show the state of a run: running, died, stopped, complete.",
    "link": "Track the nuclei of labels that any program made.",
    "adopt": "Use the numbers of labels as tracks.",
    "correct": "Apply a table of corrections to tracked labels.",
    "measure": "Add intensities of the movie's channels to the table.",
    "evaluate": "Compare the labels of a result with true ones.",
    "report": "Write one HTML page about a result.",
    "view": "Show image, labels and tracks in a viewer.",
    "export": "Write a result in another format.",
    "train": "Train a network on images and instance labels.",
    "tune": "Search for the settings that train best.",
    "models": "List, show and make models.",
}
"""Each command and what it does, in a line that fits beside its name."""


class _LazyGroup(click.Group):
    """Import a command's module only when it is needed, so that `tlseg --help` is instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            if near := get_close_matches(cmd_name, COMMANDS, n=1):
                ctx.fail(f"No such command {cmd_name!r}. Did you mean {near[0]!r}?")
            return None
        command: click.Command = import_module(f"tlseg.cli.{cmd_name}").command
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tlseg")
def main() -> None:
    """Segment and track every nucleus of a 3D or 2D movie: each number in the result is one nucleus."""
