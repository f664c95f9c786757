"""How well are nuclei followed through time, with perfect labels and with spoilt ones, with repair and without?

    python benchmarks/tracking.py [--frames N] [--seeds A,B,...] [--division-probability P]

An embryo grows from 2 to about 100 nuclei in 500 frames (`tlseg.simulate`); in a tenth of the frames it turns as a whole
by up to 40 degrees. *Spoilt* labels lose 5 % of their nuclei, and 2 % are merged with a near neighbour and 2 % cut in
two, at random. *Turning* is 15 frames of 8 nuclei that turn by 30 to 180 degrees in every frame. *Collapsing* is 60
frames of 40 to 70 nuclei, and in a fifth of them the embryo shrinks to three quarters of its width, as a blastocyst that
loses its cavity's fluid does, turns by up to 40 degrees, and swells again in the ten frames after.

A nucleus counts as seen where one label covers it with an IoU above 0.5. The truth is the same with and without repair:
all nuclei but the lost ones, which nobody can find, joined to where the same nucleus, or its daughters, are next there.
A link is right where both ends are seen and the truth joins them. A division is right *to the frame* by the rules of
`tlseg evaluate`, and right *by family* where it is the true mother that becomes her two true daughters, within two frames
and whether or not all three are seen right then. *At most* is what one who knows the true lineage would reach with the same
labels, to the frame: he finds all divisions whose mother and daughters are seen right then, and no other.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from machine import machine, table
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tlseg.evaluate.divisions import score_divisions
from tlseg.evaluate.lineage import TrackGraph, graph_of_links
from tlseg.evaluate.scores import precision_recall
from tlseg.geometry import Box, triple
from tlseg.label.patches import lay_over, make_patch
from tlseg.link import Lineage, LinkSettings, link_objects
from tlseg.link.repair import find_repairs
from tlseg.measure.objects import overlaps as shared_voxels
from tlseg.simulate.lineage import grow_lineage
from tlseg.simulate.motion import Placed, move_nuclei
from tlseg.simulate.settings import SimulationSettings
from tlseg.simulate.shape import Ellipsoid, fill_label

SIDE, SPACING_UM = 56, 1.75
EMBRYO = SimulationSettings(
    frames=500,
    shape=(SIDE, SIDE, SIDE),
    spacing_um=(SPACING_UM, SPACING_UM, SPACING_UM),
    start_nuclei=2,
    cycle_frames=90,
    axial_stretch=1.0,
    light_share=(1.0, 1.0),
    rotation_deg=1.0,
    drift_um=0.2,
)
TURNING = replace(EMBRYO, frames=15, start_nuclei=8, cycle_frames=500, rotation_deg=0.0, drift_um=0.0)
COLLAPSING = replace(EMBRYO, frames=60, shape=(72, 72, 72), start_nuclei=40)
COLLAPSED, SWELLING = 0.75, 10
"""Width after a collapse, as a share of that before, and frames until it is reached again."""

LOST, MERGED, CUT = 0.05, 0.02, 0.02
"""Shares of all nuclei that are lost, merged with a neighbour, or cut in two."""

NEAR = 1.75
"""Farthest that two nuclei which are merged lie apart, in diameters."""

Labels = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Movie:
    """Labels (t, z, y, x) whose numbers are true tracks, brightness of each (t, label), and who is whose daughter."""

    labels: Labels
    glow: dict[tuple[int, int], float]
    parent: dict[int, int]


@dataclass(frozen=True, slots=True)
class Scores:
    """F1 of links, and of divisions to the frame, by family, and to the frame at most."""

    link: float
    exact: float
    family: float
    most: float


def simulate(settings: SimulationSettings, turns: tuple[float, float], share: float, collapsed: float = 1.0) -> Movie:
    """Simulate; in a `share` of the frames the embryo turns about its middle by an angle within `turns` degrees.

    With `collapsed` below 1 it is swollen to the inverse of that, and collapses whenever it turns.
    """
    tracks = grow_lineage(settings)
    rng = np.random.default_rng([settings.seed, 99])
    middle = (np.array(settings.shape) - 1) / 2 * np.array(settings.spacing_um)
    turn, width = np.eye(3), 1 / collapsed
    movie = np.zeros((settings.frames, *settings.shape), np.uint32)
    glow = {}
    for t, placed in enumerate(move_nuclei(tracks, settings=settings)):
        width = min(1 / collapsed, width + (1 / collapsed - 1) / SWELLING)
        if t and rng.random() < share:
            axis = rng.normal(size=3)
            angle = np.deg2rad(rng.uniform(*turns))
            turn = Rotation.from_rotvec(axis / np.linalg.norm(axis) * angle).as_matrix() @ turn
            width = 1.0
        for nucleus in placed:
            centre, form = _turned(nucleus, turn, middle)
            centre = middle + width * (centre - middle)
            number = nucleus.track.number
            fill_label(movie[t], form, centre, number=number, spacing_um=settings.spacing_um)
            glow[t, number] = nucleus.glow * float(np.exp(rng.normal(0, 0.05)))
    return Movie(movie, glow, {track.number: track.parent for track in tracks})


def _turned(nucleus: Placed, turn: NDArray[np.float64], middle: NDArray[np.float64]) -> tuple[NDArray, Ellipsoid]:
    form = nucleus.form
    return turn @ (nucleus.centre_um - middle) + middle, Ellipsoid(form.half_axes_um, form.frame @ turn.T, form.stretch)


def spoil(movie: Movie, seed: int) -> tuple[Labels, set[tuple[int, int]]]:
    """Labels with mistakes, numbered anew in every frame; and the nuclei (t, track) that are lost."""
    rng = np.random.default_rng([seed, 7])
    spoilt, lost = np.zeros_like(movie.labels), set()
    for t, truth in enumerate(movie.labels):
        frame = truth.copy()
        numbers = np.unique(frame)[1:]
        top = int(numbers.max(initial=0))
        draw = rng.random(len(numbers))
        centres = np.array([np.argwhere(frame == n).mean(axis=0) for n in numbers])
        for k, number in enumerate(numbers.tolist()):
            if draw[k] < LOST:
                frame[truth == number] = 0
                lost.add((t, number))
            elif draw[k] < LOST + MERGED:
                _merge(frame, truth, numbers, centres, k)
            elif draw[k] < LOST + MERGED + CUT:
                top += 1
                _cut(frame, number, top, rng)
        found, compact = np.unique(frame, return_inverse=True)
        shuffled = np.concatenate([[0], rng.permutation(len(found) - 1) + 1]).astype(np.uint32)
        spoilt[t] = shuffled[compact.reshape(frame.shape)]
    return spoilt, lost


def _merge(frame: Labels, truth: Labels, numbers: NDArray, centres: NDArray, k: int) -> None:
    """Give the voxels of a nucleus to the nearest that is there and whole, if that is near enough to be mistaken."""
    distance = np.linalg.norm(centres - centres[k], axis=1)
    mine = frame == numbers[k]
    radius = np.cbrt(mine.sum() * 3 / (4 * np.pi))
    for other in np.argsort(distance)[1:].tolist():
        if distance[other] > NEAR * 2 * radius:
            return
        theirs = frame == numbers[other]
        if theirs.any() and mine.any() and theirs.sum() == (truth == numbers[other]).sum():
            frame[mine] = numbers[other]
            return


def _cut(frame: Labels, number: int, new: int, rng: np.random.Generator) -> None:
    """Cut a nucleus along a plane that leaves each part a third or more."""
    places = np.argwhere(frame == number)
    if len(places) < 4:
        return
    along = places @ rng.normal(size=3)
    beyond = places[along > np.quantile(along, rng.uniform(1 / 3, 2 / 3))]
    frame[tuple(beyond.T)] = new


def measure(labels: Labels, movie: Movie) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Object and overlap tables of labels, brightness from the nuclei below them."""
    rows, shared = [], []
    grid = np.stack(np.indices(labels.shape[1:])).reshape(3, -1)
    for t, (frame, truth) in enumerate(zip(labels, movie.labels, strict=True)):
        light = np.zeros(int(truth.max()) + 1)
        for number in np.unique(truth)[1:].tolist():
            light[number] = movie.glow[t, number]
        flat, grey = frame.ravel(), light[truth].ravel()
        voxels = np.bincount(flat)
        names = np.flatnonzero(voxels)[1:]
        centre = [np.bincount(flat, grid[axis])[names] / voxels[names] * SPACING_UM for axis in range(3)]
        part = {"t": t, "label": names} | dict(zip(("z_um", "y_um", "x_um"), centre, strict=True))
        part |= {"volume_voxels": voxels[names], "volume_um3": voxels[names] * SPACING_UM**3}
        rows.append(pd.DataFrame(part | {"intensity_mean": 1000 * np.bincount(flat, grey)[names] / voxels[names]}))
        if t + 1 < len(labels):
            pairs = shared_voxels(frame, labels[t + 1])
            shared.append(pd.DataFrame(pairs, columns=["label_a", "label_b", "voxels"]).assign(t=t))
    return pd.concat(rows, ignore_index=True), pd.concat(shared, ignore_index=True)


