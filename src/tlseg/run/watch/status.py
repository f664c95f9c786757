"""The state of a run, seen from outside: running, died, stopped or complete.

Read from what the run stores with its result (its lock, event log and record), so it works from any process and any machine
that can see the result, without contacting the run.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from tlseg.errors import LabelError, TlsegError
from tlseg.run.watch.event_log import read_events
from tlseg.run.watch.pace import RECENT_S, Pace
from tlseg.store.fs.paths import can_list, check_name
from tlseg.store.fs.place import Place, place_of
from tlseg.store.labels.record import read_record
from tlseg.store.labels.result import DEFAULT, Result
from tlseg.store.locks.lock import held_lock
from tlseg.store.working.folder import scratch_folder
from tlseg.store.working.names import Stage
from tlseg.store.working.unfinished import State as Labels
from tlseg.store.working.unfinished import Unfinished, find_unfinished

State = Literal["running", "complete", "died", "stopped"]

FRAME_STAGE = Stage.SUMMARISE
"""Stage whose units are frames that are labelled and measured."""


@dataclass(frozen=True, slots=True)
class StageStatus:
    """One stage.

    Attributes
    ----------
    stage : str
    done, total : int
        Units: windows, blocks, regions or frames.
    waits : bool
        Whether it waits for another stage running at the same time.
    per_s : float or None
        Recent units per second; None if nothing was finished yet, and for a stage that waits: it would be the other's.
    voxels_per_s : float or None
        The same in voxels of the movie, if units stand for voxels.
    seconds_left : float or None
        At that rate.
    """

    stage: str
    done: int
    total: int
    waits: bool
    per_s: float | None
    voxels_per_s: float | None
    seconds_left: float | None


@dataclass(frozen=True, slots=True)
class RunStatus:
    """A run as it is now.

    Attributes
    ----------
    path, name : str
        Result, and name of its labels.
    state : {"running", "complete", "died", "stopped"}
        Died: the process is gone without a message. Stopped: it ended without a result, and `last_error` says why.
    complete : bool
        Whether there is a complete result (perhaps an earlier one, which the current run will replace).
    owner : str or None
        Process that holds the lock.
    owner_alive : bool or None
    started, last_event_at : str or None
        ISO times, UTC.
    last_event : str or None
    silent_s : float or None
        Seconds since then.
    last_error : str or None
        Of this run.
    frames_done, frames_total : int
        Frames that are labelled and measured.
    stages : tuple of StageStatus
        In the order they began.
    seconds_left : float or None
        Until all stages begun so far are done, from the recent duration of tasks.
    gpu_busy : float or None
        Share of the time in which those that run networks had one to run, 0 to 1.
    retries : int
        Regions that had to be redone.
    repairs : dict of str to int
        Labels that held several nuclei and were split (`merged`) and nuclei in pieces that were joined (`cut`); empty until
        the run is complete.
    dashboard : str or None
        Address of Dask's dashboard.
    viewable : dict of str to list of (start, stop)
        Frames of the movie whose labels can be viewed before the run is complete, "provisional" (each frame has its own
        numbers) or "final"; empty for a complete run, and if its working files cannot be reached.
    working_labels : str or None
        OME-Zarr label image that holds the provisional ones.
    """

    path: str
    name: str
    state: State
    complete: bool
    owner: str | None
    owner_alive: bool | None
    started: str | None
    last_event: str | None
    last_event_at: str | None
    silent_s: float | None
    last_error: str | None
    frames_done: int
    frames_total: int
    stages: tuple[StageStatus, ...]
    seconds_left: float | None
    gpu_busy: float | None
    retries: int
    repairs: Mapping[str, int]
    dashboard: str | None
    viewable: Mapping[Labels, Sequence[tuple[int, int]]]
    working_labels: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def run_status(path: str | Path | Result, *, name: str | None = None) -> RunStatus:
    """Return the state of a run.

    Parameters
    ----------
    path
        OME-Zarr group it writes to, local or a URL, which need not be finished; or what `open_result` returned.
    name
        Name of the labels; by default those that were opened, "nuclei", or the only ones of a run.

    Raises
    ------
    LabelError
        If no run has written there, or its record is damaged.
    MovieError
        If its record cannot be read.
    """
    if isinstance(path, Result):
        return run_status(path.path, name=path.name if name is None else name)
    root = place_of(path)
    name = unnamed(root) if name is None else name
    check_name(name)
    folder = root / "tlseg" / name
    record, held, events = read_record(root.url, name), held_lock(folder), _last_run(read_events(folder))
    if not record and held is None and not events:
        raise LabelError(f"{root} has no record of a run for labels {name!r}. Check the path, or give another --name.")
    alive = None if held is None else held.alive
    complete = bool(record.get("complete"))
    stages = _stages(events) if not complete or alive else _finished(events)
    started = _first(events, "run_started")
    at = [stage for stage in stages if stage.stage == FRAME_STAGE]
    frames = int(record.get("frames", 0)) if complete and not alive else int(started.get("frames", 0))
    ended = [e for e in events if e["event"] in ("run_failed", "run_stopped")]
    unfinished = _unfinished(root, name)
    return RunStatus(
        path=str(root),
        name=name,
        state=_state(complete=complete, alive=alive, ended=bool(ended)),
        complete=complete,
        owner=str(held.owner) if held is not None and held.owner is not None else None,
        owner_alive=alive,
        started=started.get("time"),
        last_event=events[-1]["event"] if events else None,
        last_event_at=events[-1]["time"] if events else None,
        silent_s=round(max(0.0, time.time() - _seconds(events[-1])), 1) if events else None,
        last_error=ended[-1].get("error") if ended else None,
        frames_done=frames if complete and not alive else (at[0].done if at else 0),
        frames_total=frames,
        stages=stages,
        seconds_left=_seconds_left(events) if alive else None,
        gpu_busy=_busy(events),
        retries=sum(event["event"] == "retry" for event in events),
        repairs=dict(record.get("repairs", {})) if complete and not alive else {},
        dashboard=started.get("dashboard") if alive else None,
        viewable={} if unfinished is None else _viewable(unfinished),
        working_labels=None if unfinished is None else unfinished.working_labels,
    )


def unnamed(root: Place) -> str:
    """Which run's labels are meant if no name is given: "nuclei", or the only ones."""
    runs = root / "tlseg"
    if (runs / DEFAULT).exists() or not can_list(root.url):
        return DEFAULT
    found = [name for name in runs.names() if (runs / name).is_dir()]
    return found[0] if len(found) == 1 else DEFAULT


