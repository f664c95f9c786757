"""Wait for what a Zarr store does, on the event loop on which Zarr itself waits.

A remote store keeps connections that belong to that loop, and Zarr has no public name for it: all that tlseg uses of
Zarr's own insides is in here.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from zarr.core.sync import sync

T = TypeVar("T")


def wait_for(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine of a store returns."""
    return sync(coroutine)
