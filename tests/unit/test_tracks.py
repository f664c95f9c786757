"""Tracks are read as they were written, and GEFF's own validator and readers accept them."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr
from geff import GeffMetadata, read, validate_structure
from geff.core_io import read_to_memory
from geff.validate.data import ValidationConfig

from tlseg.errors import LabelError
from tlseg.link.lineage import DIVISION, GAP, LINK, Edges, build_lineage, relabelled
from tlseg.store.export.geff import detach
from tlseg.store.fs.place import Place, place_of
from tlseg.store.labels import tracks as module
from tlseg.store.labels.tracks import FOLDER, graph_of, read_tracks, write_tracks

SPACING_UM = (1.75, 0.8, 0.8)


def family() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Nucleus 1 divides after two frames, one daughter is missed for a frame; nucleus 2 is seen once."""
    t, label = np.array([0, 0, 1, 2, 2, 3, 4, 4]), np.array([1, 2, 1, 1, 2, 2, 1, 2])
    joins = [(0, 2, LINK), (2, 3, DIVISION), (2, 4, DIVISION), (4, 5, LINK), (5, 7, LINK), (3, 6, GAP)]
    edges = Edges(
        np.array([a for a, _, _ in joins]),
        np.array([b for _, b, _ in joins]),
        np.array([kind for _, _, kind in joins]),
        np.linspace(0.5, 1, len(joins)),
    )
    lineage = relabelled(build_lineage(t, label, edges))
    generator = np.random.default_rng(0)
    nodes = lineage.nodes.copy()
    for axis in ("z_um", "y_um", "x_um"):
        nodes[axis] = generator.uniform(0, 50, len(nodes))
    return nodes.assign(volume_um3=generator.uniform(100, 500, len(nodes))), lineage.edges


def written(root: Path, **options: Any) -> Path:
    nodes, edges = family()
    return write_tracks(root, nodes, edges, **({"spacing_um": SPACING_UM, "interval_s": 600.0} | options)).path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    nodes, edges = family()
    written(tmp_path)
    read_nodes, read_edges = read_tracks(tmp_path)
    pd.testing.assert_frame_equal(read_nodes, nodes, check_like=True)
    pd.testing.assert_frame_equal(read_edges, edges, check_like=True)


def test_geff_accepts_structure_tracklets_and_lineages(tmp_path: Path) -> None:
    path = written(tmp_path)
    validate_structure(path)
    read_to_memory(path, data_validation=ValidationConfig(graph=True, lineage=True, tracklet=True))


def test_metadata_say_what_readers_need(tmp_path: Path) -> None:
    metadata = GeffMetadata.read(written(tmp_path, name="cells"))
    time, *space = metadata.axes or []
    assert (time.name, time.unit, time.scale, time.scaled_unit) == ("t", "frame", 600.0, "second")
    assert [(axis.name, axis.unit) for axis in space] == [(axis, "micrometer") for axis in "zyx"]
    assert metadata.track_node_props == {"tracklet": "track", "lineage": "lineage"}
    (labels,) = metadata.related_objects or []
    assert (labels.type, labels.path, labels.node_prop) == ("labels", "../labels/cells/0", "label")
    assert metadata.display_hints is not None
    assert metadata.display_hints.display_depth == "z"
    assert zarr.open_group(tmp_path / FOLDER, mode="r").metadata.zarr_format == 2


@pytest.mark.parametrize(("axes", "space"), [("tzyx", "zyx"), ("tyx", "yx")])
def test_every_property_with_a_unit_says_so(tmp_path: Path, axes: Any, space: str) -> None:
    path = written(tmp_path, axes=axes)
    validate_structure(path)
    props = GeffMetadata.read(path).node_props_metadata
    units = {key: prop.unit for key, prop in props.items() if prop.unit is not None}
    assert units == {"t": "frame", **dict.fromkeys(space, "micrometer"), "volume_um3": "cubic micrometer"}
    assert (props["t"].dtype, props["volume_um3"].dtype, props["track"].unit) == ("int64", "float64", None)
    graph, metadata = read(str(path), backend="networkx")
    assert metadata.node_props_metadata["volume_um3"].unit == "cubic micrometer"
    assert len(graph) == len(family()[0])


def test_an_interval_may_be_a_number_of_numpy(tmp_path: Path) -> None:
    assert GeffMetadata.read(written(tmp_path, interval_s=np.float32(600))).extra["tlseg"]["interval_s"] == 600.0


def test_an_only_daughter_is_no_tracklet_of_her_own_to_geff(tmp_path: Path) -> None:
    nodes, edges = family()
    kept = edges[~((edges["kind"] == DIVISION) & edges.duplicated(["t_a", "label_a", "kind"]))]
    path = write_tracks(tmp_path, nodes, kept, spacing_um=SPACING_UM, interval_s=None).path
    assert GeffMetadata.read(path).track_node_props == {"lineage": "lineage"}


