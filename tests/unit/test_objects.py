"""Object tables, compared with what other libraries compute from whole frames."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from skimage.measure import marching_cubes, mesh_surface_area, regionprops

from tlseg.geometry import Box, Grid, Shape, Spacing
from tlseg.measure import objects
from tlseg.measure.objects import (
    ObjectSums,
    add_overlaps,
    add_sums,
    elongation,
    looseness,
    measure_block,
    object_table,
    overlaps,
    surface_of_corners,
    surface_unit_um2,
)
from tlseg.plan import BLEND_BYTES_PER_VOXEL

SPACING: Spacing = (1.75, 0.8, 0.8)
SHAPE: Shape = (14, 26, 22)


def scene(seed: int = 0) -> NDArray[np.uint32]:
    """Touching lumps, some cut by the frame's edge, with numbers that are not consecutive."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, 1, (9, 3)) * SHAPE
    place = np.stack(np.indices(SHAPE), axis=-1)[..., None, :]
    far = (((place - centres) * [1.5, 1, 1]) ** 2).sum(axis=-1)
    numbers = np.array([3, 7, 8, 20, 21, 100, 70000, 4_000_000_000, 5], dtype=np.uint32)
    return np.where(far.min(axis=-1) < 36, numbers[far.argmin(axis=-1)], 0).astype(np.uint32)


def grey(dtype: str) -> NDArray[np.generic]:
    values = np.random.default_rng(1).gamma(2, 40, SHAPE) - (60 if dtype in ("int16", "float32") else 0)
    return np.clip(values, -300, 255 if dtype == "uint8" else 3000).astype(dtype)


def measured(labels: NDArray[np.uint32], image: NDArray[np.generic], block: Shape) -> ObjectSums:
    frame = Box.of_shape(labels.shape)  # type: ignore[arg-type]
    parts = []
    for core in Grid(frame.shape, block):
        crop = Box(tuple(max(0, a - 1) for a in core.start), core.stop)  # type: ignore[arg-type]
        here = (labels[crop.slices], image[core.slices])
        parts.append(measure_block(*here, crop=crop, core=core, frame=frame, spacing_um=SPACING))
    return add_sums(parts[::-1])


def table(labels: NDArray[np.uint32], image: NDArray[np.generic], block: Shape = SHAPE) -> pd.DataFrame:
    sums = measured(labels, image, block)
    nothing = np.zeros(0, dtype=np.int64)
    return object_table(sums, t=4, spacing_um=SPACING, origin_um=(10.0, 20.0, 30.0), fallback=nothing)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("block", [(16, 16, 16), (5, 7, 9), (1, 26, 3)])
def test_the_table_does_not_depend_on_the_cut(dtype: str, block: Shape) -> None:
    labels, image = scene(), grey(dtype)
    pd.testing.assert_frame_equal(table(labels, image, block), table(labels, image), check_exact=True)
    assert table(labels, image, block).equals(table(labels, image))


