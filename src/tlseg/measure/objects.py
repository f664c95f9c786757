"""One row per nucleus per frame, from sums that blocks add up in integers.

Positions, intensities and surfaces are accumulated as whole numbers, so the table does not depend on how the frame was
cut or in which order blocks finished. Floating point enters once, when sums become means.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from skimage.measure import marching_cubes

from tlseg.geometry import Box, Grid, Spacing, slab
from tlseg.measure.exact import as_floats, exact_sums

AT_ONCE = 2**19
"""Most voxels of a block measured at once. Each takes about 100 bytes: position and products in int64, cells of surfaces."""

_CORNERS = tuple(product((0, 1), repeat=3))
_PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))


@dataclass(frozen=True, slots=True)
class ObjectSums:
    """Sums over the voxels of each label; all arrays have one entry per label and are int64.

    `position` (n, 3) sums global voxel indices (z, y, x); `low`, `high` (n, 3) bound them, both inclusive. `intensity`
    holds `tlseg.measure.exact` sums of grey values; `surface` counts `surface_unit_um2`; `edge` is 1 where a voxel lies on
    the frame's edge. `product` (n, 6) sums products of indices: zz, zy, zx, yy, yx, xx.
    """

    label: NDArray[np.int64]
    voxels: NDArray[np.int64]
    position: NDArray[np.int64]
    product: NDArray[np.int64]
    intensity: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    surface: NDArray[np.int64]
    edge: NDArray[np.int64]

    def to_arrays(self) -> dict[str, NDArray[np.int64]]:
        """Named arrays, for storage; `ObjectSums(**arrays)` is the inverse."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def crop_to_measure(core: Box, frame: Box) -> Box:
    """Return what `measure_block` sees: the core and one plane before it along each axis, except where the frame begins."""
    return Box(core.grow((1, 1, 1)).intersect(frame).start, core.stop)


def measure_block(
    labels: NDArray[np.uint32], image: NDArray[Any], *, crop: Box, core: Box, frame: Box, spacing_um: Spacing
) -> ObjectSums:
    """Sums over the core of a block, a slab of it at a time: what a block holds besides labels and image stays small.

    Parameters
    ----------
    labels
        Labels (z, y, x) of `crop`, which is `crop_to_measure`.
    image
        Grey values (z, y, x) of the core.
    """
    parts = []
    for cut in Grid(core.shape, slab(core.shape, unit=(1, 1, 1), most=AT_ONCE)):
        part = cut.shift(core.start)
        seen = crop_to_measure(part, frame)
        here = labels[seen.inside(crop).slices]
        parts.append(_measure_slab(here, image[cut.slices], crop=seen, core=part, frame=frame, spacing_um=spacing_um))
    return parts[0] if len(parts) == 1 else add_sums(parts)


def _measure_slab(
    labels: NDArray[np.uint32], image: NDArray[Any], *, crop: Box, core: Box, frame: Box, spacing_um: Spacing
) -> ObjectSums:
    """`measure_block` of all voxels at once."""
    inner = core.inside(crop)
    owned = labels[inner.slices]
    at = np.nonzero(owned)
    values = owned[at]
    surface_labels, surface = _surface(labels, crop=crop, core=core, frame=frame, spacing_um=spacing_um)
    numbers = np.union1d(values, surface_labels).astype(np.int64)
    n = len(numbers)
    row = np.searchsorted(numbers, values)
    place = np.stack(at, axis=1).astype(np.int64) + np.array(core.start)
    low, high = _bounds(row, place, place, n)
    at_end = (place == np.array(frame.start)) | (place == np.array(frame.stop) - 1)
    # A frame of one plane has no edge along z: every nucleus would touch it.
    on_edge = (at_end & (np.array(frame.shape) > 1)).any(axis=1)
    return ObjectSums(
        label=numbers,
        voxels=np.bincount(row, minlength=n).astype(np.int64),
        position=np.stack([_sum_by(row, place[:, axis], n) for axis in range(3)], axis=1),
        product=np.stack([_sum_by(row, place[:, a] * place[:, b], n) for a, b in _PAIRS], axis=1),
        intensity=exact_sums(row, image[at], n),
        low=low,
        high=high,
        surface=_sum_by(np.searchsorted(numbers, surface_labels), surface, n),
        edge=(_sum_by(row, on_edge.astype(np.int64), n) > 0).astype(np.int64),
    )


