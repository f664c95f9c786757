"""Repair finds only what tracks contradict, and a patch changes only what it is meant to."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tlseg.geometry import Box
from tlseg.label.patches import Patch, lay_over, make_patch, pack, unpack
from tlseg.label.reseed import take_apart
from tlseg.link.repair import Repair, find_repairs
from tlseg.measure.objects import measure_block, overlaps
from tlseg.measure.patched import measure_replacement, mend_objects, mend_overlaps
from tlseg.simulate import SimulationSettings
from tlseg.simulate.movie import simulate_truth

SPACING_UM = (1.5, 1.0, 1.0)
RADIUS_UM = 6.0
FRAMES = 7


def balls(shape: tuple[int, int, int], centres_um: np.ndarray, *, radius_um: float = RADIUS_UM) -> np.ndarray:
    """Labels (z, y, x) of balls, each voxel to the nearest centre."""
    place = np.stack(np.indices(shape), axis=-1) * np.array(SPACING_UM)
    far = np.linalg.norm(place[..., None, :] - centres_um, axis=-1)
    return np.where(far.min(axis=-1) <= radius_um, far.argmin(axis=-1) + 1, 0).astype(np.uint32)


def four_nuclei() -> np.ndarray:
    """A movie (t, z, y, x) of four drifting nuclei, the first two of which touch."""
    start = np.array([[12, 12, 12], [12, 12, 22.5], [12, 34, 14], [13, 35, 36.0]])
    return np.stack([balls((18, 48, 48), start + t * np.array([0, 0.5, 0.3])) for t in range(FRAMES)])


def tables(movie: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Objects and overlaps of a movie."""
    rows, shared = [], []
    for t, frame in enumerate(movie):
        for label in np.unique(frame)[1:].tolist():
            places = np.argwhere(frame == label)
            centre = places.mean(axis=0) * np.array(SPACING_UM)
            rows.append((t, label, *centre, len(places), len(places) * np.prod(SPACING_UM), 100.0))
        if t + 1 < len(movie):
            shared.append(
                pd.DataFrame(overlaps(frame, movie[t + 1]), columns=["label_a", "label_b", "voxels"]).assign(t=t)
            )
    columns = ["t", "label", "z_um", "y_um", "x_um", "volume_voxels", "volume_um3", "intensity_mean"]
    return pd.DataFrame(rows, columns=columns), pd.concat(shared, ignore_index=True)


def mended(movie: np.ndarray) -> np.ndarray:
    """The movie with all repairs made."""
    return mended_by(movie, find_repairs(*tables(movie)))


def mended_by(movie: np.ndarray, repairs: list[Repair]) -> np.ndarray:
    """The movie with these repairs made."""
    result = movie.copy()
    for repair in repairs:
        frame = result[repair.frame]
        patch = make_patch(
            frame,
            box=Box.of_shape(frame.shape),
            replaced=np.array(repair.labels),
            numbers=np.array([repair.labels[0], *range(100, 99 + len(repair.volume_um3))]),
            centres_um=repair.position_um,
            volumes_um3=repair.volume_um3,
            spacing_um=SPACING_UM,
        )
        assert patch is not None
        lay_over(frame, Box.of_shape(frame.shape), [patch])
    return result


def same_partition(a: np.ndarray, b: np.ndarray) -> float:
    """Share of foreground voxels on which two labellings agree, up to numbers."""
    pairs, counts = np.unique(np.stack([a[a > 0], b[a > 0]]), axis=1, return_counts=True)
    best = {int(x): counts[pairs[0] == x].max() for x in np.unique(pairs[0])}
    return float(sum(best.values()) / (a > 0).sum())


def test_nothing_is_repaired_where_nothing_is_wrong() -> None:
    assert find_repairs(*tables(four_nuclei())) == []


@pytest.mark.parametrize("frames", [[3], [3, 4]], ids=["one frame", "two frames"])
def test_nuclei_merged_in_one_label_are_told_apart(frames: list[int]) -> None:
    truth = four_nuclei()
    movie = truth.copy()
    for t in frames:
        movie[t][movie[t] == 2] = 1
    found = find_repairs(*tables(movie))
    assert [(r.frame, r.kind, r.labels) for r in found] == [(t, "merged", (1,)) for t in frames]
    result = mended(movie)
    assert same_partition(truth[frames], result[frames]) > 0.98
    others = [t for t in range(FRAMES) if t not in frames]
    np.testing.assert_array_equal(result[others], movie[others])
    np.testing.assert_array_equal(result > 0, movie > 0)


