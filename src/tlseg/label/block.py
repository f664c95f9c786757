"""The two passes of a block, and the one step of a frame between them.

`detect` finds candidates and components in the core. `number_frame` decides, once per frame, which candidates are seeds,
which components have none, and what each instance is called. `label_block` floods the core, with a larger halo until the
flood is certified. Each pass needs only what a block can read by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tlseg.config import LabelSettings
from tlseg.errors import RunError
from tlseg.geometry import Box, Grid, Shape, Spacing, spacing_nm, triple, volume_um3, voxels_for
from tlseg.label.components import BlockComponents, FrameComponents, core_components, describe, join
from tlseg.label.saddles import SaddleRule
from tlseg.label.seeds import Candidates, candidate_halo, candidates, select_seeds, smoothing_window
from tlseg.label.watershed import UNKNOWN, flood, flood_order, squared_distance

TILE = 16
"""Side of the tiles, in voxels, on which unknown voxels are gathered into patches."""

Map = NDArray[np.uint8]
ReadMaps = Callable[[Box], tuple[Map, Map]]
"""Region map and centre map (z, y, x) of a box of the frame."""


@dataclass(frozen=True, slots=True)
class Detection:
    """What one block found: candidates, the component of its core each lies in, and those components."""

    candidates: Candidates
    component: NDArray[np.int64]
    components: BlockComponents


@dataclass(frozen=True, slots=True)
class BlockNumbers:
    """Names of a frame's instances, as one of its blocks needs them to flood.

    Parameters
    ----------
    seeds, labels
        Positions (m, 3) of the seeds of the frame, or at least of those that any halo may reach, and the numbers of their
        instances.
    fallback, seedless
        For each component of the block's core: its number if it is a fallback instance, and whether it has no seed at all.
    """

    seeds: NDArray[np.int64]
    labels: NDArray[np.int64]
    fallback: NDArray[np.int64]
    seedless: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FrameNumbers:
    """Names of all instances of one frame.

    Numbers 1..n go by position in C order: of the seed for detected instances, of the first voxel for fallbacks.

    Parameters
    ----------
    seeds, labels
        Seed positions (m, 3) in the frame and the numbers of their instances.
    fallback
        Per block: number for each component of its core, 0 where the component has a seed or is too small to keep.
    seedless
        Per block: whether each component of its core has no seed, in all of the frame.
    total
        Number of instances, n.
    fallback_labels
        Numbers that came from components without a seed.
    """

    seeds: NDArray[np.int64]
    labels: NDArray[np.int64]
    fallback: list[NDArray[np.int64]]
    seedless: list[NDArray[np.bool_]]
    total: int
    fallback_labels: NDArray[np.int64]

    def of_block(self, block: int) -> BlockNumbers:
        """Return what the block with this number needs."""
        return BlockNumbers(self.seeds, self.labels, self.fallback[block], self.seedless[block])


@dataclass(frozen=True, slots=True)
class LabelledBlock:
    """Labels of a core, and how they were certified.

    Parameters
    ----------
    labels
        uint32 (z, y, x) numbers of the frame's instances.
    beyond
        For each axis, this block's labels for the first plane after its core: numbers where certified, else 0. The neighbour
        must agree.
    halo
        Largest halo in voxels that was needed to certify all of the core.
    tries
        Rounds of flooding it took; all but the first flood only the voxels that were still unknown.
    """

    labels: NDArray[np.uint32]
    beyond: tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint32]]
    halo: Shape
    tries: int


def detect_halo(settings: LabelSettings, spacing_um: Spacing) -> Shape:
    """Voxels around a core that `detect` must see."""
    rule = saddle_rule(settings)
    window = smoothing_window(settings.centre_smoothing_um, spacing_um)
    return candidate_halo(window, rule.halo(spacing_um) if rule else (0, 0, 0))


def saddle_rule(settings: LabelSettings) -> SaddleRule | None:
    """When two centres are one nucleus; None if they never are."""
    return SaddleRule(settings.centre_saddle, settings.centre_reach_um) if settings.centre_saddle < 1 else None


def detect(
    regions: Map, centres: Map, *, crop: Box, core: Box, frame: Box, spacing_um: Spacing, settings: LabelSettings
) -> Detection:
    """Candidates and components of a core, from maps (z, y, x) of `crop` = core and `detect_halo`, within the frame."""
    foreground = regions >= settings.region_threshold
    components = describe(foreground, crop=crop, core=core, frame=frame)
    if settings.method == "components":
        nothing = Candidates(np.zeros((0, 3), np.int64), np.zeros(0, np.int64))
        return Detection(nothing, np.zeros(0, np.int64), components)
    found = candidates(
        centres,
        foreground,
        crop=crop,
        core=core,
        window=smoothing_window(settings.centre_smoothing_um, spacing_um),
        threshold=settings.centre_threshold,
        spacing_um=spacing_um,
        rule=saddle_rule(settings),
    )
    inside = core_components(foreground[core.inside(crop).slices])
    component = inside[tuple((found.position - np.array(core.start)).T)].astype(np.int64)
    return Detection(found, component, components)


def number_frame(
    detections: list[Detection], grid: Grid, *, spacing_um: Spacing, settings: LabelSettings
) -> FrameNumbers:
    """Decide what is an instance and what it is called; `detections` are in the grid's order."""
    joined = join([d.components for d in detections], grid)
    seeds = select_seeds(
        Candidates.of_blocks([d.candidates for d in detections]),
        spacing_um=spacing_um,
        distance_um=settings.centre_distance_um,
    )
    has_seed = _seeded(detections, joined, seeds, grid.frame)
    volumes = volume_um3(joined.voxels, frame=grid.frame, spacing_um=spacing_um)
    kept = ~has_seed & (volumes >= settings.minimum_volume_um3)

    names = np.concatenate([_flat(seeds, grid.frame), joined.first[kept]])
    number = np.empty(len(names), dtype=np.int64)
    number[np.argsort(names, kind="stable")] = np.arange(1, len(names) + 1)
    of_component = np.zeros(len(joined.voxels), dtype=np.int64)
    of_component[kept] = number[len(seeds) :]
    own = [np.arange(1, len(d.components.voxels) + 1) for d in detections]
    rows = [joined.number(block, numbers) for block, numbers in enumerate(own)]
    return FrameNumbers(
        seeds=seeds,
        labels=number[: len(seeds)],
        fallback=[of_component[r] for r in rows],
        seedless=[~has_seed[r] for r in rows],
        total=len(names),
        fallback_labels=np.sort(number[len(seeds) :]),
    )


