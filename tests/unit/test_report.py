"""Reports: histories from tables, trees whose lines never cross, figures of the right values, text that stays text."""

from __future__ import annotations

import io
import re
from base64 import b64decode
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tlseg.cli.common import say_motherless
from tlseg.measure import criteria, history
from tlseg.report import charts, generation_charts
from tlseg.report.attention import MOST_ROWS, listings
from tlseg.report.facts import channel_of, model_of
from tlseg.report.generations import ended_caption, ended_generations, generation_table
from tlseg.report.lineage_tree import MOST_LEAVES, lineage_tree, rows_of
from tlseg.report.pictures import Layout, thinned
from tlseg.report.pixels import grey_picture, hex_color, label_colors, outline_picture
from tlseg.report.svg import Scale, path, size_text, tag, tick_text, ticks
from tlseg.report.timing import clock_for
from tlseg.report.viewer import compass
from tlseg.run.rows import count_motherless

CLOCK = clock_for(10, 600.0)
GENERATIONS = [0, 1, 2]


def nuclei(spans: dict[int, tuple[int, int]], parents: dict[int, int] | None = None) -> pd.DataFrame:
    """A complete table of tracks that are seen from their first to their last frame."""
    parents = parents or {}
    generation: dict[int, int] = {}
    rows = []
    for track in sorted(spans, key=lambda k: spans[k]):
        generation[track] = generation[parents[track]] + 1 if track in parents else 0
        for t in range(spans[track][0], spans[track][1] + 1):
            rows.append({"t": t, "label": track, "parent": parents.get(track, 0), "generation": generation[track]})
    table = pd.DataFrame(rows).assign(volume_um3=100.0, z=1.0, y=2.0, x=3.0, z_um=1.0, y_um=2.0, x_um=3.0)
    return history.complete(table)


FAMILY = nuclei({1: (0, 2), 2: (3, 6), 3: (3, 9), 4: (7, 9), 5: (7, 9), 6: (0, 9)}, parents={2: 1, 3: 1, 4: 2, 5: 2})


def random_family(seed: int, *, frames: int = 30, founders: int = 3) -> pd.DataFrame:
    """Tracks that divide at random."""
    rng = np.random.default_rng(seed)
    spans, parents = {}, {}
    waiting = [(0, 0)] * founders
    while waiting:
        parent, first = waiting.pop(0)
        track = len(spans) + 1
        last = min(frames - 1, first + int(rng.integers(1, 12)))
        spans[track] = (first, last)
        if parent:
            parents[track] = parent
        if last + 1 < frames and rng.random() < 0.8:
            waiting += [(track, last + 1)] * 2
    return nuclei(spans, parents)


def test_every_track_begins_and_ends_where_it_is_seen() -> None:
    tracks = history.track_table(FAMILY).set_index("track")
    assert tracks.loc[2, ["first", "last", "parent", "divided"]].tolist() == [3, 6, 1, 7]
    assert tracks.loc[6, ["first", "last", "parent", "divided"]].tolist() == [0, 9, 0, -1]
    assert tracks["frames"].sum() == len(FAMILY)


def test_divisions_and_complete_cycles() -> None:
    tracks = history.track_table(FAMILY)
    assert history.divisions(tracks)[["t", "track", "daughters"]].values.tolist() == [[3, 1, (2, 3)], [7, 2, (4, 5)]]
    # Only track 2 was seen from its birth to its division: 3 to 7.
    assert history.cycles(tracks)[["track", "generation", "length"]].values.tolist() == [[2, 1, 4]]


def test_a_table_without_tracks_still_has_a_history() -> None:
    table = history.complete(pd.DataFrame({"t": [0, 1], "label": [4, 4]}))
    tracks = history.track_table(table)
    assert tracks[["track", "parent", "divided"]].values.tolist() == [[4, 0, -1]]
    assert not len(history.divisions(tracks))
    assert not len(history.cycles(tracks))


def test_a_mother_outside_the_table_is_no_mother() -> None:
    table = history.complete(pd.DataFrame({"t": [0], "label": [4], "parent": [99], "generation": [1]}))
    assert history.track_table(table)["parent"].tolist() == [0]


