"""Tracks made elsewhere are taken as they are: no number changes, and table, graph and record agree."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from geff.core_io import read_to_memory
from geff.validate.data import ValidationConfig, validate_data

from commandline import invoke
from handmade import write_movie
from runs import essence, labels_of, tree
from tlseg.cli import main
from tlseg.errors import LabelError, MovieError, RunError
from tlseg.evaluate.api import evaluate
from tlseg.geometry import Box
from tlseg.measure.objects import looseness, measure_block
from tlseg.report.export import export
from tlseg.report.write import write_report
from tlseg.run.linking import tracking as module
from tlseg.run.linking.adopt import LOOSE, adopt_labels
from tlseg.run.linking.labels import link_labels
from tlseg.run.watch.status import run_status
from tlseg.store.image.movie import open_source
from tlseg.store.labels.label_group import existing_labels
from tlseg.store.labels.label_writer import create_labels
from tlseg.store.labels.result import open_result
from tlseg.store.labels.tables import read_table
from tlseg.store.labels.tracks import read_tracks

SPACING = (1.6, 0.8, 0.8)
BIG = 4_000_000_000
MOTHERS = "track,parent\n40,30\n50,30\n"
APART = (
    "1 nucleus is in several pieces that lie apart, first label 7 in frame 2: one number may have been given to two "
    "nuclei."
)


def tracked() -> np.ndarray:
    """Labels (t, z, y, x) that are tracks.

    20 drifts, BIG is missing in frame 3, 30 divides into 40 and 50 in frame 5, and 7, in two pieces, comes in frame 2.
    """
    movie = np.zeros((7, 12, 48, 48), np.uint32)
    for t in range(len(movie)):
        movie[t, 1:5, 4 + t : 12 + t, 4:12] = 20
        if t != 3:
            movie[t, 6:10, 4:12, 20 + t : 28 + t] = BIG
        if t < 5:
            movie[t, 2:8, 26:36, 26:38] = 30
        else:
            movie[t, 2:8, 26:36, 23 - t + 5 : 30 - t + 5] = 40
            movie[t, 2:8, 26:36, 33 + t - 5 : 40 + t - 5] = 50
        if t >= 2:
            movie[t, 1:3, 40:44, 4:8] = movie[t, 9:11, 42:46, 40:46] = 7
    return movie


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


def write_tiffs(folder: Path, movie: np.ndarray, name: str = "t{:03d}.tif") -> Path:
    folder.mkdir()
    for t, frame in enumerate(movie):
        tifffile.imwrite(folder / name.format(t), frame)
    return folder


def mothers_of(root: Path, name: str = "nuclei") -> dict[int, int]:
    rows = read_table(root, name)
    rows = rows[rows["parent"] > 0].drop_duplicates("track")
    return dict(zip(rows["track"].tolist(), rows["parent"].tolist(), strict=True))


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an OME-Zarr movie with labels `cells`, and their mothers."""
    folder = tmp_path_factory.mktemp("given")
    write_labels(folder / "movie.ome.zarr", tracked())
    (folder / "parents.csv").write_text(MOTHERS)
    return folder


@pytest.fixture(scope="module")
def adopted(given: Path) -> Path:
    adopt_labels(given / "movie.ome.zarr", parents=given / "parents.csv", out=given / "out.ome.zarr")
    return given / "out.ome.zarr"


def test_no_number_changes(adopted: Path) -> None:
    np.testing.assert_array_equal(labels_of(adopted, "cells"), tracked())
    table = read_table(adopted, "cells")
    assert (table["label"] == table["track"]).all()
    assert mothers_of(adopted, "cells") == {40: 30, 50: 30}
    of = table.drop_duplicates("track").set_index("track")
    assert of["generation"].to_dict() == {20: 0, 30: 0, BIG: 0, 40: 1, 50: 1, 7: -1}
    assert of["lineage"].to_dict() == {20: 20, 30: 30, BIG: BIG, 40: 30, 50: 30, 7: 7}
    assert set(table["seed"]) == {"given"}
    np.testing.assert_array_equal(table["intensity_mean"], 700)


def test_the_graph_joins_what_has_one_number(adopted: Path) -> None:
    nodes, edges = read_tracks(adopted)
    assert edges["kind"].value_counts().to_dict() == {"link": 20, "gap": 1, "division": 2}
    assert (edges["confidence"] == 1).all()
    gap = edges[edges["kind"] == "gap"].iloc[0]
    assert (gap["t_a"], gap["label_a"], gap["t_b"], gap["label_b"]) == (2, BIG, 4, BIG)
    assert nodes["label"].tolist() == read_table(adopted, "cells")["label"].tolist()


