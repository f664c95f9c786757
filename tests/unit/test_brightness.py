"""Brightness of a frame: that of what is in it, whatever is around it and however it is cut."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from handmade import frame_statistics
from tlseg.geometry import Box, Grid, Shape, Spacing
from tlseg.predict import brightness, tiles
from tlseg.predict.brightness import measure_brightness
from tlseg.predict.normalise import FrameStatistics

GRID = (1.6, 0.8, 0.8)
SPACING = (4.0, 2.0, 2.0)
"""Coarse, so that small arrays are wide: a tile is 3 planes of 6 x 6 voxels."""
EMBRYO = (26, 52, 52)


def embryo(*, noise: float = 3.0, seed: int = 0) -> NDArray[np.uint16]:
    """Bright nuclei of several strengths in dark noise, in a frame as large as those that networks learned from."""
    rng = np.random.default_rng(seed)
    image = rng.normal(100, noise, EMBRYO)
    for centre in rng.uniform(6, np.array(EMBRYO) - 6, (8, 3)):
        place = np.linalg.norm((np.stack(np.indices(EMBRYO), axis=-1) - centre) * SPACING, axis=-1)
        image += rng.uniform(300, 900) * (place < 7)
    return image.clip(0, 65535).astype(np.uint16)


def wide(field: NDArray[np.uint16], shape: Shape, at: Shape) -> NDArray[np.uint16]:
    """The same in a wider field of the same noise."""
    image = np.random.default_rng(1).normal(100, 3, shape).astype(np.uint16)
    image[Box(at, tuple(a + n for a, n in zip(at, field.shape, strict=True))).slices] = field  # type: ignore[arg-type]
    return image


def measured(image: NDArray[np.generic], spacing_um: Spacing = SPACING, *, chunk: Shape = (1, 1, 1)) -> FrameStatistics:
    shape = (image.shape[0], image.shape[1], image.shape[2])
    return measure_brightness(
        lambda box: image[box.slices],
        shape=shape,
        dtype=image.dtype.str,
        spacing_um=spacing_um,
        grid_um=GRID,
        scaling="quantiles",
        chunk=chunk,
    )


def test_a_frame_as_large_as_those_that_networks_learned_from_is_taken_whole() -> None:
    image = embryo()
    assert measured(image) == frame_statistics(image)


@pytest.mark.parametrize("at", [(0, 0, 0), (13, 78, 130), (5, 100, 31), (38, 348, 348)])
def test_an_empty_field_around_an_embryo_hardly_changes_it(at: Shape) -> None:
    image = embryo()
    alone, field = measured(image), wide(image, (64, 400, 400), at)
    found = measured(field)
    assert abs(found.low - alone.low) <= 2
    assert found.high == pytest.approx(alone.high, rel=0.02)
    assert frame_statistics(field).high < 0.5 * alone.high  # The whole field would say so: the law is not for nothing.


def test_a_frame_full_of_nuclei_is_taken_whole() -> None:
    image = np.concatenate([embryo(seed=i)[3:-3, 6:-6, 6:-6] for i in range(12)], axis=2)
    image = np.maximum(image, np.roll(image, (9, 17), axis=(0, 2)))
    assert measured(image) == frame_statistics(image)


def test_many_embryos_are_scaled_as_one_of_them() -> None:
    image = embryo()
    assert measured(np.tile(image, (2, 4, 4))).high == pytest.approx(measured(image).high, rel=0.01)


def test_noise_alone_is_taken_whole() -> None:
    image = wide(embryo()[:1, :1, :1] * 0 + 100, (40, 200, 200), (0, 0, 0))
    assert measured(image) == frame_statistics(image)


def test_a_close_crop_of_an_embryo_hardly_changes_it() -> None:
    image = embryo()
    image[12:15, 24:27, 24:29] = (
        3000  # A mitosis: fewer voxels than a thousandth of the whole, and more than of the crop.
    )
    crop = image[2:-2, 8:-8, 8:-8]
    assert crop.size < 0.5 * image.size
    assert measured(crop).high == pytest.approx(measured(image).high, rel=0.02)
    assert frame_statistics(crop).high > 1.2 * measured(image).high  # The whole crop would say so.


def test_a_crop_that_one_nucleus_fills_has_contrast() -> None:
    image = embryo()
    z, y, x = np.unravel_index(image.argmax(), image.shape)
    crop = image[max(0, z - 2) : z + 3, max(0, y - 5) : y + 6, max(0, x - 5) : x + 6]
    found = measured(crop)
    assert found.high > 0.9 * crop.max() > found.low


def graded(*, seed: int = 0) -> NDArray[np.uint16]:
    """Dark noise, and one voxel in ten that is brighter, the fewer the brighter."""
    rng = np.random.default_rng(seed)
    image = rng.normal(100, 3, EMBRYO)
    image.ravel()[rng.permutation(image.size)[: image.size // 10]] += rng.exponential(200, image.size // 10)
    return image.astype(np.uint16)


@pytest.mark.parametrize("longer", [1.1, 1.5, 2.0, 3.0])
def test_a_saturated_frame_is_scaled_as_if_it_were_not(longer: float) -> None:
    image = graded()
    found = measured(image)
    saturated = np.minimum(image, np.uint16(found.low + (found.high - found.low) / longer))
    again = measured(saturated)
    assert again.low == found.low
    assert again.high - again.low == pytest.approx(found.high - found.low, rel=0.1)


def test_a_few_voxels_are_not_saturated() -> None:
    image = np.random.default_rng(0).integers(0, 60000, (1, 10, 10)).astype(np.uint16)
    assert measured(image).saturated == 0


def test_less_than_a_thousandth_at_the_greatest_value_is_not_saturated() -> None:
    image = graded()
    found = measured(image)
    assert measured(np.minimum(image, np.uint16(found.high + 1))) == found
    assert measured(np.minimum(image, np.uint16(found.high))).high == pytest.approx(found.high, rel=0.01)


def test_nothing_is_known_of_frames_without_shades() -> None:
    image = np.where(np.indices(EMBRYO)[0] < 2, 255, 5).astype(np.uint8)
    most = 5 + brightness.MOST_EXTRAPOLATED * 250
    assert measured(image) == FrameStatistics(5, most, saturated=2 / EMBRYO[0])
    assert frame_statistics(image, scaling="extremes") == FrameStatistics(5, 255, "extremes"), "the whole frame counts"


@pytest.mark.parametrize("wide", [4, 11, 30])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_zeros_around_a_frame_do_not_darken_it(dtype: str, wide: int) -> None:
    image = (embryo() / 8).astype(dtype)
    found = measured(image)
    padded = measured(np.pad(image, [(0, 0), (wide, wide), (wide, wide)]))
    assert found.low == padded.low
    assert padded.high == pytest.approx(found.high, rel=0.05)
    imaged, outside = padded.normalise(np.array([padded.low, 0], dtype))
    assert (imaged, outside) == (0, pytest.approx(0, abs=0.05))


@pytest.mark.parametrize("width", [30, 60, 90])
def test_dim_frames_that_were_sheared_are_padded(width: int) -> None:
    """Interpolation leaves values between zero and the camera's offset, which is larger than all contrast."""
    field = np.zeros((26, 110, width + 120))
    field[:, :, 2 : 2 + width] = np.random.default_rng(0).normal(100, 3, (26, 110, width))
    field[8:16, 40:60, 10:20] += 40
    shear = np.eye(3)
    shear[2, 1] = -1.03
    sheared = ndimage.affine_transform(field, shear, order=1, output_shape=field.shape).astype(np.uint16)
    assert (sheared == 0).mean() > 0.5
    found = measured(sheared, GRID)
    assert found.low == pytest.approx(100, abs=2)
    assert 80 < found.imaged < 100