def unfinished_run(path: str | Path | Place, *, name: str | None = None) -> Unfinished | None:
    """What can be viewed of an unfinished run; None if its working files are gone or cannot be reached.

    Parameters
    ----------
    path
        OME-Zarr group it writes to, local or a URL.
    name
        Name of the labels; by default "nuclei", or the only ones of a run.

    Raises
    ------
    MovieError
        If its movie cannot be read, or was replaced since it began.
    """
    root = place_of(path)
    name = unnamed(root) if name is None else name
    check_name(name)
    with suppress(LabelError):  # in a folder that is not ours lies nothing of ours
        usual = scratch_folder(root, name, None)
        if (beside := find_unfinished(root.url, name, folder=usual)) is not None:
            return beside
    named = _first(_last_run(read_events(root / "tlseg" / name)), "run_started").get("working_files")
    return find_unfinished(root.url, name, folder=str(named)) if named else None


def _unfinished(root: Place, name: str) -> Unfinished | None:
    """As `unfinished_run`; a movie that cannot be read does not hide the state of its run."""
    try:
        return unfinished_run(root, name=name)
    except TlsegError:
        return None


def _viewable(run: Unfinished) -> dict[Labels, list[tuple[int, int]]]:
    """Frames that can be viewed, as ranges."""
    found: dict[Labels, list[tuple[int, int]]] = {}
    for frame, state in run.states().items():
        ranges = found.setdefault(state, [])
        if ranges and ranges[-1][1] == frame:
            ranges[-1] = (ranges[-1][0], frame + 1)
        else:
            ranges.append((frame, frame + 1))
    return found


