"""From provisional labels of every frame to a finished result: tracks, final numbers, tables and the record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tlseg.errors import RunError
from tlseg.geometry import volume_um3
from tlseg.label.small import large_enough
from tlseg.link.lineage import Lineage
from tlseg.link.link import link_objects
from tlseg.link.repair import find_repairs
from tlseg.link.settings import LinkSettings
from tlseg.measure.objects import ObjectSums, object_table
from tlseg.run import repair, stages
from tlseg.run.context import Output, RunContext
from tlseg.run.tasks.flow import Flow, Task, Tasks
from tlseg.store.working.names import Stage, Table

OBJECT_KEYS = ("t", "label", "z_um", "y_um", "x_um", "volume_voxels", "volume_um3", "intensity_mean")


def frame_objects(run: RunContext, frame: int) -> pd.DataFrame:
    """Nuclei of one frame under their provisional numbers, those too small left out; `t` is the frame of the movie.

    What is too small is decided once, on the nuclei as they were flooded. Repairs change the frame's median volume: asked
    again, other labels would come and go, and parts that tracks say are nuclei would be lost.
    """
    sums, repaired = repair.mended_sums(run, frame)
    table = _table(run, frame, sums, dropped=_too_small(run, repair.certified_sums(run, frame)))
    table.loc[table["label"].isin(repaired), "seed"] = "repaired"
    return table


def decide_repairs(run: RunContext, *, settings: LinkSettings) -> None:
    """Store the repairs to make in each frame, unless an earlier start did."""
    if repair.decided(run):
        return
    tables = []
    for frame in run.frames:
        sums = repair.certified_sums(run, frame)
        tables.append(_table(run, frame, sums, dropped=_too_small(run, sums))[list(OBJECT_KEYS)])
    objects = pd.concat(tables, ignore_index=True)
    shared = _overlaps(run, objects, repair.certified_overlaps)
    found = find_repairs(objects, shared, settings=settings)
    repair.store_repairs(run, found, {frame: _total(run, frame) for frame in run.frames})


def link_frames(run: RunContext, *, settings: LinkSettings) -> Lineage:
    """Link all frames, and store for each frame the final numbers of its labels."""
    tables = [frame_objects(run, frame)[list(OBJECT_KEYS)] for frame in run.frames]
    objects = pd.concat(tables, ignore_index=True)
    # In 2D, nuclei are areas in the table, and to linking the balls of which these are cross sections.
    shape = run.source.frame_shape
    objects["volume_um3"] = volume_um3(objects["volume_voxels"], frame=shape, spacing_um=run.spacing_um)
    lineage = link_objects(objects, _overlaps(run, objects, repair.mended_overlaps), settings=settings)
    if len(lineage.nodes) and int(lineage.nodes["track"].max()) > np.iinfo(np.uint32).max:
        raise RunError("There are more tracks than 32 bits can number.")
    by_frame = dict(tuple(lineage.nodes.groupby("t")))
    for frame in run.frames:
        track = np.zeros(_total(run, frame) + repair.added(run, frame) + 1, dtype=np.uint32)
        rows = by_frame.get(frame)
        if rows is not None:
            track[rows["label"].to_numpy()] = rows["track"].to_numpy()
        run.scratch.put(Table.TRACKS, frame, 0, track=track)
    return lineage


def final_rows(run: RunContext, lineage: Lineage, *, first: int) -> Iterator[pd.DataFrame]:
    """Rows of the final table, frame by frame; `label` is the track and `t` counts from the result's first frame."""
    by_frame = dict(tuple(lineage.nodes.groupby("t")))
    for frame in run.frames:
        if frame not in by_frame:
            continue
        nodes = by_frame[frame].drop(columns="t")
        rows = frame_objects(run, frame).merge(nodes, on="label", validate="one_to_one")
        rows["label"] = rows["track"]
        rows["t"] -= first
        yield rows.sort_values("label", ignore_index=True)


def final_lineage(lineage: Lineage, *, first: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Nodes and edges under final labels, with frames counted from the result's first."""
    nodes, edges = lineage.nodes.copy(), lineage.edges.copy()
    track = nodes.set_index(["t", "label"])["track"]
    for end in ("a", "b"):
        keys = pd.MultiIndex.from_arrays([edges[f"t_{end}"], edges[f"label_{end}"]])
        edges[f"label_{end}"] = track.reindex(keys).to_numpy()
        edges[f"t_{end}"] -= first
    nodes["label"] = nodes["track"]
    nodes["t"] -= first
    return nodes, edges


def write_flows(run: RunContext, output: Output) -> Iterator[Flow]:
    """Flows that write final labels, one per frame; a frame's provisional labels are dropped when it is written."""

    def write_frame(frame: int) -> Flow:
        done = run.scratch.done(Table.WRITE, frame)
        yield Tasks(
            [region for region in range(len(output.labels.regions)) if region not in done],
            lambda region: Task(Stage.WRITE, frame, region, stages.write, (run, output, frame, region)),
        )
        run.scratch.drop("labels", run.row(frame))

    return (write_frame(frame) for frame in run.frames)


def _too_small(run: RunContext, sums: ObjectSums) -> NDArray[np.int64]:
    """Numbers of a frame's nuclei that are too small to keep."""
    frame = run.source.frame_shape
    return sums.label[~large_enough(sums.voxels, frame=frame, spacing_um=run.spacing_um, settings=run.settings)]


def _table(run: RunContext, frame: int, sums: ObjectSums, *, dropped: NDArray[np.int64]) -> pd.DataFrame:
    table = object_table(
        sums,
        t=frame,
        spacing_um=run.spacing_um,
        origin_um=run.source.translation_um,
        fallback=_fallback_labels(run, frame),
    )
    return table[~table["label"].isin(dropped)].reset_index(drop=True)


def _overlaps(run: RunContext, objects: pd.DataFrame, of: Callable[[RunContext, int], pd.DataFrame]) -> pd.DataFrame:
    """Overlaps of consecutive frames between nuclei that were kept."""
    kept = {frame: set(rows["label"]) for frame, rows in objects.groupby("t")}
    parts = []
    for frame in run.frames[:-1]:
        rows = of(run, frame)
        rows.insert(0, "t", frame)
        here, after = kept.get(frame, set()), kept.get(frame + 1, set())
        parts.append(rows[rows["label_a"].isin(here) & rows["label_b"].isin(after)])
    if not parts:
        return pd.DataFrame({name: np.zeros(0, np.int64) for name in ("t", "label_a", "label_b", "voxels")})
    return pd.concat(parts, ignore_index=True)


def _fallback_labels(run: RunContext, frame: int) -> Any:
    """Provisional labels of a frame that had no seed; with components, all of them."""
    if run.settings.method == "components":
        return np.arange(1, _total(run, frame) + 1)
    return run.scratch.get(Table.NUMBERS, frame, 0)["fallback_labels"]


def _total(run: RunContext, frame: int) -> int:
    table = Table.COMPONENTS if run.settings.method == "components" else Table.NUMBERS
    return int(run.scratch.get(table, frame, 0)["total"])