@pytest.mark.parametrize("at_once", [1, 40, 700])
def test_slabs_of_a_block_change_nothing(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    labels, image = scene(), grey("float32")
    whole = table(labels, image, (9, 17, 22))
    monkeypatch.setattr(objects, "AT_ONCE", at_once)
    pd.testing.assert_frame_equal(table(labels, image, (9, 17, 22)), whole)


def test_measuring_takes_no_more_memory_than_is_planned_for_a_block() -> None:
    """A block of touching nuclei; labels and image are held beside it."""
    shape: Shape = (64, 160, 208)
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    labels = (1 + z // 16 * 1000 + y // 16 * 20 + x // 16).astype(np.uint32)
    image = np.ones(shape, dtype=np.uint16)
    box = Box.of_shape(shape)
    tracemalloc.start()
    try:
        measure_block(labels, image, crop=box, core=box, frame=box, spacing_um=SPACING)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak + labels.nbytes + image.nbytes < BLEND_BYTES_PER_VOXEL * labels.size


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_volumes_places_and_intensities_are_those_of_scikit_image(dtype: str) -> None:
    labels, image = scene(), grey(dtype)
    rows = table(labels, image)
    numbers, dense = np.unique(labels, return_inverse=True)
    props = regionprops(dense.reshape(SHAPE), intensity_image=image.astype(np.float64))
    assert rows["label"].tolist() == numbers[1:].tolist()
    assert (rows["t"] == 4).all()
    for (_, row), prop in zip(rows.iterrows(), props, strict=True):
        values = image[dense.reshape(SHAPE) == prop.label].astype(np.float64)
        assert row["volume_voxels"] == prop.num_pixels
        assert row["volume_um3"] == pytest.approx(prop.num_pixels * 1.75 * 0.8 * 0.8)
        assert [row["z"], row["y"], row["x"]] == pytest.approx(prop.centroid)
        assert [row[f"bbox_{a}{i}"] for i in (0, 1) for a in "zyx"] == list(prop.bbox)
        assert row["intensity_mean"] == pytest.approx(prop.intensity_mean, rel=1e-12)
        assert row["intensity_sum"] == pytest.approx(values.sum(), rel=1e-12)
        for axis, start in zip("zyx", (10.0, 20.0, 30.0), strict=True):
            assert row[f"{axis}_um"] == pytest.approx(start + row[axis] * SPACING["zyx".index(axis)])


def test_surfaces_are_those_of_marching_cubes() -> None:
    labels = scene()
    rows = table(labels, grey("uint8")).set_index("label")
    for number in np.unique(labels)[1:]:
        mask = np.pad(labels == number, 1).astype(np.float32)
        vertices, faces, _, _ = marching_cubes(mask, 0.5, spacing=SPACING)
        assert rows.loc[number, "surface_um2"] == pytest.approx(mesh_surface_area(vertices, faces), rel=1e-4)


def test_cells_inside_out_have_the_same_surface_where_that_is_not_ambiguous() -> None:
    areas = surface_of_corners(SPACING)
    assert areas[0] == areas[255] == 0
    assert (areas[1:255] > 0).all()
    assert areas[0b00001111] == round(0.8 * 0.8 / surface_unit_um2(SPACING))
    assert areas[1] == areas[254]


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 0.1, 1e3])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (5.0, 0.25, 0.5)])
def test_surfaces_grow_with_the_square_of_the_voxel_however_small_it_is(scale: float, spacing: Spacing) -> None:
    small: Spacing = (scale * spacing[0], scale * spacing[1], scale * spacing[2])
    expected = surface_of_corners(spacing) * surface_unit_um2(spacing) * scale**2
    np.testing.assert_allclose(surface_of_corners(small) * surface_unit_um2(small), expected, rtol=1e-5)


def test_objects_at_the_edge_of_the_frame_are_marked() -> None:
    labels = scene()
    rows = table(labels, grey("uint8"), (5, 7, 9)).set_index("label")
    inner = np.zeros(SHAPE, dtype=bool)
    inner[1:-1, 1:-1, 1:-1] = True
    touching = set(np.unique(labels[~inner]).tolist()) - {0}
    assert set(rows.index[rows["touches_edge"]]) == touching
    assert 0 < len(touching) < len(rows)


def test_seams_are_not_edges() -> None:
    labels = np.zeros(SHAPE, dtype=np.uint32)
    labels[4:10, 5:20, 6:18] = 1
    rows = table(labels, grey("uint8"), (5, 7, 9))
    assert rows["touches_edge"].tolist() == [False]
    assert rows["surface_um2"][0] == table(labels, grey("uint8"))["surface_um2"][0]


