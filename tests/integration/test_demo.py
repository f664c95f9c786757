"""tlseg demo replaces results of its own movie, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from runs import tree
from tlseg.cli.demo import MADE_BY, check_movie, check_picture, check_result, command
from tlseg.errors import LabelError
from tlseg.report.overlay import save_png
from tlseg.simulate.api import simulate
from tlseg.simulate.settings import SimulationSettings
from tlseg.store.fs.place import Place
from tlseg.store.working.folder import scratch_folder
from tlseg.store.working.scratch import FINGERPRINT


def refuses(folder: Path, said: str) -> None:
    """Check that the demo refuses with this message, and writes nothing."""
    before = tree(folder)
    done = CliRunner().invoke(command, [str(folder)])
    assert done.exit_code == 2
    assert said in done.output
    assert tree(folder) == before


def test_a_result_of_another_movie_is_not_replaced(tmp_path: Path) -> None:
    result = tmp_path / "result.ome.zarr"
    (result / "labels").mkdir(parents=True)
    (result / "zarr.json").write_text("{}")
    refuses(tmp_path, "was not made by this demo")


@pytest.mark.parametrize("below", [".", "new/demo"])
def test_nothing_is_put_into_a_movie(tmp_path: Path, below: str) -> None:
    (tmp_path / "zarr.json").write_text("{}")
    refuses(tmp_path / below, f"{tmp_path} is a Zarr group")


def test_only_a_picture_of_a_demo_is_replaced(tmp_path: Path) -> None:
    picture, rgb = tmp_path / "overlay.png", np.zeros((4, 5, 3), np.uint8)
    check_picture(picture)
    save_png(picture, rgb, made_by=MADE_BY)
    check_picture(picture)
    save_png(picture, rgb)
    refuses(tmp_path, "overlay.png was not made by tlseg demo")
    for other in (b"", b"not a picture", b"\x89PNG\r\n\x1a\nsomething else"):
        picture.write_bytes(other)
        with pytest.raises(LabelError, match="not made by tlseg demo"):
            check_picture(picture)
    picture.unlink()
    picture.mkdir()
    with pytest.raises(LabelError, match="not made by tlseg demo"):
        check_picture(picture)


def test_a_movie_that_somebody_simulated_is_not_replaced(tmp_path: Path) -> None:
    movie, settings = tmp_path / "movie.ome.zarr", SimulationSettings(frames=1, start_nuclei=1, shape=(8, 24, 24))
    check_movie(movie)
    simulate(movie, settings)
    refuses(tmp_path, "movie.ome.zarr was not made by tlseg demo")
    simulate(movie, settings, overwrite=True, made_by=MADE_BY)
    check_movie(movie)


@pytest.mark.parametrize("stopped", [True, False])
def test_a_result_is_replaced_where_its_record_names_the_movie(tmp_path: Path, stopped: bool) -> None:
    movie, result = tmp_path / "movie.ome.zarr", tmp_path / "result.ome.zarr"
    check_result(result, movie)
    (result / "tlseg" / "nuclei").mkdir(parents=True)
    check_result(result, movie)
    (result / "labels").mkdir()
    folder = Path(scratch_folder(Place(str(result)), "nuclei", None))
    place = folder / FINGERPRINT if stopped else result / "tlseg" / "image.json"
    place.parent.mkdir(exist_ok=True)
    for url, replaced in ((str(movie), True), (str(tmp_path / "other.ome.zarr"), False)):
        record = {"input": {"url": url}}
        place.write_text(json.dumps({"fingerprint": record} if stopped else record))
        if replaced:
            check_result(result, movie)
        else:
            with pytest.raises(LabelError, match="not made by this demo"):
                check_result(result, movie)