def true_graph(movie: Movie, lost: set[tuple[int, int]]) -> TrackGraph:
    """Join each nucleus that is not lost to the same one, or its daughters, where next seen."""
    seen = [
        (t, int(n)) for t, frame in enumerate(movie.labels) for n in np.unique(frame)[1:] if (t, int(n)) not in lost
    ]
    last: dict[int, int] = {}
    edges = []
    for t, number in seen:
        if number in last:
            edges.append((last[number], number, t, number))
        elif (mother := movie.parent[number]) in last:
            edges.append((last[mother], mother, t, number))
        last[number] = t
    frame, label = (np.array(part) for part in zip(*seen, strict=True))
    links = pd.DataFrame(edges, columns=["frame", "label", "next_frame", "next_label"])
    return graph_of_links(frame.astype(np.int64), label.astype(np.uint64), links)


def result_graph(lineage: Lineage) -> TrackGraph:
    """Graph of a result."""
    names = {"t_a": "frame", "label_a": "label", "t_b": "next_frame", "label_b": "next_label"}
    nodes = lineage.nodes
    return graph_of_links(
        nodes["t"].to_numpy(np.int64), nodes["label"].to_numpy(np.uint64), lineage.edges.rename(columns=names)
    )


def score(movie: Movie, labels: Labels, lost: set[tuple[int, int]], lineage: Lineage) -> Scores:
    """F1 of links, and of divisions."""
    truth, result = true_graph(movie, lost), result_graph(lineage)
    ours, theirs = _pairs(movie.labels, labels, truth, result)
    of_result = np.full(len(result), -1)
    of_result[theirs] = ours
    mapped = of_result[result.edges]
    wanted = {(a, b) for a, b in truth.edges.tolist()}
    right = sum((a, b) in wanted for a, b in mapped.tolist())
    *_, link = precision_recall(right, len(truth.edges), len(result.edges))
    (exact,) = score_divisions(truth, result, (ours, theirs), tolerance_frames=0)
    return Scores(link or 0.0, exact.f1 or 0.0, _families(movie, truth, result, of_result), _at_most(truth, ours))


