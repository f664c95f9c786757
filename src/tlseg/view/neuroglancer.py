"""Serve a result to neuroglancer in a browser on this machine only.

The browser reads chunks of the pyramid straight from the files, behind an address nobody can guess; both servers listen
on the loopback interface only.
"""

from __future__ import annotations

import importlib
import logging
import socket
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from tlseg.errors import RunError
from tlseg.installed import missing_extra
from tlseg.store.fs.paths import is_url
from tlseg.store.fs.place import Place
from tlseg.store.image.movie import MovieSource
from tlseg.store.working.unfinished import Unfinished
from tlseg.view.files import Bucket, FileServer
from tlseg.view.scene import Scene
from tlseg.view.working import WorkingFiles

LOOPBACK = "127.0.0.1"
MOST_POINTS = 40_000
"""Points of trails sent to the browser, longest trails first; more would make it slow."""

_METRES = 1e-6
_GREY = """#uicontrol invlerp normalized
void main() { emitGrayscale(normalized()); }
"""
_TRAIL = """void main() {
%s  setColor(prop_color());
  setPolyLineWidth(3.0);
  setPolyEndpointMarkerSize(3.0);
  setPolyEndpointMarkerBorderWidth(0.0);
}
"""
# Annotations in t would be cut at the frame in 3D too, where whole trails are wanted; a section shows one frame alone.
_NOT_IN_SECTIONS = "  if (!PROJECTION_VIEW) discard;\n"


@dataclass
class Served:
    """A result that is being served; use it in a `with` block, at whose end it stops.

    Attributes
    ----------
    url : str
        Where the viewer is.
    data_url : str
        Where its labels come from.
    shown, trails : int
        How many of the tracks are drawn as lines.
    """

    url: str
    data_url: str
    shown: int
    trails: int
    viewer: Any
    _servers: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Served:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop both servers."""
        self.close()

    def close(self) -> None:
        """Stop both servers."""
        self._servers.close()
        _load().stop()

    def state(self) -> dict[str, Any]:
        """What the viewer shows, as neuroglancer's JSON."""
        state: dict[str, Any] = self.viewer.state.to_json()
        return state


def serve(scene: Scene, *, port: int = 0) -> Served:
    """Start serving a result.

    Parameters
    ----------
    scene : Scene
    port : int, default: 0
        Port of the viewer on this machine; 0 for any free one.

    Raises
    ------
    MissingExtraError
        If neuroglancer is not installed.
    RunError
        If the port is taken.
    """
    ng = _load()
    _check_free(port)
    logging.getLogger("tornado.access").addFilter(_is_news)
    ng.set_server_bind_address(bind_address=LOOPBACK, bind_port=port)
    with ExitStack() as servers:
        if isinstance(scene.result, Unfinished):
            image = _address(scene.result.source.url, servers)
            labels = data = _served(FileServer(WorkingFiles(scene.result), host=LOOPBACK), servers)
        else:
            image = data = _address(scene.result.path, servers)
            labels = f"{data}/labels/{scene.result.name}"
        viewer = ng.Viewer()
        viewer.set_state(build_state(scene, image_url=image, labels_url=labels))
        shown, trails = drawn_trails(scene), len(scene.trails)
        return Served(viewer.get_viewer_url(), data, shown, trails, viewer, servers.pop_all())


def _address(url: str, servers: ExitStack) -> str:
    """Where a browser reads an OME-Zarr; a server that is started for it stops with `servers`."""
    if url.startswith(("http://", "https://")):
        return url
    if is_url(url):
        return _served(FileServer(Bucket(Place(url)), host=LOOPBACK), servers)
    static = importlib.import_module("neuroglancer.static_file_server")
    return _served(static.StaticFileServer(static_dir=url, bind_address=LOOPBACK, daemon=True), servers)


def _served(server: Any, servers: ExitStack) -> str:
    servers.callback(server.stop)
    return str(server.url)


def drawn_trails(scene: Scene) -> int:
    """How many trails fit into `MOST_POINTS`."""
    total = 0
    for i, trail in enumerate(scene.trails):
        total += len(trail.frames)
        if total > MOST_POINTS:
            return i
    return len(scene.trails)


