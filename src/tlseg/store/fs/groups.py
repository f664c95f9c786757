"""Open a Zarr store or group wherever it is: a local folder, or an http(s)://, s3:// or other fsspec URL.

Local paths never import an optional dependency; a URL whose file system is not installed names the extra to install.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tlseg.errors import LabelError, MissingExtraError, MovieError, one_line
from tlseg.store.fs.options import assume_public
from tlseg.store.fs.paths import is_url
from tlseg.store.fs.place import Place
from tlseg.store.fs.refused import refusal

if TYPE_CHECKING:
    from zarr import Array, Group
    from zarr.abc.store import Store


def open_store(url: str, *, access: Literal["read", "write"] = "read") -> Store:
    """Open the store at `url` (see `resolve`).

    Raises
    ------
    MissingExtraError
        If the URL needs a file system that is not installed.
    MovieError
        If the scheme of the URL is unknown.
    """
    if not is_url(url):
        from tlseg.store.fs.local import CheckedStore

        return CheckedStore(url, read_only=access != "write")
    from tlseg.store.fs.remote import zarr_store

    return zarr_store(url, read_only=access != "write")


def open_group(url: str) -> Group:
    """Open the Zarr group at `url` (either format) for reading; public buckets without credentials work too.

    Raises
    ------
    MovieError
        If nothing is there, it is not a Zarr group, or its metadata are damaged.
    """
    import zarr

    if not is_url(url):
        _check_local(url)
    try:
        if is_url(url):
            _knock(url)
        return zarr.open_group(open_store(url), mode="r", use_consolidated=False)
    except (MissingExtraError, MovieError):
        raise
    except Exception as error:  # every backend and codec has errors of its own
        raise MovieError(_explain(url, error)) from error


def child_of(group: Group, name: str) -> Group | Array[Any] | None:
    """Group or array inside a group; None if there is none.

    Raises
    ------
    LabelError
        If its metadata are damaged.
    """
    try:
        return group.get(name)
    except Exception as error:  # every backend and codec has errors of its own
        raise LabelError(
            f"{group.store_path}/{name}: its Zarr metadata cannot be read ({one_line(error)}). It is damaged or cut "
            "short; copy it again."
        ) from error


def writable_group(url: str) -> Group:
    """Open the Zarr v3 group at `url` for writing; it is created if absent.

    Raises
    ------
    LabelError
        If it cannot be written to.
    RunError
        If the disk is full.
    """
    import zarr

    try:
        return zarr.open_group(open_store(url, access="write"), mode="a", zarr_format=3, use_consolidated=False)
    except (MissingExtraError, MovieError):
        raise
    except Exception as error:  # every backend has errors of its own
        found = f"{url} cannot be written to as a Zarr group ({one_line(error)})"
        raise refusal(error, found, instead="Write elsewhere with --out.") from error


def read_only_store(url: str) -> Store:
    """Store at `url` as a worker opens it, with the same fallback to anonymous access as `open_group`."""
    return open_group(url).store if url.startswith("s3://") else open_store(url)


def _knock(url: str) -> None:
    """Find out whether a store answers, before many requests are made at once; without credentials it may be public."""
    there = Place(f"{url}/zarr.json")
    try:
        there.exists()
    except Exception as error:
        if type(error).__name__ != "NoCredentialsError":
            raise
        assume_public(url)
        there.exists()


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
    if "Array" in type(error).__name__:
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
    return f"{path}: its Zarr metadata cannot be read ({one_line(error)}). It is damaged or cut short; copy it again."


def _head(path: Path) -> str:
    try:
        return path.read_text(errors="replace")[:4000]
    except OSError:
        return ""
