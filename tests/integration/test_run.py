"""A whole run: labels equal those worked out in memory however the work is cut, and all that is written agrees."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import zarr
from scipy import ndimage

from handmade import save_threshold_model, write_channels, write_movie
from runs import (
    SHAPE,
    SPACING_UM,
    essence,
    inputs,
    labels_of,
    planned,
    reference,
    run,
    same_up_to_numbers,
    small_movie,
    tree,
)
from tlseg.errors import LabelError, ModelError, RunError
from tlseg.geometry import triple
from tlseg.label.small import median_volume
from tlseg.link import Lineage
from tlseg.measure.doubts import doubts_of
from tlseg.models.bundle import Flips, load_model
from tlseg.models.derive import nucleus_um, rescaled, save_derived
from tlseg.predict.infer import load_predictor
from tlseg.predict.maps import lattice_for, predict_frame
from tlseg.run import finish, publish, stages
from tlseg.run.frames import frames_per_group
from tlseg.run.segment import segment
from tlseg.run.watch.events import Event, Notice
from tlseg.store.image.pyramid import downsample_labels
from tlseg.store.labels.result import Result, open_result
from tlseg.store.labels.tables import COLUMNS

BLOCKS = [(32, 48, 48), (16, 16, 16), (16, 32, 48)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with `movie.ome.zarr`, `model` and a finished run of it in `result.ome.zarr`."""
    folder = tmp_path_factory.mktemp("run")
    movie, model = inputs(folder)
    run(movie, model, out=folder / "result.ome.zarr", keep_maps=True)
    return folder


@pytest.fixture(scope="module")
def result(base: Path) -> Result:
    return open_result(base / "result.ome.zarr")


# --- labels ---------------------------------------------------------------------------------------------------------


def test_labels_equal_those_worked_out_in_memory(base: Path) -> None:
    labels = labels_of(base / "result.ome.zarr")
    assert labels.dtype == np.uint32
    for frame, image in zip(labels, small_movie(), strict=True):
        expected = reference(image, base / "model")
        assert expected.max() > 5
        assert same_up_to_numbers(frame, expected)


