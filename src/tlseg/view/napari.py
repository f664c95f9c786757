"""Open a result in napari: image and labels as pyramids, tracks with their lineage."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlseg.installed import missing_extra
from tlseg.store.image.movie import MovieSource, open_movie
from tlseg.store.working.unfinished import Unfinished
from tlseg.view.scene import Scene


def open_window(scene: Scene) -> None:
    """Show a result in a napari window and wait until it is closed.

    Raises
    ------
    MissingExtraError
        If napari is not installed.
    """
    napari = load()
    viewer = napari.Viewer(title=f"{scene.result.path}: {scene.title}")
    add_layers(viewer, scene)
    napari.run()


def add_layers(viewer: Any, scene: Scene) -> None:
    """Add image, labels and tracks to a viewer (or its model), in micrometres."""
    labels = scene.labels
    if scene.image is not None:
        viewer.add_image(
            _levels(scene.image.url, scene.image, channel=scene.image.channel),
            name="image",
            contrast_limits=scene.window,
            **_place(scene.image, first=scene.first),
        )
    levels = scene.result.arrays() if isinstance(scene.result, Unfinished) else _levels(labels.url, labels)
    viewer.add_labels(levels, name=scene.title, **_place(labels))
    if scene.trails:
        data, graph = track_data(scene)
        viewer.add_tracks(data, graph=graph, name="tracks")
    viewer.dims.axis_labels = [a for a in labels.axes if a in "tzyx"]


def track_data(scene: Scene) -> tuple[NDArray[np.float64], dict[int, list[int]]]:
    """Tracks as napari takes them.

    Returns
    -------
    data : ndarray, (n, 5)
        Track, frame, and z, y, x in micrometres; (n, 4) without z where labels are flat.
    graph : dict of int to list of int
        Mother of each daughter.
    """
    space = [i for i, axis in enumerate("zyx") if axis in scene.labels.axes]
    known = {trail.track for trail in scene.trails}
    rows, graph = [], {}
    for trail in sorted(scene.trails, key=lambda t: t.track):
        first = 1 if trail.parent in known else 0  # the mother's own position leads each trail
        frames, points = trail.frames[first:], trail.points_um[first:, space]
        rows.append(np.column_stack([np.full(len(frames), trail.track), frames, points]))
        if first:
            graph[trail.track] = [trail.parent]
    return np.concatenate(rows), graph


def load() -> Any:
    """Return the napari package."""
    try:
        return importlib.import_module("napari")
    except ImportError as error:
        raise missing_extra("The napari viewer", "napari") from error


def _levels(path: str, source: MovieSource, *, channel: int | None = None) -> list[Any]:
    return [open_movie(path, channel=channel, level=i).data for i in range(len(source.level_shapes))]


def _place(source: MovieSource, *, first: int = 0) -> dict[str, Any]:
    """Scale and translation of the array's own axes, frames counted from `first` and space in micrometres."""
    steps = dict(zip("zyx", source.spacing_um, strict=True)) | {"t": 1.0}
    starts = dict(zip("zyx", source.translation_um, strict=True)) | {"t": -float(first)}
    axes = [a for a in "tzyx" if a in source.axes]
    return {"scale": [steps[a] for a in axes], "translate": [starts[a] for a in axes]}
