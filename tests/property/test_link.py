"""Laws of linking that hold for any nuclei at all, sensible or not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from tlseg.link import Lineage, LinkSettings, link_objects, relabelled, with_tracks
from tlseg.link.assign import ALONE, assign, confidence
from tlseg.link.chains import Chains
from tlseg.link.motions import Rigid, kabsch, planar_grid, rotation_grid

NO_OVERLAPS = pd.DataFrame({"t": [], "label_a": [], "label_b": [], "voxels": []}, dtype=np.int64)
QUICK = LinkSettings(rotations=50, min_cycle_frames=2)


@st.composite
def movies(draw: st.DrawFn) -> pd.DataFrame:
    """Nuclei of a few frames, some empty; positions on a coarse lattice, so ties and coincidences happen."""
    counts = draw(st.lists(st.integers(0, 7), min_size=1, max_size=7))
    seed = draw(st.integers(0, 2**31))
    step = draw(st.sampled_from([0.0, 1.0, 4.0]))
    generator = np.random.default_rng(seed)
    frames = []
    for t, count in enumerate(counts):
        free = generator.uniform(0, 25, (count, 3))
        position = np.round(free / step) * step if step else free
        frames.append(
            pd.DataFrame(
                {
                    "t": t + 5,
                    "label": generator.permutation(np.arange(1, count + 1)),
                    "z_um": position[:, 0],
                    "y_um": position[:, 1],
                    "x_um": position[:, 2],
                    "volume_um3": generator.choice([60.0, 120.0, 240.0], count),
                    "intensity_mean": generator.choice([0.0, 100.0, 150.0], count),
                    "volume_voxels": 100,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def overlaps_of(objects: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Shared voxels between random pairs of consecutive frames."""
    pairs = objects.merge(objects.assign(t=objects["t"] - 1), on="t", suffixes=("_a", "_b"))
    generator = np.random.default_rng(seed)
    chosen = pairs[generator.random(len(pairs)) < 0.2]
    return pd.DataFrame(
        {"t": chosen["t"], "label_a": chosen["label_a"], "label_b": chosen["label_b"], "voxels": 40}
    ).astype(np.int64)


def partition(lineage: Lineage, key: pd.DataFrame) -> set[frozenset[int]]:
    """Tracks as sets of the objects' own numbers `which`, whatever the tracks are called."""
    nodes = lineage.nodes.merge(key, on=["t", "label"])
    return {frozenset(group) for _, group in nodes.groupby("track")["which"]}


