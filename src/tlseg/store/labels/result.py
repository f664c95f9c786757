"""Open the result of a run: labels, the image beside them, the table, the tracks and the run record.

Only finished labels open; data are read only on request.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlseg.errors import LabelError
from tlseg.store.fs.groups import child_of, open_group
from tlseg.store.fs.paths import resolve
from tlseg.store.fs.place import Place
from tlseg.store.image.metadata import ome_of
from tlseg.store.image.movie import open_movie
from tlseg.store.labels.label_group import listed_labels
from tlseg.store.labels.record import read_record

if TYPE_CHECKING:
    import pandas as pd
    import xarray
    from zarr import Group


DEFAULT = "nuclei"
"""Default name of labels."""


@dataclass(frozen=True, slots=True)
class Result:
    """One finished segmentation.

    Attributes
    ----------
    path : str
        OME-Zarr group that holds it.
    name : str
        Name of the labels.
    image : xarray.DataArray or None
        The movie, lazy, with its own axes among (t, c, z, y, x); None if the group holds no image.
    labels : xarray.DataArray
        Track numbers, lazy, uint32, (t, z, y, x).
    record : dict
        The run record, empty if there is none.
    """

    path: str
    name: str
    image: xarray.DataArray | None = field(repr=False)
    labels: xarray.DataArray = field(repr=False)
    record: dict[str, Any] = field(repr=False)

    @property
    def image_channel(self) -> int:
        """Channel of the image that was segmented, the first if not recorded."""
        made_of = self.record.get("fingerprint", {}).get("input") or {}
        channel = int(made_of.get("channel", 0))
        # A copy of the image holds this channel alone.
        channels = 1 if self.image is None else self.image.sizes.get("c", 1)
        return channel if channel < channels else 0

    def table(self) -> pd.DataFrame:
        """One row per nucleus per frame."""
        from tlseg.store.labels.tables import read_table

        return read_table(self.path, self.name)

    def tracks(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Nodes (nucleus per frame) and edges (same nucleus, or mother to daughter).

        Raises
        ------
        LabelError
            If there are no tracks of these labels.
        """
        from tlseg.store.labels.tracks import graph_of, read_tracks

        graph = graph_of(Place(self.path), self.name)
        if graph is None:
            raise LabelError(f"{self.path} has no tracks of {self.name!r}. Make them with tlseg link.")
        return read_tracks(graph)


def open_result(path: str | Path | Place, *, name: str | None = None) -> Result:
    """Open the result of a run.

    Parameters
    ----------
    path : str or Path
        OME-Zarr group the run wrote to, local or a URL.
    name : str, optional
        Name of the labels; by default "nuclei", or the only ones.

    Raises
    ------
    LabelError
        If there are no finished labels of this name, or the list of them is damaged.
    MovieError
        If the group cannot be opened, or its image or labels are damaged.
    """
    place = resolve(path)
    group = open_group(place)
    finished = _finished(group)
    if name is None:
        name = _unnamed(Place(place), finished)
    if name not in finished:
        raise LabelError(_none_finished(Place(place), name, finished))
    image = open_movie(place) if "multiscales" in ome_of(dict(group.attrs)) else None
    return Result(place, name, image, open_movie(f"{place}/labels/{name}"), read_record(place, name))


def _none_finished(root: Place, name: str, finished: list[str]) -> str:
    """Why there are no labels of this name, and what to do."""
    missing = f"{root} has no finished labels {name!r}"
    if (root / "tlseg" / name).exists():
        asked = "" if name == DEFAULT else f" --name {name}"
        return (
            f"{missing}: their run has not ended. tlseg status {root}{asked} shows its state; if it was interrupted, run "
            "the same command again to finish it."
        )
    if finished:
        return f"{missing}; it has {', '.join(finished)}. Give one of these names."
    return f"{missing}, nor any others. Make them with tlseg segment; if they were written to --out, give that result."


def as_result(result: str | Path | Place | Result, *, name: str | None = None) -> Result:
    """Return the result that `open_result` returned, or open it; for the labels called `name`, or else the default ones."""
    if not isinstance(result, Result):
        return open_result(result, name=name)
    return result if name in (None, result.name) else open_result(result.path, name=str(name))


def _unnamed(root: Place, finished: list[str]) -> str:
    """Which labels are meant if no name is given: never others while a run makes those of the default name."""
    if len(finished) != 1 or DEFAULT in finished or (root / "tlseg" / DEFAULT).exists():
        return DEFAULT
    return finished[0]


def _finished(group: Group) -> list[str]:
    labels = child_of(group, "labels")
    return [] if labels is None else listed_labels(dict(labels.attrs)) or []
