"""From windows to maps: read and resample what a window sees, and blend windows back onto the image grid.

Everything here is elementwise in global coordinates, so a voxel of a map has the same value for every block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tlseg.geometry import Box, Shape, Spacing, triple
from tlseg.models.bundle import ModelSpec, Role
from tlseg.predict.brightness import measure_brightness
from tlseg.predict.lattice import Lattice
from tlseg.predict.normalise import FrameStatistics
from tlseg.predict.resample import resample, resampled_shape, source_box

ReadImage = Callable[[Box], NDArray[Any]]
ReadWindow = Callable[[int, Box], NDArray[np.uint8]]
Network = Callable[[NDArray[np.float32]], NDArray[np.uint8]]
"""Maps of windows (n, z, y, x)."""

NEIGHBOURHOOD = 5
"""Side, in voxels, of the boxes in which a window is averaged to see whether there is anything in it."""


def lattice_for(spec: ModelSpec, role: Role, *, shape: Shape, spacing_um: Spacing) -> Lattice:
    """Windows of one network over a frame of `shape` voxels of `spacing_um`."""
    network = spec.networks[role]
    return Lattice(
        frame=resampled_shape(shape, spacing_um, spec.spacing_um),
        window=network.window,
        overlap=network.overlap,
        multiple=network.architecture.multiple,
    )


def read_window(
    read: ReadImage, box: Box, *, shape: Shape, spacing_um: Spacing, to: Spacing, statistics: FrameStatistics
) -> NDArray[np.float32]:
    """Normalised intensities of one window, resampled to the model's spacing.

    `read` returns voxels (z, y, x) of a box of the frame. What lies past the frame's edge repeats the edge.
    """
    source = source_box(box, shape=shape, spacing=spacing_um, to=to)
    values = statistics.normalise(read(source))
    return resample(values, source, box, shape=shape, spacing=spacing_um, to=to)


def predict_windows(
    windows: NDArray[np.float32], network: Network, *, dark_threshold: float
) -> tuple[NDArray[np.uint8], int]:
    """Maps of windows (n, z, y, x), and how many of them the network saw.

    It sees none that is dark (see `ModelSpec.dark_threshold`): their maps are 0. Of those in which every voxel has the same
    value it sees one, since its map is that of all of them, bit for bit.
    """
    maps = np.zeros(windows.shape, dtype=np.uint8)
    rows: list[int] = []
    of: dict[int, int] = {}
    constant: dict[float, int] = {}
    for i, window in enumerate(windows):
        if _is_dark(window, dark_threshold):
            continue
        row = len(rows)
        if window.min() == window.max():
            row = constant.setdefault(float(window.flat[0]), row)
        of[i] = row
        if row == len(rows):
            rows.append(i)
    if rows:
        found = network(windows[rows])
        maps[list(of)] = found[list(of.values())]
    return maps, len(rows)


def _is_dark(window: NDArray[np.float32], threshold: float) -> bool:
    if threshold == 0:
        return False
    return bool(ndimage.uniform_filter(window, NEIGHBOURHOOD, mode="nearest").max() < threshold)


def blend(read: ReadWindow, box: Box, *, lattice: Lattice, spacing_um: Spacing, to: Spacing) -> NDArray[np.uint8]:
    """Map of `box` (voxels of the image grid) from the windows that hold it.

    Parameters
    ----------
    read
        Returns a box of window `number`, in the window's own coordinates, uint8.
    spacing_um
        Spacing of the image grid.
    to
        The model's spacing, on which the windows lie.
    """
    wanted = source_box(box, shape=lattice.frame, spacing=to, to=spacing_um)
    total = np.zeros(wanted.shape, dtype=np.float32)
    weight = np.zeros(wanted.shape, dtype=np.float32)
    for number in lattice.touching(wanted):
        window = lattice.box(number)
        shared = wanted.intersect(window)
        here, there = shared.inside(wanted).slices, shared.inside(window)
        wz, wy, wx = (w[s] for w, s in zip(lattice.weights(number), there.slices, strict=True))
        ramp = wz[:, None, None] * wy[None, :, None] * wx[None, None, :]
        total[here] += read(number, there).astype(np.float32) * ramp
        weight[here] += ramp
    total /= weight
    result = resample(total, wanted, box, shape=lattice.frame, spacing=to, to=spacing_um)
    rounded: NDArray[np.uint8] = np.floor(result + np.float32(0.5)).astype(np.uint8)
    return rounded


def predict_frame(
    image: NDArray[Any],
    spacing_um: Spacing,
    *,
    spec: ModelSpec,
    role: Role,
    network: Network,
) -> NDArray[np.uint8]:
    """Map of a whole frame (z, y, x) held in memory: the reference that block-wise prediction equals bit for bit."""
    shape = triple(image.shape)
    lattice = lattice_for(spec, role, shape=shape, spacing_um=spacing_um)

    def read(box: Box) -> NDArray[Any]:
        return image[box.slices]

    stats = measure_brightness(
        read,
        shape=shape,
        dtype=image.dtype.str,
        spacing_um=spacing_um,
        grid_um=spec.spacing_um,
        scaling=spec.scaling,
    )
    windows = []
    for box in map(lattice.box, range(len(lattice))):
        seen = read_window(read, box, shape=shape, spacing_um=spacing_um, to=spec.spacing_um, statistics=stats)
        maps, _ = predict_windows(seen[None], network, dark_threshold=spec.dark_threshold)
        windows.append(maps[0])
    return blend(
        lambda i, box: windows[i][box.slices],
        Box.of_shape(shape),
        lattice=lattice,
        spacing_um=spacing_um,
        to=spec.spacing_um,
    )