def add_sums(parts: list[ObjectSums]) -> ObjectSums:
    """Sums of a whole frame from those of its blocks, by ascending label."""
    every = {f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(ObjectSums)}
    label, row = np.unique(every["label"], return_inverse=True)
    n = len(label)
    low, high = _bounds(row, every["low"], every["high"], n)
    return ObjectSums(
        label=label,
        voxels=_sum_by(row, every["voxels"], n),
        position=_sum_by(row, every["position"], n),
        product=_sum_by(row, every["product"], n),
        intensity=_sum_by(row, every["intensity"], n),
        low=low,
        high=high,
        surface=_sum_by(row, every["surface"], n),
        edge=(_sum_by(row, every["edge"], n) > 0).astype(np.int64),
    )


def object_table(
    sums: ObjectSums, *, t: int, spacing_um: Spacing, origin_um: Spacing, fallback: NDArray[np.int64]
) -> pd.DataFrame:
    """Rows of one frame.

    Centroids are means of voxel indices (`z, y, x`), and the same in the movie's physical coordinates (`z_um, y_um,
    x_um`: index times spacing, plus `origin_um`, where voxel 0 is). `bbox_*` is half-open, in voxels. `elongation` is
    that of the function of this name.
    """
    centre = sums.position / sums.voxels[:, None]
    intensity = as_floats(sums.intensity)
    columns: dict[str, Any] = {"label": sums.label, "t": np.full(len(sums.label), t, dtype=np.int64)}
    for axis, name in enumerate("zyx"):
        columns[name] = centre[:, axis]
    for axis, name in enumerate("zyx"):
        columns[f"{name}_um"] = centre[:, axis] * spacing_um[axis] + origin_um[axis]
    columns |= {
        "volume_voxels": sums.voxels,
        "volume_um3": sums.voxels * float(np.prod(spacing_um)),
        "surface_um2": sums.surface * surface_unit_um2(spacing_um),
        "elongation": elongation(sums, spacing_um=spacing_um),
        "intensity_mean": intensity / sums.voxels,
        "intensity_sum": intensity,
    }
    for axis, name in enumerate("zyx"):
        columns[f"bbox_{name}0"] = sums.low[:, axis]
        columns[f"bbox_{name}1"] = sums.high[:, axis] + 1
    columns["touches_edge"] = sums.edge > 0
    columns["seed"] = np.where(np.isin(sums.label, fallback), "fallback", "detected")
    return pd.DataFrame(columns)


def elongation(sums: ObjectSums, *, spacing_um: Spacing) -> NDArray[np.float64]:
    """Longest over shortest principal axis of each object (n,), 1 for a ball.

    The axes are those of the ellipsoid with the same second moments in micrometres, voxels counted as boxes and not as
    points. What lies in one plane is an ellipse, with the two axes it has there.
    """
    moments = _moments(sums, spacing_um=spacing_um)
    axes = np.linalg.eigvalsh(moments)
    in_plane = np.linalg.eigvalsh(moments[:, 1:, 1:])
    flat = sums.low[:, 0] == sums.high[:, 0]
    ratio: NDArray[np.float64] = np.sqrt(
        np.where(flat, in_plane[:, -1] / in_plane[:, 0], axes[:, -1] / np.maximum(axes[:, 0], np.finfo(float).tiny))
    )
    return ratio


def looseness(sums: ObjectSums) -> NDArray[np.float64]:
    """Volume of the ellipsoid with an object's second moments over the volume of its voxels (n,).

    It is 1 for every ellipsoid, however elongated, and does not depend on the spacing. Two equal balls whose centres are
    k radii apart have sqrt(1 + 1.25 k^2) / 2. Voxels count as boxes, so it exceeds 0 for a single voxel too.
    """
    determinant = np.linalg.det(_moments(sums, spacing_um=(1.0, 1.0, 1.0)))
    # A solid ellipsoid with the semi-axis a has the variance a^2 / 5 along it.
    ratio: NDArray[np.float64] = 4 / 3 * np.pi * np.sqrt(5.0**3 * determinant.clip(min=0)) / sums.voxels
    return ratio


def _moments(sums: ObjectSums, *, spacing_um: Spacing) -> NDArray[np.float64]:
    """Central second moments (n, 3, 3) of each object, in square micrometres; voxels count as boxes and not as points."""
    voxels = sums.voxels.astype(np.float64)
    centre = sums.position / voxels[:, None]
    moments = np.empty((len(voxels), 3, 3))
    for pair, (a, b) in enumerate(_PAIRS):
        spread = sums.product[:, pair] / voxels - centre[:, a] * centre[:, b] + (a == b) / 12
        moments[:, a, b] = moments[:, b, a] = spread * spacing_um[a] * spacing_um[b]
    return moments


