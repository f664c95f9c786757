"""Where tracked labels go, and how they get there: pixels region by region, then table and graph.

Existing results are replaced only on request, and the given labels never; only an unfinished run is simply started over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tlseg.errors import LabelError
from tlseg.link.lineage import Lineage, relabelled
from tlseg.run.derived import LINKING
from tlseg.run.linking.repair import Patches
from tlseg.run.linking.source import LabelInput
from tlseg.run.linking.tables import FrameSums, table_of
from tlseg.run.rows import count_motherless, write_graph, write_rows
from tlseg.store.fs.paths import check_name, real
from tlseg.store.fs.place import Place, place_of, writable
from tlseg.store.image.image_writer import ImageCopy
from tlseg.store.labels.protect import CopiedImage, check_unused


@dataclass(frozen=True, slots=True)
class LinkOutput:
    """Where a result goes.

    Attributes
    ----------
    root : Place
        OME-Zarr group.
    name : str
        Name of labels and table.
    beside : bool
        Whether the group also contains the given labels and their image.
    image : bool
        Whether the result includes a copy of the image.
    """

    root: Place
    name: str
    beside: bool
    image: bool

    @property
    def folder(self) -> Place:
        """Folder of the record."""
        return self.root / "tlseg" / self.name

    @property
    def record(self) -> Place:
        """The run record; it exists once everything else does."""
        return self.folder / "run.json"

    @property
    def unfinished(self) -> Place:
        """File that marks a run that began to write and has not finished."""
        return self.folder / LINKING


@dataclass(frozen=True, slots=True)
class Tracked:
    """Tracks of a label movie.

    Attributes
    ----------
    frames : list of FrameSums
        Measurements of each frame, with patches applied.
    lineage : Lineage
        Lineage of the labels in `frames`.
    patches : mapping of int to lists of Patch
        By frame, voxels that replace those of the given labels.
    patched : {"repaired", "corrected"}
        What the column `seed` says of their nuclei: whether tlseg or a person changed them.
    removed : mapping of int to arrays of int64
        By frame, labels that become background; the lineage has no rows for them.
    notes : tuple of str
        Notes on the tracks.
    """

    frames: list[FrameSums]
    lineage: Lineage
    patches: Patches = field(default_factory=dict)
    patched: Literal["repaired", "corrected"] = "repaired"
    removed: Mapping[int, NDArray[np.int64]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def numbers(self, frame: int) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
        """Labels of a frame with its patches, ascending, and the number each gets: its track, 0 where it is removed."""
        nodes = self.lineage.nodes
        here = nodes.iloc[slice(*np.searchsorted(nodes["t"].to_numpy(), [frame, frame + 1]))]
        removed = self.removed.get(frame, np.zeros(0, np.int64))
        old = np.concatenate([here["label"].to_numpy(dtype=np.int64), removed])
        new = np.concatenate([here["track"].to_numpy(dtype=np.uint32), np.zeros(len(removed), np.uint32)])
        order = np.argsort(old)
        return old[order], new[order]


def destination(
    source: LabelInput, out: str | Path | None, *, name: str | None, beside: str, image: bool, overridden: bool
) -> LinkOutput:
    """Decide where the result goes.

    Parameters
    ----------
    source
        The given labels.
    out, name, image
        As requested.
    beside
        Suffix of the result's name if it is written beside the given labels.
    overridden
        Whether spacing or interval were given instead of those in the files.

    Raises
    ------
    LabelError
        If the result cannot be written there.
    """
    own = source.own_name or "nuclei"
    if out is None and source.home is None:
        raise LabelError(
            f"{source.movie.source} is not in a local, writable OME-Zarr 0.5 image, so labels cannot be added "
            "there. Write elsewhere with --out RESULT.ome.zarr."
        )
    root = place_of(out if out is not None else str(source.home))
    if source.home is not None and real(root) == real(source.home):
        if overridden:
            raise LabelError(f"{root} has its own spacing and interval. To change them, write elsewhere with --out.")
        return LinkOutput(place_of(source.home), name or f"{own}-{beside}", beside=True, image=False)
    return LinkOutput(root, name or own, beside=False, image=image and source.has_image)


def check_target(source: LabelInput, target: LinkOutput, *, overwrite: bool) -> None:
    """Raise `LabelError` if the run would write into its input, or replace something without permission."""
    root, name = target.root, target.name
    check_name(name)
    place, given, out = root / "labels" / name, real(source.movie.source), real(root)
    if real(place) == given:
        raise LabelError(f"{place} are the labels that were given, and they are only read. Choose another --name.")
    whole = given.rsplit("/", 2)[0] if source.own_name else given
    if given == out or out.startswith(f"{whole}/"):
        raise LabelError(f"--out {root} lies inside {whole}, which is only read. Write beside it.")
    if root.remote and out == whole:
        raise LabelError(
            f"--out {root} is the movie itself. Pixels in an object store are not touched; write beside it."
        )
    with writable(root):
        begun, unfinished = (target.folder / "scratch").exists(), target.unfinished.exists()
    if begun:
        raise LabelError(
            f"{target.folder} holds an unfinished run of tlseg segment. Let it finish, or choose another --name."
        )
    may_replace = overwrite or unfinished
    if target.image:
        CopiedImage(root, source.base, source.frames).check(may_replace=may_replace, name=name)
    if not may_replace:
        check_unused(root, name)


def open_copy(source: LabelInput, target: LinkOutput) -> ImageCopy | None:
    """Start copying the image; return None if no copy is wanted, or it already exists."""
    copied = CopiedImage(target.root, source.base, source.frames)
    return None if not target.image or copied.is_whole() else copied.open()


def write_tables(source: LabelInput, target: LinkOutput, tracked: Tracked, *, first: int) -> dict[str, int]:
    """Write table and graph with final labels; `t` counts from the first frame of the result.

    Returns how many tracks begin without a mother, and how many of these at the frame's edge.
    """
    rows = write_rows(target.root, target.name, _final_rows(source, tracked, first=first))
    final = relabelled(tracked.lineage)
    write_graph(
        target.root,
        target.name,
        final.nodes.assign(t=final.nodes["t"] - first),
        final.edges.assign(t_a=final.edges["t_a"] - first, t_b=final.edges["t_b"] - first),
        rows,
        spacing_um=source.base.spacing_um,
        interval_s=source.base.interval_s,
        axes="tyx" if source.base.is_2d else "tzyx",
    )
    return count_motherless(rows, first=int(rows["t"].min()) if len(rows) else 0)


def _final_rows(source: LabelInput, tracked: Tracked, *, first: int) -> Iterator[pd.DataFrame]:
    """Yield the rows of the final table, frame by frame."""
    by_frame = dict(tuple(tracked.lineage.nodes.groupby("t")))
    for sums in tracked.frames:
        if sums.frame not in by_frame:
            continue
        table = table_of(source, sums)
        for patch in tracked.patches.get(sums.frame, []):
            table.loc[table["label"].isin(patch.labels), "seed"] = tracked.patched
        table = table.merge(by_frame[sums.frame].drop(columns="t"), on="label", validate="one_to_one")
        table["label"], table["t"] = table["track"], table["t"] - first
        yield table.sort_values("label", ignore_index=True)