@pytest.mark.parametrize("block", BLOCKS)
def test_block_shape_changes_no_byte(base: Path, tmp_path: Path, block: tuple[int, int, int]) -> None:
    summary = run(base / "movie.ome.zarr", base / "model", out=tmp_path / "out.zarr", block=block, image=False)
    assert essence(tmp_path / "out.zarr") == essence(base / "result.ome.zarr")
    assert summary.audit["face_voxels_that_disagree"] == 0
    blocks = 3 * np.prod([-(-n // b) for n, b in zip(SHAPE, block, strict=True)])
    assert summary.audit["blocks"] == blocks
    assert (summary.audit["face_voxels_compared"] > 0) == (blocks > 3)


def test_levels_are_picked_from_the_finest(base: Path) -> None:
    root = base / "result.ome.zarr"
    metadata = json.loads((root / "labels/nuclei/zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]
    image = json.loads((root / "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]
    assert len(metadata["datasets"]) == len(image["datasets"])
    finest = labels_of(root)
    for level in range(1, len(metadata["datasets"])):
        coarse = labels_of(root, level=level)
        steps = [round(a / b) for a, b in zip(finest.shape, coarse.shape, strict=True)]
        np.testing.assert_array_equal(coarse[0], downsample_labels(finest[0], (steps[1], steps[2], steps[3])))


# --- tables and tracks ----------------------------------------------------------------------------------------------


def test_table_agrees_with_labels(result: Result, base: Path) -> None:
    labels, table = labels_of(base / "result.ome.zarr"), result.table()
    assert list(table.columns)[: len(COLUMNS)] == list(COLUMNS)
    assert (table["label"] == table["track"]).all()
    assert not table.duplicated(["t", "label"]).any()
    for t, frame in enumerate(labels):
        rows = table[table["t"] == t]
        counts = np.bincount(frame.ravel())
        present = np.flatnonzero(counts[1:]) + 1
        assert rows["label"].tolist() == present.tolist()
        assert rows["volume_voxels"].tolist() == counts[present].tolist()
        np.testing.assert_allclose(rows["volume_um3"], counts[present] * np.prod(SPACING_UM))
        centres = np.array(ndimage.center_of_mass(frame > 0, frame, present))
        np.testing.assert_allclose(rows[["z", "y", "x"]], centres, atol=1e-9)
        np.testing.assert_allclose(rows[["z_um", "y_um", "x_um"]], centres * SPACING_UM, atol=1e-9)
        means = ndimage.mean(small_movie()[t], frame, present)
        np.testing.assert_allclose(rows["intensity_mean"], means)
        for label, box in zip(present, (b for b in ndimage.find_objects(frame) if b), strict=True):
            row = rows[rows["label"] == label].iloc[0]
            assert [(row[f"bbox_{a}0"], row[f"bbox_{a}1"]) for a in "zyx"] == [(s.start, s.stop) for s in box]
            edge = any(s.start == 0 or s.stop == n for s, n in zip(box, SHAPE, strict=True))
            assert bool(row["touches_edge"]) == edge


def test_what_has_no_seed_is_kept_and_flagged(result: Result, base: Path) -> None:
    """The dim block has no centre in the map: it is a fallback if it touches nothing else."""
    table = result.table()
    assert set(table["seed"]) == {"detected", "fallback"}
    assert len(table[table["seed"] == "fallback"]) == result.record["fallback"]
    row = table[table["seed"] == "fallback"].iloc[0]
    assert labels_of(base / "result.ome.zarr")[row["t"], 4, 6, 18] == row["label"]


def test_tracks_agree_with_table(result: Result) -> None:
    nodes, edges = result.tracks()
    table = result.table()
    columns = ["t", "label", "track", "lineage", "parent", "generation", "z_um", "y_um", "x_um", "volume_um3"]
    expected = table[columns].sort_values(["t", "label"], ignore_index=True)
    pd.testing.assert_frame_equal(nodes[columns], expected, check_dtype=False)
    keys = set(zip(table["t"], table["label"], strict=True))
    for end in "ab":
        assert set(zip(edges[f"t_{end}"], edges[f"label_{end}"], strict=True)) <= keys
    same = edges[edges["kind"] != "division"]
    assert len(same)
    assert (same["label_a"] == same["label_b"]).all()
    assert (edges["t_b"] > edges["t_a"]).all()


# --- record, audit, scratch -----------------------------------------------------------------------------------------


def test_record_is_complete_and_written_last(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    movie, out = base / "movie.ome.zarr", tmp_path / "out.zarr"
    there: list[set[str]] = []
    write = publish.write_record

    def spy(path: Path, record: Any) -> None:
        if path.name == "run.json":
            there.append(set(tree(out)))
        write(path, record)

    monkeypatch.setattr(publish, "write_record", spy)
    run(movie, base / "model", out=out, frames="0:1", keep_maps=True)
    after = {path for path in tree(out) if "/scratch" not in path}
    new = after - there[0]
    assert new == {"tlseg/nuclei/run.json"}
    record = json.loads((out / "tlseg/nuclei/run.json").read_text())
    assert record["complete"] is True
    assert record["audit"] == json.loads((out / "tlseg/nuclei/audit.json").read_text())
    assert record["audit"]["face_voxels_that_disagree"] == 0


def test_scratch_is_gone_and_maps_are_kept_when_asked(base: Path) -> None:
    folder = base / "result.ome.zarr/tlseg/nuclei"
    assert {p.name for p in folder.iterdir()} == {"run.json", "audit.json", "events.jsonl", "maps"}
    maps = zarr.open_array(folder / "maps", mode="r")
    model = load_model(base / "model")
    for row, role in enumerate(("nsn", "ndn")):
        network = load_predictor(str(model.folder), model.digest, role, "cpu")  # type: ignore[arg-type]
        for t, image in enumerate(small_movie()):
            expected = predict_frame(image, SPACING_UM, spec=model.spec, role=role, network=network)  # type: ignore[arg-type]
            np.testing.assert_array_equal(maps[t, row], expected)


def test_a_forged_disagreement_fails_the_run_and_publishes_nothing(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flood = stages.flood

    def forged(context: Any, frame: int, block: int) -> int:
        tries = flood(context, frame, block)
        core = context.grid[block]
        if core.start[1]:
            y = core.start[1]
            at = (context.row(frame), core.slices[0], slice(y, y + 1), core.slices[2])
            plane = context.scratch.array("labels")[at]
            numbers = context.scratch.get("numbers", frame, 0)
            other = np.arange(int(numbers["total"]) + 1, dtype=np.uint32)
            detected = np.setdiff1d(other[1:], numbers["fallback_labels"])
            other[detected] = np.roll(detected, 1)
            context.scratch.array("labels")[at] = other[plane]
        return tries

    monkeypatch.setattr(stages, "flood", forged)
    out = tmp_path / "out.zarr"
    with pytest.raises(RunError, match=r"voxels compared across block faces disagree.*nothing was published"):
        run(base / "movie.ome.zarr", base / "model", out=out, frames="0:1")
    assert not (out / "labels/nuclei").exists()
    assert not (out / "tables").exists()
    assert not (out / "tracks.geff").exists()
    assert not (out / "tlseg/nuclei/run.json").exists()
    assert json.loads((out / "tlseg/nuclei/audit.json").read_text())["face_voxels_that_disagree"] > 0
    with pytest.raises(LabelError, match="no finished labels"):
        open_result(out)


def test_a_number_that_32_bits_do_not_hold_fails_the_run_and_publishes_nothing(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = finish.link_objects

    def forged(*arguments: Any, **settings: Any) -> Lineage:
        lineage = link(*arguments, **settings)
        last = lineage.nodes["track"] == lineage.nodes["track"].max()
        return replace(lineage, nodes=lineage.nodes.assign(track=lineage.nodes["track"].mask(last, 2**32)))

    monkeypatch.setattr(finish, "link_objects", forged)
    out = tmp_path / "out.zarr"
    with pytest.raises(RunError, match="more tracks than 32 bits can number"):
        run(base / "movie.ome.zarr", base / "model", out=out, frames="0:1")
    assert not (out / "labels/nuclei").exists()
    assert not (out / "tlseg/nuclei/run.json").exists()


# --- where it is written --------------------------------------------------------------------------------------------


def test_in_place_the_pixels_stay_and_labels_are_the_same(base: Path, tmp_path: Path) -> None:
    movie = write_movie(tmp_path / "movie.ome.zarr", small_movie())
    before = tree(movie)
    run(movie, base / "model")
    after = tree(movie)
    assert {p: after[p] for p in before} == before
    assert essence(movie) == essence(base / "result.ome.zarr")
    new = {p.split("/")[0] for p in set(after) - set(before)}
    assert new == {"labels", "tables", "tracks.geff", "tlseg"}
    assert {p.name for p in (movie / "tlseg/nuclei").iterdir()} == {"run.json", "audit.json", "events.jsonl"}


def test_a_folder_may_have_any_name(base: Path, tmp_path: Path) -> None:
    """Libraries that take texts for addresses read `::` as a chain of them."""
    folder = tmp_path / "a::b #1 [c]?%20"
    folder.mkdir()
    movie = write_movie(folder / "movie.ome.zarr", small_movie(1))
    run(movie, base / "model")
    found = open_result(movie)
    assert len(found.table()) == len(found.tracks()[0]) > 5


def test_out_copies_the_image(base: Path, tmp_path: Path) -> None:
    copied = zarr.open_array(base / "result.ome.zarr/0", mode="r")
    np.testing.assert_array_equal(copied[:, 0], small_movie())
    run(base / "movie.ome.zarr", base / "model", out=tmp_path / "bare.zarr", image=False, frames="0:1")
    assert not (tmp_path / "bare.zarr/0").exists()
    assert open_result(tmp_path / "bare.zarr").image is None


def test_a_range_of_frames(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.zarr"
    run(base / "movie.ome.zarr", base / "model", out=out, frames="1:3")
    labels, whole = labels_of(out), labels_of(base / "result.ome.zarr")
    assert len(labels) == 2
    assert all(same_up_to_numbers(a, b) for a, b in zip(labels, whole[1:], strict=True))
    assert sorted(set(open_result(out).table()["t"])) == [0, 1]
    np.testing.assert_array_equal(zarr.open_array(out / "0", mode="r")[:, 0], small_movie()[1:])
    assert float(open_result(out).labels["t"][0]) == 60.0


def test_a_range_of_frames_in_place_keeps_frame_numbers(base: Path, tmp_path: Path) -> None:
    movie = write_movie(tmp_path / "movie.ome.zarr", small_movie())
    run(movie, base / "model", frames="1:2")
    labels = labels_of(movie)
    assert len(labels) == 3
    assert not labels[[0, 2]].any()
    assert same_up_to_numbers(labels[1], reference(small_movie()[1], base / "model"))
    assert set(open_result(movie).table()["t"]) == {1}
    assert set(open_result(movie).tracks()[0]["t"]) == {1}


def test_an_image_that_no_run_copied_is_never_replaced(base: Path, tmp_path: Path) -> None:
    other = write_movie(tmp_path / "other.ome.zarr", small_movie()[::-1])
    before = tree(other)
    for overwrite in (False, True):
        with pytest.raises(LabelError, match="not a copy made by a run"):
            run(base / "movie.ome.zarr", base / "model", out=other, overwrite=overwrite)
    assert tree(other) == before


def test_a_result_is_replaced_only_when_told(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.zarr"
    run(base / "movie.ome.zarr", base / "model", out=out, frames="0:1")
    first = tree(out)
    with pytest.raises(LabelError, match=r"made with other settings: frames was \[0, 1\], is \[0, 2\]\."):
        run(base / "movie.ome.zarr", base / "model", out=out, frames="0:2")
    with pytest.raises(LabelError, match="already has labels 'nuclei'"):
        run(base / "movie.ome.zarr", base / "model", out=out, frames="0:1", repair=False)
    assert tree(out) == first
    run(base / "movie.ome.zarr", base / "model", out=out, block=(16, 16, 48), overwrite=True)
    assert essence(out) == essence(base / "result.ome.zarr")
    np.testing.assert_array_equal(zarr.open_array(out / "0", mode="r")[:, 0], small_movie())


def test_labels_of_another_name_lie_beside(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.zarr"
    run(base / "movie.ome.zarr", base / "model", out=out, frames="0:1")
    first = tree(out)
    run(base / "movie.ome.zarr", base / "model", out=out, frames="0:1", name="second")
    after = tree(out)
    kept = {p: d for p, d in first.items() if p.startswith(("0/", "labels/nuclei", "tables/nuclei", "tlseg/nuclei"))}
    assert {p: after.get(p) for p in kept} == kept
    tracks = {p.split("/", 1)[1]: d for p, d in first.items() if p.startswith("tracks.geff/")}
    assert {p.split("/", 1)[1]: d for p, d in after.items() if p.startswith("tracks-nuclei.geff/")} == tracks
    np.testing.assert_array_equal(labels_of(out, "second"), labels_of(out))


# --- inputs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_data_types(base: Path, tmp_path: Path, dtype: str) -> None:
    image = small_movie(1)
    image = {"uint8": image // 5, "int16": image.astype(np.int32) - 500, "float32": image / 1000 - 0.3}[dtype].astype(
        dtype
    )
    movie = write_movie(tmp_path / "movie.ome.zarr", image)
    run(movie, base / "model")
    expected = reference(image[0], base / "model")
    assert expected.max() > 5
    assert same_up_to_numbers(labels_of(movie)[0], expected)
    means = open_result(movie).table().set_index("label")["intensity_mean"]
    counted = ndimage.mean(image[0].astype(np.float64), labels_of(movie)[0], means.index)
    np.testing.assert_allclose(means, counted, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("channel", [1, "red"])
def test_choice_of_channel(base: Path, tmp_path: Path, channel: int | str) -> None:
    image = small_movie(1)
    write_channels(tmp_path / "movie.ome.zarr", {"green": image[:, ::-1], "red": image})
    run(tmp_path / "movie.ome.zarr", base / "model", channel=channel, out=tmp_path / "out.zarr")
    assert same_up_to_numbers(labels_of(tmp_path / "out.zarr")[0], reference(image[0], base / "model"))
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "out.zarr/0", mode="r")[0, 0], image[0])


@pytest.fixture(scope="module")
def coarse_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that drops what is smaller than 20 cubic micrometres, such as one bright voxel."""
    folder = tmp_path_factory.mktemp("coarse") / "model"
    return save_threshold_model(folder, window=(16, 32, 32), minimum_volume_um3=20.0).folder


def nearly_empty(frame: np.ndarray) -> None:
    frame[...] = 100
    frame[0, 0, 0] = 101


def test_a_frame_without_nuclei(coarse_model: Path, tmp_path: Path) -> None:
    image = small_movie(3)
    nearly_empty(image[1])
    movie = write_movie(tmp_path / "movie.ome.zarr", image)
    run(movie, coarse_model)
    labels, table = labels_of(movie), open_result(movie).table()
    assert not labels[1].any()
    assert set(table["t"]) == {0, 2}
    for t in (0, 2):
        assert labels[t].any()
        assert same_up_to_numbers(labels[t], reference(image[t], coarse_model))


def test_a_movie_without_nuclei(coarse_model: Path, tmp_path: Path) -> None:
    image = np.empty((2, *SHAPE), np.uint16)
    for frame in image:
        nearly_empty(frame)
    movie = write_movie(tmp_path / "movie.ome.zarr", image)
    summary = run(movie, coarse_model)
    assert (summary.nuclei, summary.tracks, summary.fallback) == (0, 0, 0)
    assert not labels_of(movie).any()
    nodes, edges = open_result(movie).tracks()
    assert len(open_result(movie).table()) == len(nodes) == len(edges) == 0


@pytest.mark.parametrize("least", ["minimum_volume_um3", "minimum_volume_fraction"])
def test_small_nuclei_are_dropped_everywhere(base: Path, tmp_path: Path, least: str) -> None:
    """From labels, table and tracks, whether they had a seed or not; the others are unchanged."""
    whole = reference(small_movie()[0], base / "model")
    voxels = np.bincount(whole.ravel())
    middle = float(np.median(voxels[1:]))
    value = middle * float(np.prod(SPACING_UM)) if least == "minimum_volume_um3" else middle / median_volume(voxels[1:])
    model = save_threshold_model(tmp_path / "model", window=(16, 32, 32), **{least: value})
    summary = run(base / "movie.ome.zarr", model.folder, out=tmp_path / "out.zarr", frames="0:1")
    kept = np.where(voxels[whole] >= middle, whole, 0)
    assert 0 < len(np.unique(kept)) < len(np.unique(whole))
    assert same_up_to_numbers(labels_of(tmp_path / "out.zarr")[0], kept)
    result = open_result(tmp_path / "out.zarr")
    assert summary.nuclei == len(result.table()) == len(result.tracks()[0]) == len(np.unique(kept)) - 1


@pytest.mark.parametrize(("asked", "told", "expected"), [(1, None, 1), (1, 4, 4), (8, None, 8), (8, 1, 1)])
def test_a_run_may_say_otherwise_than_its_model_about_flips(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Flips, told: Flips | None, expected: int
) -> None:
    model = save_threshold_model(tmp_path / "model", window=(16, 32, 32), flips=asked).folder
    used = []

    def loaded(*args: Any, **options: Any) -> Any:
        used.append(load_predictor(*args, **options))
        return used[-1]

    monkeypatch.setattr(stages, "load_predictor", loaded)
    run(base / "movie.ome.zarr", model, out=tmp_path / "out.zarr", frames="0:1", flips=told)
    assert {len(predictor.mirrored) for predictor in used} == {expected}
    record = json.loads((tmp_path / "out.zarr/tlseg/nuclei/run.json").read_text())
    assert record["model"]["flips"] == expected


# --- dark windows -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [(32, 48, 144), (16, 16, 16)])
def test_networks_do_not_see_the_dark_of_a_wide_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: tuple[int, int, int]
) -> None:
    field = np.random.default_rng(0).normal(100, 6, (2, *SHAPE[:2], 3 * SHAPE[2])).astype(np.uint16)
    field[..., : SHAPE[2]] = small_movie(2)
    movie = write_movie(tmp_path / "movie.ome.zarr", field)
    model = save_threshold_model(tmp_path / "model", window=(16, 32, 32), dark_threshold=0.05)
    shown = []

    def loaded(*args: Any, **options: Any) -> Any:
        predictor = load_predictor(*args, **options)

        def counting(windows: Any, **more: Any) -> Any:
            shown.append(len(windows))
            return predictor(windows, **more)

        return Mock(side_effect=counting, batch=predictor.batch)

    monkeypatch.setattr(stages, "load_predictor", loaded)
    run(movie, model.folder, out=tmp_path / "out.zarr", block=block, image=False)
    lattice = lattice_for(model.spec, "nsn", shape=triple(field.shape[1:]), spacing_um=SPACING_UM)
    everything = 2 * 2 * len(lattice)
    assert 0 < sum(shown) < everything / 2
    for frame, image in zip(labels_of(tmp_path / "out.zarr"), field, strict=True):
        expected = reference(image, model)
        assert expected.max() > 5
        assert same_up_to_numbers(frame, expected)


@pytest.mark.parametrize(
    ("batch", "dark_threshold", "in_a_task"), [(8, 0.05, 32), (64, 0.05, 64), (1, 0.05, 4), (8, 0.0, 8)]
)
def test_a_gpu_gets_several_batches_at_once_if_some_of_their_windows_may_be_dark(
    base: Path, batch: int, dark_threshold: float, in_a_task: int
) -> None:
    made = planned(base / "movie.ome.zarr", model=base / "model", device="cpu").run
    spec = replace(made.spec, batch=batch, dark_threshold=dark_threshold)
    on_gpu = replace(made, device="cuda", spec=spec)
    assert on_gpu.windows_per_task == in_a_task
    assert on_gpu.windows_together == batch
    many = replace(on_gpu, frames=range(1000))
    assert frames_per_group(many) == max(1, batch // len(many.lattice("nsn")))


# --- nuclei of another size ------------------------------------------------------------------------------------------


def test_a_model_for_nuclei_of_another_size_is_the_rescaled_one(base: Path, tmp_path: Path) -> None:
    model = load_model(base / "model")
    spec = rescaled(model.spec, 0.5)
    save_derived(tmp_path / "small", model, spec)
    whole = run(base / "movie.ome.zarr", tmp_path / "small", out=tmp_path / "a.zarr", frames="0:1", image=False)
    asked = {"nucleus_um": nucleus_um(spec.spacing_um), "frames": "0:1", "image": False}
    said = run(base / "movie.ome.zarr", base / "model", out=tmp_path / "b.zarr", **asked)
    assert essence(tmp_path / "a.zarr") == essence(tmp_path / "b.zarr") != essence(base / "result.ome.zarr")
    assert whole.nuclei == said.nuclei > 0
    record = json.loads((tmp_path / "b.zarr/tlseg/nuclei/run.json").read_text())
    assert record["model"]["spacing_um"] == pytest.approx([0.8, 0.4, 0.4])
    assert record["nucleus_um"]["learned"] == pytest.approx(asked["nucleus_um"])
    assert record["fingerprint"]["model"]["nucleus_um"] == asked["nucleus_um"]
    assert run(base / "movie.ome.zarr", base / "model", out=tmp_path / "b.zarr", **asked).complete_already
    # What follows from the width is not listed as if somebody had set it.
    with pytest.raises(LabelError, match=r"other settings: model.nucleus_um was [\d.]+, is not set\. Use"):
        run(base / "movie.ome.zarr", base / "model", out=tmp_path / "b.zarr", frames="0:1", image=False)


@pytest.mark.parametrize("wrong", [0.0, -3.0, float("nan"), float("inf"), "4", True])
def test_widths_that_no_nucleus_has_are_refused(base: Path, tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(ModelError, match=r"nucleus_um is .*; expected a number above 0"):
        run(base / "movie.ome.zarr", base / "model", out=tmp_path / "out.zarr", nucleus_um=wrong)
    assert not (tmp_path / "out.zarr").exists()


@pytest.mark.parametrize(("asked", "warned"), [(None, False), (12.0, False), (60.0, True)])
def test_nuclei_that_look_larger_or_smaller_are_told_before_networks_run(
    base: Path, tmp_path: Path, asked: float | None, warned: bool
) -> None:
    heard: list[Any] = []
    run(
        base / "movie.ome.zarr",
        base / "model",
        out=tmp_path / "out.zarr",
        frames="1:3",
        skip_frames="1",
        nucleus_um=asked,
        listener=heard.append,
    )
    told = [i for i, event in enumerate(heard) if isinstance(event, Notice) and "Nuclei look about" in event.text]
    predicted = next(i for i, event in enumerate(heard) if isinstance(event, Event) and event.stage == "predict")
    record = json.loads((tmp_path / "out.zarr/tlseg/nuclei/run.json").read_text())
    assert record["nucleus_um"]["seen_in"] == 2
    assert 8 < record["nucleus_um"]["seen"] < 18
    assert len(told) == warned
    if warned:
        assert told[0] < predicted
        assert "wide in frame 2, but the model" in heard[told[0]].text
        assert doubts_of(record)[-1].split(",")[0] == heard[told[0]].text.split(",")[0]


# --- other programs -------------------------------------------------------------------------------------------------


def test_ome_zarr_models_accepts_the_result(base: Path) -> None:
    from ome_zarr_models.v05 import Image, ImageLabel

    root = base / "result.ome.zarr"
    assert Image.from_zarr(zarr.open_group(root, mode="r")).labels is not None
    ImageLabel.from_zarr(zarr.open_group(root / "labels/nuclei", mode="r"))


@pytest.mark.filterwarnings("ignore")
def test_ngio_opens_the_result(base: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ngio = pytest.importorskip("ngio")
        container = ngio.open_ome_zarr_container(base / "result.ome.zarr")
        assert container.list_labels() == container.list_tables() == ["nuclei"]
        labels = container.get_label("nuclei").get_array()
        features = container.get_feature_table("nuclei").dataframe
    np.testing.assert_array_equal(labels, labels_of(base / "result.ome.zarr"))
    assert len(features) == open_result(base / "result.ome.zarr").record["nuclei"]


@pytest.mark.filterwarnings("ignore")
def test_napari_opens_the_result(base: Path) -> None:
    pytest.importorskip("napari")
    from napari_ome_zarr import napari_get_reader

    root = str(base / "result.ome.zarr")
    layers = {kind: data for data, _, kind in napari_get_reader(root)(root)}
    np.testing.assert_array_equal(np.asarray(layers["labels"][0]), labels_of(base / "result.ome.zarr"))
    np.testing.assert_array_equal(np.asarray(layers["image"][0])[:, 0], small_movie())


# --- plan -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [(16, 16, 48), (32, 48, 48)])
def test_the_plan_is_what_happens(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: tuple[int, int, int]
) -> None:
    """Units of work by stage; a predict task holds several windows, and the plan counts windows."""
    from tlseg.run.tasks import work as module

    counted: dict[str, int] = {}
    drive = module.drive

    def counting(next_flow: Any, pool: Any, *, open_flows: int, on_done: Any) -> None:
        def both(task: Any, result: Any) -> None:
            counted[task.stage] = counted.get(task.stage, 0) + task.weight
            on_done(task, result)

        drive(next_flow, pool, open_flows=open_flows, on_done=both)

    monkeypatch.setattr(module, "drive", counting)
    settings: dict[str, Any] = {"model": base / "model", "block": block, "device": "cpu", "out": tmp_path / "out.zarr"}
    events: list[Event] = []
    expected = dict(planned(base / "movie.ome.zarr", **settings).plan.tasks)
    segment(base / "movie.ome.zarr", **settings, listener=events.append)
    last = {event.stage: event for event in events}
    assert all(event.done == event.total == expected[stage] for stage, event in last.items())
    assert expected.pop("link") == 1
    expected["statistics"] -= 1  # the first frame is read before there are workers
    assert counted == expected
    assert {"statistics", "predict", "detect", "flood", "measure", "link"} <= set(last)