def test_the_table_is_that_of_linking_the_same_labels(given: Path, adopted: Path) -> None:
    """Measurements do not depend on who tracked the nuclei; a nucleus in two pieces is one row."""
    link_labels(given / "movie.ome.zarr", out=given / "linked.ome.zarr", image=False)
    place = ["t", "z", "y", "x", "volume_voxels", "surface_um2", "intensity_sum", "elongation", "bbox_z0", "bbox_x1"]
    ours, theirs = (read_table(given / f"{n}.ome.zarr", "cells")[place].sort_values(place) for n in ("out", "linked"))
    pd.testing.assert_frame_equal(ours.reset_index(drop=True), theirs.reset_index(drop=True))
    assert len(ours) == 27


@pytest.mark.parametrize("block", [(12, 48, 48), (5, 7, 11)])
def test_the_result_is_the_same_for_any_block(given: Path, adopted: Path, tmp_path: Path, block: Any) -> None:
    out = tmp_path / "out.ome.zarr"
    adopt_labels(given / "movie.ome.zarr", parents=given / "parents.csv", out=out, block=block)
    assert essence(out, "cells") == essence(adopted, "cells")


def test_the_record_says_where_tracks_and_mothers_are_from(given: Path, adopted: Path, tmp_path: Path) -> None:
    record = open_result(adopted, name="cells").record
    assert record["complete"]
    assert record["fingerprint"]["adopted"] == {"parents": str(given / "parents.csv")}
    assert {"link", "repair"}.isdisjoint(record["fingerprint"])
    counts = {name: record[name] for name in ("frames", "nuclei", "tracks", "divisions", "gaps", "motherless")}
    assert counts == {"frames": 7, "nuclei": 27, "tracks": 6, "divisions": 1, "gaps": 1, "motherless": 1}
    assert record["notes"] == [f"{given / 'parents.csv'} gives the mothers of 2 of 6 tracks.", APART]
    assert run_status(adopted, name="cells").state == "complete"
    page = Path(write_report(adopted, name="cells", out=tmp_path / "report.html").path).read_text()
    assert f"taken from {given / 'movie.ome.zarr'}/labels/cells; mothers from {given / 'parents.csv'}" in page


# --- where mothers are from


def test_without_mothers_none_is_guessed(given: Path, tmp_path: Path) -> None:
    done = adopt_labels(given / "movie.ome.zarr", out=tmp_path / "out.ome.zarr", image=False)
    assert (done.tracks, done.divisions, done.motherless) == (6, 0, 3)
    assert "No divisions are known" in done.notes[0]
    assert "--parents FILE" in done.notes[0]
    assert open_result(tmp_path / "out.ome.zarr", name="cells").record["fingerprint"]["adopted"] == {"parents": None}
    (tmp_path / "none.csv").write_text("track,parent\n")
    done = adopt_labels(
        given / "movie.ome.zarr", parents=tmp_path / "none.csv", out=tmp_path / "b.ome.zarr", image=False
    )
    assert done.notes == (f"{tmp_path / 'none.csv'} gives the mothers of 0 of 6 tracks.", APART)


def test_graphs_and_results_tell_mothers(given: Path, adopted: Path, tmp_path: Path) -> None:
    for number, parents in enumerate([adopted, adopted / "tracks.geff", adopted / "labels" / "cells"]):
        out = tmp_path / f"{number}.ome.zarr"
        done = adopt_labels(given / "movie.ome.zarr", parents=parents, out=out, image=False)
        assert mothers_of(out, "cells") == {40: 30, 50: 30}
        said, apart = done.notes
        assert (said.startswith("The lineage graph of "), apart) == (True, APART)
    with pytest.raises(LabelError, match="cells has no lineage graph, so its mothers are unknown"):
        adopt_labels(adopted, parents=given / "movie.ome.zarr", out=tmp_path / "no.ome.zarr", image=False)


