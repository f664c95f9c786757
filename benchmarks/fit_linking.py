"""Fit the weights by which divisions are told, and print them as they stand in `src/tlseg/link/fitted.py`.

    python benchmarks/fit_linking.py [--seeds A,B,...]

Logistic regressions (Newton's method with a ridge of 1) on all candidate families of simulated embryos that no other
benchmark uses: true labels and spoilt ones (see `tracking.py`), every frame and every third one, so that the weights hold
where a mitosis is seen and where it falls between two frames. A quarter of the cases are shown without any sign of
condensation, as embryos whose label does not show it. Without intensities, and without volumes, the same is fitted to
what is left; points without volumes are no pieces of nuclei, so that fit sees true labels only.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tracking import EMBRYO, Labels, Movie, measure, simulate, spoil
from tracking import shared_voxels as shared

from tlseg.link.assign import ALONE
from tlseg.link.candidates import frame_trees, reach_um
from tlseg.link.divisions import CONDENSATION, FEATURES, features
from tlseg.link.families import of_two_starts, with_child
from tlseg.link.gaps import gap_candidates
from tlseg.link.link import trace
from tlseg.link.settings import LinkSettings

INTENSITY = ("unlike_intensity", "mother_bright", "daughters_bright")
VOLUME = ("unlike_volume", "volume_gained", "daughter_size", "mother_small", "daughters_small")
RIDGE = 1.0
Floats = NDArray[np.float64]


def cases(movie: Movie, labels: Labels, step: int) -> tuple[Floats, Floats]:
    """Features of all candidate families of every `step`-th frame, and whether each is one."""
    objects, overlaps = measure(labels, movie)
    if step > 1:
        objects = objects[objects["t"] % step == 0].assign(t=lambda rows: rows["t"] // step)
        overlaps = overlaps.iloc[:0]
    settings = LinkSettings()
    traced = trace(objects, overlaps, settings=settings)
    movie_objects, placed, chains = traced.objects, traced.placed, traced.chains
    trees = frame_trees(movie_objects, placed)
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


def _true(
    movie: Movie, labels: Labels, t: NDArray, label: NDArray, mother: NDArray, one: NDArray, two: NDArray
) -> Floats:
    """Whether rows are the last of a mother and the first of her two daughters."""
    of: dict[tuple[int, int], int] = {}
    for frame, (a, b) in enumerate(zip(movie.labels, labels, strict=True)):
        pairs = shared(a, b)
        size_a, size_b = np.bincount(a.ravel()), np.bincount(b.ravel())
        iou = pairs[:, 2] / (size_a[pairs[:, 0]] + size_b[pairs[:, 1]] - pairs[:, 2])
        of |= {(frame, name): track for track, name in pairs[iou > 0.5, :2].tolist()}
    track = np.array([of.get(key, 0) for key in zip(t.tolist(), label.tolist(), strict=True)])
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


def main() -> None:
    """Print weights, and how many candidates they tell right."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="10,11")
    found: dict[bool, list[tuple[Floats, Floats]]] = {True: [], False: []}
    for seed in (int(seed) for seed in parser.parse_args().seeds.split(",")):
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


if __name__ == "__main__":
    main()
