"""The lineage tree: tracks as lines over time, divisions as forks, each line in its nucleus' colour.

A mother lies midway between her daughters and families keep together, so lines never cross.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from tlseg.report.pixels import hex_color
from tlseg.report.svg import Frame, Raw, Scale, axes, figure, number, path, tag
from tlseg.report.timing import Clock

MOST_LEAVES = 400
_PITCH = ((30, 19.0), (80, 12.0), (200, 7.0), (MOST_LEAVES, 4.0))  # pixels between leaves, by how many there are
MOST_RINGS = 2_000
_NUMBERED = 9.0  # pixels between leaves from which numbers fit


@dataclass(frozen=True, slots=True)
class Tree:
    """A drawing of families, how many of them it shows, and their tracks."""

    drawing: Raw
    shown: int
    families: int
    tracks: tuple[int, ...]


_USED = ["track", "parent", "first", "last", "divided"]


def rows_of(tracks: pd.DataFrame) -> dict[int, float]:
    """Row of each track, leaves on whole numbers and each mother midway between her daughters.

    Parameters
    ----------
    tracks : DataFrame
        A track table; families follow each other by their founder.
    """
    children = _children(tracks)
    rows: dict[int, float] = {}
    leaf = 0
    for founder in tracks.loc[tracks["parent"] == 0, "track"]:
        stack = [(int(founder), False)]
        while stack:
            track, seen = stack.pop()
            below = children.get(track, [])
            if not below:
                rows[track], leaf = float(leaf), leaf + 1
            elif seen:
                rows[track] = (rows[below[0]] + rows[below[-1]]) / 2
            else:
                stack.append((track, True))
                stack.extend((child, False) for child in reversed(below))
    return rows


def lineage_tree(
    tracks: pd.DataFrame, missing: pd.DataFrame, *, frames: int, clock: Clock, repaired: pd.DataFrame | None = None
) -> Tree:
    """Draw families over time.

    Parameters
    ----------
    tracks : DataFrame
        A track table, see `history.track_table`.
    missing : DataFrame
        Frames in which tracks were not seen, see `history.gaps`; drawn thin and dashed, as are mothers
        and daughters that were not seen right at their division.
    frames : int
        Frames of the movie.
    clock : Clock
        Unit of the time axis.
    repaired : DataFrame, optional
        Nuclei (`track`, `t`) that were repaired; ringed, the first `MOST_RINGS` of them.

    Returns
    -------
    Tree
        If there are more than `MOST_LEAVES` leaves, the families with most divisions are shown.
    """
    families = int((tracks["parent"] == 0).sum())
    chosen = _largest_families(tracks)
    rows = rows_of(chosen)
    leaves = int((chosen["divided"] < 0).sum())
    pitch = next((p for most, p in _PITCH if leaves <= most), _PITCH[-1][1])
    last_row = max(rows.values(), default=0.0)
    frame = Frame(width=960, height=last_row * pitch + 84, left=26, right=52, top=20, bottom=44)
    x = Scale(clock.at(0), clock.at(max(frames - 1, 1)), *frame.x)
    y = Scale(0.0, max(last_row, 1.0), frame.top + 6, frame.top + 6 + max(last_row, 1.0) * pitch)
    back = axes(frame, x=x, y=y, x_label=clock.axis, y_label="nuclei", y_ticks=[], x_ticks=clock.ticks(frames))
    forks, lines, names = [], [], []
    children, holes = _children(chosen), _holes(missing)
    born = dict(zip(chosen["track"].tolist(), chosen["divided"].tolist(), strict=True))
    numbered = pitch >= _NUMBERED
    for track, parent, first, last, divided in chosen[_USED].itertuples(index=False):
        level = y(rows[track])
        below = children.get(track, [])
        end = divided if below else last
        begin = born[parent] if parent > 0 else first
        seen, unseen = _stretches(begin, first, last, end, holes.get(track, []))
        if below:
            at = number(x(clock.at(divided)))
            outer = (rows[below[0]], rows[below[-1]])
            forks.append(tag("line", x1=at, x2=at, y1=y(outer[0]), y2=y(outer[1]), class_="fork"))
        lines.append(_line(track, level, seen, unseen, x, clock))
        if numbered and not below:
            names.append(tag("text", track, x=x(clock.at(end)) + 6, y=level, dy=".33em", class_="name"))
        elif numbered:
            names.append(tag("text", track, x=x(clock.at(first)) + 3, y=level - 3, class_="name"))
    marks = [tag("g", *forks, class_="forks"), tag("g", *lines, class_="labelled tracks"), tag("g", *names)]
    if repaired is not None:
        rings = repaired.loc[repaired["track"].isin(list(rows)), ["track", "t"]].head(MOST_RINGS)
        marks += [
            _ring(int(track), clock.number(t), x(clock.at(int(t))), y(rows[int(track)]))
            for track, t in rings.to_numpy()
        ]
    drawing = figure(frame, back, *marks, title="Lineage tree", class_="wide", time=Scale(0, frames - 1, *frame.x))
    return Tree(drawing, int((chosen["parent"] == 0).sum()), families, tuple(chosen["track"].tolist()))


def _stretches(begin: int, first: int, last: int, end: int, holes: list[int]) -> tuple[list[int], list[int]]:
    """Pairs of frames between which a track was seen, and between which it must have been there.

    It lived from `begin` to `end`, the frames of the divisions before and after it, and was seen from `first` to `last`.
    """
    seen, unseen = [first, *holes, last], [*holes]
    if end == last + 1:
        seen[-1] = end
    elif end > last:
        unseen += [last, end]
    return seen, [begin, first, *unseen] if first > begin else unseen


def _line(track: int, level: float, seen: list[int], unseen: list[int], x: Scale, clock: Clock) -> Raw:
    """Line of a track: solid between pairs of frames it is seen in, dashed between those it must have been there."""

    def strokes(stops: list[int]) -> str:
        pairs = zip(stops[::2], stops[1::2], strict=True)
        return "".join(path([(x(clock.at(a)), level), (x(clock.at(b)), level)]) for a, b in pairs)

    if len(seen) == 2 and seen[0] == seen[1]:
        drawn = [tag("circle", cx=x(clock.at(seen[0])), cy=level, r=3, fill=hex_color(track))]
    else:
        drawn = [tag("path", d=strokes(seen), stroke=hex_color(track))]
    if unseen:
        drawn.append(tag("path", d=strokes(unseen), stroke=hex_color(track), class_="unseen"))
    about = f"track {track}: frames {clock.number(seen[0])} to {clock.number(seen[-1])}"
    return tag("g", tag("title", about), *drawn, data_track=track)


def _ring(track: int, t: int, x: float, y: float) -> Raw:
    return tag("circle", tag("title", f"track {track}: repaired in frame {t}"), cx=x, cy=y, r=3.6, class_="repaired")


def _children(tracks: pd.DataFrame) -> Mapping[int, list[int]]:
    known: dict[int, list[int]] = {}
    for track, parent in tracks.loc[tracks["parent"] > 0, ["track", "parent"]].itertuples(index=False):
        known.setdefault(int(parent), []).append(int(track))
    return known


def _holes(missing: pd.DataFrame) -> Mapping[int, list[int]]:
    """Last frame before and next frame after each hole, in order, by track."""
    holes: dict[int, list[int]] = {}
    for track, t, t_next in missing[["track", "t", "t_next"]].itertuples(index=False):
        holes.setdefault(int(track), []).extend((int(t), int(t_next)))
    return holes


def _largest_families(tracks: pd.DataFrame) -> pd.DataFrame:
    """Tracks of as many families as `MOST_LEAVES` leaves allow, those with most tracks first."""
    is_leaf = tracks["divided"] < 0
    if is_leaf.sum() <= MOST_LEAVES:
        return tracks
    founder = _founders(tracks)
    sizes = pd.DataFrame({"founder": founder, "leaf": is_leaf, "frames": tracks["frames"]}).groupby("founder").sum()
    sizes = sizes.sort_values(["leaf", "frames"], ascending=False, kind="stable")
    fits = sizes.index[sizes["leaf"].cumsum() <= MOST_LEAVES]
    kept = fits if len(fits) else sizes.index[:1]
    return tracks[founder.isin(kept)]


def _founders(tracks: pd.DataFrame) -> pd.Series[int]:
    """Track without a mother from which each track comes."""
    founder: dict[int, int] = {}
    ordered = tracks.sort_values("first", kind="stable")
    for track, mother in zip(ordered["track"], ordered["parent"], strict=True):
        founder[int(track)] = founder.get(int(mother), int(mother)) if mother else int(track)
    return tracks["track"].map(founder)
