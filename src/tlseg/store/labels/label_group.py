"""The group `labels/` of an OME-Zarr: which label movies it lists, and how it comes into being and goes again."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from tlseg.errors import LabelError, one_line
from tlseg.store.fs.documents import read_json, refresh_consolidated, replace_json
from tlseg.store.fs.groups import writable_group
from tlseg.store.fs.place import Place, place_of
from tlseg.store.fs.refused import refusal
from tlseg.store.image.metadata import mapping, ome_of
from tlseg.store.locks.group_lock import turn


def existing_labels(root: str | Path | Place) -> list[str]:
    """Names of the finished label movies of a group, in the order they were listed."""
    path = place_of(root) / "labels" / "zarr.json"
    return listed_labels(read_json(path).get("attributes")) or [] if path.exists() else []


def listed_labels(attributes: object) -> list[str] | None:
    """Names in the list that the attributes of a group `labels/` hold; None if they hold none."""
    names = ome_of(attributes).get("labels")
    return [str(name) for name in names] if isinstance(names, list) else None


def add_labels(root: Place, name: str) -> None:
    """Put a label movie on the list, last; nothing happens if it is on it."""
    with turn(root):
        names = existing_labels(root)
        if name not in names:
            _list_labels(root, [*names, name])
        refresh_consolidated(root)


def forget_labels(root: Place, name: str) -> None:
    """Take a label movie off the list; nothing happens if it is not on it."""
    if name not in existing_labels(root):
        return
    with turn(root):
        _list_labels(root, [n for n in existing_labels(root) if n != name])


def prepare_root(root: Path | Place) -> None:
    """Make `root` an OME-Zarr 0.5 group that can hold labels, or check that it is one.

    Raises
    ------
    LabelError
        If it is something else, or cannot be written to.
    RunError
        If the disk is full.
    """
    root = place_of(root)
    check_root(root)
    try:
        if not (root / "zarr.json").exists():
            writable_group(root.url)
        if not (root / "labels" / "zarr.json").exists():
            _make_labels(root)
    except OSError as error:
        found = f"{root} cannot be written to ({one_line(error)})"
        raise refusal(error, found, instead="Write elsewhere with --out.") from error


def absent(root: Place, folder: Place) -> list[Place]:
    """What of an output is not there yet, outermost first: `root`, its groups, and the `folder` of a run's record."""
    return [place for place in (root, root / "labels", root / "tlseg", folder) if not place.exists()]


def remove_empty(places: list[Place]) -> None:
    """Remove those of these folders that hold nothing, the last first; an object store has no empty folders."""
    for place in reversed(places):
        if not place.remote:
            with suppress(OSError):  # it holds something, or another run is using it
                place.path.rmdir()


def clear(places: list[Place]) -> None:
    """Remove the last of `places`, and of those around it what then holds no more than an empty group's metadata."""
    for i, place in enumerate(reversed(places)):
        if i == 0 or set(place.names()) <= {"zarr.json"}:
            place.remove()


def check_root(root: Place) -> None:
    """Raise `LabelError` unless `root` is an OME-Zarr 0.5 group, or nothing is there and it can be made."""
    names = root.names()
    if ".zgroup" in names or ".zattrs" in names:
        raise LabelError(f"{root} is OME-Zarr 0.4 (Zarr v2), which cannot hold 0.5 labels. Write elsewhere with --out.")
    if names and "zarr.json" not in names:
        raise LabelError(f"{root} is a folder but not a Zarr group. Expected an OME-Zarr 0.5 group or a new path.")


def _make_labels(root: Place) -> None:
    """Make the group of labels, unless another run does first."""
    with turn(root):
        if not (root / "labels" / "zarr.json").exists():
            writable_group(f"{root}/labels")
            _list_labels(root, [])


def _list_labels(root: Place, names: list[str]) -> None:
    path = root / "labels" / "zarr.json"
    document = read_json(path)
    attributes = mapping(document.get("attributes"))
    ome = {**mapping(attributes.get("ome")), "version": "0.5", "labels": names}
    replace_json(path, {**document, "attributes": {**attributes, "ome": ome}})
