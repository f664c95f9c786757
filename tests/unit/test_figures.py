"""Figures as files: they show what the page shows, and programs that know no page can read them."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tlseg.errors import LabelError
from tlseg.report.charts import count_chart, volume_chart
from tlseg.report.figures import CAPTIONS, check_figures, figure_files, on_paper, standalone
from tlseg.report.generation_charts import sister_chart
from tlseg.report.lineage_tree import hex_color
from tlseg.report.sections import Panel, Sections
from tlseg.report.timing import clock_for
from tlseg.store.fs.place import place_of

SVG = "{http://www.w3.org/2000/svg}"
CLOCK = clock_for(3, 600.0)


def counts() -> Panel:
    return Panel(
        "Nuclei over time", "About.", count_chart(np.array([4, 4, 5]), pd.DataFrame({"t": [2]}), CLOCK), hint="Click."
    )


def sections(*panels: Panel) -> Sections:
    return Sections([], "", panels, None, [], [], None, [], {})


def drawn(panel: Panel) -> ET.Element:
    return ET.fromstring(standalone(panel))


def test_a_figure_has_the_size_of_a_column_and_letters_that_can_be_read() -> None:
    root = drawn(counts())
    assert root.tag == f"{SVG}svg"
    millimetres = float(root.attrib["width"].removesuffix("mm"))
    width = float(root.attrib["viewBox"].split()[2])
    assert millimetres == 85
    points = millimetres / width / 25.4 * 72
    assert all(float(text.attrib["font-size"]) * points >= 5 for text in root.iter(f"{SVG}text"))
    assert {"nuclei", "divisions", "time (min)"} <= {text.text for text in root.iter(f"{SVG}text")}, "text stays text"


def test_a_figure_needs_no_page() -> None:
    """Drawing programs know no variables, filters or hovering, and differ in what an em is."""
    text = standalone(counts()).decode()
    assert not re.findall(r'class=|data-|var\(|<style|[0-9]em"|<script|\u202f', text)
    root = drawn(counts())
    shapes = [element for element in root.iter() if element.tag.removeprefix(SVG) in ("path", "line", "circle", "rect")]
    assert shapes
    assert not [shape.attrib for shape in shapes if not {"fill", "stroke"} & shape.attrib.keys()], (
        "none is black by chance"
    )
    assert sum(element.tag == f"{SVG}title" for element in root.iter()) == 1, "no text that shows on hovering"
    assert "stroke-dasharray" not in text, "the mark of the frame that a page shows"


def test_what_is_drawn_is_what_the_page_draws() -> None:
    panel = counts()
    page = ET.fromstring(str(panel.drawing))
    paths = [path.attrib["d"] for path in page.iter("path")]
    assert [path.attrib["d"] for path in drawn(panel).iter(f"{SVG}path")] == paths


def test_tracks_keep_their_colours_and_can_be_found() -> None:
    table = pd.DataFrame({"track": [1, 2] * 3, "t": [0, 0, 1, 1, 2, 2], "volume_um3": np.arange(6.0) + 10})
    root = drawn(Panel("Volumes", "", volume_chart(table, frames=3, clock=CLOCK)))
    named = {group.attrib["id"]: group.find(f"{SVG}path") for group in root.iter(f"{SVG}g") if "id" in group.attrib}
    assert named.keys() == {"track-1", "track-2"}
    for track in (1, 2):
        line = named[f"track-{track}"]
        assert line is not None
        assert (line.attrib["stroke"], line.attrib["fill"]) == (on_paper(hex_color(track)), "none")


def test_a_colour_on_paper_is_darker_and_fuller() -> None:
    assert (on_paper("#ffffff"), on_paper("#000000")) == ("#c2c2c2", "#000000")
    red, green, blue = (int(on_paper("#40c080")[i : i + 2], 16) for i in (1, 3, 5))
    assert red < 0x40 * 0.76 < blue < green < 0xC0


def test_no_dot_covers_another() -> None:
    """Each is a division; ratios of sisters lie close together, and are seldom equal."""
    values = np.array([0.95, 0.951, 0.951, 0.96, 0.5])
    divided = pd.DataFrame({"mother": range(1, 6), "generation": 0, "sister_volume_ratio": values})
    root = drawn(Panel("Sisters", "", sister_chart(divided, [0])))
    at = np.array([[float(dot.attrib["cx"]), float(dot.attrib["cy"])] for dot in root.iter(f"{SVG}circle")])
    apart = np.hypot(*(at[:, None] - at[None]).T)
    assert len(at) == 5
    assert (apart[np.triu_indices(5, 1)] >= 7.4).all(), "about the width of a dot"


def test_captions_say_what_each_file_shows_and_no_more() -> None:
    same = [Panel("Mean intensity of µ 1", "", counts().drawing), Panel("Mean intensity of é 1", "", counts().drawing)]
    files = figure_files(sections(counts(), Panel("Nothing", "", None, "no"), *same), title="embryo: nuclei")
    assert list(files) == ["nuclei-over-time.svg", "mean-intensity-of-1.svg", "mean-intensity-of-1-2.svg", CAPTIONS]
    told = files[CAPTIONS].decode()
    assert "# Figures of embryo: nuclei" in told
    assert "**nuclei-over-time.svg**: Nuclei over time. About.\n" in told
    assert "Click" not in told, "nobody can click on paper"


def test_a_file_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    files = figure_files(sections(counts()), title="embryo: nuclei")
    check_figures(place_of(tmp_path), files)
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    check_figures(place_of(tmp_path), files)
    (tmp_path / CAPTIONS).write_text("my own")
    with pytest.raises(LabelError, match=r"captions\.md exists and is not of a tlseg report"):
        check_figures(place_of(tmp_path), files)
