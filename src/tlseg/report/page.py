"""One self-contained page that says everything about a result.

The page may load nothing: its own policy forbids any request, and all text from files is escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from tlseg.report.attention import Listing
from tlseg.report.channels import MOST_CHANNELS
from tlseg.report.facts import Facts
from tlseg.report.generations import ABOUT, ABOUT_ENDED, Sheet
from tlseg.report.marks import compass, scale_bar
from tlseg.report.overlay import time_stamp
from tlseg.report.pictures import STEADY, Shot, Strip, spread
from tlseg.report.pixels import hex_color
from tlseg.report.story import Material, Panel, Story
from tlseg.report.svg import Raw, join, tag
from tlseg.wording import how_many

MOST_NUMBERS = 30_000
"""Most track numbers that can be shown over the pictures, in all frames together; with more, none are shown."""

BRIGHTNESS = (
    f" Black and white are chosen from each picture and the {STEADY - 1} around it, so brightness cannot be compared across "
    "the movie."
)

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_PRINTED = 12  # pictures on paper
_VERDICTS = {True: "good", False: "bad", None: "soft"}


@dataclass(frozen=True, slots=True)
class Content:
    """Everything that goes onto the page.

    Attributes
    ----------
    material : Material
        Facts and tables.
    story : Story
        Numbers, figures and lists that are made from them.
    strip : Strip
        Pictures of frames.
    pictured : bool
        Whether the image is in them.
    note : str
        What to know about them, may be empty.
    undrawn : str
        Which measured channels have no figure, may be empty.
    """

    material: Material
    story: Story
    strip: Strip
    pictured: bool
    note: str
    undrawn: str


MARK = '<meta name="generator" content="tlseg report">'
"""Text near the beginning of every report, which tells it from a page that may not be replaced."""


def build_page(content: Content) -> str:
    """HTML of the whole page."""
    title = f"{content.material.facts.stem}: {content.material.facts.name}"
    head = tag(
        "head",
        Raw('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        Raw(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        Raw(MARK),
        tag("title", f"{title} - tlseg report"),
        tag("style", Raw(_asset("page.css"))),
    )
    body = tag(
        "body",
        _header(content),
        _pictures(content),
        _lineage(content.story.tree),
        _measured(content),
        _growth(content.story.more),
        _sheet(content.story.generations),
        tag("h2", "Where to look first"),
        *(_listing(listing, content, first=i == 0) for i, listing in enumerate(content.story.listings)),
        tag("h2", "About this result"),
        _about(content.material.facts),
        tag("script", Raw(_places(content)), type="application/json", id="places"),
        tag("script", Raw(_asset("page.js"))),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _header(content: Content) -> Raw:
    facts = content.material.facts
    made = [
        tag("div", tag("dt", tile.title), tag("dd", tile.number, tag("small", tile.about)), class_="tile")
        for tile in content.story.tiles
    ]
    return tag(
        "header",
        tag("h1", f"{facts.stem}: {facts.name}"),
        tag("p", facts.path, class_="soft path"),
        # Terminals may not know the sign, and the same sentences are printed there.
        *(tag("p", re.sub(r" um\b", " µm", doubt), class_="doubt") for doubt in facts.doubts),
        tag("dl", *made, class_="tiles"),
    )


def _pictures(content: Content) -> Raw:
    facts, strip = content.material.facts, content.strip
    shots = strip.shots
    height, width = strip.layout.size
    counts = content.material.table["t"].value_counts()
    printed = set(spread(len(shots), _PRINTED))
    texts = [_shot_text(shot, int(counts.get(shot.t, 0)), facts) for shot in shots]
    bar = scale_bar(strip.layout) if facts.spacing_um else Raw("")
    ratio = f"aspect-ratio: {width} / {height}"
    deep = strip.layout.side
    compasses = [
        compass(0, "x", width=strip.layout.top[1]),
        *([compass(width - deep, "z", width=deep)] if deep else []),
    ]
    marks = tag("svg", *compasses, bar, id="marks", viewBox=f"0 0 {width} {height}", aria_hidden="true")
    stage = tag(
        "div",
        _image(shots[0].grey, f"Projections, {texts[0]}", id_="grey"),
        _image(shots[0].outlines, "", id_="outlines", class_="outlines"),
        marks,
        id="stage",
        style=ratio,
        data_named=content.story.named_by["track"],
    )
    controls = [
        *_steps(len(shots)),
        tag("label", Raw('<input type="checkbox" id="draw" checked>'), "outlines"),
    ]
    if _numbered(content):
        controls.append(tag("label", Raw('<input type="checkbox" id="numbers">'), "numbers"))
    every = "" if len(shots) == facts.frames else f" {len(shots)} of {facts.frames} frames are shown."
    side = " on the left (x to the right, y down), along x on the right (z to the right, y down)"
    scale = " The scale bar is valid for both." if strip.layout.side and facts.spacing_um else ""
    steps = (
        f" Arrow keys step through time.{every}{BRIGHTNESS if content.pictured else ''}" if len(shots) > 1 else every
    )
    depth = f"Maximum along z{side if strip.layout.side else ''}; one" if facts.shape[0] > 1 else "One"
    about = f"{depth} colour is one nucleus.{scale}{steps} {content.note}"
    thumbs = tag(
        "div",
        *(
            _thumb(shot, facts.first_frame + shot.t, text, i in printed)
            for i, (shot, text) in enumerate(zip(shots, texts, strict=True))
        ),
        id="strip",
        hidden=None if len(shots) > 1 else "",
    )
    left = tag(
        "figure",
        stage,
        tag("div", *controls, class_="controls"),
        tag("p", texts[0], id="now", aria_live="polite"),
        tag("figcaption", about),
        thumbs,
        class_="card",
    )
    right = tag("div", *(_card(panel) for panel in content.story.beside), class_="stacked")
    return join([tag("h2", content.story.heading), tag("div", left, right, class_="columns stage")])


def _steps(count: int) -> list[Raw]:
    """Controls that step through so many pictures."""
    if count < 2:
        return []
    return [
        tag("button", "◀", id="previous", type="button", aria_label="Previous frame"),
        Raw(f'<input type="range" id="frame" min="0" max="{count - 1}" value="0" aria-label="Frame">'),
        tag("button", "▶", id="next", type="button", aria_label="Next frame"),
        tag("button", "Play", id="play", type="button"),
    ]


def _thumb(shot: Shot, number: int, text: str, printed: bool) -> Raw:
    return tag(
        "button",
        tag("span", _image(shot.grey, ""), _image(shot.outlines, ""), class_="stack"),
        tag("span", f"frame {number}"),
        class_="shot printed" if printed else "shot",
        type="button",
        data_t=shot.t,
        data_text=text,
    )


def _image(uri: str, alt: str, *, id_: str | None = None, class_: str | None = None) -> Raw:
    name = "" if id_ is None else f' id="{id_}"'
    kind = "" if class_ is None else f' class="{class_}"'
    return Raw(f'<img{name}{kind} alt="{escape(alt)}" src="{uri}" decoding="async">')


def _shot_text(shot: Shot, count: int, facts: Facts) -> str:
    time = (
        "" if not facts.interval_s else f" · {time_stamp(shot.t, interval_s=facts.interval_s, start_s=facts.start_s)}"
    )
    return f"frame {facts.first_frame + shot.t}{time} · {how_many(count, 'nucleus', 'nuclei')}"


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


def _measured(content: Content) -> Raw:
    if not content.story.measured:
        return Raw("")
    charts = tag("div", *(_card(panel) for panel in content.story.measured), class_="columns two even")
    rest = [tag("p", content.undrawn, class_="about undrawn")] if content.undrawn else []
    return join([tag("h2", "Measured channels"), charts, *rest])


def _sheet(sheet: Sheet | None) -> Raw:
    if sheet is None or not sheet.rows:
        return Raw("")
    head = tag("tr", *(tag("th", title, scope="col") for title in sheet.titles))
    names = {str(generation) for generation in sheet.ended}
    rows = [tag("tr", *(tag("td", x) for x in row), class_="ended" if row[0] in names else None) for row in sheet.rows]
    table = tag("table", tag("thead", head), tag("tbody", *rows))
    return tag(
        "figure",
        tag("h3", "Generations"),
        tag("div", table, class_="scroll"),
        tag("figcaption", ABOUT, ABOUT_ENDED if names else "", sheet.unknown),
        class_="card generations",
    )


def _listing(listing: Listing, content: Content, *, first: bool) -> Raw:
    total = f"{listing.total:,}" if listing.total else "none"
    part = f"; the first {len(listing.rows)} are listed" if listing.total > len(listing.rows) else ""
    summary = tag("summary", listing.title, " ", tag("span", f"· {total}{part}", class_="soft"))
    if not len(listing.rows):
        return tag("details", summary, tag("p", listing.about, class_="about"), id=listing.key)
    axes = "xyz" if content.material.facts.shape[0] > 1 else "xy"
    micrometres = [f"{a}_um" for a in axes if f"{a}_um" in listing.rows.columns]
    titles = ["", *content.story.named_by.values(), *listing.shown.values()]
    titles += [f"{', '.join(axes)} (µm)"] if micrometres else []
    rows = []
    for row in listing.rows.to_dict("records"):
        track = int(row["track"])
        swatch = tag("span", class_="swatch", style=f"background: {hex_color(track)}")
        names = {"t": tag("td", content.material.clock.number(row["t"])), "track": tag("td", swatch, track)}
        cells = [tag("td", _look(row, content)), *(names[key] for key in content.story.named_by)]
        cells += [tag("td", row[key]) for key in listing.shown]
        if micrometres:
            cells.append(tag("td", ", ".join(f"{row[key]:.1f}" for key in micrometres)))
        rows.append(tag("tr", *cells, data_track=track))
    head = tag("tr", *(tag("th", title, scope="col") for title in titles))
    table = tag("table", tag("thead", head), tag("tbody", *rows))
    inner = [tag("p", listing.about, class_="about"), tag("div", table, class_="scroll")]
    return tag("details", summary, *inner, id=listing.key, open="" if first else None)


def _look(row: dict[object, object], content: Content) -> Raw:
    """Button that shows the place in the pictures; nothing if the table has no position."""
    places = _row_places(row, content)
    if not places:
        return Raw("")
    return tag("button", "show", class_="look", type="button", data_t=row["t"], data_places=json.dumps(places))


def _row_places(row: dict[object, object], content: Content) -> list[tuple[float, float]]:
    centre = [row.get(axis) for axis in "zyx"]
    if not all(isinstance(v, float) and v == v for v in centre):
        return []
    z, y, x = (float(str(v)) for v in centre)
    return [(round(a, 4), round(b, 4)) for a, b in content.strip.layout.places((z, y, x), content.material.facts.shape)]


def _numbered(content: Content) -> bool:
    known = all(axis in content.material.table.columns for axis in "zyx")
    shown = content.material.table["t"].isin([shot.t for shot in content.strip.shots])
    return known and 0 < int(shown.sum()) <= MOST_NUMBERS


def _places(content: Content) -> str:
    """Where track numbers stand, as JSON: their colours, and in each frame [track, top, left, left in the other view]."""
    if not _numbered(content):
        return '{"colors":{},"frames":{}}'
    wanted = content.material.table[content.material.table["t"].isin([shot.t for shot in content.strip.shots])]
    found: dict[int, list[list[float]]] = {}
    for row in wanted[["t", "track", "z", "y", "x"]].to_dict("records"):
        if places := _row_places(row, content):
            lefts = [left for left, _ in places]
            found.setdefault(int(row["t"]), []).append([int(row["track"]), places[0][1], *lefts])
    colors = {int(track): hex_color(int(track)) for track in wanted["track"].unique()}
    return json.dumps({"colors": colors, "frames": found}, separators=(",", ":"))


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
