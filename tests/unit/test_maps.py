"""Maps of any box are the map of the frame, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from handmade import bright_balls, frame_statistics, save_threshold_model
from tlseg.geometry import Box, Grid, Shape, Spacing
from tlseg.models.bundle import Model
from tlseg.predict.infer import Predictor
from tlseg.predict.lattice import Lattice
from tlseg.predict.maps import blend, lattice_for, predict_frame, predict_windows, read_window

SPACINGS: list[Spacing] = [(1.6, 0.8, 0.8), (1.75, 0.8, 0.8), (0.9, 0.5, 0.5), (3.1, 1.3, 1.3)]
SHAPE: Shape = (21, 45, 38)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return save_threshold_model(tmp_path_factory.mktemp("model"), window=(16, 24, 24), scaling="extremes")


@pytest.fixture(scope="module")
def image() -> NDArray[np.uint16]:
    centres = np.random.default_rng(0).uniform(0, 1, (12, 3)) * SHAPE
    return bright_balls(SHAPE, centres)


def random_windows(lattice: Lattice) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(4)
    return [rng.integers(0, 256, lattice.shape).astype(np.uint8) for _ in range(len(lattice))]


@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
@pytest.mark.parametrize("block", [(16, 16, 16), (5, 45, 7), (21, 16, 32), (1, 1, 38)])
def test_blending_any_box_is_blending_the_frame(model: Model, spacing: Spacing, block: Shape) -> None:
    lattice = lattice_for(model.spec, "nsn", shape=SHAPE, spacing_um=spacing)
    windows = random_windows(lattice)
    options = {"lattice": lattice, "spacing_um": spacing, "to": model.spec.spacing_um}
    whole = blend(lambda i, box: windows[i][box.slices], Box.of_shape(SHAPE), **options)
    assert len(np.unique(whole)) > 100
    for core in Grid(SHAPE, block):
        part = blend(lambda i, box: windows[i][box.slices], core, **options)
        assert part.tobytes() == whole[core.slices].tobytes()


@pytest.mark.parametrize("value", [0, 127, 128, 255])
def test_windows_that_agree_blend_to_what_they_say(model: Model, value: int) -> None:
    for spacing in SPACINGS:
        lattice = lattice_for(model.spec, "nsn", shape=SHAPE, spacing_um=spacing)
        window = np.full(lattice.shape, value, dtype=np.uint8)
        options = {"lattice": lattice, "spacing_um": spacing, "to": model.spec.spacing_um}
        assert (blend(lambda _, box: window[box.slices], Box.of_shape(SHAPE), **options) == value).all()  # noqa: B023


def test_blending_reads_only_windows_it_needs(model: Model) -> None:
    lattice = lattice_for(model.spec, "nsn", shape=SHAPE, spacing_um=SPACINGS[0])
    windows = random_windows(lattice)
    asked = []

    def read(number: int, box: Box) -> NDArray[np.uint8]:
        asked.append(number)
        assert Box.of_shape(lattice.shape).contains(box)
        return windows[number][box.slices]

    blend(read, Box((0, 0, 0), (4, 4, 4)), lattice=lattice, spacing_um=SPACINGS[0], to=model.spec.spacing_um)
    assert asked == [0]
    assert len(lattice) > 4


@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
def test_a_window_reads_no_more_than_the_frame(model: Model, image: NDArray[np.uint16], spacing: Spacing) -> None:
    lattice = lattice_for(model.spec, "nsn", shape=SHAPE, spacing_um=spacing)
    found = frame_statistics(image)

    def read(box: Box) -> NDArray[np.uint16]:
        assert box.size
        assert Box.of_shape(SHAPE).contains(box)
        return image[box.slices]

    for number in range(len(lattice)):
        options = {"shape": SHAPE, "spacing_um": spacing, "to": model.spec.spacing_um, "statistics": found}
        window = read_window(read, lattice.box(number), **options)
        assert window.shape == lattice.shape
        assert window.dtype == np.float32
        assert np.isfinite(window).all()


def test_without_resampling_a_map_is_the_network_voxel_by_voxel(model: Model, image: NDArray[np.uint16]) -> None:
    predictor = Predictor(model.network("nsn"), precision="float32", device="cpu")
    found = predict_frame(image, model.spec.spacing_um, spec=model.spec, role="nsn", network=predictor)
    value = frame_statistics(image, scaling="extremes").normalise(image).astype(np.float64)
    expected = 255 / (1 + np.exp(-12 * (np.maximum(value, 0) - 0.3)))
    # Float16 weights, and rounding to whole numbers before and after blending.
    assert np.abs(found - expected).max() <= 2
    assert found.dtype == np.uint8
    assert found.max() > 200 > 50 > found.min()


def test_nuclei_stay_where_they_are_at_other_spacings(model: Model) -> None:
    predictor = Predictor(model.network("nsn"), precision="float32", device="cpu")
    middle_um = np.array([17.3, 16.1, 15.2])
    for spacing in SPACINGS:
        shape = tuple(round(35 / s) for s in spacing)
        centre = middle_um / spacing - 0.5
        ball = bright_balls(shape, centre[None], spacing_um=spacing)  # type: ignore[arg-type]
        found = predict_frame(ball, spacing, spec=model.spec, role="nsn", network=predictor) >= 128
        mean = np.argwhere(found).mean(axis=0)
        # A ball of 6 um falls below 0.3 of its range at 6 um from its centre.
        volume = found.sum() * np.prod(spacing)
        assert np.abs((mean - centre) * spacing).max() < 0.15
        assert volume == pytest.approx(4 / 3 * np.pi * 6.0**3, rel=0.12)


def test_a_network_sees_no_dark_window_and_one_of_those_that_are_constant() -> None:
    shape = (4, 10, 12)
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.02, shape)
    bright = noise.copy()
    bright[1:, 3:8, 4:9] += 0.2
    speck = noise.copy()
    speck[2, 5, 5] = 3.0
    windows = np.stack(
        [noise, bright, np.full(shape, -0.1), np.full(shape, 0.5), speck, np.full(shape, 0.5), bright + 1]
    )
    shown: list[NDArray[np.float32]] = []

    def network(seen: NDArray[np.float32]) -> NDArray[np.uint8]:
        shown.append(seen)
        return np.clip(100 * seen, 0, 255).astype(np.uint8)

    windows = windows.astype(np.float32)
    maps, computed = predict_windows(windows, network, dark_threshold=0.05)
    expected = network(windows)
    expected[[0, 2, 4]] = 0
    np.testing.assert_array_equal(maps, expected)
    assert computed == 3
    np.testing.assert_array_equal(shown[0], windows[[1, 3, 6]])
    maps, computed = predict_windows(windows, network, dark_threshold=0.0)
    np.testing.assert_array_equal(maps, network(windows))
    assert computed == 6


def test_where_all_windows_are_dark_no_network_is_asked() -> None:
    windows = np.zeros((3, 4, 5, 6), dtype=np.float32)
    maps, computed = predict_windows(windows, lambda _: pytest.fail("asked"), dark_threshold=0.05)
    assert (maps.shape, maps.dtype, int(maps.max()), computed) == (windows.shape, np.dtype(np.uint8), 0, 0)
