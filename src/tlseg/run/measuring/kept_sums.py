"""Which frames did a stopped measurement leave, and are they still those of these pixels?

The sums of a frame are kept once all its regions are done, with a mark of the files they were read from: a frame that was
written since is measured again. Other channels, another image or other labels start everything over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tlseg import __version__
from tlseg.measure.channels import GreySums
from tlseg.store.fs.place import Place
from tlseg.store.image.movie import MovieSource
from tlseg.store.labels.result import Result
from tlseg.store.working.folder import MEASURING, scratch_folder
from tlseg.store.working.names import Table
from tlseg.store.working.scratch import LostWorkError, Scratch

_MARK, _COLUMNS = "mark", "columns"


@dataclass(frozen=True, slots=True, eq=False)
class MeasureInput:
    """What is measured.

    Attributes
    ----------
    labels : MovieSource
        The label movie.
    channels : tuple of MovieSource
        Channels of one image with the same voxels.
    first : int
        Frame of the image that corresponds to the first frame of the labels.
    """

    labels: MovieSource
    channels: tuple[MovieSource, ...]
    first: int

    def fingerprint(self, root: str) -> dict[str, Any]:
        """Everything that decides the sums except the pixels; the same if a result in `root` is moved."""
        return {
            "tlseg": __version__,
            "labels": self.labels.identity(root=self.labels.url),
            "channels": [channel.identity(root=root) for channel in self.channels],
            "first": self.first,
        }

    def mark(self, frame: int) -> str:
        """Return a text that is another one once labels or grey values of a frame were written."""
        grey = [channel.mark(self.first + frame) for channel in self.channels]
        return " ".join([self.labels.mark(frame), *grey])


@dataclass(frozen=True, slots=True)
class KeptSums:
    """The working files of a measurement."""

    scratch: Scratch
    pixels: MeasureInput

    def put(self, frame: int, sums: GreySums | None, *, mark: str) -> None:
        """Keep the sums of a frame, None if it has no labels; `mark` is from before they were read."""
        found = {} if sums is None else asdict(sums)
        self.scratch.put(Table.MEASURE, frame, 0, **found, **{_MARK: np.array(mark)})

    def found(self) -> Iterator[tuple[int, GreySums | None]]:
        """Yield the frames that need not be measured again, and their sums."""
        for frame in range(self.pixels.labels.n_frames):
            stored = None
            if self.scratch.has(Table.MEASURE, frame, 0):
                with suppress(LostWorkError):  # what is damaged is measured again
                    stored = self.scratch.get(Table.MEASURE, frame, 0)
            if stored is not None and str(stored.pop(_MARK)) == self.pixels.mark(frame):
                yield frame, GreySums(**stored) if stored else None

    def replacing(self, columns: Sequence[str]) -> None:
        """Remember that these columns of the table are about to be written, whatever they hold."""
        self.scratch.put(Table.OUTPUT, 0, 0, **{_COLUMNS: np.array(columns)})

    @property
    def empty(self) -> bool:
        """Whether no frame is kept."""
        return not any(self.scratch.has(Table.MEASURE, frame, 0) for frame in range(self.pixels.labels.n_frames))


def folder_for(result: Result, chosen: str | Path | None) -> str:
    """Folder of the working files, in a chosen folder or where `scratch_folder` says; nothing is made."""
    return scratch_folder(Place(result.path), result.name, chosen, of=MEASURING)


def columns_begun(folder: str, pixels: MeasureInput, *, root: str) -> set[str]:
    """Columns that a stopped measurement of these pixels was about to write: they may be its own."""
    scratch = Scratch.at(folder)
    if scratch.continues(pixels.fingerprint(root), overwrite=True) and scratch.has(Table.OUTPUT, 0, 0):
        with suppress(LostWorkError):  # damaged: the user decides
            return set(scratch.get(Table.OUTPUT, 0, 0)[_COLUMNS].tolist())
    return set()


@contextmanager
def kept_sums(folder: str, pixels: MeasureInput, *, root: str) -> Iterator[KeptSums]:
    """Continue a stopped measurement of these pixels, or start over; what is kept is removed at the end.

    If the block fails, it remains for the next start. Only the holder of the lock may do this.

    Parameters
    ----------
    folder
        Folder of the working files.
    root
        The result.

    Raises
    ------
    LabelError
        If the folder of the working files cannot be written to.
    """
    scratch, fingerprint = Scratch.at(folder), pixels.fingerprint(root)
    if not scratch.continues(fingerprint, overwrite=True):
        scratch = scratch.begin(fingerprint, overwrite=True)
    kept = KeptSums(scratch, pixels)
    try:
        yield kept
    except BaseException:
        if kept.empty:
            scratch.remove()
        raise
    scratch.remove()
