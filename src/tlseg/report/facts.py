"""The facts a person asks for first: which movie, which model, how much was found, and do the seams hold?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

import pandas as pd

from tlseg.errors import LabelError
from tlseg.measure.doubts import doubts_of
from tlseg.measure.history import motherless
from tlseg.report.channels import MeasuredChannel, measured_channels
from tlseg.store.image.movie import MovieSource, address_of
from tlseg.store.labels.movie_time import movie_time
from tlseg.store.labels.record import recorded_frames, skipped_frames
from tlseg.store.labels.result import Result
from tlseg.wording import how_many


@dataclass(frozen=True, slots=True)
class Facts:
    """A result in numbers.

    Attributes
    ----------
    path, name : str
        OME-Zarr group, and name of its labels.
    frames : int
        Frames that were segmented.
    shape : (z, y, x)
        Voxels of a frame.
    spacing_um : (z, y, x) or None
        Voxel spacing, None if the labels do not give it.
    interval_s : float or None
    first_frame, start_s : int, float
        Number, in the movie, and time of the labels' first frame.
    instances, tracks, divisions, motherless, motherless_at_edge, fallback, repaired, touching_edge : int
        Instances are nuclei of all frames together; the last three count instances. For tracks without a mother see
        `history.motherless`; some of them begin at the frame's edge.
    first_count, last_count : int
        Nuclei in the first and in the last of them.
    movie, channel, model, method, device, made, version : str
        From the run record, empty if there is none.
    seconds : float or None
        How long the run took.
    audit : mapping or None
        The seam audit.
    repairs : mapping of str to int
        Labels that held several nuclei and were split (`merged`), and nuclei in pieces that were joined (`cut`); empty if
        the record does not say.
    given : bool
        Whether all labels came from elsewhere and were only linked.
    mended : bool
        Whether repair was requested.
    doubts : list of str
        What to know before any of it is believed; see `measure.doubts`.
    tracks_from : str
        Where the tracks come from, if they were adopted; empty if tlseg made them, or the record does not say.
    skipped : tuple of int
        Frames, by their number in the movie, that were left empty on request.
    measured : tuple of MeasuredChannel
        Channels that `tlseg measure` added.
    is_2d : bool
        Whether the labels have no z axis.
    """

    path: str
    name: str
    frames: int
    shape: tuple[int, int, int]
    spacing_um: tuple[float, float, float] | None
    interval_s: float | None
    first_frame: int
    start_s: float
    instances: int
    tracks: int
    divisions: int
    motherless: int
    motherless_at_edge: int
    fallback: int
    repaired: int
    touching_edge: int
    first_count: int
    last_count: int
    movie: str
    channel: str
    model: str
    method: str
    device: str
    made: str
    version: str
    seconds: float | None
    audit: Mapping[str, Any] | None
    repairs: Mapping[str, int]
    given: bool
    mended: bool
    doubts: list[str]
    tracks_from: str = ""
    skipped: tuple[int, ...] = ()
    measured: tuple[MeasuredChannel, ...] = ()
    is_2d: bool = False

    @property
    def has_time(self) -> bool:
        """Whether there are frames to compare: all that a report says of time depends on it."""
        return self.frames > 1

    @property
    def title(self) -> str:
        """Name of the movie, or of the result if the movie is unknown, without suffixes; and of the labels."""
        file = PurePosixPath((self.movie or self.path).rstrip("/")).name
        return f"{file.removesuffix('.zarr').removesuffix('.ome') or 'movie'}: {self.name}"

    @property
    def seams(self) -> str:
        """Verdict of the seam audit, in one line."""
        if self.audit is None:
            return "not checked, these labels came from elsewhere" if self.given else "not recorded"
        return seam_verdict(self.audit)

    @property
    def seams_hold(self) -> bool | None:
        """What the seam audit found, None if it compared nothing."""
        if self.audit is None or not self.audit.get("face_voxels_compared", 0):
            return None
        return not self.audit.get("face_voxels_that_disagree", 0)

    @property
    def repaired_how(self) -> str:
        """What repair did, in a few words."""
        if not any(self.repairs.values()):
            return "merged or cut, corrected"
        return f"{how_many(self.repairs.get('merged', 0), 'label')} split, {self.repairs.get('cut', 0):,} joined"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = {key: getattr(self, key) for key in self.__slots__}
        return plain | {"seams": self.seams, "measured": [asdict(channel) for channel in self.measured]}


def seam_verdict(audit: Mapping[str, Any]) -> str:
    """What a seam audit found, in one line."""
    wrong, compared = (int(audit.get(f"face_voxels_{what}", 0)) for what in ("that_disagree", "compared"))
    return f"{wrong:,} of {compared:,} voxels disagree" if compared else "not needed, no nucleus lies across blocks"


def gather_facts(result: Result, source: MovieSource, table: pd.DataFrame, *, divisions: int) -> Facts:
    """Collect the facts of a result.

    Parameters
    ----------
    result : Result
    source : MovieSource
        Its labels at the finest level.
    table : DataFrame
        Its complete nucleus table.
    divisions : int
        How many it has.
    """
    record, frames = result.record, segmented_frames(result, source)
    made_of = _mapping(record, "fingerprint")
    time = movie_time(source, result)
    counts = table["t"].value_counts()
    skipped = skipped_frames(record)
    seen = seen_frames(result, source)
    begun = motherless(table, first=seen[0])
    audit = record.get("audit")
    seconds = record.get("seconds")
    return Facts(
        path=result.path,
        name=result.name,
        frames=len(frames),
        shape=source.frame_shape,
        spacing_um=None if source.spacing_problem else source.spacing_um,
        interval_s=time.interval_s,
        first_frame=time.first,
        start_s=time.start_s,
        instances=len(table),
        tracks=int(table["track"].nunique()),
        divisions=divisions,
        motherless=len(begun),
        motherless_at_edge=int(begun["touches_edge"].sum()),
        fallback=int((table["seed"] == "fallback").sum()),
        repaired=int((table["seed"] == "repaired").sum()),
        touching_edge=int(table["touches_edge"].sum()),
        first_count=int(counts.get(seen[0], 0)),
        last_count=int(counts.get(seen[-1], 0)),
        skipped=tuple(skipped),
        movie=address_of(_mapping(made_of, "input"), root=result.path),
        channel=channel_of(record),
        model=model_of(record),
        method=str(_mapping(made_of, "settings").get("method", "")),
        device=str(made_of.get("device", "")),
        made=str(record.get("made", "")),
        version=str(record.get("tlseg", "")),
        seconds=float(seconds) if isinstance(seconds, int | float) else None,
        audit=audit if isinstance(audit, Mapping) else None,
        repairs={kind: int(n) for kind, n in _mapping(record, "repairs").items() if isinstance(n, int)},
        given=bool(table["seed"].isin(["given", "repaired", "corrected"]).all())
        and bool((table["seed"] == "given").any()),
        mended=bool(made_of.get("repair")),
        doubts=doubts_of(record),
        tracks_from=_tracks_from(made_of),
        measured=measured_channels(table, record, root=result.path),
        is_2d=source.is_2d,
    )


def links_of(result: Result) -> pd.DataFrame | None:
    """Links of these labels with their confidence, None if there are none."""
    try:
        return result.tracks()[1]
    except LabelError:
        return None


def channel_of(record: Mapping[str, Any]) -> str:
    """Channel that was segmented, such as "1 ('nuclei')"; empty if the movie has no other, or none is recorded."""
    made_of = _mapping(_mapping(record, "fingerprint"), "input")
    if "c" not in str(made_of.get("axes", "")) or "channel" not in made_of:
        return ""
    number = int(made_of["channel"])
    names = record.get("channels")
    if not isinstance(names, list) or not number < len(names):
        return str(number)
    return f"{number} ({str(names[number])!r})" if len(names) > 1 else ""


def model_of(record: Mapping[str, Any]) -> str:
    """Model of a run, and the width of nuclei that it was scaled to, if it was; empty if none is recorded."""
    model = _mapping(_mapping(record, "fingerprint"), "model")
    name, digest, width = str(model.get("name", "")), str(model.get("digest", "")), model.get("nucleus_um")
    named = f"{name} ({digest[:12]})" if name and digest else name
    return f"{named}, scaled to nuclei {width:g} um wide" if isinstance(width, int | float) else named


def segmented_frames(result: Result, source: MovieSource) -> range:
    """Frames that a run segmented; labels beside a movie hold all its frames, and those left out are empty.

    Parameters
    ----------
    result : Result
    source : MovieSource
        Its labels.
    """
    chosen = recorded_frames(result.record, source.n_frames)
    return chosen if 0 < len(chosen) < source.n_frames else range(source.n_frames)


def seen_frames(result: Result, source: MovieSource) -> Sequence[int]:
    """The same without frames that were left empty on request: nothing is known of these, not even a count."""
    frames, first = segmented_frames(result, source), movie_time(source, result).first
    skipped = {frame - first for frame in skipped_frames(result.record)}
    return [frame for frame in frames if frame not in skipped] or frames


def _mapping(owner: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = owner.get(key)
    return found if isinstance(found, Mapping) else {}


def _tracks_from(made_of: Mapping[str, Any]) -> str:
    if "adopted" not in made_of:
        return ""
    adopted = _mapping(made_of, "adopted")
    parents, corrections = adopted.get("parents"), adopted.get("corrections")
    corrected = f" with {how_many(len(corrections), 'correction')}" if isinstance(corrections, list) else ""
    return f"taken from {made_of.get('labels')}{corrected}; mothers {f'from {parents}' if parents else 'unknown'}"