def test_a_track_file_is_found_in_its_folder_and_pixels_win(tmp_path: Path) -> None:
    movie = np.where(tracked() == BIG, 60, tracked()).astype(np.uint16)
    path = write_tiffs(tmp_path / "01_GT", movie, "man_track{:03d}.tif")
    (path / "man_track.txt").write_text("20 0 5 0\n30 0 4 0\n40 5 6 30\n50 5 6 30\n60 0 6 0\n99 1 2 30\n")
    done = adopt_labels(path, out=tmp_path / "out.ome.zarr", spacing_um=SPACING)
    file = path / "man_track.txt"
    assert done.notes == (
        f"{file} gives the mothers of 2 of 6 tracks.",
        f"Not in the labels: 1 track of {file}, first 99.",
        f"Not listed in {file}, so without a mother: 1 track of the labels, first 7.",
        f"In other frames than {file} says: 1 track, first 20, in frames 0 to 6 of the labels but 0 to 5 according to the "
        "file. The frames of the labels were used.",
        APART,
    )
    np.testing.assert_array_equal(labels_of(tmp_path / "out.ome.zarr"), movie)
    assert mothers_of(tmp_path / "out.ome.zarr") == {40: 30, 50: 30}


def test_a_track_file_may_count_from_the_first_frame(tmp_path: Path) -> None:
    movie = np.where(tracked() == BIG, 60, tracked()).astype(np.uint16)[2:]
    path = write_tiffs(tmp_path / "stacks", movie, "mask{:03d}.tif")
    for file in sorted(path.iterdir(), reverse=True):
        file.rename(path / f"mask{int(file.stem[4:]) + 2:03d}.tif")
    for shift in (0, 2):
        lines = [(7, 0, 4, 0), (20, 0, 4, 0), (30, 0, 2, 0), (40, 3, 4, 30), (50, 3, 4, 30), (60, 0, 4, 0)]
        text = "".join(f"{k} {a + shift} {b + shift} {p}\n" for k, a, b, p in lines)
        (path / "res_track.txt").write_text(text)
        done = adopt_labels(path, out=tmp_path / "out.ome.zarr", spacing_um=SPACING, overwrite=True)
        assert len(done.notes) == 2, done.notes
        assert read_table(tmp_path / "out.ome.zarr", "nuclei")["t"].min() == 0


def test_labels_edited_in_their_result_keep_the_mothers_that_are_still_there(adopted: Path, tmp_path: Path) -> None:
    root = shutil.copytree(adopted, tmp_path / "result.ome.zarr")
    array = zarr.open_array(root / "labels" / "cells" / "0")
    pixels = np.asarray(array[:])
    pixels[pixels == 50] = 40  # two numbers become one
    pixels[4:][pixels[4:] == 20] = 21  # one is split from a frame on
    array[:] = pixels
    done = adopt_labels(root)
    assert (done.name, done.tracks, existing_labels(root)) == ("cells-adopted", 6, ["cells", "cells-adopted"])
    np.testing.assert_array_equal(labels_of(root, "cells-adopted"), pixels)
    assert mothers_of(root, "cells-adopted") == {40: 30}
    assert "With only one daughter, but counted as divisions: 1 mother, first 30" in done.notes[1]
    assert open_result(root, name="cells-adopted").record["fingerprint"]["adopted"] == {
        "parents": f"{root}/labels/cells"
    }
    (tmp_path / "parents.csv").write_text("track,parent\n21,20\n40,30\n")
    adopt_labels(root, labels_name="cells", parents=tmp_path / "parents.csv", overwrite=True)
    assert mothers_of(root, "cells-adopted") == {40: 30, 21: 20}
    np.testing.assert_array_equal(labels_of(root, "cells-adopted"), pixels)
    np.testing.assert_array_equal(labels_of(root, "cells"), pixels)
    pixels[4][pixels[4] == 30] = 31
    array[:] = pixels
    done = adopt_labels(root, labels_name="cells", overwrite=True)
    assert mothers_of(root, "cells-adopted") == {40: 30}
    assert "but was kept: 1 track, first 40, whose mother 30 ends in frame 3." in done.notes[1]
    pixels[pixels == 30] = 31
    array[:] = pixels
    done = adopt_labels(root, labels_name="cells", overwrite=True)
    assert mothers_of(root, "cells-adopted") == {}
    assert "no longer in the labels: 1 track, first 40, whose mother was 30." in done.notes[1]


# --- one number given to two nuclei


def test_distant_nuclei_with_one_number_are_noted(tmp_path: Path) -> None:
    """There are two, one of them in two frames; dividing or elongated nuclei are no reason for a note."""
    movie = tracked()
    movie[movie == 7] = 0
    movie[5:][movie[5:] == 50] = 40  # the daughters lie side by side
    movie[:, 11, 47, 2:40] = 60  # a rod
    assert (
        len(adopt_labels(write_tiffs(tmp_path / "one", movie), out=tmp_path / "a.zarr", spacing_um=SPACING).notes) == 1
    )
    movie[3:5, 1:5, 36:44, 36:44] = 20
    movie[4, 1:5, 4:12, 36:44] = 30
    done = adopt_labels(write_tiffs(tmp_path / "two", movie), out=tmp_path / "b.zarr", spacing_um=SPACING)
    assert done.notes[1:] == (APART.replace("1 nucleus is", "2 nuclei are").replace("7 in frame 2", "20 in frame 3"),)


