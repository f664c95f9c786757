"""Linking options mean the same in `tlseg link` and in `tlseg segment`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from handmade import moving_balls, write_movie
from tlseg.cli.link_options import link_options, link_settings
from tlseg.cli.segment import command as segment
from tlseg.link.settings import LinkSettings
from tlseg.run.request import Request
from tlseg.run.tasks.compute import Compute


@click.command()
@link_options
def asked(**options: Any) -> LinkSettings:
    """Return the settings that were requested."""
    return link_settings(options)


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        ([], LinkSettings()),
        (["--min-cycle", "5"], LinkSettings(min_cycle_frames=5)),
        (["--min-cycle", "90min"], LinkSettings(min_cycle_s=5400)),
        (["--min-cycle", "1.5 h"], LinkSettings(min_cycle_s=5400)),
        (["--min-cycle", "45s"], LinkSettings(min_cycle_s=45)),
        (
            ["--max-distance", "4", "--max-gap", "1", "--division-probability", "0.2"],
            LinkSettings(max_distance_um=4, max_gap=1, division_probability=0.2),
        ),
        (["--no-divisions"], LinkSettings(divisions=False)),
    ],
)
def test_options_become_settings(arguments: list[str], settings: LinkSettings) -> None:
    assert asked.main(arguments, standalone_mode=False) == settings


@pytest.mark.parametrize("cycle", ["0", "0h", "-3", "soon", "3 days", "1.5"])
def test_what_is_no_cycle_is_refused(cycle: str) -> None:
    done = CliRunner().invoke(asked, ["--min-cycle", cycle])
    assert done.exit_code == 2
    assert "90min" in done.output


def test_segment_passes_them_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Reached(Exception):
        pass

    given: dict[str, Any] = {}

    def stop(request: Request, compute: Compute, **_: Any) -> None:
        given["link"] = request.link
        raise Reached

    monkeypatch.setattr("tlseg.run.segment.segment_request", stop)
    movie = write_movie(tmp_path / "movie.ome.zarr", moving_balls(1, (8, 16, 16), count=1))
    done = CliRunner().invoke(
        segment, [str(movie), "--channel", "0", "--min-cycle", "2h", "--division-probability", "0.3"]
    )
    assert isinstance(done.exception, Reached)
    assert given["link"] == LinkSettings(min_cycle_s=7200, division_probability=0.3)