def test_networkx_sees_the_division(tmp_path: Path) -> None:
    graph, _ = read(str(written(tmp_path)), backend="networkx")
    (mother,) = [node for node in graph if graph.out_degree(node) == 2]
    daughters = list(graph.successors(mother))
    assert {graph.nodes[node]["parent"] for node in daughters} == {graph.nodes[mother]["track"]}
    assert {graph.edges[mother, node]["kind"] for node in daughters} == {"division"}


@pytest.mark.filterwarnings("ignore:Deprecated in geff-spec:DeprecationWarning")
def test_traccuracy_loads_graph_and_labels(tmp_path: Path) -> None:
    pytest.importorskip("traccuracy")
    from traccuracy.loaders import load_geff_data

    nodes, edges = family()
    place = nodes[["z_um", "y_um", "x_um"]].to_numpy() / SPACING_UM
    pixels = np.zeros((5, 32, 64, 64), np.uint32)
    for (t, label), (z, y, x) in zip(nodes[["t", "label"]].to_numpy(), place.astype(int), strict=True):
        pixels[t, z, y, x] = label
    array = zarr.create_array(tmp_path / "labels" / "nuclei" / "0", shape=pixels.shape, dtype=np.uint32)
    array[:] = pixels
    graph = load_geff_data(str(written(tmp_path)), load_geff_seg=True)
    np.testing.assert_array_equal(graph.segmentation, pixels)
    assert len(graph.nodes) == len(nodes)
    assert len(graph.edges) == len(edges)
    assert (graph.start_frame, graph.end_frame) == (0, 5)
    assert len(graph.get_divisions()) == 1


@pytest.mark.parametrize("name", ["nuclei", "labels"])
@pytest.mark.parametrize("ends", ["", "/", "/0"])
def test_a_graph_belongs_to_the_labels_it_names_however_it_does(tmp_path: Path, name: str, ends: str) -> None:
    """Older graphs name the group of the labels, current ones the array in it."""
    attributes = written(tmp_path, name=name) / ".zattrs"
    said = json.loads(attributes.read_text())
    said["geff"]["related_objects"] = [{"type": "labels", "path": f"../labels/{name}{ends}", "node_prop": "label"}]
    attributes.write_text(json.dumps(said))
    assert graph_of(place_of(tmp_path), name) is not None
    assert graph_of(place_of(tmp_path), "others") is None


