"""Options with the same meaning take the same values in every command."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

from commandline import invoke
from handmade import write_movie
from tlseg.cli import COMMANDS, main
from tlseg.cli.common import one_line_errors, resumable
from tlseg.config import Frames
from tlseg.errors import LabelError, MovieError
from tlseg.run.request import frames_of
from tlseg.store.export.target import publishing
from tlseg.store.fs.place import Place


@pytest.mark.parametrize("number", ["nan", "inf"])
@pytest.mark.parametrize(
    "arguments",
    [
        "link labels --max-distance",
        "link labels --division-probability",
        "link labels --interval",
        "segment movie --memory-limit",
        "plan movie --memory-limit",
        "convert in.tif out.ome.zarr --interval",
        "simulate out.ome.zarr --interval",
        "simulate out.ome.zarr --cycle",
        "evaluate a b --iou",
        "evaluate a b --tolerance-um",
        "models rescale embryo --out new --factor",
        "train nsn data --out new --rate",
    ],
)
def test_numbers_that_are_none_are_bad_usage(arguments: str, number: str) -> None:
    done = CliRunner().invoke(main, [*arguments.split(), number])
    assert done.exit_code == 2
    assert f"Invalid value for '{arguments.split()[-1]}'" in done.output


@pytest.mark.parametrize("arguments", ["export result", "train", "train nsn", "tune data", "segment", "view"])
def test_what_is_missing_is_said_in_one_line(arguments: str) -> None:
    done = CliRunner().invoke(main, arguments.split())
    assert done.exit_code == 2
    assert done.output.splitlines()[-1].startswith("Error: Missing ")


def test_memory_is_passed_on_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Reached(Exception):
        pass

    given: dict[str, Any] = {}

    def stop(movie: str, **settings: Any) -> None:
        given.update(settings)
        raise Reached

    monkeypatch.setattr("tlseg.run.planning.plan_run", stop)
    done = CliRunner().invoke(main, ["plan", "movie.ome.zarr", "--memory-limit", "1.5", "--channel", "1"])
    assert isinstance(done.exception, Reached)
    assert (given["memory_limit"], given["channel"]) == (3 * 2**29, "1")


def test_frames_lie_within_the_movie() -> None:
    assert (frames_of(None, 9), frames_of("3:", 9), frames_of(range(2, 9), 9)) == (range(9), range(3, 9), range(2, 9))
    assert frames_of(None, 0) == range(0), "that there are none is said by who looks at the movie"
    outside: Frames
    for outside in ("3:10", "9:", range(10), (9, None)):
        with pytest.raises(MovieError, match="within 0:9"):
            frames_of(outside, 9)


@pytest.mark.parametrize(
    "arguments", ["simulate out", "demo", "train nsn data --out o", "tune data --out o --config c"]
)
@pytest.mark.parametrize("seed", [-1, 2**70])
def test_seeds_that_no_generator_takes_are_refused(arguments: str, seed: int) -> None:
    result = CliRunner().invoke(main, [*arguments.split(), "--seed", str(seed)])
    assert result.exit_code == 2
    assert "0<=x<=2147483647" in result.output


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "/data/out"), "Error: /data/out: No space left on device."),
        (OSError("the network is gone"), "Error: OSError: the network is gone."),
        (MemoryError(), "Error: Out of memory"),
    ],
)
def test_what_the_machine_refuses_is_one_line(error: Exception, said: str) -> None:
    @click.command()
    @one_line_errors
    def command() -> None:
        raise error

    result = CliRunner().invoke(command)
    assert result.exit_code == 1
    assert result.output.startswith(said)
    assert result.output.count("\n") == 1


def test_ctrl_c_says_that_nothing_is_lost() -> None:
    @click.command()
    @one_line_errors
    @resumable
    def command() -> None:
        raise KeyboardInterrupt

    done = invoke(command)
    assert (done.exit_code, done.stderr, done.stdout) == (
        1,
        "\nStopped. Run the same command again to continue from here.\n",
        "",
    )


@pytest.mark.parametrize(("text", "flips"), [(None, None), ("1", 1), ("4", 4), ("8", 8)])
@pytest.mark.parametrize("name", ["plan", "segment"])
def test_flips_are_numbers_where_a_run_is_planned_and_where_it_is_done(name: str, text: str, flips: int) -> None:
    given = ["movie"] if text is None else ["movie", "--flips", text]
    assert import_module(f"tlseg.cli.{name}").command.make_context(name, given).params["flips"] == flips


@pytest.mark.parametrize("command", ["convert a out.ome.zarr", "link labels", "evaluate a b"])
def test_spacings_are_those_of_stacks_or_of_planes(command: str) -> None:
    name, *arguments = command.split()
    found = import_module(f"tlseg.cli.{name}").command
    for text, spacing in (("2,1,0.5", (2.0, 1.0, 0.5)), ("1,0.5", (1.0, 0.5))):
        assert found.make_context(name, [*arguments, "--spacing", text]).params["spacing"] == spacing
    for text in ("1", "1,0", "1,2,3,4", "1,nan"):
        with pytest.raises(click.BadParameter, match="Y,X for a 2D movie"):
            found.make_context(name, [*arguments, "--spacing", text])


def _every_command(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    with click.Context(group) as context:
        for name in group.list_commands(context):
            found = group.get_command(context, name)
            assert found is not None
            yield (*words, name)
            if isinstance(found, click.Group):
                yield from _every_command(found, (*words, name))


EVERY_COMMAND = sorted(_every_command(main))


@pytest.mark.parametrize("words", [[], ["models"]])
def test_lists_of_commands_are_not_cut_short(words: list[str]) -> None:
    said = CliRunner().invoke(main, [*words, "--help"]).output.split("Commands:\n")[1].splitlines()
    assert len(said) == (len(COMMANDS) if not words else 6)
    assert all(line.endswith(".") and not line.endswith("..") for line in said)


def test_a_mistyped_command_is_answered_with_the_nearest() -> None:
    assert "No such command 'segmnt'. Did you mean 'segment'?" in CliRunner().invoke(main, ["segmnt", "x"]).output
    assert CliRunner().invoke(main, ["nothing"]).output.endswith("No such command 'nothing'.\n")


def test_every_command_is_looked_at() -> None:
    assert set(COMMANDS) < {" ".join(words) for words in EVERY_COMMAND}


@pytest.mark.parametrize("words", EVERY_COMMAND, ids=" ".join)
def test_every_command_takes_json_and_its_help_shows_no_marks_of_layout(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(main, [*words, "--help"])
    assert done.exit_code == 0
    assert "\\b" not in done.output
    assert "\b" not in done.output
    if words != ("train",):
        assert "--json" in done.output


def test_models_alone_lists_them() -> None:
    said = [invoke(main, "models", *words) for words in (["--json"], ["list", "--json"], ["--json", "list"])]
    assert [done.exit_code for done in said] == [0, 0, 0]
    assert len({done.stdout for done in said}) == 1
    assert "embryo" in {model["name"] for model in json.loads(said[0].stdout)["models"]}
    assert invoke(main, "models").stdout == invoke(main, "models", "list").stdout


@pytest.mark.parametrize(
    "command",
    [
        "simulate {file}/out.ome.zarr --frames 1 --nuclei 1",
        "convert {movie} {file}/out.ome.zarr",
        "models rescale embryo --factor 0.5 --out {file}/model",
        "demo {file}/demo --frames 1",
    ],
)
def test_a_place_that_cannot_be_written_is_bad_usage(tmp_path: Path, command: str) -> None:
    """A file stands in for a folder without write permission, because root may write to any folder."""
    file, movie = tmp_path / "file", tmp_path / "movie.ome.zarr"
    file.touch()
    if "{movie}" in command:
        write_movie(movie, np.ones((1, 4, 8, 8), np.uint16))
    done = invoke(main, *command.format(file=file, movie=movie).split())
    assert done.exit_code == 2, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert "Choose another" in line


def test_an_export_that_cannot_be_written_is_bad_usage(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(LabelError, match=r"cannot be written .*Choose another place"),
        publishing(tmp_path / "file/out", overwrite=False, replaceable=lambda path: False, apart_from=None),
    ):
        pytest.fail("it was given a place")


def test_one_of_a_thing_is_not_said_as_many(tmp_path: Path) -> None:
    movie = tmp_path / "movie.ome.zarr"
    words = ["--frames", "1", "--nuclei", "1", "--shape", "16,48,48"]
    said = [invoke(main, "simulate", movie, *words)]
    said += [invoke(main, "simulate", tmp_path / "two.zarr", "--frames", "2", *words[2:])]
    said += [invoke(main, "evaluate", movie, movie, "--name", "truth")]
    said += [
        invoke(main, "export", movie, "--format", kind, "--out", tmp_path / kind) for kind in ("geff", "tiff", "csv")
    ]
    assert [done.exit_code for done in said] == [0] * len(said), [done.stderr for done in said]
    text = "\n".join(done.stdout for done in said)
    assert set(re.findall(r"\b1 ([a-z]+)", text)) >= {"frame", "track", "node", "row"}
    assert re.search(r"\b1 (frames|tracks|nodes|rows)\b", text) is None, text


def test_one_frame_has_nuclei_and_no_tracks(tmp_path: Path) -> None:
    """Nothing can be compared: every nucleus would be a track, and none could divide."""
    movie = tmp_path / "movie.ome.zarr"
    stack = np.zeros((8, 16, 16), np.uint16)
    stack[2:6, 2:6, 2:6], stack[2:6, 9:14, 9:14] = 1, 2
    tifffile.imwrite(tmp_path / "stack.tif", stack)
    labels = [tmp_path / "stack.tif", "--spacing", "1,1,1"]
    simulated = invoke(main, "simulate", movie, "--frames", "1", "--nuclei", "1", "--shape", "16,48,48")
    said = {
        "link": invoke(main, "link", *labels, "--out", tmp_path / "linked.ome.zarr"),
        "adopt": invoke(main, "adopt", *labels, "--out", tmp_path / "adopted.ome.zarr"),
        "report": invoke(main, "report", tmp_path / "linked.ome.zarr"),
    }
    assert [done.exit_code for done in said.values()] == [0, 0, 0]
    assert all(done.stdout.splitlines()[0].startswith("2 nuclei in one frame") for done in said.values())
    assert ": 1 frame, 1 nucleus. Truth: " in simulated.stdout
    assert not [name for name, done in said.items() if re.search("track|division|gap", done.stdout)]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with labels as a TIFF, as a folder of them, as an OME-Zarr without an image, and a movie."""
    folder = tmp_path_factory.mktemp("inputs")
    labels = np.zeros((8, 16, 16), np.uint16)
    labels[2:6, 2:6, 2:6] = 1
    tifffile.imwrite(folder / "labels.tif", labels)
    for part in ("images", "labels"):
        (folder / "pairs" / part).mkdir(parents=True)
        tifffile.imwrite(folder / "pairs" / part / "a_t1.tif", labels)
    write_movie(folder / "movie.ome.zarr", np.ones((2, 4, 8, 8), np.uint16))
    words = ["--spacing", "1,1,1", "--out", folder / "labels.ome.zarr"]
    assert invoke(main, "link", folder / "labels.tif", *words).exit_code == 0
    return folder


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            "evaluate labels.tif labels.tif --name cells",
            "Labels called 'cells' were asked for, but only those in an OME",
        ),
        ("evaluate pairs/labels labels.tif --name cells", "only those in an OME-Zarr have names, and"),
        ("evaluate labels.ome.zarr/labels/nuclei labels.tif --name cells", "nuclei is one label image"),
        ("evaluate labels.ome.zarr/labels/nuclei/0 labels.tif --name cells", "nuclei/0 is one array"),
        (
            "evaluate labels.tif labels.tif --no-tracking --division-tolerance 2",
            "--division-tolerance would have no effect",
        ),
        ("link labels.tif --spacing 1,1,1 --out out.ome.zarr --labels cells", "Labels called 'cells' were asked for"),
        ("link labels.tif --spacing 1,1,1 --out out.ome.zarr --channel 1", "has no image of which channel 1 could be"),
        ("adopt labels.ome.zarr --out out.ome.zarr --channel GFP", "has no image of which channel GFP could be"),
        (
            "link labels.tif --no-divisions --min-cycle 5 --division-probability 0.2",
            "--division-probability, --min-cycle",
        ),
        (
            "segment movie.ome.zarr --no-divisions --min-cycle 3",
            "--min-cycle would have no effect: with --no-divisions",
        ),
        ("segment movie.ome.zarr --out out.ome.zarr --tls-ca a.pem", "--tls-ca: such files are for the connection"),
        (
            "measure labels.ome.zarr --workers 1 --tls-ca a.pem --tls-key b.pem",
            "--tls-ca, --tls-key: such files are for",
        ),
        (
            "convert labels.tif out.ome.zarr --spacing 1,1,1 --allow-missing",
            "--allow-missing is for the chunks of an OME-Z",
        ),
        ("convert movie.ome.zarr out.ome.zarr --allow-gaps", "--allow-gaps is for TIFFs with numbers in their names"),
        ("view labels.ome.zarr --viewer napari --port 5000 --no-browser", "--port, --no-browser would have no effect"),
        (
            "train nsn pairs --out out --spacing 1,1,1 --labels cells",
            "labels 'cells' would name what is inside OME-Zarr",
        ),
        (
            "train nsn pairs --out out --spacing 1,1,1 --channel 1",
            "channel '1' would name what is inside OME-Zarr movies",
        ),
    ],
)
def test_options_without_effect_are_refused_before_any_work(
    inputs: Path, monkeypatch: pytest.MonkeyPatch, command: str, said: str
) -> None:
    monkeypatch.chdir(inputs)
    done = invoke(main, *command.split())
    assert done.exit_code == 2, done.output
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert said in line
    assert re.search("[Oo]mit (it|them|the name)", line)
    assert not [path.name for path in inputs.iterdir() if path.name.startswith("out")]


