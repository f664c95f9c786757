"""Labels from any source: tracks do not depend on their numbers, their file format, or how they are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from click.testing import CliRunner, Result

from commandline import invoke
from handmade import write_movie
from runs import essence, inputs, labels_of, run, same_up_to_numbers, tree
from tlseg.cli import main
from tlseg.cli.link import command
from tlseg.errors import LabelError, MovieError, PlanError
from tlseg.evaluate.api import evaluate
from tlseg.link.settings import LinkSettings
from tlseg.report.write import write_report
from tlseg.run.linking import tracking as module
from tlseg.run.linking.labels import link_labels
from tlseg.run.watch.status import run_status
from tlseg.store.image.movie import open_source
from tlseg.store.labels.label_group import existing_labels
from tlseg.store.labels.label_writer import create_labels
from tlseg.store.labels.result import open_result
from tlseg.store.labels.tables import read_table
from tlseg.store.labels.tracks import read_tracks

SPACING = (1.6, 0.8, 0.8)
TABLE_OF_PLACE = ["t", "z", "y", "x", "volume_voxels", "surface_um2", "track"]


def cli(*arguments: object) -> Result:
    try:
        runner = CliRunner(mix_stderr=False)
    except TypeError:  # click 8.2 keeps the streams apart
        runner = CliRunner()
    return runner.invoke(command, [str(a) for a in arguments])


def truth(frames: int = 7) -> np.ndarray:
    """Tracked labels (t, z, y, x): two drift, one of them is missing in frame 3, and 3 divides into 4 and 5 at 5."""
    movie = np.zeros((frames, 12, 48, 48), np.uint32)
    for t in range(frames):
        movie[t, 1:5, 4 + t : 12 + t, 4:12] = 1
        if t != 3:
            movie[t, 6:10, 4:12, 20 + t : 28 + t] = 2
        if t < 5:
            movie[t, 2:8, 26:36, 26:38] = 3
        else:
            movie[t, 2:8, 26:36, 23 - t + 5 : 30 - t + 5] = 4
            movie[t, 2:8, 26:36, 33 + t - 5 : 40 + t - 5] = 5
    return movie


def scrambled(movie: np.ndarray, *, largest: int = 3_000_000_000) -> np.ndarray:
    """The same nuclei under numbers that are drawn anew in each frame."""
    out, generator = np.zeros_like(movie), np.random.default_rng(1)
    for t, frame in enumerate(movie):
        for label in np.unique(frame[frame > 0]):
            out[t][frame == label] = generator.integers(1, largest)
    return out


def write_labels(root: Path, movie: np.ndarray, *, name: str = "cells") -> Path:
    """Add labels to an OME-Zarr image, made where absent."""
    if not root.exists():
        write_movie(root, np.where(movie > 0, 700, 90).astype(np.uint16))
    writer = create_labels(root, name=name, source=open_source(root))
    for t, frame in enumerate(movie):
        for box in writer.regions:
            writer.write(t, box, frame[box.slices])
    writer.finish()
    return root


def write_tiffs(folder: Path, movie: np.ndarray, name: str = "frame{:d}.tif", **settings: Any) -> Path:
    folder.mkdir()
    for t, frame in enumerate(movie):
        tifffile.imwrite(folder / name.format(t), frame, **settings)
    return folder


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OME-Zarr movie with scrambled labels `cells`."""
    return write_labels(tmp_path_factory.mktemp("given") / "movie.ome.zarr", scrambled(truth()))


