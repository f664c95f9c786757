"""Only one run at a time writes to an output, wherever it is.

In a folder the lock is a folder of its own with one file in it, named by its holder's mark. On an object store it is an
object that is put only if none exists, and renewed while it bears the holder's mark; if a store does not support conditions,
the mark is read back, so that of two runs at once at least one stops before it marks anything as complete.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from tlseg.errors import RunError, one_line
from tlseg.store.fs.place import Place
from tlseg.store.fs.refused import refusal
from tlseg.store.fs.retry import again
from tlseg.store.locks.owner import Owner, parse_owner, this_process

LOCK = "run.lock"
BEAT_S = 30.0
"""How often a holder shows that it is alive, even while nothing is finished."""

SETTLE_S = 1.0
"""How long a holder waits before it believes its own mark, on stores that know no conditions."""


class TakenError(RunError):
    """Another live run holds a lock; it may be free soon."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a lock says.

    Attributes
    ----------
    owner : Owner or None
        Who holds it; None if it cannot be read.
    last_sign : float
        When the holder last said that it is alive, seconds since the epoch.
    token : str
        Mark of this holder.
    """

    owner: Owner | None
    last_sign: float
    token: str = ""

    @property
    def alive(self) -> bool:
        """Whether the holder still runs."""
        return self.owner is not None and self.owner.runs(last_sign=self.last_sign)


class Lock(ABC):
    """What a run holds while it writes: taken on entering, shown to be alive from a thread, given back on leaving."""

    def __init__(self, folder: Place, *, name: str = LOCK) -> None:
        self.folder, self.name = folder, name
        self.token = uuid4().hex
        self.left, self.showing = threading.Event(), threading.Lock()
        self.lost = ""

    def __enter__(self) -> Self:
        """Take it.

        Raises
        ------
        TakenError
            When another run has it.
        LabelError
            When the folder cannot be written to.
        RunError
            When the disk is full.
        """
        try:
            self._take()
            threading.Thread(target=self._keep_beating, name="tlseg-lock", daemon=True).start()
        except TakenError:
            raise
        except BaseException as error:
            # It may be ours already, and this process may live long: nobody else could ever take it.
            self.__exit__()
            if not isinstance(error, OSError):
                raise
            found = f"{self.folder} cannot be written to ({error.strerror or one_line(error)})"
            raise refusal(error, found, instead="Write elsewhere with --out.") from error
        return self

    def __exit__(self, *_: object) -> None:
        """Give it back, unless somebody else has it; if that fails, the next run finds its owner gone."""
        self.left.set()
        # A sign of life that is on its way would put the lock back.
        with self.showing, suppress(Exception):
            self._give_back()

    def beat(self) -> None:
        """Raise `RunError` if another run took the lock because this one had been silent for too long."""
        if self.lost:
            raise RunError(self.lost)

    @abstractmethod
    def _take(self) -> None:
        """Take the lock, or raise."""

    @abstractmethod
    def _show(self) -> None:
        """Show that the run is alive, or say in `lost` that the lock is another's."""

    @abstractmethod
    def _give_back(self) -> None:
        """Remove the lock if it is ours."""

    def _keep_beating(self) -> None:
        """Show that the run is alive, however long its tasks take; a disk or store that answers in time keeps the lock."""
        while not self.lost and not self.left.wait(BEAT_S):
            with self.showing, suppress(Exception):
                if not self.left.is_set():
                    self._show()


def lock_of(folder: Place, *, name: str = LOCK) -> Lock:
    """Lock of a folder, not yet taken."""
    return ObjectLock(folder, name=name) if folder.remote else FolderLock(folder, name=name)


def held_lock(folder: Place, name: str = LOCK) -> Held | None:
    """The content of a folder's lock now, None if there is none."""
    place = folder / name
    try:
        return _read_object(place) if place.remote else _read_folder(place.path)
    except FileNotFoundError:
        return None


def check_free(folder: Place, *, name: str = LOCK) -> None:
    """Raise `TakenError` if a live run holds the lock of a folder; checked before work that would be in vain."""
    _yield_to_living(held_lock(folder, name), folder)


