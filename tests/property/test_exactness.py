"""The promise: labels do not depend on how the frame was cut.

Every law here compares bytes. The last tests take one guard out of the code and show a scene that then goes wrong, so
that nobody removes a guard because nothing seems to need it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from tlseg.config import LabelSettings
from tlseg.geometry import Box, Grid, Shape, Spacing, spacing_nm
from tlseg.label import block as block_module
from tlseg.label import frame as frame_module
from tlseg.label import watershed as watershed_module
from tlseg.label.block import LabelledBlock, saddle_rule
from tlseg.label.frame import label_frame
from tlseg.label.seeds import candidates, select_seeds, smoothing_window

Map = NDArray[np.uint8]

FEW = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),  # Scenes are large: shrinking one takes minutes.
)

BLOCKS: tuple[Shape, ...] = (
    (16, 16, 16),
    (16, 32, 16),
    (32, 16, 32),
    (16, 16, 64),
    (32, 32, 32),
    (17, 23, 19),
    (99, 99, 99),
)
"""Cubes and bars, multiples of a shard and not, and one larger than any frame here."""

ISOTROPIC: Spacing = (1.0, 1.0, 1.0)
EMBRYO: Spacing = (1.75, 0.8, 0.8)


@dataclass(frozen=True)
class Scene:
    """Maps (z, y, x) of one frame and all that decides its labels."""

    regions: Map
    centres: Map
    spacing_um: Spacing
    settings: LabelSettings

    def label(self, block: Shape | None = None, *, order: list[int] | None = None) -> NDArray[np.uint32]:
        return label_frame(
            self.regions, self.centres, spacing_um=self.spacing_um, settings=self.settings, block=block, order=order
        )

    @property
    def shape(self) -> Shape:
        z, y, x = self.regions.shape
        return (z, y, x)


def shuffled(shape: Shape, block: Shape, seed: int) -> list[int]:
    """Numbers of all blocks in an order nobody chose."""
    order = np.arange(len(Grid(shape, block)))
    np.random.default_rng(seed).shuffle(order)
    return [int(i) for i in order]


def differing(scene: Scene, block: Shape, *, one: NDArray[np.uint32] | None = None) -> int:
    """Voxels where many blocks and one block disagree."""
    whole = scene.label() if one is None else one
    return int((scene.label(block, order=shuffled(scene.shape, block, 1)) != whole).sum())


def balls(shape: Shape, nuclei: list[tuple[tuple[int, ...], tuple[float, ...]]]) -> tuple[Map, NDArray[np.float64]]:
    """Union of ellipsoids (centre, radii in voxels) and how deep (0..1) each voxel lies in the deepest of them."""
    place = np.indices(shape).astype(float)
    depth = np.zeros(shape)
    for centre, radii in nuclei:
        far = sum(((place[a] - centre[a]) / radii[a]) ** 2 for a in range(3))
        depth = np.maximum(depth, 1 - far)
    return np.where(depth > 0, 255, 0).astype(np.uint8), np.clip(depth, 0, 1)


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Frames of a few blocks: crowded, with giants, without seeds, flat, full or empty."""
    shape = draw(st.tuples(st.integers(17, 26), st.integers(20, 40), st.integers(17, 40)))
    spacing = draw(st.sampled_from([ISOTROPIC, EMBRYO, (2.0, 0.51, 0.377)]))
    # Places around the seams at 16 and 32 as often as anywhere.
    coordinate = [st.one_of(st.sampled_from([15, 16, 17]), st.integers(0, n - 1)) for n in shape]
    radius = st.one_of(st.floats(1.2, 5.0), st.floats(9.0, 24.0))
    nuclei = draw(st.lists(st.tuples(st.tuples(*coordinate), st.tuples(radius, radius, radius)), max_size=9))
    regions, depth = balls(shape, nuclei)
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    match draw(st.sampled_from(["balls", "balls", "balls", "noisy", "full", "holes", "blocky"])):
        case "noisy":
            regions = np.clip(regions.astype(int) + rng.integers(-140, 140, shape), 0, 255).astype(np.uint8)
        case "full":
            regions[:] = 255
        case "holes":
            regions = np.where(rng.random(shape) < 0.01, 0, 255).astype(np.uint8)
        case "blocky":
            regions = np.kron(rng.integers(0, 2, (4, 5, 5)), np.ones((8, 8, 8)))[: shape[0], : shape[1], : shape[2]]
            regions = (regions * 255).astype(np.uint8)
            depth = depth[: regions.shape[0], : regions.shape[1], : regions.shape[2]]
    match draw(st.sampled_from(["peaks", "peaks", "saturated", "constant", "nothing", "steps", "noise"])):
        case "peaks":
            centres = depth * 255
        case "saturated":
            centres = np.clip(depth * 600, 0, 255)
        case "constant":
            centres = np.full(regions.shape, 200)
        case "nothing":
            centres = np.zeros(regions.shape)
        case "steps":
            centres = np.floor(depth * 4) * 63
        case _:
            centres = rng.integers(0, 256, regions.shape)
    # Some nuclei the detector missed.
    for centre, radii in nuclei[: draw(st.integers(0, 2))]:
        hole = tuple(slice(max(0, int(c - r)), int(c + r) + 1) for c, r in zip(centre, radii, strict=True))
        centres[hole] = 0
    return Scene(
        regions,
        centres.astype(np.uint8),
        spacing,
        LabelSettings(
            method=draw(st.sampled_from(["qcanet", "qcanet", "qcanet", "components"])),
            relief=draw(st.sampled_from(["distance", "centre"])),
            centre_smoothing_um=draw(st.sampled_from([0.0, 2.0, 3.5])),
            centre_distance_um=draw(st.sampled_from([0.0, 3.0, 6.0])),
            centre_saddle=draw(st.sampled_from([1.0, 0.8, 0.5])),
            centre_reach_um=draw(st.sampled_from([4.0, 14.0])),
            minimum_volume_um3=draw(st.sampled_from([0.0, 30.0])),
            minimum_volume_fraction=draw(st.sampled_from([0.0, 0.3])),
            halo_um=draw(st.sampled_from([0.5, 2.0, 6.0])),
            margin_um=draw(st.sampled_from([0.5, 3.0])),
        ),
    )


