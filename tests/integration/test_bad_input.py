"""Bad input stops before any work: one line that says what to do, exit code 2 (1 if the run failed), nothing written."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from click.testing import CliRunner, Result

from handmade import write_movie
from runs import SHAPE, inputs, planned, small_movie, tree
from tlseg.cli import COMMANDS, main
from tlseg.errors import LabelError, ModelError, MovieError, PlanError, TlsegError
from tlseg.models.bundle import load_model
from tlseg.models.derive import rescaled
from tlseg.run.checks import check_spacing
from tlseg.run.linking.labels import link_labels
from tlseg.run.linking.points import link_points
from tlseg.run.segment import segment
from tlseg.run.tasks import cluster
from tlseg.run.watch.status import run_status
from tlseg.store.image.convert import convert
from tlseg.store.image.movie import open_movie, open_source
from tlseg.store.labels.result import open_result


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    inputs(folder, frames=2)
    return folder


@pytest.fixture
def place(base: Path, tmp_path: Path) -> Path:
    """A folder of its own with a good movie of two frames and a good model."""
    shutil.copytree(base, tmp_path, dirs_exist_ok=True)
    return tmp_path


def tlseg(*arguments: str | Path) -> Result:
    try:
        runner = CliRunner(mix_stderr=False)
    except TypeError:  # click 8.2 always keeps them apart
        runner = CliRunner()
    return runner.invoke(main, [str(a) for a in arguments], prog_name="tlseg")


def segmenting(folder: Path, *more: str | Path) -> Result:
    return tlseg(
        "segment",
        folder / "movie.ome.zarr",
        "--model",
        folder / "model",
        "--device",
        "cpu",
        "--block",
        "32,48,48",
        *more,
    )


def error_of(result: Result, code: int = 2) -> str:
    """The one line of an error."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    return lines[0]


def rewrite(movie: Path, **settings: Any) -> zarr.Array[Any]:
    """Replace level 0 of the movie by an array with other properties, all chunks written."""
    old = zarr.open_array(movie / "0", mode="r")
    values = settings.pop("values", old[:])
    shutil.rmtree(movie / "0")
    array = zarr.create_array(
        movie / "0",
        shape=values.shape,
        dtype=settings.get("dtype", values.dtype),
        chunks=(1,) * (values.ndim - 2) + values.shape[-2:],
        shards=settings.get("shards"),
        config={"write_empty_chunks": True},
    )
    array[...] = values
    return array


def edit_metadata(movie: Path, change: Callable[[Any], None]) -> None:
    path = movie / "zarr.json"
    document = json.loads(path.read_text())
    change(document["attributes"]["ome"])
    path.write_text(json.dumps(document))


def wrong_axes(movie: Path) -> None:
    edit_metadata(movie, lambda ome: ome["multiscales"][0]["axes"][3].update(name="q"))


def swapped_axes(movie: Path) -> None:
    edit_metadata(movie, lambda ome: ome["multiscales"][0]["axes"].insert(2, ome["multiscales"][0]["axes"].pop()))


def nanometres(movie: Path) -> None:
    shutil.rmtree(movie)
    write_movie(movie, small_movie(2), spacing_um=(1600.0, 800.0, 800.0))


def metres(movie: Path) -> None:
    shutil.rmtree(movie)
    write_movie(movie, small_movie(2), spacing_um=(1.6e-6, 8e-7, 8e-7))


def no_spacing(movie: Path) -> None:
    def change(ome: Any) -> None:
        for level in ome["multiscales"][0]["datasets"]:
            del level["coordinateTransformations"]

    edit_metadata(movie, change)


def missing_chunk(movie: Path) -> None:
    next(p for p in (movie / "0/c/1").rglob("*") if p.is_file()).unlink()


def corrupt_chunk(movie: Path) -> None:
    for path in (movie / "0/c/1").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-40])


