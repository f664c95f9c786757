"""The pictures of a page: one frame at a time under its controls, all of them as thumbnails, numbers to be laid over."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tlseg.report.facts import Facts
from tlseg.report.overlay import round_length, time_stamp
from tlseg.report.pictures import STEADY, Layout, Shot, Strip, thinned
from tlseg.report.pixels import hex_color
from tlseg.report.sections import ReportData
from tlseg.report.svg import Raw, tag
from tlseg.wording import how_many

MOST_NUMBERS = 30_000
"""Most track numbers that can be shown over the pictures, in all frames together; with more, none are shown."""

BRIGHTNESS = (
    f" Black and white are chosen from each picture and the {STEADY - 1} around it, so brightness cannot be compared across "
    "the movie."
)

_PRINTED = 12  # pictures on paper
_COMPASS = 44  # pixels that it takes, its letters included
_LEAST_COMPASS = 0.5  # of its size, below which its letters cannot be read


def picture_viewer(data: ReportData, *, named: str) -> Raw:
    """Pictures with their controls and thumbnails; pointing at a nucleus tells its number, after what it is `named`."""
    shots, facts = data.strip.shots, data.facts
    counts = data.table["t"].value_counts()
    texts = [_about_shot(shot, int(counts.get(shot.t, 0)), facts) for shot in shots]
    return tag(
        "figure",
        _stage(data.strip, f"Projections, {texts[0]}", named=named, scaled=facts.spacing_um is not None),
        tag("div", *_controls(len(shots), numbers=len(_numbered(data)) > 0), class_="controls"),
        tag("p", texts[0], id="now", aria_live="polite"),
        tag("figcaption", _about(data)),
        _thumbnails(shots, texts, first_frame=facts.first_frame),
        class_="card",
    )


def track_numbers(data: ReportData) -> str:
    """Where track numbers stand, as JSON: their colours, and in each frame [track, top, left, left in the other view]."""
    numbered = _numbered(data)
    found: dict[int, list[list[float]]] = {}
    for row in numbered.reindex(columns=["t", "track", *"zyx"]).to_dict("records"):
        if places := places_of(row, data):
            lefts = [left for left, _ in places]
            found.setdefault(int(row["t"]), []).append([int(row["track"]), places[0][1], *lefts])
    colors = {int(track): hex_color(int(track)) for track in numbered["track"].unique()}
    return json.dumps({"colors": colors, "frames": found}, separators=(",", ":"))


def places_of(row: Mapping[Any, Any], data: ReportData) -> list[tuple[float, float]]:
    """Where a row of a table is seen in each projection, see `Layout.places`; empty if it has no position."""
    z, y, x = (float(row.get(axis, math.nan)) for axis in "zyx")
    if math.isnan(z + y + x):
        return []
    return [(round(a, 4), round(b, 4)) for a, b in data.strip.layout.places((z, y, x), data.facts.shape)]


def scale_bar(layout: Layout) -> Raw:
    """Bar over the right lower corner of the upper projection."""
    height, width = layout.top
    length = round_length(width * layout.um_per_pixel / 4)
    right, at, left = width - 14, height - 14, width - 14 - length / layout.um_per_pixel
    return tag(
        "g",
        tag("line", x1=left, x2=float(right), y1=at, y2=at, class_="bar"),
        tag("text", f"{length:g} µm", x=(left + right) / 2, y=at - 8),
    )


def compass(left: int, across: str, *, width: int) -> Raw:
    """Which axes a view `width` pixels wide shows, from its upper left corner: smaller in a narrow one, or left out."""
    scale = min(1.0, width / _COMPASS)
    if scale < _LEAST_COMPASS:
        return Raw("")
    arrows = "M8 8h19m-5 -3.5l5 3.5l-5 3.5M8 8v19m-3.5 -5l3.5 5l3.5 -5"
    return tag(
        "g",
        tag("path", d=arrows, class_="halo"),
        tag("path", d=arrows),
        tag("text", across, x=36, y=8, dy=".33em"),
        tag("text", "y", x=8, y=38, dy=".33em"),
        transform=f"translate({left} 0)" + (f" scale({scale:.3g})" if scale < 1 else ""),
        class_="compass",
    )


def _stage(strip: Strip, alt: str, *, named: str, scaled: bool) -> Raw:
    """The first picture at full size, under what is drawn over all of them."""
    layout, first = strip.layout, strip.shots[0]
    height, width = layout.size
    over = [compass(0, "x", width=layout.top[1])]
    if layout.side:
        over.append(compass(width - layout.side, "z", width=layout.side))
    if scaled:
        over.append(scale_bar(layout))
    return tag(
        "div",
        _image(first.grey, alt, id="grey"),
        _image(first.outlines, id="outlines", class_="outlines"),
        tag("svg", *over, id="marks", viewBox=f"0 0 {width} {height}", aria_hidden="true"),
        id="stage",
        style=f"aspect-ratio: {width} / {height}",
        data_named=named,
    )


def _controls(pictures: int, *, numbers: bool) -> list[Raw]:
    """Buttons and a slider that step through so many pictures, and what can be laid over them."""
    steps = [
        tag("button", "◀", id="previous", type="button", aria_label="Previous frame"),
        tag("input", type="range", id="frame", min=0, max=pictures - 1, value=0, aria_label="Frame"),
        tag("button", "▶", id="next", type="button", aria_label="Next frame"),
        tag("button", "Play", id="play", type="button"),
    ]
    outlines = tag("label", tag("input", type="checkbox", id="draw", checked=""), "outlines")
    choice = [tag("label", tag("input", type="checkbox", id="numbers"), "numbers")] if numbers else []
    return [*(steps if pictures > 1 else ()), outlines, *choice]


def _about(data: ReportData) -> str:
    """What the pictures show, and how to step through them."""
    facts, strip, count = data.facts, data.strip, len(data.strip.shots)
    both = bool(strip.layout.side)
    side = " on the left (x to the right, y down), along x on the right (z to the right, y down)" if both else ""
    colours = f"Maximum along z{side}; one" if facts.shape[0] > 1 else "One"
    scale = " The scale bar is valid for both." if both and facts.spacing_um else ""
    some = "" if count == facts.frames else f" {count} of {facts.frames} frames are shown."
    steps = " Arrow keys step through time." if count > 1 else ""
    brightness = BRIGHTNESS if count > 1 and data.pictured else ""
    return f"{colours} colour is one nucleus.{scale}{steps}{some}{brightness} {data.note}"


def _about_shot(shot: Shot, count: int, facts: Facts) -> str:
    time = time_stamp(shot.t, interval_s=facts.interval_s, start_s=facts.start_s) if facts.interval_s else ""
    nuclei = how_many(count, "nucleus", "nuclei")
    return " · ".join(part for part in (f"frame {facts.first_frame + shot.t}", time, nuclei) if part)


def _thumbnails(shots: Sequence[Shot], texts: Sequence[str], *, first_frame: int) -> Raw:
    printed = set(thinned(range(len(shots)), _PRINTED))
    buttons = [
        tag(
            "button",
            tag("span", _image(shot.grey), _image(shot.outlines), class_="stack"),
            tag("span", f"frame {first_frame + shot.t}"),
            class_="shot printed" if i in printed else "shot",
            type="button",
            data_t=shot.t,
            data_text=text,
        )
        for i, (shot, text) in enumerate(zip(shots, texts, strict=True))
    ]
    return tag("div", *buttons, id="strip", hidden=None if len(shots) > 1 else "")


def _image(uri: str, alt: str = "", **attributes: str) -> Raw:
    return tag("img", **attributes, alt=alt, src=uri, decoding="async")


def _numbered(data: ReportData) -> pd.DataFrame:
    """Nuclei whose numbers can be shown over the pictures; none if they have no positions, or are too many."""
    shown = data.table[data.table["t"].isin([shot.t for shot in data.strip.shots])]
    known = all(axis in shown.columns for axis in "zyx")
    return shown if known and len(shown) <= MOST_NUMBERS else shown.iloc[:0]