# --- round trips


def test_an_exported_result_comes_back(adopted: Path, tmp_path: Path) -> None:
    """Tracks have no gaps here; numbers that do not fit into 16 bits are renumbered by the export."""
    movie = np.where(tracked() == BIG, 0, tracked())
    (tmp_path / "parents.csv").write_text(MOTHERS)
    root = write_labels(tmp_path / "movie.ome.zarr", movie)
    adopt_labels(root, parents=tmp_path / "parents.csv", out=tmp_path / "a.ome.zarr", name="nuclei")
    export(tmp_path / "a.ome.zarr", "ctc", out=tmp_path / "01_RES")
    done = adopt_labels(tmp_path / "01_RES", out=tmp_path / "b.ome.zarr", interval_s=60.0)
    assert len(done.notes) == 2
    ours, theirs = (read_table(tmp_path / f"{n}.ome.zarr", "nuclei") for n in "ba")
    pd.testing.assert_frame_equal(ours, theirs.drop(columns=["intensity_mean", "intensity_sum"]))
    for one, other in zip(*(read_tracks(tmp_path / f"{n}.ome.zarr") for n in "ba"), strict=True):
        pd.testing.assert_frame_equal(one, other)
    np.testing.assert_array_equal(labels_of(tmp_path / "b.ome.zarr"), movie)
    scores = evaluate(tmp_path / "b.ome.zarr", tmp_path / "01_RES")
    assert scores.tracking is not None
    assert (scores.pooled.seg, scores.tracking.tra, scores.tracking.lnk) == (1, 1, 1)


def test_the_challenge_writes_a_gap_as_two_tracks_and_so_they_stay(adopted: Path, tmp_path: Path) -> None:
    export(adopted, "ctc", out=tmp_path / "01_RES", name="cells")
    done = adopt_labels(tmp_path / "01_RES", out=tmp_path / "out.ome.zarr")
    assert (done.tracks, done.divisions, done.gaps) == (7, 2, 0)
    assert "With only one daughter, but counted as divisions: 1 mother" in done.notes[1]


def test_a_folder_of_stacks_keeps_its_numbers(tmp_path: Path) -> None:
    path = write_tiffs(tmp_path / "stacks", tracked())
    (path / "t001.tif").unlink()
    (tmp_path / "parents.txt").write_text("40 5 6 30\n50 5 6 30\n30 0 4 0\n20 0 6 0\n")
    done = adopt_labels(path, parents=tmp_path / "parents.txt", out=tmp_path / "out.ome.zarr", spacing_um=SPACING)
    expected = tracked()
    expected[1] = 0
    np.testing.assert_array_equal(labels_of(tmp_path / "out.ome.zarr"), expected)
    assert (done.frames, done.tracks, done.divisions, done.gaps) == (7, 6, 1, 4)
    assert mothers_of(tmp_path / "out.ome.zarr") == {40: 30, 50: 30}


def test_planes_are_a_2d_result(tmp_path: Path) -> None:
    movie = tracked().max(axis=1)
    path = write_tiffs(tmp_path / "planes", movie)
    (tmp_path / "parents.csv").write_text(MOTHERS)
    adopt_labels(path, parents=tmp_path / "parents.csv", out=tmp_path / "out.ome.zarr", spacing_um=(0.8, 0.8))
    np.testing.assert_array_equal(labels_of(tmp_path / "out.ome.zarr"), movie)
    assert mothers_of(tmp_path / "out.ome.zarr") == {40: 30, 50: 30}


def test_a_movie_without_nuclei_has_no_tracks(tmp_path: Path) -> None:
    path = write_tiffs(tmp_path / "none", np.zeros_like(tracked()))
    done = adopt_labels(path, out=tmp_path / "out.ome.zarr", spacing_um=SPACING)
    assert (done.nuclei, done.tracks, done.divisions, done.frames) == (0, 0, 0, 7)


# --- what others make of any number of daughters


