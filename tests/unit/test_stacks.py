"""Pairs to learn from, in every layout people keep them in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from handmade import write_movie
from tlseg.errors import LabelError, TrainingError
from tlseg.simulate.settings import SimulationSettings
from tlseg.store.image.image_writer import copy_image
from tlseg.store.image.movie import open_source
from tlseg.store.image.stacks import BBBC050_SPACING_UM
from tlseg.store.labels.label_writer import create_labels
from tlseg.store.labels.pairs import find_pairs, read_pair
from tlseg.train import simulated

SPACING = (2.0, 0.5, 0.5)
SHAPE = (6, 10, 12)


def labels(seed: int = 1) -> np.ndarray:
    result = np.zeros(SHAPE, dtype=np.uint16)
    result[1:4, 2:5, 3:7] = seed
    return result


def write_stacks(folder: Path, names: list[str], **metadata: object) -> None:
    folder.mkdir(parents=True)
    for name in names:
        tifffile.imwrite(folder / f"{name}.tif", labels(len(name)), **metadata)


def labelled_movie(path: Path, *, spacing_um: tuple[float, float, float] = SPACING) -> Path:
    """A movie of three frames; the middle one has no labels."""
    write_movie(path, np.stack([labels(n + 1) * 10 for n in range(3)]), spacing_um=spacing_um)
    for name in ("nuclei", "truth"):
        writer = create_labels(path, name=name, source=open_source(path))
        for t in (0, 2):
            for box in writer.regions:
                writer.write(t, box, labels(t + (5 if name == "truth" else 1))[box.slices])
        writer.finish()
    return path


def test_bbbc050_knows_its_spacing(data: Path) -> None:
    pairs = find_pairs(data / "bbbc050")
    assert len(pairs) == 121
    assert {p.spacing_um for p in pairs} == {BBBC050_SPACING_UM}
    assert sorted({p.group for p in pairs}) == [f"Emb{n:02d}" for n in range(1, 12)]


def test_stacks_of_the_same_names(tmp_path: Path) -> None:
    ome = {
        "metadata": {"axes": "ZYX", **{f"PhysicalSize{a}": s for a, s in zip("ZYX", SPACING, strict=True)}},
        "ome": True,
    }
    write_stacks(tmp_path / "images", ["a_1", "a_2", "b_10"], **ome)
    write_stacks(tmp_path / "labels", ["a_1", "a_2", "b_10"])
    pairs = find_pairs(tmp_path)
    assert [(p.name, p.group, p.spacing_um) for p in pairs] == [
        ("a_1", "a", SPACING),
        ("a_2", "a", SPACING),
        ("b_10", "b", SPACING),
    ]
    assert {p.spacing_um for p in find_pairs(tmp_path, spacing_um=(3.0, 1.0, 1.0))} == {(3.0, 1.0, 1.0)}
    image, truth = read_pair(pairs[2])
    assert np.array_equal(image, truth)
    assert np.array_equal(truth, labels(4))


def test_stacks_are_files_whose_names_end_as_those_of_tiffs_do(tmp_path: Path) -> None:
    for folder in ("images", "labels"):
        write_stacks(tmp_path / folder, ["a", "b"])
        (tmp_path / folder / "b.tif").rename(tmp_path / folder / "b.TIFF")
    (tmp_path / "images" / "b.tif.txt").write_text("a note")
    (tmp_path / "images" / ".c.tif").touch()
    assert [pair.name for pair in find_pairs(tmp_path, spacing_um=SPACING)] == ["a", "b"]


def test_training_data_may_be_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for folder in ("images", "labels"):
        write_stacks(tmp_path / "data" / folder, ["a"])
    assert [pair.name for pair in find_pairs("~/data", spacing_um=SPACING)] == ["a"]


def test_frames_of_one_movie_are_one_group(tmp_path: Path) -> None:
    groups = {
        "Emb07_t201": "Emb07",
        "Emb07_left_t1": "Emb07",
        "embryo-t000": "embryo",
        "e2T10": "e2",
        "t003": "movie",
        "left": "left",
        "part1": "part1",
    }
    for name in ("images", "labels"):
        write_stacks(tmp_path / "movie" / name, list(groups))
    pairs = find_pairs(tmp_path / "movie", spacing_um=SPACING)
    assert {p.name: p.group for p in pairs} == groups


def test_a_damaged_stack_is_named(tmp_path: Path) -> None:
    """What a codec raises is no error that a command line knows."""
    write_stacks(tmp_path / "images", ["a"], compression="zlib", photometric="minisblack")
    write_stacks(tmp_path / "labels", ["a"])
    (pair,) = find_pairs(tmp_path, spacing_um=SPACING)
    with tifffile.TiffFile(pair.image) as tif:
        start, size = tif.pages[1].dataoffsets[0], tif.pages[1].databytecounts[0]
    data = pair.image.read_bytes()
    pair.image.write_bytes(data[:start] + bytes(size) + data[start + size :])
    with pytest.raises(TrainingError, match=r"a\.tif cannot be read as a TIFF stack"):
        read_pair(pair)


def test_a_spacing_nobody_states_is_asked_for(tmp_path: Path) -> None:
    for name in ("images", "labels"):
        write_stacks(tmp_path / name, ["a_1"])
    with pytest.raises(TrainingError, match=r"a_1\.tif does not give its voxel size.* --spacing Z,Y,X"):
        find_pairs(tmp_path)


def test_ctc_frames_with_truth_are_pairs(tmp_path: Path) -> None:
    for sequence in ("01", "02"):
        write_stacks(tmp_path / sequence, ["t000", "t001", "t002"])
    write_stacks(tmp_path / "01_GT/SEG", ["man_seg000", "man_seg002"])
    write_stacks(tmp_path / "01_GT/TRA", ["man_track000", "man_track001", "man_track002"])
    write_stacks(tmp_path / "02_GT/TRA", ["man_track001"])
    pairs = find_pairs(tmp_path, spacing_um=SPACING)
    assert [(p.name, p.group, p.truth) for p in pairs] == [
        ("01_t000", "01", "outlines"),
        ("01_t002", "01", "outlines"),
        ("02_t001", "02", "markers"),
    ]
    assert [p.labels.name for p in pairs] == ["man_seg000.tif", "man_seg002.tif", "man_track001.tif"]
    write_stacks(tmp_path / "02_ST/SEG", ["man_seg000", "man_seg001"])
    assert [(p.name, p.truth) for p in find_pairs(tmp_path, spacing_um=SPACING)[2:]] == [
        ("02_t000", "outlines"),
        ("02_t001", "outlines"),
    ]
    (tmp_path / "02/t001.tif").unlink()
    with pytest.raises(TrainingError, match="no image of that frame"):
        find_pairs(tmp_path, spacing_um=SPACING)


def test_single_planes_of_truth_are_not_frames(tmp_path: Path) -> None:
    write_stacks(tmp_path / "01", ["t000"])
    write_stacks(tmp_path / "01_GT/SEG", ["man_seg_000_003"])
    with pytest.raises(TrainingError, match="no training pairs"):
        find_pairs(tmp_path, spacing_um=SPACING)


def test_labelled_frames_of_a_movie_are_pairs(tmp_path: Path) -> None:
    movie = labelled_movie(tmp_path / "emb7.ome.zarr")
    pairs = find_pairs(movie)
    assert [(p.name, p.group, p.frame, p.spacing_um) for p in pairs] == [
        ("emb7_t000", "emb7", 0, SPACING),
        ("emb7_t002", "emb7", 2, SPACING),
    ]
    image, truth = read_pair(pairs[1])
    assert np.array_equal(image, labels(3) * 10)
    assert np.array_equal(truth, labels(7))
    assert np.array_equal(read_pair(find_pairs(movie, labels="nuclei")[0])[1], labels(1))
    with pytest.raises(LabelError, match="no labels named 'cells'"):
        find_pairs(movie, labels="cells")


def test_image_and_labels_of_a_pair_are_of_the_same_time(tmp_path: Path) -> None:
    whole = labelled_movie(tmp_path / "whole.ome.zarr")
    part = tmp_path / "part.ome.zarr"
    copy = copy_image(open_source(whole), part, frames=range(1, 3))
    for t in (1, 2):
        for box in copy.regions:
            copy.write(t, box)
    copy.finish()
    for name, frames in (("nuclei", range(2)), ("last", range(1, 2))):
        writer = create_labels(part, name=name, source=open_source(part), frames=frames)
        for box in writer.regions:
            writer.write(1, box, labels(7)[box.slices])
        writer.finish()
        for given in (part, part / "labels" / name):
            (pair,) = find_pairs(given, labels=name if given == part else None)
            assert (pair.name, pair.frame) == ("part_t001", 1)
            image, truth = read_pair(pair)
            assert np.array_equal(image, labels(3) * 10), "frame 2 of the whole movie is frame 1 of its part"
            assert np.array_equal(truth, labels(7))


def test_labels_without_their_image_are_no_pairs(tmp_path: Path) -> None:
    movie = labelled_movie(tmp_path / "movie.ome.zarr")
    short = write_movie(tmp_path / "short.ome.zarr", np.ones((2, *SHAPE), np.uint16), spacing_um=SPACING)
    shutil.copytree(movie / "labels", short / "labels")
    with pytest.raises(TrainingError, match="The image has 2 frames and lacks some"):
        find_pairs(short)
    with pytest.raises(TrainingError, match="no image beside them"):
        find_pairs(shutil.copytree(movie / "labels" / "truth", tmp_path / "alone.zarr"))


def test_a_folder_of_movies_has_a_group_for_each(tmp_path: Path) -> None:
    for name in ("b", "a"):
        labelled_movie(tmp_path / f"{name}.ome.zarr")
    assert [p.name for p in find_pairs(tmp_path)] == ["a_t000", "a_t002", "b_t000", "b_t002"]
    write_movie(tmp_path / "c.ome.zarr", np.ones((1, *SHAPE), np.uint16))
    with pytest.raises(LabelError, match="is an image without labels"):
        find_pairs(tmp_path)


def test_whole_numbers_stored_as_floats_are_labels_and_probabilities_are_not(tmp_path: Path) -> None:
    for name in ("images", "labels"):
        write_stacks(tmp_path / name, ["a_1"])
    (path,) = find_pairs(tmp_path, spacing_um=SPACING)
    tifffile.imwrite(tmp_path / "labels/a_1.tif", labels(7).astype(np.float32))
    found = read_pair(path)[1]
    assert found.dtype.kind == "u"
    assert np.array_equal(found, labels(7))
    tifffile.imwrite(tmp_path / "labels/a_1.tif", labels(7).astype(np.float32) / 10)
    with pytest.raises(LabelError, match=r"a_1.* not whole .*not probabilities"):
        read_pair(path)


def test_labels_below_0_are_named(tmp_path: Path) -> None:
    for name in ("images", "labels"):
        write_stacks(tmp_path / name, ["a_1"])
    tifffile.imwrite(tmp_path / "labels/a_1.tif", labels().astype(np.int16) - 1)
    (path,) = find_pairs(tmp_path, spacing_um=SPACING)
    with pytest.raises(LabelError, match=r"a_1.* has values from -1 to"):
        read_pair(path)


def test_nothing_to_learn_from_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"holds no training pairs.*OME-Zarr.*Cell Tracking"):
        find_pairs(tmp_path)
    with pytest.raises(TrainingError, match="nowhere does not exist"):
        find_pairs(tmp_path / "nowhere")


def test_simulated_embryos_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, other = (
        [SimulationSettings(frames=1, shape=(12, 40, 40), start_nuclei=2, radius_um=4.0, seed=s + n) for n in range(2)]
        for s in (0, 5)
    )
    monkeypatch.setattr(simulated, "simulated_settings", lambda seed: first if seed == 0 else other)
    pairs = simulated.simulated_pairs(tmp_path, seed=0)
    assert [p.group for p in pairs] == ["sim00", "sim01"]
    before = [read_pair(p)[0] for p in pairs]
    made: list[int] = []
    again = simulated.simulated_pairs(tmp_path, seed=0, report=lambda done, _: made.append(done))
    assert again == pairs
    assert made == []
    (tmp_path / "settings.json").write_text(json.dumps([]))
    simulated.simulated_pairs(tmp_path, seed=5, report=lambda done, _: made.append(done))
    assert made == [1, 2]
    assert not np.array_equal(read_pair(pairs[0])[0], before[0])


def test_simulated_microscopes_differ() -> None:
    settings = simulated.simulated_settings(3)
    assert settings == simulated.simulated_settings(3)
    assert settings != simulated.simulated_settings(4)
    ratios = [s.spacing_um[0] / s.spacing_um[1] for s in settings]
    assert 1.5 <= min(ratios) < 2 < 3 < max(ratios) <= 3.5
    assert {s.start_nuclei for s in settings} == set(simulated.STAGES)
