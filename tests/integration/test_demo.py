"""tlseg demo replaces results of its own movie, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from runs import tree
from tlseg.cli.demo import check_result, command
from tlseg.errors import LabelError
from tlseg.store.place import Place
from tlseg.store.scratch import FINGERPRINT
from tlseg.store.working import scratch_folder


def test_a_result_of_another_movie_is_not_replaced(tmp_path: Path) -> None:
    result = tmp_path / "result.ome.zarr"
    (result / "labels").mkdir(parents=True)
    (result / "zarr.json").write_text("{}")
    before = tree(tmp_path)
    done = CliRunner().invoke(command, [str(tmp_path)])
    assert done.exit_code == 2
    assert "was not made by this demo" in done.output
    assert tree(tmp_path) == before, "nor is anything written beside it"


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
