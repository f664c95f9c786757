"""Frames of a simulated embryo, one after the other, each with its exact truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlseg.simulate.lineage import Track, grow_lineage
from tlseg.simulate.motion import Placed, move_embryo, move_nuclei
from tlseg.simulate.optics import expose
from tlseg.simulate.settings import SimulationSettings
from tlseg.simulate.shape import fill_label


@dataclass(frozen=True, slots=True)
class Node:
    """The truth about one nucleus in one frame.

    Attributes
    ----------
    t : int
        Frame.
    track, parent : int
        Number of the nucleus, and of her mother (0: none).
    root : int
        Number of the ancestor in the first frame.
    generation : int
        Divisions since the first frame.
    z_um, y_um, x_um : float
        Centre, micrometres from the centre of the first voxel.
    volume_um3 : float
        Exact volume of the ellipsoid, cubic micrometres.
    volume_voxels : int
        Voxels of the label; fewer than the volume says where the frame's edge cuts the nucleus.
    """

    t: int
    track: int
    parent: int
    root: int
    generation: int
    z_um: float
    y_um: float
    x_um: float
    volume_um3: float
    volume_voxels: int


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One time point.

    Attributes
    ----------
    t : int
    image : ndarray of uint16, (z, y, x)
        Grey values.
    labels : ndarray of uint32, (z, y, x)
        Track numbers; 0 is background.
    nodes : tuple of Node
        The nuclei that fill at least one voxel, by track number.
    """

    t: int
    image: NDArray[np.uint16]
    labels: NDArray[np.uint32]
    nodes: tuple[Node, ...]


def simulate_frames(settings: SimulationSettings | None = None) -> Iterator[Frame]:
    """Frames of the movie in turn; only one is held at a time.

    Parameters
    ----------
    settings : SimulationSettings, optional

    Yields
    ------
    Frame
        Frame `t` depends on the settings but not on the number of frames.

    Raises
    ------
    SimulationError
        The egg is too small for its nuclei.
    """
    settings = settings or SimulationSettings()
    for t, scene in enumerate(move_embryo(grow_lineage(settings), settings=settings)):
        labels, nodes = _truth(scene.nuclei, t, settings)
        yield Frame(t, expose(scene, t, settings=settings), labels, nodes)


def simulate_truth(
    settings: SimulationSettings | None = None,
) -> Iterator[tuple[int, NDArray[np.uint32], tuple[Node, ...]]]:
    """Frame number, labels (z, y, x) and nodes of each frame: what `simulate_frames` yields, without the pictures."""
    settings = settings or SimulationSettings()
    for t, placed in enumerate(move_nuclei(grow_lineage(settings), settings=settings)):
        yield (t, *_truth(placed, t, settings))


def _truth(
    placed: Sequence[Placed], t: int, settings: SimulationSettings
) -> tuple[NDArray[np.uint32], tuple[Node, ...]]:
    labels = np.zeros(settings.shape, np.uint32)
    nodes = []
    for nucleus in placed:
        voxels = fill_label(
            labels, nucleus.form, nucleus.centre_um, number=nucleus.track.number, spacing_um=settings.spacing_um
        )
        if voxels:
            nodes.append(_node(nucleus, t, voxels))
    return labels, tuple(nodes)


def _node(nucleus: Placed, t: int, voxels: int) -> Node:
    track: Track = nucleus.track
    z, y, x = (float(v) for v in nucleus.centre_um)
    return Node(
        t=t,
        track=track.number,
        parent=track.parent,
        root=track.root,
        generation=track.generation,
        z_um=z,
        y_um=y,
        x_um=x,
        volume_um3=nucleus.form.volume_um3,
        volume_voxels=voxels,
    )