def test_gaps_are_the_frames_without_a_track() -> None:
    table = history.complete(pd.DataFrame({"t": [0, 1, 4, 5, 0], "label": [1, 1, 1, 1, 2]}))
    assert history.gaps(table)[["track", "t", "t_next"]].values.tolist() == [[1, 1, 4]]


def test_counts_have_a_number_for_every_frame() -> None:
    assert history.counts(FAMILY, 12).tolist() == [2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 0, 0]


@pytest.mark.parametrize("seed", range(5))
def test_families_lie_apart_and_mothers_between_their_daughters(seed: int) -> None:
    tracks = history.track_table(random_family(seed))
    rows = rows_of(tracks)
    assert set(rows) == set(tracks["track"])
    leaves = [rows[k] for k in tracks.loc[tracks["divided"] < 0, "track"]]
    assert sorted(leaves) == list(range(len(leaves)))
    for mother in tracks.loc[tracks["divided"] >= 0, "track"]:
        below = sorted(rows[k] for k in tracks.loc[tracks["parent"] == mother, "track"])
        assert rows[mother] == pytest.approx((below[0] + below[-1]) / 2)
    # Lines of one time never share a row, so none hides another.
    for t in range(30):
        alive = tracks[(tracks["first"] <= t) & (tracks["last"] >= t)]["track"]
        assert len({rows[k] for k in alive}) == len(alive)


def test_the_tree_draws_each_track_once_in_its_colour() -> None:
    tracks = history.track_table(FAMILY)
    tree = lineage_tree(tracks, history.gaps(FAMILY), frames=10, clock=CLOCK)
    drawn = ElementTree.fromstring(tree.drawing.text)
    lines = {int(g.get("data-track", "0")): g for g in drawn.iter("g") if g.get("data-track")}
    assert set(lines) == set(tracks["track"])
    assert {k: g.find("path").get("stroke") for k, g in lines.items()} == {k: hex_color(k) for k in lines}  # type: ignore[union-attr]
    assert len([e for e in drawn.iter("line") if e.get("class") == "fork"]) == 2
    assert (tree.shown, tree.families) == (2, 2)


def drawn_lines(table: pd.DataFrame) -> dict[int, tuple[int, int]]:
    """Strokes of each track where it is seen and where it is not."""
    tree = lineage_tree(history.track_table(table), history.gaps(table), frames=10, clock=CLOCK)
    drawn = ElementTree.fromstring(tree.drawing.text)
    found = {}
    for group in [e for e in drawn.iter("g") if e.get("data-track")]:
        count = {"": 0, "unseen": 0}
        for line in group.iter("path"):
            count[line.get("class") or ""] += line.get("d", "").count("M")
        found[int(group.get("data-track", "0"))] = (count[""], count["unseen"])
    return found


def test_the_tree_is_dashed_where_a_track_was_not_seen() -> None:
    table = history.complete(pd.DataFrame({"t": [0, 1, 4, 5], "label": 1}))
    assert drawn_lines(table) == {1: (2, 1)}


def test_the_tree_joins_mothers_and_daughters_that_were_missed_at_their_division() -> None:
    seen = {1: (range(3), 0), 2: (range(5, 8), 1), 3: (range(7, 9), 1)}
    rows = [(t, label, parent) for label, (frames, parent) in seen.items() for t in frames]
    table = history.complete(pd.DataFrame(rows, columns=["t", "label", "parent"]).assign(track=lambda d: d["label"]))
    assert drawn_lines(table) == {1: (1, 1), 2: (1, 0), 3: (1, 1)}
    assert all(unseen == 0 for _, unseen in drawn_lines(FAMILY).values())