@pytest.mark.parametrize(("mothers", "daughters"), [("40,30", 1), ("40,30\n50,30", 2), ("40,30\n50,30\n7,30", 3)])
def test_one_and_three_daughters_are_reported_exported_and_scored(tmp_path: Path, mothers: str, daughters: int) -> None:
    movie = np.where(tracked() == BIG, 0, tracked())
    movie[2:5][movie[2:5] == 7] = 0
    root = write_labels(tmp_path / "movie.ome.zarr", movie)
    (tmp_path / "parents.csv").write_text(f"track,parent\n{mothers}\n")
    out = tmp_path / "out.ome.zarr"
    done = adopt_labels(root, parents=tmp_path / "parents.csv", out=out, name="nuclei")
    assert done.divisions == 1
    validate_data(read_to_memory(out / "tracks.geff"), ValidationConfig(tracklet=True, lineage=True))
    report = write_report(out)
    assert report.facts.divisions == 1
    export(out, "criteria", out=tmp_path / "criteria")
    row = pd.read_csv(tmp_path / "criteria" / "divisions.csv").iloc[0]
    assert (row["mother"], row["daughters"], row["daughter_1"]) == (30, daughters, 40 if daughters < 3 else 7)
    assert np.isfinite(row["sister_volume_ratio"]) == (daughters == 2)
    tracks = pd.read_csv(tmp_path / "criteria" / "tracks.csv").set_index("track")
    assert (tracks["parent"] == 30).sum() == daughters
    for kind in ("geff", "csv", "napari"):
        export(out, kind, out=tmp_path / f"{kind}.{'geff' if kind == 'geff' else 'csv'}")
    export(out, "ctc", out=tmp_path / "01_RES")
    lines = [line.split() for line in (tmp_path / "01_RES" / "res_track.txt").read_text().splitlines()]
    assert sum(line[3] == "30" for line in lines) == daughters
    for table in ("criteria/tracks.csv", "csv.csv"):
        adopt_labels(tmp_path / "01_RES", parents=tmp_path / table, out=tmp_path / "b.ome.zarr", overwrite=True)
        assert mothers_of(tmp_path / "b.ome.zarr") == mothers_of(out)
    scores = evaluate(out, tmp_path / "01_RES")
    assert scores.tracking is not None
    assert (scores.tracking.tra, scores.tracking.lnk) == (1, 1)
    assert (scores.divisions[0].n_truth, scores.divisions[0].correct) == (int(daughters > 1),) * 2


# --- what is refused, and starting again


@pytest.mark.parametrize(
    ("mothers", "words"),
    [
        ("40,31", "makes 31 the mother of 40, but no frame of the labels contains 31"),
        ("40,40", "makes 40 its own ancestor"),
        ("40,20", "20 lasts until frame 6 and 40 begins in frame 5"),
        ("40,30\n40,20", "line 3: track 40 has parent 20, but 30 further up"),
    ],
)
def test_contradictions_leave_no_labels(given: Path, tmp_path: Path, mothers: str, words: str) -> None:
    (tmp_path / "parents.csv").write_text(f"track,parent\n{mothers}\n")
    with pytest.raises(LabelError, match=words):
        adopt_labels(given / "movie.ome.zarr", parents=tmp_path / "parents.csv", out=tmp_path / "out.ome.zarr")
    assert existing_labels(tmp_path / "out.ome.zarr") == []
    (tmp_path / "parents.csv").write_text(MOTHERS)
    adopt_labels(given / "movie.ome.zarr", parents=tmp_path / "parents.csv", out=tmp_path / "out.ome.zarr")


@pytest.mark.parametrize(("value", "words"), [(-1, "from -1 to"), (2**33, "renumber them"), (0.5, "not whole")])
def test_values_that_are_no_labels_are_named(tmp_path: Path, value: float, words: str) -> None:
    movie = tracked().astype(np.float64 if isinstance(value, float) else np.int64)
    movie[2, 0, 0, 0] = value
    with pytest.raises(LabelError, match=words):
        adopt_labels(write_tiffs(tmp_path / "s", movie), out=tmp_path / "out.ome.zarr", spacing_um=SPACING)


