"""Tracking scores against two independent programs, and named cases whose answer is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from numpy.typing import NDArray

from tlseg.errors import EvaluationError
from tlseg.evaluate.api import evaluate
from tlseg.evaluate.divisions import score_divisions
from tlseg.evaluate.lineage import TrackGraph, graph_of_labels, graph_of_links, graph_of_tracks
from tlseg.evaluate.lineage_scores import cell_cycle_accuracy
from tlseg.evaluate.tracking import complete_tracks, score_tracks, track_fractions

Array = NDArray[Any]
Tracks = dict[int, int]
"""Parent of each track that has one."""

N_FRAMES, TILE = 8, 8


def truth_movie(rng: np.random.Generator) -> tuple[Array, Tracks]:
    """Squares on tiles, some dividing into a left and a right half; labels are tracks."""
    movie = np.zeros((N_FRAMES, 1, 4 * TILE, 4 * TILE), dtype=np.uint16)
    parents: Tracks = {}
    label = 0
    for tile in range(12):
        y, x = 1 + TILE * (tile // 4), 1 + TILE * (tile % 4)
        label += 1
        division = int(rng.integers(2, N_FRAMES + 3))
        movie[:division, 0, y : y + 6, x : x + 6] = label
        if division < N_FRAMES:
            parents |= {label + 1: label, label + 2: label}
            movie[division:, 0, y : y + 6, x : x + 3] = label + 1
            movie[division:, 0, y : y + 6, x + 3 : x + 6] = label + 2
            label += 2
    return movie, parents


def corrupted(movie: Array, parents: Tracks, rng: np.random.Generator) -> tuple[Array, Tracks]:
    """A result with objects lost, merged, invented and shifted, and tracks swapped and broken."""
    result = movie.astype(np.int64)
    for t in range(1, N_FRAMES):
        a, b, c = rng.choice(np.unique(result[t])[1:], 3, replace=False)
        match rng.integers(0, 5):
            case 0:
                result[t][result[t] == a] = 0
            case 1:
                result[t][np.isin(result[t], [a, b, c])] = a
            case 2:
                after = result[t:].copy()
                result[t:][after == a], result[t:][after == b] = b, a
            case 3:
                result[t, 0, -2:, :3] = 500
            case _:
                result[t] = np.roll(result[t], 3, -1)
    return _one_label_for_each_run(result, parents)


def _one_label_for_each_run(movie: Array, parents: Tracks) -> tuple[Array, Tracks]:
    """Cell Tracking Challenge tracks have no gaps: what follows a gap is a new track."""
    result, number, ends = np.zeros_like(movie, dtype=np.uint16), 0, {}
    first: dict[int, int] = {}
    for label in np.unique(movie[movie > 0]):
        seen = [t for t in range(len(movie)) if (movie[t] == label).any()]
        for k, t in enumerate(seen):
            if k == 0 or t > seen[k - 1] + 1:
                number += 1
                first.setdefault(int(label), number)
            result[t][movie[t] == label] = number
            ends[int(label)] = (number, t)
    kept: Tracks = {}
    for mother in set(parents.values()):
        daughters = [d for d, m in parents.items() if m == mother and d in first]
        starts = [min(t for t in range(len(movie)) if (movie[t] == d).any()) for d in daughters]
        if daughters and mother in ends and ends[mother][1] < min(starts):
            kept |= {first[d]: ends[mother][0] for d in daughters}
    return result, kept


def track_rows(movie: Array, parents: Tracks) -> Array:
    rows = []
    for label in np.unique(movie[movie > 0]):
        seen = [t for t in range(len(movie)) if (movie[t] == label).any()]
        rows.append([label, seen[0], seen[-1], parents.get(int(label), 0)])
    return np.array(rows, dtype=np.int64)


def write_ctc(folder: Path, movie: Array, parents: Tracks, kind: str) -> Path:
    folder.mkdir()
    prefix, track_file = {"truth": ("man_track", "man_track.txt"), "result": ("mask", "res_track.txt")}[kind]
    for t, frame in enumerate(movie):
        tifffile.imwrite(folder / f"{prefix}{t:03d}.tif", frame[0])
    np.savetxt(folder / track_file, track_rows(movie, parents), fmt="%d")
    return folder


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(12))
def test_agrees_with_py_ctcmetrics(seed: int, tmp_path: Path) -> None:
    from ctc_metrics.metrics import ct, det, lnk, seg, tra
    from ctc_metrics.utils.representations import count_acyclic_graph_correction_operations, match

    rng = np.random.default_rng(seed)
    truth, parents = truth_movie(rng)
    result, kept = corrupted(truth, parents, rng)
    theirs = write_ctc(tmp_path / "truth", truth, parents, "truth")
    ours = write_ctc(tmp_path / "result", result, kept, "result")
    names = [(str(theirs / f"man_track{t:03d}.tif"), str(ours / f"mask{t:03d}.tif")) for t in range(N_FRAMES)]
    labels_ref, labels_comp, mapped_ref, mapped_comp, ious = zip(*(match(*pair) for pair in names), strict=True)
    ref, comp = track_rows(truth, parents), track_rows(result, kept)
    graph = count_acyclic_graph_correction_operations(ref, comp, labels_ref, labels_comp, mapped_ref, mapped_comp)

    found = evaluate(ours, theirs).to_dict()
    tracking = found["tracking"]
    assert tracking["errors"] == {key.lower(): int(graph[key]) for key in ("NS", "FN", "FP", "ED", "EA", "EC")}
    assert tracking["det"] == pytest.approx(det(**graph))
    assert tracking["tra"] == pytest.approx(tra(**graph)[0])
    assert tracking["lnk"] == pytest.approx(lnk(**graph))
    assert tracking["ct"] == pytest.approx(ct(comp, ref, labels_ref, mapped_ref, mapped_comp))
    assert found["pooled"]["seg"] == pytest.approx(seg(labels_ref, ious))


def forest(rng: np.random.Generator) -> tuple[list[int], set[tuple[int, int]]]:
    """Frame of each node of some lineages, ascending, and the edges between them."""
    frame, edges = [0] * 6, set()
    living = list(range(6))
    for t in range(1, N_FRAMES):
        born = []
        for node in living:
            for _ in range(rng.choice([0, 1, 2], p=[0.05, 0.7, 0.25])):
                edges.add((node, len(frame)))
                born.append(len(frame))
                frame.append(t)
        living = born
    return frame, edges


def graph(frame: list[int], edges: set[tuple[int, int]]) -> TrackGraph:
    times, labels = np.array(frame), np.arange(1, len(frame) + 1, dtype=np.uint64)
    source, target = np.array(sorted(edges), dtype=np.int64).reshape(-1, 2).T
    links = {"frame": times[source], "label": labels[source], "next_frame": times[target], "next_label": labels[target]}
    return graph_of_links(times, labels, pd.DataFrame(links))


def random_graphs(seed: int) -> tuple[TrackGraph, TrackGraph, tuple[Array, Array]]:
    """A truth, a result whose divisions come early, late or not at all, and a one-to-one matching of their nodes."""
    rng = np.random.default_rng(seed)
    frame, truth = forest(rng)
    edges = set(truth)
    gone: set[int] = set()
    made_up: list[int] = []
    parent = {b: a for a, b in truth}
    for mother in range(len(frame)):
        daughters = [b for a, b in sorted(truth) if a == mother]
        if len(daughters) != 2:
            continue
        match rng.integers(0, 4):
            case 0:  # one frame late: the second daughter is not there yet
                lost = daughters[1]
                gone.add(lost)
                edges |= {(daughters[0], b) for a, b in truth if a == lost}
            case 1 if mother in parent:  # one frame early: an object of its own already leads to the second daughter
                edges -= {(mother, daughters[1])}
                edges |= {(parent[mother], len(frame) + len(made_up)), (len(frame) + len(made_up), daughters[1])}
                made_up.append(frame[mother])
            case 2:
                edges -= {(mother, daughters[0])}
    everything = [*frame, *made_up]
    edges = {(a, b) for a, b in edges if not {a, b} & gone and rng.random() > 0.03}
    # Two divisions next to each other can leave a node with two mothers, which the other program refuses.
    for b in range(len(everything)):
        for a in sorted(a for a, c in edges if c == b)[1:]:
            edges.discard((a, b))
    kept = np.array([n for n in range(len(everything)) if n not in gone])
    order = kept[np.argsort(np.array(everything)[kept], kind="stable")]
    row = {int(n): k for k, n in enumerate(order)}
    result = graph([everything[n] for n in order], {(row[a], row[b]) for a, b in edges})
    matched = np.array([n for n in range(len(frame)) if n in row and rng.random() > 0.03])
    return graph(frame, truth), result, (matched, np.array([row[n] for n in matched]))


def matched_of(truth: TrackGraph, result: TrackGraph, pairs: list[tuple[int, int]], kind: str) -> Any:
    import networkx as nx
    from traccuracy import TrackingGraph
    from traccuracy.matchers import Matched

    graphs = []
    for side in (truth, result):
        g = nx.DiGraph()
        g.add_nodes_from((n, {"t": int(t)}) for n, t in enumerate(side.frame))
        g.add_edges_from(map(tuple, side.edges.tolist()))
        graphs.append(TrackingGraph(g, label_key=None))
    return Matched(*graphs, pairs, {"name": "ours", "matching type": kind})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(30))
def test_divisions_agree_with_traccuracy(seed: int) -> None:
    from traccuracy.metrics import DivisionMetrics

    truth, result, pairs = random_graphs(seed)
    matched = matched_of(truth, result, list(zip(*(p.tolist() for p in pairs), strict=True)), "one-to-one")
    expected = DivisionMetrics(max_frame_buffer=2).compute(matched).results
    for found in score_divisions(truth, result, pairs, tolerance_frames=2):
        theirs = expected[f"Frame Buffer {found.tolerance_frames}"]
        assert (found.n_truth, found.n_result) == (theirs["Total GT Divisions"], theirs["Total Predicted Divisions"])
        assert found.correct == theirs["True Positive Divisions"]
        for name, value in (("Precision", found.precision), ("Recall", found.recall)):
            assert np.isnan(theirs[f"Division {name}"]) if value is None else value == theirs[f"Division {name}"]


def test_random_graphs_hold_early_and_late_divisions() -> None:
    gained = [[s.correct for s in score_divisions(*random_graphs(seed), tolerance_frames=1)] for seed in range(30)]
    assert sum(b > a for a, b in gained) > 10


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(10))
def test_graph_errors_agree_with_traccuracy(seed: int) -> None:
    from traccuracy.metrics import CTCMetrics

    truth, result, (mine, other) = random_graphs(seed)
    holder = np.full(len(truth), -1)
    holder[mine] = other
    for node in np.random.default_rng(seed).choice(len(truth) - 1, 4, replace=False):
        if truth.frame[node] == truth.frame[node + 1] and np.sum(holder == holder[node]) == 1:
            holder[node + 1] = holder[node]  # a result object over two true ones
    pairs = [(int(n), int(h)) for n, h in enumerate(holder) if h >= 0]
    expected = CTCMetrics().compute(matched_of(truth, result, pairs, "many-to-one")).results
    found = score_tracks(truth, result, holder)
    if np.bincount(holder[holder >= 0]).max() <= 2:  # above two, traccuracy 0.4 counts one split too few
        assert found.errors.ns == expected["ns_nodes"]
        assert (found.det, found.tra) == pytest.approx((expected["DET"], expected["TRA"]))
    assert (found.errors.fn, found.errors.fp) == (expected["fn_nodes"], expected["fp_nodes"])
    assert (found.errors.ea, found.errors.ed) == (expected["fn_edges"], expected["fp_edges"])
    assert found.errors.ec == expected["ws_edges"]
    assert found.lnk == pytest.approx(expected["LNK"])


def chain(frames: range, label: int, parent: int = 0) -> pd.DataFrame:
    return pd.DataFrame({"frame": list(frames), "label": label, "parent": parent})


def graph_of_chains(*chains: pd.DataFrame) -> TrackGraph:
    table = pd.concat(chains)
    tracks = table.groupby("label")["parent"].first().reset_index().rename(columns={"label": "track"})
    return graph_of_tracks(table["frame"].to_numpy(), table["label"].to_numpy(np.uint64), tracks)


def same_place(truth: TrackGraph, result: TrackGraph, partner: dict[tuple[int, int], tuple[int, int]]) -> Array:
    rows = {(int(f), int(k)): n for n, (f, k) in enumerate(zip(result.frame, result.label, strict=True))}
    keys = [(int(f), int(k)) for f, k in zip(truth.frame, truth.label, strict=True)]
    return np.array([rows.get(partner.get(key, key), -1) for key in keys])


def test_a_track_runs_from_division_to_division_across_gaps() -> None:
    g = graph_of_chains(chain(range(2), 1), chain(range(2, 4), 2, 1), chain(range(2, 3), 3, 1), chain(range(5, 6), 2))
    track = dict(zip(zip(g.frame.tolist(), g.label.tolist(), strict=True), g.track.tolist(), strict=True))
    assert track[0, 1] == track[1, 1]
    assert track[2, 2] == track[3, 2] == track[5, 2]
    assert len({track[0, 1], track[2, 2], track[2, 3]}) == 3


def test_a_broken_track_keeps_its_longest_share() -> None:
    truth = graph_of_chains(chain(range(10), 1), chain(range(10), 2))
    result = graph_of_chains(chain(range(6), 1), chain(range(6, 10), 5), chain(range(10), 2))
    partner = same_place(truth, result, {(t, 1): (t, 5) for t in range(6, 10)})
    assert track_fractions(truth, result, partner) == pytest.approx((0.6 + 1) / 2)
    assert complete_tracks(truth, result, partner) == pytest.approx(2 * 1 / (2 + 3))


@pytest.mark.parametrize(
    ("change", "accuracy"),
    [({"founder": 2}, 1), ({"sister": 6}, 1), ({"mother": 9}, 0)],
    ids=["began with the movie", "does not divide", "divides"],
)
def test_a_cycle_is_from_one_division_to_another(change: dict[str, int], accuracy: float) -> None:
    def family(*, founder: int = 0, mother: int = 10, sister: int = 10) -> TrackGraph:
        """Frames: the founder's first, the last of her daughters, of whom only the mother divides."""
        daughters = [chain(range(4, mother), 2, 1), chain(range(4, sister), 3, 1)]
        return graph_of_chains(
            chain(range(founder, 4), 1), *daughters, *(chain(range(mother, 12), label, 2) for label in (4, 5))
        )

    assert cell_cycle_accuracy(family(), family(**change)) == accuracy


