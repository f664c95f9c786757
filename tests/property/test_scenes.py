"""Laws of what happens to a whole simulated embryo: cavity, jumps, polar bodies, growth, pace, sheets, moving tissue."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlseg.geometry import Box
from tlseg.simulate.dense import DenseSettings, simulate_large_frame
from tlseg.simulate.embryo import first_embryo, next_embryo
from tlseg.simulate.lineage import Track, grow_lineage
from tlseg.simulate.motion import Placed, move_nuclei
from tlseg.simulate.movie import simulate_frames, simulate_truth
from tlseg.simulate.scenes import SceneName, scene_settings
from tlseg.simulate.settings import SimulationSettings
from tlseg.simulate.shape import Ellipsoid, nucleus_form

STILL = SimulationSettings(
    frames=24, shape=(40, 90, 90), start_nuclei=40, cycle_frames=1000, cycle_noise=0.0, migration_um=0.2, seed=7
)


def last(chosen: SimulationSettings) -> tuple[Placed, ...]:
    return list(move_nuclei(grow_lineage(chosen), settings=chosen))[-1]


def off_centre(nuclei: tuple[Placed, ...], chosen: SimulationSettings) -> np.ndarray:
    """Distance of each nucleus from the middle, in half axes of the egg, ascending."""
    middle = (np.array(chosen.shape) - 1) / 2 * np.array(chosen.spacing_um)
    return np.sort([np.linalg.norm((n.centre_um - middle) / chosen.egg_um) for n in nuclei])


def flatness(nuclei: tuple[Placed, ...]) -> float:
    return float(np.median([min(n.form.half_axes_um) / max(n.form.half_axes_um) for n in nuclei]))


def test_a_cavity_empties_the_middle_and_flattens_nuclei_on_the_wall() -> None:
    # The cavity opens within a cell cycle: two thirds of the way in this movie.
    hollow = dataclasses.replace(STILL, cavity_nuclei=30, cycle_frames=40, seed=8)
    full = dataclasses.replace(hollow, cavity_nuclei=None)
    before, after = last(full), last(hollow)
    assert len(before) == len(after)
    assert (
        off_centre(after, hollow)[: len(after) // 3].mean() > off_centre(before, full)[: len(before) // 3].mean() + 0.1
    )
    assert flatness(after) < flatness(before) - 0.05


@pytest.mark.parametrize("scene", ["blastocyst", "sheet"])
def test_truth_is_exact_in_every_scene(scene: SceneName) -> None:
    given_fields = {"sheet": {"shape": (9, 96, 96), "start_nuclei": 60, "frames": 6}, "blastocyst": {"frames": 40}}[
        scene
    ]
    chosen = scene_settings(scene, seed=2, **given_fields)
    spacing = np.array(chosen.spacing_um)
    most = 0
    for t, labels, nodes in simulate_truth(chosen):
        counts = np.bincount(labels.ravel())
        assert [n.track for n in nodes] == [k for k in np.flatnonzero(counts) if k]
        assert all(counts[n.track] == n.volume_voxels for n in nodes), "no nucleus takes voxels of another"
        inside = [n for n in nodes if counts[n.track] * float(np.prod(spacing)) == pytest.approx(n.volume_um3, rel=0.1)]
        assert len(inside) > 0.7 * len(nodes), t
        most = max(most, len(nodes))
    assert most >= 40


@pytest.mark.parametrize("scene", ["embryo", "sheet", "blastocyst"])
def test_only_a_blastocysts_pace_follows_from_the_number_of_frames(scene: SceneName) -> None:
    short, long = (scene_settings(scene, frames=frames) for frames in (20, 200))
    differing = {f.name for f in dataclasses.fields(short) if getattr(short, f.name) != getattr(long, f.name)}
    assert differing - {"frames"} == ({"cycle_frames", "bleach"} if scene == "blastocyst" else set())


def test_a_blastocyst_is_the_start_of_a_longer_one_with_the_same_cycle() -> None:
    short = scene_settings("blastocyst", frames=20, cycle_frames=6.0, start_nuclei=8, bleach=0.0)
    whole = dataclasses.replace(short, frames=26)
    for a, b in zip(simulate_truth(short), simulate_truth(whole), strict=False):
        assert np.array_equal(a[1], b[1])
        assert a[2] == b[2]


def test_jumps_come_as_often_and_go_as_far_as_asked() -> None:
    chosen = SimulationSettings(jump_chance=0.2, jump_um=8.0, jump_deg=40.0)
    embryo, turns, shifts = first_embryo(), [], []
    for t in range(1, 400):
        after = next_embryo(embryo, t, 8, settings=chosen)
        turns.append(np.degrees(np.arccos(np.clip((np.trace(after.step) - 1) / 2, -1, 1))))
        shifts.append(np.linalg.norm(after.offset_um - 0.98 * embryo.offset_um))
        assert after.turn @ after.turn.T == pytest.approx(np.eye(3))
        embryo = after
    jumped = np.array(turns) > 1e-3
    assert 0.1 < jumped.mean() < 0.3
    assert np.array_equal(jumped, np.array(shifts) > 1e-6)
    assert (np.array(turns)[jumped] >= 20 - 1e-6).all()
    assert (np.array(turns)[jumped] <= 40 + 1e-6).all()
    assert (np.array(shifts)[jumped] <= 8 + 1e-9).all()


def test_a_jump_turns_places_and_forms_alike() -> None:
    chosen = SimulationSettings(
        frames=2, start_nuclei=6, shape=(60, 60, 60), spacing_um=(1.6, 1.6, 1.6), axial_stretch=1.0, seed=2,
        cycle_frames=500, migration_um=0.0, jump_chance=1.0, jump_um=0.0, jump_deg=60.0, radius_um=7.0,
    )  # fmt: skip
    a, b = move_nuclei(grow_lineage(chosen), settings=chosen)
    step = next_embryo(first_embryo(), 1, 6, settings=chosen).step
    middle = np.full(3, 59 / 2 * 1.6)
    for p, q in zip(a, b, strict=True):
        # Packing may add a nudge; the turn moves nuclei by ten micrometres and more.
        assert np.linalg.norm(step @ (p.centre_um - middle) - (q.centre_um - middle)) < 3
        assert q.form.frame == pytest.approx(p.form.frame @ step.T)


def test_polar_bodies_shine_and_have_no_label() -> None:
    plain = SimulationSettings(frames=1, start_nuclei=2, seed=4)
    a = next(simulate_frames(plain))
    b = next(simulate_frames(dataclasses.replace(plain, polar_bodies=2)))
    assert np.array_equal(a.labels, b.labels)
    assert a.nodes == b.nodes
    lit = (b.image.astype(int) - a.image > 100) & (a.labels == 0)
    assert lit.sum() > 20


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 60), st.integers(0, 2**31), st.floats(1.0, 3.0))
def test_a_resting_nucleus_grows_and_keeps_its_form(cycle: int, seed: int, growth: float) -> None:
    chosen = SimulationSettings(growth=growth, seed=seed)
    track = Track(number=5, parent=2, root=1, generation=1, depth=2, birth=3, division=3 + cycle)
    resting = range(track.birth + 2, track.division - 2)
    forms = [nucleus_form(track, t, settings=chosen)[0] for t in resting]
    for a, b in pairwise(forms):
        assert b.volume_um3 / a.volume_um3 == pytest.approx(growth ** (1 / cycle))
        assert np.array(b.half_axes_um) / np.array(a.half_axes_um) == pytest.approx(growth ** (1 / (3 * cycle)))


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.floats(2, 9)] * 3), st.integers(0, 2**31), st.floats(0.01, 0.6))
def test_flattening_keeps_the_volume_and_thins_along_the_normal(
    axes: tuple[float, float, float], seed: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    normal = rng.normal(size=3)
    normal /= np.linalg.norm(normal)
    form = Ellipsoid(axes, turn, 1.0)
    flat = form.flattened(normal, share)
    assert flat.volume_um3 == pytest.approx(form.volume_um3)
    assert flat.frame @ flat.frame.T == pytest.approx(np.eye(3), abs=1e-9)
    thick = [float(np.linalg.norm((f.frame @ normal) * np.array(f.half_axes_um))) for f in (form, flat)]
    assert thick[1] == pytest.approx((1 - share) * thick[0])


@pytest.mark.parametrize(("memory", "low", "high"), [(0.0, -0.25, 0.25), (0.9, 0.7, 1.0)])
def test_daughters_remember_their_mothers_pace(memory: float, low: float, high: float) -> None:
    chosen = SimulationSettings(frames=200, start_nuclei=4, cycle_frames=30, cycle_noise=0.15, cycle_memory=memory)
    tracks = grow_lineage(chosen)
    length = {t.number: t.division - t.birth for t in tracks if t.parent}
    pairs = np.array([(length[t.parent], length[t.number]) for t in tracks if t.parent in length])
    assert low < np.corrcoef(pairs.T)[0, 1] < high


def test_a_sheet_is_one_layer_that_fills_the_frame() -> None:
    chosen = scene_settings("sheet", shape=(11, 120, 160), start_nuclei=120, frames=1)
    _, labels, nodes = next(simulate_truth(chosen))
    heights = np.array([n.z_um for n in nodes])
    assert np.ptp(heights) < 2 * chosen.radius_at(1)
    numbers_per_column = [len(set(labels[:, y, x]) - {0}) for y in range(0, 120, 5) for x in range(0, 160, 5)]
    assert np.mean(np.array(numbers_per_column) <= 1) > 0.97
    quarters = [
        np.mean(labels[:, ys, xs].max(0) > 0)
        for ys in (slice(60), slice(60, None))
        for xs in (slice(80), slice(80, None))
    ]
    assert min(quarters) > 0.6 * max(quarters)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.data())
def test_moving_tissue_is_the_same_however_boxed(t: int, data: st.DataObject) -> None:
    tissue = DenseSettings((16, 30, 30), (4.0, 6.0, 6.0), seed=2, frames=10**6 + 1)
    image, labels = simulate_large_frame(tissue, Box.of_shape(tissue.shape), t=t)
    start = [data.draw(st.integers(0, n - 1)) for n in tissue.shape]
    stop = [data.draw(st.integers(a + 1, n)) for a, n in zip(start, tissue.shape, strict=True)]
    box = Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
    part = simulate_large_frame(tissue, box, t=t)
    assert np.array_equal(part[0], image[box.slices])
    assert np.array_equal(part[1], labels[box.slices])


def test_moving_tissue_keeps_its_numbers_and_moves_a_little() -> None:
    tissue = DenseSettings((20, 48, 48), (4.0, 6.0, 6.0), seed=2, frames=30)
    whole = Box.of_shape(tissue.shape)
    frames = [simulate_large_frame(tissue, whole, t=t)[1] for t in (0, 1, 29)]
    near, far = ((frames[0] == other) & (frames[0] > 0) for other in frames[1:])
    assert near.mean() > 0.8 > far.mean() > 0.3
    assert not np.array_equal(frames[0], frames[1])
