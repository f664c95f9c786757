"""Exports are read back unchanged by the programs they are for."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from click.testing import Result

from commandline import invoke
from runs import inputs, labels_of, run, tree
from tlseg.cli.export import command
from tlseg.errors import LabelError, MovieError, RunError
from tlseg.report.criteria_files import write_criteria
from tlseg.report.export import export
from tlseg.report.overlay import time_stamp
from tlseg.report.write import write_report
from tlseg.run.linking.labels import link_labels
from tlseg.store.export import api as module
from tlseg.store.export.formats import FORMATS, Format
from tlseg.store.image.movie import open_source
from tlseg.store.labels.label_movie import open_label_movie
from tlseg.store.labels.label_writer import create_labels
from tlseg.store.labels.movie_time import MovieTime, movie_time
from tlseg.store.labels.points import EXACT
from tlseg.store.labels.result import open_result
from tlseg.store.labels.table_writer import write_table
from tlseg.store.labels.tables import read_table
from tlseg.store.labels.tracks import read_tracks

FRAMES = 3


def cli(*arguments: object) -> Result:
    return invoke(command, *arguments)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A movie segmented by the whole pipeline, with a copy of its image."""
    folder = tmp_path_factory.mktemp("export")
    movie, model = inputs(folder, FRAMES)
    run(movie, model, out=folder / "result.ome.zarr")
    return folder / "result.ome.zarr"


@pytest.fixture
def family(result: Path, tmp_path: Path) -> Path:
    """Labels by hand: 1 is missing in frame 1, 2 divides into 3 and 70,000 in frame 2; no image."""
    pixels = np.zeros((3, 24, 48, 48), np.uint32)
    pixels[[0, 2], 2:6, 2:8, 2:8] = 1
    pixels[:2, 10:14, 20:30, 20:30] = 2
    pixels[2, 10:14, 20:30, 15:22], pixels[2, 10:14, 20:30, 28:35] = 3, 70_000
    root = tmp_path / "family.ome.zarr"
    writer = create_labels(root, source=open_source(result))
    for t, frame in enumerate(pixels):
        for box in writer.regions:
            writer.write(t, box, frame[box.slices])
    rows = [(0, 1, 0), (0, 2, 0), (1, 2, 0), (2, 1, 0), (2, 3, 2), (2, 70_000, 2)]
    table = pd.DataFrame(rows, columns=["t", "label", "parent"])
    write_table(root, "nuclei", [table.assign(track=table["label"], lineage=table["label"], z=0.0, y=0.0, x=0.0)])
    writer.finish(source=None)
    return root


def test_every_format_is_offered_and_described() -> None:
    said = cli("--help").stdout
    assert list(FORMATS) == list(get_args(Format))
    assert all(re.search(rf"^  {name} +{about.holds}$", said, re.MULTILINE) for name, about in FORMATS.items())
    assert len({about.ends for about in FORMATS.values()}) == len(FORMATS)


# --- Cell Tracking Challenge


def test_ctc_is_valid_for_its_own_tools_and_scores_one(result: Path, tmp_path: Path) -> None:
    from ctc_metrics.scripts.evaluate import evaluate_sequence
    from ctc_metrics.scripts.validate import validate_sequence

    done = export(result, "ctc", out=tmp_path / "01_RES")
    assert done.items == read_table(result, "nuclei")["track"].nunique()
    assert validate_sequence(done.path, threads=1) == {"Valid": 1}
    truth = tmp_path / "01_GT" / "TRA"
    truth.mkdir(parents=True)
    for file in Path(done.path).iterdir():
        renamed = file.name.replace("mask", "man_track").replace("res_track", "man_track")
        (truth / renamed).write_bytes(file.read_bytes())
    scores = evaluate_sequence(done.path, str(tmp_path / "01_GT"), ["Valid", "DET", "TRA"], threads=1)
    assert (scores["DET"], scores["TRA"]) == (1, 1)