def test_a_tree_is_as_high_as_it_has_leaves() -> None:
    """A mother on the row of her only daughter is no leaf: 20 families are as high whether they divide or not."""
    plain = nuclei(dict.fromkeys(range(1, 21), (0, 9)))
    divided = nuclei(
        dict.fromkeys(range(1, 21), (0, 4)) | {20 + n: (5, 9) for n in range(1, 21)},
        parents={20 + n: n for n in range(1, 21)},
    )
    heights = set()
    for table in (plain, divided):
        tree = lineage_tree(history.track_table(table), history.gaps(table), frames=10, clock=CLOCK)
        heights.add(ElementTree.fromstring(tree.drawing.text).get("viewBox"))
    assert len(heights) == 1


def test_a_huge_tree_keeps_whole_families() -> None:
    table = random_family(1, founders=150)
    tracks = history.track_table(table)
    assert (tracks["divided"] < 0).sum() > MOST_LEAVES
    tree = lineage_tree(tracks, history.gaps(table), frames=30, clock=CLOCK)
    drawn = ElementTree.fromstring(tree.drawing.text)
    shown = {int(g.get("data-track", "0")) for g in drawn.iter("g") if g.get("data-track")}
    assert 0 < tree.shown < tree.families == 150
    for track, parent in tracks[["track", "parent"]].itertuples(index=False):
        assert parent == 0 or (track in shown) == (parent in shown)


def test_colours_are_those_of_the_pictures() -> None:
    red, green, blue = label_colors(np.array([17]))[0]
    assert hex_color(17) == f"#{red:02x}{green:02x}{blue:02x}"


def test_counts_are_drawn_at_their_values() -> None:
    counts = np.array([2, 4, 8])
    drawn = ElementTree.fromstring(
        charts.count_chart(counts, history.divisions(history.track_table(FAMILY)), CLOCK).text
    )
    (line,) = [e for e in drawn.iter("path") if e.get("class") == "line"]
    points = np.array([[float(v) for v in p.split()] for p in re.split("[ML]", line.get("d", ""))[1:]])
    assert np.allclose(np.diff(points[:, 0], 2), 0, atol=0.2)
    assert np.diff(points[:, 1])[1] == pytest.approx(2 * np.diff(points[:, 1])[0], abs=0.3)
    assert len([e for e in drawn.iter("path") if e.get("class") == "division"]) == 2


@pytest.mark.parametrize("frames", [1, 2, 10])
def test_figures_of_short_movies_hold(frames: int) -> None:
    table = nuclei({1: (0, frames - 1)})
    clock = clock_for(frames, 60.0)
    tracks = history.track_table(table)
    for drawing in (
        charts.count_chart(history.counts(table, frames), history.divisions(tracks), clock),
        charts.volume_chart(table, frames=frames, clock=clock),
        generation_charts.volume_by_generation(table, [0]),
        lineage_tree(tracks, history.gaps(table), frames=frames, clock=clock).drawing,
    ):
        assert drawing is not None
        assert "nan" not in drawing.text
        ElementTree.fromstring(drawing.text)


@pytest.mark.parametrize(("frames", "marked"), [(1, ["0"]), (3, ["0", "1", "2"])])
def test_frames_without_times_are_whole_numbers(frames: int, marked: list[str]) -> None:
    table = nuclei({1: (0, frames - 1)})
    clock = clock_for(frames, None)
    counts, tracks = history.counts(table, frames), history.track_table(table)
    for drawing in (
        charts.count_chart(counts, history.divisions(tracks), clock),
        charts.volume_chart(table, frames=frames, clock=clock),
        lineage_tree(tracks, history.gaps(table), frames=frames, clock=clock).drawing,
    ):
        assert drawing is not None
        texts = [e for e in ElementTree.fromstring(drawing.text).iter("text") if e.get("dy") == ".8em"]
        assert [e.text for e in texts] == marked


def test_a_figure_that_would_say_nothing_is_none() -> None:
    table = nuclei({1: (0, 3)}).drop(columns="volume_um3")
    tracks = history.track_table(table)
    assert charts.volume_chart(table, frames=4, clock=CLOCK) is None
    assert generation_charts.volume_by_generation(table, [0]) is None
    assert generation_charts.cycle_chart(history.cycles(tracks), [0], clock=CLOCK) is None
    assert generation_charts.synchrony_chart(history.divisions(tracks), [0], frames=4, clock=CLOCK) is None
    assert generation_charts.sister_chart(criteria.division_criteria(table, tracks), [0]) is None


