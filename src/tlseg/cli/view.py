"""`tlseg view`: look at a result in neuroglancer or napari."""

from __future__ import annotations

import threading
import webbrowser

import click

from tlseg.cli.common import json_option, one_line_errors, print_json, storage_option


@click.command("view")
@click.argument("result")
@click.option("--name", default="nuclei", show_default=True, help="Name of the labels.")
@click.option(
    "--viewer", type=click.Choice(["neuroglancer", "napari"]), default="neuroglancer", show_default=True, help="Viewer."
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port for neuroglancer [default: a free one].")
@click.option("--no-browser", is_flag=True, help="Print the address only.")
@storage_option
@json_option
@one_line_errors
def command(result: str, name: str, viewer: str, port: int, no_browser: bool, as_json: bool) -> None:
    """Show image, labels and tracks of RESULT.

    neuroglancer runs in a browser on this machine; nothing else can reach it. napari opens a window of its own.
    """
    from tlseg.view.scene import open_scene

    if viewer == "napari":
        from tlseg.view import napari

        napari.load()
        scene = open_scene(result, name=name)
        if as_json:
            print_json({"viewer": "napari", "result": result, "name": name})
        napari.open_window(scene)
        return
    from tlseg.view.neuroglancer import serve

    with serve(open_scene(result, name=name), port=port) as served:
        try:
            if as_json:
                shown = {"url": served.url, "tracks": served.trails, "tracks_drawn": served.shown}
                print_json({"viewer": "neuroglancer", "result": result, "name": name, **shown})
            else:
                _say(served.url, drawn=served.shown, tracks=served.trails)
            if not no_browser:
                webbrowser.open(served.url)
            threading.Event().wait()
        except KeyboardInterrupt:
            click.echo("", err=True)


def _say(url: str, *, drawn: int, tracks: int) -> None:
    click.echo(url)
    if drawn < tracks:
        click.echo(f"The {drawn} longest of {tracks} tracks are drawn as lines.", err=True)
    click.echo("Ctrl-C ends it.", err=True)
