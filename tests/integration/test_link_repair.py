"""`tlseg link --repair` mends the labels it is given, and says which."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

import tlseg
from handmade import write_movie
from runs import essence, labels_of
from tlseg.cli import main
from tlseg.errors import LabelError
from tlseg.run.linking.labels import link_labels
from tlseg.store.image.movie import open_source
from tlseg.store.labels.label_writer import create_labels

SPACING_UM = (1.5, 1.0, 1.0)
MERGED, CUT = 2, 4


def given(folder: Path) -> np.ndarray:
    """Write TIFFs of two nuclei that touch and are one label in one frame, and of one that is cut in another."""
    folder.mkdir()
    place = np.stack(np.indices((16, 30, 44)), axis=-1) * np.array(SPACING_UM)
    frames = []
    for t in range(7):
        centres = np.array([[11, 14, 10], [11, 14, 20.5], [11, 14, 35]]) + np.array([0, 0.3 * t, 0])
        far = np.linalg.norm(place[..., None, :] - centres, axis=-1)
        frame = np.where(far.min(axis=-1) <= 6, far.argmin(axis=-1) + 1, 0).astype(np.uint16)
        if t == MERGED:
            frame[frame == 2] = 1
        if t == CUT:
            frame[(frame == 3) & (place[..., 2] > 36)] = 65_535
        tifffile.imwrite(folder / f"mask{t:03d}.tif", frame)
        frames.append(frame)
    return np.stack(frames)


def test_given_labels_are_mended(tmp_path: Path) -> None:
    labels = given(tmp_path / "given")
    arguments = ["link", str(tmp_path / "given"), "--spacing", "1.5,1,1", "--out", str(tmp_path / "out.ome.zarr")]
    done = CliRunner().invoke(main, [*arguments, "--repair"])
    assert done.exit_code == 0, done.output
    result = labels_of(tmp_path / "out.ome.zarr")
    assert [len(np.unique(frame)) - 1 for frame in result] == [3] * 7
    np.testing.assert_array_equal(result > 0, labels > 0)
    table = tlseg.open_result(tmp_path / "out.ome.zarr").table()
    seeds = table.groupby("t")["seed"].apply(lambda seed: sorted(seed))
    assert seeds[MERGED] == ["given", "repaired", "repaired"]
    assert seeds[CUT] == ["given", "given", "repaired"]
    assert set(table["track"]) == {1, 2, 3}
    assert tlseg.open_result(tmp_path / "out.ome.zarr").record["repairs"] == {"merged": 1, "cut": 1}
    for _, row in table.iterrows():
        assert row["volume_voxels"] == (result[row["t"]] == row["track"]).sum()


def test_blocks_do_not_decide_repairs(tmp_path: Path) -> None:
    given(tmp_path / "given")
    for name, block in (("whole", None), ("small", (5, 7, 11))):
        link_labels(
            tmp_path / "given", out=tmp_path / f"{name}.ome.zarr", spacing_um=SPACING_UM, repair=True, block=block
        )
    assert essence(tmp_path / "whole.ome.zarr") == essence(tmp_path / "small.ome.zarr")


def test_flat_labels_are_not_repaired(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "flat.tif", np.ones((3, 8, 8), np.uint8), metadata={"axes": "TYX"}, photometric="minisblack"
    )
    with pytest.raises(LabelError, match="Only 3D labels can be repaired"):
        link_labels(tmp_path / "flat.tif", out=tmp_path / "out.ome.zarr", spacing_um=(1.0, 1.0), repair=True)
    assert not (tmp_path / "out.ome.zarr").exists()


def test_one_plane_with_a_z_axis_is_flat(tmp_path: Path) -> None:
    labels = np.zeros((2, 1, 16, 16), np.uint32)
    labels[..., 4:9, 4:9] = 1
    movie = write_movie(tmp_path / "plane.ome.zarr", labels.astype(np.uint16))
    source = open_source(movie)
    assert not source.is_2d
    writer = create_labels(movie, name="nuclei", source=source)
    for t, frame in enumerate(labels):
        for box in writer.regions:
            writer.write(t, box, frame[box.slices])
    writer.finish({}, source="../../")
    with pytest.raises(LabelError, match="Only 3D labels can be repaired"):
        link_labels(movie, out=tmp_path / "out.ome.zarr", repair=True)
    assert link_labels(movie, out=tmp_path / "out.ome.zarr").tracks == 1


GONE, LATE, NONE = [True, False, False], [False, False, True], [False] * 3


@pytest.mark.parametrize("there", [GONE, LATE, NONE, [True]], ids=["vanish", "come late", "never", "one frame"])
def test_repair_of_little_or_nothing_leaves_it_as_it_is(tmp_path: Path, there: list[bool]) -> None:
    movie = np.zeros((len(there), 6, 16, 16), np.uint16)
    movie[there, 1:5, 3:8, 3:8], movie[there, 1:5, 3:8, 8:13] = 1, 2
    (tmp_path / "given").mkdir()
    for t, frame in enumerate(movie):
        tifffile.imwrite(tmp_path / "given" / f"mask{t}.tif", frame, photometric="minisblack")
    done = link_labels(tmp_path / "given", out=tmp_path / "out.ome.zarr", spacing_um=SPACING_UM, repair=True)
    assert (done.frames, done.nuclei, done.tracks) == (len(there), 2 * sum(there), 2 * sum(there))
    np.testing.assert_array_equal(labels_of(tmp_path / "out.ome.zarr"), movie)
