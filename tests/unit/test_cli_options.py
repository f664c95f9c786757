"""Options that mean one thing everywhere take the same values everywhere."""

from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner

from commandline import invoke
from tlseg.cli import main
from tlseg.cli.common import goes_on_when_stopped, one_line_errors
from tlseg.cli.evaluate import FrameRange
from tlseg.config import parse_frames
from tlseg.errors import MovieError
from tlseg.run.job import frames_of


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


def test_memory_is_passed_on_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Reached(Exception):
        pass

    given: dict[str, Any] = {}

    def stop(movie: str, **settings: Any) -> None:
        given.update(settings)
        raise Reached

    monkeypatch.setattr("tlseg.run.job.prepare", stop)
    done = CliRunner().invoke(main, ["plan", "movie.ome.zarr", "--memory-limit", "1.5", "--channel", "1"])
    assert isinstance(done.exception, Reached)
    assert (given["memory_limit"], given["channel"]) == (3 * 2**29, "1")


@pytest.mark.parametrize(
    ("text", "frames"), [("2:5", (2, 5)), (":5", (None, 5)), ("2:", (2, None)), (":", (None, None))]
)
def test_frames_are_half_open(text: str, frames: tuple[int | None, int | None]) -> None:
    assert parse_frames(text) == FrameRange().convert(text, None, None) == frames


def test_frames_lie_within_the_movie() -> None:
    assert (frames_of(None, 9), frames_of("3:", 9), frames_of(range(2, 9), 9)) == (range(9), range(3, 9), range(2, 9))
    for outside in ("3:10", "9:", range(10), range(-1, 4), range(4, 4)):
        with pytest.raises(MovieError, match="within 0:9"):
            frames_of(outside, 9)
    with pytest.raises(MovieError, match="one by one"):
        frames_of(range(0, 9, 2), 9)


@pytest.mark.parametrize("text", ["3", "", "5:2", "2:2", ":0", "-2:", ":-1", "1:2:3", "a:b", "1_0:20"])
def test_what_is_no_range_of_frames_is_refused(text: str) -> None:
    with pytest.raises(MovieError, match="is not a range of frames"):
        parse_frames(text)


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
        (MemoryError(), "Error: Memory is used up"),
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
    @goes_on_when_stopped
    def command() -> None:
        raise KeyboardInterrupt

    done = invoke(command)
    assert (done.exit_code, done.stderr, done.stdout) == (1, "\nStopped. The same command goes on from here.\n", "")
