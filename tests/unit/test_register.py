"""Registration of few nuclei, and of arrangements that many motions fit."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation

from tlseg.link import LinkSettings, link_objects
from tlseg.link.clouds import cloud_of
from tlseg.link.motions import Motion, Rigid
from tlseg.link.register import register

RADIUS_UM = 5.0
VOLUME_UM3 = 4 / 3 * np.pi * RADIUS_UM**3
TRIANGLE = np.array([[0, 0, 0], [3, 14, 0], [-2, 4, 17.0]])
CUBE = 14.0 * np.array(list(product((-0.5, 0.5), repeat=3)))
LINE = np.array([1.0, 2.0, -1.0]) / np.sqrt(6) * np.array([0, 13, 24, 41, 52, 70.0])[:, None]
UNLIKE = np.array([1.0, 1.5, 0.7, 1.2, 0.5, 0.9])


def found(a: np.ndarray, b: np.ndarray, *, volume: np.ndarray | None = None, rotations: int = 600) -> Rigid:
    """Motion from `a` to `b` of nuclei of the same volume, or of those given for both."""
    sizes = [np.full(len(p), VOLUME_UM3) if volume is None else VOLUME_UM3 * volume for p in (a, b)]
    return between((a, sizes[0]), (b, sizes[1]), rotations=rotations).rigid


def between(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray], *, rotations: int) -> Motion:
    """Motion from places and volumes `a` to `b`."""
    clouds = [cloud_of(*nuclei, 3 * RADIUS_UM) for nuclei in (a, b)]
    return register(*clouds, cap=3 * RADIUS_UM, planar=False, rotations=rotations)


def turned(points: np.ndarray, degrees: float) -> np.ndarray:
    """Points turned about a skew axis through their centroid."""
    turn = Rotation.from_rotvec(np.deg2rad(degrees) * np.array([2, -1, 2]) / 3).as_matrix()
    centre = points.mean(axis=0)
    return (points - centre) @ turn.T + centre


def assert_rigid(motion: Rigid) -> None:
    np.testing.assert_allclose(motion.rotation @ motion.rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(motion.rotation) == pytest.approx(1)
    assert np.isfinite(motion.shift).all()


@pytest.mark.parametrize(("before", "after"), [(1, 1), (1, 3), (3, 1)])
def test_one_nucleus_says_nothing_of_the_embryo(before: int, after: int) -> None:
    motion = found(TRIANGLE[:before], TRIANGLE[:after] + 8)
    np.testing.assert_array_equal(motion.rotation, np.eye(3))
    np.testing.assert_array_equal(motion.shift, 0)


PARTING, MEETING, ALONE = [[0, -4.0, -1.0], [0, 4.0, 1.0]], [[0, 3.0, -2.0], [0, -3.0, 2.0]], [[0, 0, 0], [0, 5.0, 2.0]]


@pytest.mark.parametrize("by", [PARTING, MEETING, ALONE, [*ALONE, [0, 0, 0]]])
def test_few_nuclei_that_go_their_own_ways_have_not_moved_as_one(by: list[list[float]]) -> None:
    a = TRIANGLE[: len(by)]
    motion = found(a, a + np.array(by))
    np.testing.assert_array_equal(motion.apply(a), a)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("degrees", [0.0, 25.0, 90.0, 180.0])
def test_few_nuclei_are_never_turned(count: int, degrees: float) -> None:
    a = TRIANGLE[:count]
    motion = found(a, turned(a, degrees) + np.array([0, 6, 0]))
    np.testing.assert_array_equal(motion.rotation, np.eye(3))


@pytest.mark.parametrize("seed", range(3))
def test_three_nuclei_tell_a_shift_and_lose_nothing_by_wandering(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 0.3, TRIANGLE.shape)
    shift = np.array([6.0, -20.0, 9.0])
    np.testing.assert_allclose(found(TRIANGLE, TRIANGLE + shift + noise).shift, shift, atol=1)
    assert np.linalg.norm(found(TRIANGLE, TRIANGLE + noise).shift) < 1


@pytest.mark.parametrize("degrees", [0.0, 20.0, 150.0])
def test_nuclei_in_a_line_are_laid_onto_each_other(degrees: float) -> None:
    # Turns about the line itself change nothing: any of them will do, a mirror image will not.
    goal = turned(LINE, degrees) + np.array([3, -2, 4])
    motion = found(LINE, goal, volume=UNLIKE, rotations=2000)
    assert_rigid(motion)
    np.testing.assert_allclose(motion.apply(LINE), goal, atol=0.1)


def test_nuclei_of_one_plane_are_turned_and_not_mirrored() -> None:
    flat = np.array([[0, y, x] for y, x in ((0, 0), (0, 15), (17, 3), (30, 20), (12, 33), (35, -8))], dtype=float)
    goal = turned(flat, 130)
    motion = found(flat, goal, volume=UNLIKE, rotations=2000)
    assert_rigid(motion)
    np.testing.assert_allclose(motion.apply(flat), goal, atol=0.1)


def test_of_turns_that_fit_a_cube_alike_the_smallest_is_taken() -> None:
    at_rest = found(CUBE, CUBE)
    np.testing.assert_array_equal(at_rest.apply(CUBE), CUBE)
    motion = found(CUBE, turned(CUBE, 15))
    np.testing.assert_allclose(motion.apply(CUBE), turned(CUBE, 15), atol=1e-6)


def test_any_turn_of_a_cube_lays_corners_onto_corners() -> None:
    goal = turned(CUBE, 70)
    motion = found(CUBE, goal, rotations=2000)
    assert_rigid(motion)
    distance = np.linalg.norm(motion.apply(CUBE)[:, None] - goal, axis=-1)
    assert distance.min(axis=1).max() < 0.1
    assert len(set(distance.argmin(axis=1))) == len(CUBE)


def test_a_mirror_image_is_no_motion() -> None:
    handed = LINE + TRIANGLE.repeat(2, axis=0)
    assert_rigid(found(handed, handed * np.array([1, 1, -1]), volume=UNLIKE))


@pytest.mark.parametrize("counts", [[1, 2, 3, 2, 1], [3, 1, 3], [2, 0, 2], [1, 0, 0, 1]])
def test_frames_of_one_two_and_three_nuclei_are_linked(counts: list[int]) -> None:
    rows = [(t, n + 1, *(TRIANGLE[n] + 0.8 * t)) for t, count in enumerate(counts) for n in range(count)]
    objects = pd.DataFrame(rows, columns=["t", "label", "z_um", "y_um", "x_um"])
    objects = objects.assign(volume_um3=VOLUME_UM3, intensity_mean=100.0)
    none = pd.DataFrame({"t": [], "label_a": [], "label_b": [], "voxels": []}, dtype=np.int64)
    lineage = link_objects(objects, none, settings=LinkSettings(divisions=False))
    assert lineage.tracks == max(counts)
    assert (lineage.nodes.groupby("track")["label"].nunique() == 1).all()


CROWD = np.random.default_rng(5).uniform(-30, 30, (40, 3))


def change(a: np.ndarray, b: np.ndarray) -> Motion:
    """As `found`, with the change of size."""
    volume = [np.full(len(p), VOLUME_UM3) for p in (a, b)]
    return between((a, volume[0]), (b, volume[1]), rotations=600)


@pytest.mark.parametrize("factor", [0.6, 0.75, 0.85, 1.3])
@pytest.mark.parametrize("degrees", [0, 35, 150])
def test_an_embryo_that_collapses_or_swells_is_followed(factor: float, degrees: float) -> None:
    wander = np.random.default_rng(0).normal(0, 0.6, CROWD.shape)
    b = turned(CROWD * factor, degrees) + wander + [3, -8, 5]
    motion = change(CROWD, b[::-1])
    assert motion.growth.factor == pytest.approx(factor, abs=0.03)
    assert_rigid(motion.rigid)
    assert np.linalg.norm(motion.apply(CROWD) - b, axis=1).max() < 3


def test_what_only_moves_keeps_its_size() -> None:
    """Neither nuclei that wander, nor those that come, go or divide, make an embryo grow."""
    generator = np.random.default_rng(1)
    for wander in (0.0, 1.5, 3.0):
        b = turned(CROWD, 20) + generator.normal(0, wander / np.sqrt(3), CROWD.shape)
        assert change(CROWD, b).growth.factor == 1
    near = np.argsort(np.linalg.norm(CROWD, axis=1))
    assert change(CROWD, CROWD[near[:-6]]).growth.factor == 1
    daughters = CROWD[near[-15:]] * 1.1
    assert change(CROWD, np.concatenate([CROWD, daughters])).growth.factor == 1


def test_few_nuclei_have_not_collapsed() -> None:
    motion = change(CUBE[:7], 0.7 * CUBE[:7])
    assert motion.growth.factor == 1


@pytest.mark.parametrize("far", [0.0, 60.0])
def test_points_in_one_place_have_no_size(far: float) -> None:
    """All of them, or all but one, in the first frame, the second, or both."""
    here = np.zeros((9, 3))
    here[8] = far
    for a, b in ((here, CUBE), (CUBE, here), (here, 1.2 * here)):
        motion = change(a, b)
        assert_rigid(motion.rigid)
        assert np.isfinite(motion.growth.factor)
        assert motion.growth.factor > 0
