"""One self-contained page that says everything about a result.

The page may load nothing: its own policy forbids any request, and all text from files is escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files

from tlseg.report.attention import Listing
from tlseg.report.channels import MOST_CHANNELS, about_undrawn
from tlseg.report.facts import Facts
from tlseg.report.generations import ABOUT, ABOUT_ENDED, GenerationTable
from tlseg.report.pixels import hex_color
from tlseg.report.sections import Panel, ReportData, Sections
from tlseg.report.svg import Raw, join, tag
from tlseg.report.tiles import Tile
from tlseg.report.viewer import picture_viewer, places_of, track_numbers

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_VERDICTS = {True: "good", False: "bad", None: "soft"}

MARK = '<meta name="generator" content="tlseg report">'
"""Text near the beginning of every report, which tells it from a page that may not be replaced."""


def build_page(data: ReportData, sections: Sections) -> str:
    """HTML of the whole page."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        Raw(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        Raw(MARK),
        tag("title", f"{data.facts.title} - tlseg report"),
        tag("style", Raw(_asset("page.css"))),
    )
    viewer = picture_viewer(data, named=sections.named_by["track"])
    beside = tag("div", *(_card(panel) for panel in sections.beside), class_="stacked")
    body = tag(
        "body",
        _header(data.facts, sections.tiles),
        tag("h2", sections.heading),
        tag("div", viewer, beside, class_="columns stage"),
        _lineage(sections.tree),
        _measured(sections.measured, data.facts),
        _growth(sections.more),
        _generations(sections.generations),
        tag("h2", "Where to look first"),
        *(_listing(listing, data, sections.named_by, first=i == 0) for i, listing in enumerate(sections.listings)),
        tag("h2", "About this result"),
        _about(data.facts),
        tag("script", Raw(track_numbers(data)), type="application/json", id="places"),
        tag("script", Raw(_asset("page.js"))),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _header(facts: Facts, tiles: Sequence[Tile]) -> Raw:
    made = [
        tag("div", tag("dt", tile.title), tag("dd", tile.number, tag("small", tile.about)), class_="tile")
        for tile in tiles
    ]
    return tag(
        "header",
        tag("h1", facts.title),
        tag("p", facts.path, class_="soft path"),
        # Terminals may not know the sign, and the same sentences are printed there.
        *(tag("p", re.sub(r" um\b", " µm", doubt), class_="doubt") for doubt in facts.doubts),
        tag("dl", *made, class_="tiles"),
    )


def _card(panel: Panel, *, wide: bool = False) -> Raw:
    drawing = panel.drawing or tag("p", panel.instead, class_="soft")
    return tag(
        "figure",
        tag("h3", panel.title),
        *([panel.above] if panel.above else []),
        tag("div", drawing, class_="wide-scroll" if wide else "plot"),
        *([tag("figcaption", f"{panel.about} {panel.hint}".strip())] if panel.drawing else []),
        class_="card",
    )


def _lineage(tree: Panel | None) -> Raw:
    return Raw("") if tree is None else join([tag("h2", "Lineage"), _card(tree, wide=True)])


def _growth(panels: Sequence[Panel]) -> Raw:
    if not panels:
        return Raw("")
    charts = tag("div", *(_card(panel) for panel in panels), class_="columns two")
    return join([tag("h2", "Growth and divisions"), charts])


def _measured(panels: Sequence[Panel], facts: Facts) -> Raw:
    if not panels:
        return Raw("")
    charts = tag("div", *(_card(panel) for panel in panels), class_="columns two even")
    undrawn = about_undrawn(facts.measured)
    rest = [tag("p", undrawn, class_="about undrawn")] if undrawn else []
    return join([tag("h2", "Measured channels"), charts, *rest])


def _generations(found: GenerationTable | None) -> Raw:
    if found is None or not found.rows:
        return Raw("")
    head = tag("tr", *(tag("th", title, scope="col") for title in found.titles))
    names = {str(generation) for generation in found.ended}
    rows = [tag("tr", *(tag("td", x) for x in row), class_="ended" if row[0] in names else None) for row in found.rows]
    table = tag("table", tag("thead", head), tag("tbody", *rows))
    return tag(
        "figure",
        tag("h3", "Generations"),
        tag("div", table, class_="scroll"),
        tag("figcaption", ABOUT, ABOUT_ENDED if names else "", found.unknown),
        class_="card generations",
    )


def _listing(listing: Listing, data: ReportData, named_by: Mapping[str, str], *, first: bool) -> Raw:
    total = f"{listing.total:,}" if listing.total else "none"
    part = f"; the first {len(listing.rows)} are listed" if listing.total > len(listing.rows) else ""
    summary = tag("summary", listing.title, " ", tag("span", f"· {total}{part}", class_="soft"))
    if not len(listing.rows):
        return tag("details", summary, tag("p", listing.about, class_="about"), id=listing.key)
    axes = "xyz" if data.facts.shape[0] > 1 else "xy"
    micrometres = [f"{a}_um" for a in axes if f"{a}_um" in listing.rows.columns]
    titles = ["", *named_by.values(), *listing.shown.values()]
    titles += [f"{', '.join(axes)} (µm)"] if micrometres else []
    rows = []
    for row in listing.rows.to_dict("records"):
        track = int(row["track"])
        swatch = tag("span", class_="swatch", style=f"background: {hex_color(track)}")
        places = places_of(row, data)
        look = (
            tag("button", "show", class_="look", type="button", data_t=row["t"], data_places=json.dumps(places))
            if places
            else ""
        )
        names = {"t": tag("td", data.clock.number(row["t"])), "track": tag("td", swatch, track)}
        cells = [tag("td", look), *(names[key] for key in named_by)]
        cells += [tag("td", row[key]) for key in listing.shown]
        if micrometres:
            cells.append(tag("td", ", ".join(f"{row[key]:.1f}" for key in micrometres)))
        rows.append(tag("tr", *cells, data_track=track))
    head = tag("tr", *(tag("th", title, scope="col") for title in titles))
    table = tag("table", tag("thead", head), tag("tbody", *rows))
    inner = [tag("p", listing.about, class_="about"), tag("div", table, class_="scroll")]
    return tag("details", summary, *inner, id=listing.key, open="" if first else None)


def _about(facts: Facts) -> Raw:
    axes, voxels = ("yx", "pixels") if facts.is_2d else ("zyx", "voxels")

    def along(values: Sequence[float], unit: str) -> str:
        """Values (z, y, x) along the axes the labels have."""
        return f"{' × '.join(f'{v:g}' for v in values[-len(axes) :])} {unit} ({', '.join(axes)})"

    rows = [
        ("Movie", facts.movie),
        ("Channel", facts.channel),
        ("Result", facts.path),
        ("Labels", facts.name),
        ("Tracks", facts.tracks_from),
        ("Frame", along(facts.shape, voxels)),
        (f"{voxels[:-1].capitalize()} spacing", along(facts.spacing_um, "µm") if facts.spacing_um else "unknown"),
        ("Frames left empty", ", ".join(map(str, facts.skipped))),
        ("Interval", f"{facts.interval_s:g} s" if facts.interval_s else "unknown" if facts.has_time else ""),
        *((f"Measured: {c.short}", c.image) for c in facts.measured[:MOST_CHANNELS]),
        ("Model", facts.model.replace(" um ", " µm ")),
        ("Method", facts.method),
        ("Device", facts.device),
        ("Made", facts.made),
        ("Run time", "" if facts.seconds is None else f"{facts.seconds:,.0f} s"),
        ("tlseg", facts.version),
        ("Seam audit", tag("span", facts.seams, class_=_VERDICTS[facts.seams_hold])),
    ]
    if facts.audit is not None:
        blocks, certified = facts.audit.get("blocks", 0), facts.audit.get("certified_at_first_try", 0)
        rows.append(("Blocks", f"{certified:,} of {blocks:,} certified at the first try"))
        rows.append(("Halos enlarged", f"{facts.audit.get('halos_enlarged', 0):,}"))
        halo = facts.audit.get("largest_halo_voxels", ())
        rows.append(("Largest halo", along(halo, voxels) if halo else ""))
    cells = [cell for name, value in rows if value for cell in (tag("dt", name), tag("dd", value))]
    return tag("dl", *cells, class_="facts card")


def _asset(name: str) -> str:
    return files("tlseg.report").joinpath(name).read_text(encoding="utf-8")