def test_swapped_tracks_cost_their_links() -> None:
    truth = graph_of_chains(chain(range(4), 1), chain(range(4), 2))
    swap = {(t, a): (t, 3 - a) for t in (2, 3) for a in (1, 2)}
    found = score_tracks(truth, truth, same_place(truth, truth, swap))
    assert (found.det, found.errors.ed, found.errors.ea) == (1, 2, 2)
    assert found.lnk == pytest.approx(1 - (2 + 3) / (6 * 1.5))
    assert (found.ct, found.tf) == (0, 0.5)


def test_three_objects_in_one_need_two_splits() -> None:
    truth = graph_of_labels(np.zeros(3, dtype=np.int64), np.array([1, 2, 3], dtype=np.uint64))
    result = graph_of_labels(np.zeros(1, dtype=np.int64), np.array([1], dtype=np.uint64))
    found = score_tracks(truth, result, np.zeros(3, dtype=np.int64))
    assert (found.errors.ns, found.errors.fn, found.errors.fp) == (2, 0, 0)
    assert found.det == pytest.approx(1 - 10 / 30)
    assert (found.lnk, found.ct, found.tf) == (None, 0, 0)


def test_a_division_without_its_mother_is_a_wrong_link_type() -> None:
    truth = graph_of_chains(chain(range(2), 1), chain(range(2, 3), 2, 1), chain(range(2, 3), 3, 1))
    result = graph_of_chains(chain(range(3), 1), chain(range(2, 3), 3))
    found = score_tracks(truth, result, same_place(truth, result, {(2, 2): (2, 1)}))
    assert (found.errors.ea, found.errors.ed, found.errors.ec) == (1, 0, 1)