def _at_most(truth: TrackGraph, seen: NDArray) -> float:
    """F1 of divisions of one who finds all whose mother and daughters are seen, and no other."""
    there = np.zeros(len(truth), dtype=bool)
    there[seen] = True
    mothers = np.flatnonzero(truth.out_degree > 1)
    lacking = np.unique(truth.edges[~there[truth.edges].all(axis=1), 0])
    found = len(mothers) - len(np.intersect1d(mothers, lacking))
    *_, f1 = precision_recall(found, len(mothers), found)
    return f1 or 0.0


def _families(movie: Movie, truth: TrackGraph, result: TrackGraph, of_result: NDArray) -> float:
    """F1 of divisions whose mother and daughters are the true ones, within two frames."""
    children: dict[int, list[int]] = {}
    for a, b in result.edges.tolist():
        children.setdefault(a, []).append(b)
    parent = {b: a for a, after in children.items() for b in after}
    true_track = np.where(of_result >= 0, truth.label[of_result].astype(np.int64), 0)

    def named(row: int, step: dict[int, int]) -> int:
        """True track of a nucleus, or of what it is within two steps."""
        for _ in range(3):
            if true_track[row]:
                return int(true_track[row])
            row = step.get(row, row)
        return 0

    onward = {a: after[0] for a, after in children.items() if len(after) == 1}
    wanted = {(a, tuple(sorted(k))) for a, k in _daughters(movie, truth).items() if len(k) == 2}
    birth = {number: int(truth.frame[truth.label == number].min()) for number in np.unique(truth.label).tolist()}
    found = []
    for a, after in children.items():
        if len(after) == 2:
            family = (named(a, parent), tuple(sorted(named(b, onward) for b in after)))
            near = family in wanted and all(abs(int(result.frame[a]) + 1 - birth[b]) <= 2 for b in family[1])
            found.append(family if near else None)
    *_, f1 = precision_recall(len(set(found) - {None}), len(wanted), len(found))
    return f1 or 0.0


