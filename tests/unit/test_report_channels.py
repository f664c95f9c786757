"""Measured channels in a report: named as the record says, drawn where they have values, and colours of the tree."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from tlseg.measure import history
from tlseg.report import charts, shades
from tlseg.report.channels import MOST_CHANNELS, MeasuredChannel, about_undrawn, measured_channels
from tlseg.report.lineage_tree import lineage_tree
from tlseg.report.shades import LEVELS, ramp, tree_shades
from tlseg.report.svg import Frame
from tlseg.report.timing import clock_for

GFP = "intensity_mean_GFP"
CLOCK = clock_for(10, 600.0)


def nuclei(values: object, *, frames: int = 10, tracks: int = 2) -> pd.DataFrame:
    """A complete table of tracks that are seen in all frames, with one measured channel, track by track."""
    rows = [(t, k) for k in range(1, tracks + 1) for t in range(frames)]
    return history.complete(
        pd.DataFrame(rows, columns=["t", "label"]).assign(**{GFP: values, "intensity_sum_GFP": 0.0})
    )


def drawing_of(table: pd.DataFrame, *, frames: int = 10, lines: bool = True) -> ElementTree.Element:
    chart = charts.intensity_chart(table, GFP, frames=frames, clock=CLOCK, title="Mean intensity", lines=lines)
    assert chart is not None
    return ElementTree.fromstring(chart.text)


def tracks_of(drawing: ElementTree.Element) -> dict[str, ElementTree.Element]:
    return {e.get("data-track", ""): e for e in drawing.iter("g") if e.get("data-track")}


def points_of(drawing: ElementTree.Element) -> np.ndarray:
    """All points (x, y) of lines, band and dots."""
    found = [re.findall(r"(-?[\d.]+|nan|inf) (-?[\d.]+|nan|inf)", e.get("d", "")) for e in drawing.iter("path")]
    dots = [(e.get("cx"), e.get("cy")) for e in drawing.iter("circle")]
    return np.array([*(p for path in found for p in path), *dots], dtype=float).reshape(-1, 2)


def channel(**changes: object) -> MeasuredChannel:
    plain = {"name": "GFP", "column": GFP, "image": "", "values": 20, "rows": 20, "drawn": True}
    return MeasuredChannel(**{**plain, **changes})  # type: ignore[arg-type]


def shades_of(table: pd.DataFrame, *channels: MeasuredChannel) -> dict[str, object]:
    found = tree_shades(table, set(table["track"]), channels or (channel(),))
    assert found is not None
    return json.loads(ElementTree.fromstring(f"<p>{found}</p>").find("script").text)  # type: ignore[union-attr, arg-type, no-any-return]


def test_a_channel_is_called_what_the_record_says() -> None:
    columns = ["GFP__488_", "raw_GFP__488_", "H2B", "channel3", "old"]
    table = pd.DataFrame(
        {"t": [0, 0], **{f"intensity_mean_{c}": [1.0, np.nan] for c in columns}, "intensity_mean": 1.0}
    )
    entries = [("GFP__488_", "GFP (488)", "/a/movie.ome.zarr"), ("raw_GFP__488_", "GFP (488)", "/a/raw.zarr")]
    entries += [("H2B", "H2B", "."), ("channel3", "channel 3", ".")]
    record = {
        "measured": [
            {"columns": [f"intensity_mean_{c}", f"intensity_sum_{c}"], "name": name, "image": image}
            for c, name, image in entries
        ]
    }
    found = measured_channels(table, record, root="/a/result.ome.zarr")
    assert [c.name for c in found] == ["GFP__488_", "raw_GFP__488_", "H2B", "channel 3", "old"]
    assert [c.image for c in found] == ["/a/movie.ome.zarr", "/a/raw.zarr", *["/a/result.ome.zarr"] * 2, ""]
    assert {(c.values, c.rows) for c in found} == {(1, 2)}
    assert (
        "Values are of raw.zarr, column intensity_mean_raw_GFP__488_; background is not subtracted." in found[1].about
    )
    assert "There is no value for 1 of 2 nuclei in frames" in found[1].about
    assert "an image that the run record does not name" in found[4].about


@pytest.mark.parametrize("record", [{}, {"measured": None}, {"measured": ["x", {}, {"columns": None}]}])
def test_a_record_that_says_nothing_does_no_harm(record: dict[str, object]) -> None:
    table = pd.DataFrame({GFP: [1.0], "intensity_mean_text": ["a"]})
    assert [c.name for c in measured_channels(table, record, root="")] == ["GFP"]


def test_of_many_channels_the_first_are_drawn_and_the_rest_named() -> None:
    table = pd.DataFrame({f"intensity_mean_C{i}": [1.0] for i in range(30)})
    found = measured_channels(table, {}, root="")
    assert [c.drawn for c in found] == [True] * MOST_CHANNELS + [False] * (30 - MOST_CHANNELS)
    assert about_undrawn(found).startswith("The first 6 of 30 measured channels are drawn. In the table only: C6, C7, ")
    assert about_undrawn(found).endswith("C17 and 12 more.")
    assert about_undrawn(found[:MOST_CHANNELS]) == ""


def test_a_very_long_name_is_cut_where_there_is_little_room() -> None:
    assert len(channel(name="x" * 500).short) < 60
    assert channel(name="x" * 20).short == "x" * 20


def test_each_track_has_a_line_and_the_mean_is_that_of_each_frame() -> None:
    table = nuclei(np.r_[np.full(10, 100.0), np.full(10, 300.0)])
    drawn = drawing_of(table)
    lines = tracks_of(drawn)
    assert set(lines) == {"1", "2"}
    mean = next(e for e in drawn.iter("path") if e.get("class") == "mean").get("d", "")
    levels = {k: float(e.find("path").get("d", "").split("L")[1].split()[1]) for k, e in lines.items()}  # type: ignore[union-attr]
    assert float(mean.split("L")[1].split()[1]) == pytest.approx((levels["1"] + levels["2"]) / 2, abs=0.1)
    assert not tracks_of(drawing_of(table, lines=False))


def test_lines_are_broken_where_a_value_is_missing() -> None:
    values = np.arange(20.0)
    values[[3, 5]], values[10:] = (np.nan, np.inf), np.nan
    lines = tracks_of(drawing_of(nuclei(values)))
    assert set(lines) == {"1"}, "a track without values has no line"
    assert (len(list(lines["1"].iter("path"))), len(list(lines["1"].iter("circle")))) == (2, 1)


def test_a_channel_without_values_has_no_figure_and_no_colours() -> None:
    table = nuclei(np.nan)
    assert charts.intensity_chart(table, GFP, frames=10, clock=CLOCK, title="", lines=True) is None
    assert tree_shades(table, [1, 2], [channel(values=0)]) is None


@pytest.mark.parametrize(
    ("low", "high", "begins"),
    [
        (0, 900, 0),
        (100, 900, 0),
        (1000, 1100, None),
        (-50, 80, None),
        (-900, -100, None),
        (7, 7, None),
        (0, 0, 0),
        (5e6, 5e6 + 1, None),
    ],
)
@pytest.mark.parametrize("frames", [1, 10])
@pytest.mark.parametrize("lines", [True, False])
def test_everything_drawn_lies_in_the_plot(
    low: float, high: float, begins: int | None, frames: int, lines: bool
) -> None:
    values = np.random.default_rng(0).uniform(low, high, 2 * frames)
    drawn = drawing_of(nuclei(values, frames=frames), frames=frames, lines=lines)
    frame, points = Frame(), points_of(drawn)
    assert len(points) >= (1 if frames == 1 else 20)
    assert np.isfinite(points).all()
    assert (points[:, 0] >= frame.x[0] - 0.1).all()
    assert (points[:, 0] <= frame.x[1] + 0.1).all()
    assert (points[:, 1] >= frame.y[1] - 0.1).all()
    assert (points[:, 1] <= frame.y[0] + 0.1).all()
    texts = [e.text for e in drawn.iter("text") if e.get("text-anchor") == "end"]
    assert len(set(texts)) == len(texts) > 1, "no two values of the axis read the same"
    if begins is not None and frames > 1:
        assert "0" in texts


def test_one_outlier_does_not_flatten_all_others() -> None:
    values = np.random.default_rng(0).uniform(100, 200, 3000)
    values[1234] = 1e6
    drawn = drawing_of(nuclei(values, tracks=300))
    low, high = Frame().y
    points = points_of(drawn)[:, 1]
    assert high - 0.1 <= points.min() <= points.max() <= low + 0.1
    usual = [points_of(line)[:, 1] for track, line in tracks_of(drawn).items() if track != "124"]
    assert np.ptp(np.concatenate(usual)) > 0.3 * (low - high)


def test_an_axis_that_leaves_out_zero_says_so() -> None:
    assert ">mean grey value<" in ElementTree.tostring(drawing_of(nuclei(np.linspace(10, 900, 20)))).decode()
    assert (
        ">mean grey value (not from 0)<" in ElementTree.tostring(drawing_of(nuclei(np.linspace(800, 900, 20)))).decode()
    )


def test_a_single_frame_shows_its_mean_and_spread() -> None:
    drawn = drawing_of(nuclei([100.0, 300.0], frames=1), frames=1)
    mean = next(e for e in drawn.iter("circle") if e.get("class") == "mean")
    whisker = next(e for e in drawn.iter("line") if e.get("class") == "whisker")
    ends = [float(whisker.get(k, "")) for k in ("y1", "y2")]
    assert ends[1] < float(mean.get("cy", "")) < ends[0]


def test_the_tree_has_a_colour_for_each_track_and_frame() -> None:
    table = nuclei(np.r_[np.linspace(0, 1, 10), np.linspace(1, 0, 10)])
    table.loc[(table["track"] == 2) & (table["t"] == 4), GFP] = np.nan
    levels = shades_of(table)["levels"][0]  # type: ignore[index]
    assert {k: first for k, (first, _) in levels.items()} == {"1": 0, "2": 0}
    assert all(len(letters) == 10 for _, letters in levels.values())
    assert list(levels["1"][1]) == sorted(levels["1"][1])
    assert (levels["1"][1][0], levels["1"][1][-1]) == ("a", chr(ord("a") + LEVELS - 1))
    assert [i for i, letter in enumerate(levels["2"][1]) if letter == "-"] == [4]
    assert len(set(shades_of(nuclei(5.0))["levels"][0]["1"][1])) == 1  # type: ignore[index]


def test_frames_share_a_colour_where_there_are_very_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shades, "MOST_SHADES", 8)
    table = nuclei(np.arange(20.0))
    table = table[(table["track"] == 1) | (table["t"] > 4)]
    found = shades_of(table, channel(), channel(name="again"))
    assert found["every"] == 4
    levels = found["levels"][0]  # type: ignore[index]
    assert {k: (first, len(letters)) for k, (first, letters) in levels.items()} == {"1": (0, 3), "2": (1, 2)}


def test_only_tracks_of_the_tree_have_colours() -> None:
    table = nuclei(np.arange(20.0))
    tree = lineage_tree(history.track_table(table), history.gaps(table), frames=10, clock=CLOCK)
    assert set(tree.tracks) == {1, 2}
    found = tree_shades(table, [2], [channel()])
    assert found is not None
    assert '"2":' in found.text
    assert '"1":' not in found.text


def test_a_name_cannot_become_markup() -> None:
    found = tree_shades(nuclei(1.0), [1], [channel(name="</script><script>alert(1)</script>")])
    assert found is not None
    assert found.text.count("<script") == 1
    assert "&lt;/script&gt;" in found.text


def test_colours_become_lighter_with_the_value() -> None:
    rgb = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in ramp(LEVELS)]) / 255
    light = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light) > 0).all()
    assert ((1.0 + 0.05) / (light + 0.05) > 2).all(), "on white"
    assert ((light + 0.05) / (0.012 + 0.05) > 2.5).all(), "on the dark card"
