"""A place behaves the same wherever it is; transient errors are retried and lasting ones reported at once."""

from __future__ import annotations

import errno
import os
import pickle
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import CliRunner

from tlseg.cli import main
from tlseg.errors import LabelError, MovieError, PlanError
from tlseg.store.fs import retry
from tlseg.store.fs.options import check_options, parse_options
from tlseg.store.fs.paths import check_name, resolve
from tlseg.store.fs.place import Place, place_of
from tlseg.store.fs.retry import again, is_transient
from tlseg.store.working.folder import scratch_folder
from tlseg.store.working.scratch import Scratch


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "local":
        yield place_of(tmp_path / "root")
        return
    root = place_of(f"memory://{uuid4().hex}/root")
    yield root
    root.remove()


def test_what_is_written_is_read_listed_and_removed(place: Place) -> None:
    assert (place.names(), place.exists(), place.is_dir()) == ([], False, False)
    file = place / "a" / "b.json"
    with pytest.raises(FileNotFoundError):
        file.read_bytes()
    file.write(b"one")
    file.write("twö".encode())
    (place / "c").write(b"")
    assert (file.read_text(), file.size(), file.exists(), file.is_dir()) == ("twö", 4, True, False)
    assert (place.names(), (place / "a").names(), place.is_dir()) == (["a", "c"], ["b.json"], True)
    (place / "a").remove()
    (place / "nothing").remove()
    assert place.names() == ["c"]
    assert pickle.loads(pickle.dumps(file)) == file


@pytest.mark.parametrize("name", ["a?b", "a*", "a[x]b"])
def test_what_is_removed_is_what_is_named(place: Place, name: str) -> None:
    """File systems of object stores take names for patterns."""
    ours, neighbour = place / f"{name}.zarr", place / "axb.zarr"
    for root in (ours, neighbour):
        (root / "labels" / "0").write(b"")
        (root / "run.lock").write(b"")
    (ours / "labels").remove()
    (ours / "run.lock").remove()
    (ours / "nothing").remove()
    assert (ours.names(), neighbour.names()) == ([], ["labels", "run.lock"])


def test_a_child_may_have_the_name_of_its_folder(place: Place) -> None:
    """Such as the first image of a series, which is called 0."""
    for parts in ("0/0/zarr.json", "0/1/zarr.json"):
        (place / parts).write(b"")
    assert (place / "0").names() == ["0", "1"]
    assert (place / "0" / "0").names() == ["zarr.json"]


class Listing:
    """A file system that lists folders as object stores do if they hold a marker for the folder itself."""

    def __init__(self, *found: str) -> None:
        self.found = list(found)

    def ls(self, path: str, *, detail: bool) -> list[str]:
        return self.found


def test_the_mark_of_a_folder_is_none_of_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    fs = Listing("bucket/0/0", "bucket/0/0/", "bucket/0/0/0/", "bucket/0/0/a")
    monkeypatch.setattr(Place, "file_system", lambda place: (fs, "bucket/0/0"))
    assert place_of("s3://bucket/0/0").names() == ["0", "a"]


@pytest.mark.parametrize(
    "name",
    [
        "zarr.json",
        "ZARR.JSON",
        "image.json",
        "x.json",
        ".zattrs",
        "__x",
        "a/b",
        "..",
        "",
        "a\n",
        "a.json\n",
        "run.lock",
    ],
)
def test_what_would_clash_with_documents_is_no_name(name: str) -> None:
    with pytest.raises(LabelError, match="is not a valid name for labels"):
        check_name(name)


@pytest.mark.parametrize("name", ["nuclei", "0", "a.jsonl", "json", "my-nuclei_2.1", "a.json.b"])
def test_what_is_a_name(name: str) -> None:
    check_name(name)


def test_nothing_is_removed_below_a_file(tmp_path: Path) -> None:
    file = place_of(tmp_path / "file")
    file.write(b"one")
    (file / "below").remove()
    assert file.read_text() == "one"


