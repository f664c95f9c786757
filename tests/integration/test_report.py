"""`tlseg report` on real results, and its page in a real browser."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shutil
import xml.etree.ElementTree as ET
from base64 import b64decode
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from browser import Browser, find_browser
from commandline import invoke
from handmade import save_threshold_model, write_channels, write_movie
from runs import inputs, run, small_movie
from tlseg.cli import main
from tlseg.errors import LabelError, MovieError
from tlseg.geometry import Box
from tlseg.report.export import export
from tlseg.report.pictures import open_footage, take_strip
from tlseg.report.write import footage_of, write_report
from tlseg.run.linking.labels import link_labels
from tlseg.run.measuring.channels import measure_channels
from tlseg.run.segment import Summary
from tlseg.simulate.api import simulate
from tlseg.simulate.settings import SimulationSettings
from tlseg.store.fs.place import Place
from tlseg.store.image.movie import MovieSource, open_source
from tlseg.store.labels.image_of import image_of
from tlseg.store.labels.label_writer import create_labels
from tlseg.store.labels.protect import CopiedImage
from tlseg.store.labels.result import open_result
from tlseg.store.labels.table_writer import write_table
from tlseg.view.scene import open_scene

EVIL = "/data/</title><script>document.title='taken'</script>.ome.zarr"


@pytest.fixture(scope="module")
def segmented(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    """A result of the real pipeline, and what it said."""
    folder = tmp_path_factory.mktemp("segmented")
    movie, model = inputs(folder)
    summary = run(movie, model, out=folder / "result.ome.zarr")
    return folder / "result.ome.zarr", summary


@pytest.fixture(scope="module")
def embryo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The truth of a simulated embryo that divides: a result with a lineage."""
    path = tmp_path_factory.mktemp("embryo") / "embryo.ome.zarr"
    simulate(
        path,
        SimulationSettings(frames=16, start_nuclei=2, cycle_frames=5.0, shape=(24, 64, 64), spacing_um=(3.5, 1.6, 1.6)),
    )
    return path