def test_divisions_are_bars_as_high_as_there_are() -> None:
    divided = pd.DataFrame({"t": [1, 1, 2]})
    drawn = ElementTree.fromstring(charts.count_chart(np.array([2, 4, 5]), divided, CLOCK).text)
    bars = [e.get("d", "") for e in drawn.iter("path") if e.get("class") == "division"]
    two, one = (float(re.findall(r"v-([\d.]+)", bar)[0]) for bar in bars)
    assert two == pytest.approx(2 * one, abs=0.2)


def test_means_are_drawn_where_criteria_say_and_not_across_empty_frames() -> None:
    rng = np.random.default_rng(0)
    table = nuclei({1: (0, 9), 2: (0, 9), 3: (2, 6)})
    table = table.assign(volume_um3=rng.uniform(80, 120, len(table)))
    table = table[table["t"] != 4]
    chart = charts.volume_chart(table, frames=10, clock=CLOCK)
    assert chart is not None
    means = [e for e in ElementTree.fromstring(chart.text).iter("path") if e.get("class") == "mean"]
    points = np.array([[float(v) for v in p.split()] for e in means for p in re.split("[ML]", e.get("d", ""))[1:]])
    assert (len(means), len(points)) == (2, 9)
    told = criteria.frame_criteria(table, frames=10)["volume_um3_mean"].dropna().to_numpy()
    # Pixels are a straight line of the values.
    slope, start = np.polyfit(told, points[:, 1], 1)
    assert slope < 0
    assert np.allclose(slope * told + start, points[:, 1], atol=0.1)


def test_generations_say_what_the_criteria_say() -> None:
    table = random_family(3)
    table = table.assign(volume_um3=np.random.default_rng(0).uniform(50, 150, len(table)))
    tracks = history.track_table(table)
    sheet = generation_table(table, tracks, clock_for(30, 600.0))
    told = pd.DataFrame(sheet.rows, columns=sheet.titles)
    known = criteria.generation_criteria(tracks)
    assert told["generation"].tolist() == known["generation"].astype(str).tolist()
    assert told["tracks"].astype(int).tolist() == known["tracks"].tolist()
    for row, mean, sd in zip(
        told["cycle length (h)"], known["cycle_frames_mean"] / 6, known["cycle_frames_std"] / 6, strict=True
    ):
        parts = [] if np.isnan(mean) else [f"{mean:.2f}"] if np.isnan(sd) else [f"{mean:.2f}", f"{sd:.2f}"]
        assert row == (" ± ".join(parts) or "–")
    volumes = table.groupby("generation")["volume_um3"].mean()
    assert [float(v.split(" ")[0].replace(",", "")) for v in told["volume (µm³)"]] == pytest.approx(volumes, abs=0.51)


def test_volumes_of_small_nuclei_keep_two_digits() -> None:
    small = FAMILY.assign(volume_um3=np.where(FAMILY["t"] % 2, 3.2, 4.1), seed="fallback")
    sheet = generation_table(small, history.track_table(small), CLOCK)
    volumes = [row[sheet.titles.index("volume (µm³)")] for row in sheet.rows]
    assert volumes[0] == "3.7 ± 0.5"
    (found,) = (v for v in listings(small, None, frames=range(10)) if v.key == "fallback")
    assert set(found.rows["volume"]) == {"3.2", "4.1"}
    assert [size_text(v) for v in (1234.5, 40.04, 9.96, 0.524, 0.0)] == ["1,234", "40", "10.0", "0.52", "0"]


def test_tracks_of_unknown_generation_are_left_out_and_counted() -> None:
    strange = nuclei({7: (4, 9)}).assign(generation=-1, volume_um3=900.0)
    both = pd.concat([FAMILY, strange], ignore_index=True)
    tracks = history.track_table(both)
    sheet = generation_table(both, tracks, CLOCK)
    alone = generation_table(FAMILY, history.track_table(FAMILY), CLOCK)
    assert (sheet.rows, sheet.ended, alone.unknown) == (alone.rows, alone.ended, "")
    assert "1 of 7 tracks" in sheet.unknown
    assert {"-1"}.isdisjoint(row[0] for row in sheet.rows)