def build_state(scene: Scene, *, image_url: str, labels_url: str) -> Any:
    """State of a viewer that shows a scene.

    Parameters
    ----------
    scene
        What is shown.
    image_url, labels_url
        Where the browser finds the two OME-Zarr images.

    Returns
    -------
    neuroglancer.ViewerState
        Layers `image`, the labels under their name, and `tracks`; x, y and z are displayed, t is a slider.
    """
    ng = _load()
    state = ng.ViewerState()
    labels = scene.labels
    spacing = dict(zip("zyx", labels.spacing_um, strict=True))
    timed = {"t": (labels.interval_s or 1.0, "s" if labels.interval_s else "")} if "t" in labels.axes else {}
    axes = {a: (spacing[a] * _METRES, "m") for a in "xyz" if a in labels.axes} | timed
    state.dimensions = ng.CoordinateSpace(
        names=list(axes), scales=[scale for scale, _ in axes.values()], units=[unit for _, unit in axes.values()]
    )
    state.display_dimensions = [a for a in "xyz" if a in labels.axes]
    centre = dict(zip("zyx", scene.centre_um, strict=True))
    start = (labels.start_s / labels.interval_s if labels.interval_s else 0.0) + scene.first_row
    state.position = [start if a == "t" else centre[a] / spacing[a] for a in axes]
    extent = max(n * s for n, s in zip(labels.frame_shape, labels.spacing_um, strict=True))
    state.cross_section_scale = extent / 350 / spacing["x"]
    state.projection_scale = 1.6 * extent / spacing["x"]
    state.cross_section_background_color = "#000000"
    # Slices would hide the trails behind them.
    state.show_slices = not scene.trails
    state.layout = "4panel" if "z" in labels.axes else "xy"
    if scene.image is not None and scene.window is not None:
        state.layers["image"] = ng.ImageLayer(
            source=f"zarr://{image_url}/",
            shader=_GREY,
            shader_controls={"normalized": {"range": list(scene.window)}},
            **_channel(scene.image),
        )
    state.layers[scene.title] = ng.SegmentationLayer(
        source=f"zarr://{labels_url}/", segment_colors=scene.colors, selected_alpha=0.35
    )
    if scene.trails:
        state.layers["tracks"] = _track_layer(scene)
    return state


def _channel(image: MovieSource) -> dict[str, Any]:
    """Where a layer stands along c, which neuroglancer calls c' since each layer has its own; it begins in the middle."""
    if "c" not in image.axes:
        return {}
    axis = _load().CoordinateSpace(names=["c'"], scales=[1], units=[""])
    return {"local_dimensions": axis, "local_position": [image.channel]}


def _track_layer(scene: Scene) -> Any:
    """Each trail as a line in the colour of its nucleus, of volumes in 3D only; selecting nuclei leaves only theirs."""
    ng = _load()
    name, spacing = scene.title, dict(zip("zyx", scene.labels.spacing_um, strict=True))
    axes = [a for a in "xyz" if a in scene.labels.axes]
    space = ng.CoordinateSpace(names=axes, scales=[spacing[a] * _METRES for a in axes], units=["m"] * len(axes))
    annotations = []
    for trail in scene.trails[: drawn_trails(scene)]:
        places = [[float(point["zyx".index(a)]) / spacing[a] for a in axes] for point in trail.points_um]
        annotations.append(
            ng.PolyLineAnnotation(
                id=f"track {trail.track}",
                description=f"track {trail.track}, frames {trail.frames[0]} to {trail.frames[-1]}",
                points=places if len(places) > 1 else places * 2,
                segments=[[trail.track]],
                props=[scene.colors.get(trail.track, "#ffff00")],
            )
        )
    return ng.LocalAnnotationLayer(
        space,
        annotations=annotations,
        annotation_properties=[ng.AnnotationPropertySpec(id="color", type="rgb", default="#ffff00")],
        annotation_relationships=["nuclei"],
        linked_segmentation_layer={"nuclei": name},
        filter_by_segmentation=["nuclei"],
        shader=_TRAIL % (_NOT_IN_SECTIONS if "z" in axes else ""),
    )


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a line of the server's log is worth reading: chunks of zeros are not stored, and are requested anyway."""
    return not record.getMessage().startswith("404 ")


def _load() -> Any:
    try:
        return importlib.import_module("neuroglancer")
    except ImportError as error:
        raise missing_extra("The neuroglancer viewer", "view") from error


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        # As the viewer's server does: connections of an earlier one that has stopped linger for a minute.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise RunError(
                f"Port {port} cannot be used ({error.strerror}). Give another --port, or omit it to use a free one."
            ) from error
