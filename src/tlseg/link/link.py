"""Join the nuclei of all frames into tracks and lineages.

Registration takes the embryo's own motion out, one assignment per pair of frames joins what stays the same, and a
second one over what is left closes gaps and finds divisions. The answer depends on the nuclei alone: neither on the
order of the rows nor on their provisional labels.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from tlseg.link.assign import assign, confidence
from tlseg.link.candidates import Pairs, frame_trees, link_candidates, reach_um
from tlseg.link.divisions import (
    Families,
    families_of_two_starts,
    families_with_child,
    keep_grown_mothers,
)
from tlseg.link.gaps import gap_candidates
from tlseg.link.lineage import DIVISION, GAP, LINK, Edges, Lineage, build_lineage
from tlseg.link.objects import Floats, Ints, Objects, read_objects, read_overlaps
from tlseg.link.register import stabilise
from tlseg.link.settings import LinkSettings


def link_objects(objects: pd.DataFrame, overlaps: pd.DataFrame, *, settings: LinkSettings | None = None) -> Lineage:
    """Join nuclei through time.

    Parameters
    ----------
    objects
        One row per nucleus per frame: `t, label, z_um, y_um, x_um, volume_um3, intensity_mean`, and `volume_voxels`
        where there are overlaps. Labels are numbers within their frame. Other columns are ignored.
    overlaps
        One row per pair of nuclei in consecutive frames that share voxels, or several to be summed:
        `t, label_a` (in frame t), `label_b` (in frame t + 1), `voxels`. May be empty.
    settings
        How to link; the defaults suit nuclei of one tissue.

    Returns
    -------
    Lineage
        Every object in one track, every track with one object per frame at most.

    Raises
    ------
    LabelError
        If a table lacks a column, holds values that are not finite, or the two do not fit together.
    """
    chosen = settings if settings is not None else LinkSettings()
    movie, order = read_objects(objects)
    shared = read_overlaps(overlaps, table=objects, objects=movie, order=order)
    if not len(movie):
        none = np.empty(0, np.int64)
        return build_lineage(movie.t, movie.label, Edges(none, none, np.empty(0, "U8"), np.empty(0)))
    placed = stabilise(movie, shared, settings=chosen)
    trees = frame_trees(movie, placed)
    reach = reach_um(movie, placed, trees, settings=chosen)
    pairs = link_candidates(movie, placed, trees, shared, reach=reach, settings=chosen)
    linked, sure = _per_frame(movie, pairs)
    a, b = pairs.a[linked], pairs.b[linked]
    following, preceding = _partners(len(movie), a, b)
    last = movie.first + movie.frames - 1
    ends = np.flatnonzero((following < 0) & (movie.t < last)).astype(np.int64)
    starts = np.flatnonzero((preceding < 0) & (movie.t > movie.first)).astype(np.int64)

    none = np.empty(0, np.int64)
    twins = with_child = Families(none, none, none, np.empty(0))
    if chosen.divisions:
        twins = families_of_two_starts(movie, placed, following, ends, starts, settings=chosen)
        ends = np.setdiff1d(ends, twins.mother)
        starts = np.setdiff1d(starts, np.concatenate([twins.child, twins.sister]))
        with_child = families_with_child(movie, placed, trees, following, starts, settings=chosen)
    gaps = gap_candidates(movie, placed, ends, starts, reach=reach, settings=chosen)

    # One assignment decides between gaps and divisions: a start is the row, the node it may continue or come from the
    # column. An end takes one continuation and a linked mother one more daughter, so both are columns of their own.
    row, column = np.concatenate([gaps.b, with_child.sister]), np.concatenate([gaps.a, with_child.mother])
    cost = np.concatenate([gaps.cost, with_child.cost])
    taken = assign(row, column, cost)
    certain = confidence(row, column, cost, taken)
    bridged = taken < len(gaps)
    closed = taken[bridged]
    divided = with_child.take(taken[~bridged] - len(gaps))

    families = _join(twins, divided)
    family_sure = np.concatenate([confidence(twins.mother, twins.mother, twins.cost, _all(twins)), certain[~bridged]])
    grown = keep_grown_mothers(
        movie,
        np.concatenate([a, gaps.a[closed]]),
        np.concatenate([b, gaps.b[closed]]),
        families,
        frames=chosen.min_cycle_frames,
    )
    families, family_sure = families.take(grown), family_sure[grown]
    return build_lineage(
        movie.t,
        movie.label,
        _edges((a, b, sure), (gaps.a[closed], gaps.b[closed], certain[bridged]), families, family_sure),
    )


def _per_frame(movie: Objects, pairs: Pairs) -> tuple[Ints, Floats]:
    """Chosen candidates of all pairs of frames, ascending, and their confidence."""
    bounds = np.searchsorted(pairs.a, movie.starts)
    chosen = [np.empty(0, np.int64)]
    for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        part = slice(start, stop)
        chosen.append(assign(pairs.a[part], pairs.b[part], pairs.cost[part]) + start)
    linked = np.concatenate(chosen)
    return linked, confidence(pairs.a, pairs.b, pairs.cost, linked)


def _partners(n: int, a: Ints, b: Ints) -> tuple[Ints, Ints]:
    following, preceding = np.full(n, -1, dtype=np.int64), np.full(n, -1, dtype=np.int64)
    following[a], preceding[b] = b, a
    return following, preceding


def _join(one: Families, two: Families) -> Families:
    return Families(
        np.concatenate([one.mother, two.mother]),
        np.concatenate([one.child, two.child]),
        np.concatenate([one.sister, two.sister]),
        np.concatenate([one.cost, two.cost]),
    )


def _all(families: Families) -> Ints:
    return np.arange(len(families.mother), dtype=np.int64)


def _edges(
    links: tuple[Ints, Ints, Floats], gaps: tuple[Ints, Ints, Floats], families: Families, family_sure: Floats
) -> Edges:
    """All joins; a link from a mother to the daughter it had continued as becomes a division."""
    to_children = ~np.isin(links[1], families.child)
    kept = tuple(values[to_children] for values in links)
    parts = (
        (kept[0], kept[1], kept[2], LINK),
        (*gaps, GAP),
        (families.mother, families.child, family_sure, DIVISION),
        (families.mother, families.sister, family_sure, DIVISION),
    )
    return Edges(
        np.concatenate([a for a, _, _, _ in parts]),
        np.concatenate([b for _, b, _, _ in parts]),
        np.concatenate([np.full(len(a), kind, dtype="U8") for a, _, _, kind in parts]),
        np.concatenate([sure for _, _, sure, _ in parts]),
    )