@pytest.fixture(scope="module")
def reporters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result of a movie with several channels that were measured, one of them without values."""
    folder = tmp_path_factory.mktemp("reporters")
    save_threshold_model(folder / "model", window=(16, 32, 32))
    nuclei = small_movie(4).astype(np.float32)
    rising = np.ones_like(nuclei) * np.arange(4, dtype=np.float32)[:, None, None, None] * 50
    channels = {"H2B": nuclei, "Cdx2-GFP": rising, "<b>off</b>": rising - 400, "lost": np.full_like(nuclei, np.nan)}
    write_channels(folder / "movie.ome.zarr", channels)
    run(folder / "movie.ome.zarr", folder / "model", out=folder / "result.ome.zarr")
    measure_channels(folder / "result.ome.zarr", channels=["Cdx2-GFP", "<b>off</b>", "lost"])
    return folder / "result.ome.zarr"


def call(*words: object) -> Any:
    return invoke(main, *words)


def test_the_report_says_what_the_run_said(segmented: tuple[Path, Summary]) -> None:
    path, summary = segmented
    answer = call("report", path, "--json")
    assert answer.exit_code == 0, answer.output
    said = json.loads(answer.stdout)
    facts, audit = said["facts"], summary.audit
    assert (facts["frames"], facts["instances"], facts["tracks"], facts["divisions"], facts["fallback"]) == (
        summary.frames,
        summary.nuclei,
        summary.tracks,
        summary.divisions,
        summary.fallback,
    )
    assert audit["face_voxels_compared"] > 0
    assert facts["seams"] == f"0 of {audit['face_voxels_compared']:,} voxels disagree"
    assert said["attention"]["fallback"] == summary.fallback > 0
    assert said["attention"]["repaired"] == facts["repaired"]
    assert Path(said["report"]) == path / "tlseg" / "nuclei" / "report.html"
    page = Path(said["report"]).read_text()
    assert said["bytes"] == len(page.encode())
    assert facts["seams"] in page
    assert page.count('class="shot') == said["pictures"] == summary.frames


def test_seams_that_there_are_not_are_not_called_good(segmented: tuple[Path, Summary], tmp_path: Path) -> None:
    facts = write_report(segmented[0], out=tmp_path / "r.html").facts
    assert not facts.given
    assert facts.mended
    assert replace(facts, audit=None).seams == "not recorded"
    assert replace(facts, audit=None, given=True).seams == "not checked, these labels came from elsewhere"
    wrong = {"face_voxels_compared": 2000, "face_voxels_that_disagree": 3}
    assert replace(facts, audit=wrong).seams == "3 of 2,000 voxels disagree"
    uncut = {"face_voxels_compared": 0, "face_voxels_that_disagree": 0}
    assert replace(facts, audit=uncut).seams == "not needed, no nucleus lies across blocks"
    held = [replace(facts, audit=audit).seams_hold for audit in (None, uncut, wrong, facts.audit)]
    assert held == [None, None, False, True]


OF_TIME = (
    *("→", "last frame", "Arrow keys", "Black and white", "Through time", "over time", ">Play<", "Previous frame"),
    *("Lineage", "Growth and divisions", "Generation", "ivision", "Gaps", "links", "track", "Interval"),
)
"""Words that say nothing about a single frame."""


def words_of(page: str) -> str:
    """What a reader of a page can see."""
    return unescape(re.sub(r"<script.*?</script>|<style.*?</style>|<[^>]*>", "\n", page, flags=re.DOTALL))


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result of one frame, in which the edge cuts two of three nuclei."""
    folder = tmp_path_factory.mktemp("still")
    labels = np.zeros((12, 32, 32), np.uint16)
    labels[3:9, 4:12, 4:12], labels[3:9, 20:28, 24:], labels[:4, 20:26, 4:10] = 1, 2, 3
    tifffile.imwrite(folder / "still.tif", labels, metadata={"axes": "ZYX"})
    link_labels(folder / "still.tif", out=folder / "still.ome.zarr", spacing_um=(1.0, 0.5, 0.5))
    return folder / "still.ome.zarr"


def test_one_frame_is_not_shown_as_if_there_were_more(embryo: Path, still: Path, tmp_path: Path) -> None:
    report = write_report(still)
    said = words_of(report.path.read_text())
    assert "in one frame" in said
    assert [words for words in OF_TIME if words in said] == []
    assert "Nuclei cut by the frame's edge" in said
    assert "Seam audit" in said
    movie = write_report(embryo, name="truth", out=tmp_path / "r.html")
    said = movie.path.read_text()
    assert [words for words in OF_TIME if words not in said] == []
    assert set(report.attention) == set(movie.attention)


def test_one_frame_has_a_histogram_of_volumes(still: Path) -> None:
    page = write_report(still).path.read_text()
    said = words_of(page)
    assert "Volumes of nuclei" in said
    assert "Dashed: 2 of 3 nuclei, cut by the frame's edge and therefore too small." in said
    assert "The stroke is the median of the others." in said
    whole = open_result(still).table().query("not touches_edge")["volume_um3"].item()
    assert f"median {whole:,.0f} µm³" in said
    assert page.count('class="box cut"') == 2


def test_one_frame_of_a_longer_movie_is_one_frame(tmp_path: Path) -> None:
    movie, model = inputs(tmp_path)
    run(movie, model, frames=range(1, 2))
    report = write_report(movie)
    said = words_of(report.path.read_text())
    assert report.pictures == 1
    assert "frame 1 ·" in said
    assert "Volumes of nuclei" in said
    assert "Lineage" not in said


