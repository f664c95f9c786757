"""The `tlseg` command: arguments to settings to run. Each command lives in the module of its name."""

from __future__ import annotations

from importlib import import_module

import click

from tlseg import __version__

COMMANDS = (
    "demo",
    "simulate",
    "convert",
    "plan",
    "segment",
    "status",
    "link",
    "adopt",
    "measure",
    "evaluate",
    "report",
    "view",
    "export",
    "train",
    "tune",
    "models",
)


class _LazyGroup(click.Group):
    """Import a command's module only when it is needed, so that `tlseg --help` is instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"tlseg.cli.{cmd_name}").command
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tlseg")
def main() -> None:
    """Segment and track every nucleus of a 3D movie; one number is one nucleus."""