def crowd(*, relief: Any = "distance", spacing: Spacing = ISOTROPIC, shape: Shape = (24, 40, 40)) -> Scene:
    """Balls in a lattice, a voxel of overlap between neighbours, so that seams run through touching faces."""
    nuclei = [
        ((z, y, x), (4.6, 4.6, 4.6))
        for z in range(4, shape[0], 8)
        for y in range(4, shape[1], 8)
        for x in range(4, shape[2], 8)
    ]
    regions, depth = balls(shape, nuclei)
    return Scene(
        regions,
        (depth * 255).astype(np.uint8),
        spacing,
        LabelSettings(relief=relief, centre_smoothing_um=0.0, centre_distance_um=2.0, halo_um=1.0, margin_um=1.0),
    )


def giant() -> Scene:
    """One nucleus of 3 x 3 x 3 blocks with two seeds near its ends, and a small one inside a block."""
    regions, _ = balls((40, 40, 40), [((20, 20, 20), (18.0, 18.0, 18.0)), ((2, 2, 2), (2.0, 2.0, 2.0))])
    centres = np.zeros((40, 40, 40), dtype=np.uint8)
    centres[6, 20, 20] = centres[33, 16, 21] = centres[2, 2, 2] = 255
    return Scene(
        regions,
        centres,
        EMBRYO,
        LabelSettings(centre_smoothing_um=0.0, centre_distance_um=1.0, halo_um=1.0, margin_um=1.0),
    )


def flat(value: int, *, seeds: bool, relief: Any = "centre") -> Scene:
    """A frame that is foreground everywhere, on a constant map, with or without seeds."""
    centres = np.full((20, 36, 36), value, dtype=np.uint8)
    if seeds:
        for at in ((16, 16, 16), (3, 15, 30), (10, 32, 5), (15, 31, 31)):
            centres[at] = 255
    return Scene(
        np.full((20, 36, 36), 255, dtype=np.uint8),
        centres,
        ISOTROPIC,
        LabelSettings(
            relief=relief, centre_smoothing_um=0.0, centre_distance_um=2.0, centre_threshold=250, halo_um=2.0
        ),
    )


NAMED = {
    "crowd": crowd(),
    "crowd-anisotropic": crowd(spacing=EMBRYO),
    "crowd-centre": crowd(relief="centre"),
    "giant": giant(),
    "flat-seeded": flat(100, seeds=True),
    "flat-seeded-distance": flat(100, seeds=True, relief="distance"),
    "full-without-seeds": flat(100, seeds=False),
}


@functools.lru_cache
def whole(name: str) -> NDArray[np.uint32]:
    return NAMED[name].label()


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_many_blocks_equal_one(name: str, block: Shape) -> None:
    assert differing(NAMED[name], block, one=whole(name)) == 0


