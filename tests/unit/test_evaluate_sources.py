"""Label movies read the same labels from every kind of file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray

from tlseg.errors import EvaluationError, LabelError, TlsegError
from tlseg.evaluate.api import evaluate
from tlseg.geometry import Box
from tlseg.store.labels.label_movie import LabelMovie, movie_of_axes, open_label_movie, read_track_file

Array = NDArray[Any]
MOVIE = np.random.default_rng(0).integers(0, 9, (3, 4, 5, 6)).astype(np.uint16)


def whole(movie: LabelMovie) -> Array:
    return np.stack([movie.read(t, Box.of_shape(movie.frame_shape(t))) for t in movie.frames])


def write_ome(root: zarr.Group, array: Array, *, axes: str, version: str, label: bool = True) -> None:
    """One pyramid level with the metadata of the specification."""
    root.create_array("0", data=array, chunks=(1,) * (array.ndim - 2) + array.shape[-2:])
    units = {"t": {"type": "time"}, "c": {"type": "channel"}}
    listed = [{"name": a, **units.get(a, {"type": "space", "unit": "nanometer"})} for a in axes]
    scale = [{"z": 2000.0, "y": 500.0, "x": 400.0}.get(a, 1.0) for a in axes]
    multiscale = {
        "axes": listed,
        "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}],
    }
    more: dict[str, Any] = {"image-label": {"version": version}} if label else {"omero": {"channels": []}}
    if version == "0.5":
        root.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale], **more}
    else:
        root.attrs.update({"multiscales": [{"version": "0.4", **multiscale}], **more})


def write_image(path: Path, labels: dict[str, Array], version: str = "0.5") -> Path:
    """An image with label images below it."""
    root = zarr.open_group(path, mode="w", zarr_format=3 if version == "0.5" else 2)
    write_ome(root, MOVIE[:, None], axes="tczyx", version=version, label=False)
    if labels:
        group = root.create_group("labels")
        listed: dict[str, Any] = {"labels": list(labels)}
        group.attrs.update({"ome": {"version": "0.5", **listed}} if version == "0.5" else listed)
        for name, array in labels.items():
            write_ome(group.create_group(name), array, axes="tzyx", version=version)
    return path


def write_geff(path: Path, movie: Array, edges: list[tuple[int, int, int, int]], labels: str) -> None:
    """Graph of the objects of a movie; an edge is (frame, label, next frame, next label)."""
    from geff.core_io import write_arrays
    from geff_spec import Axis, GeffMetadata, PropMetadata, RelatedObject

    nodes = [(t, int(k)) for t, frame in enumerate(movie) for k in np.unique(frame[frame > 0])]
    row = {node: n + 100 for n, node in enumerate(nodes)}
    meta = GeffMetadata(
        directed=True,
        axes=[Axis(name="t", type="time")],
        node_props_metadata={n: PropMetadata(identifier=n, dtype="int64") for n in ("t", "seg_id")},
        edge_props_metadata={},
        related_objects=[RelatedObject(type="labels", path=labels, node_prop="seg_id")],
    )
    write_arrays(
        path,
        np.array([row[n] for n in nodes], dtype=np.uint64),
        {name: {"values": np.array(nodes)[:, k], "missing": None} for k, name in enumerate(("t", "seg_id"))},
        np.array([(row[a, b], row[c, d]) for a, b, c, d in edges], dtype=np.uint64).reshape(-1, 2),
        {},
        meta,
    )


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(
    ("array", "axes"),
    [
        (MOVIE, "TZYX"),
        (MOVIE.transpose(1, 0, 2, 3), "ZTYX"),
        (MOVIE[:, :1], "TZYX"),
        (MOVIE[:, 0], "TYX"),
        (MOVIE[0], "ZYX"),
        (MOVIE[0], "QYX"),
        (MOVIE, "QQYX"),
        (MOVIE[0, 0], "YX"),
    ],
)
def test_tiffs_of_any_axes(array: Array, axes: str, compression: str | None, tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    metadata: dict[str, Any] = {"axes": axes} if "Q" not in axes else {}
    tifffile.imwrite(path, array, metadata=metadata, compression=compression, photometric="minisblack")
    movie = open_label_movie(path)
    expected = MOVIE if "T" in axes or axes == "QQYX" else MOVIE[:1]
    if axes in ("TYX", "YX") or array.shape[:2] == (3, 1):
        expected = expected[:, :1]
    assert np.array_equal(whole(movie), expected)
    box = Box((0, 1, 2), (1, 4, 5))
    assert np.array_equal(movie.read(movie.frames[-1], box), expected[-1][box.slices])


def test_stacks_of_three_planes_are_no_colours(tmp_path: Path) -> None:
    """Without `photometric`, tifffile marks the planes of such stacks as red, green and blue."""
    stacks = np.arange(5 * 3 * 8 * 9, dtype=np.uint16).reshape(5, 3, 8, 9)
    tifffile.imwrite(tmp_path / "a.tif", stacks, photometric="rgb", planarconfig="separate")
    assert np.array_equal(whole(open_label_movie(tmp_path / "a.tif")), stacks)


def test_frames_of_planes_are_compared_as_such_if_axes_are_given(tmp_path: Path) -> None:
    frames = np.zeros((5, 20, 20), np.uint16)
    for t in range(5):
        frames[t, 4:8, 4 + t : 8 + t], frames[t, 12:16, 12:16] = 1, 2
    path = tmp_path / "frames.tif"
    tifffile.imwrite(path, frames)
    tifffile.imwrite(tmp_path / "named.ome.tif", frames, metadata={"axes": "TYX"})
    for result, truth in ((path, frames), (frames, tmp_path / "named.ome.tif"), (path, tmp_path / "named.ome.tif")):
        found = evaluate(result, truth, axes="tyx")
        assert (len(found.frames), found.mean.seg) == (5, 1.0)
    assert len(evaluate(path, frames).frames) == 1
    assert len(evaluate(frames[:, None], path, axes="tyx").frames) == 5
    with pytest.raises(TlsegError, match="neither side is a TIFF or an array"):
        evaluate(tmp_path, frames[:, None], axes="tyx")
    with pytest.raises(LabelError, match=r"nothing at .*typo"):
        evaluate(tmp_path / "typo.tif", tmp_path / "typo.tif", axes="tyx")
    with pytest.raises(LabelError, match=r"Axes \('t', 'y', 'x'\) were given"):
        evaluate(path, path, axes=("t", "y", "x"))  # type: ignore[arg-type]


def test_spacing_comes_from_imagej_and_ome(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif",
        MOVIE,
        imagej=True,
        resolution=(1 / 0.4, 1 / 0.5),
        metadata={"axes": "TZYX", "spacing": 2.0, "unit": "um"},
    )
    ome = {"axes": "TZYX", "PhysicalSizeX": 400, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}
    tifffile.imwrite(tmp_path / "b.ome.tif", MOVIE, metadata=ome)
    tifffile.imwrite(tmp_path / "c.tif", MOVIE, photometric="minisblack")
    for name in ("a.tif", "b.ome.tif"):
        movie = open_label_movie(tmp_path / name)
        assert movie.spacing_um == pytest.approx((2.0, 0.5, 0.4))
        assert np.array_equal(whole(movie), MOVIE)
    assert open_label_movie(tmp_path / "c.tif").spacing_um is None


def test_folder_is_read_in_natural_order_and_frames_may_differ_in_shape(tmp_path: Path) -> None:
    for t, name in enumerate(("t1", "t2", "t10")):
        tifffile.imwrite(tmp_path / f"{name}.tif", MOVIE[t, :, : 5 - t], photometric="minisblack")
    (tmp_path / "notes.txt").write_text("not an image")
    movie = open_label_movie(tmp_path)
    assert movie.frames == (0, 1, 9)
    assert [movie.frame_shape(t) for t in movie.frames] == [(4, 5, 6), (4, 4, 6), (4, 3, 6)]
    for k, t in enumerate(movie.frames):
        assert np.array_equal(movie.read(t, Box.of_shape(movie.frame_shape(t))), MOVIE[k, :, : 5 - k])
    assert evaluate(tmp_path, tmp_path).pooled.pq == 1


def test_ctc_folder_has_frame_numbers_and_tracks(tmp_path: Path) -> None:
    for t in range(3):
        tifffile.imwrite(tmp_path / f"mask{t:03d}.tif", MOVIE[t], photometric="minisblack")
    (tmp_path / "res_track.txt").write_text("1 0 2 0\n2 1 2 1\n\n")
    movie = open_label_movie(tmp_path)
    tracks = movie.tracks()
    assert tracks is not None
    assert tracks.to_numpy().tolist() == [[1, 0, 2, 0], [2, 1, 2, 1]]
    assert list(tracks.columns) == ["track", "start", "end", "parent"]
    assert movie.links() is None
    assert np.array_equal(whole(movie), MOVIE)


def test_sparse_truth_is_compared_in_its_own_frames(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "man_seg001.tif", MOVIE[1], photometric="minisblack")
    found = evaluate(MOVIE, tmp_path)
    assert [r.t for r in found.frames] == [1]
    assert found.pooled.pq == 1
    assert "1 of 3 frames" in found.notes[0]
    with pytest.raises(TlsegError, match="same frames"):
        evaluate(MOVIE[:1], tmp_path)


@pytest.mark.parametrize("frames", [None, "2:3"])
@pytest.mark.parametrize("name", ["t002.tif", "embryo_t2.tif", "man_seg002.tif"])
def test_truth_of_one_frame_is_known_by_its_name(tmp_path: Path, name: str, frames: str | None) -> None:
    truth, result = tmp_path / "truth", tmp_path / "result"
    for folder in (truth, result):
        folder.mkdir()
    tifffile.imwrite(truth / name, MOVIE[2], photometric="minisblack")
    for t in range(3):
        tifffile.imwrite(result / f"res{t}.tif", MOVIE[t], photometric="minisblack")
    for ours in (MOVIE, result):
        for theirs in (truth, truth / name) if "man" not in name else (truth,):
            found = evaluate(ours, theirs, frames=frames)
            assert ([r.t for r in found.frames], found.pooled.pq) == ([2], 1)


def test_truth_whose_name_says_no_frame_says_how_to_name_it(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "annotated.tif", MOVIE[2], photometric="minisblack")
    with pytest.raises(TlsegError, match=r"such as t010\.tif or man_seg010\.tif"):
        evaluate(MOVIE, tmp_path)


def test_tracked_truth_may_not_lack_frames(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "man_track001.tif", MOVIE[1], photometric="minisblack")
    (tmp_path / "man_track.txt").write_text("")
    with pytest.raises(TlsegError, match="same frames"):
        evaluate(MOVIE, tmp_path)


def test_truth_of_single_planes_is_compared_in_those(tmp_path: Path) -> None:
    for t, z in ((0, 2), (2, 1), (2, 3)):
        tifffile.imwrite(tmp_path / f"man_seg_{t:03d}_{z:03d}.tif", MOVIE[t, z], photometric="minisblack")
    found = evaluate(MOVIE, tmp_path, tracking="always")
    assert [r.t for r in found.frames] == [0, 2]
    assert [r.n_truth for r in found.frames] == [
        len(np.unique(part[part > 0])) for part in (MOVIE[0, 2], MOVIE[2, [1, 3]])
    ]
    assert (found.pooled.iou, found.pooled.pq, found.tracking) == (1, 1, None)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_images_and_label_images(version: str, tmp_path: Path) -> None:
    other = MOVIE[::-1].copy()
    path = write_image(tmp_path / "movie.zarr", {"nuclei": MOVIE, "cells": other}, version)
    for source, expected in (
        (open_label_movie(path), MOVIE),
        (open_label_movie(path, name="cells"), other),
        (open_label_movie(path / "labels" / "cells"), other),
        (open_label_movie(str(path / "labels" / "nuclei" / "0")), MOVIE),
    ):
        assert np.array_equal(whole(source), expected)
    movie = open_label_movie(path)
    assert movie.spacing_um == pytest.approx((2.0, 0.5, 0.4))
    assert movie.chunk == (1, 5, 6)
    box = Box((1, 0, 2), (3, 4, 6))
    assert np.array_equal(movie.read(1, box), MOVIE[1][box.slices])
    only = write_image(tmp_path / "only.zarr", {"cells": other}, version)
    assert np.array_equal(whole(open_label_movie(only)), other)


def test_graph_belongs_to_the_labels_it_names(tmp_path: Path) -> None:
    movie = np.zeros((3, 1, 2, 4), dtype=np.uint16)
    movie[0, ..., :4], movie[1:, ..., :2], movie[1:, ..., 2:] = 1, 2, 3
    path = write_image(tmp_path / "movie.zarr", {"nuclei": movie, "cells": movie})
    edges = [(0, 1, 1, 2), (0, 1, 1, 3), (1, 2, 2, 2), (1, 3, 2, 3)]
    write_geff(path / "tracks.geff", movie, edges, "../labels/nuclei")
    links = open_label_movie(path).links()
    assert links is not None
    assert [tuple(row) for row in links.to_numpy().tolist()] == edges
    assert open_label_movie(path / "labels" / "nuclei").links() is not None
    assert open_label_movie(path, name="cells").links() is None

    found = evaluate(path, path).to_dict()["tracking"]
    assert (found["tra"], found["n_truth_tracks"]) == (1, 3)
    assert found["divisions"][0]["correct"] == 1


def test_labels_of_a_part_of_a_movie_keep_its_frame_numbers(tmp_path: Path) -> None:
    movie = np.repeat(np.arange(1, 7, dtype=np.uint16), 4).reshape(6, 1, 2, 2)
    part = zarr.open_group(tmp_path / "part.zarr", mode="w")
    labels = part.create_group("labels")
    labels.attrs["ome"] = {"version": "0.5", "labels": ["nuclei"]}
    group = labels.create_group("nuclei")
    group.create_array("0", data=np.ones_like(movie[2:4]))
    axes = [{"name": "t", "type": "time", "unit": "second"}, *({"name": a, "type": "space"} for a in "zyx")]
    place = [{"type": "scale", "scale": [60.0, 1, 1, 1]}, {"type": "translation", "translation": [120.0, 0, 0, 0]}]
    scales = [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": place}]}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": scales, "image-label": {"version": "0.5"}}
    write_geff(tmp_path / "part.zarr" / "tracks.geff", np.ones_like(movie[2:4]), [(0, 1, 1, 1)], "../labels/nuclei")

    opened = open_label_movie(tmp_path / "part.zarr")
    links = opened.links()
    assert opened.frames == (2, 3)
    assert links is not None
    assert links.to_numpy().tolist() == [[2, 1, 3, 1]]
    assert [r.t for r in evaluate(opened, movie, frames=(2, 4)).frames] == [2, 3]
    with pytest.raises(TlsegError, match="2 to 3"):
        evaluate(opened, movie)
    in_order = evaluate(opened, movie[2:4])
    assert ([r.t for r in in_order.frames], in_order.pooled.pq) == ([0, 1], 1)
    assert "paired in order" in in_order.notes[0]


def late_movie(
    path: Path, voxels: np.ndarray, *, image_s: float | None, labels_s: float, image_frames: int = 3
) -> Path:
    """A movie whose labels, one for each frame of `voxels` (t, z, y, x), begin at `labels_s` seconds; 60 s a frame."""

    def described(start_s: float, array: np.ndarray, group: zarr.Group) -> dict[str, object]:
        group.create_array("0", data=array)
        axes = [{"name": "t", "type": "time", "unit": "second"}, *({"name": a, "type": "space"} for a in "zyx")]
        place = [
            {"type": "scale", "scale": [60.0, 1, 1, 1]},
            {"type": "translation", "translation": [start_s, 0, 0, 0]},
        ]
        scales = [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": place}]}]
        return {"version": "0.5", "multiscales": scales}

    root = zarr.open_group(path, mode="w")
    if image_s is not None:
        pixels = np.zeros((image_frames, *voxels.shape[1:]), np.uint16)
        root.attrs["ome"] = described(image_s, pixels, root)
    labels = root.create_group("labels")
    labels.attrs["ome"] = {"version": "0.5", "labels": ["nuclei"]}
    group = labels.create_group("nuclei")
    group.attrs["ome"] = {**described(labels_s, voxels, group), "image-label": {"version": "0.5"}}
    return path


def test_frames_count_as_those_of_the_image_beside_them(tmp_path: Path) -> None:
    late = late_movie(tmp_path / "late.zarr", MOVIE, image_s=120, labels_s=120)
    assert open_label_movie(late).frames == (0, 1, 2)
    assert open_label_movie(late / "labels" / "nuclei").frames == (0, 1, 2)
    assert [r.t for r in evaluate(late, MOVIE, frames="0:2").frames] == [0, 1]
    assert [r.t for r in evaluate(late, late, frames="0:2").frames] == [0, 1]
    part = late_movie(tmp_path / "part.zarr", MOVIE[1:], image_s=120, labels_s=180)
    assert open_label_movie(part).frames == (1, 2)
    assert open_label_movie(late_movie(tmp_path / "alone.zarr", MOVIE, image_s=None, labels_s=120)).frames == (2, 3, 4)


@pytest.mark.parametrize("image_s", [60, None])
def test_frames_of_two_movies_are_paired_by_time(tmp_path: Path, image_s: float | None) -> None:
    whole = late_movie(tmp_path / "whole.zarr", MOVIE, image_s=0, labels_s=0)
    part = late_movie(tmp_path / "part.zarr", MOVIE[1:], image_s=image_s, labels_s=60)
    with pytest.raises(TlsegError, match=r"result has 2 frames \(1 to 2\)"):
        evaluate(part, whole)
    found = evaluate(part, whole, frames="1:3")
    assert ([r.t for r in found.frames], found.pooled.pq) == ([1, 2], 1)


def test_a_run_of_a_movie_that_starts_late_is_compared_without_a_word(tmp_path: Path) -> None:
    movie = late_movie(tmp_path / "movie.zarr", MOVIE, image_s=120, labels_s=120)
    made = late_movie(tmp_path / "made.zarr", MOVIE, image_s=None, labels_s=120)
    record = made / "tlseg" / "nuclei" / "run.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"fingerprint": {"frames": [0, 3]}}))
    found = evaluate(made, movie)
    assert [r.t for r in found.frames] == [0, 1, 2]
    assert not any("frames" in note for note in found.notes)


@pytest.mark.parametrize(
    ("record", "noted"),
    [({"model": {"name": "embryo"}}, True), ({"fingerprint": {"adopted": {"parents": None}}}, False), ({}, False)],
)
def test_sides_in_the_wrong_order_are_noted(tmp_path: Path, record: dict[str, object], *, noted: bool) -> None:
    """Labels that tlseg segmented are unlikely to be the truth; those that were corrected and adopted may well be."""
    truth = write_image(tmp_path / "truth.zarr", {"truth": MOVIE})
    made = write_image(tmp_path / "made.zarr", {"nuclei": MOVIE})
    (made / "tlseg/nuclei").mkdir(parents=True)
    (made / "tlseg/nuclei/run.json").write_text(json.dumps(record))
    said = "labels/truth was taken for the result and "
    assert any(said in note and "swap them" in note for note in evaluate(truth, made).notes) == noted
    for result in (made, made / "labels/nuclei"):
        assert not any("was taken" in note for note in evaluate(result, truth).notes)
    assert not any("was taken" in note for note in evaluate(made, made).notes)


def test_a_run_of_a_part_meets_sparse_truth_by_the_numbers_in_file_names(tmp_path: Path) -> None:
    made = late_movie(tmp_path / "made.zarr", MOVIE[1:], image_s=60, labels_s=60)
    record = made / "tlseg" / "nuclei" / "run.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"fingerprint": {"frames": [1, 3]}}))
    truth = tmp_path / "SEG"
    truth.mkdir()
    for t in (0, 1):
        tifffile.imwrite(truth / f"man_seg{t:03d}.tif", MOVIE[t], photometric="minisblack")
    found = evaluate(made, truth)
    assert ([r.t for r in found.frames], found.pooled.pq) == ([1], 1)


def test_a_run_of_all_frames_left_none_out(tmp_path: Path) -> None:
    made = late_movie(tmp_path / "made.zarr", MOVIE, image_s=0, labels_s=0)
    record = made / "tlseg" / "nuclei" / "run.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"fingerprint": {"frames": [0, 3]}}))
    truth = tmp_path / "SEG"
    truth.mkdir()
    tifffile.imwrite(truth / "man_seg001.tif", MOVIE[1], photometric="minisblack")
    notes = evaluate(made, truth).notes
    assert any("1 of 3 frames" in note for note in notes)
    assert not any("run segmented" in note for note in notes)


def test_links_follow_frames_that_are_paired_with_every_second_one(tmp_path: Path) -> None:
    movie = np.zeros((3, 1, 2, 4), dtype=np.uint16)
    movie[..., :2], movie[1:, ..., 2:] = 1, 2
    path = write_image(tmp_path / "movie.zarr", {"nuclei": movie})
    edges = [(0, 1, 1, 1), (1, 1, 2, 1), (1, 2, 2, 2)]
    write_geff(path / "tracks.geff", movie, edges, "../labels/nuclei")
    truth = tmp_path / "TRA"
    truth.mkdir()
    for t, frame in enumerate(movie):
        tifffile.imwrite(truth / f"man_track{2 * t + 2:03d}.tif", frame, photometric="minisblack")
    (truth / "man_track.txt").write_text("1 2 6 0\n2 4 6 0\n")
    for one, other in ((path, truth), (truth, path)):
        found = evaluate(one, other)
        assert [r.t for r in found.frames] == ([2, 4, 6] if other == truth else [0, 1, 2])
        assert found.tracking is not None
        assert (found.tracking.tra, found.tracking.lnk, found.tracking.ct) == (1, 1, 1)


def test_frames_that_the_run_left_out_are_no_misses(tmp_path: Path) -> None:
    done = MOVIE.copy()
    done[0] = 0
    path = write_image(tmp_path / "movie.zarr", {"nuclei": done})
    record = path / "tlseg" / "nuclei" / "run.json"
    record.parent.mkdir(parents=True)
    for text in ("", "[]", '{"fingerprint": {"frames": [0, 3]}}', '{"fingerprint": {"frames": [1, 4]}}'):
        record.write_text(text)
        assert [r.t for r in evaluate(path, MOVIE).frames] == [0, 1, 2]
    record.write_text('{"fingerprint": {"frames": [1, 3]}}')
    found = evaluate(path, MOVIE)
    assert ([r.t for r in found.frames], found.misses, found.pooled.pq) == ([1, 2], 0, 1)
    assert "The run segmented 2 frames (1 to 2) of 3; the others were left out." in found.notes
    assert [r.t for r in evaluate(path, MOVIE, frames=(0, 2)).frames] == [0, 1]
    renumbered = open_label_movie(path).numbered_as((4, 6, 8))
    assert renumbered.segmented == (6, 8)


@pytest.mark.parametrize(("first", "stop"), [(0, 2), (1, 3)])
def test_a_result_of_a_part_of_the_movie_is_compared_with_that_part(tmp_path: Path, first: int, stop: int) -> None:
    path = write_image(tmp_path / "part.zarr", {"nuclei": MOVIE[first:stop]})
    record = path / "tlseg" / "nuclei" / "run.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"fingerprint": {"frames": [first, stop]}}))
    found = evaluate(path, MOVIE)
    assert ([r.t for r in found.frames], found.pooled.iou) == ([first, stop - 1], 1)
    assert f"The run segmented 2 frames ({first} to {stop - 1}) of 3; the others were left out." in found.notes
    assert [r.t for r in evaluate(path, MOVIE, frames=(first, first + 1)).frames] == [first]
    assert [r.t for r in evaluate(path, MOVIE[first:stop]).frames] == [0, 1], (
        "truth of the part alone has its own numbers"
    )


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_image_is_not_taken_for_labels_and_its_array_is(version: str, tmp_path: Path) -> None:
    path = tmp_path / "labels" / "plain.zarr"  # no group of labels, only a folder of that name
    root = zarr.open_group(path, mode="w", zarr_format=3 if version == "0.5" else 2)
    write_ome(root, MOVIE, axes="tzyx", version=version)
    attributes = root.attrs["ome"] if version == "0.5" else dict(root.attrs)
    assert isinstance(attributes, dict)
    assert np.array_equal(whole(open_label_movie(path)), MOVIE)
    del attributes["image-label"]
    root.attrs.put({"ome": attributes} if version == "0.5" else attributes)
    with pytest.raises(LabelError, match=r"image without labels.*plain\.zarr/0\.$"):
        open_label_movie(path)
    assert np.array_equal(whole(open_label_movie(path / "0")), MOVIE)


def test_labels_need_not_say_so_below_a_group_of_labels(tmp_path: Path) -> None:
    path = write_image(tmp_path / "movie.zarr", {"nuclei": MOVIE})
    group = zarr.open_group(path / "labels" / "nuclei", mode="a")
    ome = group.attrs["ome"]
    assert isinstance(ome, dict)
    del ome["image-label"]
    group.attrs["ome"] = ome
    assert np.array_equal(whole(open_label_movie(path / "labels" / "nuclei")), MOVIE)


def bad_path(kind: str, folder: Path) -> Path:
    path = folder / "labels.tif"
    match kind:
        case "damaged":
            path.write_bytes(b"II*\0 nothing")
        case "channels":
            tifffile.imwrite(path, np.zeros((5, 6, 3), dtype=np.uint8), photometric="rgb")
        case "folder of movies":
            tifffile.imwrite(path, MOVIE, metadata={"axes": "TZYX"}, photometric="minisblack")
            return folder
        case "empty folder":
            return folder
        case "both truths":
            (folder / "TRA").mkdir()
            return folder
        case "mixed":
            for name in ("man_seg000.tif", "man_seg_001_002.tif"):
                tifffile.imwrite(folder / name, MOVIE[0], photometric="minisblack")
            return folder
        case "no labels":
            return write_image(folder / "movie.zarr", {})
        case "two names":
            return write_image(folder / "movie.zarr", {"a": MOVIE, "b": MOVIE})
        case "text":
            path = folder / "labels.txt"
            path.write_text("1")
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("absent", "nothing at"),
        ("damaged", "holds no image"),
        ("channels", "colour"),
        ("folder of movies", "3 frames"),
        ("empty folder", "no TIFF images"),
        ("both truths", "TRA folder"),
        ("mixed", "mixes"),
        ("no labels", "image without labels"),
        ("two names", "several labels: a, b"),
        ("text", "not a readable label file"),
    ],
)
def test_what_holds_no_labels_says_so(kind: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=words):
        open_label_movie(bad_path(kind, tmp_path))


def test_labels_that_are_not_finished_say_so(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "result.ome.zarr", mode="w")
    group.attrs["ome"] = {"version": "0.5"}
    group.create_group("labels").attrs["ome"] = {"version": "0.5", "labels": []}
    with pytest.raises(LabelError, match="without labels"):
        open_label_movie(tmp_path / "result.ome.zarr")
    group.create_group("labels/nuclei")
    with pytest.raises(LabelError, match=r"only unfinished labels.*tlseg status .*result\.ome\.zarr"):
        open_label_movie(tmp_path / "result.ome.zarr")


def test_bad_track_files_name_the_line(tmp_path: Path) -> None:
    path = tmp_path / "man_track.txt"
    wrong = ("2 2 3", "a b c d", "2 0 nan 0", "2 0 -1 0", f"2 0 {2**63} 0", "1 3 4 0", "2 2 1 0", "2,0,1,0")
    for line in wrong:
        path.write_text(f"1 0 2 0\n{line}\n")
        with pytest.raises(LabelError, match=r"man_track\.txt, line 2"):
            read_track_file(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "no line for 1"), ("1 0 2 0\n", "no line for 2"), ("1 0 2 2\n2 0 2 1\n", "2 the parent of 1")],
)
def test_a_track_file_that_does_not_fit_its_images_is_named(tmp_path: Path, text: str, said: str) -> None:
    movie = np.zeros((3, 1, 4, 4), np.uint16)
    movie[..., :2], movie[..., 2:] = 1, 2
    for t, frame in enumerate(movie):
        tifffile.imwrite(tmp_path / f"man_track{t:03d}.tif", frame, photometric="minisblack")
    (tmp_path / "man_track.txt").write_text(text)
    for pair in ((movie, tmp_path), (tmp_path, movie)):
        with pytest.raises(TlsegError, match=said) as caught:
            evaluate(*pair, tracking="always")
        assert str(tmp_path / "man_track.txt") in str(caught.value)
        assert evaluate(*pair, tracking="never").pooled.pq == 1


def test_a_label_without_a_track_is_refused_in_the_first_frame_that_shows_it(tmp_path: Path) -> None:
    movie = np.zeros((6, 1, 4, 4), np.uint16)
    movie[..., :2], movie[2:, ..., 2:] = 1, 2
    for t, frame in enumerate(movie):
        tifffile.imwrite(tmp_path / f"mask{t:03d}.tif", frame, photometric="minisblack")
    (tmp_path / "res_track.txt").write_text("1 0 5 0\n")
    opened, frames = open_label_movie(tmp_path), []
    noted = replace(opened, read_box=lambda frame, box: (frames.append(frame), opened.read(frame, box))[1])
    with pytest.raises(TlsegError, match="no line for 2, which is in the image of frame 2"):
        evaluate(noted, movie, tracking="always")
    assert frames == [0, 1, 2]


@pytest.mark.parametrize("change", [lambda m: m * 0.5, lambda m: -m.astype(np.int16), lambda m: m.astype(np.complex64)])
def test_images_that_are_no_labels_are_named(tmp_path: Path, change: Any) -> None:
    for t, frame in enumerate(change(MOVIE)):
        tifffile.imwrite(tmp_path / f"man_track{t:03d}.tif", frame, photometric="minisblack")
    with pytest.raises(TlsegError, match="frame 0 has") as caught:
        evaluate(tmp_path, MOVIE)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("node", ["", "labels", "labels/nuclei", "labels/nuclei/0"])
@pytest.mark.parametrize("text", ['{"zarr_for', "null"])
def test_damaged_metadata_of_any_node_are_one_line(tmp_path: Path, node: str, text: str) -> None:
    path = write_image(tmp_path / "movie.zarr", {"nuclei": MOVIE})
    (path / node / "zarr.json").write_text(text)
    with pytest.raises(TlsegError) as caught:
        open_label_movie(path)
    assert str(path / node) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_a_track_file_may_be_saved_by_any_editor(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "man_track.txt"
    path.write_bytes("\ufeff1 0 2 0\r\n\r\n2\t3 4 1\r\n".encode(encoding))
    assert read_track_file(path).to_numpy().tolist() == [[1, 0, 2, 0], [2, 3, 4, 1]]


def test_a_track_file_that_is_no_text_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "res_track.txt"
    path.write_bytes(b"1 0 2 0\n\x80")
    with pytest.raises(LabelError, match=r"res_track\.txt cannot be read as text"):
        read_track_file(path)


@pytest.mark.parametrize("text", ['{"node_type": "array"}', '{"node_type": "array", "zarr_format": 3, "shape": [2]}'])
def test_damaged_metadata_of_an_array_are_one_clear_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "labels.zarr").mkdir()
    (tmp_path / "labels.zarr" / "zarr.json").write_text(text)
    for axes in (None, "tyx"):
        with pytest.raises(LabelError, match="not a readable zarr array"):
            evaluate(tmp_path / "labels.zarr", tmp_path / "labels.zarr", axes=axes)


def test_a_damaged_chunk_is_one_clear_error(tmp_path: Path) -> None:
    path = write_image(tmp_path / "movie.zarr", {"nuclei": MOVIE})
    (path / "labels" / "nuclei" / "0" / "c" / "1" / "2" / "0" / "0").write_bytes(b"damaged")
    with pytest.raises(LabelError, match=r"labels/nuclei: frame 1, .* cannot be read .* damaged or cut short"):
        evaluate(path, MOVIE)


@pytest.mark.parametrize(("axes", "shape"), [("tzy", (1, 2, 3)), ("qyx", (1, 2, 3)), ("cyx", (2, 2, 3))])
def test_axes_that_are_no_labels_are_refused(axes: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(LabelError, match="array has"):
        movie_of_axes(np.zeros(shape, dtype=int), axes, source="the array")


def test_frames_without_voxels_are_refused() -> None:
    nothing = np.zeros((2, 0, 4), int)
    with pytest.raises(EvaluationError, match=r"Frame 0 of the truth has shape \(1, 0, 4\)"):
        evaluate(nothing, nothing, axes="tyx")


@pytest.mark.parametrize("spelling", ["~/labels", "file://{home}/labels"])
def test_a_home_and_a_file_url_are_local_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelling: str) -> None:
    """From Python, no shell expands them."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "labels").mkdir()
    for t, frame in enumerate(MOVIE):
        tifffile.imwrite(tmp_path / f"labels/mask{t:03d}.tif", frame, photometric="minisblack")
    assert np.array_equal(whole(open_label_movie(spelling.format(home=tmp_path))), MOVIE)
