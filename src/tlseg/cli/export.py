"""`tlseg export`: a result in the formats of other programs."""

from __future__ import annotations

import click

from tlseg.cli.common import json_option, name_option, one_line_errors, print_json, say_notes, storage_option
from tlseg.cli.param_types import RequiredChoice
from tlseg.store.export.formats import FORMATS, Format
from tlseg.wording import how_many

_WIDTH = max(map(len, FORMATS)) + 2
_HELP = "Write RESULT, an OME-Zarr with labels and tracks, in another format.\n\n\b\n" + "\n".join(
    f"{name:<{_WIDTH}}{about.holds}" for name, about in FORMATS.items()
)


@click.command("export", help=_HELP)
@click.argument("result")
@click.option("--format", "kind", type=RequiredChoice(list(FORMATS)), required=True, help="What to write.")
@click.option("--out", help="File or folder to write. [default: beside RESULT, named after it]")
@name_option
@click.option("--overwrite", is_flag=True, help="Replace an earlier export in the same format.")
@storage_option
@json_option
@one_line_errors
def command(result: str, kind: Format, out: str | None, name: str | None, overwrite: bool, as_json: bool) -> None:
    """Write a result in another format."""
    from tlseg.cli.progress import counted
    from tlseg.report.export import export

    with counted("export") as progress:
        done = export(result, kind, out=out, name=name, overwrite=overwrite, progress=progress)
    if as_json:
        print_json(done.to_dict())
        return
    if done.tables:
        click.echo(f"{done.path}: " + ", ".join(_counted(n, kind) for kind, n in done.tables.items()))
    else:
        frames = "" if done.unit == "frames" else f", {how_many(done.frames, 'frame')}"
        click.echo(f"{done.path}: {_counted(done.items, done.unit)}{frames}")
    say_notes(done.notes)


def _counted(number: int, whats: str) -> str:
    return how_many(number, whats.removesuffix("s"))
