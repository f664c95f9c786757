"""The comparison without centres: connected regions across all blocks, numbered the same however the frame is cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr
from scipy import ndimage

from handmade import save_threshold_model, write_movie
from runs import SPACING_UM, essence, inputs, labels_of, reference, run, same_up_to_numbers, small_movie
from tlseg.errors import PlanError
from tlseg.models.bundle import load_model
from tlseg.plan import BASE_BYTES
from tlseg.predict.infer import load_predictor
from tlseg.predict.maps import predict_frame
from tlseg.run.components import check_memory
from tlseg.store.labels.result import open_result


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a movie of two frames, a model, and a run by components in `result.zarr`."""
    folder = tmp_path_factory.mktemp("components")
    movie, model = inputs(folder, frames=2)
    run(movie, model, out=folder / "result.zarr", method="components", keep_maps=True)
    return folder


def test_labels_are_connected_regions(base: Path) -> None:
    """Components of the region map, connected by faces; scipy and `label_frame` agree."""
    model = load_model(base / "model")
    network = load_predictor(str(model.folder), model.digest, "nsn", "cpu")
    for labels, image in zip(labels_of(base / "result.zarr"), small_movie(2), strict=True):
        regions = predict_frame(image, SPACING_UM, spec=model.spec, role="nsn", network=network)
        connected, count = ndimage.label(regions >= 128)
        assert count > 3
        assert same_up_to_numbers(labels, connected)
        assert same_up_to_numbers(labels, reference(image, model, "components"))


def test_only_the_region_network_runs(base: Path) -> None:
    maps = zarr.open_array(base / "result.zarr/tlseg/nuclei/maps", mode="r")
    assert maps.shape[:2] == (2, 1)


def test_touching_nuclei_are_one(base: Path, tmp_path: Path) -> None:
    """This is what the method lacks, and why it is only for comparison."""
    run(base / "movie.ome.zarr", base / "model", out=tmp_path / "out.zarr")
    assert len(np.unique(labels_of(base / "result.zarr"))) < len(np.unique(labels_of(tmp_path / "out.zarr")))


def test_a_frame_that_does_not_fit_is_refused_before_any_work(base: Path, tmp_path: Path) -> None:
    check_memory((256, 1024, 1024), limit_bytes=4 * 2**30)
    with pytest.raises(PlanError, match=r"a frame in one piece.*12\.7 GiB.*may use only 4\.0 GiB"):
        check_memory((256, 2048, 2048), limit_bytes=4 * 2**30)
    with pytest.raises(PlanError, match="in one piece"):
        run(
            base / "movie.ome.zarr",
            base / "model",
            out=tmp_path / "out.zarr",
            method="components",
            memory_limit=BASE_BYTES,
        )
    assert not (tmp_path / "out.zarr").exists()


@pytest.mark.parametrize(("block", "workers"), [((16, 16, 48), 0), ((32, 48, 48), 0), ((16, 32, 48), 1)])
def test_block_shape_and_workers_change_no_byte(
    base: Path, tmp_path: Path, block: tuple[int, int, int], workers: int
) -> None:
    out = tmp_path / "out.zarr"
    movie, model = base / "movie.ome.zarr", base / "model"
    summary = run(movie, model, out=out, method="components", block=block, workers=workers, image=False)
    assert essence(out) == essence(base / "result.zarr")
    assert summary.audit["face_voxels_that_disagree"] == 0
    assert (summary.audit["face_voxels_compared"] > 0) == (block != (32, 48, 48))


def test_all_are_flagged_as_without_seed(base: Path) -> None:
    result = open_result(base / "result.zarr")
    assert set(result.table()["seed"]) == {"fallback"}
    assert result.record["fallback"] == result.record["nuclei"] == len(result.table())


def test_small_regions_are_dropped(tmp_path: Path) -> None:
    movie = write_movie(tmp_path / "movie.ome.zarr", small_movie(1))
    whole = save_threshold_model(tmp_path / "whole", window=(16, 32, 32))
    expected = reference(small_movie()[0], whole, "components")
    voxels = np.bincount(expected.ravel())
    middle = float(np.median(voxels[1:]))
    volume = middle * float(np.prod(SPACING_UM))
    model = save_threshold_model(tmp_path / "model", window=(16, 32, 32), minimum_volume_um3=volume)
    run(movie, model.folder, method="components")
    assert same_up_to_numbers(labels_of(movie)[0], np.where(voxels[expected] >= middle, expected, 0))
