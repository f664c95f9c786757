"""Frames of a run in progress, as files a browser asks for: an OME-Zarr label image that is made while it is read.

A chunk of a frame that cannot be shown yet does not exist, so a browser shows nothing in its place.
"""

from __future__ import annotations

import re
import threading

from tlseg.store.working.unfinished import Unfinished, chunk, chunk_bytes, documents

AT_ONCE = 2
"""Chunks that are made at the same time: the run needs the processors more."""


class WorkingFiles:
    """Labels of a run; see `tlseg.view.files.Files`."""

    def __init__(self, run: Unfinished) -> None:
        self.run = run
        self.documents = documents(run)
        self.room = threading.BoundedSemaphore(AT_ONCE)

    def size(self, key: str) -> int:
        """Bytes of a document or chunk."""
        if key in self.documents:
            return len(self.documents[key])
        level, place = self._place(key)
        if not 0 <= place[0] < len(self.run.frames) or self.run.state(self.run.frames[place[0]]) is None:
            raise FileNotFoundError(key)
        return chunk_bytes(self.run, level)

    def read(self, key: str, start: int, stop: int) -> bytes:
        """Bytes of a document or chunk."""
        if key in self.documents:
            return self.documents[key][start:stop]
        with self.room:
            found = chunk(self.run, *self._place(key))
        if found is None:
            raise FileNotFoundError(key)
        return found[start:stop]

    def _place(self, key: str) -> tuple[int, tuple[int, ...]]:
        """Level and place of a chunk."""
        match = re.fullmatch(r"(\d{1,9})/c/(\d{1,9})/(\d{1,9})/(\d{1,9})/(\d{1,9})", key, flags=re.ASCII)
        level, *place = map(int, match.groups()) if match else (-1,)
        if not 0 <= level < len(self.run.pyramid.factors):
            raise FileNotFoundError(key)
        return level, tuple(place)
