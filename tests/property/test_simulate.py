"""Laws of the simulator: truth is exact, and no voxel depends on how much of the movie or frame is asked for."""

from __future__ import annotations

import dataclasses
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tlseg.geometry import Box
from tlseg.simulate.dense import DenseSettings, dense_frame, simulate_large_frame
from tlseg.simulate.lineage import grow_lineage
from tlseg.simulate.movie import Frame, simulate_frames, simulate_truth
from tlseg.simulate.settings import SimulationSettings

SMALL = SimulationSettings(frames=8, shape=(20, 48, 56), radius_um=6.0, cycle_frames=4, seed=3)
EVERYWHERE = np.ones((3, 3, 3))


@pytest.fixture(scope="module")
def movie() -> list[Frame]:
    return list(simulate_frames(SMALL))


def test_same_seed_same_bytes_and_other_seed_other_bytes(movie: list[Frame]) -> None:
    again = next(simulate_frames(SMALL))
    other = next(simulate_frames(dataclasses.replace(SMALL, seed=4)))
    assert np.array_equal(again.image, movie[0].image)
    assert not np.array_equal(other.image, movie[0].image)
    assert not np.array_equal(other.labels, movie[0].labels)


@pytest.mark.parametrize("frames", [1, 5])
def test_a_shorter_movie_is_the_start_of_a_longer(movie: list[Frame], frames: int) -> None:
    short = list(simulate_frames(dataclasses.replace(SMALL, frames=frames)))
    assert len(short) == frames
    for a, b in zip(short, movie, strict=False):
        assert np.array_equal(a.image, b.image)
        assert np.array_equal(a.labels, b.labels)
        assert a.nodes == b.nodes


def test_truth_alone_equals_truth_with_pictures(movie: list[Frame]) -> None:
    for frame, (t, labels, nodes) in zip(movie, simulate_truth(SMALL), strict=True):
        assert (t, nodes) == (frame.t, frame.nodes)
        assert np.array_equal(labels, frame.labels)


def check_truth(frame: Frame, spacing_um: tuple[float, float, float], tolerance: float) -> None:
    voxel = float(np.prod(spacing_um))
    counts = np.bincount(frame.labels.ravel())
    assert [n.track for n in frame.nodes] == [k for k in np.flatnonzero(counts) if k]
    boxes = ndimage.find_objects(frame.labels.astype(np.int32))
    for node in frame.nodes:
        mask = frame.labels[boxes[node.track - 1]] == node.track
        assert counts[node.track] == node.volume_voxels, "no nucleus takes voxels of another"
        assert node.volume_voxels * voxel == pytest.approx(node.volume_um3, rel=tolerance)
        assert ndimage.label(mask, EVERYWHERE)[1] == 1
        place = [round(c / s) for c, s in zip((node.z_um, node.y_um, node.x_um), spacing_um, strict=True)]
        assert frame.labels[tuple(place)] == node.track
        centre = np.argwhere(frame.labels == node.track).mean(axis=0) * spacing_um
        assert np.abs(centre - (node.z_um, node.y_um, node.x_um)).max() < 0.5 * max(spacing_um)


def test_truth_is_exact(movie: list[Frame]) -> None:
    for frame in movie:
        check_truth(frame, SMALL.spacing_um, 0.1)


def test_truth_is_exact_when_the_embryo_turns_and_drifts() -> None:
    chosen = dataclasses.replace(SimulationSettings(), frames=4, rotation_deg=40, drift_um=0.5, seed=5, start_nuclei=12)
    for frame in simulate_frames(chosen):
        check_truth(frame, chosen.spacing_um, 0.05)


@pytest.mark.parametrize("seed", range(3))
def test_truth_is_exact_in_a_crowd(seed: int) -> None:
    crowd = SimulationSettings(
        frames=4, shape=(38, 80, 80), embryo_um=(40, 40, 40), start_nuclei=26, radius_um=8.5, cycle_frames=4, seed=seed
    )
    for frame in simulate_frames(crowd):
        check_truth(frame, crowd.spacing_um, 0.1)


