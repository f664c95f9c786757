"""Metadata documents of Zarr nodes, and other JSON objects: read whole, and replaced whole."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from tlseg.errors import LabelError
from tlseg.store.fs.groups import open_store
from tlseg.store.fs.place import Place


def refresh_consolidated(root: Place) -> None:
    """Update a group's consolidated metadata if it has any: readers that use it would miss labels."""
    import zarr

    path = root / "zarr.json"
    if not path.exists() or not read_json(path).get("consolidated_metadata"):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr warns that consolidation is no part of the v3 specification yet
        zarr.consolidate_metadata(open_store(root.url, access="write"))


def replace_json(place: Place, document: dict[str, Any]) -> None:
    """Write a JSON file so that a reader sees the old or the new one, never half."""
    place.write(json.dumps(document, indent=2).encode())


def read_json(place: Place | Path) -> dict[str, Any]:
    """Read the metadata file of a Zarr node, or another JSON object.

    Raises
    ------
    LabelError
        If it cannot be read, or is not a JSON object.
    """
    try:
        document: dict[str, Any] = json.loads(place.read_bytes())
        if not isinstance(document, dict):
            raise ValueError("it is not a JSON object")
    except (OSError, ValueError) as error:
        raise LabelError(
            f"{place} cannot be read ({type(error).__name__}): {error}. Restore it or write elsewhere with --out."
        ) from error
    return document