def overlaps(before: NDArray[np.uint32], after: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Rows (label before, label after, voxels) for all pairs that share voxels of one box in two frames."""
    both = (before > 0) & (after > 0)
    keys = before[both].astype(np.uint64) << np.uint64(32) | after[both].astype(np.uint64)
    pairs, counts = np.unique(keys, return_counts=True)
    columns = (pairs >> np.uint64(32), pairs & np.uint64(0xFFFFFFFF), counts)
    return np.stack([column.astype(np.int64) for column in columns], axis=1)


def add_overlaps(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Overlap rows of a whole frame from those of its blocks, ordered by labels."""
    rows = np.concatenate([np.zeros((0, 3), np.int64), *parts])
    pairs, row = np.unique(rows[:, :2], axis=0, return_inverse=True)
    voxels = _sum_by(row.ravel(), rows[:, 2], len(pairs))
    return np.concatenate([pairs, voxels[:, None]], axis=1)


def surface_unit_um2(spacing_um: Spacing) -> float:
    """Area that surfaces are counted in: 2^-20 of a voxel's smallest face, so 2^43 such faces fit into a sum."""
    z, y, x = spacing_um
    return min(z * y, z * x, y * x) / 2**20


@lru_cache(maxsize=8)
def surface_of_corners(spacing_um: Spacing) -> NDArray[np.int64]:
    """Surface (in units of `surface_unit_um2`) within a cell of eight voxels, for each of the 256 ways they can be inside.

    The triangles are those of marching cubes (Lewiner et al. 2003) on a binary mask at level 1/2, so the sum over all
    cells is the area of the object's mesh. Corner `4 z + 2 y + x` is bit of that number.
    """
    areas, unit = np.zeros(256, dtype=np.int64), surface_unit_um2(spacing_um)
    for inside in range(1, 255):
        cell = np.array([(inside >> bit) & 1 for bit in range(8)], dtype=np.float32).reshape(2, 2, 2)
        vertices, faces, _, _ = marching_cubes(cell, 0.5, spacing=spacing_um)
        a, b, c = (vertices[faces[:, i]] for i in range(3))
        area = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2
        areas[inside] = round(float(area) / unit)
    return areas


def _surface(
    labels: NDArray[np.uint32], *, crop: Box, core: Box, frame: Box, spacing_um: Spacing
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels and surface pieces of the cells a core owns: those whose last corner it holds, and the frame's outer ones.

    Outside the frame is background, so every object's surface is closed.
    """
    before = [1 if c.start == 0 else 0 for c in core.inside(crop).slices]
    after = [int(core.stop[axis] == frame.stop[axis]) for axis in range(3)]
    padded = np.pad(labels, list(zip(before, after, strict=True)))
    nz, ny, nx = (n - 1 for n in padded.shape)
    corners = [padded[z : z + nz, y : y + ny, x : x + nx] for z, y, x in _CORNERS]
    mixed = np.zeros(corners[0].shape, dtype=bool)
    for corner in corners[1:]:
        mixed |= corner != corners[0]
    held = np.stack([corner[mixed] for corner in corners])
    areas = surface_of_corners(spacing_um)
    found, pieces = [], []
    for i, label in enumerate(held):
        new = label > 0
        for earlier in held[:i]:
            new &= earlier != label
        inside = np.zeros(int(new.sum()), dtype=np.int64)
        for bit, other in enumerate(held):
            inside |= (other[new] == label[new]).astype(np.int64) << bit
        found.append(label[new].astype(np.int64))
        pieces.append(areas[inside])
    every, row = np.unique(np.concatenate(found), return_inverse=True)
    return every, _sum_by(row, np.concatenate(pieces), len(every))


def _bounds(
    row: NDArray[np.intp], low: NDArray[np.int64], high: NDArray[np.int64], n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Least of `low` and greatest of `high`, both (m, 3), by row."""
    least, most = np.full((n, 3), np.iinfo(np.int64).max), np.full((n, 3), -1, dtype=np.int64)
    np.minimum.at(least, row, low)
    np.maximum.at(most, row, high)
    return least, most


def _sum_by(row: NDArray[np.intp], values: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Sum integers, or rows of them, by row."""
    total = np.zeros((n, *values.shape[1:]), dtype=np.int64)
    np.add.at(total, row, values)
    return total