@pytest.mark.parametrize(("shift", "correct"), [(0, [1, 1, 1]), (1, [0, 1, 1]), (2, [0, 0, 1]), (3, [0, 0, 0])])
@pytest.mark.parametrize("late", [True, False])
def test_a_shifted_division_counts_from_its_tolerance_on(shift: int, correct: list[int], late: bool) -> None:
    early_one = graph_of_chains(chain(range(3), 1), chain(range(3, 9), 2, 1), chain(range(3, 9), 3, 1))
    end = 3 + shift
    late_one = graph_of_chains(chain(range(end), 1), chain(range(end, 9), 2, 1), chain(range(end, 9), 3, 1))
    truth, result = (early_one, late_one) if late else (late_one, early_one)
    between = range(3, end)
    rename = {(t, 2): (t, 1) for t in between} if late else {(t, 1): (t, 2) for t in between}
    holder = same_place(truth, result, rename)
    i = np.flatnonzero(holder >= 0)
    scores = score_divisions(truth, result, (i, holder[i]), tolerance_frames=2)
    assert [s.correct for s in scores] == correct
    assert [s.tolerance_frames for s in scores] == [0, 1, 2]


def test_links_follow_the_graph_and_skip_what_was_not_compared() -> None:
    frame, label = np.array([0, 1, 1, 3]), np.array([9, 9, 4, 2], dtype=np.uint64)
    links = pd.DataFrame(
        {"frame": [0, 0, 1, 3], "label": [9, 9, 4, 2], "next_frame": [1, 1, 3, 4], "next_label": [9, 4, 2, 2]}
    )
    found = graph_of_links(frame, label, links)
    assert found.label.tolist() == [9, 4, 9, 2]
    assert found.edges.tolist() == [[0, 1], [0, 2], [1, 3]]