@pytest.mark.parametrize("bright", [1, 2, 30])
def test_what_is_equally_bright_is_no_image_beside_padding(bright: int) -> None:
    image = np.zeros((3, 4, 5), np.uint16)
    image.ravel()[:bright] = 7
    found = frame_statistics(image)
    assert (found.low, found.imaged) == (0, -np.inf)
    assert found.high >= 7


def test_black_is_dark_where_it_is_background() -> None:
    """As in deconvolved or masked frames and those of single photons, whatever share of the frame nuclei take."""
    rng = np.random.default_rng(0)
    shades = ndimage.gaussian_filter(rng.random(EMBRYO), 3)
    shades = np.clip((shades - np.quantile(shades, 0.7)) / np.ptp(shades), 0, None) * 1000
    photons = rng.poisson(0.5, EMBRYO) + 10 * (shades > 300)
    for image in (shades, 300.0 * (shades > 0), shades + 300 * (shades > 0), shades + 300, photons):
        found = measured(image.astype(np.uint16))
        assert (found.low, found.imaged) == (int(image.min()), -np.inf)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_large_and_saturated_frames_are_read_seldom(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = wide(np.tile(np.minimum(embryo(), 400), (1, 2, 2)), (60, 200, 200), (3, 9, 70)).astype(dtype)
    expected = measured(image)
    monkeypatch.setattr(tiles, "READ_BYTES", 8 * image[0].nbytes)
    times = np.zeros(len(image), dtype=int)

    def read(box: Box) -> NDArray[np.generic]:
        times[box.start[0] : box.stop[0]] += 1
        return image[box.slices]

    options = {"dtype": dtype, "spacing_um": SPACING, "grid_um": GRID, "scaling": "quantiles"}
    assert measure_brightness(read, shape=(60, 200, 200), **options) == expected
    assert expected.high > 400
    assert expected.saturated == (image == 400).mean()
    assert set(times) == ({2} if dtype == "uint16" else {4})


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_how_much_is_read_at_once_changes_nothing(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = (wide(embryo(), (40, 200, 200), (3, 9, 70)) / 8).astype(dtype)
    expected = measured(image)
    monkeypatch.setattr(tiles, "READ_BYTES", 20_000)
    assert measured(image) == expected, "parts of planes"
    assert measured(image, chunk=(7, 60, 30)) == expected
    assert measured(image, chunk=(64, 500, 31)) == expected


def share_of(values: NDArray[np.generic], share: float) -> float:
    return float(np.sort(values.ravel())[max(0, int(np.ceil(share * values.size)) - 1)])


def brightest_near_nuclei(image: NDArray[np.uint16]) -> float:
    """Of tiles in which a hundredth stands out, and of those up to two away, a thousandth of all voxels, the brightest."""
    tiles = Grid((image.shape[0], image.shape[1], image.shape[2]), (3, 6, 6))
    one_embryo = 1_100_000 * np.prod(GRID) / np.prod(SPACING)
    middle, top = share_of(image, 0.5), share_of(image, 1 - 0.001 * one_embryo / image.size)
    bright = image > middle + 0.3 * (top - middle)
    full = np.array([bright[core.slices].mean() > 0.01 for core in tiles]).reshape(tiles.counts)
    near = sum(
        tiles[number].size
        for number in range(len(tiles))
        if full[tuple(slice(max(0, i - 2), i + 3) for i in tiles.position(number))].any()
    )
    assert one_embryo < near < image.size
    return share_of(image, 1 - 0.001 * near / image.size)


@pytest.mark.parametrize("slab_planes", [1, 5, 40])
def test_a_field_with_several_embryos_is_scaled_by_all_of_them(
    slab_planes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = wide(np.concatenate([embryo(seed=1), embryo(seed=2), embryo(seed=3)], axis=2), (30, 190, 200), (3, 9, 30))
    monkeypatch.setattr(tiles, "READ_BYTES", slab_planes * image[0].nbytes)
    assert measured(image).high == brightest_near_nuclei(image)


def test_planes_are_read_once_for_each_question_and_not_for_each_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Movies are often stored by the plane: reading any part of it decodes all of it."""
    image = wide(np.tile(embryo(), (1, 2, 2)), (60, 200, 200), (3, 9, 70))
    monkeypatch.setattr(tiles, "READ_BYTES", 8 * image[0].nbytes)
    times = np.zeros(len(image), dtype=int)

    def read(box: Box) -> NDArray[np.uint16]:
        assert box.shape[0] <= 8
        times[box.start[0] : box.stop[0]] += 1
        return image[box.slices]

    options = {"dtype": "<u2", "spacing_um": SPACING, "grid_um": GRID, "scaling": "quantiles"}
    found = measure_brightness(read, shape=(60, 200, 200), **options)
    assert found == measured(image)
    assert times.tolist() == [2] * 60, "all values, and what stands out"


@pytest.mark.parametrize("chunk", [(60, 64, 64), (7, 200, 200), (32, 32, 200)])
def test_no_chunk_is_decoded_twice_for_a_question(chunk: Shape, monkeypatch: pytest.MonkeyPatch) -> None:
    image = wide(np.tile(embryo(), (1, 2, 2)), (60, 200, 200), (3, 9, 70))
    monkeypatch.setattr(tiles, "READ_BYTES", 10 * image[0].nbytes)
    chunks = Grid((60, 200, 200), chunk)
    times = np.zeros(len(chunks), dtype=int)

    def read(box: Box) -> NDArray[np.uint16]:
        assert all(a % c == 0 for a, c in zip(box.start, chunk, strict=True))
        times[chunks.touching(box)] += 1
        return image[box.slices]

    options = {"dtype": "<u2", "spacing_um": SPACING, "grid_um": GRID, "scaling": "quantiles", "chunk": chunk}
    assert measure_brightness(read, shape=(60, 200, 200), **options) == measured(image)
    assert times.tolist() == [2] * len(chunks)


def test_nuclei_a_quarter_as_wide_have_neighbourhoods_a_quarter_as_wide() -> None:
    image = wide(embryo(), (40, 200, 200), (3, 9, 70))
    small = measure_brightness(
        lambda box: image[box.slices],
        shape=(40, 200, 200),
        dtype=image.dtype.str,
        spacing_um=(1.0, 0.5, 0.5),
        grid_um=(0.4, 0.2, 0.2),
        scaling="quantiles",
    )
    assert small == measured(image)
    assert small.high > 2 * frame_statistics(image).high


def test_a_plane_is_as_bright_however_thick_and_wherever_it_is_cut() -> None:
    """Alone, in a wide field and in a close crop, a section of an embryo keeps its scale."""
    rng = np.random.default_rng(0)
    image = embryo()
    plane = image[int((image > 300).sum(axis=(1, 2)).argmax())][None]
    found = measured(plane)
    assert [measured(plane, (thick, *SPACING[1:])) for thick in (0.01, 1.0, 300.0)] == [found] * 3
    bright = np.argwhere(plane[0] > 300)
    near = tuple(slice(max(0, a - 3), b + 4) for a, b in zip(bright.min(axis=0), bright.max(axis=0), strict=True))
    field = rng.normal(100, 3, (1, 300, 300)).astype(np.uint16)
    field[:, 100 : 100 + EMBRYO[1], 90 : 90 + EMBRYO[2]] = plane
    for other in (plane[:, *near], field):
        again = measured(other)
        assert abs(again.high - again.low - found.high + found.low) < 0.15 * (found.high - found.low)