def test_measured_channels_of_one_frame_have_histograms(tmp_path: Path) -> None:
    save_threshold_model(tmp_path / "model", window=(16, 32, 32))
    nuclei = small_movie(1).astype(np.float32)
    channels = {"H2B": nuclei, "GFP": nuclei * 2, "lost": np.full_like(nuclei, np.nan)}
    write_channels(tmp_path / "movie.ome.zarr", channels)
    run(tmp_path / "movie.ome.zarr", tmp_path / "model", out=tmp_path / "result.ome.zarr")
    measure_channels(tmp_path / "result.ome.zarr", channels=["GFP", "lost"])
    page = write_report(tmp_path / "result.ome.zarr").path.read_text()
    assert 'aria-label="Mean intensity of GFP"' in page
    assert "No nucleus has a value in column intensity_mean_lost." in page
    assert "over time" not in words_of(page)
    assert 'id="shade"' not in page


def test_an_empty_frame_says_so(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "none.tif", np.zeros((12, 32, 32), np.uint16), metadata={"axes": "ZYX"})
    link_labels(tmp_path / "none.tif", out=tmp_path / "none.ome.zarr", spacing_um=(1.0, 0.5, 0.5))
    assert "There are no nuclei." in words_of(write_report(tmp_path / "none.ome.zarr").path.read_text())


def test_volumes_of_one_plane_are_said_to_be_areas(embryo: Path, tmp_path: Path) -> None:
    labels = np.zeros((2, 32, 32), np.uint16)
    labels[:, 4:12, 4:12] = 1
    tifffile.imwrite(tmp_path / "flat.tif", labels, metadata={"axes": "TYX"})
    link_labels(tmp_path / "flat.tif", out=tmp_path / "flat.ome.zarr", spacing_um=(0.5, 0.5))
    said = "There is one plane only: volumes are areas times 1 µm."
    flat = write_report(tmp_path / "flat.ome.zarr").path.read_text()
    deep = write_report(embryo, name="truth", out=tmp_path / "r.html").path.read_text()
    assert said in flat
    assert said not in deep
    assert "Maximum along z" not in flat
    assert "One colour is one nucleus" in flat
    assert "Maximum along z" in deep


def test_volumes_of_nuclei_that_the_edge_cuts_are_counted(embryo: Path, tmp_path: Path) -> None:
    labels = np.zeros((2, 32, 32), np.uint16)
    labels[:, 4:12, 4:12], labels[1, 20:28, 24:] = 1, 2
    tifffile.imwrite(tmp_path / "flat.tif", labels, metadata={"axes": "TYX"})
    link_labels(tmp_path / "flat.tif", out=tmp_path / "flat.ome.zarr", spacing_um=(0.5, 0.5))
    page = write_report(tmp_path / "flat.ome.zarr").path.read_text()
    assert "1 of 3 are too small: the frame's edge cuts the nucleus." in unescape(page)
    assert not open_result(embryo, name="truth").table()["touches_edge"].any()
    assert "are too small:" not in write_report(embryo, name="truth", out=tmp_path / "r.html").path.read_text()


def test_what_has_no_z_axis_is_not_told_one(embryo: Path, tmp_path: Path) -> None:
    labels = np.zeros((2, 32, 48), np.uint16)
    labels[0, 4:12, 4:12] = labels[1, 4:12, 20:28] = labels[1, 20:23, 40:44] = 1
    tifffile.imwrite(tmp_path / "flat.tif", labels, metadata={"axes": "TYX"})
    link_labels(tmp_path / "flat.tif", out=tmp_path / "flat.ome.zarr", spacing_um=(0.5, 0.25))
    flat = write_report(tmp_path / "flat.ome.zarr").path.read_text()
    deep = write_report(embryo, name="truth", out=tmp_path / "r.html").path.read_text()
    for said in ("<dd>32 × 48 pixels (y, x)</dd>", "<dt>Pixel spacing</dt><dd>0.5 × 0.25 µm (y, x)</dd>"):
        assert said in flat
    for said in (
        "<dd>24 × 64 × 64 voxels (z, y, x)</dd>",
        "<dt>Voxel spacing</dt><dd>3.5 × 1.6 × 1.6 µm (z, y, x)</dd>",
    ):
        assert said in deep
    assert "x, y (µm)" in flat
    assert "x, y, z (µm)" not in flat
    assert "x, y, z (µm)" in deep