def _state(*, complete: bool, alive: bool | None, ended: bool) -> State:
    if alive:
        return "running"
    if complete:
        return "complete"
    return "stopped" if ended or alive is None else "died"


def _last_run(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    starts = [i for i, event in enumerate(events) if event["event"] == "run_started"]
    return list(events[starts[-1] :]) if starts else list(events)


def _first(events: Sequence[dict[str, Any]], kind: str) -> Mapping[str, Any]:
    return next((event for event in events if event["event"] == kind), {})


def _stages(events: Sequence[Mapping[str, Any]]) -> tuple[StageStatus, ...]:
    """Every stage that was announced, as its last sum of regions says."""
    found = []
    for start in (event for event in events if event["event"] == "stage_started"):
        stage, total = str(start["stage"]), int(start["total"])
        sums = [e for e in events if e["event"] == "regions" and e["stage"] == stage]
        over = any(e["event"] == "stage_finished" and e["stage"] == stage for e in events)
        done = total if over else int(sums[-1]["done"]) if sums else int(start.get("done", 0))
        waits = bool(start.get("waits"))
        per_s = None if waits else _rate(start, sums)
        voxels = int(start.get("voxels", 0))
        found.append(
            StageStatus(
                stage=stage,
                done=done,
                total=total,
                waits=waits,
                per_s=per_s,
                voxels_per_s=per_s * voxels / total if per_s and voxels and total else None,
                seconds_left=(total - done) / per_s if per_s else None,
            )
        )
    return tuple(found)


def _finished(events: Sequence[Mapping[str, Any]]) -> tuple[StageStatus, ...]:
    """Return the stages of a finished run: all units done."""
    return tuple(replace(s, done=s.total, seconds_left=0.0 if s.per_s else None) for s in _stages(events))


def _rate(start: Mapping[str, Any], sums: Sequence[Mapping[str, Any]]) -> float | None:
    """Units a second over the last minutes in which some were finished."""
    if not sums:
        return None
    last = sums[-1]
    before = [(_seconds(start), int(start.get("done", 0))), *((_seconds(e), int(e["done"])) for e in sums[:-1])]
    recent = [point for point in before if _seconds(last) - point[0] <= RECENT_S] or before[-1:]
    since, done = recent[0]
    took = _seconds(last) - since
    return (int(last["done"]) - done) / took if took > 0 and int(last["done"]) > done else None


def _seconds_left(events: Sequence[Mapping[str, Any]]) -> float | None:
    """Time left as the run itself would say it."""
    pace, done = Pace(), dict[str, int]()
    for event in events:
        stage = str(event.get("stage"))
        if event["event"] == "stage_started":
            done[stage] = int(event.get("done", 0))
            pace.expect(stage, int(event["total"]) - done[stage], now=_seconds(event))
        elif event["event"] == "regions" and stage in done:
            now, before = int(event["done"]), done[stage]
            done[stage] = now
            pace.add(
                stage,
                units=now - before,
                left=int(event["total"]) - now,
                seconds=float(event["seconds"]),
                slowest=float(event["slowest"].get("seconds", 0.0)),
                now=_seconds(event),
            )
    return pace.seconds_left if done else None


def _busy(events: Sequence[Mapping[str, Any]]) -> float | None:
    """Time in networks against the time that slots for them were there, from the first such task on."""
    sums = [e for e in events if e["event"] == "regions" and e["stage"] == Stage.PREDICT]
    start = next((e for e in events if e["event"] == "stage_started" and e["stage"] == Stage.PREDICT), None)
    if not sums or start is None:
        return None
    moments = [_seconds(start), *map(_seconds, sums)]
    had = sum((b - a) * int(e.get("slots", 0)) for a, b, e in zip(moments, moments[1:], sums, strict=False))
    return min(1.0, sum(float(e["seconds"]) for e in sums) / had) if had > 0 else None


def _seconds(event: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(str(event["time"])).timestamp()