def test_ctc_holds_the_same_nuclei_under_the_same_numbers(result: Path, tmp_path: Path) -> None:
    done = export(result, "ctc", out=tmp_path / "01_RES")
    movie = open_label_movie(done.path)
    assert movie.spacing_um == pytest.approx(open_source(result).spacing_um)
    pixels = labels_of(result)
    table = read_table(result, "nuclei")
    whole = table.groupby("track")["t"].agg(lambda t: t.max() - t.min() + 1 == len(t))
    assert whole.any()
    for t in range(FRAMES):
        file = tifffile.imread(tmp_path / "01_RES" / f"mask{t:03d}.tif")
        assert file.dtype == np.uint16
        for track in whole.index[whole]:
            np.testing.assert_array_equal(file == track, pixels[t] == track)
        np.testing.assert_array_equal(file > 0, pixels[t] > 0)


def test_ctc_division_and_gap_reach_traccuracy(family: Path, tmp_path: Path) -> None:
    from traccuracy.loaders import load_ctc_data

    done = export(family, "ctc", out=tmp_path / "01_RES")
    assert done.items == 5
    assert "1 gap became" in done.notes[0]
    assert (tmp_path / "01_RES" / "res_track.txt").read_text() == "1 0 0 0\n2 0 1 0\n3 2 2 1\n4 2 2 2\n5 2 2 2\n"
    graph = load_ctc_data(done.path, str(tmp_path / "01_RES" / "res_track.txt"), run_checks=True)
    edges = {tuple(graph.nodes[n]["segmentation_id"] for n in edge) for edge in graph.edges}
    assert edges == {(1, 3), (2, 2), (2, 4), (2, 5)}


