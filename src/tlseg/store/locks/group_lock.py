"""Labels of several names share files of their group: the lists of labels and tables, the image's metadata, the tracks.

Whoever changes them waits for a turn. A turn is short and nobody takes a second one during it; whatever takes long is
written beside before the turn, under names of its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tlseg.errors import RunError
from tlseg.store.fs.place import Place
from tlseg.store.locks.lock import TakenError, check_free, lock_of

TURN = ".tlseg.lock"
"""Name of a group's lock."""

WAIT_S = 600.0
"""How long to wait for a turn while other live processes have it."""

ASK_S = 0.2
"""How often to try."""


@contextmanager
def turn(group: Place) -> Iterator[None]:
    """Change alone what the labels of a group share, as soon as nobody else does; the turn of a dead process is over.

    Raises
    ------
    LabelError
        When the group cannot be written to.
    RunError
        When others have had the turn for too long.
    """
    with ExitStack() as held:
        _enter(group, held)
        yield


def _enter(group: Place, held: ExitStack) -> None:
    """Take the lock of a group, waiting where it is held; leaving `held` gives it back."""
    until = time.monotonic() + WAIT_S
    while True:
        try:
            # Looked at first: a store that knows no conditions would let the lock be put over that of its holder.
            check_free(group, name=TURN)
            held.enter_context(lock_of(group, name=TURN))
            return
        except TakenError as error:
            if time.monotonic() >= until:
                raise RunError(f"{group} could not be changed for {WAIT_S / 60:g} minutes. {error}") from error
        time.sleep(ASK_S)
