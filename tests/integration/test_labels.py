"""Labels out: the same in whatever order regions come, never seen half-written, and readable by other tools."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from tlseg.errors import LabelError, MovieError, PlanError
from tlseg.geometry import Box
from tlseg.store.image import pyramid as layout
from tlseg.store.image.image_writer import ImageWriter, copy_image, create_image
from tlseg.store.image.movie import MovieSource, open_movie, open_source
from tlseg.store.image.pyramid import downsample_labels, image_levels, plan_pyramid
from tlseg.store.image.segmentable import check_segmentable
from tlseg.store.labels import label_group as module
from tlseg.store.labels.label_group import existing_labels
from tlseg.store.labels.label_writer import LabelWriter, create_labels

SHAPE = (40, 100, 70)
FRAMES = 3
RNG = np.random.default_rng(1)
IMAGE = RNG.integers(0, 4000, (FRAMES, *SHAPE)).astype("u2")
LABELS = np.repeat(np.repeat(RNG.integers(0, 2**32, (FRAMES, 20, 50, 35), dtype=np.uint32), 2, 1), 2, 2).repeat(2, 3)


def image_writer(path: Path, *, is_2d: bool = False, interval_s: float | None = 60.0) -> ImageWriter:
    shape = (1, *SHAPE[1:]) if is_2d else SHAPE
    pyramid = plan_pyramid(shape, spacing_um=(1.0, 0.5, 0.5), translation_um=(3.0, 0.0, 0.0))
    return create_image(
        path,
        pyramid=pyramid,
        n_frames=FRAMES,
        dtype="<u2",
        channel_names=["nuclei"],
        is_2d=is_2d,
        interval_s=interval_s,
    )


def make_movie(path: Path, **more: Any) -> MovieSource:
    writer = image_writer(path, **more)
    for frame in range(FRAMES):
        for box in writer.regions:
            writer.write(frame, box, IMAGE[frame][box.slices])
    writer.finish()
    return open_source(path)


@pytest.fixture(scope="module", autouse=True)
def several_regions() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "_REGION", (32, 32, 32))
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labels") / "movie.ome.zarr"
    write_all(create_labels(path, source=make_movie(path))).finish({"model": "demo"})
    return path


def write_all(writer: LabelWriter, labels: np.ndarray = LABELS) -> LabelWriter:
    for frame in range(len(labels)):
        for box in writer.regions:
            writer.write(frame, box, labels[frame][box.slices])
    return writer


def test_what_is_written_is_read_at_every_level(finished: Path) -> None:
    np.testing.assert_array_equal(open_movie(finished, channel=0).values, IMAGE)
    labels = open_movie(finished / "labels" / "nuclei")
    assert (labels.dims, labels.dtype) == (("t", "z", "y", "x"), np.uint32)
    np.testing.assert_array_equal(labels.values, LABELS)
    coarse = open_movie(finished, channel=0, level=1).values
    factor = (SHAPE[0] // coarse.shape[1], 2, 2)
    np.testing.assert_array_equal(coarse[0], next(image_levels(IMAGE[0], [factor])))
    coarse_labels = open_movie(finished / "labels" / "nuclei", level=1).values
    np.testing.assert_array_equal(coarse_labels, np.stack([downsample_labels(f, factor) for f in LABELS]))


@pytest.mark.parametrize("kept", [0, 1])
def test_a_display_window_is_one_of_numbers(tmp_path: Path, kept: int) -> None:
    """A frame of NaN may be left empty; JSON knows neither NaN nor infinity, so no viewer would open the movie."""
    frame = np.full((1, 8, 8), np.nan, dtype="f4")
    frame[0, 0, 0], frame[0, 1:, 0] = np.inf, np.arange(7) if kept else np.nan
    writer = create_image(
        tmp_path / "m.ome.zarr",
        pyramid=plan_pyramid((1, 8, 8), spacing_um=(1.0, 1.0, 1.0)),
        n_frames=1,
        dtype="<f4",
        channel_names=["nuclei"],
        is_2d=True,
        interval_s=None,
    )
    writer.write(0, Box((0, 0, 0), (1, 8, 8)), frame)
    writer.finish()
    text = (tmp_path / "m.ome.zarr/zarr.json").read_text()
    (channel,) = json.loads(text, parse_constant=pytest.fail)["attributes"]["ome"]["omero"]["channels"]
    window = channel["window"]
    assert (window["min"], window["max"]) == ((0, 6) if kept else (0, 1))
    assert window["start"] < window["end"]


def test_labels_lie_on_the_image(finished: Path) -> None:
    image, labels = open_source(finished), open_source(finished / "labels" / "nuclei")
    assert image.level_shapes == labels.level_shapes
    assert len(image.level_shapes) > 1
    for level in range(len(image.level_shapes)):
        a, b = open_source(finished, level=level), open_source(finished / "labels" / "nuclei", level=level)
        assert (a.spacing_um, a.translation_um, a.interval_s) == (b.spacing_um, b.translation_um, b.interval_s)
    assert image.translation_um == (3.0, 0.0, 0.0)


def every_file(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_files_do_not_depend_on_order_cut_workers_or_retries(finished: Path, tmp_path: Path) -> None:
    source = open_source(finished)
    writer = pickle.loads(pickle.dumps(create_labels(tmp_path / "other.ome.zarr", source=source)))
    grid = writer.regions
    wide = Box((0, 0, 0), (grid.block[0], SHAPE[1], SHAPE[2]))
    tasks = [(t, box) for t in range(FRAMES) for box in grid if box.start[0] > 0] * 2  # each twice: a retry
    tasks += [(t, wide) for t in range(FRAMES)]
    RNG.shuffle(tasks)
    writer.write(0, wide, np.ones(wide.shape, np.uint32))  # a first attempt that went wrong
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda task: writer.write(task[0], task[1], LABELS[task[0]][task[1].slices]), tasks))
    writer.finish({"model": "demo"})
    assert every_file(tmp_path / "other.ome.zarr/labels") == every_file(finished / "labels")


def test_erased_labels_leave_nothing(tmp_path: Path) -> None:
    writer = create_labels(tmp_path / "out.ome.zarr", source=make_movie(tmp_path / "m.ome.zarr"))
    before = set(every_file(tmp_path / "out.ome.zarr"))
    write_all(writer)
    write_all(writer, np.zeros_like(LABELS))
    assert set(every_file(tmp_path / "out.ome.zarr")) == before
    assert writer.read(0, Box.of_shape(SHAPE)).max() == 0


def test_labels_show_only_when_finished(tmp_path: Path) -> None:
    path = tmp_path / "m.ome.zarr"
    source = make_movie(path)
    writer = write_all(create_labels(path, name="a", source=source))
    assert existing_labels(path) == []
    with pytest.raises(MovieError):
        open_movie(path / "labels" / "a")
    writer.finish()
    writer.finish()
    assert existing_labels(path) == ["a"]
    write_all(create_labels(path, name="b", source=source)).finish()
    assert existing_labels(path) == ["a", "b"]
    create_labels(path, name="a", source=source, mode="overwrite")
    assert existing_labels(path) == ["b"]


def test_labels_that_are_finished_at_the_same_time_are_all_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One reads the list, and before it adds itself, the other does."""
    path = tmp_path / "m.ome.zarr"
    source = make_movie(path)
    one, other = (write_all(create_labels(path, name=name, source=source)) for name in "ab")
    at_once, found = threading.Thread(target=other.finish), existing_labels

    def slowly(root: Any) -> list[str]:
        names = found(root)
        if not at_once.ident:
            at_once.start()
            at_once.join(timeout=1)
        return names

    monkeypatch.setattr(module, "existing_labels", slowly)
    one.finish()
    at_once.join()
    assert sorted(found(path)) == ["a", "b"]


