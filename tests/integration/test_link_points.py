"""Points from any source get the same tracks as labels would."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import Result

from commandline import invoke
from tlseg.cli.link import command
from tlseg.errors import LabelError
from tlseg.link.settings import LinkSettings
from tlseg.run.linking.points import link_points
from tlseg.store.export.tables import UNITS, napari_columns
from tlseg.store.labels.tracks import read_tracks


def cli(*arguments: object) -> Result:
    return invoke(command, *arguments)


def points(frames: int = 6, *, seed: int = 0) -> pd.DataFrame:
    """Twelve nuclei of 5 um radius that drift a micrometre a frame; `true` is which is which."""
    generator = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(2), np.arange(2), np.arange(3), indexing="ij"), -1).reshape(-1, 3) * 14.0
    place = grid + generator.normal(0, 1, grid.shape)
    step = generator.normal(0, 0.6, grid.shape)
    rows = [(t, i, *(place[i] + t * step[i])) for t in range(frames) for i in generator.permutation(len(grid))]
    return pd.DataFrame(rows, columns=["t", "true", "z", "y", "x"])


def write(folder: Path, table: pd.DataFrame, name: str = "points.csv") -> Path:
    path = folder / name
    table.to_csv(path, index=False) if path.suffix == ".csv" else table.to_parquet(path, index=False)
    return path


@pytest.mark.parametrize(
    ("column", "value"), [("t", 1e30), ("label", 2.0**64), ("t", -(2.0**63)), ("t", -1), ("label", -3), ("t", 0.5)]
)
def test_numbers_that_count_nothing_are_one_line(tmp_path: Path, column: str, value: float) -> None:
    table = points().assign(label=range(72)).astype(float)
    table.loc[3, column] = value
    with pytest.raises(LabelError, match=f"{column} must be whole numbers"):
        link_points(write(tmp_path, table), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def agrees(table: pd.DataFrame) -> bool:
    pairs = table[["true", "track"]].drop_duplicates()
    return len(pairs) == pairs["true"].nunique() == pairs["track"].nunique()


def test_a_table_in_memory_is_linked_as_its_file_is(tmp_path: Path) -> None:
    table = points()
    sliced = pd.concat([table, table]).iloc[: len(table)].set_index(np.zeros(len(table), int))
    done = link_points(sliced, out=tmp_path / "memory")
    link_points(write(tmp_path, table), out=tmp_path / "file")
    assert (done.tracks, done.nuclei) == (12, 72)
    assert (tmp_path / "memory" / "points.csv").read_bytes() == (tmp_path / "file" / "points.csv").read_bytes()
    assert "true" in sliced.columns
    assert "track" not in sliced.columns
    with pytest.raises(LabelError, match="The table of points lacks t"):
        link_points(table.drop(columns="t"), out=tmp_path / "none")


@pytest.mark.parametrize("name", ["points.csv", "points.parquet"])
@pytest.mark.parametrize("known", [(), ("label",), ("volume", "intensity"), ("label", "volume", "intensity")])
def test_each_nucleus_gets_one_track(tmp_path: Path, name: str, known: tuple[str, ...]) -> None:
    table = points()
    extra = {"label": table["true"] * 100_000 + 7, "volume": 500.0, "intensity": 30 + table["true"]}
    given = table.assign(note="kept", **{key: extra[key] for key in known})
    done = link_points(write(tmp_path, given, name), out=tmp_path / "out")
    assert (done.tracks, done.frames, done.nuclei, done.divisions) == (12, 6, 72, 0)
    path = tmp_path / "out" / name
    out = pd.read_csv(path) if name.endswith("csv") else pd.read_parquet(path)
    assert agrees(out)
    pd.testing.assert_frame_equal(out[given.columns], given, check_dtype=False)
    assert {"track", "lineage", "parent", "generation"} <= set(out.columns)
    nodes, edges = read_tracks(tmp_path / "out")
    assert (len(nodes), len(edges)) == (72, 60)
    assert ("volume_um3" in nodes) == ("volume" in known)
    both = nodes.merge(out, on=["t", "label"], validate="one_to_one")
    np.testing.assert_allclose(both["z_um"], both["z"])
    assert (both["track_x"] == both["track_y"]).all()


def test_order_of_rows_changes_nothing(tmp_path: Path) -> None:
    table = points().assign(label=lambda rows: rows["true"] + 1)
    link_points(write(tmp_path, table), out=tmp_path / "a")
    link_points(write(tmp_path, table.sample(frac=1, random_state=3), "other.csv"), out=tmp_path / "b")
    for a, b in zip(read_tracks(tmp_path / "a"), read_tracks(tmp_path / "b"), strict=True):
        pd.testing.assert_frame_equal(a, b, check_like=True)


def test_a_missing_point_is_a_gap(tmp_path: Path) -> None:
    table = points()
    path = write(tmp_path, table[(table["t"] != 2) | (table["true"] != 5)])
    assert link_points(path, out=tmp_path / "a").gaps == 1
    assert link_points(path, out=tmp_path / "b", settings=LinkSettings(max_gap=0)).tracks == 13


@pytest.mark.parametrize("volumes", [True, False])
def test_a_division_is_found(tmp_path: Path, volumes: bool) -> None:
    table = points().assign(volume=520.0)
    mother = (table["true"] == 5) & (table["t"] >= 4)
    daughters = table[mother].copy()
    table.loc[mother, ["x", "volume", "true"]] = np.stack(
        [table.loc[mother, "x"] - 4, np.full(mother.sum(), 260.0), np.full(mother.sum(), 20)], axis=1
    )
    daughters["x"] += 4
    table = pd.concat([table, daughters.assign(volume=260.0, true=21)], ignore_index=True)
    table = table if volumes else table.drop(columns="volume")
    done = link_points(write(tmp_path, table), out=tmp_path / "out")
    assert (done.divisions, done.tracks) == (1, 14)
    out = pd.read_csv(tmp_path / "out" / "points.csv")
    assert agrees(out)
    born = out[out["true"].isin([20, 21])]
    assert set(born["parent"]) == set(out.loc[out["true"] == 5, "track"])


def test_a_neighbour_that_appears_is_no_daughter(tmp_path: Path) -> None:
    table = points()
    near = table[(table["true"] == 11) & (table["t"] >= 3)].assign(true=30)
    near[["z", "x"]] += [3.0, 13.0]
    done = link_points(write(tmp_path, pd.concat([table, near])), out=tmp_path / "out")
    assert (done.divisions, done.tracks) == (0, 13)


def test_points_of_a_plane_need_no_z(tmp_path: Path) -> None:
    table = points()
    flat = table[table["true"] < 6].drop(columns="z").drop_duplicates(["t", "true"])
    flat = flat.assign(y=flat["y"] + flat["true"] // 6)
    assert link_points(write(tmp_path, flat), out=tmp_path / "out").tracks == 6
    nodes, _ = read_tracks(tmp_path / "out")
    assert "z_um" not in nodes


@pytest.mark.parametrize("thick_um", [0.1, 1.0, 40.0])
def test_areas_in_a_table_of_planes_are_cross_sections(tmp_path: Path, thick_um: float) -> None:
    """Nuclei of 10 um that move by 12 um: far for balls of the volume of a thin plate, but not for these."""
    voxel_um, area_um2 = 0.5, np.pi * 5**2
    rows = []
    for t in range(5):
        for n, (y, x) in enumerate([(0, 0), (0, 60), (60, 0), (60, 60), (120, 20), (130, 90), (180, 50), (190, 120)]):
            rows.append(
                {"t": t, "label": n + 1, "true": n, "y_um": y + 12 * t * (-1) ** n, "x_um": x + 3 * t * (n % 3 - 1)}
            )
    table = pd.DataFrame(rows).assign(z=0.0, z_um=0.0, intensity_mean=100.0, bbox_z0=0, bbox_z1=1)
    table["y"], table["x"] = table["y_um"] / voxel_um, table["x_um"] / voxel_um
    table["volume_voxels"] = round(area_um2 / voxel_um**2)
    table["volume_um3"] = table["volume_voxels"] * voxel_um**2 * thick_um
    table.to_parquet(tmp_path / "table.parquet")
    table.rename(columns=UNITS).to_csv(tmp_path / "table.csv", index=False)
    for name in ("table.parquet", "table.csv"):
        assert link_points(tmp_path / name, out=tmp_path / name.replace(".", "-")).tracks == 8
    nodes, _ = read_tracks(tmp_path / "table-csv")
    np.testing.assert_allclose(nodes["volume_um3"], table["volume_um3"].iloc[0])


def test_no_points_make_no_tracks(tmp_path: Path) -> None:
    done = link_points(write(tmp_path, points().iloc[:0]), out=tmp_path / "out")
    assert (done.nuclei, done.tracks, done.frames) == (0, 0, 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p.drop(columns=["t", "x"]), "lacks t, x"),
        (lambda p: p.assign(x="far"), "non-numeric values"),
        (lambda p: p.assign(x=p["x"].where(p["true"] != 3)), "has no value"),
        (lambda p: p.assign(t=p["t"] + 0.5), "t is a frame number"),
        (lambda p: p.assign(label=1), "more than once in frame"),
        (lambda p: p.assign(volume=0.0), "volume"),
    ],
)
def test_tables_that_cannot_be_linked_are_refused(tmp_path: Path, change: object, words: str) -> None:
    path = write(tmp_path, change(points()))  # type: ignore[operator]
    with pytest.raises(LabelError, match=words):
        link_points(path, out=tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["points.csv"]


def test_points_are_not_read_from_a_url(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"local files, not from s3://bucket/points.csv"):
        link_points("s3://bucket/points.csv", out=tmp_path / "out")


def test_a_table_of_tlseg_is_read_in_its_micrometres(tmp_path: Path) -> None:
    """However it is stored, and whichever frame it starts from; voxel columns play no part."""
    plain = points().assign(volume=520.0, intensity=100.0)
    plain["label"] = plain.groupby("t").cumcount() + 1
    link_points(write(tmp_path, plain), out=tmp_path / "plain")
    expected = pd.read_csv(tmp_path / "plain" / "points.csv")["track"].tolist()
    voxels = {axis: plain[axis] / size for axis, size in (("z", 9.0), ("y", 0.1), ("x", 0.3))}
    places = {f"{axis}_um": plain[axis] for axis in "zyx"}
    rows = plain[["t", "label", "true"]].assign(**voxels, **places, volume_um3=520.0, intensity_mean=100.0, parent=3)
    rows.to_parquet(tmp_path / "table.parquet")
    rows.assign(t=rows["t"] + 7).rename(columns=UNITS).to_csv(tmp_path / "table.csv", index=False)
    for name, first in (("table.parquet", 0), ("table.csv", 7)):
        done = link_points(tmp_path / name, out=tmp_path / name.replace(".", "-"))
        assert (done.tracks, done.frames, done.motherless) == (12, 6, 0)
        nodes, _ = read_tracks(tmp_path / name.replace(".", "-"))
        assert (nodes["t"].min(), nodes["track"].nunique()) == (first, 12)
    assert pd.read_parquet(tmp_path / "table-parquet" / "points.parquet")["track"].tolist() == expected
    assert pd.read_csv(tmp_path / "table-csv" / "points.csv")["track"].tolist() == expected


def test_voxels_for_napari_are_not_taken_for_micrometres(tmp_path: Path) -> None:
    rows = points().rename(columns={"true": "track_id"}).assign(parent=0, lineage=1)[napari_columns(is_2d=False)]
    with pytest.raises(LabelError, match="positions in voxels"):
        link_points(write(tmp_path, rows), out=tmp_path / "out")


def test_only_an_earlier_result_is_replaced(tmp_path: Path) -> None:
    path = write(tmp_path, points())
    link_points(path, out=tmp_path / "out")
    with pytest.raises(LabelError, match="--overwrite"):
        link_points(path, out=tmp_path / "out")
    link_points(path, out=tmp_path / "out", overwrite=True)
    shutil.copytree(tmp_path / "out", tmp_path / "theirs")
    attributes = json.loads((tmp_path / "theirs" / "tracks.geff" / ".zattrs").read_text())
    attributes["geff"]["extra"] = {}
    (tmp_path / "theirs" / "tracks.geff" / ".zattrs").write_text(json.dumps(attributes))
    with pytest.raises(LabelError, match="not replaced"):
        link_points(path, out=tmp_path / "theirs", overwrite=True)
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(LabelError, match="not replaced"):
        link_points(path, out=tmp_path / "out", overwrite=True)
    with pytest.raises(LabelError, match="lies inside the other"):
        link_points(path, out=tmp_path, overwrite=True)


def test_command_line(tmp_path: Path) -> None:
    path = write(tmp_path, points())
    said = cli(path, "--out", tmp_path / "out", "--interval", 60, "--json")
    assert said.exit_code == 0, said.stderr
    assert json.loads(said.stdout)["tracks"] == 12
    assert "link: 3/3" in said.stderr
    assert "12 tracks" in cli(path, "--out", tmp_path / "b").stdout
    for arguments, words in [
        (["--spacing", "1,1,1", "--out", tmp_path / "c"], "--spacing can only be used with label movies"),
        ([], "--out FOLDER"),
        (["--out", tmp_path / "out"], "--overwrite"),
    ]:
        bad = cli(path, *arguments)
        assert bad.exit_code == 2
        assert words in bad.stderr
    assert "no file" in cli(tmp_path / "none.csv", "--out", tmp_path / "c").stderr


def test_frames_too_far_apart_are_said(tmp_path: Path) -> None:
    known = points()
    assert "without a mother" not in cli(write(tmp_path, known), "--out", tmp_path / "near").stdout
    anywhere = np.random.default_rng(0).uniform(0, 5000, (len(known), 3))
    known[["z", "y", "x"]] = anywhere
    said = cli(write(tmp_path, known.assign(volume=500.0)), "--out", tmp_path / "far")
    assert "tracks begin mid-movie without a mother: frames may be too far apart in time." in said.stdout


def test_a_cycle_given_as_a_time_needs_the_interval(tmp_path: Path) -> None:
    given = write(tmp_path, points())
    refused = cli(given, "--out", tmp_path / "out", "--min-cycle", "12h")
    assert refused.exit_code == 2
    assert "--interval" in refused.stderr
    assert not (tmp_path / "out").exists()
    assert cli(given, "--out", tmp_path / "out", "--min-cycle", "12h", "--interval", 600).exit_code == 0
