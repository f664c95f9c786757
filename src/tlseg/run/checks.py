"""May a run write to its output? Answered before any work, without writing.

Pixels and results that this run did not make are never touched without --overwrite, and images that no run of tlseg
copied not even with it.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tlseg.errors import LabelError, MovieError, PlanError
from tlseg.models.derive import NUCLEUS, nucleus_um
from tlseg.store.fs.paths import is_url, real
from tlseg.store.fs.place import Place, place_of, writable
from tlseg.store.image.movie import MovieSource
from tlseg.store.labels.label_group import check_root
from tlseg.store.labels.protect import check_unused
from tlseg.store.working.names import Table
from tlseg.store.working.scratch import Scratch

if TYPE_CHECKING:
    from tlseg.models.bundle import ModelSpec
    from tlseg.run.request import CheckedRequest

MOST_FINER = 32
"""Voxels of the model's grid that one of the movie may become along an axis; a nucleus is about 16 wide there."""

LEAST_WIDTH = 1 / 4
"""Smallest width of a frame, in nuclei."""

SCRATCH_EXPECTED = "Expected a local folder that all workers can see."


def destination(source: MovieSource, out: str | Path | None, *, for_planning: bool) -> Place:
    """Group that gets the labels: `out`, or the movie itself.

    Raises
    ------
    LabelError
        When labels do not belong there. Whether they can be written there is for `check_access` to say.
    """
    if out is None:
        if is_url(source.url) and not for_planning:
            raise _not_beside(source)
        return Place(source.url)
    root = place_of(out)
    here, movie = real(root), real(source.url)
    if here == movie:
        raise LabelError(f"--out is the movie itself. {_instead(root)}")
    if here.startswith(f"{movie}/"):
        raise LabelError(f"--out {root} lies inside the movie. Write beside it, or omit --out.")
    _check_group(root)
    return root


def check_access(checked: CheckedRequest) -> None:
    """Raise if labels or working files cannot be written; not asked of a result that is complete already.

    Raises
    ------
    LabelError
        When labels cannot be written there.
    PlanError
        When working files cannot.
    """
    root = checked.root
    if checked.beside_movie and not checked.source.writable:
        raise _not_beside(checked.source)
    if not root.remote and not os.access(there := _existing(root.path), os.W_OK):
        raise LabelError(f"{there} cannot be written to. Write elsewhere with --out.")
    check_scratch_access(checked.request.scratch)


def check_scratch_access(scratch: str | Path | None) -> None:
    """Raise `PlanError` if a folder for working files is named that cannot be written to."""
    if scratch is not None and not os.access(there := _existing(Path(real(scratch))), os.W_OK):
        raise PlanError(f"--scratch {scratch}: {there} cannot be written to. {SCRATCH_EXPECTED}")


def check_existing(checked: CheckedRequest) -> None:
    """Raise `LabelError` when the run would replace what it did not make and may not replace.

    The answer holds as long as nobody else writes there, so it is checked early, and again by the holder of the lock.
    """
    may_replace = checked.request.overwrite or bool(Scratch.at(checked.working_files).done(Table.OUTPUT, 0))
    if checked.image:
        checked.copied_image.check(may_replace=may_replace, name=checked.name)
    if not may_replace:
        check_unused(checked.root, checked.name)


def check_spacing(source: MovieSource, spec: ModelSpec) -> None:
    """Raise `MovieError` if voxels are so large, or frames so small, that their spacing must be in another unit."""
    finer = np.divide(source.spacing_um, spec.spacing_um)
    if source.frame_shape[0] == 1:
        finer = finer[1:]  # how thick a single plane is does not matter
    nucleus = NUCLEUS ** (len(finer) / 3)
    if finer.max() > MOST_FINER or finer.prod() > nucleus:
        found, meant = "voxels are larger than a nucleus", "nanometres"
    elif finer.prod() * math.prod(source.frame_shape) < nucleus * LEAST_WIDTH ** len(finer):
        found, meant = "a whole frame is far smaller than a nucleus", "millimetres or metres"
    else:
        return
    axes = "yx" if source.is_2d else "zyx"
    spacing = ", ".join(f"{s:g}" for s in source.spacing_um[-len(axes) :])
    raise MovieError(
        f"{source.url}: with a spacing of {spacing} um ({', '.join(axes)}), {found}, which is about "
        f"{nucleus_um(spec.spacing_um):.3g} um wide to the model {spec.name!r}. The spacing may have been given in {meant}; "
        f"correct it with: tlseg convert {Path(source.url).name} OUT.ome.zarr --spacing {','.join(axes).upper()} "
        "(micrometres). For nuclei of another width, give it with --nucleus-um."
    )


def check_scratch(root: Place, scratch: str | Path | None, *, movie: str, elsewhere: bool) -> None:
    """Raise `PlanError` if working files do not belong there, or workers on other machines would not find them.

    Parameters
    ----------
    root
        Output of the run.
    scratch
        Folder for working files, if one was named.
    movie
        The movie to segment; only labels and what belongs to them are written into it.
    elsewhere
        Whether workers may run on other machines.
    """
    if scratch is not None:
        _check_scratch_folder(str(scratch), movie)
    if root.remote and scratch is None and elsewhere:
        raise PlanError(
            f"{root} is an object store, which cannot hold working files, and workers may run on other machines. Name a "
            "folder that all of them can see with --scratch DIR."
        )


def _check_scratch_folder(scratch: str, movie: str) -> None:
    if not scratch or is_url(scratch):
        raise PlanError(f"--scratch is {scratch!r}. {SCRATCH_EXPECTED}")
    here, whole = real(scratch), real(movie)
    if f"{here}/".startswith(f"{whole}/"):
        raise PlanError(f"--scratch {scratch} lies inside the movie. Name a folder beside it.")
    if not (there := _existing(Path(here))).is_dir():
        raise PlanError(f"--scratch {scratch}: {there} is a file. {SCRATCH_EXPECTED}")


def why_not_beside(source: MovieSource) -> str:
    """Say why labels cannot be added to the movie itself; empty if they can."""
    if source.writable:
        return ""
    if is_url(source.url):
        return "it is not on this machine"
    return "it is read-only" if source.version == "0.5" else f"it is OME-Zarr {source.version}"


def _not_beside(source: MovieSource) -> LabelError:
    return LabelError(
        f"Labels cannot be added to {source.url}: {why_not_beside(source)}. Expected a local, writable OME-Zarr 0.5 group; "
        "write elsewhere with --out RESULT.ome.zarr."
    )


def _existing(path: Path) -> Path:
    """The path, or what exists of it."""
    return next(part for part in (path, *path.parents) if part.exists())


def _instead(root: Place) -> str:
    if root.remote:
        return "Pixels in an object store are not touched; write beside the movie."
    return f"Omit --out to add labels to {root}."


def _check_group(root: Place) -> None:
    """Raise unless `root` is an OME-Zarr 0.5 group, or nothing is there."""
    if not root.remote and root.exists() and not root.is_dir():
        raise LabelError(f"{root} is a file. Expected an OME-Zarr 0.5 group or a new path.")
    with writable(root):
        check_root(root)
