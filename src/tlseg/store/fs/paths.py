"""What names a place: a local path, or a http(s)://, s3:// or other fsspec URL. Nothing is opened here."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tlseg.errors import LabelError, MovieError

MOST_LETTERS = 100
"""Most letters in a name; file systems allow 255, and names of working files add to it."""

_NO_LISTING = ("http", "https")


def is_url(path: str | os.PathLike[str]) -> bool:
    """Whether `path` names a remote store rather than a local folder."""
    return "://" in str(path)


def resolve(path: str | os.PathLike[str]) -> str:
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
    if isinstance(path, str | os.PathLike):
        return str(path)
    source = getattr(path, "attrs", {}).get("source") if hasattr(path, "dims") else None
    advice = f"give {source!r}, where its pixels are stored" if source else "write an array to a file first"
    raise MovieError(
        f"A value of type {type(path).__name__} was given. Expected a path or URL, as text or Path; {advice}."
    )


def real(path: str | os.PathLike[str]) -> str:
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
