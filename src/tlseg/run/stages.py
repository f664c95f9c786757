"""The stages of a run: each reads what it needs from stores, does its part, and stores pixels and a small table there.

Every function here is one task: it can be repeated, run anywhere and in any order within its stage, and returns a few
numbers, never pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlseg.geometry import Box
from tlseg.label.block import detect as detect_block
from tlseg.label.block import detect_halo, label_block, number_frame
from tlseg.measure.objects import ObjectSums, add_overlaps, add_sums, crop_to_measure, measure_block, overlaps
from tlseg.models.bundle import ModelSpec, Role
from tlseg.predict.brightness import measure_brightness
from tlseg.predict.infer import load_predictor
from tlseg.predict.maps import blend, predict_windows, read_window
from tlseg.predict.normalise import FrameStatistics
from tlseg.run.context import Output, RunContext
from tlseg.run.repair import read_labels
from tlseg.run.tables import load_detection, load_numbers, save_detection, save_numbers
from tlseg.store.image.movie import MovieSource
from tlseg.store.working.names import Table, predicted


def find_statistics(run: RunContext, frame: int) -> FrameStatistics:
    """Grey values of a frame that become 0 and 1, chunk by chunk; also finds NaN, constant frames and broken chunks."""
    return frame_statistics(run.source, run.spec, frame, skip=run.skip)


def frame_statistics(source: MovieSource, spec: ModelSpec, frame: int, *, skip: frozenset[int]) -> FrameStatistics:
    """The same, without a run; a skipped frame is not read."""
    if frame in skip:
        return FrameStatistics(0.0, 1.0, spec.scaling)
    return measure_brightness(
        lambda box: source.read(frame, box),
        shape=source.frame_shape,
        dtype=source.dtype,
        spacing_um=source.spacing_um,
        grid_um=spec.spacing_um,
        scaling=spec.scaling,
        frame=frame,
        chunk=source.chunk_shape,
    )


def predict(
    run: RunContext,
    role: Role,
    units: tuple[tuple[int, int], ...],
    statistics: dict[int, FrameStatistics],
) -> int:
    """Run one network on windows (frame, window number) and store their maps; returns how many it did not see.

    All maps of a skipped frame are 0.
    """
    source, spec, lattice = run.source, run.spec, run.lattice(role)
    seen = [(frame, number) for frame, number in units if frame not in run.skip]
    for frame, number in units:
        if frame in run.skip:
            _put_map(run, role, frame, number, np.zeros(lattice.shape, dtype=np.uint8), batch=1)
    if not seen:
        return len(units)
    windows = np.stack(
        [
            read_window(
                lambda box, t=frame: source.read(t, box),  # type: ignore[misc]
                lattice.box(number),
                shape=source.frame_shape,
                spacing_um=source.spacing_um,
                to=spec.spacing_um,
                statistics=statistics[frame],
            )
            for frame, number in seen
        ]
    )
    predictor = load_predictor(run.model_folder, run.model_digest, role, run.device, flips=spec.flips)
    network = partial(predictor, threads=run.threads)
    maps, computed = predict_windows(windows, network, dark_threshold=spec.dark_threshold)
    for (frame, number), values in zip(seen, maps, strict=True):
        _put_map(run, role, frame, number, values, batch=predictor.batch or 1)
    return len(units) - computed


def detect(run: RunContext, frame: int, block: int) -> int:
    """Blend windows into the maps of a block, and find its candidates and components; returns how many candidates.

    A second call does nothing: the windows may be gone.
    """
    if run.scratch.has(Table.DETECT, frame, block):
        return len(load_detection(run.scratch, frame, block).candidates.position)
    everything, core = run.frame_box, run.grid[block]
    row, halo = run.row(frame), detect_halo(run.settings, run.spacing_um)
    crop = core.grow(halo).intersect(everything)
    maps = []
    for role in run.roles:
        maps.append(
            blend(
                lambda number, box, role=role: run.scratch.read(role, (row, number, *box.slices), frame=frame),  # type: ignore[misc]
                crop,
                lattice=run.lattice(role),
                spacing_um=run.spacing_um,
                to=run.spec.spacing_um,
            )
        )
    inner = core.inside(crop).slices
    run.scratch.write("maps", (row, slice(None), *core.slices), np.stack([m[inner] for m in maps]))
    found = detect_block(
        maps[0],
        maps[-1],
        crop=crop,
        core=core,
        frame=everything,
        spacing_um=run.spacing_um,
        settings=run.settings,
    )
    save_detection(run.scratch, frame, block, found)
    return len(found.candidates.position)


def number(run: RunContext, frame: int) -> int:
    """Decide seeds, fallbacks and numbers of a frame; returns how many instances it has."""
    detections = [load_detection(run.scratch, frame, block) for block in range(len(run.grid))]
    numbers = number_frame(detections, run.grid, spacing_um=run.spacing_um, settings=run.settings)
    save_numbers(run.scratch, frame, numbers)
    return numbers.total


def flood(run: RunContext, frame: int, block: int) -> int:
    """Label a block's core, certified; returns how many floods it took."""
    core = run.grid[block]
    row = run.row(frame)

    def read(box: Box) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        both = run.scratch.read("maps", (row, slice(None), *box.slices), frame=frame)
        return both[0], both[-1]

    labelled = label_block(
        read,
        load_numbers(run.scratch, frame, block),
        core=core,
        frame=run.frame_box,
        spacing_um=run.spacing_um,
        settings=run.settings,
        most_voxels=run.most_voxels,
    )
    if run.scratch.has(Table.FLOOD, frame, block):
        # Another worker was faster, and the labels may be dropped since.
        return labelled.tries
    run.scratch.write("labels", (row, *core.slices), labelled.labels)
    z, y, x = labelled.beyond
    run.scratch.put(
        Table.FLOOD, frame, block, z=z, y=y, x=x, halo=np.array(labelled.halo), tries=np.array(labelled.tries)
    )
    return labelled.tries


