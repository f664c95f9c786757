"""Remote stores through fsspec: the file system for documents and tables, the Zarr store for pixels.

Every request is retried while its failure is temporary, whatever the protocol; listings are never cached, since
other processes write too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Any

from zarr.abc.store import Store
from zarr.storage import FsspecStore, WrapperStore

from tlseg.errors import MovieError
from tlseg.installed import missing_extra
from tlseg.store.fs.local import not_empty
from tlseg.store.fs.options import options_for
from tlseg.store.fs.retry import again_async

if TYPE_CHECKING:
    from zarr.abc.buffer import Buffer, BufferPrototype
    from zarr.abc.store import ByteRequest

_EXTRAS = {"http": "http", "https": "http", "s3": "s3", "s3a": "s3"}


def zarr_store(url: str, *, read_only: bool) -> Store:
    """Open the remote Zarr store at `url`.

    Raises
    ------
    MissingExtraError
        If the URL needs a file system that is not installed.
    MovieError
        If the scheme of the URL is unknown.
    """
    options = options_for(url)
    try:
        return RetryingStore(FsspecStore.from_url(url, storage_options=options, read_only=read_only))
    except (ImportError, ValueError) as error:
        raise _explained(url, error) from error


def file_system(url: str) -> tuple[Any, str]:
    """Return the fsspec file system of a URL, and the path of the URL in it.

    Raises
    ------
    MissingExtraError
        If the URL needs a file system that is not installed.
    MovieError
        If the scheme of the URL is unknown.
    """
    import fsspec

    try:
        fs, path = fsspec.url_to_fs(url, **options_for(url))
    except (ImportError, ValueError) as error:
        raise _explained(url, error) from error
    return fs, str(path)


class RetryingStore(WrapperStore[Store]):
    """A Zarr store whose requests are retried while they fail for a temporary reason."""

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Read a value or a part of it; None if there is none, `EOFError` if it is empty."""
        return not_empty(key, await again_async(lambda: self._store.get(key, prototype, byte_range)))

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Read several parts."""
        wanted = list(key_ranges)
        return await again_async(lambda: self._store.get_partial_values(prototype, wanted))

    async def exists(self, key: str) -> bool:
        """Whether there is such a key."""
        return await again_async(lambda: self._store.exists(key))

    async def set(self, key: str, value: Buffer) -> None:
        """Write a value whole."""
        await again_async(lambda: self._store.set(key, value))

    async def delete(self, key: str) -> None:
        """Delete a key; nothing happens if there is none."""
        await again_async(lambda: self._store.delete(key))

    async def delete_dir(self, prefix: str) -> None:
        """Delete all keys below a prefix."""
        await again_async(lambda: self._store.delete_dir(prefix))

    def list(self) -> AsyncIterator[str]:
        """Yield all keys."""
        return _listed(self._store.list)

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield all keys below a prefix."""
        return _listed(lambda: self._store.list_prefix(prefix))

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield what lies directly below a prefix."""
        return _listed(lambda: self._store.list_dir(prefix))


class GuardedStore(WrapperStore[Store]):
    """A store that looks writable to libraries that ask for it, but is read-only."""

    @property
    def read_only(self) -> bool:
        """Always false: libraries that open a store for reading and writing would refuse it otherwise."""
        return False

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse to write.

        Raises
        ------
        PermissionError
            Always.
        """
        raise PermissionError(f"{key} is not there, and nothing is written to {self._store}")


async def _listed(request: Callable[[], AsyncIterator[str]]) -> AsyncIterator[str]:
    """Yield a listing that was read to its end, so that a repeated one names nothing twice."""

    async def whole() -> list[str]:
        return [key async for key in request()]

    for key in await again_async(whole):
        yield key


def _explained(url: str, error: Exception) -> Exception:
    """Return the error for a URL that has no file system."""
    scheme = url.split("://", 1)[0]
    if isinstance(error, ImportError):
        if scheme in _EXTRAS:
            return missing_extra(f"Opening {url}", _EXTRAS[scheme])
        return MovieError(f"Opening {url} needs the fsspec file system for {scheme}:// ({error}).")
    return MovieError(f"{url}: {error}. Expected a local path or a URL that starts with https:// or s3://.")