def test_a_name_that_is_said_twice_is_no_contradiction(inputs: Path) -> None:
    given = inputs / "labels.ome.zarr" / "labels" / "nuclei"
    assert invoke(main, "evaluate", given, inputs / "labels.tif", "--name", "nuclei").exit_code == 0


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (
            "http://unknown.invalid/x.zarr",
            "http://unknown.invalid/x.zarr is read-only. Expected a local path or an object store",
        ),
        ("ftp://unknown.invalid/x.zarr", "ftp://unknown.invalid/x.zarr cannot be reached (gaierror: "),
        ("nosuch://there/x.zarr", "Protocol not known: nosuch. Expected a local path or a URL that starts with"),
        ("s3://", "The URL s3:// names no place. Expected one such as s3://bucket/movie.ome.zarr."),
        ("://", "The URL :// names no place."),
        ("labels.tif/x.zarr", "labels.tif"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        "report labels.ome.zarr --out {}",
        "link labels.ome.zarr --out {}",
        "adopt labels.ome.zarr --out {}",
        "segment movie.ome.zarr --out {}",
        "convert movie.ome.zarr {}",
        "simulate {} --frames 1 --nuclei 1 --shape 16,32,32",
    ],
)
def test_a_place_that_nothing_can_be_written_to_is_one_line(
    inputs: Path, monkeypatch: pytest.MonkeyPatch, command: str, place: str, said: str
) -> None:
    monkeypatch.chdir(inputs)
    before = sorted(path.name for path in inputs.iterdir())
    done = invoke(main, *(word.format(place) for word in command.split()))
    assert done.exit_code in (1, 2), done.output
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert said in line
    assert sorted(path.name for path in inputs.iterdir()) == before
    if "labels.tif" not in place:
        assert done.exit_code == 2


def test_a_store_that_answers_in_its_own_way_is_one_line(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials, that of s3:// raises an error that is no `OSError`."""

    def refuse(place: Place) -> None:
        raise RuntimeError("Unable to locate credentials")

    monkeypatch.setattr(Place, "file_system", refuse)
    for command in ("report {} --out", "link {} --out", "convert movie.ome.zarr", "simulate"):
        words = command.format(inputs / "labels.ome.zarr").replace("movie", str(inputs / "movie")).split()
        done = invoke(main, *words, "memory://x/y.ome.zarr")
        said = "memory://x/y.ome.zarr cannot be reached (RuntimeError: Unable to locate credentials). Check the address"
        assert (done.exit_code, said in done.stderr) == (2, True), done.stderr


def test_a_report_is_not_begun_where_it_cannot_be_written(inputs: Path) -> None:
    done = invoke(main, "report", inputs / "labels.ome.zarr", "--out", inputs / "labels.tif" / "x.html")
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: "), "and no progress before it"
    assert f"{inputs / 'labels.tif'} is a file. Expected a folder; choose another --out." in done.stderr