def test_the_named_scenes_are_what_they_say() -> None:
    assert len(np.unique(whole("crowd"))) == 3 * 5 * 5 + 1
    assert len(np.unique(whole("giant"))) == 3 + 1
    assert len(np.unique(whole("flat-seeded"))) == 4
    assert (whole("full-without-seeds") == 1).all()


@settings(FEW, max_examples=30)
@given(scenes())
def test_any_scene_has_the_labels_of_one_block_in_any_cut(scene: Scene) -> None:
    one = scene.label()
    for number, block in enumerate(BLOCKS):
        many = scene.label(block, order=shuffled(scene.shape, block, number))
        assert many.tobytes() == one.tobytes(), (block, int((many != one).sum()))


@FEW
@given(scenes(), st.tuples(*[st.integers(3, 12)] * 3))
def test_blocks_smaller_than_nuclei(scene: Scene, block: Shape) -> None:
    window = tuple(slice(0, 18) for _ in range(3))
    small = replace(scene, regions=scene.regions[window], centres=scene.centres[window])
    assert differing(small, block) == 0


@FEW
@given(scenes())
@example(NAMED["crowd"])
@example(NAMED["giant"])
def test_settings_of_speed_do_not_decide_labels(scene: Scene) -> None:
    slow = replace(scene, settings=replace(scene.settings, halo_um=40.0, margin_um=40.0))
    assert np.array_equal(scene.label((16, 16, 16)), slow.label((16, 16, 16)))


@FEW
@given(scenes())
@example(NAMED["crowd"])
@example(NAMED["crowd-anisotropic"])
@example(NAMED["flat-seeded"])
@example(NAMED["full-without-seeds"])
def test_one_block_is_a_plain_flood_of_the_whole_frame(scene: Scene) -> None:
    assert np.array_equal(scene.label(), reference(scene))


def reference(scene: Scene) -> NDArray[np.uint32]:
    """Labels of a frame without blocks: distances, flood and components taken of the whole array at once."""
    foreground = scene.regions >= scene.settings.region_threshold
    box = Box.of_shape(scene.shape)
    seeds = np.zeros((0, 3), dtype=np.int64)
    if scene.settings.method == "qcanet":
        window = smoothing_window(scene.settings.centre_smoothing_um, scene.spacing_um)
        threshold = scene.settings.centre_threshold
        found = candidates(
            scene.centres,
            foreground,
            crop=box,
            core=box,
            window=window,
            threshold=threshold,
            spacing_um=scene.spacing_um,
            rule=saddle_rule(scene.settings),
        )
        seeds = select_seeds(found, spacing_um=scene.spacing_um, distance_um=scene.settings.centre_distance_um)
    relief = -scene.centres.astype(np.int64)
    if scene.settings.relief == "distance":
        relief = -squared_distances(foreground, scene.spacing_um)
    order = np.zeros(relief.size)
    order[np.lexsort((np.arange(relief.size), relief.ravel()))] = np.arange(relief.size)
    markers = np.zeros(scene.shape, dtype=np.int64)
    flat = np.ravel_multi_index(tuple(seeds.T), scene.shape)
    markers.ravel()[flat] = flat + 1
    flooded = watershed(order.reshape(scene.shape), markers, mask=foreground)

    components, _ = ndimage.label(foreground)
    seeded = np.unique(components[tuple(seeds.T)])
    for number in range(1, components.max() + 1):
        inside = components == number
        big = inside.sum() * np.prod(scene.spacing_um) >= scene.settings.minimum_volume_um3
        if number not in seeded and big:
            flooded[inside] = np.flatnonzero(inside)[0] + 1
    # Names by position, 1..n; those of small instances stay unused.
    names, labels = np.unique(np.concatenate([[0], flooded.ravel()]), return_inverse=True)
    assert names[0] == 0
    labels = labels[1:]
    volumes = np.bincount(labels, minlength=1)
    small = volumes * np.prod(scene.spacing_um) < scene.settings.minimum_volume_um3
    others = sorted(v for name, v in enumerate(volumes) if name and v and not small[name])
    if others:
        small |= volumes < scene.settings.minimum_volume_fraction * others[len(others) // 2]
    return np.where(small[labels], 0, labels).reshape(scene.shape).astype(np.uint32)


def squared_distances(foreground: NDArray[np.bool_], spacing_um: Spacing) -> NDArray[np.int64]:
    if foreground.all():
        return np.zeros(foreground.shape, dtype=np.int64)
    nm = spacing_nm(spacing_um)
    nearest = ndimage.distance_transform_edt(foreground, sampling=nm, return_distances=False, return_indices=True)
    away = (nearest.astype(np.int64) - np.indices(foreground.shape)) * np.array(nm).reshape(3, 1, 1, 1)
    return (away**2).sum(axis=0)


@FEW
@given(scenes(), st.sampled_from([(16, 16, 16), (11, 16, 13)]))
@example(NAMED["crowd"], (16, 16, 16))
@example(NAMED["flat-seeded"], (16, 16, 16))
def test_what_a_block_says_about_its_neighbour_is_what_the_neighbour_says(scene: Scene, block: Shape) -> None:
    ((_, whole_frame),) = blocks_of(scene, scene.shape)
    for core, labelled in blocks_of(scene, block):
        assert labelled.tries >= 1
        for axis in range(3):
            after = list(core.slices)
            after[axis] = slice(core.stop[axis], core.stop[axis] + 1)
            there = whole_frame.labels[tuple(after)]
            said = labelled.beyond[axis]
            if not there.size:
                assert said.size == 0
                continue
            assert ((said == 0) | (said == there.squeeze(axis))).all()


def test_blocks_do_say_something_about_their_neighbours() -> None:
    crowd = NAMED["crowd"]
    seeing = replace(crowd, settings=replace(crowd.settings, halo_um=16.0))
    said = [np.count_nonzero(plane) for _, b in blocks_of(seeing, (16, 16, 16)) for plane in b.beyond]
    assert sum(said) > 1000


def test_small_halos_grow_until_they_suffice() -> None:
    tries = [b.tries for _, b in blocks_of(NAMED["giant"], (16, 16, 16))]
    assert max(tries) > 2


def blocks_of(scene: Scene, block: Shape) -> list[tuple[Box, LabelledBlock]]:
    """Every block's own answer."""
    found: list[tuple[Box, LabelledBlock]] = []

    def record(*args: Any, **options: Any) -> LabelledBlock:
        labelled = block_module.label_block(*args, **options)
        found.append((options["core"], labelled))
        return labelled

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frame_module, "label_block", record)
        scene.label(block)
    return found