def test_generations_that_the_movie_ends_within_are_grey_and_said() -> None:
    spans = {1: (0, 2), 2: (3, 5), 3: (3, 9), 4: (6, 9), 5: (6, 9)}
    table = nuclei(spans, parents={2: 1, 3: 1, 4: 2, 5: 2})
    tracks = history.track_table(table)
    cycles = history.cycles(tracks)
    ended = ended_generations(tracks)
    assert ended == [1, 2]
    caption = ended_caption(cycles, tracks, looks="shorter than it is", done="complete")
    assert (
        caption
        == " Grey: the movie ends within the generation, which looks shorter than it is (gen 1: 1 of 2 complete)."
    )
    chart = generation_charts.cycle_chart(cycles, GENERATIONS, clock=CLOCK, ended=ended)
    assert chart is not None
    greys = [e.get("data-track") for e in ElementTree.fromstring(chart.text).iter("g") if e.get("class") == "ended"]
    assert greys == ["2"]
    assert generation_table(table, tracks, CLOCK).ended == (1, 2)
    whole = history.track_table(table[table["track"] != 3])
    assert ended_generations(whole) == [2]
    assert not ended_caption(history.cycles(whole), whole, looks="", done="")


def test_repaired_nuclei_are_ringed_where_they_are() -> None:
    tracks = history.track_table(FAMILY)
    repaired = pd.DataFrame({"track": [3, 6, 99], "t": [5, 0, 1]})
    tree = lineage_tree(tracks, history.gaps(FAMILY), frames=10, clock=CLOCK, repaired=repaired)
    drawn = ElementTree.fromstring(tree.drawing.text)
    rings = [
        (float(e.get("cx", "")), float(e.get("cy", ""))) for e in drawn.iter("circle") if e.get("class") == "repaired"
    ]
    lines = {g.get("data-track"): g.find("path").get("d", "") for g in drawn.iter("g") if g.get("data-track")}  # type: ignore[union-attr]
    assert len(rings) == 2
    for (x, y), track in zip(rings, ("3", "6"), strict=True):
        (x0, level), (x1, _) = ([float(v) for v in p.split()] for p in re.split("[ML]", lines[track])[1:])
        assert y == level
        assert x0 <= x <= x1


def test_figures_of_very_many_nuclei_stay_small() -> None:
    table = random_family(2, founders=1500)
    table = table.assign(volume_um3=np.random.default_rng(0).uniform(50, 150, len(table)))
    tracks = history.track_table(table)
    rows = sorted(tracks["generation"].unique())
    divided = history.divisions(tracks)
    assert len(divided) > 2 * generation_charts.MOST_DOTS
    for drawing in (
        generation_charts.cycle_chart(history.cycles(tracks), rows, clock=CLOCK),
        generation_charts.synchrony_chart(divided, rows, frames=30, clock=CLOCK),
        generation_charts.sister_chart(criteria.division_criteria(table, tracks), rows),
        lineage_tree(tracks, history.gaps(table), frames=30, clock=CLOCK).drawing,
    ):
        assert drawing is not None
        assert drawing.text.count("<circle") <= generation_charts.MOST_DOTS + len(rows)
        assert len(drawing.text) < 500_000