def test_nobody_is_warned_of_the_old_name(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = written(tmp_path)
        read_tracks(tmp_path)
        assert graph_of(place_of(tmp_path), "nuclei") is not None
        shutil.copytree(path, tmp_path / "alone.geff")
        detach(tmp_path / "alone.geff")


def test_positions_in_voxels_become_micrometres(tmp_path: Path) -> None:
    nodes, edges = family()
    voxels = nodes.drop(columns=["z_um", "y_um", "x_um"])
    for axis, step in zip("zyx", SPACING_UM, strict=True):
        voxels[axis] = nodes[f"{axis}_um"] / step
    write_tracks(tmp_path, voxels, edges, spacing_um=SPACING_UM, interval_s=None)
    read_nodes, _ = read_tracks(tmp_path)
    np.testing.assert_allclose(read_nodes["z_um"], nodes["z_um"])
    assert GeffMetadata.read(tmp_path / FOLDER).axes[0].scale is None


def test_flat_movies_have_no_z(tmp_path: Path) -> None:
    path = written(tmp_path, axes="tyx")
    assert [axis.name for axis in GeffMetadata.read(path).axes or []] == ["t", "y", "x"]
    assert "z_um" not in read_tracks(tmp_path)[0].columns


def test_no_nuclei_and_no_edges(tmp_path: Path) -> None:
    nodes, edges = family()
    path = write_tracks(tmp_path, nodes[:0], edges[:0], spacing_um=SPACING_UM, interval_s=1.0).path
    validate_structure(path)
    assert [len(part) for part in read_tracks(tmp_path)] == [0, 0]
    write_tracks(tmp_path, nodes, edges[:0], spacing_um=SPACING_UM, interval_s=1.0, overwrite=True)
    assert [len(part) for part in read_tracks(tmp_path)] == [len(nodes), 0]


def test_tracks_are_replaced_only_when_told(tmp_path: Path) -> None:
    written(tmp_path)
    with pytest.raises(LabelError, match="--overwrite"):
        written(tmp_path)
    nodes, edges = family()
    write_tracks(tmp_path, nodes[:1], edges[:0], spacing_um=SPACING_UM, interval_s=1.0, overwrite=True)
    assert len(read_tracks(tmp_path)[0]) == 1
    assert [path.name for path in tmp_path.iterdir()] == [FOLDER]


def test_tracks_that_moved_aside_are_replaced_only_when_told(tmp_path: Path) -> None:
    for name in ("truth", "nuclei"):
        written(tmp_path, name=name)
    with pytest.raises(LabelError, match=r"tracks-truth\.geff exists"):
        written(tmp_path, name="truth")
    assert len(read_tracks(tmp_path / "tracks-truth.geff")[0]) == len(family()[0])


def write_meanwhile(root: Path, monkeypatch: pytest.MonkeyPatch, *, name: str) -> None:
    """While the next graph is being written, write another for labels `name`, with a single nucleus."""
    nodes, edges = family()
    write = module._write

    def slowly(*args: Any) -> None:
        monkeypatch.setattr(module, "_write", write)
        write_tracks(root, nodes[:1], edges[:0], spacing_um=SPACING_UM, interval_s=1.0, name=name)
        write(*args)

    monkeypatch.setattr(module, "_write", slowly)


def test_tracks_that_came_while_others_were_written_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of `b` are written while those of `a` are; those of `c` existed before."""
    nodes, _ = family()
    written(tmp_path, name="c")
    write_meanwhile(tmp_path, monkeypatch, name="b")
    written(tmp_path, name="a")
    sizes = {}
    for name in "abc":
        graph = graph_of(Place(str(tmp_path)), name)
        assert graph is not None
        sizes[name] = len(read_tracks(graph)[0])
    assert sizes == {"a": len(nodes), "b": 1, "c": len(nodes)}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tracks-b.geff", "tracks-c.geff", FOLDER]


def test_tracks_that_came_meanwhile_are_replaced_only_when_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_meanwhile(tmp_path, monkeypatch, name="nuclei")
    with pytest.raises(LabelError, match="--overwrite"):
        written(tmp_path)
    assert len(read_tracks(tmp_path)[0]) == 1
    assert [path.name for path in tmp_path.iterdir()] == [FOLDER]


def test_what_a_killed_start_left_of_tracks_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "rmtree", lambda *_, **__: None)  # who is killed tidies up nothing
        patch.setattr(module, "turn", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            written(tmp_path)
    assert list(tmp_path.iterdir())
    written(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FOLDER]


def test_tracks_do_not_hinder_readers_of_the_movie(tmp_path: Path) -> None:
    movie = zarr.create_group(tmp_path / "movie.zarr", zarr_format=3)
    movie.create_group("labels")
    written(tmp_path / "movie.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer zarr says that the v3 specification lacks consolidation
        zarr.consolidate_metadata(tmp_path / "movie.zarr")
    assert "labels" in zarr.open_group(tmp_path / "movie.zarr", mode="r")


def test_order_of_rows_changes_nothing(tmp_path: Path) -> None:
    nodes, edges = family()
    for name, state in (("a", 0), ("b", 1)):
        shuffled = nodes.sample(frac=1, random_state=state), edges.sample(frac=1, random_state=state)
        write_tracks(tmp_path / name, *shuffled, spacing_um=SPACING_UM, interval_s=1.0)
    for one, two in zip(read_tracks(tmp_path / "a"), read_tracks(tmp_path / "b" / FOLDER), strict=True):
        pd.testing.assert_frame_equal(one, two)


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path)

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("geff.core_io.write_arrays", fail)
    with pytest.raises(OSError, match="disk full"):
        written(tmp_path, overwrite=True)
    assert len(read_tracks(tmp_path)[0]) == len(family()[0])
    assert [path.name for path in tmp_path.iterdir()] == [FOLDER]


def test_tracks_that_cannot_take_their_place_leave_the_old_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path)
    before, _ = read_tracks(tmp_path)
    rename = Path.replace

    def refuse(self: Path, target: Path) -> Path:
        if self.name.startswith(f".{FOLDER}") and self.name.endswith(".partial"):
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="Input/output"):
        written(tmp_path, overwrite=True)
    pd.testing.assert_frame_equal(read_tracks(tmp_path)[0], before)
    assert [path.name for path in tmp_path.iterdir()] == [FOLDER]


def test_errors_say_what_is_wrong(tmp_path: Path) -> None:
    nodes, edges = family()
    options: dict[str, Any] = {"spacing_um": SPACING_UM, "interval_s": 1.0}
    with pytest.raises(LabelError, match="does not exist"):
        read_tracks(tmp_path)
    with pytest.raises(LabelError, match="nodes lack track"):
        write_tracks(tmp_path, nodes.drop(columns="track"), edges, **options)
    with pytest.raises(LabelError, match="lack z_um"):
        write_tracks(tmp_path, nodes.drop(columns="z_um"), edges, **options)
    with pytest.raises(LabelError, match="edges lack kind"):
        write_tracks(tmp_path, nodes, edges.drop(columns="kind"), **options)
    with pytest.raises(LabelError, match=r"1 edge has an end that is not a node.*label 77"):
        write_tracks(tmp_path, nodes, edges.assign(label_a=[77, *edges["label_a"][1:]]), **options)
    with pytest.raises(LabelError, match="appears twice in frame"):
        write_tracks(tmp_path, pd.concat([nodes, nodes[:1]]), edges, **options)
    assert not list(tmp_path.iterdir())
    zarr.create_group(tmp_path / FOLDER, zarr_format=2)
    with pytest.raises(LabelError, match="cannot be read as a GEFF graph"):
        read_tracks(tmp_path)
