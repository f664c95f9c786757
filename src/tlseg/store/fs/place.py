"""Where results are stored: a local folder, or a prefix of an object store, behind one small value.

A document is written completely or not at all: renamed into place on a file system, one request on an object
store. The value travels to workers and into records, so it never holds a credential or an endpoint.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from glob import has_magic
from pathlib import Path
from typing import Any

from tlseg.errors import LabelError, TlsegError, one_line
from tlseg.store.fs.atomic import write_atomically
from tlseg.store.fs.paths import can_list, is_url, resolve
from tlseg.store.fs.retry import again


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder, local or remote.

    Attributes
    ----------
    url : str
        Absolute local path, or URL without trailing slash.
    """

    url: str

    @property
    def remote(self) -> bool:
        """Whether it is reached through a URL."""
        return is_url(self.url)

    @property
    def path(self) -> Path:
        """The local path; only where it is not `remote`."""
        return Path(self.url)

    @property
    def name(self) -> str:
        """Last part."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def parent(self) -> Place:
        """What holds it."""
        return Place(self.url.rsplit("/", 1)[0] or "/")

    def __truediv__(self, part: str) -> Place:
        return Place(f"{self.url.rstrip('/')}/{part}")

    def __str__(self) -> str:
        return self.url

    def __fspath__(self) -> str:
        """Its local path, so that it is taken wherever a path is; a remote one has none, and is not mistaken for one."""
        if self.remote:
            raise TypeError(f"{self.url} is not a local path.")
        return self.url

    def exists(self) -> bool:
        """Whether there is a file or folder; on an object store a folder is there while it holds something."""
        if not self.remote:
            return self.path.exists()
        fs, path = self.file_system()
        return bool(again(partial(fs.exists, path)))

    def is_dir(self) -> bool:
        """Whether it is a folder."""
        if not self.remote:
            return self.path.is_dir()
        fs, path = self.file_system()
        return bool(again(partial(fs.isdir, path)))

    def names(self) -> list[str]:
        """Names of everything directly inside, sorted; empty if there is nothing."""
        if not self.remote:
            return sorted(entry.name for entry in self.path.iterdir()) if self.path.is_dir() else []
        fs, path = self.file_system()
        try:
            found = again(partial(fs.ls, path, detail=False))
        except FileNotFoundError:
            return []
        # Some stores list the folder itself too; a child may have its name.
        paths = {str(entry).strip("/") for entry in found} - {path.strip("/")}
        return sorted({entry.rsplit("/", 1)[-1] for entry in paths} - {""})

    def read_bytes(self) -> bytes:
        """Content of a file.

        Raises
        ------
        FileNotFoundError
            If there is none.
        """
        if not self.remote:
            return self.path.read_bytes()
        fs, path = self.file_system()
        return bytes(again(partial(fs.cat_file, path)))

    def read_text(self) -> str:
        """Content of a file as text."""
        return self.read_bytes().decode()

    def size(self) -> int:
        """Bytes of a file.

        Raises
        ------
        FileNotFoundError
            If there is none.
        """
        if not self.remote:
            return self.path.stat().st_size
        fs, path = self.file_system()
        return int(again(partial(fs.info, path))["size"])

    def read_range(self, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` of a remote file."""
        fs, path = self.file_system()
        return bytes(again(partial(fs.cat_file, path, start=start, end=stop)))

    def write(self, data: bytes) -> None:
        """Write a file so that readers see all of it or what was there before; folders are created as needed."""
        if not self.remote:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, data)
            return
        fs, path = self.file_system()
        again(partial(fs.pipe_file, path, data))

    def remove(self) -> None:
        """Delete a file, or a folder with everything in it; nothing happens if there is none."""
        if not self.remote:
            if self.path.is_dir() and not self.path.is_symlink():
                shutil.rmtree(self.path, ignore_errors=True)
            else:
                # Below a file there is nothing either, and whoever tidies up has a better error to tell.
                with suppress(NotADirectoryError):
                    self.path.unlink(missing_ok=True)
            return
        fs, path = self.file_system()
        with suppress(FileNotFoundError):
            if not has_magic(path):
                again(partial(fs.rm, path, recursive=True))
                return
            for file in again(partial(fs.find, path)):  # `rm` would take these names for patterns of others, too
                again(partial(fs.rm_file, file))

    def put(self, source: Path, *, last: tuple[str, ...] = ()) -> None:
        """Copy a local file or folder here.

        Parameters
        ----------
        source
            What is copied.
        last
            Names directly in the folder that are copied after everything else: where readers look first.
        """
        if not source.is_dir():
            self._put_file(source)
            return
        files = sorted(path for path in source.rglob("*") if path.is_file())
        at_the_end = [path for path in files if path.parent == source and path.name in last]
        self._put_files(source, [path for path in files if path not in at_the_end])
        self._put_files(source, at_the_end)

    def get(self, target: Path) -> None:
        """Copy the folder to a new local one.

        Raises
        ------
        FileNotFoundError
            If there is nothing.
        OSError
            If a file cannot be copied.
        """
        if not self.remote:
            try:
                shutil.copytree(self.path, target)
            except shutil.Error as error:  # lists every file that was not copied; one says enough
                raise OSError(error.args[0][0][2]) from error
            return
        fs, path = self.file_system()
        files = [str(file) for file in again(partial(fs.find, path))]
        if not files:
            raise FileNotFoundError(self.url)
        copies = [target / file[len(path.rstrip("/")) + 1 :] for file in files]
        for folder in {copy.parent for copy in copies}:
            folder.mkdir(parents=True, exist_ok=True)
        again(partial(fs.get, files, [str(copy) for copy in copies]))

    def file_system(self) -> tuple[Any, str]:
        """Return the fsspec file system of a remote place, and its path in it."""
        from tlseg.store.fs.remote import file_system

        return file_system(self.url)

    def _put_files(self, folder: Path, files: list[Path]) -> None:
        """Copy files of a folder, several at once where the file system can."""
        places = [self / file.relative_to(folder).as_posix() for file in files]
        if not self.remote:
            for place, file in zip(places, files, strict=True):
                place._put_file(file)
        elif files:
            fs, _ = self.file_system()
            targets = [place.file_system()[1] for place in places]
            again(partial(fs.put, [str(file) for file in files], targets))

    def _put_file(self, source: Path) -> None:
        if not self.remote:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, self.path)
            return
        fs, path = self.file_system()
        again(partial(fs.put_file, str(source), path))


@contextmanager
def writable(place: Place, *, kind: type[TlsegError] = LabelError) -> Iterator[None]:
    """Make the first requests of a place that is to be written to; one that is remote may not answer.

    Raises
    ------
    TlsegError
        Of this kind, if nothing can ever be written there, or it does not answer.
    """
    if not can_list(place.url):
        raise kind(f"{place} is read-only. Expected a local path or an object store, such as s3://.")
    try:
        yield
    except TlsegError:
        raise
    except Exception as error:  # every store has errors of its own
        if not place.remote:
            raise
        raise kind(f"{place} cannot be reached ({one_line(error)}). Check the address and your access.") from error


def place_of(location: str | Path | Place) -> Place:
    """Place that a path or URL names."""
    return location if isinstance(location, Place) else Place(resolve(location))