@pytest.fixture(scope="module")
def linked(given: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("linked") / "out.ome.zarr"
    link_labels(given, out=out)
    return out


def test_tracks_are_found_again_whatever_the_numbers_were(linked: Path) -> None:
    assert same_up_to_numbers(labels_of(linked, "cells"), truth())
    nodes, edges = read_tracks(linked)
    assert nodes["track"].nunique() == 5
    assert edges["kind"].value_counts().to_dict() == {"link": 16, "gap": 1, "division": 2}
    assert (nodes["label"] == nodes["track"]).all()


@pytest.mark.parametrize("block", [(0, 1, 1), (4, 4), (4, 4, 4.5)])
def test_a_block_that_is_none_is_refused_before_anything_is_written(given: Path, tmp_path: Path, block: Any) -> None:
    with pytest.raises(PlanError, match="Expected three whole numbers of voxels"):
        link_labels(given, out=tmp_path / "out.ome.zarr", block=block)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("block", [(12, 48, 48), (4, 16, 16), (5, 7, 11)])
def test_the_result_is_the_same_for_any_block(given: Path, linked: Path, tmp_path: Path, block: Any) -> None:
    link_labels(given, out=tmp_path / "out.ome.zarr", block=block)
    assert essence(tmp_path / "out.ome.zarr", "cells") == essence(linked, "cells")


def test_regions_of_many_shards_make_no_difference(
    given: Path, linked: Path, tmp_path: Path, small_regions: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tlseg.run.linking.tasks.SLAB_VOXELS", 1)
    link_labels(given, out=tmp_path / "out.ome.zarr")
    np.testing.assert_array_equal(labels_of(tmp_path / "out.ome.zarr", "cells"), labels_of(linked, "cells"))
    np.testing.assert_array_equal(
        zarr.open_array(tmp_path / "out.ome.zarr/0", mode="r")[:], zarr.open_array(given / "0", mode="r")[:]
    )


@pytest.mark.parametrize("interval_s", [0.0, np.nan])
def test_an_interval_that_is_no_time_stops_before_anything_is_written(
    given: Path, tmp_path: Path, interval_s: float
) -> None:
    with pytest.raises(LabelError, match="interval_s is"):
        link_labels(given, out=tmp_path / "out.ome.zarr", interval_s=interval_s)
    assert not list(tmp_path.iterdir())


def test_complex_numbers_are_no_labels(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "c.tif", np.ones((4, 5, 6), np.complex64), photometric="minisblack")
    with pytest.raises(LabelError, match="values of type complex64"):
        link_labels(tmp_path / "c.tif", out=tmp_path / "out.ome.zarr", spacing_um=(1, 1, 1))


def as_label_image(folder: Path, movie: np.ndarray) -> Path:
    return write_labels(folder / "m.ome.zarr", movie) / "labels" / "cells"


def as_tiff_folder(folder: Path, movie: np.ndarray) -> Path:
    return write_tiffs(folder / "stacks", movie)


def as_one_tiff(folder: Path, movie: np.ndarray) -> Path:
    tifffile.imwrite(folder / "movie.tif", movie, metadata={"axes": "TZYX"})
    return folder / "movie.tif"


def as_float_tiffs(folder: Path, movie: np.ndarray) -> Path:
    return write_tiffs(folder / "floats", movie.astype(np.float64))


def as_challenge(folder: Path, movie: np.ndarray) -> Path:
    return write_tiffs(folder / "01_RES", movie, "mask{:03d}.tif")


def as_bare_array(folder: Path, movie: np.ndarray) -> Path:
    array = zarr.create_array(folder / "a.zarr", shape=movie.shape, chunks=(1, 5, 20, 20), dtype="int64")
    array[:] = movie
    return folder / "a.zarr"


@pytest.mark.parametrize(
    "write", [as_label_image, as_tiff_folder, as_one_tiff, as_float_tiffs, as_challenge, as_bare_array]
)
def test_every_format_gives_the_same_tracks(
    linked: Path, tmp_path: Path, write: Callable[[Path, np.ndarray], Path]
) -> None:
    out = tmp_path / "out.ome.zarr"
    path = write(tmp_path, scrambled(truth()))
    done = link_labels(path, out=out, name="cells", spacing_um=SPACING, interval_s=60.0)
    np.testing.assert_array_equal(labels_of(out, "cells"), labels_of(linked, "cells"))
    a, b = (read_table(root, "cells")[TABLE_OF_PLACE] for root in (out, linked))
    pd.testing.assert_frame_equal(a, b)
    assert done.tracks == 5
    assert ("intensity_mean" in read_table(out, "cells")) == (write is as_label_image)


def test_a_result_opens_and_says_how_it_was_made(given: Path, linked: Path) -> None:
    result = open_result(linked, name="cells")
    assert result.image is not None
    np.testing.assert_array_equal(result.image.values, open_result(given, name="cells").image.values)  # type: ignore[union-attr]
    assert result.labels.attrs["interval_s"] == 60.0
    assert result.record["complete"]
    assert (result.record["gaps"], result.record["divisions"]) == (1, 1)
    assert result.record["fingerprint"]["link"]["max_gap"] == 3
    table = result.table()
    assert set(table["seed"]) == {"given"}
    np.testing.assert_array_equal(table["intensity_mean"], 700)
    assert not (linked / "tlseg" / "cells" / "linking.json").exists()


def test_evaluation_finds_nothing_wrong(linked: Path, tmp_path: Path) -> None:
    tracked = write_tiffs(tmp_path / "TRA", truth().astype(np.uint16), "man_track{:03d}.tif")
    (tracked / "man_track.txt").write_text("1 0 6 0\n2 0 6 0\n3 0 4 0\n4 5 6 3\n5 5 6 3\n")
    scores = evaluate(linked / "labels" / "cells", tracked)
    assert scores.tracking is not None
    assert (scores.pooled.seg, scores.tracking.tra, scores.tracking.lnk) == (1, 1, 1)


def test_validators_accept_the_result(linked: Path) -> None:
    from geff import validate_structure
    from ome_zarr_models.v05.image import Image

    image = Image.from_zarr(zarr.open_group(linked, mode="r"))
    assert image.ome_attributes.multiscales
    validate_structure(linked / "tracks.geff")


def test_settings_are_obeyed(given: Path, tmp_path: Path) -> None:
    def kinds(**settings: Any) -> dict[str, int]:
        out = tmp_path / f"{len(list(tmp_path.iterdir()))}.ome.zarr"
        done = link_labels(given, out=out, image=False, settings=LinkSettings(**settings))
        assert not (out / "0").exists()
        return {"gaps": done.gaps, "divisions": done.divisions}

    assert kinds() == {"gaps": 1, "divisions": 1}
    assert kinds(max_gap=0) == {"gaps": 0, "divisions": 1}
    assert kinds(divisions=False)["divisions"] == 0


# --- what movies may be


def test_planes_are_a_2d_result(tmp_path: Path) -> None:
    movie = truth().max(axis=1)
    path = write_tiffs(tmp_path / "planes", scrambled(movie))
    link_labels(path, out=tmp_path / "out.ome.zarr", spacing_um=(0.8, 0.8))
    assert labels_of(tmp_path / "out.ome.zarr").shape == movie.shape
    assert same_up_to_numbers(labels_of(tmp_path / "out.ome.zarr"), movie)
    table = read_table(tmp_path / "out.ome.zarr", "nuclei")
    first = table[(table["t"] == 0) & (table["y"] < 15) & (table["x"] < 15)]
    assert first["volume_um3"].tolist() == pytest.approx([8 * 8 * 0.64])
    from geff import GeffMetadata

    axes = GeffMetadata.read(tmp_path / "out.ome.zarr" / "tracks.geff").axes
    assert [axis.name for axis in axes or []] == ["t", "y", "x"]


def test_a_file_or_array_that_does_not_name_its_axes_has_those_that_are_given(tmp_path: Path) -> None:
    movie = truth().max(axis=1).astype(np.uint16)
    tifffile.imwrite(tmp_path / "plain.tif", scrambled(movie))
    zarr.save_array(tmp_path / "array.zarr", scrambled(movie))
    for path in (tmp_path / "plain.tif", tmp_path / "array.zarr"):
        with pytest.raises(LabelError, match=f"stacks of {len(movie)} planes.*--axes TYX"):
            link_labels(path, out=tmp_path / "none.ome.zarr", spacing_um=(0.8, 0.8))
        out = path.with_suffix(".ome.zarr")
        link_labels(path, axes="tyx", out=out, spacing_um=(0.8, 0.8))
        assert same_up_to_numbers(labels_of(out), movie)
        words = [
            path,
            "--axes",
            "TYX",
            "--spacing",
            "1,1",
            "--out",
            tmp_path / "again.ome.zarr",
            "--overwrite",
            "--json",
        ]
        for command_name in ("link", "adopt"):
            said = invoke(main, command_name, *words)
            assert json.loads(said.stdout)["frames"] == len(movie)


@pytest.mark.parametrize(
    ("name", "axes", "words"),
    [
        ("plain.tif", "tax", "Axes 'tax' were given"),
        ("plain.tif", "yx", "7 pages, which are not one series along no axis"),
        ("plain.tif", "tzyx", "7 pages, which do not fill axes TZYX"),
        ("stacks.ome.tif", "tyx", "7 x 4 pages, which are not one series along T"),
        ("named.zarr", "tyx", "names its own, zyx"),
        ("plain.tif", "cyx", "7 channels"),
        ("array.zarr", "tzyx", r"has the shape \(7, .* does not fit axes t, z, y, x"),
        ("array.zarr", "", "Axes '' were given"),
        ("colours.tif", None, r"pages as colours \(axes SYX.*save it as ImageJ TIFF or OME-TIFF.*with --axes, such as"),
        ("colours.tif", "tzyx", "3 pages, which do not fill axes TZYX of unknown lengths. .* with --axes, such as"),
        ("planes", "tyx", "each file in .* is one frame"),
        ("planes.ome.zarr", "tyx", "names its own"),
    ],
)
def test_axes_that_do_not_fit_are_refused(tmp_path: Path, name: str, axes: str | None, words: str) -> None:
    movie = truth().max(axis=1).astype(np.uint16)
    tifffile.imwrite(tmp_path / "plain.tif", movie)
    zarr.save_array(tmp_path / "array.zarr", movie)
    zarr.create_array(tmp_path / "named.zarr", data=movie, dimension_names=["z", "y", "x"])
    stacks = np.zeros((7, 4, 8, 8), np.uint16)
    tifffile.imwrite(tmp_path / "stacks.ome.tif", stacks, metadata={"axes": "TZYX"}, photometric="minisblack")
    tifffile.imwrite(tmp_path / "colours.tif", movie[:3], photometric="rgb", planarconfig="separate")
    link_labels(write_tiffs(tmp_path / "planes", movie), out=tmp_path / "planes.ome.zarr", spacing_um=(0.8, 0.8))
    with pytest.raises(LabelError, match=words) as caught:
        link_labels(tmp_path / name, axes=axes, out=tmp_path / "out.ome.zarr", spacing_um=(0.8, 0.8))
    assert not {"--planes", "--channels"} & set(str(caught.value).split()), "options of another command"
    assert not (tmp_path / "out.ome.zarr").exists()


def test_volumes_of_planes_are_areas_times_the_thickness_that_is_stored(tmp_path: Path) -> None:
    movie = truth(2).max(axis=1).astype(np.uint16)
    plain, deep = tmp_path / "plain.tif", tmp_path / "deep.tif"
    tifffile.imwrite(plain, movie, metadata={"axes": "TYX"}, photometric="minisblack")
    size = {"spacing": 50.0, "unit": "um", "axes": "TZYX"}
    tifffile.imwrite(deep, movie[:, None], imagej=True, resolution=(2, 2), metadata=size)
    for path, given in ((plain, (50.0, 0.5, 0.5)), (deep, None)):
        out = path.with_suffix(".ome.zarr")
        link_labels(path, out=out, spacing_um=given)
        assert open_result(out).labels.attrs["spacing_um"] == (1.0, 0.5, 0.5)
        table = read_table(out, "nuclei")
        np.testing.assert_allclose(table["volume_um3"], table["volume_voxels"] * 0.25)


def test_empty_frames_and_movies_have_no_nuclei(tmp_path: Path) -> None:
    movie = truth()
    movie[[0, 4]] = 0
    path = write_tiffs(tmp_path / "some", movie)
    link_labels(path, out=tmp_path / "some.ome.zarr", spacing_um=SPACING)
    got = labels_of(tmp_path / "some.ome.zarr")
    assert ((got > 0) == (movie > 0)).all()
    path = write_tiffs(tmp_path / "none", np.zeros_like(movie))
    done = link_labels(path, out=tmp_path / "none.ome.zarr", spacing_um=SPACING)
    assert (done.nuclei, done.tracks, done.frames) == (0, 0, 7)
    assert not labels_of(tmp_path / "none.ome.zarr").any()
    assert len(read_table(tmp_path / "none.ome.zarr", "nuclei")) == 0
    assert len(read_tracks(tmp_path / "none.ome.zarr")[0]) == 0


def test_frames_missing_from_a_challenge_folder_are_gaps(tmp_path: Path) -> None:
    path = as_challenge(tmp_path, scrambled(truth()))
    (path / "mask000.tif").unlink()
    (path / "mask002.tif").unlink()
    done = link_labels(path, out=tmp_path / "out.ome.zarr", spacing_um=SPACING, interval_s=10.0)
    expected = truth()[1:]
    expected[1] = 0
    assert (done.frames, done.tracks, done.gaps) == (6, 5, 3)
    assert same_up_to_numbers(labels_of(tmp_path / "out.ome.zarr"), expected)
    assert open_source(tmp_path / "out.ome.zarr" / "labels" / "nuclei").start_s == 10.0
    assert read_table(tmp_path / "out.ome.zarr", "nuclei")["t"].min() == 0


def test_frames_missing_from_any_folder_are_gaps(tmp_path: Path) -> None:
    path = as_challenge(tmp_path, scrambled(truth()))
    for file in sorted(path.glob("mask*.tif")):
        t = int(file.stem[-3:])
        file.rename(path / f"embryo_t{1 + 5 * t:03d}.tif")
    (path / "embryo_t011.tif").unlink()
    done = link_labels(path, out=tmp_path / "out.ome.zarr", spacing_um=SPACING)
    expected = truth()
    expected[2] = 0
    assert done.notes == (
        "6 files, embryo_t001.tif to embryo_t031.tif, every 5th number: each is one frame. There is no file for 1 of 7 "
        "frames, which are taken as empty.",
    )
    assert same_up_to_numbers(labels_of(tmp_path / "out.ome.zarr"), expected)
    (path / "embryo_t031.tif").rename(path / "embryo_t999.tif")
    with pytest.raises(LabelError, match="do not seem to count frames"):
        link_labels(path, out=tmp_path / "no.ome.zarr", spacing_um=SPACING)


def test_linking_a_run_again_measures_the_same(tmp_path: Path) -> None:
    movie, model = inputs(tmp_path, 4)
    run(movie, model, out=tmp_path / "result.ome.zarr", frames="1:4")
    link_labels(tmp_path / "result.ome.zarr", out=tmp_path / "again.ome.zarr")
    ours, theirs = (tmp_path / f"{name}.ome.zarr" for name in ("again", "result"))
    np.testing.assert_array_equal(labels_of(ours), labels_of(theirs))
    pd.testing.assert_frame_equal(
        read_table(ours, "nuclei").drop(columns="seed"), read_table(theirs, "nuclei").drop(columns="seed")
    )
    for a, b in zip(read_tracks(ours), read_tracks(theirs), strict=True):
        pd.testing.assert_frame_equal(a, b, check_like=True)
    assert open_source(ours).start_s == open_source(theirs).start_s == 60.0


@pytest.mark.parametrize(
    ("dtype", "value", "words"),
    [
        ("float32", np.nan, "NaN or infinite values. Choose another --channel, or replace these values"),
        ("float32", -np.inf, "NaN or infinite values"),
        ("float64", 1e39, "the grey value 1e.39. .* convert the image to float32"),
        ("uint64", 2**63 + 5, "the grey value"),
    ],
)
def test_grey_values_that_cannot_be_added_are_named(tmp_path: Path, dtype: str, value: float, words: str) -> None:
    """Inside a nucleus they are an error; between nuclei they do not matter."""
    labels = truth(2)
    for name, at in (("inside", (1, 3, 30, 30)), ("outside", (1, 0, 0, 0))):
        image = np.where(labels > 0, 700, 90).astype(dtype)
        image[at] = value
        write_labels(write_movie(tmp_path / f"{name}.ome.zarr", image), labels)
    with pytest.raises(MovieError, match=f"in frame 1, label 3 contains {words}"):
        link_labels(tmp_path / "inside.ome.zarr", out=tmp_path / "a.ome.zarr", image=False)
    link_labels(tmp_path / "outside.ome.zarr", out=tmp_path / "b.ome.zarr", image=False)
    assert (read_table(tmp_path / "b.ome.zarr", "cells")["intensity_mean"] == 700).all()


# --- where it goes


def test_beside_the_labels_nothing_else_changes(tmp_path: Path) -> None:
    root = write_labels(tmp_path / "movie.ome.zarr", scrambled(truth()))
    before = tree(root)
    done = link_labels(root)
    assert (done.path, done.name) == (str(root), "cells-tracked")
    assert existing_labels(root) == ["cells", "cells-tracked"]
    after = tree(root)
    changed = {path for path in before if after[path] != before[path]}
    assert changed == {"labels/zarr.json"}
    assert same_up_to_numbers(labels_of(root, "cells-tracked"), truth())
    with pytest.raises(LabelError, match="already has labels 'cells-tracked'"):
        link_labels(root, labels_name="cells")
    link_labels(root, labels_name="cells", overwrite=True)
    with pytest.raises(LabelError, match="are the labels that were given"):
        link_labels(root, labels_name="cells", name="cells", overwrite=True)
    with pytest.raises(LabelError, match="has its own spacing"):
        link_labels(root, labels_name="cells", name="b", spacing_um=SPACING)


def test_finished_work_is_replaced_only_when_asked(given: Path, linked: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ome.zarr"
    link_labels(given, out=out)
    before = tree(out)
    with pytest.raises(LabelError, match="already has labels 'cells'"):
        link_labels(given, out=out)
    assert tree(out) == before
    link_labels(given, out=out, settings=LinkSettings(max_gap=0), overwrite=True)
    assert open_result(out, name="cells").record["gaps"] == 0
    pixels = (out / "0" / "zarr.json").stat().st_mtime_ns
    link_labels(given, out=out, name="other")
    assert existing_labels(out) == ["cells", "other"]
    assert (out / "0" / "zarr.json").stat().st_mtime_ns == pixels
    other = write_labels(tmp_path / "other.ome.zarr", truth())
    with pytest.raises(LabelError, match="copy of another movie"):
        link_labels(other, out=out, name="third")
    with pytest.raises(LabelError, match="not a copy made by a run"):
        link_labels(given, out=other, name="third", overwrite=True)


def test_nothing_is_left_that_speaks_of_replaced_labels(given: Path, tmp_path: Path) -> None:
    """Neither a run's report and record of them, nor, after a run, the mark that they are still being linked."""
    movie, model = inputs(tmp_path, frames=2)
    out, folder = tmp_path / "out.ome.zarr", tmp_path / "out.ome.zarr/tlseg/nuclei"
    run(movie, model, out=out, keep_maps=True, image=False)
    write_report(out)
    assert {p.name for p in folder.iterdir()} == {"run.json", "audit.json", "events.jsonl", "report.html", "maps"}
    link_labels(given, out=out, name="nuclei", image=False, overwrite=True)
    assert {p.name for p in folder.iterdir()} == {"run.json"}
    status = run_status(out)
    assert (status.state, status.stages, status.frames_done) == ("complete", (), 7)
    (folder / "linking.json").write_text("{}")
    run(movie, model, out=out, image=False, overwrite=True)
    assert {p.name for p in folder.iterdir()} == {"run.json", "audit.json", "events.jsonl"}


def test_a_result_that_came_before_the_lock_stays(
    given: Path, linked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, lock_of = tmp_path / "out.ome.zarr", module.lock_of
    made: dict[str, str] = {}

    def late(folder: Any) -> Any:
        monkeypatch.setattr(module, "lock_of", lock_of)
        link_labels(given, out=out)
        made.update(tree(out))
        return lock_of(folder)

    monkeypatch.setattr(module, "lock_of", late)
    with pytest.raises(LabelError, match="already has labels 'cells'"):
        link_labels(given, out=out)
    assert tree(out) == made


@pytest.mark.parametrize("step", ["create_labels", "open_copy", "writing", "write_tables", "_record"])
def test_a_stopped_run_is_started_again(
    given: Path, linked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    out = tmp_path / "out.ome.zarr"

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, step, stop)
        with pytest.raises(KeyboardInterrupt):
            link_labels(given, out=out)
    assert existing_labels(out) == []
    link_labels(given, out=out)
    assert essence(out, "cells") == essence(linked, "cells")
    np.testing.assert_array_equal(zarr.open_array(out / "0", mode="r")[:], zarr.open_array(linked / "0", mode="r")[:])
    assert {p.name for p in (out / "tlseg" / "cells").iterdir()} == {"run.json"}


# --- what is refused


def test_input_that_cannot_be_linked_stops_before_any_work(given: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ome.zarr"
    stacks = write_tiffs(tmp_path / "stacks", truth())
    for path, settings, words in [
        (stacks, {}, "no voxel spacing, but distances need one. Give micrometres with --spacing Z,Y,X"),
        (stacks, {"spacing_um": (1, 1)}, "Expected Z,Y,X"),
        (tmp_path / "none", {}, "nothing at"),
        ("", {}, "An empty path"),
        (given, {"labels_name": "x"}, "no labels named 'x'"),
        (given, {"name": "a b"}, "is not a valid name"),
        (given, {"out": given / "x"}, "lies inside"),
        (stacks, {"out": None, "spacing_um": SPACING}, "--out RESULT.ome.zarr"),
        (stacks, {"out": "http://b/x", "spacing_um": SPACING}, "is read-only"),
    ]:
        with pytest.raises((LabelError, MovieError), match=words):
            link_labels(path, **{"out": out, **settings})
    tifffile.imwrite(stacks / "frame7.tif", np.zeros((2, 5, 5), np.uint16))
    with pytest.raises(LabelError, match="frame 7 has"):
        link_labels(stacks, out=out, spacing_um=SPACING)
    single = write_tiffs(tmp_path / "SEG", truth()[:, 0].astype(np.uint16), "man_seg_{:03d}_001.tif")
    with pytest.raises(LabelError, match="single planes"):
        link_labels(single, out=out, spacing_um=SPACING)
    assert not out.exists()


@pytest.mark.parametrize(("value", "words"), [(-1, "from -1 to"), (2**33, "renumber them"), (0.5, "not whole")])
def test_values_that_are_no_labels_are_named(tmp_path: Path, value: float, words: str) -> None:
    movie = truth().astype(np.float64 if isinstance(value, float) else np.int64)
    movie[2, 0, 0, 0] = value
    path = write_tiffs(tmp_path / "stacks", movie)
    with pytest.raises(LabelError, match=words):
        link_labels(path, out=tmp_path / "out.ome.zarr", spacing_um=SPACING)


def test_an_image_that_does_not_fit_is_left_out(tmp_path: Path) -> None:
    root = write_movie(tmp_path / "movie.ome.zarr", np.zeros((7, 12, 48, 40), np.uint16))
    made = write_labels(tmp_path / "other.ome.zarr", truth())
    (made / "labels" / "cells").rename(root / "cells")
    zarr.create_group(root / "labels", attributes={"ome": {"version": "0.5", "labels": ["cells"]}})
    (root / "cells").rename(root / "labels" / "cells")
    done = link_labels(root, out=tmp_path / "out.ome.zarr")
    assert "left out" in done.notes[0]
    assert done.tracks == 5
    assert not (tmp_path / "out.ome.zarr" / "0").exists()


def test_an_unfinished_segmentation_is_not_disturbed(given: Path, tmp_path: Path) -> None:
    (tmp_path / "out.ome.zarr" / "tlseg" / "cells" / "scratch").mkdir(parents=True)
    with pytest.raises(LabelError, match="unfinished run of tlseg segment"):
        link_labels(given, out=tmp_path / "out.ome.zarr", overwrite=True)


# --- command line


def test_command_line(given: Path, tmp_path: Path) -> None:
    said = cli(given, "--out", tmp_path / "a.ome.zarr", "--max-gap", 0, "--no-divisions", "--json")
    assert said.exit_code == 0, said.stderr
    values = json.loads(said.stdout)
    assert (values["name"], values["gaps"], values["divisions"], values["nuclei"]) == ("cells", 0, 0, 22)
    said = cli(given, "--out", tmp_path / "b.ome.zarr", "--name", "mine", "--labels", "cells", "--max-distance", 8)
    assert "22 instances (one nucleus in one frame) in 7 frames, 5 tracks, 1 division, 1 gap" in said.stdout
    bad = cli(given, "--out", tmp_path / "b.ome.zarr", "--name", "mine")
    assert (bad.exit_code, bad.stderr.count("\n")) == (2, 1)
    assert "--overwrite" in bad.stderr


@pytest.mark.parametrize(("pixels", "said"), [("image", True), ("mask", True), ("labels", False), ("nothing", False)])
def test_what_is_no_labels_is_said(tmp_path: Path, pixels: str, said: bool) -> None:
    movie = truth(2).astype(np.uint16)
    if pixels == "image":
        movie = np.random.default_rng(0).poisson(50, movie.shape).astype(np.uint16)
    elif pixels == "mask":
        movie[:] = 0
        movie[:, 1:3, 1:5, 1:5] = movie[:, 9:11, 40:44, 40:44] = 255
    elif pixels == "nothing":
        movie[:] = 0
    tifffile.imwrite(tmp_path / "given.tif", movie, metadata={"axes": "TZYX"})
    done = link_labels(tmp_path / "given.tif", out=tmp_path / "out.ome.zarr", spacing_um=SPACING)
    assert ("every nucleus of a frame has a number of its own" in " ".join(done.notes)) == said