@pytest.mark.parametrize("attributes", [None, {"ome": None}, {"ome": {"labels": None}}])
def test_a_group_of_labels_without_a_list_lists_none(tmp_path: Path, attributes: Any) -> None:
    """As programs leave it that write their own metadata later."""
    path = tmp_path / "movie.ome.zarr"
    source = make_movie(path)
    zarr.create_group(path / "labels")
    document = path / "labels" / "zarr.json"
    document.write_text(json.dumps(json.loads(document.read_text()) | {"attributes": attributes or {}}))
    assert existing_labels(path) == []
    write_all(create_labels(path, source=source)).finish()
    assert existing_labels(path) == ["nuclei"]


def test_finished_labels_are_not_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "m.ome.zarr"
    source = make_movie(path)
    write_all(create_labels(path, source=source)).finish()
    with pytest.raises(LabelError, match="--overwrite"):
        create_labels(path, source=source)
    resumed = create_labels(path, source=source, mode="resume")
    np.testing.assert_array_equal(resumed.read(1, Box.of_shape(SHAPE)), LABELS[1])
    erased = create_labels(path, source=source, mode="overwrite")
    assert erased.read(1, Box.of_shape(SHAPE)).max() == 0


def test_a_resume_makes_what_a_killed_start_left_out(tmp_path: Path) -> None:
    path = tmp_path / "m.ome.zarr"
    source = make_movie(path)
    writer = create_labels(path, source=source)
    (path / "labels/nuclei/1/zarr.json").unlink()
    assert create_labels(path, source=source, mode="resume") == writer
    write_all(writer).finish()
    np.testing.assert_array_equal(open_movie(path / "labels/nuclei").values, LABELS)


