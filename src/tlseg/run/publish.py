"""Put a result where readers find it, in an order that a second start can continue from at any point.

A table in the scratch store says whether what exists under the result's name is this run's own. `complete: true` in
`run.json` is written last.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tlseg.geometry import ball_radius, volume_um3
from tlseg.label.patches import repairs_by_kind
from tlseg.link.lineage import Lineage
from tlseg.models.derive import nucleus_um
from tlseg.predict.normalise import FrameStatistics
from tlseg.run import finish
from tlseg.run.context import Output, RunContext
from tlseg.run.derived import LINKING, remove_derived
from tlseg.run.nucleus import SeenNucleus
from tlseg.run.repair import patches_of
from tlseg.run.rows import count_motherless, write_graph, write_rows
from tlseg.store.fs.durable import flush, flush_tree
from tlseg.store.labels.label_writer import create_labels
from tlseg.store.labels.record import new_record, provenance, write_record
from tlseg.store.labels.tracks import graph_of
from tlseg.store.locks.group_lock import turn
from tlseg.store.working.names import Table

if TYPE_CHECKING:
    from tlseg.run.planning import PlannedRun

BEGUN, CREATED = 0, 1


def open_output(planned: PlannedRun) -> Output:
    """Create the result's arrays, or continue with those of a run that was stopped while writing."""
    run, checked = planned.run, planned.checked
    created = CREATED in run.scratch.done(Table.OUTPUT, 0)
    run.scratch.put(Table.OUTPUT, 0, BEGUN)
    if not created:
        remove_derived(checked.folder, LINKING)  # the audit is this run's own
    image = checked.copied_image.open() if checked.image else None
    labels = create_labels(
        checked.root,
        name=checked.name,
        source=run.source,
        frames=None if checked.beside_movie else run.frames,
        mode="resume" if created else "overwrite",
    )
    run.scratch.put(Table.OUTPUT, 0, CREATED)
    return Output(labels, image)


def publish(
    planned: PlannedRun,
    output: Output,
    *,
    lineage: Lineage,
    audit: Mapping[str, Any],
    statistics: Mapping[int, FrameStatistics],
    seen: SeenNucleus,
    seconds: float,
) -> dict[str, Any]:
    """Write tables, tracks and metadata; the record with `complete: true` comes last."""
    run, checked = planned.run, planned.checked
    first = output.labels.first_frame
    rows = write_rows(checked.root, checked.name, finish.final_rows(run, lineage, first=first))
    nodes, edges = finish.final_lineage(lineage, first=first)
    write_graph(
        checked.root,
        checked.name,
        nodes,
        edges,
        rows,
        spacing_um=run.spacing_um,
        interval_s=run.source.interval_s,
        axes="tyx" if run.source.is_2d else "tzyx",
    )
    first_frame = statistics[run.frames[0]]
    facts = {
        "first_frame": [first_frame.low, first_frame.high],
        "saturated": _saturated(statistics),
        "frames": len(run.frames),
        "nuclei": len(lineage.nodes),
        "tracks": lineage.tracks,
        "divisions": lineage.divisions,
        **count_motherless(rows, first=run.first_seen - first),
        "fallback": int((rows["seed"] == "fallback").sum()),
        "repaired": int((rows["seed"] == "repaired").sum()),
        "repairs": repairs_by_kind(patch for frame in run.frames for patch in patches_of(run, frame)),
        "channels": list(run.source.channel_names),
        "model": {k: v for k, v in run.spec.to_dict().items() if k != "provenance"},
        "plan": planned.plan.to_dict(),
        "nucleus_um": {
            "median": _width_um(rows["volume_um3"].median(), run) if len(rows) else None,
            "learned": nucleus_um(run.spec.spacing_um),
            "seen": seen.width_um,
            "seen_in": seen.frame,
        },
        "audit": dict(audit),
    }
    record = new_record(planned.fingerprint(), facts, seconds=seconds)
    if output.image is not None:
        output.image.finish()
    output.labels.finish(
        provenance(record),
        source="../../" if checked.beside_movie or output.image is not None else None,
    )
    if checked.request.keep_maps:
        _keep_maps(planned)
    _flush(planned, output)
    write_record(checked.folder / "run.json", record)
    if not checked.root.remote:
        flush([(checked.folder / "run.json").path], below=checked.root.path)
    return record


def _saturated(statistics: Mapping[int, FrameStatistics]) -> dict[str, Any]:
    """How many frames are saturated, the worst of them, and the share of its voxels that have the greatest value."""
    shares = {frame: found.saturated for frame, found in statistics.items() if found.saturated}
    worst = max(shares, key=lambda frame: shares[frame], default=None)
    return {"frames": len(shares), "worst": worst, "share": 0.0 if worst is None else shares[worst]}


def _width_um(median_um3: float, run: RunContext) -> float:
    """Width of a ball of this volume or, in one plane, with this area as its cross section."""
    voxels = median_um3 / np.prod(run.spacing_um)
    return 2 * float(ball_radius(volume_um3(voxels, frame=run.source.frame_shape, spacing_um=run.spacing_um)))


def _flush(planned: PlannedRun, output: Output) -> None:
    """Wait until all but the record is on the disk: pixels are already, what is said about them is not."""
    checked = planned.checked
    if checked.root.remote:
        return
    root = checked.root.path
    flush_tree(root / "tables" / checked.name)
    with turn(checked.root):  # else another run may move the tracks
        if (graph := graph_of(checked.root, checked.name)) is not None:
            flush_tree(graph.path)
    arrays = [output.labels.arrays, *([] if output.image is None else [output.image.writer.arrays])]
    groups = [Path(a.group) / str(level) for a in arrays for level in range(len(a.pyramid.factors))]
    groups += [root, root / "labels", root / "labels" / checked.name, root / "tables"]
    flush((group / "zarr.json" for group in groups), below=root)
    flush([(checked.folder / "audit.json").path, checked.copied_image.record.path], below=root)


def _keep_maps(planned: PlannedRun) -> None:
    """Move the maps beside the record; where a stopped run has moved them already, they stay."""
    kept, maps = planned.checked.folder / "maps", planned.run.scratch.path / "maps"
    if not maps.exists():
        return
    kept.remove()
    if kept.remote:
        kept.put(maps)
    else:
        shutil.move(maps, kept.path)