def test_a_nucleus_cut_in_two_is_joined() -> None:
    movie = four_nuclei()
    half = (movie[3] == 3) & (np.indices(movie[3].shape)[2] > 14)
    movie[3][half] = 9
    (found,) = find_repairs(*tables(movie))
    assert (found.frame, found.kind, set(found.labels)) == (3, "cut", {3, 9})
    np.testing.assert_array_equal(mended(movie) > 0, movie > 0)
    assert len(np.unique(mended(movie)[3])) == 5


@pytest.mark.parametrize("frames", [[2, 3], [2, 3, 4]], ids=["two frames", "three frames"])
def test_a_nucleus_cut_for_several_frames_is_joined_in_each(frames: list[int]) -> None:
    truth = four_nuclei()
    movie = truth.copy()
    for t in frames:
        movie[t][(movie[t] == 3) & (np.indices(movie[t].shape)[2] > 14)] = 9
    assert [(r.frame, r.kind) for r in find_repairs(*tables(movie))] == [(t, "cut") for t in frames]
    assert same_partition(truth, mended(movie)) == 1


def test_nothing_is_missing_between_two_pieces_of_one_nucleus() -> None:
    movie = four_nuclei()
    for t in (2, 5):
        movie[t][(movie[t] == 3) & (np.indices(movie[t].shape)[2] > 14)] = 9
    assert all(r.kind == "cut" for r in find_repairs(*tables(movie))), "frames in between are right as they are"
    repaired = mended(movie)
    np.testing.assert_array_equal(repaired[3:5], movie[3:5])


@pytest.mark.parametrize("seed", range(3))
def test_order_of_rows_changes_no_repair(seed: int) -> None:
    movie = four_nuclei()
    movie[2][movie[2] == 2] = 1
    movie[4][(movie[4] == 3) & (np.indices(movie[4].shape)[2] > 14)] = 9
    objects, shared = tables(movie)
    found = find_repairs(objects, shared)
    assert [(r.frame, r.kind) for r in found] == [(2, "merged"), (4, "cut")]
    again = find_repairs(objects.sample(frac=1, random_state=seed), shared.sample(frac=1, random_state=seed))
    assert [(r.frame, r.kind, r.labels) for r in again] == [(r.frame, r.kind, r.labels) for r in found]
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one.position_um, other.position_um)


BORN = 4


def a_division() -> np.ndarray:
    """A movie (t, z, y, x) of a mother, 1, who condenses and divides into 2 and 3; 4 lies beside 3, and 5 beside 1."""
    shape = (18, 48, 60)
    others = np.array([[12, 14, 45.5], [12, 26.5, 26], [14, 37, 30], [13, 37, 50.0]])
    frames = []
    for t in range(FRAMES + 2):
        frame = balls(shape, others)
        frame[frame > 0] += 3
        radius = {BORN - 2: 5.3, BORN - 1: 4.6}.get(t, RADIUS_UM)
        pair = balls(shape, np.array([[12, 14, 20], [12, 14, 32.5]]), radius_um=4.4)
        frame += balls(shape, np.array([[12, 14, 26.0]]), radius_um=radius) if t < BORN else np.where(pair, pair + 1, 0)
        frames.append(frame.astype(np.uint32))
    return np.stack(frames)


def found_in(movie: np.ndarray) -> list[Repair]:
    """Repairs of the movie of a division in which dividing nuclei are brighter."""
    objects, shared = tables(movie)
    condensed = objects["t"].between(BORN - 2, BORN) & (objects["label"] < 4)
    objects.loc[condensed, "intensity_mean"] = 200.0
    return find_repairs(objects, shared)


def test_true_labels_of_a_division_are_left_alone() -> None:
    assert found_in(a_division()) == []


@pytest.mark.parametrize(
    ("frame", "nucleus", "neighbour"),
    [(BORN, 3, 4), (BORN - 1, 1, 5)],
    ids=["a daughter", "the mother"],
)
def test_who_is_merged_where_she_divides_is_told_apart(frame: int, nucleus: int, neighbour: int) -> None:
    truth = a_division()
    movie = truth.copy()
    movie[frame][movie[frame] == nucleus] = neighbour
    found = found_in(movie)
    assert [(r.frame, r.kind, r.labels) for r in found] == [(frame, "merged", (neighbour,))]
    assert same_partition(truth[frame], mended_by(movie, found)[frame]) > 0.98


def test_a_mother_cut_right_before_she_divides_is_joined() -> None:
    truth = a_division()
    movie = truth.copy()
    movie[BORN - 1][(truth[BORN - 1] == 1) & (np.indices(truth.shape[1:])[2] > 26)] = 9
    (found,) = found_in(movie)
    assert (found.frame, found.kind, set(found.labels)) == (BORN - 1, "cut", {1, 9})
    assert same_partition(truth, mended_by(movie, [found])) == 1


def test_a_missing_nucleus_without_a_label_in_its_place_stays_a_gap() -> None:
    movie = four_nuclei()
    movie[3][movie[3] == 4] = 0
    assert find_repairs(*tables(movie)) == []


