"""What every command shares: options that mean one thing everywhere, and errors as one line with an exit code."""

from __future__ import annotations

import functools
import json
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click
from click.core import ParameterSource

from tlseg.cli.param_types import FiniteRange
from tlseg.errors import RunError, TlsegError, one_line
from tlseg.installed import missing_extra, this_command
from tlseg.wording import how_many

if TYPE_CHECKING:
    from tlseg.geometry import Shape, Spacing

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=Callable[..., Any])

STORAGE = "tlseg.storage"
"""Key of a command's context that is set if storage options were given."""


def one_line_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Turn a `TlsegError`, or an error of the operating system, into `Error: ...` on standard error and an exit code."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except TlsegError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(error.exit_code)
        except BrokenPipeError:  # who read the output has gone, which click knows how to end
            raise
        except OSError as error:
            # Whatever a disk or network may refuse at any moment; what needs more words is a `TlsegError`.
            where = f"{error.filename}: " if error.filename else ""
            click.echo(f"Error: {where}{error.strerror or one_line(error)}. Fix this, then start again.", err=True)
            sys.exit(RunError.exit_code)
        except MemoryError as error:
            click.echo(f"Error: Out of memory ({one_line(error)}). Process less at once.", err=True)
            sys.exit(RunError.exit_code)

    return wrapped


def resumable(function: Callable[P, R]) -> Callable[P, R]:
    """Say on Ctrl-C that nothing is lost; for commands that continue where they stopped."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except KeyboardInterrupt:
            click.echo("\nStopped. Run the same command again to continue from here.", err=True)
            sys.exit(RunError.exit_code)

    return wrapped


def option_group(*options: Callable[[Any], Any]) -> Callable[[C], C]:
    """Make one decorator of several options, which help lists in this order."""

    def add(command: C) -> C:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def check_installed(command: str, modules: Iterable[str], *, extra: str) -> None:
    """Raise `MissingExtraError` unless the modules of an extra that a command needs are installed."""
    if any(find_spec(name) is None for name in modules):
        raise missing_extra(command, extra)


def refuse_given(names: Iterable[str], because: str) -> None:
    """Raise a usage error if any of these options of the current command was given, where none would have an effect."""
    context = click.get_current_context()
    spelled = {str(option.name): option.opts[0] for option in context.command.params}
    asked = [spelled[name] for name in names if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if asked:
        it = "it" if len(asked) == 1 else "them"
        raise click.UsageError(f"{', '.join(asked)} would have no effect: {because}. Omit {it}.")


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")


def print_json(result: Mapping[str, Any]) -> None:
    """Print one JSON object on standard output."""
    click.echo(json.dumps(result, indent=2, default=float))


def say_motherless(tracks: int, motherless: int, *, at_edge: int = 0, more: str = "") -> None:
    """Warn if tracking has probably failed; `more` says where to read more."""
    from tlseg.measure.history import MANY_MOTHERLESS

    if motherless - at_edge > MANY_MOTHERLESS * tracks:
        edge = f" ({at_edge} of them at the frame's edge)" if at_edge else ""
        begin = "begins" if motherless == 1 else "begin"
        click.echo(
            f"{motherless} of {how_many(tracks, 'track')} {begin} mid-movie without a mother{edge}: frames may be too far "
            f"apart in time{more}."
        )


def say_notes(notes: Iterable[str]) -> None:
    """Print notes on a result, one a line."""
    for note in notes:
        click.echo(f"Note: {note}")


def say_next_of_movie(path: str) -> None:
    """Print what comes next for a movie that was written."""
    # One in an object store needs a result elsewhere, which only the user can name.
    _say_next(*(["plan"] if "://" in path else ["plan", "segment"]), words=[path])


def say_next_of_result(path: str, *, name: str) -> None:
    """Print what comes next for a result at `path`, as it was given, with labels of this name."""
    _say_next("report", "view", words=[path] if name == "nuclei" else [path, "--name", name])


def _say_next(*verbs: str, words: Sequence[str]) -> None:
    """Print commands as they can be typed; storage options, which may be secrets, are not repeated."""
    commands = " or ".join(f"{this_command()} {verb} {shlex.join(words)}" for verb in verbs)
    same = " (with the same --storage-option)" if click.get_current_context().meta.get(STORAGE) else ""
    click.echo(f"Next: {commands}{same}")


def frame_size(shape: Shape, *, is_2d: bool) -> str:
    """Size of a frame (z, y, x), of a 2D movie without the z it does not have: `51 x 128 x 128 voxels`."""
    return " x ".join(map(str, shape[1:] if is_2d else shape)) + (" pixels" if is_2d else " voxels")


def frame_spacing(spacing_um: Spacing, *, is_2d: bool) -> str:
    """Distance of voxels (z, y, x), of a 2D movie without z: `1.75 x 0.8 x 0.8 um (z, y, x)`."""
    told = " x ".join(f"{s:g}" for s in (spacing_um[1:] if is_2d else spacing_um))
    return f"{told} um ({'y, x' if is_2d else 'z, y, x'})"


def instances_in(instances: int, frames: int) -> str:
    """How many instances were found, worded so that nobody takes their sum over frames for the number of nuclei."""
    if frames == 1:
        return f"{how_many(instances, 'nucleus', 'nuclei')} in one frame"
    return f"{how_many(instances, 'instance')} (one nucleus in one frame) in {how_many(frames, 'frame')}"


def what_was_found(
    instances: int, frames: int, *, tracks: int, divisions: int, gaps: int | None = None, channel: str = ""
) -> str:
    """How many nuclei there are and, where frames can be compared, what became of them."""
    found = instances_in(instances, frames) + (f" of channel {channel}" if channel else "")
    if frames == 1:
        return found
    through_time = [how_many(tracks, "track"), how_many(divisions, "division")]
    through_time += [] if gaps is None else [how_many(gaps, "gap")]
    return ", ".join([found, *through_time])


def frame_ranges(ranges: Iterable[tuple[int, int]]) -> str:
    """Ranges (start, stop) of frames as `--frames` takes them, single frames as their number: `0:12, 14`."""
    return ", ".join(str(a) if b == a + 1 else f"{a}:{b}" for a, b in sorted(ranges))


def _set_storage_options(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> None:
    if not texts:
        return
    from tlseg.store.fs.options import parse_options, set_options

    context.meta[STORAGE] = True
    try:
        set_options(parse_options(texts))
    except TlsegError as error:
        raise click.BadParameter(str(error)) from error


name_option = click.option("--name", help="Name of the labels. [default: nuclei, or the only labels there are]")

storage_option = click.option(
    "--storage-option",
    multiple=True,
    metavar="KEY=VALUE",
    expose_value=False,
    callback=_set_storage_options,
    help="How to reach s3:// (PROTOCOL.KEY=VALUE for others), such as endpoint_url=http://host:9000. No credentials.",
)


def _bytes(context: click.Context, parameter: click.Parameter, gib: float | None) -> int | None:
    return None if gib is None else int(gib * 2**30)


memory_option = click.option(
    "--memory-limit",
    type=FiniteRange(0, 2**20, min_open=True),
    metavar="GIB",
    callback=_bytes,
    help="Memory of one worker.",
)


missing_option = click.option("--allow-missing", is_flag=True, help="Read missing chunks as the fill value.")

no_image_option = click.option("--no-image", is_flag=True, help="With --out, do not copy the image.")

device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where networks run; auto: on a GPU if there is one.",
)