def _daughters(movie: Movie, truth: TrackGraph) -> dict[int, list[int]]:
    """Daughters of each mother, as far as they are there."""
    there = np.unique(truth.label).tolist()
    daughters: dict[int, list[int]] = {}
    for number in there:
        if movie.parent[number] in there:
            daughters.setdefault(movie.parent[number], []).append(number)
    return daughters


def mend(labels: Labels, objects: pd.DataFrame, overlaps: pd.DataFrame, link: LinkSettings) -> tuple[Labels, int]:
    """Labels repaired as `tlseg segment` repairs them, and how many repairs there were."""
    mended, count = labels.copy(), 0
    for repair in find_repairs(objects, overlaps, settings=link):
        frame = mended[repair.frame]
        places = np.argwhere(np.isin(frame, repair.labels))
        box = Box(tuple(places.min(axis=0).tolist()), tuple((places.max(axis=0) + 1).tolist()))
        more = len(repair.volume_um3) - 1
        top = int(frame.max())
        patch = make_patch(
            frame[box.slices],
            box=box,
            replaced=np.array(repair.labels),
            numbers=np.array([repair.labels[0], *range(top + 1, top + 1 + more)]),
            centres_um=repair.position_um,
            volumes_um3=repair.volume_um3,
            spacing_um=EMBRYO.spacing_um,
        )
        if patch is not None:
            lay_over(frame, Box.of_shape(triple(frame.shape)), [patch])
            count += 1
    return mended, count


def _pairs(truth: Labels, labels: Labels, true: TrackGraph, result: TrackGraph) -> tuple[NDArray, NDArray]:
    """Rows of nuclei and labels with an IoU above 0.5."""
    keys = []
    for t, (a, b) in enumerate(zip(truth, labels, strict=True)):
        pairs = shared_voxels(a, b)
        size_a, size_b = np.bincount(a.ravel()), np.bincount(b.ravel())
        iou = pairs[:, 2] / (size_a[pairs[:, 0]] + size_b[pairs[:, 1]] - pairs[:, 2])
        keys.extend((t, *pair) for pair in pairs[iou > 0.5, :2].tolist())
    row_a = {key: i for i, key in enumerate(zip(true.frame.tolist(), true.label.tolist(), strict=True))}
    row_b = {key: i for i, key in enumerate(zip(result.frame.tolist(), result.label.tolist(), strict=True))}
    both = [(row_a[t, a], row_b[t, b]) for t, a, b in keys if (t, a) in row_a and (t, b) in row_b]
    return tuple(np.array(part, dtype=np.int64) for part in zip(*both, strict=True))  # type: ignore[return-value]


def rows_of(
    name: str, movie: Movie, labels: Labels, lost: set[tuple[int, int]], *, link: LinkSettings
) -> list[list[str]]:
    """Rows of the table, without repair and with it."""
    rows, repairs = [], 0
    for step in ("without", "with"):
        tables = measure(labels, movie)
        if step == "with":
            labels, repairs = mend(labels, *tables, link)
            tables = measure(labels, movie) if repairs else tables
        scores = score(movie, labels, lost, link_objects(*tables, settings=link))
        divisions = (scores.exact, scores.most, scores.family) if any(movie.parent.values()) else ()
        figures = [f"{value:.4f}" for value in (scores.link, *divisions)] + ["-"] * (3 - len(divisions))
        rows.append([name, step, str(len(tables[0])), str(repairs), *figures])
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=EMBRYO.frames)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--division-probability", type=float, default=LinkSettings().division_probability)
    options = parser.parse_args()
    link = LinkSettings(division_probability=options.division_probability)
    print(machine(), "\n")
    headers = ["labels", "repair", "nuclei", "repairs", "links", "divisions to the frame", "at most", "by family"]
    rows = []
    for seed in (int(seed) for seed in options.seeds.split(",")):
        movie = simulate(replace(EMBRYO, frames=options.frames, seed=seed), (0, 40), 0.1)
        rows += rows_of(f"true, seed {seed}", movie, movie.labels, set(), link=link)
        rows += rows_of(f"spoilt, seed {seed}", movie, *spoil(movie, seed), link=link)
        turning = simulate(replace(TURNING, seed=seed), (30, 180), 1.0)
        rows += rows_of(f"turning, seed {seed}", turning, turning.labels, set(), link=link)[:1]
        collapsing = simulate(replace(COLLAPSING, seed=seed), (0, 40), 0.2, COLLAPSED)
        rows += rows_of(f"collapsing, seed {seed}", collapsing, collapsing.labels, set(), link=link)[:1]
    print(table(headers, rows))


if __name__ == "__main__":
    main()
