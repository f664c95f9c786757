"""What are the columns of a channel called?

That follows from all channels of the image, so a channel has the same columns whichever others are measured with it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from tlseg.errors import MovieError
from tlseg.store.labels.tables import OF_CHANNELS

_NAMELESS = re.compile(r"channel (\d+)")
"""What a channel without a name is called, also in copies that hold some of the channels."""

_UNIT = "grey"
"""What an export adds to columns of grey values: as the name of a channel it would make one of another."""


def channel_keys(names: Sequence[str], *, where: str) -> tuple[str, ...]:
    """What stands for each channel in the names of its columns.

    That is its name, with `_` for everything but letters, digits, `-` and `_`; `channelN` of one without a name, where N is
    its number. Those of several channels that would be the same get `_channelN` too.

    Raises
    ------
    MovieError
        If two are the same even then.
    """
    plain = [_plain(name) for name in names]
    often = Counter([*plain, _UNIT])
    keys = tuple(
        key if often[key] == 1 or _NAMELESS.fullmatch(name) else f"{key}_channel{number}"
        for number, (name, key) in enumerate(zip(names, plain, strict=True))
    )
    if len(set(keys)) < len(keys):
        twice = next(key for key, count in Counter(keys).items() if count > 1)
        raise MovieError(
            f"{where} has several channels whose columns would be called {OF_CHANNELS[0]}{twice}: its channels are "
            f"{', '.join(map(repr, names))}. Give them names that differ in letters and digits."
        )
    return keys


def columns_of(key: str) -> tuple[str, str]:
    """Columns of mean and sum."""
    mean, total = OF_CHANNELS
    return f"{mean}{key}", f"{total}{key}"


def _plain(name: str) -> str:
    nameless = _NAMELESS.fullmatch(name)
    return f"channel{nameless[1]}" if nameless else re.sub(r"[^A-Za-z0-9_-]", "_", name)