def label_block(
    read: ReadMaps,
    numbers: BlockNumbers,
    *,
    core: Box,
    frame: Box,
    spacing_um: Spacing,
    settings: LabelSettings,
    most_voxels: int | None = None,
) -> LabelledBlock:
    """Label a core exactly as a flood over the whole frame would.

    Parameters
    ----------
    numbers
        Names of the instances.
    most_voxels
        Largest crop to read, including halo and margin; beyond it the block fails.

    Raises
    ------
    RunError
        When the core cannot be certified within `most_voxels`.
    """
    read = read if most_voxels is None else _at_most(most_voxels, read, core=core)
    flood_outer = partial(_flood_outer, read, numbers, frame=frame, spacing_um=spacing_um, settings=settings)
    halo = triple(max(1, n) for n in voxels_for(settings.halo_um, spacing_um))
    outer = core.grow(halo).intersect(frame)
    flooded, foreground = flood_outer(outer=outer)
    # The core, and the first plane after it along each axis: what the neighbour will be compared with.
    wanted = Box(core.start, core.grow((1, 1, 1)).intersect(frame).stop)
    owned = core.inside(wanted).slices
    components = core_components(foreground[core.inside(outer).slices])
    without = np.concatenate([[False], numbers.seedless])[components]
    known = flooded[wanted.inside(outer).slices].copy()
    known[owned][without] = 0
    del flooded, foreground
    tries = 1
    while (known[owned] == UNKNOWN).any():
        # Only what is unknown is flooded again, each patch of it with a larger halo of its own.
        tries += 1
        halo = triple(2 * n for n in halo)
        for patch in _patches(known[owned] == UNKNOWN):
            box = patch.shift(core.start).grow((1, 1, 1)).intersect(wanted)
            outer = box.grow(halo).intersect(frame)
            wider = flood_outer(outer=outer)[0][box.inside(outer).slices]
            here = known[box.inside(wanted).slices]
            here[here == UNKNOWN] = wider[here == UNKNOWN]
    result = np.where(without, np.concatenate([[0], numbers.fallback])[components], known[owned])
    return LabelledBlock(
        labels=result.astype(np.uint32),
        beyond=_beyond(known, owned=core.inside(wanted)),
        halo=halo,
        tries=tries,
    )


def _at_most(voxels: int, read: ReadMaps, *, core: Box) -> ReadMaps:
    """The same reader, but it refuses a crop larger than memory allows before reading it."""

    def checked(crop: Box) -> tuple[Map, Map]:
        if crop.size > voxels:
            raise RunError(
                f"The block at {core.start} needs {crop.shape} voxels at once, more than memory allows ({voxels}): its "
                "foreground is connected over a long distance without a seed, or is very thick. Check the region threshold, "
                "or allow more memory."
            )
        return read(crop)

    return checked


