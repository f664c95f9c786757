"""What are the columns of a channel called?

The answer depends on all channels of the image, so a channel has the same columns whichever others are measured with it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from tlseg.errors import LabelError, MovieError
from tlseg.store.labels.tables import CHANNEL_PREFIXES

_NAMELESS = re.compile(r"channel (\d+)")
"""Default name of a channel without a name, also in copies that hold only some of the channels."""

_UNIT = "grey"
"""What an export appends to columns of grey values: a channel of this name would get the columns of another."""


def channel_keys(names: Sequence[str], *, where: str) -> tuple[str, ...]:
    """Return the key of each channel, which its column names end in.

    This is the name of the channel, with every character except letters, digits, `-` and `_` replaced by `_`, or `channelN`
    if it has no name, where N is its number. Channels that would share a key get `_channelN` appended.

    Raises
    ------
    MovieError
        If two keys are still the same.
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
            f"{where} has several channels whose columns would be called {CHANNEL_PREFIXES[0]}{twice}: its channels are "
            f"{', '.join(map(repr, names))}. Give them names that differ in their letters and digits."
        )
    return keys


def columns_of(key: str, prefix: str | None = None) -> tuple[str, str]:
    """Return the names of the columns of mean and sum.

    Raises
    ------
    LabelError
        If the prefix, which comes before the key, cannot be part of them.
    """
    mean, total = CHANNEL_PREFIXES
    if prefix is None:
        return f"{mean}{key}", f"{total}{key}"
    if not re.fullmatch(r"[A-Za-z0-9_-]+", prefix):
        raise LabelError(f"--prefix is {prefix!r}, but becomes part of column names. Use letters, digits, '-' and '_'.")
    return f"{mean}{prefix}_{key}", f"{total}{prefix}_{key}"


def _plain(name: str) -> str:
    nameless = _NAMELESS.fullmatch(name)
    return f"channel{nameless[1]}" if nameless else re.sub(r"[^A-Za-z0-9_-]", "_", name)
