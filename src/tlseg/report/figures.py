"""The figures of a report as files for papers: each an SVG as wide as a column or two, whose text stays text.

Programs that edit drawings know little of CSS, so every element has its own style, and nothing is left that only a page
uses. A file that no report made is never replaced.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping

import numpy as np

from tlseg.errors import LabelError
from tlseg.report.sections import Panel, Sections
from tlseg.store.fs.place import Place

MARK = "<!-- tlseg report -->"
"""Text near the beginning of every file, which tells it from one that may not be replaced."""

CAPTIONS = "captions.md"
MM = 85 / 480
"""Millimetres of a pixel: charts are as wide as a column (85 mm) and the tree as two, with letters of 6 points."""

_FONT = "Arial, Helvetica, sans-serif"
_SIZE = 12.0
_INK, _SOFT, _GRID, _PAPER, _ACCENT, _MARK = "#000000", "#444444", "#e4e4e4", "#ffffff", "#0b7a75", "#c2410c"


_LINE = {"fill": "none", "stroke-linejoin": "round"}
_STYLE = {
    "text": {"font-size": f"{_SIZE:g}", "fill": _SOFT},
    ".axis-label": {"fill": _INK},
    ".name": {"font-size": "10"},
    ".grid": {"stroke": _GRID},
    ".axis": {"stroke": _SOFT},
    ".line": {**_LINE, "stroke": _ACCENT, "stroke-width": "2.2"},
    ".area": {"fill": _ACCENT, "fill-opacity": "0.13"},
    ".point": {"fill": _ACCENT},
    ".division": {"fill": _MARK},
    ".tracks path": {**_LINE, "stroke-width": "3", "stroke-linecap": "round"},
    ".thin path": {"stroke-width": "1.2", "opacity": "0.6"},
    ".unseen": {"stroke-width": "1.2", "stroke-dasharray": "2.5 2.5", "stroke-linecap": "butt"},
    ".mean": {**_LINE, "stroke": _INK, "stroke-width": "2.4"},
    "circle.mean": {"fill": _PAPER},
    ".repaired": {"fill": _PAPER, "stroke": _INK, "stroke-width": "1.6"},
    ".box": {"fill": "#dfeeee", "stroke": _ACCENT},
    ".cut": {"fill": "none", "stroke-dasharray": "3 3"},
    ".whisker": {"stroke": _ACCENT, "stroke-width": "1.5"},
    ".median": {"stroke": _INK, "stroke-width": "2"},
    ".fork": {"stroke": _SOFT, "stroke-width": "1.3"},
    ".dots circle": {"stroke": _PAPER, "stroke-width": "0.8"},
    ".ended circle": {"fill": _SOFT, "opacity": "0.6"},
    "line.ended": {"stroke": _SOFT},
}
"""The style sheet of the page as it is printed, by CSS selectors; of two that hold, the later one decides."""


def figure_files(sections: Sections, *, title: str) -> dict[str, bytes]:
    """Names and contents of the files: a drawing for each figure of the sections, and what each of them shows.

    Parameters
    ----------
    sections : Sections
    title : str
        Of the captions: which result this is.
    """
    files: dict[str, bytes] = {}
    told = [MARK, f"# Figures of {title}"]
    for panel in sections.figures:
        name = _unused(re.sub(r"[^A-Za-z0-9_]+", "-", panel.title).strip("-").lower(), files)
        files[name] = standalone(panel)
        told.append(f"**{name}**: {panel.title}. {panel.about}".rstrip())
    return {**files, CAPTIONS: ("\n\n".join(told) + "\n").encode()}


def check_figures(folder: Place, files: Mapping[str, bytes]) -> None:
    """Raise `LabelError` if one of these files exists in the folder and was not made by a report."""
    for name in files:
        place = folder / name
        if place.exists() and not _is_ours(place):
            raise LabelError(
                f"{place} exists and is not of a tlseg report, so it is not replaced. Choose another folder for --figures."
            )


def outdated_figures(folder: Place, files: Mapping[str, bytes]) -> list[Place]:
    """Figures of an earlier report in a checked folder that these files do not replace.

    Only files that its captions name are found: a figure that somebody copied to another name bears the mark, too.
    """
    captions = folder / CAPTIONS
    if not captions.exists():
        return []
    named = re.findall(r"^\*\*([\w-]+\.svg)\*\*: ", captions.read_bytes().decode(errors="replace"), flags=re.MULTILINE)
    places = [folder / name for name in named if name not in files]
    return [place for place in places if place.exists() and _is_ours(place)]


def standalone(panel: Panel) -> bytes:
    """The drawing of a panel as a file of its own."""
    drawn = ET.fromstring(str(panel.drawing))  # noqa: S314 - made here
    _, _, width, height = map(float, drawn.attrib["viewBox"].split())
    size = {"width": f"{width * MM:.2f}mm", "height": f"{height * MM:.2f}mm", "viewBox": drawn.attrib["viewBox"]}
    root = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", **size, "font-family": _FONT})
    ET.SubElement(root, "title").text = panel.title
    ET.SubElement(root, "desc").text = panel.about
    names: set[str] = set()
    root.extend(part for child in drawn for part in _styled(child, frozenset(), names))
    text = ET.tostring(root, encoding="unicode").replace("\u202f", "\u00a0")  # which every font has
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{MARK}\n{text}\n'.encode()


def _is_ours(place: Place) -> bool:
    """Whether what is there was made by a report."""
    return not place.is_dir() and MARK.encode() in place.read_bytes()


def _unused(stem: str, files: Mapping[str, bytes]) -> str:
    """Name of a file that no other figure has; titles may differ only in letters that file names should not have."""
    number, name = 1, f"{stem}.svg"
    while name in files:
        number += 1
        name = f"{stem}-{number}.svg"
    return name


def _styled(element: ET.Element, inside: frozenset[str], names: set[str]) -> Iterator[ET.Element]:
    """The element with its style, and without what only a page uses; nothing if a page alone uses it."""
    own = frozenset(element.get("class", "").split())
    if element.tag == "title" or "cursor" in own:
        return
    kept = {key: value for key, value in element.attrib.items() if key != "class" and not key.startswith("data-")}
    for key in {"fill", "stroke"} & kept.keys():
        kept[key] = on_paper(kept[key])
    for selector, style in _STYLE.items():
        if _selects(selector, element.tag, own, inside):
            kept |= style
    if "dy" in kept:  # programs differ in what an em is
        kept["dy"] = f"{float(kept['dy'].removesuffix('em')) * float(kept['font-size']):g}"
    name = f"track-{element.attrib['data-track']}" if "data-track" in element.attrib else ""
    if name and name not in names:
        names.add(name)
        kept["id"] = name
    made = ET.Element(element.tag, kept)
    made.text = element.text
    made.extend(part for child in element for part in _styled(child, inside | own, names))
    yield made


def _selects(selector: str, name: str, own: frozenset[str], inside: frozenset[str]) -> bool:
    """Whether `name`, `.class`, `name.class` or `.outer name` means an element with these classes inside those."""
    *outer, last = selector.split()
    wanted, _, class_ = last.partition(".")
    return wanted in ("", name) and class_ in ("", *own) and {part[1:] for part in outer} <= inside


def on_paper(color: str) -> str:
    """A colour of a nucleus as the page shows it on white: brightness 0.76, saturation 1.25 (filter effects of CSS)."""
    light = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) * 0.76
    grey = light @ (0.213, 0.715, 0.072)
    red, green, blue = np.clip(grey + 1.25 * (light - grey), 0, 255).round().astype(int)
    return f"#{red:02x}{green:02x}{blue:02x}"
