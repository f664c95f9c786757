"""Track points from any source: the same linking without pixels.

Missing columns must not decide anything: without volumes all nuclei are alike, without intensities none count.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from tlseg.errors import LabelError
from tlseg.link.lineage import Lineage, with_tracks
from tlseg.link.link import link_objects
from tlseg.link.objects import OVERLAP_COLUMNS
from tlseg.link.settings import LinkSettings
from tlseg.measure.history import motherless
from tlseg.run.linking.linked import Linked, count
from tlseg.run.linking.point_columns import as_points, balls_of_planes
from tlseg.store.export.geff import detach, is_detached
from tlseg.store.export.target import local_target, only_entries, publishing
from tlseg.store.fs.paths import resolve
from tlseg.store.labels.points import SUFFIXES, read_points, write_points
from tlseg.store.labels.tracks import FOLDER, write_tracks

TABLE = "points"
_TABLES = tuple(f"{TABLE}{suffix}" for suffix in SUFFIXES)
_STEPS = 3
_PLACE = ("z", "y", "x")


def link_points(
    points: str | Path | pd.DataFrame,
    *,
    out: str | Path,
    settings: LinkSettings | None = None,
    interval_s: float | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Linked:
    """Track points through time.

    Parameters
    ----------
    points
        CSV, parquet or DataFrame with columns `t` (frame, a whole number) and `z, y, x` in micrometres (`z` may be
        absent). Optional: `label`, a number within the frame; `volume` in cubic micrometres; `intensity`, a mean.
        Or a nucleus table of tlseg, as stored or as CSV, whose columns in micrometres are used.
        Other columns stay.
    out
        Folder for `tracks.geff` and the table with `track, lineage, parent, generation` added; a DataFrame becomes a CSV.
    settings
        How to link.
    interval_s
        Seconds between frames, for the graph and for settings that are times.
    overwrite
        Replace an earlier result in `out`.
    progress
        Called with (done, total) steps: read, link, write.

    Raises
    ------
    LabelError
        If the table lacks a column or contains non-numeric values, or `out` may not be written.
    """
    began = time.monotonic()
    progress(0, _STEPS)
    chosen = (settings or LinkSettings()).with_interval(interval_s)
    target = local_target(out)
    if isinstance(points, pd.DataFrame):
        source, table, where = None, points.reset_index(drop=True), "The table of points"
    else:
        source, table, where = resolve(points), read_points(points), str(points)
    known = as_points(table, where=where)
    objects = objects_of(known, where=where)
    balls = balls_of_planes(table)
    progress(1, _STEPS)
    with publishing(target, overwrite=overwrite, replaceable=_is_ours, apart_from=source) as part:
        lineage = link_objects(
            objects if balls is None else objects.assign(volume_um3=balls),
            pd.DataFrame({name: np.zeros(0, np.int64) for name in OVERLAP_COLUMNS}),
            settings=chosen,
        )
        progress(2, _STEPS)
        part.mkdir()
        suffix = SUFFIXES[0] if source is None else Path(source).suffix
        write_points(part / f"{TABLE}{suffix.lower()}", _tracked(table, objects, lineage))
        _write_graph(part, known, objects, lineage, interval_s)
    progress(_STEPS, _STEPS)
    frames = int(objects["t"].max() - objects["t"].min()) + 1 if len(objects) else 0
    begun = motherless(lineage.nodes.assign(touches_edge=False), first=int(objects["t"].min()) if len(objects) else 0)
    return Linked(
        str(target),
        TABLE,
        frames,
        motherless=len(begun),
        notes=(),
        seconds=time.monotonic() - began,
        **count(lineage),
    )


def objects_of(table: pd.DataFrame, *, where: str) -> pd.DataFrame:
    """Return the points as `link_objects` takes them, one row each in the same order.

    Without volumes every nucleus is a ball of half the median distance to the nearest neighbour in its frame (of 5 um if all
    are alone): nuclei that touch.
    """
    missing = [name for name in ("t", "y", "x") if name not in table.columns]
    if missing:
        raise LabelError(
            f"{where} lacks {', '.join(missing)}; found {', '.join(map(str, table.columns)) or 'none'}. Expected t "
            "(frame) and z, y, x in micrometres."
        )
    known = [name for name in ("t", *_PLACE, "label", "volume", "intensity") if name in table.columns]
    try:
        numbers = table[known].astype(np.float64)
    except (TypeError, ValueError) as error:
        raise LabelError(f"{where} contains non-numeric values in {', '.join(known)} ({error}).") from error
    bad = ~np.isfinite(numbers.to_numpy()).all(axis=1)
    if bad.any():
        raise LabelError(
            f"{where}: row {int(np.flatnonzero(bad)[0]) + 1} has no value in one of {', '.join(known)}. Remove such rows or "
            "columns."
        )
    for name in ("t", "label"):
        if name in numbers and not _are_whole(numbers[name]):
            raise LabelError(
                f"{where}: {name} must be whole numbers from 0 to 2**53; t is a frame number, not a time in seconds."
            )
    objects = pd.DataFrame({"t": numbers["t"].astype(np.int64)})
    objects["label"] = numbers["label"].astype(np.int64) if "label" in numbers else objects.groupby("t").cumcount() + 1
    for axis in _PLACE:
        objects[f"{axis}_um"] = numbers.get(axis, 0.0)
    objects["volume_um3"] = numbers["volume"] if "volume" in numbers else _typical_volume(objects)
    objects["intensity_mean"] = numbers.get("intensity", 0.0)
    return objects


def _are_whole(values: pd.Series[float]) -> bool:
    """Whether these are whole numbers from 0 that floats still tell apart."""
    return bool(((values == values.round()) & (values >= 0) & (values < 2**53)).all())


def _typical_volume(objects: pd.DataFrame) -> float:
    distances = [np.empty(0)]
    for _, rows in objects.groupby("t"):
        if len(rows) > 1:
            place = rows[[f"{axis}_um" for axis in _PLACE]].to_numpy()
            distances.append(np.asarray(cKDTree(place).query(place, k=2)[0])[:, 1])
    nearest = np.concatenate(distances)
    nearest = nearest[nearest > 0]
    radius = float(np.median(nearest)) / 2 if len(nearest) else 5.0
    return 4 / 3 * math.pi * radius**3


def _tracked(table: pd.DataFrame, objects: pd.DataFrame, lineage: Lineage) -> pd.DataFrame:
    """The table as it was given, with its tracks."""
    kept = table.drop(columns=[n for n in ("track", "lineage", "parent", "generation") if n in table.columns])
    return with_tracks(kept.assign(t=objects["t"], label=objects["label"]), lineage)


def _write_graph(
    part: Path, known: pd.DataFrame, objects: pd.DataFrame, lineage: Lineage, interval_s: float | None
) -> None:
    nodes = lineage.nodes.merge(objects.drop(columns="intensity_mean"), on=["t", "label"], validate="one_to_one")
    graph = write_tracks(
        part,
        nodes if "volume" in known.columns else nodes.drop(columns="volume_um3"),
        lineage.edges,
        spacing_um=(1.0, 1.0, 1.0),
        interval_s=interval_s,
        name=TABLE,
        axes="tzyx" if "z" in known.columns else "tyx",
    )
    detach(graph.path)


def _is_ours(folder: Path) -> bool:
    named = only_entries(folder, lambda entry: entry == FOLDER or entry in _TABLES)
    return named and is_detached(folder / FOLDER)