def test_a_folder_goes_there_and_back(place: Place, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep/er").mkdir(parents=True)
    for name in ("first", "deep/er/second", ".zgroup"):
        (source / name).write_text(name)
    place.put(source, last=(".zgroup",))
    place.get(tmp_path / "copy")
    for name in ("first", "deep/er/second", ".zgroup"):
        assert (tmp_path / "copy" / name).read_text() == name
    with pytest.raises(FileNotFoundError):
        (place / "none").get(tmp_path / "other")


def test_parts_of_a_path(place: Place) -> None:
    assert ((place / "a").parent, (place / "a").name) == (place, "a")
    assert place_of(str(place)) == place == place_of(place)


class Busy(OSError):
    """The error of a store that is overloaded."""

    def __init__(self) -> None:
        super().__init__(errno.EBUSY, "reduce your request rate")


class Answer(Exception):
    """An error that carries a status."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


class EndpointConnectionError(Exception):
    """Named as botocore names it."""


@pytest.mark.parametrize("error", [Busy(), TimeoutError(), ConnectionResetError(), Answer(503), Answer(429)])
def test_what_passes_is_asked_again(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(retry.time, "sleep", pauses.append)
    answers = iter([error, error, None])

    def request() -> str:
        if (raised := next(answers)) is not None:
            raise raised
        return "here"

    assert again(request) == "here"
    assert len(pauses) == 2
    assert 0 < pauses[0] <= retry.FIRST_DELAY_S


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry.time, "sleep", lambda seconds: None)
    asked = []

    def request() -> None:
        asked.append(1)
        raise Busy

    with pytest.raises(Busy):
        again(request)
    assert len(asked) == retry.ATTEMPTS


def test_what_stays_is_said_at_once() -> None:
    for error in (
        FileNotFoundError(),
        PermissionError(),
        ValueError(),
        Answer(404),
        Answer(403),
        OSError(errno.EINVAL),
    ):
        assert not is_transient(error)
    wrapped = OSError("translated")
    wrapped.__cause__ = Answer(503)
    assert is_transient(wrapped)


def test_only_an_address_that_answered_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "_answered", retry.threading.Event())
    assert not is_transient(EndpointConnectionError())
    again(lambda: None)
    assert is_transient(EndpointConnectionError())


def test_options_by_protocol() -> None:
    texts = ["endpoint_url=http://h:9", 'client_kwargs={"region_name": "here"}', "gs.project=mine", "anon=true"]
    assert parse_options(texts) == {
        "s3": {"endpoint_url": "http://h:9", "client_kwargs": {"region_name": "here"}, "anon": True},
        "gs": {"project": "mine"},
    }
    for text in ("endpoint_url", "=x", "s3.=x"):
        with pytest.raises(PlanError, match="not a storage option"):
            parse_options([text])


@pytest.mark.parametrize(
    "text",
    ["key=a", "secret=b", "token=c", "gs.token=x", 'client_kwargs={"aws_secret_access_key": "b"}', "az.account_key=d"],
)
def test_credentials_are_no_options(text: str) -> None:
    with pytest.raises(PlanError, match="is a credential"):
        parse_options([text])
    answer = CliRunner().invoke(main, ["status", "s3://b/r.zarr", "--storage-option", text])
    assert answer.exit_code == 2
    assert "is a credential" in answer.output


def test_options_that_are_none_pass() -> None:
    check_options(
        {"s3": {"endpoint_url": "x", "requester_pays": True, "config_kwargs": {"retries": {"mode": "standard"}}}}
    )


def test_a_url_with_a_password_is_refused() -> None:
    with pytest.raises(MovieError, match=r"The URL of host/?.* holds a password") as caught:
        resolve("https://me:open-sesame@host/movie.zarr")
    assert "open-sesame" not in str(caught.value)
    assert resolve("s3://bucket/at@sign:here/") == "s3://bucket/at@sign:here"
    assert resolve("file:///tmp/x/") == "/tmp/x"


def test_a_place_has_one_name_from_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a" / "b")
    monkeypatch.chdir(tmp_path / "a")
    inside = os.path.realpath(tmp_path)
    assert resolve("../movie.zarr") == f"{inside}/movie.zarr"
    assert resolve("b/../../movie.zarr") == f"{inside}/movie.zarr"
    assert resolve(tmp_path / "link/../movie.zarr") == f"{inside}/a/movie.zarr"
    assert resolve("..") == inside
    assert resolve(tmp_path / "link/movie.zarr") == str(tmp_path / "link/movie.zarr")


def test_a_tilde_is_a_home_or_a_letter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert resolve("~/a.zarr") == "/home/me/a.zarr"
    assert resolve("~nobody-has-this-name.zarr") == str(tmp_path / "~nobody-has-this-name.zarr")


def test_working_files_of_one_output_lie_in_one_folder(tmp_path: Path) -> None:
    local, remote = place_of(tmp_path / "out.zarr"), place_of("s3://bucket/out.zarr")
    assert scratch_folder(local, "nuclei", None) == f"{local}/tlseg/nuclei/scratch"
    assert scratch_folder(remote, "nuclei", None) == scratch_folder(remote, "nuclei", None)
    chosen = {scratch_folder(root, name, tmp_path) for root in (local, remote) for name in ("a", "b")}
    assert len(chosen) == 4
    assert {Path(folder).parent for folder in chosen} == {tmp_path}


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This user's folder in a temporary folder, not created yet."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"tlseg-{os.getuid()}"


def test_working_files_of_a_remote_result_are_this_users_alone(temporary: Path) -> None:
    old = os.umask(0)
    try:
        for _ in range(2):
            scratch = Scratch(scratch_folder(place_of("s3://bucket/out.zarr"), "nuclei", None)).begin({})
    finally:
        os.umask(old)
    assert scratch.path.parent.parent == temporary
    assert temporary.stat().st_mode & 0o777 == 0o700


def planted_link(folder: Path) -> None:
    (folder.parent / "elsewhere").mkdir()
    folder.symlink_to(folder.parent / "elsewhere")


def planted_file(folder: Path) -> None:
    folder.write_text("")


def open_to_all(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)


def open_to_the_group(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o720)


@pytest.mark.parametrize("plant", [planted_link, planted_file, open_to_all, open_to_the_group])
def test_what_others_put_there_is_not_used(temporary: Path, plant: Callable[[Path], None]) -> None:
    root = place_of("s3://bucket/out.zarr")
    before = Scratch(scratch_folder(root, "nuclei", None))
    plant(temporary)
    for act in (lambda: scratch_folder(root, "nuclei", None), lambda: before.begin({})):
        with pytest.raises(LabelError, match=r"must be a folder of this user .* --scratch"):
            act()
    assert scratch_folder(root, "nuclei", temporary.parent / "mine")


def test_what_another_user_owns_is_not_used(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: other)
    temporary.with_name(f"tlseg-{other}").mkdir(mode=0o700)
    with pytest.raises(LabelError, match="must be a folder of this user"):
        scratch_folder(place_of("s3://bucket/out.zarr"), "nuclei", None)
