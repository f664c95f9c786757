"""The request for a run: as given, and once checked against the movie, the model and the destination."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tlseg import __version__
from tlseg.config import Frames, LabelSettings, Method, SkippedFrames, as_frames, as_skipped
from tlseg.errors import ModelError, MovieError
from tlseg.geometry import Shape
from tlseg.link.settings import LinkSettings
from tlseg.models.bundle import Flips, Model, ModelSpec, load_model
from tlseg.models.derive import for_nuclei
from tlseg.plan import check_block, within_frame
from tlseg.rules import positive
from tlseg.run.checks import check_spacing, destination
from tlseg.store.fs.paths import check_name
from tlseg.store.fs.place import Place
from tlseg.store.image.movie import MovieSource, open_source
from tlseg.store.image.segmentable import check_segmentable
from tlseg.store.labels.protect import CopiedImage
from tlseg.store.labels.record import SKIPPED
from tlseg.store.working.folder import scratch_folder
from tlseg.store.working.names import FRAMES, INPUT


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to do with a movie; where the work is done is a `Compute`.

    The fields are arguments of `tlseg.segment`, and are documented there.
    """

    movie: str | Path
    out: str | Path | None = None
    name: str = "nuclei"
    model: str | Path = "embryo"
    frames: Frames | None = None
    skip_frames: SkippedFrames | None = None
    block: Shape | None = None
    method: Method = "qcanet"
    channel: int | str | None = None
    overwrite: bool = False
    keep_maps: bool = False
    flips: Flips | None = None
    nucleus_um: float | None = None
    image: bool = True
    allow_missing: bool = False
    link: LinkSettings | None = None
    repair: bool = True
    scratch: str | Path | None = None


@dataclass(frozen=True, slots=True)
class CheckedRequest:
    """A request that can be met; who will do the work is not known yet.

    Parameters
    ----------
    request
        The request.
    source, frames, skip
        The movie, which of its frames, and which of these are to stay empty.
    root
        Group that gets the labels.
    model, spec
        The model, and its description with the requested changes.
    settings, link
        How maps become labels, and labels tracks.
    block
        Core of a block, if one was requested, within a frame.
    working_files
        Folder of the working files.
    """

    request: Request
    source: MovieSource
    frames: range
    skip: frozenset[int]
    root: Place
    model: Model
    spec: ModelSpec
    settings: LabelSettings
    link: LinkSettings
    block: Shape | None
    working_files: str

    @property
    def name(self) -> str:
        """Name of the labels."""
        return self.request.name

    @property
    def folder(self) -> Place:
        """Record, audit and event log of this run."""
        return self.root / "tlseg" / self.name

    @property
    def beside_movie(self) -> bool:
        """Whether labels are added to the movie itself."""
        return self.request.out is None

    @property
    def image(self) -> bool:
        """Whether a copy of the image belongs to the result."""
        return self.request.image and not self.beside_movie

    @property
    def copied_image(self) -> CopiedImage:
        """Image of the result, if `image` says that it has one."""
        return CopiedImage(self.root, self.source, self.frames)

    @property
    def repair(self) -> bool:
        """Whether labels that their tracks contradict are mended: never in 2D, where one nucleus may lie below another."""
        return self.request.repair and self.source.frame_shape[0] > 1

    def deciding(self) -> dict[str, Any]:
        """Everything in the request that decides the content of the result.

        Settings are those of the model before it is scaled: what follows from the width of nuclei, nobody has set.
        """
        width = self.request.nucleus_um
        scaled = {} if width is None else {"nucleus_um": float(width)}
        return {
            "tlseg": __version__,
            INPUT: self.source.identity(root=self.root.url),
            FRAMES: [self.frames.start, self.frames.stop],
            SKIPPED: sorted(self.skip),
            "model": {"name": self.spec.name, "digest": self.model.digest, "flips": self.spec.flips, **scaled},
            "settings": self.model.spec.label_settings(self.request.method).deciding(),
            "link": asdict(self.link),
            "repair": self.repair,
            "image": self.image,
            "keep_maps": self.request.keep_maps,
        }


def check(request: Request, *, for_planning: bool = False) -> CheckedRequest:
    """Check input and settings; reads only metadata, writes nothing and contacts no worker.

    With `for_planning`, a movie beside which nothing can be written is not an error.

    Raises
    ------
    MovieError, ModelError, PlanError, LabelError
        When the request cannot be met.
    """
    check_name(request.name)
    source = open_source(request.movie, channel=request.channel)
    chosen = frames_of(request.frames, source.n_frames)
    check_segmentable(source, chosen, allow_missing=request.allow_missing)
    model = load_model(request.model)
    if request.method == "qcanet" and "ndn" not in model.spec.networks:
        raise ModelError(
            f"The model {model.spec.name!r} has no network for centres (ndn). Use --method components, or another model."
        )
    spec = _as_requested(model.spec, request)
    check_spacing(source, spec)
    settings = spec.label_settings(request.method)
    root = destination(source, request.out, for_planning=for_planning)
    block = request.block
    if block is not None:
        block = within_frame(block, source.frame_shape)
        check_block(block)
    return CheckedRequest(
        request=request,
        source=source,
        frames=chosen,
        skip=skipped_of(request.skip_frames, chosen),
        root=root,
        model=model,
        spec=spec,
        settings=settings,
        link=(request.link or LinkSettings()).with_interval(source.interval_s),
        block=block,
        working_files=scratch_folder(root, request.name, request.scratch),
    )


def _as_requested(spec: ModelSpec, request: Request) -> ModelSpec:
    """The model with the requested changes."""
    if request.flips is not None:
        spec = replace(spec, flips=request.flips)
    if request.nucleus_um is not None:
        positive().check("nucleus_um", request.nucleus_um)
        spec = for_nuclei(spec, request.nucleus_um)
    return spec


def frames_of(frames: Frames | None, count: int) -> range:
    """Frames of a movie of `count`: all, or those requested, which must lie within it."""
    if frames is None:
        return range(count)
    first, stop = as_frames(frames)
    chosen = range(first or 0, count if stop is None else stop)
    if not chosen.start < chosen.stop <= count:
        raise MovieError(f"Frames {frames} were requested, but the movie has {count}. Use a range within 0:{count}.")
    return chosen


def skipped_of(skip_frames: SkippedFrames | None, frames: range) -> frozenset[int]:
    """Frames to leave empty, all of which must be among those that are segmented; at least one must remain."""
    skipped = as_skipped(skip_frames)
    outside = sorted(skipped - set(frames))
    if outside:
        raise MovieError(
            f"Frame {outside[0]} is to be skipped, but only frames {frames.start} to {frames.stop - 1} are segmented. Skip "
            "only frames among them."
        )
    if len(skipped) == len(frames):
        raise MovieError("Every frame is to be skipped; leave at least one to segment.")
    return skipped