def lumps(seed: int) -> Scene:
    """Thick overlapping ellipsoids with many seeds at random places inside."""
    rng = np.random.default_rng(seed)
    shape = (18, 32, 32)
    nuclei = [(tuple(rng.uniform(0, 1, 3) * shape), tuple(rng.uniform(4, 13, 3))) for _ in range(6)]
    regions, _ = balls(shape, nuclei)
    inside = np.argwhere(regions > 0)
    centres = np.zeros(shape, dtype=np.uint8)
    centres[tuple(inside[rng.integers(len(inside), size=35)].T)] = 255
    return Scene(
        regions,
        centres,
        EMBRYO,
        LabelSettings(centre_smoothing_um=0.0, centre_distance_um=1.0, halo_um=2.0, margin_um=0.1),
    )


def uncertified(patch: pytest.MonkeyPatch) -> None:
    """Nothing comes in from outside: a block trusts its first halo."""
    patch.setattr(watershed_module, "open_faces", lambda crop, frame: np.zeros(crop.shape, dtype=bool))


def tied(patch: pytest.MonkeyPatch) -> None:
    """Heights are the bare relief: voxels equally deep are told apart by the order of a queue."""

    def bare(relief: NDArray[np.int64], foreground: NDArray[np.bool_]) -> NDArray[np.int32]:
        order = np.zeros(foreground.shape, dtype=np.int32)
        order[foreground] = np.unique(relief[foreground], return_inverse=True)[1] + 1
        return order

    patch.setattr(block_module, "flood_order", bare)


def blinkered(patch: pytest.MonkeyPatch) -> None:
    """The first margin is taken to suffice for every distance."""
    patch.setattr(block_module, "_seen", lambda *_, **__: None)


GUARDS = {
    "certificate": (uncertified, crowd()),
    "certificate, centre relief": (uncertified, crowd(relief="centre")),
    "ties broken by position": (tied, crowd()),
    "margin of distances": (blinkered, lumps(41)),
}


@pytest.mark.parametrize("guard", GUARDS)
def test_without_its_guard_the_promise_breaks(guard: str) -> None:
    remove, scene = GUARDS[guard]
    block = (16, 16, 16)
    assert differing(scene, block) == 0
    with pytest.MonkeyPatch.context() as patch:
        remove(patch)
        # Against one block under the same change: it is the cut that makes the difference.
        assert differing(scene, block) > 0