def test_measured_channels_are_drawn_and_named(
    reporters: Path, segmented: tuple[Path, Summary], tmp_path: Path
) -> None:
    said = json.loads(call("report", reporters, "--out", tmp_path / "r.html", "--json").stdout)
    measured = said["facts"]["measured"]
    assert [(m["name"], m["column"]) for m in measured] == [
        ("Cdx2-GFP", "intensity_mean_Cdx2-GFP"),
        ("<b>off</b>", "intensity_mean__b_off__b_"),
        ("lost", "intensity_mean_lost"),
    ]
    instances = said["facts"]["instances"]
    assert [(m["values"], m["drawn"]) for m in measured] == [(instances, True), (instances, True), (0, True)]
    assert all(m["image"] == str(reporters.parent / "movie.ome.zarr") for m in measured)
    page = (tmp_path / "r.html").read_text()
    assert page.count("Mean intensity of Cdx2-GFP over time</h3>") == 1
    assert "Mean intensity of &lt;b&gt;off&lt;/b&gt; over time</h3>" in page
    assert "<b>off" not in page
    assert "Values are of movie.ome.zarr, column intensity_mean_Cdx2-GFP; background is not subtracted." in page
    assert "No nucleus has a value in column intensity_mean_lost." in page
    options = re.findall(r"<option[^>]*>([^<]*)<", page)
    assert options == ["track", "Cdx2-GFP", "&lt;b&gt;off&lt;/b&gt;"]
    plain = write_report(segmented[0], out=tmp_path / "plain.html")
    assert plain.facts.to_dict()["measured"] == []
    assert all(words not in plain.path.read_text() for words in ("Measured channels", "<select", 'id="shades"'))


def test_the_tree_takes_the_colours_of_a_channel(reporters: Path, tmp_path: Path) -> None:
    find_browser()
    report = write_report(reporters, out=tmp_path / "r.html")
    paths = "[...document.querySelectorAll('.figure.wide .labelled > [data-track] path')]"
    seen = f"{paths}.filter((e) => getComputedStyle(e).display != 'none' && !e.matches('.unseen'))"
    ends = f"{seen}.map((e) => {{const b = e.getBBox(); return [b.x, b.y, b.x + b.width]}})"
    choose = "{{const s = document.querySelector('#shade'); s.value = '{}'; s.dispatchEvent(new Event('change'))}}"
    with Browser() as browser:
        browser.open(report.path.as_uri())
        before = browser.ask(ends)
        colors = browser.ask(f"{seen}.map((e) => getComputedStyle(e).stroke)")
        assert browser.ask("document.querySelector('#legend').hidden")
        browser.ask(choose.format("0"))
        shaded = browser.ask(ends)
        assert len(shaded) == 4 * len(before), "each of four frames has a level of its own"
        assert min(x for x, _, _ in shaded) == pytest.approx(min(x for x, _, _ in before), abs=0.1)
        assert max(x for _, _, x in shaded) == pytest.approx(max(x for _, _, x in before), abs=0.1)
        assert {y for _, y, _ in shaded} == {y for _, y, _ in before}
        assert len(set(browser.ask(f"{seen}.map((e) => getComputedStyle(e).stroke)"))) == 4
        assert not browser.ask("document.querySelector('#legend').hidden")
        assert browser.ask("document.querySelector('#legend-low').textContent") == "0"
        assert browser.ask("document.querySelector('#legend-high').textContent") == "150"
        browser.ask(choose.format(""))
        assert browser.ask(ends) == before
        assert browser.ask(f"{seen}.map((e) => getComputedStyle(e).stroke)") == colors
        assert browser.ask("document.querySelector('#legend').hidden")
        browser.resize(390, 844)
        assert browser.ask("document.documentElement.scrollWidth") <= 390
        assert not browser.complaints


def test_the_same_result_gives_the_same_page(segmented: tuple[Path, Summary], tmp_path: Path) -> None:
    pages = [write_report(segmented[0], out=tmp_path / f"new/{i}.html").path.read_bytes() for i in range(2)]
    assert pages[0] == pages[1]


