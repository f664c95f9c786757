"""Folders of this machine as Zarr stores, in which an empty file is an error, as an empty object is in remote ones.

A copy that was cut short, or that filled a disk, leaves empty files. Zarr would take an empty shard for one that was never
written, and read zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zarr.storage import LocalStore

if TYPE_CHECKING:
    from zarr.abc.buffer import Buffer, BufferPrototype
    from zarr.abc.store import ByteRequest


class CheckedStore(LocalStore):
    """A folder as a Zarr store, of which nothing empty is read."""

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read a value or a part of it; None if there is none.

        Raises
        ------
        EOFError
            If it is empty.
        """
        return not_empty(key, await super().get(key, prototype, byte_range))


def not_empty(key: str, found: Buffer | None) -> Buffer | None:
    """Return what was read at a key; raise `EOFError` if that is empty."""
    if found is not None and not len(found):
        raise EOFError(f"{key} is empty")
    return found
