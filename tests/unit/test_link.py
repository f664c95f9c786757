"""Linking finds the truth in cases where it is known."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tlseg.errors import LabelError
from tlseg.geometry import ball_radius
from tlseg.link import Lineage, LinkSettings, link_objects
from tlseg.link.candidates import frame_trees, link_candidates, reach_um
from tlseg.link.clouds import cloud_of
from tlseg.link.gaps import gap_candidates
from tlseg.link.motions import rotation_grid
from tlseg.link.objects import Objects, Overlaps, read_objects
from tlseg.link.register import register
from tlseg.link.stabilise import Stabilised

NO_OVERLAPS = pd.DataFrame({"t": [], "label_a": [], "label_b": [], "voxels": []}, dtype=np.int64)
Edge = tuple[int, int, int, int]


def turn(generator: np.random.Generator, degrees: tuple[float, float]) -> np.ndarray:
    """Rotation about a random axis by an angle within `degrees`."""
    axis = generator.normal(size=3)
    z, y, x = axis / np.linalg.norm(axis)
    cross = np.array([[0, -x, y], [x, 0, -z], [-y, z, 0]])
    angle = np.deg2rad(generator.uniform(*degrees))
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def spread_points(generator: np.random.Generator, count: int, radius: float, apart: float) -> list[np.ndarray]:
    """Points in a ball that keep a distance."""
    points: list[np.ndarray] = []
    while len(points) < count:
        point = generator.uniform(-radius, radius, 3)
        if np.linalg.norm(point) <= radius and all(np.linalg.norm(point - other) > apart for other in points):
            points.append(point)
    return points


def embryo(
    *,
    seed: int = 0,
    count: int = 8,
    frames: int = 20,
    motion: float = 0.6,
    cycle: int | None = 12,
    drift: tuple[float, float, float] = (0, 0, 0),
    degrees: tuple[float, float] = (0, 0),
    missed: float = 0.0,
    flat: bool = False,
) -> tuple[pd.DataFrame, set[Edge], set[Edge]]:
    """Nuclei (radius about 5 um) that wander, divide, drift and turn; the true edges, and those of divisions."""
    generator = np.random.default_rng(seed)
    keep = np.array([0, 1, 1]) if flat else np.ones(3)
    cells = [
        {
            "name": i,
            "p": p * keep,
            "v": 500 * np.exp(0.1 * generator.normal()),
            "age": int(generator.integers(cycle or 1)),
        }
        for i, p in enumerate(spread_points(generator, count, 30 if not flat else 90, 11))
    ]
    if flat:
        grid = np.stack(np.meshgrid(np.arange(6.0), np.arange(6.0)), axis=-1).reshape(-1, 2)[:count] * 14
        for cell, place in zip(cells, grid, strict=True):
            cell["p"] = np.array([0.0, *place]) + generator.normal(0, 2, 3) * keep
    names, mother = count, dict.fromkeys(range(count), -1)
    rotation, shift = np.eye(3), np.zeros(3)
    rows, last_seen = [], {}
    edges: set[Edge] = set()
    for t in range(frames):
        if t:
            rotation, shift = turn(generator, degrees) @ rotation, shift + np.asarray(drift)
            grown = []
            for cell in cells:
                cell["age"] += 1
                if cycle is None or cell["age"] < cycle:
                    grown.append(cell | {"p": cell["p"] + motion * generator.normal(size=3) * keep})
                    continue
                way = generator.normal(size=3) * keep
                way *= np.cbrt(cell["v"] * 3 / 4 / np.pi) / np.linalg.norm(way)
                for sign in (1, -1):
                    mother[names] = cell["name"]
                    grown.append({"name": names, "p": cell["p"] + sign * way, "v": 0.47 * cell["v"], "age": 0})
                    names += 1
            cells = grown
        for label, cell in zip(generator.permutation(len(cells)) + 1, cells, strict=True):
            if generator.random() < missed:
                continue
            name = cell["name"]
            if name in last_seen or mother[name] in last_seen:
                edges.add((*last_seen.get(name, last_seen.get(mother[name])), t, int(label)))
            last_seen[name] = (t, int(label))
            volume = cell["v"] * np.exp(0.08 * generator.normal())
            rows.append((t, label, *(rotation @ cell["p"] + shift), volume, 100 * np.exp(0.05 * generator.normal())))
    columns = ["t", "label", "z_um", "y_um", "x_um", "volume_um3", "intensity_mean"]
    twice = Counter((a, b) for a, b, _, _ in edges)
    return pd.DataFrame(rows, columns=columns), edges, {edge for edge in edges if twice[edge[0], edge[1]] == 2}


def edges_of(lineage: Lineage, *kinds: str) -> set[Edge]:
    edges = lineage.edges[lineage.edges["kind"].isin(kinds)] if kinds else lineage.edges
    return set(edges[["t_a", "label_a", "t_b", "label_b"]].itertuples(index=False, name=None))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("drift", [(0, 0, 0), (15, -20, 30)], ids=["still", "drifting"])
def test_wandering_dividing_nuclei_are_linked_perfectly(seed: int, drift: tuple[float, float, float]) -> None:
    objects, truth, divisions = embryo(seed=seed, drift=drift, frames=14)
    lineage = link_objects(objects, NO_OVERLAPS)
    assert divisions
    assert edges_of(lineage) == truth
    assert edges_of(lineage, "division") == divisions


@pytest.mark.parametrize("seed", range(3))
def test_eight_nuclei_turning_half_around_between_frames(seed: int) -> None:
    objects, truth, _ = embryo(seed=seed, degrees=(30, 180), cycle=None, frames=8)
    found = edges_of(link_objects(objects, NO_OVERLAPS))
    assert len(found & truth) >= 0.95 * len(truth)
    without = edges_of(link_objects(objects, NO_OVERLAPS, settings=LinkSettings(register=False)))
    assert len(without & truth) < 0.5 * len(truth)


@pytest.mark.parametrize(("moved_um", "counted"), [(1.0, True), (30.0, False)])
def test_shared_voxels_count_only_where_the_embryo_lay_still(moved_um: float, counted: bool) -> None:
    objects, _ = read_objects(
        pd.DataFrame(
            {"t": [0, 1], "label": 1, "z_um": 0.0, "y_um": 0.0, "x_um": [0.0, 4.0], "volume_um3": 500.0}
        ).assign(intensity_mean=1.0)
    )
    placed = Stabilised(objects.position_um, np.array([moved_um, 0.0]))
    shared = Overlaps(np.array([0]), np.array([1]), np.array([0.4]))
    pairs = link_candidates(objects, placed, frame_trees(objects, placed), shared, reach=8.0, settings=LinkSettings())
    assert pairs.cost.item() == pytest.approx(0.25 - (0.5 * 0.4 if counted else 0))


def test_overlap_decides_where_distance_cannot() -> None:
    objects = pd.DataFrame(
        {
            "t": [0, 0, 1, 1],
            "label": [1, 2, 1, 2],
            "z_um": 0.0,
            "y_um": [0.0, 4.0, 2.0, 2.0],
            "x_um": [0.0, 0.0, -2.0, 2.0],
            "volume_um3": 200.0,
            "intensity_mean": 10.0,
            "volume_voxels": 100,
        }
    )
    still = LinkSettings(register=False, max_distance_um=6.0)
    for b in (1, 2):
        overlaps = pd.DataFrame({"t": [0], "label_a": [1], "label_b": [b], "voxels": [60]})
        assert edges_of(link_objects(objects, overlaps, settings=still)) == {(0, 1, 1, b), (0, 2, 1, 3 - b)}


def test_flat_movies_turn_in_their_plane() -> None:
    objects, truth, _ = embryo(seed=2, count=12, cycle=None, flat=True, frames=6, motion=0.4)
    generator = np.random.default_rng(0)
    for t, rows in objects.groupby("t").groups.items():
        angle = generator.uniform(1, 3) if t else 0.0
        y, x = objects.loc[rows, "y_um"].to_numpy(), objects.loc[rows, "x_um"].to_numpy()
        objects.loc[rows, "y_um"] = np.cos(angle) * y - np.sin(angle) * x
        objects.loc[rows, "x_um"] = np.sin(angle) * y + np.cos(angle) * x
    assert edges_of(link_objects(objects, NO_OVERLAPS)) == truth


def test_links_do_not_depend_on_the_number_of_threads(tmp_path: Path) -> None:
    objects, _, _ = embryo(seed=8, count=30, degrees=(2, 5), motion=1.5, frames=8)
    objects.to_parquet(tmp_path / "objects.parquet")
    program = (
        "import pandas as pd\n"
        "from tlseg.link import link_objects\n"
        "none = pd.DataFrame({name: [] for name in ('t', 'label_a', 'label_b', 'voxels')}, dtype='int64')\n"
        "link_objects(pd.read_parquet('objects.parquet'), none).edges.to_parquet('edges.parquet')\n"
    )
    edges = []
    for threads in ("1", "2", "4"):
        environment = os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path, env=environment)
        edges.append(pd.read_parquet(tmp_path / "edges.parquet"))
    assert len(edges[0]) > 150
    pd.testing.assert_frame_equal(edges[0], edges[1], check_exact=True)
    pd.testing.assert_frame_equal(edges[0], edges[2], check_exact=True)


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_a_missed_nucleus_keeps_its_number_up_to_the_longest_gap(missing: int) -> None:
    objects, _, _ = embryo(seed=4, cycle=None, frames=10)
    full = link_objects(objects, NO_OVERLAPS).nodes
    hidden = full[(full["track"] == 3) & full["t"].between(4, 3 + missing)]
    seen = objects.merge(hidden[["t", "label"]], how="left", indicator=True)
    seen = seen[seen.pop("_merge") == "left_only"]
    lineage = link_objects(seen, NO_OVERLAPS)
    assert lineage.tracks == 8
    (gap,) = edges_of(lineage, "gap")
    assert gap[2] - gap[0] == missing + 1
    assert link_objects(seen, NO_OVERLAPS, settings=LinkSettings(max_gap=missing - 1)).tracks == 9


def test_a_gap_may_be_as_long_as_the_movie_and_no_longer() -> None:
    """Whatever was requested: no gap reaches beyond the movie."""
    objects, _, _ = embryo(frames=6, missed=0.2)
    endless, whole = LinkSettings(max_gap=10**12, division_gap=10**12), LinkSettings(max_gap=6, division_gap=6)
    found = link_objects(objects, NO_OVERLAPS, settings=endless)
    assert edges_of(found, "gap")
    assert found.edges.equals(link_objects(objects, NO_OVERLAPS, settings=whole).edges)


def still(t: list[int], x_um: list[float]) -> tuple[Objects, Stabilised]:
    """Identical nuclei on a line, in an embryo that does not move."""
    table = pd.DataFrame({"t": t, "label": np.arange(1, len(t) + 1), "z_um": 0.0, "y_um": 0.0, "x_um": x_um})
    objects, _ = read_objects(table.assign(volume_um3=500.0, intensity_mean=1.0))
    return objects, Stabilised(objects.position_um, np.zeros(len(objects)))


def test_of_two_gaps_to_the_same_place_the_shorter_is_cheaper() -> None:
    objects, placed = still([0, 1, 3], [0.0, 0.0, 0.0])
    pairs = gap_candidates(
        objects, placed, np.array([0, 1]), np.array([2]), reach=8.0, settings=LinkSettings(max_gap=2)
    )
    assert (pairs.a.tolist(), pairs.b.tolist()) == ([0, 1], [2, 2])
    np.testing.assert_allclose(pairs.cost, [0.2, 0.1])


@pytest.mark.parametrize(("motion", "reach"), [(0.1, 1.5), (1.0, 3.0), (1.5, 4.0), (20.0, 4.0)])
def test_the_reach_is_three_motions_within_bounds_that_go_with_the_nuclei(motion: float, reach: float) -> None:
    """In radii: a few nuclei that move far do not make all nuclei neighbours of one another."""
    radius = float(ball_radius(500.0))
    objects, placed = still([0, 1], [0.0, motion * radius])
    found = reach_um(objects, placed, frame_trees(objects, placed), settings=LinkSettings())
    assert found == pytest.approx(reach * radius)


def test_many_missed_detections() -> None:
    objects, truth, _ = embryo(seed=5, missed=0.05, cycle=None, frames=25, count=20)
    found = edges_of(link_objects(objects, NO_OVERLAPS))
    assert len(found & truth) >= 0.98 * len(truth)
    assert len(found - truth) <= 0.01 * len(found)


def test_an_appearing_neighbour_is_no_daughter() -> None:
    objects, _, _ = embryo(seed=6, cycle=None, frames=10)
    generator = np.random.default_rng(0)
    near = objects[objects["t"] >= 5].groupby("t").first().reset_index()
    near["label"], near["z_um"] = 50, near["z_um"] + 11 + generator.normal(0, 0.3, len(near))
    lineage = link_objects(pd.concat([objects, near], ignore_index=True), NO_OVERLAPS)
    assert not edges_of(lineage, "division")
    assert lineage.tracks == 9


def test_a_nucleus_divides_no_sooner_than_the_shortest_cycle() -> None:
    objects, truth, divisions = embryo(seed=0, count=4, cycle=5, frames=12)
    assert edges_of(link_objects(objects, NO_OVERLAPS), "division") == divisions
    assert shortest_cycle(link_objects(objects, NO_OVERLAPS)) == 5
    assert shortest_cycle(link_objects(objects, NO_OVERLAPS, settings=LinkSettings(min_cycle_frames=7))) >= 7
    never = link_objects(objects, NO_OVERLAPS, settings=LinkSettings(divisions=False))
    assert edges_of(never) < truth
    assert not edges_of(never, "division")


def shortest_cycle(lineage: Lineage) -> int:
    """Length in frames of the shortest track that both begins and ends with a division."""
    nodes = lineage.nodes
    between = nodes[(nodes["parent"] > 0) & nodes["track"].isin(nodes["parent"])]
    return int(between.groupby("track")["t"].agg(lambda t: t.max() - t.min() + 1).min())


def test_tracks_split_at_divisions_and_know_their_mother() -> None:
    objects, _, _ = embryo(seed=0, count=1, cycle=6, frames=8)
    objects = objects[objects["t"] > 0].reset_index(drop=True)
    nodes = link_objects(objects, NO_OVERLAPS).nodes
    families = nodes.groupby("track")[["lineage", "parent", "generation"]].first()
    assert families.loc[1].tolist() == [1, 0, 0]
    assert families.loc[2].tolist() == families.loc[3].tolist() == [1, 1, 1]


def test_families_that_begin_in_mid_movie_have_no_generation() -> None:
    early, _, _ = embryo(seed=0, count=1, cycle=6, frames=8)
    late, _, _ = embryo(seed=1, count=1, cycle=6, frames=8)
    late = late[late["t"] > 2].assign(x_um=late["x_um"] + 300.0, label=late["label"] + 100)
    nodes = link_objects(pd.concat([late, early], ignore_index=True), NO_OVERLAPS).nodes
    generations = nodes.groupby("lineage")["generation"].agg(lambda g: sorted(set(g)))
    first = nodes.groupby("lineage")["t"].min()
    assert generations[first[first == 0].index].tolist() == [[0, 1]]
    assert generations[first[first > 0].index].tolist() == [[-1]] * int((first > 0).sum())
    assert (first > 0).any()


def test_confidence_falls_with_a_rival() -> None:
    alone = pd.DataFrame(
        {"t": [0, 1], "label": 1, "z_um": 0.0, "y_um": 0.0, "x_um": [0.0, 1.0], "volume_um3": 500.0}
    ).assign(intensity_mean=1.0)
    rival = alone.iloc[[1]].assign(label=2, x_um=-1.5)
    still = LinkSettings(register=False, max_distance_um=10.0, divisions=False)
    one = link_objects(alone, NO_OVERLAPS, settings=still).edges["confidence"].item()
    two = link_objects(pd.concat([alone, rival]), NO_OVERLAPS, settings=still).edges["confidence"].item()
    assert one > 0.95
    assert 0.5 < two < 0.6


def cross(turned_rad: float, *, nuclei: int = 4, missing: int = 0) -> pd.DataFrame:
    """A mother of five frames, then four daughters around her, the second pair turned out of the right angle."""
    angles = np.array([0, np.pi, np.pi / 2, 3 * np.pi / 2]) + np.array([0, 0, turned_rad, 0])
    rows = [(t, 1, 0.0, 0.0, 1000.0 if t < 4 else 700.0, 100.0 if t < 4 else 140.0) for t in range(5)]
    for t in range(5 + missing, 10):
        new = t == 5 + missing
        far, volume, light = 9.5 + (t - 5 - missing), 350.0 if new else 500.0, 140.0 if new else 100.0
        rows += [(t, k + 2, far * np.sin(a), far * np.cos(a), volume, light) for k, a in enumerate(angles[:nuclei])]
    columns = ["t", "label", "y_um", "x_um", "volume_um3", "intensity_mean"]
    return pd.DataFrame(rows, columns=columns).assign(z_um=0.0)


@pytest.mark.parametrize("missing", [0, 1])
def test_a_division_is_as_sure_as_its_rivals_let_it_be(missing: int) -> None:
    still = LinkSettings(register=False)

    def sure(objects: pd.DataFrame) -> float:
        edges = link_objects(objects, NO_OVERLAPS, settings=still).edges
        return float(edges.loc[edges["kind"] == "division", "confidence"].unique().item())

    alone = sure(cross(0.0, nuclei=2, missing=missing))
    assert alone > 0.8
    assert sure(cross(0.0, missing=missing)) == pytest.approx(0.5), "two pairs of four tie"
    assert 0.5 < sure(cross(0.3, missing=missing)) < sure(cross(1.0, missing=missing)) <= alone


@pytest.mark.parametrize("frames", [[], [0], [3, 3, 3], [0, 4, 9]], ids=["none", "one", "one frame", "far apart"])
def test_little_or_nothing(frames: list[int]) -> None:
    objects = pd.DataFrame(
        {
            "t": frames,
            "label": np.arange(len(frames)) + 1,
            "z_um": 20.0 * np.arange(len(frames)),
            "y_um": 0.0,
            "x_um": 0.0,
            "volume_um3": 100.0,
            "intensity_mean": 1.0,
        }
    )
    lineage = link_objects(objects, NO_OVERLAPS)
    assert list(lineage.nodes["track"]) == list(range(1, len(frames) + 1))
    assert len(lineage.edges) == 0
    assert list(lineage.edges.columns) == ["t_a", "label_a", "t_b", "label_b", "kind", "confidence"]


def test_empty_frames_are_bridged() -> None:
    objects, _, _ = embryo(seed=7, cycle=None, frames=9, drift=(20, 0, 0))
    lineage = link_objects(objects[~objects["t"].isin([4, 5])], NO_OVERLAPS)
    assert lineage.tracks == 8
    assert len(edges_of(lineage, "gap")) == 8


def test_registration_finds_a_turn_of_many_nuclei() -> None:
    generator = np.random.default_rng(3)
    a = np.array(spread_points(generator, 150, 60, 10))
    volume = 500 * np.exp(0.2 * generator.normal(size=len(a)))
    truth = turn(generator, (100, 140))
    b = a @ truth.T + [40, 0, -30] + generator.normal(0, 0.5, a.shape)
    clouds = cloud_of(a, volume, 15.0), cloud_of(b[::-1], volume[::-1], 15.0)
    found = register(*clouds, cap=15.0, planar=False, rotations=4000)
    np.testing.assert_allclose(found.rigid.rotation, truth, atol=0.02)


@pytest.mark.parametrize("wander", [0.5, 2.0, 3.0], ids=["a tenth", "0.4", "0.6"])
def test_nuclei_that_wander_are_registered_without_trying_every_turn(
    wander: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(3)
    a = np.array(spread_points(generator, 150, 60, 10))
    volume = 500 * np.exp(0.2 * generator.normal(size=len(a)))
    truth = turn(generator, (3, 5))
    b = a @ truth.T + generator.normal(0, wander / np.sqrt(3), a.shape)
    monkeypatch.setattr("tlseg.link.register._search", None)
    clouds = cloud_of(a, volume, 15.0), cloud_of(b, volume, 15.0)
    found = register(*clouds, cap=15.0, planar=False, rotations=4000)
    np.testing.assert_allclose(found.rigid.rotation, truth, atol=0.02)


@pytest.mark.parametrize(("apart_um", "divides"), [(3.9, False), (8.0, True)], ids=["two halves", "two nuclei"])
def test_halves_of_a_nucleus_are_no_daughters(apart_um: float, divides: bool) -> None:
    # A ball of 5 um is 524 um3, and its halves lie 3.75 um apart.
    rows = [(t, 1, 0.0, 0.0, 0.0, 524.0) for t in range(5)]
    rows += [(t, k, 0.0, 0.0, (k - 1.5) * apart_um, 262.0) for t in range(5, 9) for k in (1, 2)]
    rows += [(t, 9, 40.0, 40.0, 10.0, 524.0) for t in range(9)]
    columns = ["t", "label", "z_um", "y_um", "x_um", "volume_um3"]
    lineage = link_objects(pd.DataFrame(rows, columns=columns).assign(intensity_mean=100.0), NO_OVERLAPS)
    assert bool(edges_of(lineage, "division")) == divides


@pytest.mark.parametrize("interval_s", [0.0, -60.0, np.nan, np.inf])
def test_an_interval_is_a_time(interval_s: float) -> None:
    with pytest.raises(LabelError, match="interval_s is"):
        LinkSettings().with_interval(interval_s)


@pytest.mark.parametrize(("seconds", "frames"), [(1800.0, 3), (1801.0, 4), (1.0, 1)])
def test_a_cycle_given_as_a_time_becomes_whole_frames(seconds: float, frames: int) -> None:
    settings = LinkSettings(min_cycle_s=seconds)
    assert settings.with_interval(600.0) == LinkSettings(min_cycle_frames=frames)
    assert LinkSettings().with_interval(None) == LinkSettings()
    with pytest.raises(LabelError, match="--interval"):
        settings.with_interval(None)
    with pytest.raises(LabelError, match="seconds lie between"):
        link_objects(embryo(frames=2)[0], NO_OVERLAPS, settings=settings)


def test_rotations_are_proper_distinct_and_even() -> None:
    grid = rotation_grid(2000)
    np.testing.assert_allclose(grid @ np.swapaxes(grid, 1, 2), np.broadcast_to(np.eye(3), grid.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(grid), 1)
    generator = np.random.default_rng(0)
    for _ in range(50):
        any_turn = turn(generator, (0, 180))
        nearest = np.arccos(np.clip((np.einsum("kij,ij->k", grid, any_turn).max() - 1) / 2, -1, 1))
        assert np.rad2deg(nearest) < 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda o: o.drop(columns="volume_um3"), "lacks volume_um3"),
        (lambda o: o.assign(x_um=np.nan), "not finite"),
        (lambda o: o.assign(x_um="far"), "not numbers"),
        (lambda o: o.assign(t=o["t"] * 0.5), "not a whole number"),
        (lambda o: o.assign(label=o["label"] + 0.5), "not a whole number"),
        (lambda o: o.assign(volume_um3=0.0), "not positive"),
        (lambda o: o.assign(label=1), "more than once in frame 0"),
        (lambda o: o.assign(t=o["t"] * 10**12), "Expected t to be a frame number"),
    ],
)
def test_bad_objects_are_named(change: object, message: str) -> None:
    objects, _, _ = embryo(frames=2, cycle=None)
    with pytest.raises(LabelError, match=message):
        link_objects(change(objects), NO_OVERLAPS)  # type: ignore[operator]


def test_overlaps_of_unknown_objects_are_named() -> None:
    objects, _, _ = embryo(frames=2, cycle=None)
    overlaps = pd.DataFrame({"t": [0], "label_a": [1], "label_b": [99], "voxels": [5]})
    with pytest.raises(LabelError, match="volume_voxels"):
        link_objects(objects, overlaps)
    with pytest.raises(LabelError, match="label 99 of the next"):
        link_objects(objects.assign(volume_voxels=100), overlaps)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_distance_um": 0.0},
        {"max_distance_um": np.nan},
        {"neighbours": 0},
        {"max_gap": -1},
        {"max_gap": 1.5},
        {"division_gap": 0.5},
        {"neighbours": 2.5},
        {"rotations": 10.5},
        {"min_cycle_frames": 2.5},
        {"divisions": "no"},
        {"volume_weight": None},
        {"min_cycle_s": 0.0},
        {"division_probability": np.nan},
        {"overlap_weight": np.inf},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(LabelError, match=next(iter(wrong))):
        LinkSettings(**wrong)  # type: ignore[arg-type]


def test_radii_are_worked_out_once() -> None:
    # Repair asks for the radius of one nucleus at a time: to work out those of the movie for it costs their square.
    table = pd.DataFrame({"t": 0, "label": [1, 2], "z_um": 0.0, "y_um": 0.0, "x_um": [0.0, 9.0]})
    objects, _ = read_objects(table.assign(volume_um3=[100.0, 800.0], intensity_mean=1.0))
    assert objects.radius_um is objects.radius_um
    assert objects.radius_um[1] == pytest.approx(2 * objects.radius_um[0])


@pytest.mark.parametrize("missed", [None, 2, 3])
def test_tracks_and_divisions_go_on_through_a_collapse(missed: int | None) -> None:
    """40 nuclei, two of which divide in the very frame in which the embryo shrinks by a third."""
    generator = np.random.default_rng(2)
    points = np.array(spread_points(generator, 40, 40, 11))
    rows = []
    for t in range(6):
        collapsed = t >= 3
        at = (0.67 if collapsed else 1.0) * points + generator.normal(0, 0.4, points.shape)
        volume = np.full(len(at), 520.0)
        if collapsed:
            apart = np.array([4.4, 0, 0])
            at = np.concatenate([at[:2] + apart, at[2:], at[:2] - apart])
            volume = np.concatenate([np.full(2, 260.0), volume[2:], np.full(2, 260.0)])
        label = np.arange(1, len(at) + 1)
        kept = label != 30 if t == missed else label > 0
        part = {"t": t, "label": label, "volume_um3": volume, "intensity_mean": 100.0, "volume_voxels": volume}
        part |= dict(zip(("z_um", "y_um", "x_um"), at.T, strict=True))
        rows.append(pd.DataFrame(part)[kept])
    lineage = link_objects(pd.concat(rows, ignore_index=True), NO_OVERLAPS)
    edges = {(e.label_a, e.label_b, e.kind) for e in lineage.edges.itertuples() if e.t_a <= 2 < e.t_b}
    assert edges == {
        *((n, n, "gap" if missed and n == 30 else "link") for n in range(3, 41)),
        *((n, n, "division") for n in (1, 2)),
        *((n, n + 40, "division") for n in (1, 2)),
    }
