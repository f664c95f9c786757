"""Open a Zarr store wherever it lives: a folder of this machine, or an http(s)://, s3:// or other fsspec URL.

Local paths never import an optional dependency; a URL whose file system is not installed names the extra to install.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tlseg.errors import LabelError, MissingExtraError, MovieError

if TYPE_CHECKING:
    from zarr.abc.store import Store
    from zarr.core.group import Group

_EXTRAS = {"http": "http", "https": "http", "s3": "s3"}
_NO_LISTING = ("http", "https")


def is_url(path: str | Path) -> bool:
    """Whether `path` names a remote store rather than a local folder."""
    return "://" in str(path)


def resolve(path: str | Path) -> str:
    """Return the one text that names a store: a URL without trailing slash, or an absolute local path."""
    text = str(path)
    if text.startswith("file://"):
        text = text.removeprefix("file://")
    return text.rstrip("/") if is_url(text) else str(Path(text).expanduser().absolute())


def check_name(name: str) -> None:
    """Raise `LabelError` unless `name` can name labels, a table and a folder."""
    if not re.fullmatch(r"(?!__)[\w-][\w.-]*", name, flags=re.ASCII):
        raise LabelError(
            f"{name!r} is no name for labels or a table. Use letters, digits, '-', '_' and '.', not starting with '.' "
            "or '__'."
        )


def can_list(url: str) -> bool:
    """Whether the keys of a store can be listed, so that an absent chunk can be told from a zero one."""
    return not is_url(url) or url.split("://", 1)[0] not in _NO_LISTING


def open_store(url: str, *, anonymous: bool = False) -> Store:
    """Open the store at `url` (see `resolve`) for reading.

    Raises
    ------
    MissingExtraError
        If the URL needs a file system that is not installed.
    MovieError
        If the scheme of the URL is unknown.
    """
    if not is_url(url):
        from zarr.storage import LocalStore

        return LocalStore(url, read_only=True)
    from zarr.storage import FsspecStore

    scheme = url.split("://", 1)[0]
    options = {"anon": True} if anonymous else {}
    try:
        return FsspecStore.from_url(url, storage_options=options, read_only=True)
    except ImportError as error:
        if scheme in _EXTRAS:
            raise MissingExtraError(f"Reading {url}", _EXTRAS[scheme]) from error
        raise MovieError(f"Reading {url} needs the fsspec file system for {scheme}:// ({error}).") from error
    except ValueError as error:
        raise MovieError(
            f"{url}: {error}. Expected a local path or a URL that starts with https:// or s3://."
        ) from error


def open_group(url: str) -> Group:
    """Open the Zarr group at `url` (either format) for reading; public buckets without credentials work too.

    Raises
    ------
    MovieError
        If nothing is there, it is no Zarr group, or its metadata are damaged.
    """
    import zarr

    if not is_url(url):
        _check_local(url)
    try:
        try:
            return zarr.open_group(open_store(url), mode="r", use_consolidated=False)
        except Exception as error:
            if type(error).__name__ != "NoCredentialsError":
                raise
            return zarr.open_group(open_store(url, anonymous=True), mode="r", use_consolidated=False)
    except (MissingExtraError, MovieError):
        raise
    except Exception as error:  # every backend and codec has errors of its own
        raise MovieError(_explain(url, error)) from error


def read_only_store(url: str) -> Store:
    """Store at `url` as a worker opens it, with the same fallback to anonymous access as `open_group`."""
    return open_group(url).store if url.startswith("s3://") else open_store(url)


def one_line(error: BaseException) -> str:
    """First line of an error's message, short enough to go inside another one."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:160]}" if text else type(error).__name__


def _check_local(url: str) -> None:
    path = Path(url)
    if not path.exists():
        raise MovieError(f"{url} does not exist. Expected an OME-Zarr folder; check the path.")
    if not path.is_dir():
        raise MovieError(
            f"{url} is a file, not an OME-Zarr folder. TIFF files are converted once: "
            f"tlseg convert {path.name} OUT.ome.zarr"
        )


def _explain(url: str, error: Exception) -> str:
    if "Array" in type(error).__name__ or "ContainsArray" in str(type(error)):
        return f"{url} is a bare Zarr array. Expected the OME-Zarr group above it; give that folder."
    if is_url(url):
        return f"{url} cannot be opened as an OME-Zarr group ({one_line(error)}). Check the address and your access."
    return _explain_local(Path(url), error)


def _explain_local(path: Path, error: Exception) -> str:
    if (path / ".zarray").exists() or '"array"' in _head(path / "zarr.json"):
        return f"{path} is a bare Zarr array. Expected the OME-Zarr group above it; give that folder."
    if not any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zattrs")):
        return (
            f"{path} is not a Zarr group: it holds no zarr.json or .zgroup. Expected an OME-Zarr movie; "
            "a folder of TIFFs is converted once with: tlseg convert"
        )
    return (
        f"{path}: its Zarr metadata cannot be read ({one_line(error)}). They are damaged or cut short; copy it again."
    )


def _head(path: Path) -> str:
    try:
        return path.read_text(errors="replace")[:4000]
    except OSError:
        return ""
