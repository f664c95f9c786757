"""May a run write where it was told to? Answered before any work, without writing.

Pixels and results that this run did not make are never touched without --overwrite, and images that no run of tlseg
copied not even with it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlseg.errors import LabelError, PlanError, TlsegError
from tlseg.store.image_writer import image_levels_in
from tlseg.store.labels import check_root, existing_labels
from tlseg.store.location import is_url, one_line
from tlseg.store.movie import MovieSource
from tlseg.store.place import Place, place_of
from tlseg.store.tables import list_tables

if TYPE_CHECKING:
    from tlseg.run.job import Order


def destination(source: MovieSource, out: str | Path | None, *, for_planning: bool) -> Place:
    """Group that gets the labels: `out`, or the movie itself.

    Raises
    ------
    LabelError
        When labels cannot be written there.
    """
    if out is None:
        if not source.writable and not for_planning:
            raise LabelError(
                f"Labels cannot be added to {source.url}: it is OME-Zarr {source.version}"
                f"{', read-only' if source.version == '0.5' else ''}. Expected a local, writable OME-Zarr 0.5 group; "
                "write elsewhere with --out RESULT.ome.zarr."
            )
        return Place(source.url)
    root = place_of(out)
    here, movie = (place if is_url(place) else str(Path(place).resolve()) for place in (root.url, source.url))
    if here == movie:
        raise LabelError(f"--out is the movie itself. {_instead(root)}")
    if here.startswith(f"{movie}/"):
        raise LabelError(f"--out {root} lies inside the movie. Write beside it, or leave --out away.")
    _check_group(root)
    return root


def check_existing(order: Order, *, overwrite: bool) -> None:
    """Raise `LabelError` when the run would replace what it did not make and was not told to replace."""
    going_on = bool(order.scratch.done("output", 0))
    if order.image:
        _check_image(order, may_replace=overwrite or going_on)
    if overwrite or going_on:
        return
    root, name = order.root, order.name
    if name in existing_labels(root) or (root / "labels" / name).exists():
        raise LabelError(f"{root} already has labels {name!r}. Use --overwrite to replace them, or another --name.")
    if (root / "zarr.json").exists() and name in list_tables(root):
        raise LabelError(f"{root} already has a table {name!r}. Use --overwrite to replace it, or another --name.")


def check_scratch(root: Place, scratch: str | Path | None, *, elsewhere: bool) -> None:
    """Raise `PlanError` where workers on other machines would not find the working files of a run."""
    if root.remote and scratch is None and elsewhere:
        raise PlanError(
            f"{root} is an object store, where working files cannot lie, and workers may run on other machines. Name a "
            "folder that all of them see with --scratch DIR."
        )


def image_record(order: Order) -> Place:
    """File that says of which movie and frames the image of a result is a copy; where it is absent, it is no copy."""
    return order.root / "tlseg" / "image.json"


def copied_image(order: Order) -> dict[str, Any]:
    """Name the movie and frames that the image of this run's result is a copy of."""
    frames = [order.frames.start, order.frames.stop]
    copied: dict[str, Any] = json.loads(json.dumps({"input": order.source.identity(), "frames": frames}))
    return copied


def is_copied(order: Order) -> bool:
    """Whether the image of the result is, or is to be, a copy of this run's movie and frames."""
    return bool(json.loads(image_record(order).read_text()) == copied_image(order))


def _check_image(order: Order, *, may_replace: bool) -> None:
    if not image_levels_in(order.root):
        return
    record = image_record(order)
    if not record.exists():
        raise LabelError(
            f"{order.root} holds an image that is no copy made by a run, so it is not replaced. Add the labels beside it "
            "with --no-image, or write elsewhere with --out."
        )
    if not may_replace and not is_copied(order):
        raise LabelError(
            f"{order.root} holds the copy of another movie or of other frames. Use --overwrite to replace it, or write "
            "elsewhere with --out."
        )


def _instead(root: Place) -> str:
    if root.remote:
        return "Pixels in an object store are not touched; write beside the movie."
    return f"Leave --out away to add labels to {root}."


def _check_group(root: Place) -> None:
    """Raise unless `root` is an OME-Zarr 0.5 group, or nothing is there and it can be made."""
    if root.remote:
        try:
            check_root(root)
        except TlsegError:
            raise
        except Exception as error:  # every store has errors of its own
            raise LabelError(f"{root} cannot be reached ({one_line(error)}). Check address and access.") from error
        return
    if root.exists() and not root.is_dir():
        raise LabelError(f"{root} is a file. Expected an OME-Zarr 0.5 group or a new path.")
    check_root(root)
    there = next(folder for folder in (root.path, *root.path.parents) if folder.exists())
    if not os.access(there, os.W_OK):
        raise LabelError(f"{there} cannot be written to. Write elsewhere with --out.")