def _flood_outer(
    read: ReadMaps, numbers: BlockNumbers, *, outer: Box, frame: Box, spacing_um: Spacing, settings: LabelSettings
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Flood core and halo; returns the flood and the foreground of `outer`."""
    relief, foreground = _relief(read, outer=outer, frame=frame, spacing_um=spacing_um, settings=settings)
    markers = np.zeros(outer.shape, dtype=np.int32)
    local = numbers.seeds - np.array(outer.start)
    here = ((local >= 0) & (local < np.array(outer.shape))).all(axis=1)
    markers[tuple(local[here].T)] = numbers.labels[here]
    order = flood_order(relief, foreground)
    return flood(order, foreground, markers=markers, crop=outer, frame=frame), foreground


def _relief(
    read: ReadMaps, *, outer: Box, frame: Box, spacing_um: Spacing, settings: LabelSettings
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Relief (lowest floods first) and foreground of `outer`, exact whatever the crop."""
    if settings.relief == "centre":
        regions, centres = read(outer)
        return -centres.astype(np.int64), regions >= settings.region_threshold
    nm = spacing_nm(spacing_um)
    margin = triple(max(1, n) for n in voxels_for(settings.margin_um, spacing_um))
    while True:
        crop = outer.grow(margin).intersect(frame)
        foreground = read(crop)[0] >= settings.region_threshold
        inner = outer.inside(crop).slices
        squared = squared_distance(foreground, nm)[inner]
        reach = _seen(margin, nm=nm, crop=crop, frame=frame)
        farthest = int(squared.max(initial=0))
        if reach is None or farthest <= reach * reach:
            return -squared, foreground[inner]
        # Where distances are true but long, cover them; where no background was seen at all, double.
        wanted = min(farthest**0.5, 2.0 * reach) / 1000.0
        margin = voxels_for(max(wanted, reach / 1000.0 * 1.25), spacing_um)


def _seen(margin: Shape, *, nm: Shape, crop: Box, frame: Box) -> int | None:
    """Longest distance (nm) that `margin` voxels around a block prove exact; None where the whole frame was seen.

    A distance is exact when all voxels that near were seen. It is never too small, so one step usually suffices.
    """
    return min(
        (m * n for m, n, a, b in zip(margin, nm, crop.shape, frame.shape, strict=True) if a < b),
        default=None,
    )


def _patches(unknown: NDArray[np.bool_]) -> list[Box]:
    """Few boxes that hold all unknown voxels of a core: bounding boxes of connected groups on a grid of tiles."""
    tiles = unknown
    for axis in range(3):
        tiles = np.logical_or.reduceat(tiles, np.arange(0, tiles.shape[axis], TILE), axis=axis)
    together, _ = ndimage.label(tiles, structure=np.ones((3, 3, 3)))
    boxes = []
    for coarse in ndimage.find_objects(together):
        tile = tuple(slice(s.start * TILE, s.stop * TILE) for s in coarse)
        places = np.argwhere(unknown[tile]) + np.array([s.start for s in tile])
        boxes.append(Box(triple(places.min(axis=0).tolist()), triple((places.max(axis=0) + 1).tolist())))
    return boxes


def _beyond(
    known: NDArray[np.int32], *, owned: Box
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint32]]:
    planes = []
    for axis in range(3):
        after = list(owned.slices)
        after[axis] = slice(owned.stop[axis], owned.stop[axis] + 1)
        plane = known[tuple(after)]
        planes.append(np.where(plane == UNKNOWN, 0, plane).astype(np.uint32).squeeze(axis) if plane.size else _NONE)
    return triple(planes)


_NONE = np.zeros((0, 0), dtype=np.uint32)


def _flat(positions: NDArray[np.int64], shape: Shape) -> NDArray[np.int64]:
    """Flat C-order index of positions (n, 3) in a frame."""
    flat: NDArray[np.int64] = np.ravel_multi_index(tuple(positions.T), shape).astype(np.int64)
    return flat


def _seeded(
    detections: list[Detection], joined: FrameComponents, seeds: NDArray[np.int64], shape: Shape
) -> NDArray[np.bool_]:
    """Which of the frame's components hold a seed."""
    names = _flat(seeds, shape)
    has_seed = np.zeros(len(joined.voxels), dtype=bool)
    for block, detection in enumerate(detections):
        chosen = np.isin(_flat(detection.candidates.position, shape), names)
        has_seed[joined.number(block, detection.component[chosen])] = True
    return has_seed
