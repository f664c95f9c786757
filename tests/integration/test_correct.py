"""A table of corrections makes a result of its own: the voxels named change, all others stay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile

from commandline import invoke
from handmade import write_movie
from runs import essence, labels_of
from tlseg.cli import main
from tlseg.errors import LabelError
from tlseg.report.write import write_report
from tlseg.run.linking.adopt import adopt_labels
from tlseg.run.linking.correct import correct_labels
from tlseg.run.linking.correction_file import read_corrections
from tlseg.run.linking.labels import link_labels
from tlseg.run.watch.status import run_status
from tlseg.store.image.movie import open_source
from tlseg.store.labels.label_writer import create_labels
from tlseg.store.labels.result import open_result
from tlseg.store.labels.tables import read_table
from tlseg.store.labels.tracks import read_tracks

SPACING = (1.6, 0.8, 0.8)
HEADER = "action,track,first,last,other,at,who\n"


def ball(z: float, y: float, x: float, radius_um: float) -> np.ndarray:
    """A ball in a frame of 16 x 48 x 48 voxels; its centre in micrometres."""
    at = np.meshgrid(*[np.arange(n) * s for n, s in zip((16, 48, 48), SPACING, strict=True)], indexing="ij")
    return np.asarray(sum((a - c) ** 2 for a, c in zip(at, (z, y, x), strict=True)) <= radius_um**2)


def truth() -> np.ndarray:
    """Labels (t, z, y, x): 1 and 2 touch, 3 divides into 4 and 5 in frame 3, and 6 is debris."""
    movie = np.zeros((6, 16, 48, 48), np.uint32)
    for t, frame in enumerate(movie):
        frame[ball(12, 9, 9 + t, 5)] = 1
        frame[ball(12, 19, 9 + t, 5)] = 2
        if t < 3:
            frame[ball(12, 26, 29, 6)] = 3
        else:
            frame[ball(12, 19, 29, 4)] = 4
            frame[ball(12, 31, 29, 4)] = 5
        frame[ball(4, 34, 4, 2)] = 6
    return movie


def spoilt() -> tuple[np.ndarray, str]:
    """The same with mistakes of every kind, and the corrections that undo them."""
    movie = truth()
    movie[2][movie[2] == 2] = 1  # merged
    movie[3:] = np.where(movie[3:] == 1, 7, movie[3:])  # lost in frame 3, found again
    movie[5] = np.where(movie[5] == 4, 5, np.where(movie[5] == 5, 4, movie[5]))  # confused
    cut = movie[4] == 5
    cut[:8] = False
    movie[4][cut] = 8  # in two pieces
    lines = [
        "join,7,3,,1,,ann",
        "separate,1,2,,2,12 9 11 / 12 19 11,ann",
        "swap,4,5,,5,,ann",
        "join,8,4,4,5,,bob",
        "mother,4,,,3,,bob",
        "mother,5,,,3,,bob",
    ]
    return movie, HEADER + "\n".join(lines) + "\n"


def write(folder: Path, movie: np.ndarray, text: str) -> Path:
    """An OME-Zarr movie with labels `nuclei`, and corrections beside it."""
    root = folder / "movie.ome.zarr"
    write_movie(root, np.where(movie > 0, 700, 90).astype(np.uint16))
    writer = create_labels(root, name="nuclei", source=open_source(root))
    for t, frame in enumerate(movie):
        for box in writer.regions:
            writer.write(t, box, frame[box.slices])
    writer.finish()
    (folder / "corrections.csv").write_text(text)
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given")
    write(folder, *spoilt())
    return folder


def test_corrections_bring_the_truth_back(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ome.zarr"
    done = correct_labels(folder / "movie.ome.zarr", folder / "corrections.csv", out=out)
    np.testing.assert_array_equal(labels_of(out), truth())
    table = read_table(out, "nuclei")
    assert (table["label"] == table["track"]).all()
    mothers = table.drop_duplicates("track").set_index("track")["parent"].to_dict()
    assert mothers == {1: 0, 2: 0, 3: 0, 4: 3, 5: 3, 6: 0}
    assert (done.tracks, done.divisions, done.gaps, done.nuclei) == (6, 1, 0, len(table)) == (6, 1, 0, 27)
    corrected = table[table["seed"] == "corrected"]
    assert set(zip(corrected["t"], corrected["track"], strict=True)) == {(2, 1), (2, 2), (4, 5)}
    assert len(read_tracks(out)[1]) == 23
    np.testing.assert_array_equal(labels_of(folder / "movie.ome.zarr"), spoilt()[0])


def test_the_table_is_that_of_the_corrected_labels(folder: Path, tmp_path: Path) -> None:
    """Nuclei are as if the corrected pixels had been measured from the beginning."""
    correct_labels(folder / "movie.ome.zarr", folder / "corrections.csv", out=tmp_path / "ours.ome.zarr")
    root = write(tmp_path, truth(), "track,parent\n4,3\n5,3\n")
    adopt_labels(root, parents=tmp_path / "corrections.csv", out=tmp_path / "theirs.ome.zarr")
    ours, theirs = (read_table(tmp_path / f"{name}.ome.zarr", "nuclei") for name in ("ours", "theirs"))
    pd.testing.assert_frame_equal(ours.drop(columns="seed"), theirs.drop(columns="seed"))
    for mine, other in zip(*(read_tracks(tmp_path / f"{name}.ome.zarr") for name in ("ours", "theirs")), strict=True):
        pd.testing.assert_frame_equal(
            mine.drop(columns="seed", errors="ignore"), other.drop(columns="seed", errors="ignore")
        )


def test_the_result_is_the_same_for_any_block(folder: Path, tmp_path: Path) -> None:
    outs = [tmp_path / "whole.ome.zarr", tmp_path / "blocks.ome.zarr"]
    for out, block in zip(outs, (None, (5, 7, 11)), strict=True):
        correct_labels(folder / "movie.ome.zarr", folder / "corrections.csv", out=out, block=block)
    assert essence(outs[0]) == essence(outs[1])


def test_what_is_removed_is_background_and_may_be_everything(tmp_path: Path) -> None:
    movie, _ = spoilt()
    root = write(tmp_path, movie, HEADER + "remove,6,,,,\nremove,3,1,1,,\n")
    correct_labels(root, tmp_path / "corrections.csv")
    expected = np.where(movie == 6, 0, movie)
    expected[1][expected[1] == 3] = 0
    np.testing.assert_array_equal(labels_of(root, "nuclei-corrected"), expected)
    (tmp_path / "corrections.csv").write_text(HEADER + "".join(f"remove,{n},,,,\n" for n in range(1, 9)))
    done = correct_labels(root, tmp_path / "corrections.csv", overwrite=True)
    assert (done.nuclei, done.tracks) == (0, 0)
    assert not labels_of(root, "nuclei-corrected").any()


def test_mothers_of_the_result_that_is_corrected_are_kept(folder: Path, tmp_path: Path) -> None:
    first = tmp_path / "first.ome.zarr"
    correct_labels(folder / "movie.ome.zarr", folder / "corrections.csv", out=first)
    (tmp_path / "more.csv").write_text("action\ttrack\tfirst\tlast\tother\nswap\t3\t\t\t6\nsplit\t5\t5\n")
    done = correct_labels(first, tmp_path / "more.csv")
    table = read_table(first, "nuclei-corrected")
    mothers = table[table["parent"] > 0].drop_duplicates("track").set_index("track")["parent"].to_dict()
    assert mothers == {4: 6, 5: 6}
    assert done.notes[:2] == (
        "more.csv, line 2: 3 and 6 swapped in frames 0 to 5",
        "more.csv, line 3: 5 is now 7 in frame 5",
    )
    (tmp_path / "more.csv").write_text("action,track,other\njoin,4,3\n")
    done = correct_labels(first, tmp_path / "more.csv", overwrite=True)
    assert done.divisions == 0
    assert "2 nuclei, first 4, whose mother was 3" in done.notes[-1]


def test_frames_are_those_of_the_movie_that_was_filmed(tmp_path: Path) -> None:
    """Also where labels of part of a movie are stored alone, and count from 0; beside the movie they count as it does."""
    movie, _ = spoilt()
    (tmp_path / "part").mkdir()
    part = write(tmp_path / "part", movie[2:], HEADER)
    adopt_labels(part, out=tmp_path / "out.ome.zarr")
    record = tmp_path / "out.ome.zarr" / "tlseg" / "nuclei" / "run.json"
    content = json.loads(record.read_text())
    content["fingerprint"]["frames"] = [2, 6]
    record.write_text(json.dumps(content))
    (tmp_path / "c.csv").write_text(HEADER + "remove,6,5,,,\n")
    correct_labels(tmp_path / "out.ome.zarr", tmp_path / "c.csv")
    expected = movie[2:].copy()
    expected[3][expected[3] == 6] = 0
    np.testing.assert_array_equal(labels_of(tmp_path / "out.ome.zarr", "nuclei-corrected"), expected)
    (tmp_path / "whole").mkdir()
    root = write(tmp_path / "whole", np.where(np.arange(6)[:, None, None, None] < 2, 0, movie), HEADER)
    adopt_labels(root)
    record = root / "tlseg" / "nuclei-adopted" / "run.json"
    content["fingerprint"]["input_frames"] = [2, 6]
    record.write_text(json.dumps(content))
    done = correct_labels(root, tmp_path / "c.csv", labels_name="nuclei-adopted")
    assert "6 removed in frame 5" in done.notes[0]
    np.testing.assert_array_equal(labels_of(root, "nuclei-adopted-corrected")[2:], expected)


def test_planes_are_corrected_too(tmp_path: Path) -> None:
    movie = np.zeros((2, 40, 60), np.uint16)
    y, x = np.mgrid[:40, :60]
    one, two = ((y - 20) ** 2 + (x - 20) ** 2 <= 100), ((y - 20) ** 2 + (x - 37) ** 2 <= 64)
    movie[:, one | two] = 1
    movie[1][two & ~one] = 2
    tifffile.imwrite(tmp_path / "labels.tif", movie)
    (tmp_path / "c.csv").write_text("action;track;first;other;at\nseparate;1;0;2;10.2 9.8 / 9.7 18.9\n")
    out = tmp_path / "out.ome.zarr"
    correct_labels(tmp_path / "labels.tif", tmp_path / "c.csv", out=out, axes="TYX", spacing_um=(0.5, 0.5))
    found = labels_of(out)[0].reshape(40, 60)
    assert np.count_nonzero(found[one & ~two] != 1) + np.count_nonzero(found[two & ~one] != 2) <= 6
    assert not found[~(one | two)].any()
    (tmp_path / "c.csv").write_text("action,track,first,at\nseparate,1,0,0 10 10 / 0 9 18\n")
    with pytest.raises(LabelError, match=r"3 coordinates for each centre\. Expected yx"):
        correct_labels(
            tmp_path / "labels.tif", tmp_path / "c.csv", out=out, axes="TYX", spacing_um=(0.5, 0.5), overwrite=True
        )


def test_a_nucleus_is_separated_again_and_its_pieces_joined(tmp_path: Path) -> None:
    movie = truth()
    movie[0][np.isin(movie[0], (2, 3))] = 1
    lines = [
        "separate,1,0,,,12 9 9 / 12 19 9",
        "separate,7,0,,,12 19 9 / 12 26 29",
        "join,7,0,,2,",
        "join,8,0,,3,",
    ]
    root = write(tmp_path, movie, HEADER + "\n".join(lines) + "\n")
    correct_labels(root, tmp_path / "corrections.csv")
    np.testing.assert_array_equal(labels_of(root, "nuclei-corrected"), truth())


def test_record_report_and_command_tell_what_was_corrected(folder: Path, tmp_path: Path) -> None:
    out, table = tmp_path / "out.ome.zarr", folder / "corrections.csv"
    done = invoke(main, "correct", str(folder / "movie.ome.zarr"), str(table), "--out", str(out))
    assert done.exit_code == 0, done.stderr
    assert "corrections.csv, line 3: 1 separated from 2 in frame 2" in done.stdout
    assert "27 instances (one nucleus in one frame) in 6 frames, 6 tracks, 1 division" in done.stdout
    record = open_result(out).record
    kept = record["fingerprint"]["adopted"]["corrections"]
    assert kept[0] == {
        "action": "join",
        "track": 7,
        "first": 3,
        "last": None,
        "other": 1,
        "at_um": [],
        "where": "corrections.csv, line 2",
    }
    assert (record["repaired"], record["repairs"]) == (0, {"merged": 0, "cut": 0})
    assert run_status(out).state == "complete"
    page = Path(write_report(out, out=tmp_path / "report.html").path).read_text()
    assert "labels/nuclei with 6 corrections; mothers unknown" in page
    again = invoke(main, "correct", str(folder / "movie.ome.zarr"), str(table), "--out", str(out), "--json")
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "The header of .* is empty"),
        ("track,first\n1,2\n", "Expected a table with a header and the columns action, track"),
        (HEADER, "has no corrections below its header"),
        (HEADER + "fix,1,,,,\n", "line 2: 'fix' is not an action. Expected one of remove, join"),
        (HEADER + "remove,,,,,\n", "line 2: no track is given"),
        (HEADER + "\nremove,one,,,,\n", "line 3: track is 'one'. Expected a whole number"),
        (HEADER + "remove,1,5,4,,\n", "the last frame, 4, is before the first, 5"),
        (HEADER + "separate,1,2,,,1 2 / 3\n", "line 2: at is '1 2 / 3'. Expected centres in micrometres"),
        (HEADER + "separate,1,2,,,1 2 3 / 4 5 6 7\n", "Expected centres in micrometres"),
        (HEADER + "separate,1,2,,,1 2 3 / nan 5 6\n", "Expected centres in micrometres"),
        (HEADER + "separate,1,2,,,500 0 0 / 12 9 9\n", "1 cannot be separated at these centres in frame 2"),
        (HEADER + "mother,4,,,2,\n", "makes 2 the mother of 4, but in the labels 2 lasts until frame 5"),
        (HEADER + "mother,4,,,77,\n", "makes 77 the mother of 4, but no frame of the labels contains 77"),
    ],
)
def test_what_is_wrong_is_one_error_and_nothing_is_written(folder: Path, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(LabelError, match=words):
        correct_labels(folder / "movie.ome.zarr", tmp_path / "c.csv", out=tmp_path / "out.ome.zarr")
    assert not (tmp_path / "out.ome.zarr" / "labels" / "nuclei").exists()
    assert not (tmp_path / "out.ome.zarr" / "tlseg").exists()


def test_a_table_of_a_spreadsheet_is_read(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("sep=;\nTrack;Action;First;Last;Other;At\n17.0; Join ;3;;23.0;\n", "utf-16")
    (correction,) = read_corrections(tmp_path / "c.csv")
    assert (correction.action, correction.track, correction.first, correction.other) == ("join", 17, 3, 23)
    with pytest.raises(LabelError, match="is not a file"):
        read_corrections(tmp_path)


def test_any_workers_make_the_same_result(folder: Path, tmp_path: Path) -> None:
    """Also from a folder of files, which cannot travel while they are open."""
    (tmp_path / "stacks").mkdir()
    for t, frame in enumerate(spoilt()[0]):
        tifffile.imwrite(tmp_path / "stacks" / f"t{t}.tif", frame)
    table = folder / "corrections.csv"
    spacing: dict[str, Any] = {"spacing_um": SPACING}
    for given, options in ((folder / "movie.ome.zarr", {}), (tmp_path / "stacks", spacing)):
        outs = [tmp_path / f"{given.name}-{workers}.ome.zarr" for workers in (0, 2)]
        for out, workers in zip(outs, (0, 2), strict=True):
            correct_labels(given, table, out=out, workers=workers, block=(8, 24, 24), **options)
        assert essence(outs[0]) == essence(outs[1])
        np.testing.assert_array_equal(labels_of(outs[1]), truth())
        linked = [tmp_path / f"{given.name}-linked-{workers}.ome.zarr" for workers in (0, 2)]
        for out, workers in zip(linked, (0, 2), strict=True):
            link_labels(given, out=out, workers=workers, repair=True, **options)
        assert essence(linked[0]) == essence(linked[1])