def test_the_page_names_no_other_file(embryo: Path, tmp_path: Path) -> None:
    page = write_report(embryo, name="truth", out=tmp_path / "r.html").path.read_text()
    sources = re.findall(r"""(?:src|href|action)="([^"]*)""", page)
    assert sources
    inside = {f"#{name}" for name in re.findall(r'id="([^"]*)', page)}
    assert all(source.startswith("data:image/") or source in inside for source in sources)
    assert "default-src 'none'" in page


def test_micrometres_have_their_sign_on_the_page(segmented: tuple[Path, Summary], tmp_path: Path) -> None:
    """The terminal prints the same doubt with "um", since not every terminal knows the sign."""
    result = tmp_path / "result.zarr"
    shutil.copytree(segmented[0], result)
    record = result / "tlseg" / "nuclei" / "run.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "nucleus_um": {"median": 40.0, "learned": 10.0}}))
    report = write_report(result)
    assert "instance is 40 um wide, but the model 'threshold' expects about 10 um" in report.facts.doubts[-1]
    page = report.path.read_text()
    assert "instance is 40 µm wide, but the model &#x27;threshold&#x27; expects about 10 µm" in page
    assert not re.search(r" um\b", page)


def test_text_of_the_record_cannot_become_markup(segmented: tuple[Path, Summary], tmp_path: Path) -> None:
    record = segmented[0] / "tlseg" / "nuclei" / "run.json"
    before = record.read_text()
    changed = json.loads(before)
    changed["fingerprint"]["input"]["url"] = EVIL
    try:
        record.write_text(json.dumps(changed))
        page = write_report(segmented[0], out=tmp_path / "r.html").path.read_text()
    finally:
        record.write_text(before)
    assert "<script>document.title" not in page
    assert "&lt;script&gt;document.title" in page