def test_a_resume_into_another_layout_is_refused(tmp_path: Path) -> None:
    source = make_movie(tmp_path / "m.ome.zarr")
    create_labels(tmp_path / "out.ome.zarr", source=source)
    with pytest.raises(LabelError, match="belongs to another run"):
        create_labels(tmp_path / "out.ome.zarr", source=source, frames=range(2), mode="resume")


def test_pixels_of_the_movie_are_never_touched(tmp_path: Path) -> None:
    path = tmp_path / "m.ome.zarr"
    source = make_movie(path)
    before = every_file(path)
    write_all(create_labels(path, source=source)).finish({"a": 1})
    after = every_file(path)
    assert {k: after[k] for k in before} == before


def test_provenance_and_source_are_there(finished: Path) -> None:
    attributes = json.loads((finished / "labels/nuclei/zarr.json").read_text())["attributes"]
    assert attributes["tlseg"] == {"model": "demo"}
    assert attributes["ome"]["image-label"] == {"version": "0.5", "source": {"image": "../../"}}
    listed = json.loads((finished / "labels/zarr.json").read_text())["attributes"]["ome"]
    assert listed == {"version": "0.5", "labels": ["nuclei"]}


def test_frames_of_another_store_keep_their_time(tmp_path: Path) -> None:
    source = make_movie(tmp_path / "m.ome.zarr")
    out = tmp_path / "out.ome.zarr"
    writer = create_labels(out, source=source, frames=range(1, 3))
    copy = pickle.loads(pickle.dumps(copy_image(source, out, frames=range(1, 3))))
    assert copy.regions == writer.regions
    for frame in (1, 2):
        for box in copy.regions:
            copy.write(frame, box)
            writer.write(frame, box, LABELS[frame][box.slices])
    copy.finish()
    writer.finish()
    np.testing.assert_array_equal(open_movie(out, channel=0).values, IMAGE[1:])
    np.testing.assert_array_equal(open_movie(out / "labels/nuclei").values, LABELS[1:])
    assert list(open_movie(out)["t"].values) == list(open_movie(out / "labels/nuclei")["t"].values) == [60.0, 120.0]
    assert open_source(out).channel_names == ("nuclei",)
    with pytest.raises(PlanError, match="Frame -1"):
        writer.write(0, writer.regions[0], LABELS[0][writer.regions[0].slices])


def test_a_copy_holds_all_chunks_even_of_zeros(tmp_path: Path) -> None:
    writer = image_writer(tmp_path / "m.ome.zarr")
    for frame in range(FRAMES):
        for box in writer.regions:
            writer.write(frame, box, np.zeros(box.shape, "u2"))
    writer.finish()
    check_segmentable(open_source(tmp_path / "m.ome.zarr"), range(FRAMES))


def test_an_image_is_no_image_before_it_is_finished(tmp_path: Path) -> None:
    image_writer(tmp_path / "m.ome.zarr")
    with pytest.raises(MovieError, match="no multiscales"):
        open_source(tmp_path / "m.ome.zarr")
    with pytest.raises(MovieError, match="--overwrite"):
        image_writer(tmp_path / "m.ome.zarr")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full((32, 32, 32), -1), "Expected 0 to"),
        (np.full((32, 32, 32), 2**33), "uint32"),
        (np.zeros((32, 32, 32)), "integers"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, labels: np.ndarray, message: str) -> None:
    writer = create_labels(tmp_path / "out.ome.zarr", source=make_movie(tmp_path / "m.ome.zarr"))
    with pytest.raises(LabelError, match=message):
        writer.write(0, writer.regions[0], labels)


def test_a_box_that_shares_a_shard_is_refused(tmp_path: Path) -> None:
    writer = create_labels(tmp_path / "out.ome.zarr", source=make_movie(tmp_path / "m.ome.zarr"))
    with pytest.raises(PlanError, match="two workers would write one"):
        writer.write(0, Box((0, 0, 0), (8, 8, 8)), np.ones((8, 8, 8), np.uint32))
    with pytest.raises(PlanError, match="Expected the same shape"):
        writer.write(0, writer.regions[0], np.ones((8, 8, 8), np.uint32))


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a b"])
def test_names_that_are_no_folder_names_are_refused(tmp_path: Path, finished: Path, name: str) -> None:
    with pytest.raises(LabelError, match="not a valid name for labels"):
        create_labels(tmp_path / "out.ome.zarr", name=name, source=open_source(finished))


