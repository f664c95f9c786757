"""Which of several processes is this? All of them learn; only the first writes files and output.

Processes are started by `accelerate launch` or `torchrun`; without either there is one, and it is the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from accelerate import PartialState

from tlseg.errors import RunError
from tlseg.predict.device import TorchDevice
from tlseg.store.fs.place import place_of
from tlseg.store.locks.lock import Lock, lock_of


def join(device: TorchDevice) -> None:
    """Join the other processes, on this kind of device; the first call of a process decides.

    Raises
    ------
    RunError
        When the process has joined on another device before.
    """
    found = PartialState(cpu=device == "cpu").device.type
    if found != device:
        raise RunError(f"This process already trains on {found}; start another one for {device}.")


def is_first() -> bool:
    """Whether this is the process that writes files and output."""
    return bool(PartialState().is_main_process)


def first_holds(folder: Path) -> AbstractContextManager[Lock | None]:
    """Keep other trainings out of a folder: the first process holds the lock for all; the others get None."""
    return lock_of(place_of(folder)) if is_first() else nullcontext()


def wait_for_all() -> None:
    """Wait until every process has reached this point."""
    PartialState().wait_for_everyone()


@contextmanager
def first_ahead() -> Iterator[None]:
    """Let the first process through, and the others when it is done: they find its files."""
    with PartialState().main_process_first():
        yield