@pytest.mark.parametrize("kind", FORMATS)
def test_a_url_is_no_place_for_an_export(
    result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli(result, "--format", kind, "--out", "s3://bucket/out")
    assert done.exit_code == 2
    assert "not to s3://bucket/out" in done.stderr
    assert not list(tmp_path.iterdir())


def test_ctc_refuses_labels_its_table_does_not_know(family: Path, tmp_path: Path) -> None:
    table = read_table(family, "nuclei")
    write_table(family, "nuclei", [table[table["label"] != 3]], overwrite=True)
    with pytest.raises(LabelError, match="Label 3 of frame 2 is not in the table"):
        export(family, "ctc", out=tmp_path / "01_RES")
    assert not any(tmp_path.glob("*01_RES*"))


# --- TIFF


def test_tiff_opens_in_imagej_with_its_spacing(result: Path, tmp_path: Path) -> None:
    done = export(result, "tiff", out=tmp_path / "stacks")
    files = sorted(Path(done.path).iterdir())
    assert [f.name for f in files] == [f"nuclei_t{t:04d}.tif" for t in range(FRAMES)]
    for t, file in enumerate(files):
        with tifffile.TiffFile(file) as tif:
            assert tif.is_imagej
            assert tif.imagej_metadata is not None
            assert (tif.imagej_metadata["unit"], tif.imagej_metadata["spacing"]) == ("um", 1.6)
            y, x = (tif.pages[0].tags[tag].value for tag in ("YResolution", "XResolution"))
            assert (y[1] / y[0], x[1] / x[0]) == (pytest.approx(0.8), pytest.approx(0.8))
            assert (tif.series[0].axes, tif.series[0].dtype) == ("ZYX", np.uint16)
            np.testing.assert_array_equal(tif.asarray(), labels_of(result)[t])


def test_large_labels_become_uint32_ome_tiff(family: Path, tmp_path: Path) -> None:
    done = export(family, "tiff", out=tmp_path / "stacks")
    file = Path(done.path) / "nuclei_t0002.ome.tif"
    with tifffile.TiffFile(file) as tif:
        assert tif.is_ome
        assert tif.series[0].dtype == np.uint32
        np.testing.assert_array_equal(tif.asarray(), labels_of(family)[2])
    assert open_label_movie(done.path).spacing_um == pytest.approx((1.6, 0.8, 0.8))


def test_labels_edited_by_hand_are_exported_as_they_are(result: Path, tmp_path: Path) -> None:
    """They are not in the table, and do not fit into 16 bits."""
    edited = tmp_path / "edited.ome.zarr"
    shutil.copytree(result, edited)
    pixels = zarr.open_group(edited, mode="r+")["labels/nuclei/0"]
    pixels[1, 3, 4, 5] = 70_001
    assert read_table(edited, "nuclei")["label"].max() < 65_536
    files = sorted(Path(export(edited, "tiff", out=tmp_path / "stacks").path).iterdir())
    np.testing.assert_array_equal(np.stack([tifffile.imread(file) for file in files]), pixels[:])


# --- tables


def test_csv_names_units_and_keeps_every_number(result: Path, tmp_path: Path) -> None:
    done = export(result, "csv", out=tmp_path / "table.csv")
    table, csv = read_table(result, "nuclei"), pd.read_csv(done.path, **EXACT)
    assert list(csv.columns[:4]) == ["label", "t_frames", "time_s", "z_voxels"]
    assert {"volume_um3", "intensity_mean_grey", "bbox_x1_voxels"} <= set(csv.columns)
    np.testing.assert_array_equal(csv["time_s"], table["t"] * 60.0)
    csv = csv.drop(columns="time_s").set_axis(table.columns, axis=1)
    pd.testing.assert_frame_equal(csv, table, check_dtype=False, rtol=1e-11)
    numbers = re.findall(r"\d+\.\d+", Path(done.path).read_text())
    assert numbers
    assert max(len(number.replace(".", "").lstrip("0")) for number in numbers) <= 12
    assert done.items == len(table)


def test_a_table_with_a_comma_in_a_name_is_replaced(result: Path, tmp_path: Path) -> None:
    own = shutil.copytree(result, tmp_path / "result.ome.zarr")
    write_table(own, "nuclei", read_table(own, "nuclei").assign(**{"score, by hand": 1.0}), overwrite=True)
    for _ in range(2):
        export(own, "csv", out=tmp_path / "table.csv", overwrite=True)
    assert pd.read_csv(tmp_path / "table.csv").columns[-1] == "score, by hand"


def test_napari_takes_the_tracks(result: Path, tmp_path: Path) -> None:
    tracks = pytest.importorskip("napari.layers").Tracks
    path = export(result, "napari", out=tmp_path / "tracks.csv").path
    rows = pd.read_csv(path, **EXACT)
    assert list(rows.columns) == ["track_id", "t", "z", "y", "x", "parent", "lineage"]
    layer = tracks(rows[["track_id", "t", "z", "y", "x"]].to_numpy())
    table = read_table(result, "nuclei").sort_values(["track", "t"])
    np.testing.assert_allclose(layer.data, table[["track", "t", "z", "y", "x"]], rtol=1e-11)


# --- GEFF


def test_geff_stands_alone(result: Path, tmp_path: Path) -> None:
    from geff import GeffMetadata, validate_structure

    done = export(result, "geff", out=tmp_path / "tracks.geff")
    validate_structure(done.path)
    assert GeffMetadata.read(done.path).related_objects is None
    for ours, theirs in zip(read_tracks(done.path), read_tracks(result), strict=True):
        pd.testing.assert_frame_equal(ours, theirs, check_like=True)
    assert GeffMetadata.read(result / "tracks.geff").related_objects
    assert done.items == len(read_table(result, "nuclei"))


# --- OME-Zarr 0.4


def test_ome_zarr_04_is_valid_and_equal(result: Path, tmp_path: Path) -> None:
    from ome_zarr_models.v04.image import Image
    from ome_zarr_models.v04.image_label import ImageLabel

    done = export(result, "ome-zarr-0.4", out=tmp_path / "old.ome.zarr")
    group = zarr.open_group(done.path, mode="r")
    image = Image.from_zarr(group)
    assert image.labels is not None
    assert image.labels.attributes.labels == ["nuclei"]
    label = ImageLabel.from_zarr(zarr.open_group(f"{done.path}/labels/nuclei", mode="r"))
    assert label.attributes.image_label.source is not None
    assert label.attributes.image_label.source.image == "../../"
    for path in ("", "labels/nuclei/"):
        new = open_source(f"{done.path}/{path}".rstrip("/"))
        old = open_source(f"{result}/{path}".rstrip("/"))
        assert new.version == "0.4"
        for same in ("axes", "shape", "spacing_um", "translation_um", "interval_s", "level_shapes", "channel_names"):
            assert getattr(new, same) == getattr(old, same), same
        for level in range(len(old.level_shapes)):
            array = group[f"{path}{level}"]
            assert isinstance(array, zarr.Array)
            assert array.metadata.zarr_format == 2
            assert array.metadata.dimension_separator == "/"
            np.testing.assert_array_equal(array[:], zarr.open_array(f"{result}/{path}{level}", mode="r")[:])
    assert not list(Path(done.path).rglob("zarr.json"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_ome_zarr_py_reads_both(result: Path, tmp_path: Path) -> None:
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    done = export(result, "ome-zarr-0.4", out=tmp_path / "old.ome.zarr")
    location = parse_url(done.path)
    assert location is not None
    nodes = [node for node in Reader(location)() if node.data]
    assert len(nodes) == 2
    np.testing.assert_array_equal(np.asarray(nodes[0].data[0]), zarr.open_array(result / "0", mode="r")[:])
    np.testing.assert_array_equal(np.asarray(nodes[1].data[0]), labels_of(result))


def test_a_result_without_image_exports_its_labels(family: Path, tmp_path: Path) -> None:
    done = export(family, "ome-zarr-0.4", out=tmp_path / "old.ome.zarr")
    assert "no image" in done.notes[0]
    old = zarr.open_array(tmp_path / "old.ome.zarr" / "labels" / "nuclei" / "0", mode="r")
    np.testing.assert_array_equal(old[:], labels_of(family))


def test_ome_zarr_04_is_exported_to_the_same_files(result: Path, tmp_path: Path) -> None:
    once, twice = tmp_path / "once.ome.zarr", tmp_path / "twice.ome.zarr"
    export(result, "ome-zarr-0.4", out=once)
    export(once, "ome-zarr-0.4", out=twice)
    files = {file.relative_to(once): file.read_bytes() for file in once.rglob("*") if file.is_file()}
    assert {file.relative_to(twice): file.read_bytes() for file in twice.rglob("*") if file.is_file()} == files


# --- every format


@pytest.mark.parametrize("kind", FORMATS)
def test_nothing_is_replaced_unasked_and_the_result_is_untouched(result: Path, tmp_path: Path, kind: Any) -> None:
    before = tree(result)
    out = tmp_path / f"out{'.csv' if kind in ('csv', 'napari') else '.zarr'}"
    export(result, kind, out=out)
    with pytest.raises(LabelError, match="--overwrite"):
        export(result, kind, out=out)
    export(result, kind, out=out, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == [out.name]
    assert tree(result) == before


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_no_export_is_never_replaced(result: Path, tmp_path: Path, kind: Any) -> None:
    other = tmp_path / "precious"
    zarr.create_group(other / "sub")
    with pytest.raises(LabelError, match="is not an export in this format"):
        export(result, kind, out=other, overwrite=True)
    for near in (result, result / "inside", result.parent):
        with pytest.raises(LabelError, match="lies inside the other"):
            export(result, kind, out=near, overwrite=True)
    assert (other / "sub" / "zarr.json").is_file()


@pytest.mark.parametrize("kind", FORMATS)
def test_what_only_looks_like_an_export_is_never_replaced(result: Path, tmp_path: Path, kind: Any) -> None:
    precious = tmp_path / f"precious{'.csv' if kind in ('csv', 'napari') else ''}"
    match kind:
        case "csv" | "napari":
            precious.write_text("label,t,z,y,x\n1,0,0,0,0\n")
        case "criteria":
            export(result, kind, out=precious)
            (precious / "tracks.csv").write_text("t,count\n")
        case "geff":
            shutil.copytree(result / "tracks.geff", precious)
        case "ome-zarr-0.4":
            zarr.create_group(precious, zarr_format=2, attributes={"multiscales": []})
        case _:
            export(result, kind, out=precious)
            theirs = next(file for file in sorted(precious.iterdir()) if file.suffix == ".tif")
            tifffile.imwrite(theirs, np.ones((4, 5), np.uint16))  # corrected by hand, and saved by another program
    before = tree(precious) if precious.is_dir() else precious.read_bytes()
    with pytest.raises(LabelError, match="is not an export in this format"):
        export(result, kind, out=precious, overwrite=True)
    assert (tree(precious) if precious.is_dir() else precious.read_bytes()) == before


@pytest.mark.parametrize("kind", ["geff", "ome-zarr-0.4"])
@pytest.mark.parametrize("text", ["{", "[]", '{"geff": {"extra": 1}}'])
def test_a_target_with_damaged_attributes_is_no_export(result: Path, tmp_path: Path, kind: Any, text: str) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / ".zattrs").write_text(text)
    with pytest.raises(LabelError, match="is not an export in this format"):
        export(result, kind, out=tmp_path / "broken", overwrite=True)


def test_a_graph_for_which_there_is_no_space_is_one_line(
    result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        raise shutil.Error([(f"{source}/{name}", f"{target}/{name}", "No space left on device") for name in "ab"])

    monkeypatch.setattr("tlseg.store.fs.place.shutil.copytree", full)
    with pytest.raises(RunError, match=r"tracks\.geff cannot be written .*No space left.* Free space") as raised:
        export(result, "geff", out=tmp_path / "tracks.geff")
    assert str(raised.value).count("No space left") == 1
    assert not any(tmp_path.iterdir())


def test_a_graph_that_can_no_longer_be_marked_is_no_damaged_one(
    result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("geff.GeffMetadata.write", full)
    with pytest.raises(RunError, match=r"tracks\.geff cannot be written \(No space left"):
        export(result, "geff", out=tmp_path / "tracks.geff")


def test_a_damaged_graph_is_named_where_it_is(result: Path, tmp_path: Path) -> None:
    shutil.copytree(result, tmp_path / "damaged.ome.zarr")
    (tmp_path / "damaged.ome.zarr/tracks.geff/nodes/ids/0").write_bytes(b"")
    with pytest.raises(LabelError, match=r"damaged\.ome\.zarr/tracks\.geff cannot be read as a GEFF graph"):
        export(tmp_path / "damaged.ome.zarr", "geff", out=tmp_path / "tracks.geff")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_result_without_nuclei_is_exported(tmp_path: Path, kind: Any) -> None:
    tifffile.imwrite(tmp_path / "none.tif", np.zeros((2, 5, 40, 50), np.uint16), imagej=True, metadata={"axes": "TZYX"})
    link_labels(tmp_path / "none.tif", out=tmp_path / "empty.ome.zarr", spacing_um=(1.0, 0.5, 0.25))
    assert export(tmp_path / "empty.ome.zarr", kind).frames == 2


def test_a_failed_export_leaves_the_earlier_one(result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "stacks"
    export(result, "tiff", out=out)
    before = tree(out)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tifffile, "imwrite", full)
    with pytest.raises(RunError, match="No space left"):
        export(result, "tiff", out=out, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["stacks"]
    assert tree(out) == before


def test_what_came_while_an_export_was_written_is_not_replaced(
    result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "table.csv"
    write = module.write_csv

    def slowly(*args: Any, **options: Any) -> Any:
        out.write_text("mine")
        return write(*args, **options)

    monkeypatch.setattr(module, "write_csv", slowly)
    with pytest.raises(LabelError, match="is not an export in this format"):
        export(result, "csv", out=out, overwrite=True)
    assert out.read_text() == "mine"


def test_command_line_says_what_it_wrote(result: Path, tmp_path: Path) -> None:
    found = cli(result, "--format", "csv", "--out", tmp_path / "a.csv", "--json")
    assert found.exit_code == 0, found.output
    said = json.loads(found.stdout)
    assert (said["format"], said["unit"], said["items"]) == ("csv", "rows", len(read_table(result, "nuclei")))
    assert "rows" in cli(result, "--format", "csv", "--out", tmp_path / "b.csv").stdout
    bad = cli(result, "--format", "csv", "--name", "cells")
    assert bad.exit_code == 2
    assert "has no finished labels 'cells'; it has nuclei" in bad.stderr
    assert cli(result, "--format", "xml").exit_code == 2
    missing = cli(tmp_path / "none", "--format", "csv")
    assert (missing.exit_code, "does not exist" in missing.stderr) == (2, True)


def test_criteria_leave_out_frames_that_were_not_segmented(result: Path, tmp_path: Path) -> None:
    part = shutil.copytree(result, tmp_path / "part.ome.zarr")
    record = part / "tlseg" / "nuclei" / "run.json"
    said = json.loads(record.read_text())
    said["fingerprint"]["frames"] = [1, FRAMES]
    record.write_text(json.dumps(said))
    assert cli(part, "--format", "criteria", "--out", tmp_path / "c").exit_code == 0
    assert pd.read_csv(tmp_path / "c" / "frames.csv")["t"].tolist() == list(range(1, FRAMES))


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames 1 and 2 of a movie that begins an hour after its time 0, segmented apart from it."""
    folder = tmp_path_factory.mktemp("part")
    movie, model = inputs(folder, FRAMES)
    attributes = json.loads((movie / "zarr.json").read_text())
    for dataset in attributes["attributes"]["ome"]["multiscales"][0]["datasets"]:
        shift = next((s for s in dataset["coordinateTransformations"] if s["type"] == "translation"), None)
        if shift is None:
            shift = {"type": "translation", "translation": [0.0] * 4}
            dataset["coordinateTransformations"].append(shift)
        shift["translation"][0] = 3600.0
    (movie / "zarr.json").write_text(json.dumps(attributes))
    run(movie, model, out=folder / "result.ome.zarr", frames="1:3")
    return folder / "result.ome.zarr"


def test_people_read_the_numbers_and_times_of_the_movie(part: Path, tmp_path: Path) -> None:
    labels = open_result(part).labels
    seconds = labels.t.to_numpy().tolist()
    interval = seconds[1] - seconds[0]
    assert seconds == [3600 + interval, 3600 + 2 * interval]

    rows = pd.read_csv(export(part, "csv", out=tmp_path / "rows.csv").path)
    assert sorted(set(zip(rows["t_frames"], rows["time_s"], strict=True))) == list(zip([1, 2], seconds, strict=True))

    criteria = Path(export(part, "criteria", out=tmp_path / "criteria").path)
    frames, tracks = (pd.read_csv(criteria / f"{name}.csv") for name in ("frames", "tracks"))
    assert (frames["t"].tolist(), frames["t_s"].tolist()) == ([1, 2], seconds)
    assert (tracks["first"].min(), tracks["last"].max()) == (1, 2)

    stacks = Path(export(part, "tiff", out=tmp_path / "stacks").path)
    assert sorted(file.name for file in stacks.iterdir()) == ["nuclei_t0001.tif", "nuclei_t0002.tif"]
    assert export(part, "tiff", out=tmp_path / "stacks", overwrite=True).frames == 2

    page = write_report(part, out=tmp_path / "report.html").path.read_text()
    assert f"frame 1 · {time_stamp(1, interval_s=interval, start_s=3600)}" in page
    assert "frame 0" not in page


def test_labels_alone_are_numbered_by_their_times(family: Path, tmp_path: Path) -> None:
    """A linked label movie has no record of which frames a run segmented."""
    source = replace(open_source(f"{family}/labels/nuclei"), start_s=600.0, interval_s=60.0)
    assert movie_time(source, open_result(family)) == MovieTime(10, 600.0, 60.0)
    assert movie_time(replace(source, interval_s=None), open_result(family)).first == 0


def test_programs_count_from_the_first_frame_of_the_labels(part: Path, tmp_path: Path) -> None:
    assert sorted(set(read_table(str(part), "nuclei")["t"])) == [0, 1]
    masks = Path(export(part, "ctc", out=tmp_path / "ctc").path)
    assert sorted(file.name for file in masks.glob("mask*")) == ["mask000.tif", "mask001.tif"]
    assert sorted(set(pd.read_csv(export(part, "napari", out=tmp_path / "n.csv").path)["t"])) == [0, 1]


def test_criteria_are_those_of_the_table_and_replace_only_criteria(result: Path, tmp_path: Path) -> None:
    said = cli(result, "--format", "criteria", "--out", tmp_path / "c", "--json")
    assert said.exit_code == 0
    table = read_table(str(result), "nuclei")
    frames = pd.read_csv(tmp_path / "c" / "frames.csv")
    assert frames["count"].tolist() == np.bincount(table["t"], minlength=FRAMES).tolist()
    np.testing.assert_allclose(frames["volume_um3_sum"], table.groupby("t")["volume_um3"].sum())
    written = json.loads(said.stdout)
    assert written["tables"]["tracks"] == table["track"].nunique()
    assert (written["unit"], written["items"]) == ("rows", sum(written["tables"].values()))
    assert written["tables"] == write_criteria(open_result(result), out=tmp_path / "d").rows

    again = cli(result, "--format", "criteria", "--out", tmp_path / "c")
    assert again.exit_code == 2
    assert cli(result, "--format", "criteria", "--out", tmp_path / "c", "--overwrite").exit_code == 0
    (tmp_path / "c" / "tracks.csv").write_text("t,count\n")
    assert cli(result, "--format", "criteria", "--out", tmp_path / "c", "--overwrite").exit_code == 2
    (tmp_path / "c" / "mine.csv").write_text("kept")
    assert cli(result, "--format", "criteria", "--out", tmp_path / "c", "--overwrite").exit_code == 2
    assert (tmp_path / "c" / "mine.csv").read_text() == "kept"


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_counts_what_is_done(result: Path, tmp_path: Path, kind: Any) -> None:
    said = cli(result, "--format", kind, "--out", tmp_path / "out.ome.zarr")
    done, total = said.stderr.split("export: ")[1].split()[0].split("/")
    assert done == total


@pytest.mark.parametrize("kind", FORMATS)
def test_a_result_that_is_open_is_exported_as_its_path_is(result: Path, tmp_path: Path, kind: Any) -> None:
    opened, given = (export(it, kind, out=tmp_path / n) for it, n in ((open_result(result), "a"), (result, "b")))
    assert opened.to_dict() | {"path": given.path} == given.to_dict()
    with pytest.raises(LabelError, match="no finished labels 'cells'"):
        export(open_result(result), kind, out=tmp_path / "c", name="cells")


def test_without_out_it_lies_beside_the_result(result: Path) -> None:
    path = Path(export(result, "csv").path)
    assert path == result.parent / "result-nuclei.csv"
    path.unlink()
    with pytest.raises(MovieError):
        export(result.parent / "none.ome.zarr", "csv")


@pytest.mark.parametrize("kind", FORMATS)
def test_2d_results_are_exported_as_planes(tmp_path: Path, kind: Any) -> None:
    movie = np.zeros((2, 40, 50), np.uint16)
    movie[0, 5:12, 6:14], movie[1, 6:13, 7:14] = 9, 4
    (tmp_path / "planes").mkdir()
    for t, plane in enumerate(movie):
        tifffile.imwrite(tmp_path / "planes" / f"{t}.tif", plane)
    root = tmp_path / "flat.ome.zarr"
    link_labels(tmp_path / "planes", out=root, spacing_um=(0.5, 0.25))
    path = Path(export(root, kind).path)
    expected = (movie > 0).astype(np.uint16)
    if kind in ("ctc", "tiff"):
        files = sorted(path.glob("*.tif"))
        np.testing.assert_array_equal(np.stack([tifffile.imread(f) for f in files]), expected)
        assert open_label_movie(path).spacing_um == pytest.approx((1.0, 0.5, 0.25))
    elif kind == "ome-zarr-0.4":
        np.testing.assert_array_equal(zarr.open_array(path / "labels/nuclei/0", mode="r")[:], expected)
    elif kind == "napari":
        assert list(pd.read_csv(path).columns) == ["track_id", "t", "y", "x", "parent", "lineage"]
    elif kind == "csv":
        assert pd.read_csv(path)["volume_voxels"].tolist() == [56, 49]
    elif kind == "criteria":
        assert pd.read_csv(path / "frames.csv")["count"].tolist() == [1, 1]
    else:
        assert read_tracks(path)[0]["y_um"].tolist() == pytest.approx([4.0, 4.5])