def test_what_lasts_is_no_mistake() -> None:
    movie = four_nuclei()
    movie[3:][movie[3:] == 2] = 1
    assert find_repairs(*tables(movie)) == []


def test_true_labels_of_an_embryo_that_divides_are_left_alone() -> None:
    settings = SimulationSettings(
        frames=40, shape=(26, 64, 64), spacing_um=(3.5, 1.6, 1.6), cycle_frames=14, start_nuclei=4, rotation_deg=2
    )
    movie = np.stack([labels for _, labels, _ in simulate_truth(settings)])
    objects, shared = tables(movie)
    for axis, ratio in zip("zyx", np.array(settings.spacing_um) / SPACING_UM, strict=True):
        objects[f"{axis}_um"] *= ratio
    objects["volume_um3"] *= np.prod(settings.spacing_um) / np.prod(SPACING_UM)
    assert objects["label"].nunique() > 12
    assert find_repairs(objects, shared) == []


def test_a_label_is_not_divided_where_its_voxels_say_otherwise() -> None:
    mask = balls((18, 30, 30), np.array([[12, 14, 14.0]])) > 0
    centres = np.array([[12, 14, 14.0], [12, 14, 24.0]])
    volume = 4 / 3 * np.pi * RADIUS_UM**3
    assert take_apart(mask, centres, np.array([volume, volume]), spacing_um=SPACING_UM) is None


@pytest.mark.parametrize("nearest", [1, 2])
def test_a_piece_of_its_own_goes_to_the_nucleus_that_is_nearest(nearest: int) -> None:
    centres = np.array([[12, 14, 12.0], [12, 14, 22.5]])
    mask = balls((18, 30, 36), centres, radius_um=5.5) > 0
    piece = np.zeros_like(mask)
    piece[8, 14, 2 if nearest == 1 else 32] = True
    volume = 4 / 3 * np.pi * 5.5**3
    parts = take_apart(mask | piece, centres, np.array([volume, volume]), spacing_um=SPACING_UM)
    assert parts is not None
    assert parts[piece] == nearest
    np.testing.assert_array_equal(parts > 0, mask | piece)


@pytest.mark.parametrize("seed", range(5))
def test_mended_tables_are_those_of_mended_labels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (9, 12, 11)
    frame = Box.of_shape(shape)
    movie = rng.integers(0, 6, (3, *shape)).astype(np.uint32)
    movie[rng.random(movie.shape) < 0.5] = 0
    grey = rng.integers(0, 1000, shape).astype(np.uint16)
    boxes = [Box((2, 3, 1), (8, 11, 9)), Box((0, 0, 0), (7, 6, 11))]
    patches, result = [], movie.copy()
    for t, (box, old) in enumerate(zip(boxes, ([1, 2], [3]), strict=True), start=1):
        outside = np.ones(shape, dtype=bool)
        outside[box.slices] = False
        movie[t][outside & np.isin(movie[t], old)] = 0
        parts = np.where(np.isin(movie[t][box.slices], old), rng.integers(1, 3, box.shape), 0).astype(np.uint8)
        patches.append(Patch(box, parts, np.array([old[0], 50]), np.array(old)))
        result[t] = movie[t]
        lay_over(result[t], frame, unpack(pack([patches[-1]])))

    def sums(labels: np.ndarray) -> dict[str, np.ndarray]:
        return measure_block(labels, grey, crop=frame, core=frame, frame=frame, spacing_um=SPACING_UM).to_arrays()

    found = [
        measure_replacement(
            lambda box, t=t: result[t][box.slices],  # type: ignore[misc]
            lambda box: grey[box.slices],
            box=patch.box,
            labels=patch.labels,
            replaced=patch.replaced,
            frame=frame,
            spacing_um=SPACING_UM,
            read_before=lambda box, t=t: result[t - 1][box.slices],  # type: ignore[misc]
            read_after=(lambda box, t=t: result[t + 1][box.slices]) if t < 2 else None,  # type: ignore[misc]
        )
        for t, patch in enumerate(patches, start=1)
    ]
    for t in (1, 2):
        before = measure_block(movie[t], grey, crop=frame, core=frame, frame=frame, spacing_um=SPACING_UM)
        new = mend_objects(before, [found[t - 1]]).to_arrays()
        for name, expected in sums(result[t]).items():
            np.testing.assert_array_equal(new[name], expected, err_msg=name)
    np.testing.assert_array_equal(mend_overlaps(overlaps(movie[0], movie[1]), [], found[:1]), overlaps(*result[:2]))
    np.testing.assert_array_equal(
        mend_overlaps(overlaps(movie[1], movie[2]), found[:1], found[1:]), overlaps(*result[1:])
    )
