"""ngio opens the table of a label movie, and a label's row by its number."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import zarr

from tlseg.store.labels.table_writer import write_table


def small_movie(root: Path) -> None:
    """An OME-Zarr 0.5 image of two frames with a label image beside it."""
    axes = [{"name": "t", "type": "time", "unit": "second"}]
    axes += [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
    scale = [{"type": "scale", "scale": [60.0, 1.75, 0.8, 0.8]}]
    multiscales = [{"name": "n", "axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}]
    group = zarr.create_group(root, zarr_format=3)
    group.attrs["ome"] = {"version": "0.5", "multiscales": multiscales}
    labels = group.create_group("labels")
    labels.attrs["ome"] = {"version": "0.5", "labels": ["nuclei"]}
    nuclei = labels.create_group("nuclei")
    nuclei.attrs["ome"] = {
        "version": "0.5",
        "multiscales": multiscales,
        "image-label": {"version": "0.5", "source": {"image": "../../"}},
    }
    pixels = np.zeros((2, 4, 8, 8), np.uint32)
    pixels[:, 1:3, 1:3, 1:3], pixels[1, 1:3, 5:7, 5:7] = 1, 2
    names = ("t", "z", "y", "x")
    for where, dtype in ((group, np.uint16), (nuclei, np.uint32)):
        array = where.create_array("0", shape=pixels.shape, chunks=(1, 4, 8, 8), dtype=dtype, dimension_names=names)
        array[:] = pixels.astype(dtype)


def test_ngio_opens_labels_and_their_table(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ngio's own dependencies
        import ngio

    small_movie(tmp_path / "movie.zarr")
    table = pd.DataFrame(
        {
            "label": [1, 1, 2],
            "t": [0, 1, 1],
            "volume_um3": [8.96, 8.96, 8.96],
            "seed": ["detected", "detected", "fallback"],
            "touches_edge": [False, False, True],
            "track": [1, 1, 2],
        }
    )
    write_table(tmp_path / "movie.zarr", "nuclei", [rows for _, rows in table.groupby("t")])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        container = ngio.open_ome_zarr_container(tmp_path / "movie.zarr")
        assert container.list_labels() == ["nuclei"]
        assert container.list_tables() == ["nuclei"]
        features = container.get_feature_table("nuclei")
        assert features.reference_label == "nuclei"
        read = features.dataframe
        pixels = container.get_label("nuclei").get_as_numpy()
    assert read.index.name == "label"
    pd.testing.assert_frame_equal(read.reset_index()[list(table.columns)], table, check_dtype=False)
    for row in read.reset_index().itertuples():
        assert row.label == row.track
        assert (pixels[row.t] == row.label).sum() == 8


def test_ngio_opens_a_table_without_nuclei(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ngio.tables import open_tables_container

    write_table(tmp_path, "nuclei", [])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = open_tables_container(tmp_path / "tables", mode="r").get("nuclei")
        assert len(table.dataframe) == 0
