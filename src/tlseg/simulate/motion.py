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

from tlseg.simulate.embryo import Embryo, Speck, first_embryo, free_axes, next_embryo, polar_bodies
from tlseg.simulate.lineage import Track
from tlseg.simulate.room import Room, room_of
from tlseg.simulate.settings import Draw, SimulationError, SimulationSettings
from tlseg.simulate.shape import Ellipsoid, division_axis, nucleus_form
from tlseg.wording import how_many

Floats = NDArray[np.float64]

_GAP = 1.02  # balls keep 2 % of their radii between them, so that neighbours touch now and then but never share a voxel
_PERSISTENCE = 0.7  # share of a nucleus' velocity that lasts to the next frame
_EVENLY = np.array([0.5, 0.7548776662466927, 0.5698402909980532])  # powers of 1 / 1.3247...: Roberts' R2 sequence
_THINNEST = 0.45  # how much of its thickness a nucleus loses that lies flat on the wall


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """One nucleus in one frame: who, where (z, y, x, micrometres from voxel 0), what form, how bright."""

    track: Track
    centre_um: Floats
    form: Ellipsoid
    glow: float


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """All that shines in one frame: the living nuclei by track number, also those outside the frame, and the rest."""

    nuclei: tuple[Placed, ...]
    specks: tuple[Speck, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Swarm:
    tracks: tuple[Track, ...]
    position: Floats  # (n, 3), packing space, from the egg's centre
    velocity: Floats  # (n, 3), packing space, per frame


def move_embryo(tracks: Sequence[Track], *, settings: SimulationSettings) -> Iterator[Scene]:
    """Scenes of a movie in turn.

    Parameters
    ----------
    tracks : sequence of Track
        The lineage, from `grow_lineage`.
    settings : SimulationSettings

    Yields
    ------
    Scene

    Raises
    ------
    SimulationError
        The egg is too small for its nuclei.
    """
    embryo, swarm = first_embryo(), None
    stretch = np.array([settings.axial_stretch, 1.0, 1.0])
    middle = (np.array(settings.shape) - 1) / 2 * np.array(settings.spacing_um)
    for t in range(settings.frames):
        alive = tuple(track for track in tracks if track.alive(t))
        born = [nucleus_form(track, t, settings=settings) for track in alive]
        if swarm is None:
            swarm = _first(alive, room_of(embryo, settings=settings), settings)
        else:
            embryo_before, embryo = embryo, next_embryo(embryo, t, len(alive), settings=settings)
            swarm = _inherit(swarm, alive, [form.reach_um for form, _ in born], embryo_before, settings)
            swarm = _carry(swarm, embryo, t, settings)
        room = room_of(embryo, settings=settings)
        flat = _pressure(alive, t, swarm.position, room)
        normals = _normals(swarm.position, room)
        forms = [
            form.turned(embryo.turn).flattened(normal, share) if share else form.turned(embryo.turn)
            for (form, _), normal, share in zip(born, normals, flat.tolist(), strict=True)
        ]
        reach = np.array([form.reach_um for form in forms])
        swarm = _packed(swarm, reach, reach * (1 - flat), room, settings, steps=200 if t == 0 else 40)
        centres = swarm.position * stretch + middle + embryo.offset_um
        nuclei = tuple(
            Placed(track, centre, form, glow)
            for track, centre, form, (_, glow) in zip(alive, centres, forms, born, strict=True)
        )
        yield Scene(nuclei, polar_bodies(embryo, settings=settings))


def move_nuclei(tracks: Sequence[Track], *, settings: SimulationSettings) -> Iterator[tuple[Placed, ...]]:
    """Nuclei of each scene of `move_embryo`."""
    for scene in move_embryo(tracks, settings=settings):
        yield scene.nuclei


def _first(alive: tuple[Track, ...], room: Room, settings: SimulationSettings) -> _Swarm:
    rng = settings.rng(Draw.START)
    if settings.room == "sheet":
        # A sequence that fills the plane evenly: packing could not mend the holes and heaps of chance in good time.
        start = (np.arange(1, len(alive) + 1)[:, None] * _EVENLY % 1 * 2 - 1) * room.half_um
        start += rng.normal(size=start.shape)
        return _Swarm(alive, start, np.zeros_like(start))
    direction = rng.normal(size=(len(alive), 3))
    direction /= np.linalg.norm(direction, axis=1)[:, None]
    start = direction * rng.uniform(0.2, 0.8, (len(alive), 1)) * room.half_um
    return _Swarm(alive, start, np.zeros_like(start))


def _inherit(
    swarm: _Swarm, alive: tuple[Track, ...], reach: Sequence[float], embryo: Embryo, settings: SimulationSettings
) -> _Swarm:
    """Carry nuclei to the next frame; daughters start on both sides of where their mother was."""
    before = {track.number: i for i, track in enumerate(swarm.tracks)}
    position, velocity = np.empty((len(alive), 3)), np.zeros((len(alive), 3))
    side = 1.0
    for k, track in enumerate(alive):
        if track.number in before:
            position[k], velocity[k] = swarm.position[before[track.number]], swarm.velocity[before[track.number]]
        else:
            axis = embryo.turn @ division_axis(track.parent, settings=settings)
            position[k] = swarm.position[before[track.parent]] + side * axis * reach[k]
            velocity[k] = side * axis * reach[k] * 0.3
            side = -side
    return _Swarm(alive, position, velocity)


def _carry(swarm: _Swarm, embryo: Embryo, t: int, settings: SimulationSettings) -> _Swarm:
    """Let nuclei wander, and turn with the embryo."""
    stretch = np.array([settings.axial_stretch, 1.0, 1.0])
    noise = np.array([settings.rng(Draw.MOTION, track.number, t).normal(size=3) for track in swarm.tracks])
    velocity = _PERSISTENCE * swarm.velocity + settings.migration_um * math.sqrt(1 - _PERSISTENCE**2) * noise
    position = (swarm.position * stretch) @ embryo.step.T / stretch + velocity
    return _Swarm(swarm.tracks, position, velocity @ embryo.step.T)


def _pressure(alive: tuple[Track, ...], t: int, position: Floats, room: Room) -> Floats:
    """Share of its thickness that each nucleus loses on the wall; those that divide are round."""
    resting = np.array([track.division - t > 2 and (not track.parent or t - track.birth > 1) for track in alive])
    flat: Floats = _THINNEST * room.wall(position) * resting
    return flat


def _normals(position: Floats, room: Room) -> Floats:
    """Unit vectors (n, 3) from each nucleus to the wall."""
    normals = position / room.half_um**2
    unit: Floats = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return unit


def _packed(
    swarm: _Swarm, reach: Floats, inset: Floats, room: Room, settings: SimulationSettings, *, steps: int
) -> _Swarm:
    """Spread the balls through the room, then part any that still overlap."""
    free = free_axes(settings)
    position = swarm.position * free
    dimensions = max(1.0, float(room.packed_axes.sum()))
    space = float(np.prod(np.where(room.packed_axes > 0, room.half_um, 1.0)) * 4 * room.filled) / max(1, len(reach))
    comfort = 0.9 * space ** (1 / dimensions)
    for _ in range(steps):
        position = position + _push(position, reach, comfort, gentle=0.08) * free
        position = room.confine(room.make_way(position), inset) * free
    for k in range(400):
        push = _push(position, reach, 0.0, gentle=0.0) * free
        if not push.any():
            break
        position = position + push
        if k < 150:
            position = room.confine(position, inset) * free
    if push.any() or not room.holds(position):
        raise SimulationError(
            f"{how_many(len(reach), 'nucleus', 'nuclei')} of about {reach.mean():.1f} um cannot fit without overlap into "
            f"{'an egg' if settings.room == 'egg' else 'a sheet'} of "
            f"{' x '.join(f'{2 * a:.0f}' for a in settings.egg_um)} um. Ask for fewer frames or nuclei, a longer cell "
            "cycle, a smaller radius_um, or a larger shape."
        )
    return _Swarm(swarm.tracks, position, swarm.velocity * free)


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