def test_very_many_nuclei_become_a_band(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = charts.volume_chart(FAMILY, frames=10, clock=CLOCK)
    monkeypatch.setattr(charts, "MOST_POINTS", 5)
    band = charts.volume_chart(FAMILY, frames=10, clock=CLOCK)
    assert whole is not None
    assert band is not None
    assert ("data-track" in whole.text, "data-track" in band.text) == (True, False)


def test_every_axis_says_what_it_shows() -> None:
    tracks = history.track_table(FAMILY)
    drawings = {
        "nuclei": charts.count_chart(history.counts(FAMILY, 10), history.divisions(tracks), CLOCK),
        "volume (µm³)": charts.volume_chart(FAMILY, frames=10, clock=CLOCK),
        "cell-cycle length (min)": generation_charts.cycle_chart(history.cycles(tracks), GENERATIONS, clock=CLOCK),
        "time (min)": generation_charts.synchrony_chart(history.divisions(tracks), GENERATIONS, frames=10, clock=CLOCK),
    }
    for label, drawing in drawings.items():
        assert drawing is not None
        assert f">{label}<" in drawing.text
        assert drawing.text.count("axis-label") == 2


def test_text_from_files_stays_text() -> None:
    bad = '<script>alert("&")</script>'
    assert ElementTree.fromstring(tag("p", bad, title=bad).text).text == bad
    assert "<script>" not in tag("p", bad, title=bad).text


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.0, 9.83), (0.0, 62.0), (3.0, 4_567_890.0), (0.0, 0.004)])
def test_ticks_are_round_and_inside(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 2 <= len(found) <= 8
    assert low <= min(found)
    assert max(found) <= high * (1 + 1e-9)
    steps = np.diff(found)
    assert np.allclose(steps, steps[0])
    assert f"{steps[0]:e}"[0] in "125"
    assert len({tick_text(v) for v in found}) == len(found)


def test_a_scale_without_width_puts_everything_in_the_middle() -> None:
    assert Scale(3, 3, 10, 20)(3) == 15
    assert path([(0, 1), (2.25, 3)]) == "M0 1L2.2 3"


@pytest.mark.parametrize(
    ("frames", "interval", "unit", "text"),
    [(10, 600.0, "min", "50 min"), (60, 600.0, "h", "0.833 h"), (3, 5.0, "s", "25 s"), (3, None, "frame", "5 frames")],
)
def test_times_are_read_in_a_unit_that_fits(frames: int, interval: float | None, unit: str, text: str) -> None:
    clock = clock_for(frames, interval)
    assert clock.unit == unit
    assert clock.text(5) == text


def test_least_confident_links_come_first_with_their_place() -> None:
    table = FAMILY.assign(x=FAMILY["t"] * 1.0)
    edges = pd.DataFrame(
        {
            "t_a": [0, 1, 2],
            "label_a": [1, 1, 6],
            "t_b": [1, 2, 3],
            "label_b": [1, 1, 6],
            "kind": "link",
            "confidence": [0.9, 0.2, 1.0],
        }
    )
    links = listings(table, edges, frames=range(10))[0]
    assert links.total == 2  # a certain link needs no look
    assert links.rows[["t", "track", "x", "sure"]].values.tolist() == [[1, 1, 1.0, "0.200"], [0, 1, 0.0, "0.900"]]


def test_listings_name_every_flag_once() -> None:
    table = FAMILY.copy()
    table.loc[table.index[:3], "seed"] = "fallback"
    table.loc[table.index[5], "seed"] = "repaired"
    table.loc[table["track"] == 6, "touches_edge"] = True
    found = {listing.key: listing for listing in listings(table, None, frames=range(10))}
    assert {k: v.total for k, v in found.items()} == {
        "divisions": 2,
        "fallback": 3,
        "repaired": 1,
        "jumps": 0,
        "gaps": 0,
        "loose": 0,
        "edge": 1,
    }
    assert found["edge"].rows["cut"].tolist() == ["10"]
    many = pd.concat([table.assign(label=table["label"] + 10 * i, track=table["track"] + 10 * i) for i in range(40)])
    longest = next(v for v in listings(many, None, frames=range(10)) if v.key == "fallback")
    assert (longest.total, len(longest.rows)) == (120, MOST_ROWS)


def test_all_divisions_are_listed_the_least_certain_first() -> None:
    links = [(2, 1, 3, 2, "division", 0.9), (2, 1, 3, 3, "division", 0.97)]
    links += [(6, 2, 7, k, "division", c) for k, c in ((4, 0.99), (5, 0.5))]
    edges = pd.DataFrame(links, columns=["t_a", "label_a", "t_b", "label_b", "kind", "confidence"])
    (found,) = (v for v in listings(FAMILY, edges, frames=range(10)) if v.key == "divisions")
    assert found.rows[["t", "track", "daughters", "sure"]].to_numpy().tolist() == [
        [7, 2, "4, 5", "0.500"],
        [3, 1, "2, 3", "0.900"],
    ]
    assert found.rows[["z", "y", "x"]].to_numpy().tolist() == [[1, 2, 3]] * 2
    (unsure,) = (v for v in listings(FAMILY, None, frames=range(10)) if v.key == "divisions")
    assert unsure.rows["track"].tolist() == [1, 2]


def test_jumps_of_volume_are_listed_but_for_divisions_and_the_edge() -> None:
    table = nuclei({1: (0, 2), 2: (3, 9), 3: (3, 9), 6: (0, 9), 7: (0, 9)}, parents={2: 1, 3: 1})

    def jumps(*changes: tuple[int, int, float]) -> list[list[object]]:
        changed = table.copy()
        for track, t, volume in changes:
            changed.loc[(changed["track"] == track) & (changed["t"] == t), "volume_um3"] = volume
        changed.loc[changed["track"] == 7, "touches_edge"] = True
        (found,) = (v for v in listings(changed, None, frames=range(10)) if v.key == "jumps")
        return list(found.rows[["t", "track", "was", "volume"]].to_numpy().tolist())

    assert jumps() == jumps((6, 5, 190.0)) == []
    assert jumps((6, 5, 300.0)) == [[5, 6, "100", "300"], [6, 6, "300", "100"]]
    assert jumps((6, 9, 40.0), (2, 9, 500.0)) == [[9, 2, "100", "500"], [9, 6, "100", "40"]]
    assert jumps((1, 2, 20.0), (3, 3, 20.0), (7, 5, 900.0)) == [], "mitosis, newborn and edge"


def test_tracks_without_a_beginning_or_an_end_are_listed() -> None:
    spans = {1: range(5), 2: range(3, 10), 3: range(5, 8), 4: range(5, 10)}  # 1 becomes 3 and 4
    rows = [(t, label, 1 if label > 2 else 0) for label, frames in spans.items() for t in frames]
    table = history.complete(pd.DataFrame(rows, columns=["t", "label", "parent"]).assign(track=lambda d: d["label"]))

    def loose(table: pd.DataFrame) -> list[list[object]]:
        (found,) = (v for v in listings(table, None, frames=range(10)) if v.key == "loose")
        return list(found.rows[["t", "track", "what"]].to_numpy().tolist())

    assert loose(table) == [[3, 2, "begins"], [7, 3, "ends"]]
    assert loose(table.assign(touches_edge=True)) == []
    assert history.motherless(table, first=0)["track"].tolist() == [2]
    assert history.motherless(table, first=3)["track"].tolist() == []


@pytest.mark.parametrize(
    ("axes", "names", "said"),
    [("tczyx", ["membrane", "h2b"], "1 ('h2b')"), ("tczyx", None, "1"), ("tzyx", ["only"], "")],
)
def test_the_channel_is_named_where_there_are_several(axes: str, names: list[str] | None, said: str) -> None:
    record = {"fingerprint": {"input": {"axes": axes, "channel": 1}}, "channels": names}
    assert channel_of(record) == said
    record = {"fingerprint": {"input": {"axes": "tczyx", "channel": 0}}, "channels": ["only"]}
    assert channel_of(record) == ""


def test_tracks_that_begin_at_the_edge_are_counted_and_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    table = nuclei({1: (0, 5), 2: (2, 5), 3: (3, 5), 4: (4, 5)})
    table.loc[table["track"] == 4, "touches_edge"] = True
    counted = count_motherless(table, first=0)
    assert counted == {"motherless": 3, "motherless_at_edge": 1}
    say_motherless(4, counted["motherless"], at_edge=counted["motherless_at_edge"])
    assert "3 of 4 tracks begin mid-movie without a mother (1 of them at the frame's edge)" in capsys.readouterr().out
    say_motherless(2, 1)
    assert "1 of 2 tracks begins mid-movie" in capsys.readouterr().out
    say_motherless(4, 3, at_edge=2)
    assert not capsys.readouterr().out


@pytest.mark.parametrize("count", [1, 2, 3, 7, 160, 500])
@pytest.mark.parametrize("most", [1, 2, 5, 160])
def test_a_spread_is_even_and_has_both_ends(count: int, most: int) -> None:
    chosen = thinned(range(count), most)
    assert len(chosen) == len(set(chosen)) == min(count, most)
    assert chosen[0] == 0
    if most > 1:
        assert chosen[-1] == count - 1
    assert max(np.diff(chosen), default=1) - min(np.diff(chosen), default=1) <= 1


def test_a_place_in_the_frame_is_the_same_place_in_both_projections() -> None:
    layout = Layout(1.0, (100, 200), 50)
    assert layout.size == (100, 256)
    (left, top), (side, level) = layout.places((4.5, 24.5, 99.5), (10, 50, 200))
    assert (left * 256, top * 100) == pytest.approx((100, 50))
    assert (side * 256, level * 100) == pytest.approx((200 + 6 + 25, 50))
    assert Layout(1.0, (100, 200), 0).places((0, 24.5, 99.5), (1, 50, 200)) == [(0.5, 0.5)]


@pytest.mark.parametrize("width", [1, 21, 22, 30, 43, 44, 300])
def test_axes_are_named_inside_their_view(width: int) -> None:
    drawn = compass(100, "z", width=width).text
    # The letter beyond the arrow ends at about 42.
    scale = float(found[1]) if (found := re.search(r"scale\((.*?)\)", drawn)) else 1.0
    assert not drawn or (42 * scale <= width and scale >= 0.5)
    assert bool(drawn) == (width >= 22)


@pytest.mark.parametrize(
    ("width", "said"), [(None, "embryo (a1a1a1a1a1a1)"), (4.5, "embryo (a1a1a1a1a1a1), scaled to")]
)
def test_a_model_scaled_to_other_nuclei_says_so(width: float | None, said: str) -> None:
    model = {"name": "embryo", "digest": "a1" * 32, "flips": 1} | ({} if width is None else {"nucleus_um": width})
    assert model_of({"fingerprint": {"model": model}}) == (said if width is None else f"{said} nuclei 4.5 um wide")


def test_outlines_lie_over_the_grey_picture() -> None:
    labels = np.zeros((20, 30), np.uint32)
    labels[5:15, 5:15] = 9
    picture = outline_picture(labels, (40, 60), line=1)
    assert picture.shape == (40, 60, 4)
    clear = picture[..., 3] == 0
    assert clear[:10].all()
    assert clear[14:26, 14:26].all()
    assert (picture[~clear] == [*label_colors(np.array([9]))[0], 255]).all()
    filled = outline_picture(labels, (40, 60), fill=0.5)
    assert (filled[14:26, 14:26, 3] == 128).all()
    assert grey_picture(np.arange(600.0).reshape(20, 30), (40, 60)).shape == (40, 60)


@pytest.mark.parametrize("labels", [5, 900])
def test_outlines_survive_their_palette(labels: int) -> None:
    from tlseg.report.pictures import _png

    rng = np.random.default_rng(0)
    rgba = outline_picture(
        np.kron(rng.permutation(labels).reshape(5, -1) + 1, np.ones((6, 6), int)), (60, 6 * labels // 5)
    )
    back = Image.open(io.BytesIO(b64decode(_png(rgba).split(",")[1]))).convert("RGBA")
    again = np.asarray(back).astype(int)
    assert (again[..., 3] == rgba[..., 3]).all()
    assert np.abs(again - rgba)[rgba[..., 3] > 0].max() <= (0 if labels < 256 else 32)


def test_the_page_has_no_address_in_it() -> None:
    folder = Path(charts.__file__).parent
    for name in ("page.css", "page.js"):
        text = (folder / name).read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|@import|url\(|fetch\(", text), name
