"""`tlseg report`: one page to look at a result, wherever a browser is."""

from __future__ import annotations

import click

from tlseg.cli.common import (
    json_option,
    name_option,
    one_line_errors,
    print_json,
    say_notes,
    storage_option,
    what_was_found,
)
from tlseg.wording import how_many


@click.command("report")
@click.argument("result")
@name_option
@click.option(
    "--out",
    metavar="FILE.html",
    help="Where to write it. [default: RESULT/tlseg/NAME/report.html]",
)
@click.option("--figures", metavar="FOLDER", help="Also write each figure as an SVG, for papers.")
@storage_option
@json_option
@one_line_errors
def command(result: str, name: str | None, out: str | None, figures: str | None, as_json: bool) -> None:
    """Write one self-contained HTML page about RESULT: pictures through time, lineage, volumes, divisions, doubts.

    Channels that tlseg measure added are drawn over time, and the lineage tree can show them.
    """
    from tlseg.cli.progress import counted
    from tlseg.report.write import write_report

    with counted("report") as progress:
        report = write_report(result, name=name, out=out, figures=figures, progress=progress)
    if as_json:
        print_json(report.to_dict())
        return
    facts = report.facts
    found = what_was_found(facts.instances, facts.frames, tracks=facts.tracks, divisions=facts.divisions)
    click.echo(f"{found}. Seams: {facts.seams}.")
    say_notes(facts.doubts)
    click.echo(f"Report: {report.path} ({report.nbytes / 1e6:.1f} MB, {how_many(report.pictures, 'frame')} shown)")
    if figures is not None:
        drawn = how_many(sum(file.endswith(".svg") for file in report.figures), "SVG")
        click.echo(f"Figures: {figures} ({drawn}; captions.md says what they show)")