class FolderLock(Lock):
    """A lock in a folder.

    It is made beside its place and renamed, which no file system does over a folder that is not empty. A lock is given
    back and taken over by removing the file of one mark, so who looked too long ago removes nobody else's.
    """

    @property
    def _path(self) -> Path:
        return (self.folder / self.name).path

    def _take(self) -> None:
        ready = (self.folder / f".{self.name}.{self.token}").path
        try:
            ready.mkdir(parents=True)
            (ready / self.token).write_text(json.dumps(this_process().to_dict()))
            for _ in range(3):
                if self._put(ready):
                    return
                held = held_lock(self.folder, self.name)
                _yield_to_living(held, self.folder)
                self._remove(held.token if held is not None else "")
        finally:
            shutil.rmtree(ready, ignore_errors=True)
        raise TakenError(f"Another run took {self.folder} at the same moment. Start again when it is done.")

    def _put(self, ready: Path) -> bool:
        """Rename the lock into its place; returns whether it is ours."""
        try:
            ready.rename(self._path)
        except OSError as error:
            # A network file system may ask twice and hear of the second time only: the mark says what became of it.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                raise
            return (self._path / self.token).exists()
        return True

    def _show(self) -> None:
        try:
            os.utime(self._path / self.token)
        except FileNotFoundError:
            self.lost = _lost(self.folder, None)

    def _give_back(self) -> None:
        self._remove(self.token)

    def _remove(self, token: str) -> None:
        """Remove a holder's mark, and the folder of the lock unless it holds another one."""
        if token:
            (self._path / token).unlink(missing_ok=True)
        with suppress(OSError):
            self._path.rmdir()


class ObjectLock(Lock):
    """A lock in an object store."""

    @property
    def _place(self) -> Place:
        return self.folder / self.name

    def _document(self) -> bytes:
        return json.dumps({**this_process().to_dict(), "beat": time.time(), "token": self.token}).encode()

    def _take(self) -> None:
        if not self._create():
            _yield_to_living(held_lock(self.folder, self.name), self.folder)
            self._place.write(self._document())
        time.sleep(SETTLE_S)
        self._check_mine()
        if self.lost:
            raise TakenError(self.lost)

    def _create(self) -> bool:
        """Put the lock if there is none; returns whether it is ours."""
        fs, path = self._place.file_system()
        try:
            again(partial(fs.pipe_file, path, self._document(), mode="create"))
        except FileNotFoundError:
            raise
        except OSError:
            held = held_lock(self.folder, self.name)
            if held is None:
                raise
            # An answer may be lost on its way back: the mark says whose request came through.
            return held.token == self.token
        return True

    def _show(self) -> None:
        self._check_mine()
        if not self.lost:
            self._place.write(self._document())

    def _check_mine(self) -> None:
        held = held_lock(self.folder, self.name)
        if held is None or held.token != self.token:
            self.lost = _lost(self.folder, held)

    def _give_back(self) -> None:
        if (held := held_lock(self.folder, self.name)) is not None and held.token == self.token:
            self._place.remove()


def _lost(folder: Place, held: Held | None) -> str:
    who = f" ({held.owner})" if held is not None and held.owner is not None else ""
    return (
        f"Another run{who} took over {folder} while this one was silent. This one stops, so that nothing is mixed; what it "
        "did is kept."
    )


def _yield_to_living(held: Held | None, folder: Place) -> None:
    if held is not None and held.alive:
        raise TakenError(f"Another run is writing to {folder} ({held.owner}). Wait for it, or write elsewhere.")


def _read_folder(lock: Path) -> Held | None:
    for file in lock.iterdir():
        with suppress(FileNotFoundError):
            return Held(parse_owner(_content(file.read_bytes())), file.stat().st_mtime, file.name)
    return None


def _read_object(place: Place) -> Held:
    document = _content(place.read_bytes())
    return Held(parse_owner(document), float(document.get("beat", 0.0)), str(document.get("token", "")))


def _content(data: bytes) -> Mapping[str, Any]:
    """What a lock says; nothing if it is truncated, or not a lock."""
    try:
        document = json.loads(data)
    except ValueError:
        return {}
    return document if isinstance(document, Mapping) else {}
