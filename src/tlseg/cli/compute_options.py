"""Options for where the work is done, with the same meaning in every command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tlseg.cli.common import memory_option, option_group

if TYPE_CHECKING:
    from tlseg.predict.device import Device
    from tlseg.run.tasks.compute import Compute

_PEM = click.Path(path_type=Path)

compute_options = option_group(
    click.option(
        "--workers",
        type=click.IntRange(0),
        default=0,
        help="Worker processes on this machine, in addition to one per GPU that runs networks; with --cluster, its workers. "
        "[default: none]",
    ),
    click.option(
        "--scheduler", metavar="ADDRESS", help="Dask scheduler: tcp://host:8786, tls://host:8786, or a scheduler file."
    ),
    click.option("--cluster", metavar="FILE.yaml", help="Start the Dask cluster described in this file for the run."),
    click.option(
        "--tls-ca", type=_PEM, help="Certificate authority of a tls:// scheduler. [default: Dask's configuration]"
    ),
    click.option("--tls-cert", type=_PEM, help="Client certificate for a tls:// scheduler."),
    click.option("--tls-key", type=_PEM, help="Client key for a tls:// scheduler."),
    memory_option,
)


def compute_of(options: dict[str, Any], *, device: Device) -> Compute:
    """Return the `Compute` that the options describe."""
    from tlseg.run.tasks.compute import Compute

    return Compute(device=device, **compute_arguments(options))


def compute_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options as arguments of functions that say where the work is done."""
    from tlseg.run.tasks.cluster import Tls

    return {
        "workers": options["workers"],
        "scheduler": options["scheduler"],
        "cluster": options["cluster"],
        "tls": Tls(options["tls_ca"], options["tls_cert"], options["tls_key"]),
        "memory_limit": options["memory_limit"],
    }