def test_a_link_that_a_graph_calls_a_division_ends_a_track_of_an_only_daughter_too() -> None:
    frame, label = np.array([0, 1, 2, 3]), np.array([9, 9, 4, 4], dtype=np.uint64)
    links = pd.DataFrame({"frame": [0, 1, 2], "label": [9, 9, 4], "next_frame": [1, 2, 3], "next_label": [9, 4, 4]})
    assert len(set(graph_of_links(frame, label, links).track.tolist())) == 1
    told = graph_of_links(frame, label, links.assign(division=[False, True, False]))
    assert told.between.tolist() == [False, True, False]
    assert told.track.tolist() == [0, 0, 1, 1]
    assert told.branching.tolist() == [False, False, False]


def test_links_back_in_time_are_refused() -> None:
    frame, label = np.array([0, 1]), np.array([1, 1], dtype=np.uint64)
    links = pd.DataFrame({"frame": [1], "label": [1], "next_frame": [0], "next_label": [1]})
    with pytest.raises(EvaluationError, match="forward in time"):
        graph_of_links(frame, label, links)
    with pytest.raises(EvaluationError, match="lasts until frame 3"):
        graph_of_chains(chain(range(4), 1), chain(range(2, 5), 2, 1))


def test_tracking_waits_to_be_asked_where_labels_may_not_be_tracks() -> None:
    movie = np.tile(np.array([0, 1, 1, 2], dtype=np.uint8), (3, 1, 2, 1))
    quiet = evaluate(movie, movie)
    assert quiet.tracking is None
    assert "use --tracking" in " ".join(quiet.notes)
    asked = evaluate(movie, movie, tracking="always").to_dict()["tracking"]
    assert (asked["det"], asked["tra"], asked["lnk"], asked["n_truth_tracks"]) == (1, 1, 1, 2)
    assert [d["tolerance_frames"] for d in asked["divisions"]] == [0, 1]
    assert evaluate(movie, movie, tracking="never").notes == quiet.notes[:1]