def test_one_plane_has_no_edge_across_it() -> None:
    plane = scene()[SHAPE[0] // 2][None]
    everything = Box.of_shape((1, *SHAPE[1:]))
    sums = measure_block(
        plane, np.ones(plane.shape), crop=everything, core=everything, frame=everything, spacing_um=SPACING
    )
    rim = np.concatenate([plane[0, [0, -1]].ravel(), plane[0, :, [0, -1]].ravel()])
    touching = set(np.unique(rim).tolist()) - {0}
    assert set(sums.label[sums.edge > 0].tolist()) == touching
    assert 0 < len(touching) < len(sums.label)


def test_fallbacks_are_named() -> None:
    sums = measured(scene(), grey("uint8"), SHAPE)
    rows = object_table(sums, t=0, spacing_um=SPACING, origin_um=(0.0, 0.0, 0.0), fallback=np.array([7, 100]))
    assert set(rows.loc[rows["seed"] == "fallback", "label"]) == {7, 100}
    assert set(rows["seed"]) == {"fallback", "detected"}


def test_an_empty_frame_has_no_rows_but_all_columns() -> None:
    empty, full = table(np.zeros(SHAPE, dtype=np.uint32), grey("uint8"), (5, 7, 9)), table(scene(), grey("uint8"))
    assert len(empty) == 0
    assert list(empty.columns) == list(full.columns)
    assert dict(empty.dtypes) == dict(full.dtypes)


def test_sums_survive_storage() -> None:
    sums = measured(scene(), grey("uint8"), SHAPE)
    again = ObjectSums(**sums.to_arrays())
    assert all(np.array_equal(a, b) for a, b in zip(sums.to_arrays().values(), again.to_arrays().values(), strict=True))


@pytest.mark.parametrize("block", [SHAPE, (5, 7, 9)])
def test_overlaps_are_counted_pair_by_pair(block: Shape) -> None:
    before, after = scene(0), scene(2)
    expected = {}
    for a, b in zip(before.ravel().tolist(), after.ravel().tolist(), strict=True):
        if a and b:
            expected[a, b] = expected.get((a, b), 0) + 1
    parts = [overlaps(before[core.slices], after[core.slices]) for core in Grid(SHAPE, block)]
    rows = add_overlaps(parts[::-1])
    assert rows.tolist() == [[a, b, n] for (a, b), n in sorted(expected.items())]
    assert len(rows) > 5


def test_frames_that_share_nothing_have_no_overlaps() -> None:
    nothing = np.zeros(SHAPE, dtype=np.uint32)
    assert overlaps(nothing, scene()).shape == (0, 3)
    assert add_overlaps([]).shape == (0, 3)
    assert add_overlaps([overlaps(nothing, scene())]).shape == (0, 3)


def test_elongation_is_that_of_the_ellipsoid_in_micrometres() -> None:
    spacing = (2.0, 0.5, 0.5)
    at = np.indices((40, 120, 120)) * np.array(spacing)[:, None, None, None]
    middle = np.array([39.0, 30.0, 30.0])[:, None, None, None]
    off = at - middle
    ball = (off**2).sum(axis=0) <= 15**2
    turned = np.stack([off[0], (off[1] + off[2]) / np.sqrt(2), (off[1] - off[2]) / np.sqrt(2)])
    cigar = (turned[0] / 8) ** 2 + (turned[1] / 24) ** 2 + (turned[2] / 8) ** 2 <= 1
    for mask, expected in ((ball, 1.0), (cigar, 3.0)):
        labels = mask.astype(np.uint32)
        frame = Box.of_shape(labels.shape)
        whole = measure_block(labels, labels, crop=frame, core=frame, frame=frame, spacing_um=spacing)
        assert elongation(whole, spacing_um=spacing)[0] == pytest.approx(expected, rel=0.02)
    disc = (cigar[20:21]).astype(np.uint32)
    frame = Box.of_shape(disc.shape)
    flat = measure_block(disc, disc, crop=frame, core=frame, frame=frame, spacing_um=spacing)
    assert elongation(flat, spacing_um=spacing)[0] == pytest.approx(3.0, rel=0.03)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("axes", [(6, 6, 6), (4, 8, 20), (12, 12, 6)])
def test_looseness_is_one_for_an_ellipsoid_and_grows_with_the_distance_of_two(axes: Shape, *, turned: bool) -> None:
    at = np.indices((26, 60, 140))

    def ellipsoid(x: float) -> NDArray[np.bool_]:
        off = at - np.array([13, 30, x])[:, None, None, None]
        off = np.stack([off[0], off[1] + off[2] / 2, off[2]]) if turned else off
        return ((off / np.array(axes)[:, None, None, None]) ** 2).sum(axis=0) <= 1

    def of(mask: NDArray[np.bool_]) -> float:
        labels = mask.astype(np.uint32)
        return float(looseness(measured(labels, labels, (13, 60, 50)))[0])

    assert of(ellipsoid(30)) == pytest.approx(1, rel=0.03)
    for distance in (45, 70):
        far = np.hypot(distance / 2 / axes[1], distance / axes[2]) if turned else distance / axes[2]
        assert of(ellipsoid(30) | ellipsoid(30 + distance)) == pytest.approx(np.sqrt(1 + 1.25 * far**2) / 2, rel=0.03)
