"""Scores by programs that share no code with ours: py-ctcmetrics, on files, and traccuracy, on graphs."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from metric_cases import track_rows

Array = NDArray[Any]
Parents = Mapping[int, int]


def by_py_ctcmetrics(truth: Array, result: Array, parents: Parents, kept: Parents, folder: Path) -> dict[str, Any]:
    """Scores by the keys of `Evaluation.to_dict()["tracking"]`, and `seg` pooled over objects.

    Labels (t, y, x) are numbered anew, and get a margin of background: py-ctcmetrics wraps numbers of 16 bits and drops the
    first label of a frame that has no background.
    """
    from ctc_metrics.metrics import cca, ct, det, hota, lnk, seg, tf, tra
    from ctc_metrics.metrics.biological.tf import calculate_fractions_fo_computed_tracks
    from ctc_metrics.utils.representations import count_acyclic_graph_correction_operations, match

    (truth, parents), (result, kept) = (_numbered(*side) for side in ((truth, parents), (result, kept)))
    folder.mkdir()
    names = []
    for t, pair in enumerate(zip(truth, result, strict=True)):
        files = [folder / f"{side}{t}.tif" for side in ("truth", "result")]
        for file, frame in zip(files, pair, strict=True):
            tifffile.imwrite(file, np.pad(frame, 1).astype(np.uint16))
        names.append(tuple(map(str, files)))
    labels_ref, labels_comp, mapped_ref, mapped_comp, ious = zip(*(match(*pair) for pair in names), strict=True)
    ref, comp = track_rows(truth, parents), track_rows(result, kept)
    graph = count_acyclic_graph_correction_operations(ref, comp, labels_ref, labels_comp, mapped_ref, mapped_comp)
    linked = len(parents) + sum(map(len, labels_ref)) > len(ref)
    scores = {
        "seg": seg(labels_ref, ious),
        **{f"errors.{key.lower()}": int(graph[key]) for key in ("NS", "FN", "FP", "ED", "EA", "EC")},
        "det": det(**graph),
        "tra": tra(**graph)[0],
        "lnk": lnk(**graph) if linked else None,
        "ct": ct(comp, ref, labels_ref, mapped_ref, mapped_comp) if len(comp) else 0.0,
        "cca": cca(comp, ref),
    }
    # It cannot index by the labels of a frame that has none.
    if all(map(len, [*labels_ref, *labels_comp])):
        scores["hota"] = hota(labels_ref, labels_comp, mapped_ref, mapped_comp)["HOTA"]
    # An object over two true ones is nobody's partner for us; for its track fractions py-ctcmetrics takes it for both. And
    # where a result track holds one true track wholly, it leaves out some others that it holds in part, by their numbers.
    shares = calculate_fractions_fo_computed_tracks(ref, labels_ref, mapped_ref, mapped_comp).values()
    whole = any(1 in held.values() and len(held) > 1 for held in shares)
    if not whole and all(len(set(frame)) == len(frame) for frame in mapped_comp):
        scores["tf"] = tf(ref, labels_ref, mapped_ref, mapped_comp)
    return scores


def by_traccuracy(truth: Array, result: Array, parents: Parents, kept: Parents) -> dict[str, float]:
    """Scores by the keys of `Evaluation.to_dict()["tracking"]`, from graphs and majorities worked out here."""
    from traccuracy.matchers import Matched
    from traccuracy.metrics import CompleteTracks, CTCMetrics, DivisionMetrics

    def matched(pairs: list[tuple[Any, Any]], kind: str, **parent_lines: bool) -> Matched:
        sides = (_graph(truth, parents, parent_lines), _graph(result, kept, parent_lines))
        return Matched(*sides, pairs, {"name": "ours", "matching type": kind})

    majority, strong = _pairs(truth, result)
    # It takes links out of divisions for those between tracks, and has to be told of those to an only daughter.
    graph = CTCMetrics().compute(matched(majority, "many-to-one", intertrack_edge=True)).results
    whole = CompleteTracks(error_type="ctc").compute(matched(majority, "many-to-one")).results
    divisions = DivisionMetrics(max_frame_buffer=1).compute(matched(strong, "one-to-one")).results
    names = {"ns": "ns_nodes", "fn": "fn_nodes", "fp": "fp_nodes", "ed": "fp_edges", "ea": "fn_edges", "ec": "ws_edges"}
    scores = {
        **{f"errors.{ours}": graph[theirs] for ours, theirs in names.items()},
        **{key: graph[key.upper()] for key in ("det", "tra", "lnk")},
        "complete_lineages": whole["complete_lineages"],
        "n_truth_lineages": whole["total_lineages"],
    }
    for tolerance in (0, 1):
        found = divisions[f"Frame Buffer {tolerance}"]
        scores[f"divisions.{tolerance}.correct"] = found["True Positive Divisions"]
        scores[f"divisions.{tolerance}.n_truth"] = found["Total GT Divisions"]
        scores[f"divisions.{tolerance}.n_result"] = found["Total Predicted Divisions"]
    return scores


def _graph(labels: Array, parents: Parents, parent_lines: Mapping[str, bool]) -> Any:
    import networkx as nx
    from traccuracy import TrackingGraph

    graph = nx.DiGraph()
    rows = track_rows(labels, parents)
    for track, *_ in rows.tolist():
        seen = np.flatnonzero((labels == track).any(axis=(1, 2))).tolist()
        graph.add_nodes_from((_node(t, track), {"t": t}) for t in seen)
        graph.add_edges_from((_node(a, track), _node(b, track)) for a, b in pairwise(seen))
    for track, start, _, parent in rows.tolist():
        if parent:
            last = rows[rows[:, 0] == parent][0, 2]
            graph.add_edge(_node(int(last), parent), _node(start, track), **parent_lines)
    return TrackingGraph(graph, label_key=None)


def _node(t: int, label: int) -> int:
    return t * 2**32 + label


def _pairs(truth: Array, result: Array) -> tuple[list[Any], list[Any]]:
    """Pairs where the result holds more than half of the truth, and those with an IoU of at least one half."""
    majority, strong = [], []
    for t, (a, b) in enumerate(zip(truth, result, strict=True)):
        for i in np.unique(a[a > 0]).tolist():
            for j in np.unique(b[(a == i) & (b > 0)]).tolist():
                both, either = ((a == i) & (b == j)).sum(), ((a == i) | (b == j)).sum()
                if 2 * both > (a == i).sum():
                    majority.append((_node(t, i), _node(t, j)))
                if 2 * both > either:
                    strong.append((_node(t, i), _node(t, j)))
    return majority, strong


def _numbered(labels: Array, parents: Parents) -> tuple[Array, Parents]:
    numbers, compact = np.unique(np.concatenate([[0], labels.ravel()]), return_inverse=True)
    new = {int(old): k for k, old in enumerate(numbers)}
    return compact[1:].reshape(labels.shape), {new[a]: new[b] for a, b in parents.items()}
