"""Only one run at a time writes to an output, wherever it lies.

In a folder the lock is a file that can be made only once. On an object store it is an object that is put on condition
that there is none, and renewed on condition that nobody else did; where a store knows no conditions, the holder's mark
is read back instead, so that of two runs at once at least one stops before it says that anything is complete.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Protocol
from uuid import uuid4

from tlseg.errors import LabelError, RunError
from tlseg.store.location import one_line
from tlseg.store.owner import Owner, parse_owner, this_process
from tlseg.store.place import Place
from tlseg.store.retry import again
from tlseg.store.scratch import RunLock

LOCK = "run.lock"
BEAT_S = 30.0
"""How often a lock in an object store is renewed."""

SETTLE_S = 1.0
"""How long a holder waits before it believes its own mark, on stores that know no conditions."""


class Lock(Protocol):
    """What a run holds while it writes."""

    def __enter__(self) -> Lock:
        """Take it, or raise `RunError`."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""

    def beat(self) -> None:
        """Raise `RunError` where the lock was lost to another run."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a lock says.

    Attributes
    ----------
    owner : Owner or None
        Who holds it; None where it cannot be read.
    last_sign : float
        When the holder last said that it is alive, seconds since the epoch.
    token : str
        Mark of this holder, empty for folders.
    """

    owner: Owner | None
    last_sign: float
    token: str = ""

    @property
    def alive(self) -> bool:
        """Whether the holder still runs."""
        return self.owner is not None and self.owner.runs(last_sign=self.last_sign)


def lock_of(folder: Place) -> Lock:
    """Lock of a run's folder, not yet taken."""
    return ObjectLock(folder) if folder.remote else RunLock(folder.path)


def held_lock(folder: Place) -> Held | None:
    """What the lock of a run's folder says now, None where there is none."""
    place = folder / LOCK
    try:
        if not place.remote:
            return Held(parse_owner(place.read_bytes()), place.path.stat().st_mtime)
        return _read(place)
    except FileNotFoundError:
        return None


class ObjectLock:
    """A lock in an object store."""

    def __init__(self, folder: Place) -> None:
        self.folder = folder
        self.token = uuid4().hex
        self.left = threading.Event()
        self.lost: str = ""

    def __enter__(self) -> ObjectLock:
        try:
            if not self._create():
                self._take_over()
            self._settle()
        except OSError as error:
            raise LabelError(
                f"{self.folder} cannot be written to ({one_line(error)}). Write elsewhere with --out."
            ) from error
        threading.Thread(target=self._keep_beating, name="tlseg-lock", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lock back, unless somebody else has it; where the store fails, it runs out."""
        self.left.set()
        with suppress(Exception):
            if (held := held_lock(self.folder)) is not None and held.token == self.token:
                self._place.remove()

    def beat(self) -> None:
        """Raise `RunError` where another run has the lock now, since this one was silent for too long."""
        if self.lost:
            raise RunError(self.lost)

    @property
    def _place(self) -> Place:
        return self.folder / LOCK

    def _document(self) -> bytes:
        return json.dumps({**this_process().to_dict(), "beat": time.time(), "token": self.token}).encode()

    def _create(self) -> bool:
        """Put the lock where there is none; returns whether it is ours."""
        fs, path = self._place.file_system()
        try:
            again(partial(fs.pipe_file, path, self._document(), mode="create"))
        except FileNotFoundError:
            raise
        except OSError:
            held = held_lock(self.folder)
            if held is None:
                raise
            # An answer may be lost on its way back: the mark says whose request came through.
            return held.token == self.token
        return True

    def _take_over(self) -> None:
        """Put ours in place of a lock whose owner is gone; raise where it is alive."""
        held = held_lock(self.folder)
        if held is not None and held.alive:
            raise RunError(
                f"Another run is writing to {self.folder} ({held.owner}). Wait for it, or choose another --name or "
                "--out."
            )
        self._place.write(self._document())

    def _settle(self) -> None:
        time.sleep(SETTLE_S)
        self._check_mine()
        if self.lost:
            raise RunError(self.lost)

    def _keep_beating(self) -> None:
        """Show that the run is alive, however long its tasks take."""
        while not self.lost and not self.left.wait(BEAT_S):
            with suppress(Exception):  # a store that fails for long enough loses the lock
                self._check_mine()
                if not self.lost and not self.left.is_set():
                    self._place.write(self._document())

    def _check_mine(self) -> None:
        held = held_lock(self.folder)
        if held is None or held.token != self.token:
            who = f" ({held.owner})" if held is not None and held.owner is not None else ""
            self.lost = (
                f"Another run took {self.folder}{who}. This one stops, so that nothing is mixed; what it did is kept in its "
                "scratch folder."
            )


def _read(place: Place) -> Held:
    document: Any = json.loads(place.read_bytes())
    return Held(parse_owner(document), float(document.get("beat", 0.0)), str(document.get("token", "")))