def test_pictures_come_slab_by_slab(embryo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, boxes = MovieSource.read, []

    def note(self: MovieSource, frame: int, box: Box) -> Any:
        boxes.append(box)
        return read(self, frame, box)

    monkeypatch.setattr(MovieSource, "read", note)
    strip = take_strip(open_footage(f"{embryo}/labels/truth", str(embryo)))
    assert len(strip.shots) == 16
    assert max(box.shape[0] for box in boxes) <= 16 < 24


def test_one_bright_nucleus_does_not_darken_its_frame(tmp_path: Path) -> None:
    frames = np.full((9, 1, 64, 64), 100, dtype=np.uint16)
    frames[:, :, 8:24, 8:24] = 1000
    frames[4, :, 40:56, 40:56] = 10_000
    movie = write_movie(tmp_path / "movie.ome.zarr", frames)
    strip = take_strip(open_footage(str(movie), str(movie)))
    tones = []
    for shot in strip.shots:
        picture = np.asarray(Image.open(io.BytesIO(b64decode(shot.grey.split(",")[1]))))
        height, width = picture.shape
        tones.append(int(picture[height // 4, width // 4]))
    assert max(tones) - min(tones) < 8
    assert min(tones) > 200


def test_a_frame_much_dimmer_than_the_others_can_be_seen(tmp_path: Path) -> None:
    frames = np.full((9, 1, 64, 64), 10, dtype=np.uint16)
    frames[:, :, 8:24, 8:24] = 10_000
    frames[4, :, 8:24, 8:24] = 500
    movie = write_movie(tmp_path / "movie.ome.zarr", frames)
    shot = take_strip(open_footage(str(movie), str(movie))).shots[4]
    picture = np.asarray(Image.open(io.BytesIO(b64decode(shot.grey.split(",")[1]))))
    assert picture[picture.shape[0] // 4, picture.shape[1] // 4] > 110


def test_labels_alone_are_shown_and_what_a_report_lacks_is_said(
    segmented: tuple[Path, Summary], tmp_path: Path
) -> None:
    """As OME-Zarr 0.4, which lists labels in another place and has no table."""
    old = export(segmented[0], "ome-zarr-0.4", out=tmp_path / "old.ome.zarr").path
    scene = open_scene(old)
    assert scene.image is not None
    assert not scene.trails
    answer = call("report", old)
    assert answer.exit_code == 2
    assert "has no table 'nuclei' of nuclei and their tracks" in answer.stderr
    assert "tlseg link" in answer.stderr


def test_more_frames_than_fit_are_thinned_out(embryo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    footage = open_footage(f"{embryo}/labels/truth", str(embryo))
    whole = take_strip(footage)
    monkeypatch.setattr("tlseg.report.pictures.MOST_BYTES", whole.nbytes // 2)
    fewer = take_strip(footage)
    assert fewer.nbytes <= whole.nbytes // 2
    assert 4 <= len(fewer.shots) < 12
    assert (fewer.shots[0].t, fewer.shots[-1].t) == (0, 15)


def test_an_image_of_other_frames_lies_where_its_times_say(tmp_path: Path) -> None:
    """Labels beside the copy of frames 1 to 3: some lie within it, some do not."""
    frames = np.random.default_rng(0).integers(0, 1000, (5, 8, 16, 16), dtype=np.uint16)
    movie = open_source(write_movie(tmp_path / "movie.ome.zarr", frames))
    root = tmp_path / "out.ome.zarr"
    copied = CopiedImage(Place(str(root)), movie, range(1, 4))
    copy = copied.open()
    for frame in copied.frames:
        copy.write(frame, Box.of_shape(movie.frame_shape))
    copy.finish()
    for name, chosen in (("later", range(2, 4)), ("earlier", range(3)), ("outside", range(3, 5))):
        writer = create_labels(root, name=name, source=movie, frames=chosen)
        writer.write(chosen[0], Box.of_shape(movie.frame_shape), np.ones(movie.frame_shape, np.uint32))
        writer.finish()
        write_table(root, name, [pd.DataFrame({"t": [0], "label": [1], "parent": [0]})])
    labels = open_source(root / "labels" / "later")
    found = image_of(labels, str(root))
    assert found.first == 1
    part = take_strip(footage_of(open_result(root, name="later"), labels, found))
    whole = take_strip(open_footage(f"{root}/labels/later", movie.url, frames=range(2), first=2))
    assert [shot.grey for shot in part.shots] == [shot.grey for shot in whole.shots]
    assert open_scene(root, name="later").first == 1
    for name in ("earlier", "outside"):
        page = write_report(root, name=name, out=tmp_path / f"{name}.html").path.read_text()
        assert "lacks some that have labels, so it was left out" in page
        scene = open_scene(root, name=name)
        assert scene.image is None
        assert "left out" in scene.note


def test_labels_of_some_frames_lie_on_those_frames(tmp_path: Path) -> None:
    movie, model = inputs(tmp_path)
    run(movie, model, frames="1:3")
    result = open_result(movie)
    labels = open_footage(f"{movie}/labels/nuclei", None).labels
    assert labels.n_frames == 3
    part = take_strip(footage_of(result, labels, image_of(labels, str(movie))))
    whole = take_strip(open_footage(f"{movie}/labels/nuclei", str(movie), frames=range(1, 3)))
    assert [shot.t for shot in part.shots] == [1, 2]
    assert [shot.grey for shot in part.shots] == [shot.grey for shot in whole.shots]
    facts = write_report(movie, out=tmp_path / "r.html").facts
    assert facts.frames == 2
    assert facts.first_count > 0


def test_labels_without_an_image_have_a_report(tmp_path: Path) -> None:
    movie, model = inputs(tmp_path, frames=1)
    run(movie, model, out=tmp_path / "o.ome.zarr", image=False)
    report = write_report(tmp_path / "o.ome.zarr")
    assert report.pictures == 1
    assert report.facts.divisions == 0
    Path(str(report.path)).write_text("<!doctype html><title>of an earlier version</title>")
    assert write_report(tmp_path / "o.ome.zarr").nbytes == report.nbytes


def test_only_reports_are_replaced(segmented: tuple[Path, Summary], tmp_path: Path) -> None:
    result, page = segmented[0], tmp_path / "page.html"
    page.write_text("<!doctype html><title>mine</title>")
    refused = call("report", result, "--out", page)
    assert refused.exit_code == 2
    assert "page.html exists and is not a tlseg report" in refused.stderr
    assert "mine" in page.read_text()
    page.unlink()
    for _ in range(2):
        assert call("report", result, "--out", page).exit_code == 0


def test_figures_are_files_for_papers(embryo: Path, tmp_path: Path) -> None:
    words = ["report", embryo, "--name", "truth", "--out", tmp_path / "r.html", "--figures", tmp_path / "figures"]
    done = call(*words, "--json")
    assert done.exit_code == 0, done.stderr
    told = [Path(file) for file in json.loads(done.stdout)["figures"]]
    assert sorted(told) == sorted((tmp_path / "figures").iterdir())
    titles = re.findall(r"<h3>(.*?)</h3>(?=<div[^>]*><svg)", (tmp_path / "r.html").read_text())
    drawn = [ET.parse(file).getroot() for file in told if file.suffix == ".svg"]
    assert [root.findtext("{*}title") for root in drawn] == titles
    assert len(drawn) >= 6
    first = {file: file.read_bytes() for file in told}
    again = call(*words)
    assert f"Figures: {tmp_path / 'figures'} ({len(drawn)} SVGs; captions.md says what they show)" in again.stdout
    assert {file: file.read_bytes() for file in told} == first


def test_figures_of_an_earlier_report_do_not_stay(embryo: Path, still: Path, tmp_path: Path) -> None:
    """One frame has other figures than a movie; captions name those of one report only."""
    folder = tmp_path / "figures"
    write_report(embryo, name="truth", out=tmp_path / "r.html", figures=folder)
    copied = folder / "figure-1.svg"
    shutil.copyfile(folder / "nuclei-over-time.svg", copied)
    mine = folder / "tracks-and-divisions.svg"
    mine.write_text("<svg/>")
    report = write_report(still, out=tmp_path / "r.html", figures=folder)
    assert {Path(file) for file in report.figures} == set(folder.iterdir()) - {copied, mine}
    assert mine.read_text() == "<svg/>"


def test_a_report_without_figures_writes_none(embryo: Path, tmp_path: Path) -> None:
    done = call("report", embryo, "--name", "truth", "--out", tmp_path / "r.html", "--json")
    assert json.loads(done.stdout)["figures"] == []
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


def test_figures_replace_nothing_of_somebody_else(segmented: tuple[Path, Summary], tmp_path: Path) -> None:
    own = tmp_path / "nuclei-over-time.svg"
    own.write_text("<svg/>")
    refused = call("report", segmented[0], "--out", tmp_path / "r.html", "--figures", tmp_path)
    assert refused.exit_code == 2
    assert "nuclei-over-time.svg exists and is not of a tlseg report" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == [own.name], "nothing is written"
    refused = call("report", segmented[0], "--out", tmp_path / "r.html", "--figures", own)
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert "nuclei-over-time.svg is a file. Expected a folder" in refused.stderr


def test_bad_input_is_one_line(segmented: tuple[Path, Summary], tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="no finished labels 'cells'"):
        write_report(segmented[0], name="cells")
    with pytest.raises(MovieError, match="does not exist"):
        write_report(tmp_path / "nothing.ome.zarr")
    answer = call("report", segmented[0], "--name", "cells")
    assert answer.exit_code == 2
    assert len(answer.stderr.strip().splitlines()) == 1
    with pytest.raises(LabelError, match="is a folder"):
        write_report(segmented[0], out=tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(LabelError, match="cannot be written"):
        write_report(segmented[0], out=tmp_path / "file" / "r.html")


def test_a_full_disk_is_no_bad_input(
    segmented: tuple[Path, Summary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tlseg.store.fs.place.write_atomically", full)
    answer = call("report", segmented[0], "--out", tmp_path / "r.html")
    assert answer.exit_code == 1
    assert re.search(r"Error: .*r\.html cannot be written .*No space left.*Free space", answer.stderr)


def test_the_page_works_in_a_browser(embryo: Path, segmented: tuple[Path, Summary], tmp_path: Path) -> None:
    find_browser()
    divided = write_report(embryo, name="truth", out=tmp_path / "embryo.html")
    doubtful = write_report(segmented[0], out=tmp_path / "result.html")
    with Browser() as browser:
        browser.open(divided.path.as_uri())
        now = "document.querySelector('#now').textContent"
        grey = "document.querySelector('#grey').src"
        assert browser.ask(now).startswith("frame 0 ·")
        first = browser.ask(grey)
        browser.ask("{const s = document.querySelector('#frame'); s.value = 7; s.dispatchEvent(new Event('input'))}")
        assert browser.ask(now).startswith("frame 7 ·")
        assert browser.ask(grey) != first
        browser.press("ArrowRight")
        assert browser.ask(now).startswith("frame 8 ·")
        browser.ask("document.querySelector('#previous').click()")
        assert browser.ask(now).startswith("frame 7 ·")
        cursor = [browser.ask("document.querySelector('.cursor').getAttribute('x1')")]
        browser.ask("document.querySelectorAll('.shot')[3].click()")
        assert browser.ask(now).startswith("frame 3 ·")
        cursor.append(browser.ask("document.querySelector('.cursor').getAttribute('x1')"))
        assert float(cursor[1]) < float(cursor[0])
        browser.ask("document.querySelector('#numbers').click()")
        assert browser.ask("document.querySelectorAll('#marks .number').length") > 0
        for width in (1280, 390):
            browser.resize(width, 844)
            assert browser.ask("document.documentElement.scrollWidth") <= width
            assert browser.screenshot(tmp_path / f"{width}.png").stat().st_size > 10_000
        assert not browser.complaints
        assert {url.split(":")[0] for url in browser.requests} == {"file", "data"}
        assert sum(url.startswith("file:") for url in browser.requests) == 1

        browser.open(doubtful.path.as_uri())
        browser.ask("[...document.querySelectorAll('.look')].at(-1).click()")
        assert browser.ask("document.querySelectorAll('#marks .ring').length") == 2
        assert not browser.complaints


def test_the_page_of_one_frame_works_in_a_browser(still: Path, tmp_path: Path) -> None:
    find_browser()
    report = write_report(still, out=tmp_path / "still.html")
    with Browser() as browser:
        browser.open(report.path.as_uri())
        browser.ask("document.querySelector('#numbers').click()")
        assert browser.ask("document.querySelectorAll('#marks .number').length") > 0
        browser.ask("document.querySelector('#draw').click()")
        assert browser.ask("document.querySelector('#stage').classList.contains('no-outlines')")
        browser.ask("[...document.querySelectorAll('.look')].at(-1).click()")
        assert browser.ask("document.querySelectorAll('#marks .ring').length") == 2
        browser.press("ArrowRight")
        assert browser.ask("document.querySelectorAll('#marks .ring').length") == 2
        assert browser.ask("document.querySelector('#strip').offsetHeight") == 0
        for width in (1280, 390):
            browser.resize(width, 844)
            assert browser.ask("document.documentElement.scrollWidth") <= width
        assert browser.pdf(tmp_path / "still.pdf").stat().st_size > 10_000
        assert not browser.complaints


def test_a_ring_lies_on_its_nucleus(segmented: tuple[Path, Summary]) -> None:
    source = open_footage(f"{segmented[0]}/labels/nuclei", None).labels
    table = open_result(segmented[0]).table()
    row = table[(table["t"] == 0)].sort_values("volume_voxels").iloc[-1]
    labels = source.read(0, Box.of_shape(source.frame_shape))
    strip = take_strip(open_footage(f"{segmented[0]}/labels/nuclei", None))
    (left, top), _ = strip.layout.places((row["z"], row["y"], row["x"]), source.frame_shape)
    width = strip.layout.size[1]
    x, y = left * width / strip.layout.top[1], top
    inside = labels[:, int(y * labels.shape[1]), int(x * labels.shape[2])]
    assert row["label"] in np.unique(inside)
