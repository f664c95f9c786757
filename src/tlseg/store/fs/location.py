"""Open a Zarr store wherever it is: a local folder, or an http(s)://, s3:// or other fsspec URL.

Local paths never import an optional dependency; a URL whose file system is not installed names the extra to install.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tlseg.errors import LabelError, MissingExtraError, MovieError
from tlseg.store.fs.options import assume_public
from tlseg.store.fs.refused import refusal

if TYPE_CHECKING:
    from zarr import Array, Group
    from zarr.abc.store import Store

    from tlseg.store.fs.place import Place

MOST_LETTERS = 100
"""Most letters in a name; file systems allow 255, and names of working files add to it."""

_NO_LISTING = ("http", "https")


def is_url(path: str | Path | Place) -> bool:
    """Whether `path` names a remote store rather than a local folder."""
    return "://" in str(path)


def resolve(path: str | Path | Place) -> str:
    """Return the one text that names a store: a URL without trailing slash, or an absolute local path without `..`.

    Raises
    ------
    MovieError
        If it is empty or not a path, or is a URL that names no place or holds a password, which would end up in run records
        and messages.
    """
    text = text_of(path)
    if not text:  # it would be the current folder, which nobody names like this on purpose
        raise MovieError("An empty path was given. Expected a local path or a URL; is a variable of the shell unset?")
    for scheme in ("file://", "local://"):
        text = text.removeprefix(scheme)
    if not is_url(text):
        return str(_without_dots(absolute(text)))
    scheme, _, rest = text.partition("://")
    if not scheme or not rest.strip("/"):  # without its slashes it would be a local folder
        raise MovieError(f"The URL {text} names no place. Expected one such as s3://bucket/movie.ome.zarr.")
    host = rest.split("/", 1)[0]
    if "@" in host and ":" in host.split("@")[0]:
        raise MovieError(
            f"The URL of {host.rsplit('@', 1)[1]} holds a password, which would be written to records. Give it through "
            "the environment or the configuration of fsspec."
        )
    return text.rstrip("/")


def absolute(path: str | Path) -> Path:
    """Absolute local path; a leading `~` is followed where it names a home, and is part of a name elsewhere."""
    return Path(os.path.expanduser(path)).absolute()  # noqa: PTH111, which raises where it names none


def _without_dots(path: Path) -> Path:
    """Follow `..`, also behind links, so that a place has the same name wherever a command was started."""
    if ".." not in path.parts:
        return path
    last = len(path.parts) - path.parts[::-1].index("..")
    return Path(os.path.realpath(Path(*path.parts[:last])), *path.parts[last:])


def text_of(path: object) -> str:
    """The text of a path or URL, as it was written.

    Raises
    ------
    MovieError
        If it is anything else, such as an array, whose text would be an unintended path.
    """
    from tlseg.store.fs.place import Place

    if isinstance(path, str | os.PathLike | Place):
        return str(path)
    source = getattr(path, "attrs", {}).get("source") if hasattr(path, "dims") else None
    advice = f"give {source!r}, where its pixels are stored" if source else "write an array to a file first"
    raise MovieError(
        f"A value of type {type(path).__name__} was given. Expected a path or URL, as text or Path; {advice}."
    )


def real(path: str | Path | Place) -> str:
    """Return the one name of a place, however it was written: links and `..` followed, a URL as `resolve` returns it.

    Two paths that differ may be one place: use this before anything is replaced.
    """
    place = resolve(path)
    return place if is_url(place) else os.path.realpath(place)


def check_name(name: str) -> None:
    """Raise `LabelError` unless `name` can name labels, a table and a folder, but no document beside them."""
    if not isinstance(name, str) or not re.fullmatch(
        r"(?!__)[\w-][\w.-]*(?<!\.json|\.lock)", name, flags=re.ASCII | re.IGNORECASE
    ):
        raise LabelError(
            f"{name!r} is not a valid name for labels or a table. Use letters, digits, '-', '_' and '.', not starting with "
            "'.' or '__' and not ending in '.json' or '.lock'."
        )
    if len(name) > MOST_LETTERS:
        raise LabelError(
            f"{name[:20]}... has {len(name)} letters. Names of labels or a table are part of file names; use at most "
            f"{MOST_LETTERS}."
        )


def can_list(url: str) -> bool:
    """Whether the keys of a store can be listed, so that an absent chunk can be told from a zero one."""
    return not is_url(url) or url.split("://", 1)[0] not in _NO_LISTING


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


def one_line(error: BaseException) -> str:
    """First line of an error's message, short enough to go inside another one."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:160]}" if text else type(error).__name__


def _knock(url: str) -> None:
    """Find out whether a store answers, before many requests are made at once; without credentials it may be public."""
    from tlseg.store.fs.place import Place

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