def test_input_that_cannot_be_adopted_stops_before_any_work(given: Path, tmp_path: Path) -> None:
    out, movie = tmp_path / "out.ome.zarr", given / "movie.ome.zarr"
    for path, options, words in [
        (
            given / "parents.csv",
            {},
            "is a table, but tracks can only be adopted from label images. Give the label images",
        ),
        (movie, {"parents": tmp_path / "none.csv"}, "none.csv does not exist"),
        (movie, {"parents": movie}, "its mothers are unknown"),
        (movie, {"labels_name": "x"}, "no labels named 'x'"),
        (movie, {"out": None, "name": "cells"}, "are the labels that were given"),
        (movie, {"out": given / "movie.ome.zarr" / "x"}, "lies inside"),
    ]:
        with pytest.raises((LabelError, MovieError), match=words):
            adopt_labels(path, **{"out": out, **options})  # type: ignore[arg-type]
    assert not out.exists()


def test_finished_work_is_replaced_only_when_asked(given: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ome.zarr"
    adopt_labels(given / "movie.ome.zarr", out=out)
    before = tree(out)
    with pytest.raises(LabelError, match="already has labels 'cells'"):
        adopt_labels(given / "movie.ome.zarr", parents=given / "parents.csv", out=out)
    assert tree(out) == before
    adopt_labels(given / "movie.ome.zarr", parents=given / "parents.csv", out=out, overwrite=True)
    assert mothers_of(out, "cells") == {40: 30, 50: 30}


@pytest.mark.parametrize("step", ["create_labels", "writing", "write_tables", "_record"])
def test_a_stopped_run_is_started_again(
    given: Path, adopted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    out = tmp_path / "out.ome.zarr"

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, step, stop)
        with pytest.raises(KeyboardInterrupt):
            adopt_labels(given / "movie.ome.zarr", parents=given / "parents.csv", out=out)
    assert existing_labels(out) == []
    adopt_labels(given / "movie.ome.zarr", parents=given / "parents.csv", out=out)
    assert essence(out, "cells") == essence(adopted, "cells")
    assert {p.name for p in (out / "tlseg" / "cells").iterdir()} == {"run.json"}


def test_a_place_that_cannot_be_written_is_left_as_it_was(given: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """The refusal is simulated, since root may write anywhere."""
    root = shutil.copytree(given / "movie.ome.zarr", tmp_path / "movie.ome.zarr")
    before = tree(root)

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    for name in ("create_labels", "remove_derived"):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, refuse)
            with pytest.raises(RunError, match=r"\(Permission denied\). Free space, check its permissions, or write"):
                adopt_labels(root)
        if name == "create_labels":
            assert tree(root) == before
            assert not (root / "tlseg").exists()
    with pytest.raises(LabelError, match=r"no finished labels 'cells-adopted'.* run the same command again to finish"):
        open_result(root, name="cells-adopted")
    (tmp_path / "bad.csv").write_text("track,parent\n40,31\n")
    with pytest.raises(LabelError, match="no frame of the labels contains 31"):
        adopt_labels(root, parents=tmp_path / "bad.csv", name="other")
    assert [path.name for path in (root / "tlseg").iterdir()] == ["cells-adopted"]


# --- command line


def test_command_line(given: Path, tmp_path: Path) -> None:
    words = ["adopt", given / "movie.ome.zarr", "--parents", given / "parents.csv"]
    said = invoke(main, *words, "--out", tmp_path / "a.ome.zarr", "--no-image", "--json")
    assert said.exit_code == 0, said.stderr
    values = json.loads(said.stdout)
    assert (values["name"], values["tracks"], values["divisions"]) == ("cells", 6, 1)
    said = invoke(main, *words, "--out", tmp_path / "b.ome.zarr", "--name", "mine", "--labels", "cells")
    assert "27 instances (one nucleus in one frame) in 7 frames, 6 tracks, 1 division, 1 gap" in said.stdout
    assert "Tracks that begin mid-movie without a mother: 1 of 6." in said.stdout
    assert f"Note: {given / 'parents.csv'} gives the mothers of 2 of 6 tracks." in said.stdout
    bad = invoke(main, *words, "--out", tmp_path / "b.ome.zarr", "--name", "mine")
    assert (bad.exit_code, bad.stderr.count("\n")) == (2, 1)
    assert "--overwrite" in bad.stderr


def test_no_nucleus_that_people_drew_is_taken_for_pieces(data: Path) -> None:
    files = sorted((data / "bbbc050").rglob("GroundTruth_QCANet/**/*.tif"))
    largest = []
    for file in files:
        labels = tifffile.imread(file).astype(np.uint32)
        frame = Box.of_shape(labels.shape)
        sums = measure_block(labels, labels, crop=frame, core=frame, frame=frame, spacing_um=(1.75, 0.8, 0.8))
        largest.append(looseness(sums).max())
    assert len(files) == 121
    assert max(largest) < 1.8 < LOOSE
