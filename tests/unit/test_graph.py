"""A damaged graph gives a one-line error that names it, whatever reads it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr

from tlseg.errors import LabelError
from tlseg.store.labels.label_movie_zarr import read_geff_links
from tlseg.store.labels.tracks import FOLDER, read_tracks, write_tracks

NODES = pd.DataFrame(
    {
        "t": [0, 1, 2, 2],
        "label": [1, 1, 2, 3],
        "track": [1, 1, 2, 3],
        "lineage": [1, 1, 1, 1],
        **{f"{axis}_um": [1.0, 2.0, 3.0, 4.0] for axis in "zyx"},
    }
)
EDGES = pd.DataFrame(
    {
        "t_a": [0, 1, 1],
        "label_a": [1, 1, 1],
        "t_b": [1, 2, 2],
        "label_b": [1, 2, 3],
        "kind": ["link", "division", "division"],
        "confidence": [1.0, 0.9, 0.8],
    }
)


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    write_tracks(tmp_path, NODES, EDGES, spacing_um=(1, 1, 1), interval_s=60.0)
    assert len(read_geff_links(str(tmp_path / FOLDER))) == 3
    return tmp_path / FOLDER


def replaced(graph: Path, array: str, change: Callable[[Any], Any]) -> None:
    """Write an array with other values, and say so in the metadata."""
    path = graph / array
    values = change(zarr.open_array(path, mode="r")[:])
    shutil.rmtree(path)
    zarr.create_array(path, data=values, zarr_format=2)
    if "props" in array:
        attributes = json.loads((graph / ".zattrs").read_text())
        kind, _, name, _ = array.split("/")
        attributes["geff"][f"{kind[:-1]}_props_metadata"][name]["dtype"] = (
            "str" if values.dtype.kind == "U" else values.dtype.name
        )
        (graph / ".zattrs").write_text(json.dumps(attributes))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:10])


def put(values: Any, where: Any, value: Any) -> Any:
    values = np.array(values, dtype=np.result_type(values, np.asarray(value)))
    values[where] = value
    return values


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a chunk cut short": (lambda g: cut(next((g / "nodes/props/t/values").glob("0"))), "cannot be read"),
    "a chunk of edges cut short": (lambda g: cut(next((g / "edges/ids").glob("0*"))), "cannot be read"),
    "no node numbers": (lambda g: shutil.rmtree(g / "nodes/ids"), "cannot be read"),
    "no times": (lambda g: shutil.rmtree(g / "nodes/props/t"), "cannot be read"),
    "no values": (lambda g: shutil.rmtree(g / "nodes/props/label/values"), "cannot be read"),
    "no metadata": (lambda g: (g / ".zattrs").unlink(), "cannot be read"),
    "metadata cut short": (lambda g: cut(g / ".zattrs"), "cannot be read"),
    "metadata of an array cut short": (lambda g: cut(g / "nodes/props/t/values/.zarray"), "cannot be read"),
    "too few times": (lambda g: replaced(g, "nodes/props/t/values", lambda v: v[:-1]), "their t has 3 values"),
    "too many labels": (lambda g: replaced(g, "nodes/props/label/values", lambda v: v.repeat(2)), "label has 8 values"),
    "edges in a row": (lambda g: replaced(g, "edges/ids", lambda v: v.ravel()), r"edges of shape \(6,\)"),
    "a node twice": (lambda g: replaced(g, "nodes/ids", lambda v: put(v, 1, v[0])), "several nodes numbered 1"),
    "a lost chunk of node numbers": (lambda g: (g / "nodes/ids/0").unlink(), "several nodes numbered 0"),
    "an end that is no node": (lambda g: replaced(g, "edges/ids", lambda v: put(v, (1, 1), 77)), "to node 77"),
    "a node after itself": (
        lambda g: replaced(g, "edges/ids", lambda v: put(v, (0, 1), v[0, 0])),
        "point forward in time",
    ),
    "a cycle": (lambda g: replaced(g, "edges/ids", lambda v: v[:, ::-1]), "point forward in time"),
    "no number as time": (lambda g: replaced(g, "nodes/props/t/values", lambda v: put(v, 2, np.nan)), "nan"),
    "half a frame": (lambda g: replaced(g, "nodes/props/t/values", lambda v: put(v, 2, 1.5)), "1.5"),
}


@pytest.mark.parametrize("read", [read_tracks, read_geff_links])
@pytest.mark.parametrize(("damage", "said"), DAMAGES.values(), ids=list(DAMAGES))
def test_damaged_graphs_are_one_line(
    graph: Path, damage: Callable[[Path], object], said: str, read: Callable[[str], object]
) -> None:
    damage(graph)
    with pytest.raises(LabelError, match=said) as caught:
        read(str(graph))
    assert str(graph) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [lambda v: v * 0, lambda v: v - 9, lambda v: v / np.nan, lambda v: v.astype("U4")])
def test_labels_of_a_graph_that_are_none(graph: Path, change: Callable[[Any], Any]) -> None:
    with np.errstate(invalid="ignore"):
        replaced(graph, "nodes/props/label/values", change)
    with pytest.raises(LabelError, match="not valid labels") as caught:
        read_geff_links(str(graph))
    assert str(graph) in str(caught.value)


def test_edges_without_a_kind_are_not_ours(graph: Path) -> None:
    attributes = json.loads((graph / ".zattrs").read_text())
    del attributes["geff"]["edge_props_metadata"]["kind"]
    (graph / ".zattrs").write_text(json.dumps(attributes))
    with pytest.raises(LabelError, match=r"edges of .* lack kind"):
        read_tracks(str(graph))


def test_a_graph_of_another_tool_may_be_undirected_and_know_few_labels(tmp_path: Path) -> None:
    from geff.core_io import write_arrays
    from geff_spec import Axis, GeffMetadata

    def prop(values: list[Any], missing: list[int] | None = None) -> dict[str, Any]:
        return {"values": np.array(values), "missing": None if missing is None else np.array(missing, dtype=bool)}

    write_arrays(
        tmp_path / "theirs.geff",
        np.array([4, 7, 9, 11], dtype=np.uint64),
        {
            "frame": prop([0.0, 1.0, 2.0, 2.0]),
            "seg_id": prop([3.0, 5.0, 6.0, np.nan], missing=[0, 0, 0, 1]),
            "comment": prop(["a", "b", "c", "d"]),
            "place": prop([[0.5, 1.5]] * 4),
        },
        np.array([[7, 4], [7, 9], [11, 7]], dtype=np.uint64),
        {"score": prop([0.1, 0.2, 0.3])},
        GeffMetadata(
            directed=False, axes=[Axis(name="frame", type="time")], node_props_metadata={}, edge_props_metadata={}
        ),
    )
    links = read_geff_links(str(tmp_path / "theirs.geff"))
    assert links.to_numpy().tolist() == [[0, 3, 1, 5], [1, 5, 2, 6]]
