"""The two passes of a block, and the one step of a frame between them.

`detect` finds candidates and components in the core. `number_frame` decides, once per frame, which candidates are seeds,
which components have none, and what number each instance gets. `label_block` floods the core, with a larger and larger halo
until the flood is certified (`tlseg.label.watershed`). Each pass needs only what a block can read by itself.
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
from tlseg.label.components import BlockComponents, core_components, describe, join
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
    """What one block found.

    Parameters
    ----------
    candidates, component
        Candidates for seeds in its core, and the component of it, from 1, that each lies in, shape (n,).
    components
        Components of the core.
    """

    candidates: Candidates
    component: NDArray[np.int64]
    components: BlockComponents


@dataclass(frozen=True, slots=True)
class BlockNumbers:
    """Numbers of a frame's instances, as one of its blocks needs them to flood.

    Parameters
    ----------
    seeds, labels
        Positions (m, 3) of the seeds of the frame, and the numbers of their instances (m,).
    fallback, seedless
        For each component of the block's core: its number if it is a fallback instance, 0 if it has a seed or is too small
        to keep; and whether it has no seed anywhere in the frame.
    """

    seeds: NDArray[np.int64]
    labels: NDArray[np.int64]
    fallback: NDArray[np.int64]
    seedless: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FrameNumbers:
    """Numbers of all instances of one frame.

    Numbers 1..n go by position in C order: of the seed for detected instances, of the first voxel for fallbacks.

    Parameters
    ----------
    seeds, labels
        Seed positions (m, 3) in the frame and the numbers of their instances.
    fallback, seedless
        Of each block, see `BlockNumbers`.
    total
        Number of instances, n.
    fallback_labels
        Numbers of the fallbacks, ascending.
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
    places = np.ravel_multi_index(tuple(seeds.T), grid.frame)
    has_seed = np.zeros(len(joined.voxels), dtype=bool)
    for detection, of in zip(detections, joined.of, strict=True):
        here = np.ravel_multi_index(tuple(detection.candidates.position.T), grid.frame)
        chosen = np.isin(here, places)
        has_seed[of[detection.component[chosen] - 1]] = True
    volumes = volume_um3(joined.voxels, frame=grid.frame, spacing_um=spacing_um)
    kept = ~has_seed & (volumes >= settings.minimum_volume_um3)

    order = np.argsort(np.concatenate([places, joined.first[kept]]))
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.arange(1, len(order) + 1)
    fallback = np.zeros(len(joined.voxels), dtype=np.int64)
    fallback[kept] = number[len(seeds) :]
    return FrameNumbers(
        seeds=seeds,
        labels=number[: len(seeds)],
        fallback=[fallback[of] for of in joined.of],
        seedless=[~has_seed[of] for of in joined.of],
        total=len(order),
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
    read
        Reads both maps of a box of the frame.
    numbers
        Numbers of the instances.
    core, frame
        What the block owns, and the whole frame.
    most_voxels
        Largest crop to read, including halo and margin; beyond it the block fails.

    Raises
    ------
    RunError
        When the core cannot be certified within `most_voxels`.

    Notes
    -----
    Each voxel is certified by itself: those known after one flood are final, and only patches with unknown ones are flooded
    again. A component without a seed stays unknown in any crop that cuts it; that it has none, and its number, was decided
    for the whole frame. In all others no voxel is unknown once the crop holds the component.
    """
    read = read if most_voxels is None else _at_most(most_voxels, read, core=core)
    flood_within = partial(_flood_within, read, numbers, frame=frame, spacing_um=spacing_um, settings=settings)
    halo = triple(max(1, n) for n in voxels_for(settings.halo_um, spacing_um))
    outer = core.grow(halo).intersect(frame)
    flooded, foreground = flood_within(outer)
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
        tries += 1
        halo = triple(2 * n for n in halo)
        for patch in _patches(known[owned] == UNKNOWN):
            box = patch.shift(core.start).grow((1, 1, 1)).intersect(wanted)
            outer = box.grow(halo).intersect(frame)
            wider = flood_within(outer)[0][box.inside(outer).slices]
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


def _flood_within(
    read: ReadMaps, numbers: BlockNumbers, box: Box, *, frame: Box, spacing_um: Spacing, settings: LabelSettings
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Flood a box from the seeds in it; returns the flood and the foreground."""
    relief, foreground = _relief(read, box, frame=frame, spacing_um=spacing_um, settings=settings)
    markers = np.zeros(box.shape, dtype=np.int32)
    local = numbers.seeds - np.array(box.start)
    here = ((local >= 0) & (local < np.array(box.shape))).all(axis=1)
    markers[tuple(local[here].T)] = numbers.labels[here]
    return flood(flood_order(relief, foreground), foreground, markers=markers, crop=box, frame=frame), foreground


def _relief(
    read: ReadMaps, box: Box, *, frame: Box, spacing_um: Spacing, settings: LabelSettings
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Relief of a box, which is flooded from its lowest voxels up, and its foreground; as in the whole frame."""
    if settings.relief == "centre":
        regions, centres = read(box)
        return -centres.astype(np.int64), regions >= settings.region_threshold
    nm = spacing_nm(spacing_um)
    margin = triple(max(1, n) for n in voxels_for(settings.margin_um, spacing_um))
    while True:
        crop = box.grow(margin).intersect(frame)
        foreground = read(crop)[0] >= settings.region_threshold
        inner = box.inside(crop).slices
        squared = squared_distance(foreground, nm)[inner]
        reach = _seen(margin, nm=nm, crop=crop, frame=frame)
        farthest = int(squared.max(initial=0))
        if reach is None or farthest <= reach * reach:
            return -squared, foreground[inner]
        # The true distances are not longer, so a margin of that length is enough; where no background was seen, double it.
        wanted = min(farthest**0.5, 2.0 * reach) / 1000.0
        margin = voxels_for(max(wanted, reach / 1000.0 * 1.25), spacing_um)


def _seen(margin: Shape, *, nm: Shape, crop: Box, frame: Box) -> int | None:
    """Longest distance (nm) that `margin` voxels around a box prove exact; None where the whole frame was seen.

    Distances in a crop are to background of the frame, so none is too short; and one is exact if all voxels that near were
    seen.
    """
    return min(
        (m * n for m, n, a, b in zip(margin, nm, crop.shape, frame.shape, strict=True) if a < b),
        default=None,
    )


def _patches(unknown: NDArray[np.bool_]) -> list[Box]:
    """Few boxes that hold all unknown voxels (z, y, x) of a core: bounding boxes of groups of tiles that touch."""
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
    """First planes after a core: see `LabelledBlock.beyond`."""
    planes = []
    for axis in range(3):
        after = list(owned.slices)
        after[axis] = slice(owned.stop[axis], owned.stop[axis] + 1)
        plane = known[tuple(after)]
        nothing = np.zeros((0, 0), dtype=np.uint32)
        planes.append(np.where(plane == UNKNOWN, 0, plane).astype(np.uint32).squeeze(axis) if plane.size else nothing)
    return triple(planes)
