"""`tlseg view`: look at a result in neuroglancer or napari."""

from __future__ import annotations

import threading
import webbrowser
from typing import TYPE_CHECKING, Any

import click

from tlseg.cli.common import (
    frame_ranges,
    json_option,
    name_option,
    one_line_errors,
    print_json,
    refuse_given,
    storage_option,
)

if TYPE_CHECKING:
    from tlseg.view.scene import Scene


@click.command("view")
@click.argument("result")
@name_option
@click.option(
    "--viewer", type=click.Choice(["neuroglancer", "napari"]), default="neuroglancer", show_default=True, help="Viewer."
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port for neuroglancer. [default: a free one]")
@click.option("--no-browser", is_flag=True, help="Print the address only.")
@storage_option
@json_option
@one_line_errors
def command(result: str, name: str | None, viewer: str, port: int, no_browser: bool, as_json: bool) -> None:
    """Show image, labels and tracks of RESULT.

    neuroglancer runs in a browser on this machine; nothing else can reach it. napari opens a window of its own. While the
    run of RESULT is going on, the frames labelled so far are shown: their numbers are provisional, and there are no tracks.
    """
    if viewer == "napari":
        refuse_given(("port", "no_browser"), "napari opens a window of its own, not a page in a browser")
        from tlseg.view import napari

        napari.load()
        scene, early = _open(result, name)
        if as_json:
            print_json({"viewer": "napari", "result": result, "name": scene.result.name, **early})
        _say_early(early)
        _say_note(scene)
        napari.open_window(scene)
        return
    from tlseg.view.neuroglancer import serve

    scene, early = _open(result, name)
    with serve(scene, port=port) as served:
        try:
            if as_json:
                shown = {"url": served.url, "tracks": served.trails, "tracks_drawn": served.shown}
                print_json({"viewer": "neuroglancer", "result": result, "name": scene.result.name, **shown, **early})
            else:
                _say_early(early)
                _say_note(scene)
                _say(served.url, drawn=served.shown, tracks=served.trails)
            if not no_browser:
                webbrowser.open(served.url)
            threading.Event().wait()
        except KeyboardInterrupt:
            click.echo("", err=True)


def _open(result: str, name: str | None) -> tuple[Scene, dict[str, Any]]:
    """Finished labels, or else those made so far; also a message about them, empty for finished ones."""
    from tlseg.errors import LabelError
    from tlseg.run.watch.status import run_status, unfinished_run
    from tlseg.view.scene import open_scene, open_unfinished

    try:
        return open_scene(result, name=name), {}
    except LabelError:
        run = unfinished_run(result, name=name)
        if run is None:
            raise
    status = run_status(result, name=name)
    if not status.viewable:
        then = "Try again later" if status.state == "running" else "Its run is not going on: run the same command again"
        raise LabelError(f"No frame of {result} is labelled yet. {then}; tlseg status {result} shows which frames are.")
    return open_unfinished(run), {"provisional": True, "state": status.state, "viewable": dict(status.viewable)}


def _say_early(early: dict[str, Any]) -> None:
    if not early:
        return
    ranges = [span for spans in early["viewable"].values() for span in spans]
    what = "is still running" if early["state"] == "running" else "is not complete"
    click.echo(
        f"Provisional: the run {what}. Frames {frame_ranges(ranges)} can be viewed; a nucleus has a different number in "
        "every frame until tracks are made. Reload the page to see more frames.",
        err=True,
    )


def _say_note(scene: Scene) -> None:
    if scene.note:
        click.echo(scene.note, err=True)


def _say(url: str, *, drawn: int, tracks: int) -> None:
    click.echo(url)
    if drawn < tracks:
        click.echo(f"The {drawn} longest of {tracks} tracks are drawn as lines.", err=True)
    click.echo("Press Ctrl-C to stop.", err=True)
