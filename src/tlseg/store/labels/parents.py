"""Which track is the mother of which? Read from a Cell Tracking Challenge track file, a table, or a lineage graph.

What is read is checked for itself: tracks are whole numbers, and no track has two mothers. Whether it fits the labels is
checked once they have been read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from tlseg.errors import LabelError
from tlseg.store.fs.paths import is_url, resolve, text_of
from tlseg.store.fs.place import Place
from tlseg.store.image.inputs import is_zarr
from tlseg.store.labels.label_movie import TRACK_FILES, LabelMovie, open_label_movie, read_track_file
from tlseg.store.labels.label_movie_zarr import read_geff_links
from tlseg.store.labels.text import cells_in, text_in, whole_number

COLUMNS = ("track", "parent")
_EXPECTED = (
    "Expected a table with a header and the columns track and parent (0: none), a Cell Tracking Challenge track file, "
    "a GEFF graph, or a tlseg result."
)


@dataclass(frozen=True, slots=True, eq=False)
class Parents:
    """Mothers of tracks, as read from a file or graph.

    Attributes
    ----------
    source : str
        File, graph, or the labels that the graph belongs to, because a graph moves when labels are added beside its own.
    kind : {"track file", "table", "graph"}
        A track file has a line for every track. A graph describes labels of its own, some of which may have been removed
        since.
    tracks : DataFrame
        `track` and `parent` (0: none), int64. From a track file also `start` and `end`, its frames; from a graph `left`,
        the frame of the mother from which the edge to this track starts.
    """

    source: str
    kind: Literal["track file", "table", "graph"]
    tracks: pd.DataFrame

    @property
    def where(self) -> str:
        """Their source, worded to begin a sentence."""
        return f"The lineage graph of {self.source}" if self.kind == "graph" else self.source


def parents_of(movie: LabelMovie) -> Parents | None:
    """Read mothers stored with labels, in the track file of their folder or the graph of their result; None if absent."""
    if movie.track_file is not None:
        return _of_track_file(movie.track_file)
    return None if movie.geff is None else _of_graph(movie.geff, source=movie.source)


def read_parents(path: str | Path, *, prefer: Sequence[str] = ()) -> Parents:
    """Read mothers from a file, folder, graph or result.

    Parameters
    ----------
    path
        A table with the columns `track` and `parent` (others are ignored), separated by commas, semicolons or tabs; a text
        file with four whole numbers per line (track, start, end, parent), or a folder with such a file under its usual
        name; a GEFF graph; or an OME-Zarr result with a graph.
    prefer
        Which labels of such a result to use: the first of these that exists, or else the only ones.

    Raises
    ------
    LabelError
        If the path has no mothers, or they are damaged or contradict each other.
    """
    text = text_of(path)
    if not text:
        raise LabelError(f"The path of the mothers is empty. {_EXPECTED}")
    text = resolve(text)
    place, local = Place(text), Path(text)
    if not is_url(text):
        if not local.exists():
            raise LabelError(f"{text} does not exist. Check the path of the mothers.")
        if local.is_file():
            return _of_file(local)
        held = [local / name for name in TRACK_FILES if (local / name).is_file()]
        if held:
            return _of_track_file(held[0])
    if (place / "nodes").is_dir() and (place / "edges").is_dir():
        return _of_graph(text, source=text)
    if not is_zarr(text):
        raise LabelError(f"{text} does not contain mothers of tracks. {_EXPECTED}")
    movie = open_label_movie(text, prefer=prefer)
    if movie.geff is None:
        raise LabelError(f"{movie.source} has no lineage graph, so its mothers are unknown. {_EXPECTED}")
    return _of_graph(movie.geff, source=movie.source)


def _of_track_file(path: Path) -> Parents:
    tracks = read_track_file(path)
    _check_numbers(path, tracks)
    return Parents(resolve(path), "track file", tracks)


def _of_graph(url: str, *, source: str) -> Parents:
    links = read_geff_links(url)
    between = links[links["label"] != links["next_label"]]
    found = pd.DataFrame(
        {"track": between["next_label"], "parent": between["label"], "left": between["frame"]}, dtype=np.int64
    )
    return Parents(source, "graph", found.drop_duplicates(["track", "parent"], ignore_index=True))


def _of_file(path: Path) -> Parents:
    """Read a file that is a table if its name or first line says so, else a track file."""
    text = text_in(path, expected=_EXPECTED)
    if not text.strip():
        raise LabelError(f"{path} is empty. {_EXPECTED}")
    has_header = re.match(r"[^\r\n]*[^\d\s]", text.lstrip())
    return _of_table(path, text) if has_header or path.suffix.lower() == ".csv" else _of_track_file(path)


def _of_table(path: Path, text: str) -> Parents:
    lines = cells_in(path, text, expected=_EXPECTED)
    header = [name.strip() for name in lines[0][1]] if lines else []
    names = [name.lower() for name in header]
    if any(names.count(name) != 1 for name in COLUMNS):
        raise LabelError(f"The header of {path} is {', '.join(header) or 'empty'}. {_EXPECTED}")
    at = [names.index(name) for name in COLUMNS]
    mothers: dict[int, int] = {}
    for number, row in lines[1:]:
        track, parent = (whole_number(row[i]) if i < len(row) else None for i in at)
        if len(row) != len(header) or not row[at[0]].strip() or track is None or parent is None:
            raise LabelError(
                f"{path}, line {number}: found {','.join(row)!r}, expected {len(header)} values, of which track and parent "
                "are whole numbers (parent 0 or empty: none)."
            )
        if mothers.setdefault(track, parent) != parent:
            raise LabelError(
                f"{path}, line {number}: track {track} has parent {parent}, but {mothers[track]} further up. Give each "
                "track one parent."
            )
    pairs = np.array(list(mothers.items()), dtype=np.int64).reshape(-1, 2)
    tracks = pd.DataFrame(pairs, columns=list(COLUMNS))
    _check_numbers(path, tracks)
    return Parents(resolve(path), "table", tracks)


def _check_numbers(path: Path, tracks: pd.DataFrame) -> None:
    if (tracks["track"] == 0).any():
        raise LabelError(f"{path} contains track 0, but 0 is the background. Number tracks from 1.")
