"""Fit the weights by which divisions are told, and print them as they stand in `src/tlseg/link/fitted.py`.

    python benchmarks/fit_linking.py [--seeds A,B,...]
    python benchmarks/fit_linking.py --what shape [--seeds A,B,...]

Logistic regressions (Newton's method with a ridge of 1) on all candidate families of simulated embryos that no other
benchmark uses: true labels and spoilt ones (see `tracking.py`), every frame and every third one, so that the weights hold
where a mitosis is seen and where it falls between two frames. A quarter of the cases are shown without any sign of
condensation, as embryos whose label does not show it. Without intensities, and without volumes, the same is fitted to
what is left; points without volumes are no pieces of nuclei, so that fit sees true labels only.

`--what shape` asks what elongation would tell about links from frame to frame. The last seed is not fitted but judged:
log loss (nats a candidate) of a logistic regression on the terms of a link's cost, and on these and the squared log ratio
of elongations; then, of the links that assignment chooses, how many are wrong and how many true ones are lacking, with that
ratio in the cost by several weights. A mother joined to her daughter is not wrong: divisions are judged later. The embryos
begin with 16 nuclei, since where nuclei are few they have no rivals. Nuclei of the simulation keep a form of their own from
birth to division, so this is the most that shape can tell.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from machine import machine, table
from numpy.typing import NDArray
from tracking import EMBRYO, Labels, Movie, measure, simulate, spoil
from tracking import shared_voxels as shared

from tlseg.geometry import Box
from tlseg.link.assign import ALONE, assign
from tlseg.link.candidates import Pairs, link_candidates, log_ratio_squared, reach_um
from tlseg.link.divisions import FEATURES, features
from tlseg.link.families import of_two_starts, with_child
from tlseg.link.gaps import gap_candidates
from tlseg.link.link import trace
from tlseg.link.objects import read_objects, read_overlaps
from tlseg.link.settings import LinkSettings
from tlseg.measure.objects import elongation, measure_block

INTENSITY = ("unlike_intensity", "mother_bright", "daughters_bright")
CONDENSATION = ("mother_bright", "mother_small", "daughters_bright", "daughters_small")
"""Features that carry no information if frames are too far apart to show a mitosis."""
VOLUME = ("unlike_volume", "volume_gained", "daughter_size", "mother_small", "daughters_small")
RIDGE = 1.0
CROWDED = replace(EMBRYO, frames=120, start_nuclei=16)
SHAPE_WEIGHTS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)
Floats = NDArray[np.float64]


def every(step: int, objects: pd.DataFrame, overlaps: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of every `step`-th frame."""
    if step == 1:
        return objects, overlaps
    return objects[objects["t"] % step == 0].assign(t=lambda rows: rows["t"] // step), overlaps.iloc[:0]


def cases(movie: Movie, labels: Labels, step: int) -> tuple[Floats, Floats]:
    """Features of all candidate families of every `step`-th frame, and whether each is one."""
    objects, overlaps = every(step, *measure(labels, movie))
    settings = LinkSettings()
    traced = trace(objects, overlaps, settings=settings)
    movie_objects, placed, trees, chains = traced.objects, traced.placed, traced.trees, traced.chains
    last = movie_objects.first + movie_objects.frames - 1
    ends = np.flatnonzero((chains.following < 0) & (movie_objects.t < last))
    starts = np.flatnonzero((chains.preceding < 0) & (movie_objects.t > movie_objects.first))
    found = (
        with_child(movie_objects, placed, trees, chains, starts, settings=settings),
        of_two_starts(movie_objects, placed, chains, ends, starts, settings=settings),
    )
    mother, one, two = (np.concatenate(parts) for parts in zip(*found, strict=True))
    reach = reach_um(movie_objects, placed, trees, settings=settings)
    gaps = gap_candidates(movie_objects, placed, ends, starts, reach=reach, settings=settings)
    revived = np.zeros(len(movie_objects), dtype=bool)
    revived[gaps.a[gaps.cost < ALONE]] = True
    known = features(movie_objects, placed, chains, mother, one, two, revived=revived)
    return known, _true(movie, labels, movie_objects.t * step, movie_objects.label, mother, one, two)


def true_tracks(movie: Movie, labels: Labels, t: NDArray, label: NDArray) -> NDArray:
    """Track that each label covers with an IoU above 0.5, or 0."""
    of: dict[tuple[int, int], int] = {}
    for frame, (a, b) in enumerate(zip(movie.labels, labels, strict=True)):
        pairs = shared(a, b)
        size_a, size_b = np.bincount(a.ravel()), np.bincount(b.ravel())
        iou = pairs[:, 2] / (size_a[pairs[:, 0]] + size_b[pairs[:, 1]] - pairs[:, 2])
        of |= {(frame, name): track for track, name in pairs[iou > 0.5, :2].tolist()}
    return np.array([of.get(key, 0) for key in zip(t.tolist(), label.tolist(), strict=True)])


def _true(
    movie: Movie, labels: Labels, t: NDArray, label: NDArray, mother: NDArray, one: NDArray, two: NDArray
) -> Floats:
    """Whether rows are the last of a mother and the first of her two daughters."""
    track = true_tracks(movie, labels, t, label)
    seen = pd.Series(np.arange(len(track))).groupby(track).agg(["first", "last"])
    first, last = seen["first"].to_dict(), seen["last"].to_dict()
    right = []
    for rows in zip(mother.tolist(), one.tolist(), two.tolist(), strict=True):
        m, a, b = (int(track[row]) for row in rows)
        related = min(m, a, b) > 0 and a != b and movie.parent[a] == movie.parent[b] == m
        right.append(related and last[m] == rows[0] and first[a] == rows[1] and first[b] == rows[2])
    return np.array(right, dtype=np.float64)


def fit(known: Floats, right: Floats) -> Floats:
    """Intercept and weights of a logistic regression."""
    inputs = np.column_stack([np.ones(len(known)), known])
    weights, penalty = np.zeros(inputs.shape[1]), np.full(inputs.shape[1], RIDGE)
    penalty[0] = 1e-9
    for _ in range(200):
        p = 1 / (1 + np.exp(-np.clip(inputs @ weights, -30, 30)))
        slope = inputs.T @ (right - p) - penalty * weights
        step = np.linalg.solve((inputs * (p * (1 - p))[:, None]).T @ inputs + np.diag(penalty), slope)
        weights += step * min(1.0, 3 / np.abs(step).max())
        if np.abs(step).max() < 1e-8:
            break
    return weights


def without(known: Floats, names: tuple[str, ...]) -> Floats:
    """Features with some unknown."""
    return known * ~np.isin(FEATURES, names)


@dataclass(frozen=True, slots=True)
class Links:
    """Candidate links: ends, terms (m, 5: distance, volume, intensity, IoU, shape), what is right; how many are true."""

    a: NDArray
    b: NDArray
    terms: Floats
    right: Floats
    of_family: NDArray
    wanted: int

    def wrong_and_lacking(self, weight: float) -> tuple[int, int]:
        """Wrong links that assignment chooses, and true ones it does not, with this weight of shape."""
        usual = LinkSettings()
        weights = (1.0, usual.volume_weight, usual.intensity_weight, -usual.overlap_weight, weight)
        # Candidates of all frames at once: no nucleus is in two pairs of frames on the same side.
        chosen = assign(self.a, self.b, self.terms @ np.array(weights))
        right = int(self.right[chosen].sum())
        return len(chosen) - right - int(self.of_family[chosen].sum()), self.wanted - right


def links(nuclei: pd.DataFrame, pairs: pd.DataFrame, step: int) -> Links:
    """All candidate links between every `step`-th frames; `nuclei` have elongation, true track and mother."""
    objects, overlaps = every(step, nuclei, pairs)
    settings = LinkSettings()
    traced = trace(objects, overlaps, settings=settings)
    rows, placed, trees = traced.objects, traced.placed, traced.trees
    reach = reach_um(rows, placed, trees, settings=settings)
    order = read_objects(objects)[1]
    both = read_overlaps(overlaps, table=objects, objects=rows, order=order)

    def costs(**weights: float) -> Pairs:
        alone = {"volume_weight": 0.0, "intensity_weight": 0.0, "overlap_weight": 0.0} | weights
        chosen = replace(settings, **alone)
        return link_candidates(rows, placed, trees, both, reach=reach, settings=chosen)

    distance = costs()
    a, b = distance.a, distance.b
    long, track, mother = (objects[name].to_numpy()[order] for name in ("elongation", "track", "mother"))
    terms = [distance.cost, costs(volume_weight=1.0).cost - distance.cost]
    terms += [costs(intensity_weight=1.0).cost - distance.cost, distance.cost - costs(overlap_weight=1.0).cost]
    terms += [log_ratio_squared(long[a], long[b])]
    seen = set(zip(rows.t.tolist(), track.tolist(), strict=True))
    wanted = sum((t + 1, n) in seen for t, n in seen if n)
    right = ((track[a] == track[b]) & (track[a] > 0)).astype(np.float64)
    of_family = (mother[b] == track[a]) & (mother[b] > 0)
    return Links(a, b, np.column_stack(terms), right, of_family, wanted)


def known_nuclei(movie: Movie, labels: Labels) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Object and overlap tables, with elongations as `tlseg segment` measures them, true tracks and mothers."""
    objects, overlaps = measure(labels, movie)
    long = []
    for frame in labels:
        box = Box.of_shape(frame.shape)
        sums = measure_block(frame, frame, crop=box, core=box, frame=box, spacing_um=EMBRYO.spacing_um)
        long.append(elongation(sums, spacing_um=EMBRYO.spacing_um))
    track = true_tracks(movie, labels, objects["t"].to_numpy(), objects["label"].to_numpy())
    mother = [movie.parent.get(number, 0) for number in track.tolist()]
    return objects.assign(elongation=np.concatenate(long), track=track, mother=mother), overlaps


def log_loss(fitted: list[Links], judged: Links, terms: slice) -> float:
    """Mean loss on `judged` of a regression on these terms of `fitted`, nats a candidate."""
    weights = fit(np.concatenate([part.terms[:, terms] for part in fitted]), np.concatenate([p.right for p in fitted]))
    odds = weights[0] + judged.terms[:, terms] @ weights[1:]
    return float(np.logaddexp(0, np.where(judged.right > 0, -odds, odds)).mean())


def print_shape(seeds: list[int]) -> None:
    """Print what elongation tells about links, as two tables."""
    found: dict[tuple[str, int], list[Links]] = {}
    for seed in seeds:
        movie = simulate(replace(CROWDED, seed=seed), (0, 40), 0.1)
        for name, labels in (("true", movie.labels), ("spoilt", spoil(movie, seed)[0])):
            tables = known_nuclei(movie, labels)
            for step in (1, 3):
                found.setdefault((name, step), []).append(links(*tables, step))
    print(machine(), "\n")
    losses, errors = [], []
    for (name, step), parts in found.items():
        *fitted, judged = parts
        case = [name, "every" if step == 1 else "every third"]
        bare, shaped = log_loss(fitted, judged, slice(0, 4)), log_loss(fitted, judged, slice(0, 5))
        losses.append([*case, str(len(judged.a)), f"{bare:.5f}", f"{shaped:.5f}", f"{shaped / bare:.3f}"])
        counts = [sum_of(parts, weight) for weight in SHAPE_WEIGHTS]
        errors.append([*case, str(sum(part.wanted for part in parts)), *(f"{a} + {b}" for a, b in counts)])
    print(table(["labels", "frames", "candidates", "log loss", "with shape", "ratio"], losses), "\n")
    print(table(["labels", "frames", "true links", *(f"weight {weight:g}" for weight in SHAPE_WEIGHTS)], errors))


def sum_of(parts: list[Links], weight: float) -> tuple[int, int]:
    """Wrong and lacking links of all movies."""
    wrong, lacking = zip(*(part.wrong_and_lacking(weight) for part in parts), strict=True)
    return sum(wrong), sum(lacking)


def print_divisions(seeds: list[int]) -> None:
    """Print weights, and how many candidates they tell right."""
    found: dict[bool, list[tuple[Floats, Floats]]] = {True: [], False: []}
    for seed in seeds:
        movie = simulate(replace(EMBRYO, seed=seed), (0, 40), 0.1)
        for whole, labels in ((True, movie.labels), (False, spoil(movie, seed)[0])):
            found[whole] += [cases(movie, labels, step) for step in (1, 3)]
    everything = [np.concatenate(parts) for parts in zip(*found[True], *found[False], strict=True)]
    clean = [np.concatenate(parts) for parts in zip(*found[True], strict=True)]
    for name, (known, right), unknown, shown in (
        ("_WHOLE", everything, (), 3),
        ("_WITHOUT_INTENSITY", everything, INTENSITY, 3),
        ("_PLACES_ONLY", clean, (*INTENSITY, *VOLUME), 0),
    ):
        seen = without(known, unknown)
        copies = [seen] * shown + [without(seen, CONDENSATION)]
        weights = fit(np.concatenate(copies), np.concatenate([right] * len(copies)))
        told = weights[0] + seen @ weights[1:] > 0
        print(f"{name} = Odds({weights[0]:.2f}, ({', '.join(f'{w:.2f}' for w in weights[1:])}))")
        counts = ((told & (right > 0)).sum(), (~told & (right > 0)).sum(), (told & (right == 0)).sum())
        print("#   {} found, {} missed, {} wrong".format(*counts))


def main() -> None:
    """Print weights of divisions, or what shape tells about links."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", choices=("divisions", "shape"), default="divisions")
    parser.add_argument("--seeds", help="embryos; by default 10,11, and 10,11,12 for shape")
    options = parser.parse_args()
    usual = "10,11" if options.what == "divisions" else "10,11,12"
    seeds = [int(seed) for seed in (options.seeds or usual).split(",")]
    (print_divisions if options.what == "divisions" else print_shape)(seeds)


if __name__ == "__main__":
    main()
