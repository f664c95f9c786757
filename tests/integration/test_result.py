"""Results: only finished labels open, and what is beside them comes with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray
import zarr

import tlseg
from commandline import invoke
from tlseg.cli import main
from tlseg.errors import LabelError, MovieError
from tlseg.simulate.api import simulate
from tlseg.simulate.settings import SimulationSettings
from tlseg.store.fs.place import Place
from tlseg.store.image.image_writer import create_image
from tlseg.store.image.movie import open_source
from tlseg.store.image.pyramid import plan_pyramid
from tlseg.store.labels.label_writer import LabelWriter, create_labels
from tlseg.store.labels.result import Result, open_result
from tlseg.store.labels.tracks import write_tracks
from tlseg.view.scene import open_scene

SHAPE = (4, 20, 20)


def movie_with_labels(path: Path, name: str = "nuclei") -> LabelWriter:
    pyramid = plan_pyramid(SHAPE, spacing_um=(2.0, 1.0, 1.0))
    image = create_image(
        path, pyramid=pyramid, n_frames=2, dtype="u2", channel_names=["nuclei"], is_2d=False, interval_s=10.0
    )
    for frame in range(2):
        for box in image.regions:
            image.write(frame, box, np.full(box.shape, frame + 7, "u2"))
    image.finish()
    labels = create_labels(path, source=open_source(path), name=name)
    for frame in range(2):
        for box in labels.regions:
            labels.write(frame, box, np.full(box.shape, frame + 1, "u4"))
    return labels


def test_the_only_labels_are_meant_where_nobody_says(tmp_path: Path) -> None:
    path = tmp_path / "m.ome.zarr"
    movie_with_labels(path, "truth").finish()
    assert (tlseg.open_result(path).name, open_scene(path).result.name) == ("truth", "truth")
    (path / "tlseg" / "cells").mkdir(parents=True)
    (path / "tlseg" / "cells" / "run.json").write_text(json.dumps({"complete": True, "frames": 2}))
    assert tlseg.run_status(path).name == "cells"
    done = invoke(main, "status", path, "--json")
    assert json.loads(done.stdout)["name"] == "cells"
    (path / "tlseg" / "nuclei").mkdir()
    with pytest.raises(LabelError, match="no finished labels 'nuclei': their run has not ended"):
        tlseg.open_result(path)
    with pytest.raises(LabelError, match="no record of a run for labels 'nuclei'"):
        tlseg.run_status(path)


def test_a_result_holds_image_labels_and_record(tmp_path: Path) -> None:
    path = tmp_path / "m.ome.zarr"
    movie_with_labels(path).finish()
    (path / "tlseg" / "nuclei").mkdir(parents=True)
    (path / "tlseg" / "nuclei" / "run.json").write_text(json.dumps({"complete": True}))
    result = tlseg.open_result(path)
    assert result.image is not None
    assert result.image.dims == ("t", "c", "z", "y", "x")
    assert result.labels.isel(t=1).values.max() == 2
    np.testing.assert_array_equal(result.image["z"].values, result.labels["z"].values)
    assert result.record == {"complete": True}
    for text in ("null", "[1]", '{"complete'):
        (path / "tlseg" / "nuclei" / "run.json").write_text(text)
        with pytest.raises(LabelError, match=r"run\.json is not a run record"):
            open_result(path)


def test_an_open_result_is_taken_as_its_path_is(tmp_path: Path) -> None:
    path = simulate(tmp_path / "m.ome.zarr", SimulationSettings(frames=2, start_nuclei=2, shape=(8, 32, 32))).path
    (Place(path) / "tlseg" / "truth" / "run.json").write(b'{"complete": true, "frames": 2}')
    result = tlseg.open_result(path, name="truth")
    assert tlseg.run_status(result) == tlseg.run_status(path, name="truth")
    assert tlseg.evaluate(result, result).to_dict() == tlseg.evaluate(path, path, name="truth").to_dict()
    reports = [
        tlseg.write_report(result, out=tmp_path / "a.html"),
        tlseg.write_report(path, name="truth", out=tmp_path / "b.html"),
    ]
    assert Path(reports[0].path).read_bytes() == Path(reports[1].path).read_bytes()
    assert tlseg.write_criteria(result, out=tmp_path / "criteria").frames == 2
    for function in (tlseg.run_status, tlseg.write_report):
        with pytest.raises(LabelError, match="'cells'"):
            function(result, name="cells")


def test_labels_in_the_making_do_not_open(tmp_path: Path) -> None:
    path = tmp_path / "m.ome.zarr"
    writer = movie_with_labels(path)
    with pytest.raises(LabelError, match="no finished labels 'nuclei', nor any others"):
        open_result(path)
    writer.finish()
    with pytest.raises(LabelError, match="'cells'; it has nuclei"):
        open_result(path, name="cells")


def test_a_result_without_image_opens(tmp_path: Path) -> None:
    source_path, out = tmp_path / "m.ome.zarr", tmp_path / "out.ome.zarr"
    movie_with_labels(source_path)
    create_labels(out, source=open_source(source_path)).finish(source=None)
    result = open_result(out)
    assert (result.image, result.record) == (None, {})
    assert result.labels.shape == (2, *SHAPE)


def test_tables_and_tracks_come_from_beside_the_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.ome.zarr"
    movie_with_labels(path).finish()
    frame = pd.DataFrame({"t": [0]})
    monkeypatch.setattr("tlseg.store.labels.tables.read_table", lambda root, name: frame.assign(root=root, name=name))
    monkeypatch.setattr("tlseg.store.labels.tracks.read_tracks", lambda root: (frame.assign(root=str(root)), frame))
    (path / "tracks.geff").mkdir()
    result = open_result(path)
    assert result.table()[["root", "name"]].to_numpy().tolist() == [[str(path), "nuclei"]]
    assert result.tracks()[0]["root"].tolist() == [str(path / "tracks.geff")]


def test_tracks_of_other_labels_are_not_taken_for_these(tmp_path: Path) -> None:
    path = tmp_path / "m.ome.zarr"
    movie_with_labels(path).finish()
    cells = create_labels(path, name="cells", source=open_source(path))
    cells.finish()
    nodes = pd.DataFrame({c: [0] for c in ("t", "lineage", "z", "y", "x")} | {"label": [1], "track": [1]})
    edges = pd.DataFrame({c: [] for c in ("t_a", "label_a", "t_b", "label_b", "kind", "confidence")})
    with pytest.raises(LabelError, match="has no tracks of 'nuclei'"):
        open_result(path).tracks()
    write_tracks(path, nodes, edges, spacing_um=(2.0, 1.0, 1.0), interval_s=None, name="cells")
    assert len(open_result(path, name="cells").tracks()[0]) == 1
    with pytest.raises(LabelError, match="has no tracks of 'nuclei'"):
        open_result(path).tracks()
    assert open_scene(path).trails == []
    write_tracks(path, pd.concat([nodes, nodes.assign(t=1)]), edges, spacing_um=(2.0, 1.0, 1.0), interval_s=None)
    assert [len(open_result(path, name=name).tracks()[0]) for name in ("nuclei", "cells")] == [2, 1]


def test_what_is_no_result_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(MovieError, match="does not exist"):
        open_result(tmp_path / "none")
    zarr.create_group(tmp_path / "g.zarr")
    with pytest.raises(LabelError, match="nor any others"):
        open_result(tmp_path / "g.zarr")
    path = tmp_path / "m.ome.zarr"
    movie_with_labels(path).finish()
    (path / "tlseg" / "nuclei").mkdir(parents=True)
    (path / "tlseg" / "nuclei" / "run.json").write_text("{")
    with pytest.raises(LabelError, match=r"run\.json is not a run record"):
        open_result(path)
    (path / "labels" / "zarr.json").write_text("{")
    with pytest.raises(LabelError, match="labels: its Zarr metadata cannot be read"):
        open_result(path)


@pytest.mark.parametrize(
    ("given", "channel"),
    [({"input": {"channel": 1}}, 1), ({"input": {"channel": 2}}, 0), ({"input": None}, 0), ({"input": {}}, 0), ({}, 0)],
)
def test_the_channel_of_the_image_is_the_one_that_was_segmented(given: dict[str, Any], channel: int) -> None:
    image = xarray.DataArray(np.zeros((1, 2, 3, 4, 4)), dims=list("tczyx"))
    assert Result("r", "nuclei", image, image[:, 0], {"fingerprint": given}).image_channel == channel
    assert Result("r", "nuclei", image[:, 0], image[:, 0], {"fingerprint": given}).image_channel == 0