def measure(run: RunContext, frame: int, block: int) -> tuple[int, int]:
    """Measure a block's nuclei, their overlaps with the next frame, and whether it agrees with its neighbours.

    Returns the voxels compared across faces, and how many of them disagree.
    """
    grid, everything, row = run.grid, run.frame_box, run.row(frame)
    core = grid[block]
    before = crop_to_measure(core, everything)
    labels = run.scratch.read("labels", (row, *before.slices), frame=frame)
    sums = measure_block(
        labels,
        run.source.read(frame, core),
        crop=before,
        core=core,
        frame=everything,
        spacing_um=run.spacing_um,
    )
    mine = labels[core.inside(before).slices]
    shared = np.zeros((0, 3), dtype=np.int64)
    if frame + 1 in run.frames:
        shared = overlaps(mine, run.scratch.read("labels", (row + 1, *core.slices), frame=frame + 1))
    # The flood's table holds whole planes; the audit of all blocks needs only these four numbers of it.
    claims = run.scratch.get(Table.FLOOD, frame, block) if run.settings.method == "qcanet" else {}
    compared, wrong = _compare_faces(run, frame, block, claims)
    flooded = np.array([claims["tries"], *claims["halo"]] if claims else np.zeros(4), dtype=np.int64)
    seam = np.array([compared, wrong])
    run.scratch.put(Table.MEASURE, frame, block, overlaps=shared, seam=seam, flooded=flooded, **sums.to_arrays())
    return compared, wrong


def summarise(run: RunContext, frame: int) -> int:
    """Add up the blocks of a frame; returns its number of nuclei."""
    parts, shared, flooded, seam = [], [], [], np.zeros(2, dtype=np.int64)
    for block in range(len(run.grid)):
        stored = run.scratch.get(Table.MEASURE, frame, block)
        shared.append(stored.pop("overlaps"))
        flooded.append(stored.pop("flooded"))
        seam += stored.pop("seam")
        parts.append(ObjectSums(**stored))
    sums = add_sums(parts)
    tries, halos = np.split(np.stack(flooded), [1], axis=1)
    # First the audit: a frame whose objects are there is not summarised again.
    run.scratch.put(
        Table.AUDIT,
        frame,
        0,
        seam=seam,
        tries=_counted(tries[tries > 0]),
        halo=halos.max(axis=0),
        batches=_counted(np.array(_batches(run, frame), dtype=np.int64)),
    )
    run.scratch.put(Table.OBJECTS, frame, 0, overlaps=add_overlaps(shared), **sums.to_arrays())
    return len(sums.label)


def write(run: RunContext, output: Output, frame: int, region: int) -> int:
    """Write final labels of a region at every level, each nucleus under its track's number."""
    track = run.scratch.get(Table.TRACKS, frame, 0)["track"]
    box = output.labels.regions[region]
    labels = read_labels(run, frame, box)
    # Final labels lie where those of the next run will, so a task that was left over from an earlier one stops here.
    run.scratch.hold()
    output.labels.write(frame, box, track[labels])
    output.labels.flush(frame, box)
    if output.image is not None:
        output.image.write(frame, box)
        output.image.flush(frame, box)
    run.scratch.put(Table.WRITE, frame, region)
    return int(box.size)


def _put_map(run: RunContext, role: Role, frame: int, number: int, values: NDArray[np.uint8], *, batch: int) -> None:
    """Keep the map of one window, and that it was made in a batch of this size."""
    run.scratch.write(role, (run.row(frame), number), values)
    run.scratch.put(predicted(role), frame, number, batch=np.array(batch))


def _counted(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows (value, how often)."""
    return np.stack(np.unique(values, return_counts=True), axis=1)


def _batches(run: RunContext, frame: int) -> list[int]:
    """Size of the batch in which each window of a frame was computed; on a CPU always 1, without reading it."""
    scratch = run.scratch
    tables = [(predicted(role), number) for role in run.roles for number in scratch.done(predicted(role), frame)]
    if run.device == "cpu":
        return [1] * len(tables)
    return [int(scratch.get(table, frame, number)["batch"]) for table, number in tables]


def _compare_faces(run: RunContext, frame: int, block: int, claims: Mapping[str, NDArray[Any]]) -> tuple[int, int]:
    """Compare what this block's flood says (claims) about its neighbours' first planes with what they say."""
    grid, row = run.grid, run.row(frame)
    core = grid[block]
    floods = bool(claims)
    fallback = run.scratch.get(Table.NUMBERS, frame, 0)["fallback_labels"] if floods else None
    compared = wrong = 0
    for axis, name in enumerate("zyx"):
        if core.stop[axis] == grid.frame[axis]:
            continue
        after = list(core.slices)
        after[axis] = slice(core.stop[axis], core.stop[axis] + 1)
        theirs = run.scratch.read("labels", (row, *after), frame=frame).squeeze(axis)
        last = list(core.slices)
        last[axis] = slice(core.stop[axis] - 1, core.stop[axis])
        mine = run.scratch.read("labels", (row, *last), frame=frame).squeeze(axis)
        # A fallback instance is a whole component, so it goes on unchanged wherever foreground does.
        whole = (mine > 0) & (theirs > 0)
        if fallback is not None:
            whole &= np.isin(mine, fallback) | np.isin(theirs, fallback)
        compared += int(whole.sum())
        wrong += int((whole & (mine != theirs)).sum())
        if floods:
            sure = claims[name] > 0
            compared += int((sure & ~whole).sum())
            wrong += int((sure & (claims[name] != theirs)).sum())
    return compared, wrong