def test_an_embryo_that_turns_moves_its_nuclei_further() -> None:
    def travel(**kwargs: float) -> float:
        chosen = dataclasses.replace(SMALL, frames=2, cycle_frames=50, migration_um=0.0, **kwargs)
        (_, _, a), (_, _, b) = simulate_truth(chosen)
        return float(np.mean([np.hypot(p.y_um - q.y_um, p.x_um - q.x_um) for p, q in zip(a, b, strict=True)]))

    assert travel(rotation_deg=60.0) > travel() + 1
    assert travel(drift_um=3.0) > travel() + 1


def test_lineage_is_a_forest_of_divisions_into_two(movie: list[Frame]) -> None:
    seen: dict[int, list[int]] = {}
    parents: dict[int, int] = {}
    for frame in movie:
        for node in frame.nodes:
            seen.setdefault(node.track, []).append(frame.t)
            parents.setdefault(node.track, node.parent)
            assert node.parent == parents[node.track]
    children: dict[int, list[int]] = {}
    for track, parent in parents.items():
        assert seen[track] == list(range(seen[track][0], seen[track][-1] + 1)), "one nucleus, no gaps"
        if parent:
            children.setdefault(parent, []).append(track)
            assert seen[parent][-1] == seen[track][0] - 1, "daughters follow their mother at once"
        else:
            assert seen[track][0] == 0
    assert children
    assert all(len(pair) == 2 for pair in children.values())
    assert sorted(parents) == list(range(1, len(parents) + 1))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 9), st.floats(4, 12), st.integers(0, 2**32))
def test_lineage_grows_only_at_its_end(frames: int, start: int, cycle: float, seed: int) -> None:
    whole = SimulationSettings(frames=frames, start_nuclei=start, cycle_frames=cycle, seed=seed)
    if start * 2 ** (frames / cycle) > 500:
        return
    tracks = grow_lineage(whole)
    part = grow_lineage(dataclasses.replace(whole, frames=(frames + 1) // 2))
    assert tracks[: len(part)] == part
    assert [t.number for t in tracks] == list(range(1, len(tracks) + 1))
    assert all(t.birth < frames and t.division - t.birth >= 2 for t in tracks)
    alive = [sum(t.alive(k) for t in tracks) for k in range(frames)]
    assert alive[0] == start
    assert alive == sorted(alive)


DENSE = DenseSettings((20, 40, 44), (4.0, 6.0, 6.0), seed=2)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_a_dense_frame_is_the_same_however_boxed(data: st.DataObject) -> None:
    image, labels = dense_frame(DENSE.shape, radius_voxels=DENSE.radius_voxels, seed=DENSE.seed)
    start = [data.draw(st.integers(0, n - 1)) for n in DENSE.shape]
    stop = [data.draw(st.integers(a + 1, n)) for a, n in zip(start, DENSE.shape, strict=True)]
    box = Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
    part = simulate_large_frame(DENSE, box)
    assert np.array_equal(part[0], image[box.slices])
    assert np.array_equal(part[1], labels[box.slices])


@pytest.mark.parametrize("radius", [3.0, 8.0, (4.0, 9.0, 7.0)])
def test_dense_nuclei_are_in_one_piece_and_touch(radius: float | tuple[float, float, float]) -> None:
    image, labels = dense_frame((32, 72, 72), radius_voxels=radius, seed=1)
    assert image.dtype == np.uint16
    assert labels.dtype == np.uint32
    assert 0.75 < (labels > 0).mean() < 0.97
    numbers, compact = np.unique(labels, return_inverse=True)
    boxes = ndimage.find_objects(compact.reshape(labels.shape))
    pieces = [ndimage.label(labels[box] == n, EVERYWHERE)[1] for n, box in zip(numbers[1:], boxes, strict=True)]
    assert set(pieces) == {1}
    across = (labels[:, 1:] != labels[:, :-1]) & (labels[:, 1:] > 0) & (labels[:, :-1] > 0)
    touching = np.unique(labels[:, 1:][across])
    assert len(touching) > 0.8 * len(numbers)
    assert image[labels > 0].mean() > image[labels == 0].mean() + 30


def test_frames_stream() -> None:
    endless = dataclasses.replace(SMALL, frames=10**6, cycle_frames=1e7, cycle_noise=0.0)
    assert [f.t for f in islice(simulate_frames(endless), 2)] == [0, 1]