@given(movies(), st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_every_object_has_one_track_and_a_track_one_object_per_frame(objects: pd.DataFrame, seed: int) -> None:
    lineage = link_objects(objects, overlaps_of(objects, seed), settings=QUICK)
    nodes = lineage.nodes
    assert sorted(zip(nodes["t"], nodes["label"], strict=True)) == sorted(
        zip(objects["t"], objects["label"], strict=True)
    )
    assert not nodes.duplicated(["t", "track"]).any()
    assert sorted(nodes["track"].unique()) == list(range(1, lineage.tracks + 1))


@given(movies(), st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_edges_say_the_same_as_tracks_and_parents(objects: pd.DataFrame, seed: int) -> None:
    lineage = link_objects(objects, overlaps_of(objects, seed), settings=QUICK)
    nodes, edges = lineage.nodes.set_index(["t", "label"]), lineage.edges
    first, last = lineage.nodes.groupby("track")["t"].min(), lineage.nodes.groupby("track")["t"].max()
    assert edges["confidence"].between(0, 1, inclusive="right").all()
    for edge in edges.itertuples():
        before, after = nodes.loc[(edge.t_a, edge.label_a)], nodes.loc[(edge.t_b, edge.label_b)]
        passed = edge.t_b - edge.t_a
        longest = {"link": 1, "gap": QUICK.max_gap + 1, "division": QUICK.division_gap + 1}
        assert (2 if edge.kind == "gap" else 1) <= passed <= longest[edge.kind]
        assert (before["track"] == after["track"]) == (edge.kind != "division")
        if edge.kind == "division":
            assert after["parent"] == before["track"]
            assert after["lineage"] == before["lineage"]
            unknown = before["generation"] < 0
            assert after["generation"] == (-1 if unknown else before["generation"] + 1)
            assert last[before["track"]] == edge.t_a < first[after["track"]]
    daughters = edges[edges["kind"] == "division"].groupby(["t_a", "label_a"]).size()
    assert (daughters == 2).all()
    assert len(edges) == len(nodes) - (lineage.nodes.groupby("track")["parent"].first() == 0).sum()
    founders = lineage.nodes[lineage.nodes["parent"] == 0]
    assert (founders["lineage"] == founders["track"]).all()
    begins = founders.groupby("track")["t"].transform("min")
    expected = np.where(begins == objects["t"].min(), 0, -1)
    assert (founders["generation"] == expected).all()


@given(movies(), st.integers(0, 100))
@settings(max_examples=40, deadline=None)
def test_order_of_rows_changes_nothing(objects: pd.DataFrame, seed: int) -> None:
    overlaps = overlaps_of(objects, seed)
    shuffled = objects.sample(frac=1, random_state=seed)
    one = link_objects(objects, overlaps, settings=QUICK)
    two = link_objects(shuffled, overlaps.sample(frac=1, random_state=seed + 1), settings=QUICK)
    pd.testing.assert_frame_equal(one.nodes, two.nodes)
    pd.testing.assert_frame_equal(one.edges, two.edges)


@given(movies(), st.integers(0, 100))
@settings(max_examples=40, deadline=None)
def test_relabelling_within_frames_renames_tracks_and_no_more(objects: pd.DataFrame, seed: int) -> None:
    objects = objects.drop_duplicates(["t", "z_um", "y_um", "x_um"]).reset_index(drop=True)
    objects["which"] = np.arange(len(objects))
    new = objects.groupby("t")["label"].transform(lambda s: np.random.default_rng(seed).permutation(len(s)) + 1)
    renamed = objects.assign(label=new)
    names = objects[["t", "label"]].assign(new=new)
    overlaps = overlaps_of(objects, seed)
    moved = overlaps.merge(names.rename(columns={"label": "label_a", "new": "new_a"}), on=["t", "label_a"])
    after = names.assign(t=names["t"] - 1).rename(columns={"label": "label_b", "new": "new_b"})
    moved = moved.merge(after, on=["t", "label_b"])
    moved = moved[["t", "new_a", "new_b", "voxels"]].rename(columns={"new_a": "label_a", "new_b": "label_b"})
    one = link_objects(objects, overlaps, settings=QUICK)
    two = link_objects(renamed, moved, settings=QUICK)
    assert partition(one, objects[["t", "label", "which"]]) == partition(two, renamed[["t", "label", "which"]])


@given(movies())
@settings(max_examples=30, deadline=None)
def test_tracks_are_numbered_by_first_frame_and_label(objects: pd.DataFrame) -> None:
    nodes = link_objects(objects, NO_OVERLAPS, settings=QUICK).nodes
    firsts = nodes.sort_values(["t", "label"]).groupby("track", sort=True)[["t", "label"]].first()
    assert firsts.equals(firsts.sort_values(["t", "label"]))


@given(movies())
@settings(max_examples=30, deadline=None)
def test_final_labels_are_tracks(objects: pd.DataFrame) -> None:
    lineage = link_objects(objects, NO_OVERLAPS, settings=QUICK)
    final = relabelled(lineage)
    assert (final.nodes["label"] == final.nodes["track"]).all()
    links = final.edges[final.edges["kind"] != "division"]
    assert (links["label_a"] == links["label_b"]).all()
    assert len(final.edges) == len(lineage.edges)
    table = with_tracks(objects.assign(extra=1.5), lineage)
    assert list(table.columns) == [*objects.columns, "extra", "track", "lineage", "parent", "generation"]
    merged = table.merge(lineage.nodes, on=["t", "label"], suffixes=("", "_truth"))
    assert (merged["track"] == merged["track_truth"]).all()


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**31))
@settings(max_examples=80, deadline=None)
def test_assignment_is_the_cheapest_of_all(rows: int, columns: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    row, column = (part.ravel().astype(np.int64) for part in np.indices((rows, columns)))
    keep = generator.random(rows * columns) < 0.6
    row, column = row[keep], column[keep]
    cost = generator.uniform(-0.5, 1.5, len(row))
    chosen = assign(row, column, cost)
    assert len(set(row[chosen])) == len(set(column[chosen])) == len(chosen)
    assert float((cost[chosen] - ALONE).sum()) == pytest.approx(_cheapest(row, column, cost))
    sure = confidence(row, column, cost, chosen)
    assert ((sure > 0) & (sure <= 1)).all()


@pytest.mark.parametrize("seed", range(3))
def test_problems_side_by_side_are_solved_as_each_alone(seed: int) -> None:
    generator = np.random.default_rng(seed)
    parts, pairs = [], 0
    for number in range(150):
        row, column = (part.ravel() for part in np.indices(generator.integers(1, 7, 2)))
        keep = generator.random(len(row)) < 0.6
        cost = generator.uniform(-0.5, 1.2, int(keep.sum()))
        parts.append((row[keep] + 10 * number, column[keep] + 10 * number, cost, pairs))
        pairs += len(cost)
    row, column, cost = (np.concatenate([part[i] for part in parts]) for i in range(3))
    alone = [assign(*part[:3]) + part[3] for part in parts]
    order = generator.permutation(pairs)
    together = order[assign(row[order], column[order], cost[order])]
    np.testing.assert_array_equal(np.sort(together), np.concatenate(alone))


@pytest.mark.parametrize("crowd", [0.5, 1.0, 3.0], ids=["hardly contested", "contested", "one problem"])
def test_crowded_nuclei_are_assigned_as_a_dense_solver_does(crowd: float) -> None:
    generator = np.random.default_rng(1)
    a, b = generator.uniform(0, 12, (2, 300, 2))
    squared = ((a[:, None] - b[None]) ** 2).sum(axis=2) / crowd**2
    row, column = np.nonzero(squared < 1.5 * ALONE)
    chosen = assign(row, column, squared[row, column])
    dense = linear_sum_assignment(np.minimum(squared, ALONE))
    taken = squared[dense] < ALONE
    np.testing.assert_array_equal(np.stack([row[chosen], column[chosen]]), np.stack(dense)[:, taken])


def _cheapest(row: np.ndarray, column: np.ndarray, cost: np.ndarray) -> float:
    """Least sum of cost - ALONE over all ways to pair, by trying them."""

    def best(at: int, used: frozenset[int]) -> float:
        if at > row.max(initial=-1):
            return 0.0
        options = [best(at + 1, used)]
        for edge in np.flatnonzero(row == at):
            if column[edge] not in used:
                options.append(cost[edge] - ALONE + best(at + 1, used | {int(column[edge])}))
        return float(min(options))

    return best(0, frozenset())


@given(st.integers(1, 60), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_rows_of_one_chain_and_no_others_share_its_head(length: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    chain = np.sort(generator.integers(0, 4, length))
    rows = generator.permutation(length)
    joined = np.flatnonzero(np.diff(chain) == 0)
    heads = Chains.of(length, rows[joined], rows[joined + 1]).heads()
    first = np.searchsorted(chain, chain)
    np.testing.assert_array_equal(heads[rows], rows[first])


@given(st.integers(0, 2**31), st.booleans())
@settings(max_examples=50, deadline=None)
def test_kabsch_recovers_any_rigid_motion(seed: int, planar: bool) -> None:
    generator = np.random.default_rng(seed)
    points = generator.normal(0, 10, (6, 3)) * ([0, 1, 1] if planar else [1, 1, 1])
    grid = planar_grid(360) if planar else rotation_grid(500)
    truth = Rigid(grid[generator.integers(len(grid))], generator.normal(0, 5, 3) * ([0, 1, 1] if planar else [1, 1, 1]))
    found = kabsch(points, truth.apply(points), planar=planar)
    np.testing.assert_allclose(found.rotation, truth.rotation, atol=1e-8)
    np.testing.assert_allclose(found.shift, truth.shift, atol=1e-7)
    np.testing.assert_allclose(truth.inverse().apply(truth.apply(points)), points, atol=1e-9)
    np.testing.assert_allclose(truth.after(found).apply(points), truth.apply(truth.apply(points)), atol=1e-6)