def test_roots_that_cannot_hold_labels_are_refused(tmp_path: Path, finished: Path) -> None:
    source = open_source(finished)
    zarr.create_group(tmp_path / "v2.zarr", zarr_format=2)
    with pytest.raises(LabelError, match="--out"):
        create_labels(tmp_path / "v2.zarr", source=source)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.docx").touch()
    with pytest.raises(LabelError, match="not a Zarr group"):
        create_labels(tmp_path / "folder", source=source)


def test_labels_have_as_many_levels_as_an_image_others_wrote(tmp_path: Path) -> None:
    path = tmp_path / "m.ome.zarr"
    group = zarr.create_group(path)
    datasets = []
    for level, shape in enumerate([(3, 9, 33, 35), (3, 9, 16, 17), (3, 9, 8, 8), (3, 9, 4, 4)]):
        group.create_array(str(level), shape=shape, dtype="u2", chunks=(1, 9, 8, 8))
        scale = [10.0, 1.0, 2.0**level, 2.0**level]
        datasets.append({"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    axes = [{"name": "t", "type": "time", "unit": "second"}]
    axes += [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    writer = create_labels(path, source=open_source(path))
    labels = RNG.integers(0, 99, (9, 33, 35), dtype=np.uint32)
    for box in writer.regions:
        writer.write(2, box, labels[box.slices])
    writer.finish()
    for level, factor in enumerate((1, 2, 4, 8)):
        found = open_movie(path / "labels/nuclei", level=level)
        np.testing.assert_array_equal(found.values[2], downsample_labels(labels, (1, factor, factor)))
        assert found.attrs["spacing_um"] == (1.0, factor, factor)


def test_2d_movies_get_2d_labels(tmp_path: Path) -> None:
    path = tmp_path / "m.ome.zarr"
    writer = image_writer(path, is_2d=True, interval_s=None)
    for frame in range(FRAMES):
        for box in writer.regions:
            writer.write(frame, box, IMAGE[frame, :1][box.slices])
    writer.finish()
    source = open_source(path)
    assert (source.is_2d, source.interval_s) == (True, None)
    write_all(create_labels(path, source=source), LABELS[:, :1]).finish()
    assert open_movie(path, channel=0).dims == ("t", "y", "x")
    np.testing.assert_array_equal(open_movie(path / "labels/nuclei").values, LABELS[:, 0])
    validate(path)


def test_consolidated_metadata_learn_of_the_labels(tmp_path: Path) -> None:
    path = tmp_path / "m.ome.zarr"
    source = make_movie(path)
    with pytest.warns(UserWarning, match="Consolidated"):
        zarr.consolidate_metadata(str(path))
    write_all(create_labels(path, source=source)).finish()
    assert "labels/nuclei/0" in dict(zarr.open_group(path, mode="r", use_consolidated=True).members(max_depth=None))


def validate(path: Path) -> None:
    from ome_zarr_models.v05 import Image, ImageLabel

    image = Image.from_zarr(zarr.open_group(path, mode="r"))
    assert image.labels is not None
    ImageLabel.from_zarr(zarr.open_group(path / "labels" / "nuclei", mode="r"))


def test_metadata_pass_ome_zarr_models(finished: Path) -> None:
    validate(finished)


@pytest.mark.filterwarnings("ignore")
def test_ngio_opens_image_and_labels(finished: Path) -> None:
    ngio = pytest.importorskip("ngio")
    container = ngio.open_ome_zarr_container(finished)
    assert container.list_labels() == ["nuclei"]
    label = container.get_label("nuclei")
    assert (label.pixel_size.x, label.pixel_size.z, label.pixel_size.t) == (0.5, 1.0, 60.0)
    np.testing.assert_array_equal(label.get_array(), LABELS)
    assert container.get_image().get_array().shape == (FRAMES, 1, *SHAPE)


@pytest.mark.filterwarnings("ignore")
def test_napari_shows_image_and_labels(finished: Path) -> None:
    pytest.importorskip("napari")
    from napari_ome_zarr import napari_get_reader

    reader = napari_get_reader(str(finished))
    assert reader is not None
    layers = {kind: (data, settings) for data, settings, kind in reader(str(finished))}
    np.testing.assert_array_equal(np.asarray(layers["labels"][0][0]), LABELS)
    assert layers["image"][0][0].shape == (FRAMES, 1, *SHAPE)
    assert list(layers["labels"][1]["scale"]) == list(layers["image"][1]["scale"]) == [60.0, 1.0, 0.5, 0.5]
