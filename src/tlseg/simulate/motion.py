"""Where every nucleus is over time: they wander, divide, and never overlap, inside an egg that may drift and turn.

Each frame is computed from the one before and from random numbers keyed by nucleus and frame, so a position never
depends on how long the movie is. Nuclei are kept apart as balls in *packing space*, where z is divided by the nuclei's
stretch; disjoint balls there are disjoint ellipsoids in the frame, which makes the labels exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from tlseg.simulate.lineage import Track
from tlseg.simulate.settings import Draw, SimulationError, SimulationSettings
from tlseg.simulate.shape import Ellipsoid, division_axis, nucleus_form

Floats = NDArray[np.float64]

_GAP = 1.02  # balls keep 2 % of their radii between them, so that neighbours touch now and then but never share a voxel
_BULGE = 1.1  # how far out, in half axes of the egg, the centre of a nucleus may be pushed by others
_PERSISTENCE = 0.7  # share of a nucleus' velocity that lasts to the next frame
_TAPER = 0.12  # how much narrower than an ellipsoid the egg is at its pointed end


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """One nucleus in one frame: who, where (z, y, x, micrometres from voxel 0), what form, how bright."""

    track: Track
    centre_um: Floats
    form: Ellipsoid
    glow: float


@dataclass(frozen=True, slots=True, eq=False)
class _Swarm:
    tracks: tuple[Track, ...]
    position: Floats  # (n, 3), packing space, from the egg's centre
    velocity: Floats  # (n, 3), packing space, per frame
    egg: Floats  # (3,), micrometres, drift of the egg's centre from the frame's


def move_nuclei(tracks: Sequence[Track], *, settings: SimulationSettings) -> Iterator[tuple[Placed, ...]]:
    """Nuclei of each frame in turn, by track number.

    Parameters
    ----------
    tracks : sequence of Track
        The lineage, from `grow_lineage`.
    settings : SimulationSettings

    Yields
    ------
    tuple of Placed
        All living nuclei, also those outside the frame.

    Raises
    ------
    SimulationError
        The egg is too small for its nuclei.
    """
    swarm: _Swarm | None = None
    stretch = np.array([settings.axial_stretch, 1.0, 1.0])
    middle = (np.array(settings.shape) - 1) / 2 * np.array(settings.spacing_um)
    for t in range(settings.frames):
        alive = tuple(track for track in tracks if track.alive(t))
        forms = [nucleus_form(track, t, settings=settings) for track in alive]
        reach = np.array([form.reach_um for form, _ in forms])
        started = _first(alive, settings) if swarm is None else _inherit(swarm, alive, reach, settings)
        swarm = _advance(started, reach, t, settings)
        centres = swarm.position * stretch + middle + swarm.egg
        yield tuple(Placed(*each) for each in zip(alive, centres, *zip(*forms, strict=True), strict=True))


def _first(alive: tuple[Track, ...], settings: SimulationSettings) -> _Swarm:
    rng = settings.rng(Draw.START)
    direction = rng.normal(size=(len(alive), 3))
    direction /= np.linalg.norm(direction, axis=1)[:, None]
    start = direction * rng.uniform(0.2, 0.8, (len(alive), 1)) * _egg(settings)
    return _Swarm(alive, start, np.zeros_like(start), np.zeros(3))


def _inherit(swarm: _Swarm, alive: tuple[Track, ...], reach: Floats, settings: SimulationSettings) -> _Swarm:
    """Carry nuclei to the next frame; daughters start on both sides of where their mother was."""
    before = {track.number: i for i, track in enumerate(swarm.tracks)}
    position, velocity = np.empty((len(alive), 3)), np.zeros((len(alive), 3))
    side = 1.0
    for k, track in enumerate(alive):
        if track.number in before:
            position[k], velocity[k] = swarm.position[before[track.number]], swarm.velocity[before[track.number]]
        else:
            axis = division_axis(track.parent, settings=settings)
            position[k] = swarm.position[before[track.parent]] + side * axis * reach[k]
            velocity[k] = side * axis * reach[k] * 0.3
            side = -side
    return _Swarm(alive, position, velocity, swarm.egg)


def _advance(swarm: _Swarm, reach: Floats, t: int, settings: SimulationSettings) -> _Swarm:
    position, velocity, egg = swarm.position, swarm.velocity, swarm.egg
    stretch = np.array([settings.axial_stretch, 1.0, 1.0])
    free = _free(settings)
    if t > 0:
        noise = np.array([settings.rng(Draw.MOTION, track.number, t).normal(size=3) for track in swarm.tracks])
        velocity = _PERSISTENCE * velocity + settings.migration_um * math.sqrt(1 - _PERSISTENCE**2) * noise
        rng = settings.rng(Draw.EMBRYO, t)
        egg = 0.98 * egg + rng.normal(size=3) * settings.drift_um * free
        turn = Rotation.from_rotvec(_rotation(rng, settings))
        position = turn.apply(position * stretch) / stretch + velocity
        velocity = turn.apply(velocity)
    position = _pack(position * free, reach, free, settings, steps=200 if t == 0 else 40)
    return _Swarm(swarm.tracks, position, velocity * free, egg)


def _rotation(rng: np.random.Generator, settings: SimulationSettings) -> Floats:
    vector = rng.normal(size=3) * math.radians(settings.rotation_deg) / math.sqrt(3)
    if settings.shape[0] == 1:
        vector[1:] = 0.0
    return vector


def _pack(position: Floats, reach: Floats, free: Floats, settings: SimulationSettings, *, steps: int) -> Floats:
    """Spread the balls through the egg, then part any that still overlap."""
    egg = _egg(settings)
    room = float(np.prod(np.where(free > 0, egg, 1.0)) * 4) / max(1, len(reach))
    comfort = 0.9 * room ** (1 / max(1.0, free.sum()))
    for _ in range(steps):
        position = position + _push(position, reach, comfort, gentle=0.08) * free
        position = _confine(position, reach, egg) * free
    for k in range(400):
        push = _push(position, reach, 0.0, gentle=0.0) * free
        if not push.any():
            break
        position = position + push
        if k < 150:
            position = _confine(position, reach, egg) * free
    outside = np.linalg.norm(position * free / egg, axis=1).max() > _BULGE
    if push.any() or outside:
        raise SimulationError(
            f"{len(reach)} nuclei of about {reach.mean():.1f} um do not fit apart into an egg of "
            f"{' x '.join(f'{2 * a:.0f}' for a in settings.egg_um)} um. Ask for fewer frames or nuclei, a longer cell "
            "cycle, a smaller radius_um, or a larger shape."
        )
    return position


def _push(position: Floats, reach: Floats, comfort: float, *, gentle: float) -> Floats:
    """Half of what each pair lacks to be apart, and a `gentle` share of what it lacks to be at ease."""
    push = np.zeros_like(position)
    pairs = KDTree(position).query_pairs(max(comfort, 2 * _GAP * float(reach.max())), output_type="ndarray")
    if not len(pairs):
        return push
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    i, j = pairs.T
    apart = position[i] - position[j]
    distance = np.linalg.norm(apart, axis=1)
    # Two nuclei on one spot have no direction to part in: take one that differs from pair to pair.
    apart[distance == 0] = np.stack([np.zeros(len(i)), np.cos(i + 2.0 * j), np.sin(i + 2.0 * j)], 1)[distance == 0]
    length = np.maximum(np.linalg.norm(apart, axis=1), 1e-9)
    need = np.maximum(0, _GAP * (reach[i] + reach[j]) - distance)
    step = np.where(need > 1e-6, 0.52 * need, 0.0) + gentle * np.maximum(0, comfort - distance)
    shift = apart / length[:, None] * step[:, None]
    np.add.at(push, i, shift)
    np.add.at(push, j, -shift)
    return push


def _confine(position: Floats, reach: Floats, egg: Floats) -> Floats:
    """Bring balls that stick out of the egg back inside it."""
    inner = np.maximum(egg - reach[:, None], 0.1)
    taper = 1 - _TAPER * np.clip(position[:, 2:] / egg[2], -1, 1)
    inner = inner * np.concatenate([taper, taper, np.ones_like(taper)], axis=1)
    beyond = np.linalg.norm(position / inner, axis=1)
    confined: Floats = position / np.maximum(1.0, beyond)[:, None]
    return confined


def _egg(settings: SimulationSettings) -> Floats:
    egg: Floats = np.array(settings.egg_um) / np.array([settings.axial_stretch, 1.0, 1.0])
    return egg


def _free(settings: SimulationSettings) -> Floats:
    """1 along axes where nuclei have room to move, 0 along z in a movie of one plane."""
    return np.array([0.0 if settings.shape[0] == 1 else 1.0, 1.0, 1.0])