def empty_shard(movie: Path) -> None:
    rewrite(movie, shards=(1, 1, SHAPE[0] // 2, *SHAPE[1:]))
    (movie / "0/c/1/0/1/0/0").write_bytes(b"")


def not_a_number(movie: Path) -> None:
    values = small_movie(2)[:, None].astype(np.float32)
    values[1, 0, 3, 4, 5] = np.nan
    rewrite(movie, values=values)


def constant_frame(movie: Path) -> None:
    values = small_movie(2)[:, None]
    values[1] = 7
    rewrite(movie, values=values)


def no_frames(movie: Path) -> None:
    rewrite(movie, values=np.zeros((0, 1, *SHAPE), np.uint16))


def doubles(movie: Path) -> None:
    rewrite(movie, dtype="float64")


def no_zarr(movie: Path) -> None:
    shutil.rmtree(movie)
    movie.mkdir()
    (movie / "notes.txt").write_text("nothing")


def a_file(movie: Path) -> None:
    shutil.rmtree(movie)
    movie.write_bytes(b"II*\0")


def nothing(movie: Path) -> None:
    shutil.rmtree(movie)


def cut_metadata(movie: Path) -> None:
    path = movie / "zarr.json"
    path.write_text(path.read_text()[:100])


def cut_array_metadata(movie: Path) -> None:
    path = movie / "0/zarr.json"
    path.write_text(path.read_text()[:100])


def no_image(movie: Path) -> None:
    edit_metadata(movie, lambda ome: ome.clear())


MOVIES: list[tuple[Callable[[Path], None], str]] = [
    (wrong_axes, "axes"),
    (swapped_axes, r"dimensions \(t, c, z, y, x\).*axes as \(t, c, x, z, y\)"),
    (no_spacing, "--spacing Z,Y,X"),
    (nanometres, "1600, 800, 800 um .* nanometres.*--spacing Z,Y,X"),
    (metres, "far smaller than a nucleus.*--spacing Z,Y,X"),
    (missing_chunk, "1 chunk is missing, the first is 0/c/1"),
    (corrupt_chunk, "damaged or cut short"),
    (empty_shard, "frame 1.*0/c/1/0/1/0/0 is empty.*damaged or cut short"),
    (not_a_number, "NaN"),
    (constant_frame, "[Ff]rame 1"),
    (no_frames, "nothing to segment"),
    (doubles, "float64 pixels"),
    (no_zarr, "not a Zarr group"),
    (a_file, "is a file"),
    (nothing, "does not exist"),
    (cut_metadata, "cannot be read"),
    (cut_array_metadata, "cannot be opened"),
    (no_image, "Expected"),
]


@pytest.mark.parametrize(("damage", "said"), MOVIES, ids=[damage.__name__ for damage, _ in MOVIES])
@pytest.mark.parametrize("beside", [True, False], ids=["in-place", "out"])
def test_bad_movies(place: Path, damage: Callable[[Path], None], said: str, beside: bool) -> None:
    damage(place / "movie.ome.zarr")
    before = tree(place)
    line = error_of(segmenting(place, *([] if beside else ["--out", place / "out.ome.zarr"])))
    assert re.search(said, line), line
    assert tree(place) == before


def damaged_weights(folder: Path) -> None:
    (folder / "model/nsn.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}")


def no_centres(folder: Path) -> None:
    path = folder / "model/model.json"
    model = json.loads(path.read_text())
    del model["networks"]["ndn"]
    path.write_text(json.dumps(model))


def damaged_description(folder: Path) -> None:
    (folder / "model/model.json").write_text("{")


def labels_there(folder: Path) -> None:
    assert segmenting(folder, "--frames", "0:1").exit_code == 0


def version_04(folder: Path, dtype: str = "<u2") -> None:
    movie = folder / "movie.ome.zarr"
    values = zarr.open_array(movie / "0", mode="r")[:].astype(dtype)
    ome = json.loads((movie / "zarr.json").read_text())["attributes"]["ome"]
    shutil.rmtree(movie)
    group = zarr.create_group(movie, zarr_format=2)
    multiscale = ome["multiscales"][0] | {"version": "0.4", "datasets": ome["multiscales"][0]["datasets"][:1]}
    group.attrs["multiscales"] = [multiscale]
    group.create_array("0", shape=values.shape, dtype=values.dtype, chunks=(1, 1, *SHAPE))[...] = values


def big_endian(folder: Path) -> None:
    version_04(folder, ">u2")


def file_in_the_way(folder: Path) -> None:
    (folder / "out.ome.zarr").write_text("mine")


def folder_in_the_way(folder: Path) -> None:
    (folder / "out.ome.zarr").mkdir()
    (folder / "out.ome.zarr/notes.txt").write_text("mine")


def raw_movie_in_the_way(folder: Path) -> None:
    write_movie(folder / "out.ome.zarr", small_movie(2)[::-1])


def as_is(folder: Path) -> None:
    """Nothing is wrong with the files."""


OUT = ["--out", "{place}/out.ome.zarr"]
CALLS: list[tuple[str, Callable[[Path], None], list[str], str]] = [
    ("unknown model", as_is, ["--model", "mouse"], "No model 'mouse'"),
    ("damaged weights", damaged_weights, [], "cannot be read|do not fit"),
    ("model without centres", no_centres, [], "no network for centres .* --method components"),
    ("damaged model.json", damaged_description, [], "is not JSON"),
    ("block", as_is, ["--block", "24,40,48"], "Along y, a block of 40 .* multiple of 16"),
    ("labels exist", labels_there, [], "already has labels 'nuclei'"),
    ("0.4 in place", version_04, [], "OME-Zarr 0.4.*--out"),
    ("big-endian", big_endian, OUT, "big-endian uint16 pixels"),
    ("frames out of range", as_is, ["--frames", "0:3"], "0:2"),
    ("frames backwards", as_is, ["--frames", "1:1"], "0 <= A < B"),
    ("frames garbage", as_is, ["--frames", "first"], "'first' is not a range"),
    ("out is the movie", as_is, ["--out", "{place}/movie.ome.zarr"], "--out is the movie itself"),
    ("out is the movie by another name", as_is, ["--out", "{place}/x/../movie.ome.zarr"], "--out is the movie itself"),
    ("out in the movie", as_is, ["--out", "{place}/movie.ome.zarr/result"], "lies inside the movie"),
    ("out nowhere", as_is, ["--out", "nosuch://bucket/out.ome.zarr"], "Protocol not known: nosuch"),
    ("out is a file", file_in_the_way, OUT, "is a file"),
    ("out is a folder", folder_in_the_way, OUT, "not a Zarr group"),
    ("out is a raw movie", raw_movie_in_the_way, OUT, "not a copy made by a run"),
    ("out is a raw movie to overwrite", raw_movie_in_the_way, [*OUT, "--overwrite"], "not a copy made by a run"),
    (
        "scratch is a URL",
        as_is,
        ["--scratch", "s3://bucket/x"],
        "--scratch is 's3://bucket/x'. Expected a local folder",
    ),
    ("scratch is empty", as_is, ["--scratch", ""], "--scratch is ''"),
    ("scratch in the movie", as_is, ["--scratch", "{place}/movie.ome.zarr/labels"], "--scratch .* inside the movie"),
    ("scratch is a file", file_in_the_way, ["--scratch", "{place}/out.ome.zarr"], "--scratch .* is a file"),
    ("memory", as_is, ["--memory-limit", "0.1"], "A worker would need about .* may use only 102.4 MiB"),
    (
        "workers and scheduler",
        as_is,
        ["--workers", "2", "--scheduler", "tcp://127.0.0.1:9"],
        "--workers, --scheduler",
    ),
    ("channel", as_is, ["--channel", "blue"], "channel 'blue' was requested"),
    ("channel number", as_is, ["--channel", "3"], "channel '3' was requested"),
    ("long name", as_is, ["--name", "n" * 101], "at most 100"),
    ("name", as_is, ["--name", "../nuclei"], "is not a valid name for labels"),
]


@pytest.mark.parametrize(("damage", "options", "said"), [c[1:] for c in CALLS], ids=[c[0] for c in CALLS])
def test_bad_calls(place: Path, damage: Callable[[Path], None], options: list[str], said: str) -> None:
    damage(place)
    before = tree(place)
    line = error_of(segmenting(place, *(o.format(place=place) for o in options)))
    assert re.search(said, line), line
    assert tree(place) == before


def test_a_movie_that_is_read_only(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    before = tree(place)
    assert "read-only" in error_of(segmenting(place))
    assert "cannot be written to" in error_of(segmenting(place, "--out", place / "out.ome.zarr"))
    assert tree(place) == before


def test_a_full_disk_is_one_line(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tlseg.store.working import scratch

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scratch, "write_atomically", full)
    assert "No space left on device). Free space" in error_of(segmenting(place), code=1)
    monkeypatch.undo()
    monkeypatch.setattr("tlseg.run.segment.write_record", full)
    line = error_of(segmenting(place), code=1)
    assert (
        "The run stopped: OSError: [Errno 28] No space left on device. No space is left: free some. What is done"
        in line
    )


@pytest.mark.parametrize(
    "words",
    [
        ("segment", "{place}/movie.ome.zarr", "--model", "{place}/model", "--out", "{full}/out.zarr"),
        ("convert", "{place}/movie.ome.zarr", "{full}/out.zarr"),
        ("simulate", "{full}/out.zarr"),
        ("demo", "{full}/demo"),
        ("models", "rescale", "{place}/model", "--factor", "2", "--out", "{full}/model"),
        ("link", "{place}/points.csv", "--out", "{full}/points"),
        ("link", "{place}/made.zarr", "--out", "{full}/out.zarr"),
        ("export", "{place}/made.zarr", "--format", "tiff", "--out", "{full}/labels"),
    ],
    ids=lambda words: " ".join(words[:2]).split(" {")[0],
)
def test_a_disk_that_is_full_from_the_start(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """Nothing is wrong with the place: space is needed there, and then the same command works."""
    (place / "points.csv").write_text("t,z,y,x\n0,1,1,1\n1,1,1,1\n")
    simulated = tlseg("simulate", place / "made.zarr", "--frames", "1", "--shape", "16,32,32", "--nuclei", "1")
    assert simulated.exit_code == 0, simulated.stderr
    full, mkdir = tmp_path / "full", os.mkdir
    full.mkdir()

    def refuse(path: Any, *more: Any, **named: Any) -> None:
        if str(path).startswith(str(full)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        mkdir(path, *more, **named)

    monkeypatch.setattr(os, "mkdir", refuse)
    line = error_of(tlseg(*(word.format(place=place, full=full) for word in words)), code=1)
    assert "No space left on device" in line
    assert "Free space" in line
    assert not any(full.iterdir())


def test_a_scheduler_that_does_not_answer(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_S", 0.5)
    before = tree(place)
    assert "No Dask scheduler answers" in error_of(segmenting(place, "--scheduler", "tcp://127.0.0.1:9"), code=1)
    assert tree(place) == before


def test_spacings_fit_where_nuclei_are_as_much_larger(place: Path) -> None:
    movie = place / "movie.ome.zarr"
    nanometres(movie)
    spec = load_model(place / "model").spec
    with pytest.raises(MovieError, match="nanometres"):
        check_spacing(open_source(movie), spec)
    for factor in (100, 1000, 3000):
        check_spacing(open_source(movie), rescaled(spec, factor))


@pytest.mark.parametrize(
    "damage", [no_spacing, nanometres, missing_chunk, nothing, cut_metadata], ids=lambda d: d.__name__
)
def test_plan_refuses_too(place: Path, damage: Callable[[Path], None]) -> None:
    damage(place / "movie.ome.zarr")
    before = tree(place)
    error_of(tlseg("plan", place / "movie.ome.zarr", "--model", place / "model", "--device", "cpu"))
    assert tree(place) == before


def test_plan_refuses_what_does_not_fit(place: Path) -> None:
    line = error_of(tlseg("plan", place / "movie.ome.zarr", "--model", place / "model", "--memory-limit", "0.5"))
    assert "may use only 512.0 MiB" in line


@pytest.mark.parametrize("damage", [as_is, no_spacing], ids=["--frames", "no_spacing"])
def test_from_a_shell(place: Path, damage: Callable[[Path], None]) -> None:
    """The real command, without a test runner."""
    damage(place / "movie.ome.zarr" if damage is no_spacing else place)
    before = tree(place)
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            "from tlseg.cli import main; main()",
            "segment",
            place / "movie.ome.zarr",
            "--model",
            place / "model",
            "--frames",
            "5:9",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert len(ran.stderr.splitlines()) == 1
    assert ran.stderr.startswith("Error: ")
    assert tree(place) == before


def test_help_of_every_command() -> None:
    for command in COMMANDS:
        try:
            result = tlseg(command, "--help")
        except ModuleNotFoundError:
            pytest.fail(f"tlseg {command} is listed and has no module")
        assert result.exit_code == 0, command
        assert result.stdout.startswith(f"Usage: tlseg {command}")


def test_version() -> None:
    result = tlseg("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("tlseg, version ")


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"device": "gpu"}, PlanError),
        ({"workers": -1}, PlanError),
        ({"workers": 1.0}, PlanError),
        ({"memory_limit": 0}, PlanError),
        ({"memory_limit": 8e9}, PlanError),
        ({"block": (16, 16)}, PlanError),
        ({"block": (16.0, 16, 16)}, PlanError),
        ({"channel": 1.5}, MovieError),
        ({"channel": False}, MovieError),
        ({"model": None}, ModelError),
        ({"method": "foo"}, ModelError),
        ({"flips": 3}, ModelError),
        ({"name": None}, LabelError),
        ({"frames": 1}, MovieError),
        ({"out": 7}, MovieError),
    ],
    ids=str,
)
def test_values_that_the_command_line_cannot_pass_are_refused(
    place: Path, given: dict[str, Any], error: type[TlsegError]
) -> None:
    before = tree(place)
    for function in (segment, planned):
        with pytest.raises(error):
            function(place / "movie.ome.zarr", **{"model": place / "model", "out": place / "result.ome.zarr"} | given)
    assert tree(place) == before


def test_a_limit_of_memory_is_not_replaced_by_what_is_free(place: Path) -> None:
    with pytest.raises(PlanError, match="may use"):
        planned(place / "movie.ome.zarr", model=place / "model", out=place / "result.ome.zarr", memory_limit=1)


@pytest.mark.parametrize("what", ["array", "movie", "nothing"])
def test_what_is_no_path_is_refused_with_what_to_give(place: Path, what: str) -> None:
    path = place / "movie.ome.zarr"
    given: Any = {"array": np.zeros((2, 4, 8, 8)), "movie": open_movie(path), "nothing": None}[what]
    functions: list[Callable[..., Any]] = [open_movie, segment, open_result, run_status]
    calls = [*functions, *(lambda it, f=f: f(it, out=place / "new.zarr") for f in (convert, link_labels, link_points))]
    for function in calls:
        with pytest.raises(
            MovieError, match=re.escape(f"give '{path}'") if what == "movie" else "Expected a path or URL"
        ):
            function(given)
    assert not (place / "new.zarr").exists()
