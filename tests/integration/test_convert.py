"""tlseg convert: the same pixels, in bounded memory, and never something that only looks complete."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from commandline import invoke
from tlseg.cli import main
from tlseg.cli.convert import command
from tlseg.errors import MovieError, RunError
from tlseg.geometry import Box
from tlseg.store.image import convert as convert_module
from tlseg.store.image.convert import convert
from tlseg.store.image.movie import open_movie, open_source
from tlseg.store.image.pyramid import image_levels
from tlseg.store.image.segmentable import check_segmentable
from tlseg.store.image.tiff import Layout, natural_key

RNG = np.random.default_rng(2)
MOVIE = RNG.integers(0, 60000, (3, 2, 5, 40, 44)).astype("u2")  # t, c, z, y, x
SPACING = (2.0, 0.5, 0.25)


def tiff(path: Path, data: np.ndarray, axes: str | None = None, **more: Any) -> Path:
    metadata = more.pop("metadata", {}) if axes is None else {"axes": axes, **more.pop("metadata", {})}
    tifffile.imwrite(path, data, metadata=metadata or None, photometric="minisblack", **more)
    return path


def imagej(path: Path, data: np.ndarray, axes: str, **metadata: Any) -> Path:
    return tiff(
        path,
        data,
        axes,
        imagej=True,
        resolution=(4, 2),
        metadata={"spacing": 2.0, "unit": "um", "finterval": 30.0} | metadata,
    )


def pixels(path: Path) -> np.ndarray:
    return open_movie(path).values


def axes_order(axes: str) -> np.ndarray:
    """The movie with only these axes, first of the others, in this order."""
    present = [a for a in "TCZYX" if a in axes]
    data = MOVIE[tuple(slice(None) if a in axes else 0 for a in "TCZYX")]
    return data.transpose([present.index(a) for a in axes])


def expected(axes: str) -> np.ndarray:
    data = MOVIE[tuple(slice(None) if a in axes else slice(0, 1) for a in "TCZYX")]
    return data if "Z" in axes else data[:, :, 0]


# what the files mean


@pytest.mark.parametrize("axes", ["ZYX", "TYX", "TZYX", "TZCYX", "ZCYX"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_imagej_hyperstacks_keep_pixels_and_place(tmp_path: Path, axes: str, compression: str | None) -> None:
    source = (
        imagej(tmp_path / "a.tif", axes_order(axes), axes)
        if compression is None
        else tiff(
            tmp_path / "a.tif",
            axes_order(axes),
            axes,
            compression=compression,
            resolution=(4, 2),
            metadata={"spacing": 2.0, "unit": "um", "finterval": 30.0},
        )
    )
    done = convert([source], tmp_path / "out.ome.zarr")
    np.testing.assert_array_equal(pixels(tmp_path / "out.ome.zarr"), expected(axes))
    assert done.spacing_um == (SPACING if "Z" in axes else (1.0, 0.5, 0.25))
    assert done.interval_s == 30.0
    assert [note for note in done.notes if "along y" not in note] == []


@pytest.mark.parametrize("axes", ["TCZYX", "TZCYX", "ZTYX", "TZYX"])
def test_ome_tiff_says_everything(tmp_path: Path, axes: str) -> None:
    metadata: dict[str, Any] = {
        "PhysicalSizeX": 250, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.5, "PhysicalSizeZ": 0.002,
        "PhysicalSizeZUnit": "mm", "TimeIncrement": 0.5, "TimeIncrementUnit": "min",
    }  # fmt: skip
    if "C" in axes:
        metadata["Channel"] = {"Name": ["membrane", "nuclei"]}
    source = tiff(tmp_path / "a.ome.tif", axes_order(axes), axes, ome=True, metadata=metadata)
    done = convert([source], tmp_path / "out.ome.zarr")
    np.testing.assert_array_equal(pixels(tmp_path / "out.ome.zarr"), expected(axes))
    assert (done.spacing_um, done.interval_s) == (SPACING, 30.0)
    assert done.channel_names == (("membrane", "nuclei") if "C" in axes else ("channel 0",))
    assert open_movie(tmp_path / "out.ome.zarr")["t"].values.tolist() == [0.0, 30.0, 60.0]


def test_one_stack_per_time_point_in_natural_order(tmp_path: Path) -> None:
    folder = tmp_path / "stacks"
    folder.mkdir()
    for t, number in enumerate([2, 10, 100]):
        tiff(folder / f"t{number}.tif", MOVIE[t, 0])
    (folder / "notes.txt").touch()
    (folder / "._t2.tif").touch()
    convert([folder], tmp_path / "a.ome.zarr", spacing_um=SPACING, allow_gaps=True)
    np.testing.assert_array_equal(pixels(tmp_path / "a.ome.zarr"), expected("TZYX"))
    files = sorted(folder.glob("t*.tif"))
    assert files != sorted(files, key=natural_key)
    convert(files, tmp_path / "b.ome.zarr", spacing_um=SPACING, allow_gaps=True)
    np.testing.assert_array_equal(pixels(tmp_path / "b.ome.zarr"), expected("TZYX"))


def test_a_home_is_followed_as_a_shell_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    tiff(tmp_path / "t1.tif", MOVIE[0, 0], "ZYX")
    for given in ("~/t1.tif", ["~/t1.tif"], Path("~/t1.tif")):
        convert(given, "~/a.ome.zarr", spacing_um=SPACING, overwrite=True)
        np.testing.assert_array_equal(pixels(tmp_path / "a.ome.zarr").squeeze(), MOVIE[0, 0])


def test_a_folder_of_planes_is_a_2d_movie(tmp_path: Path) -> None:
    for t in range(3):
        tiff(tmp_path / f"t{t}.tif", MOVIE[t, 0, 0])
    convert([tmp_path], tmp_path / "a.ome.zarr", spacing_um=(0.5, 0.25))
    source = open_source(tmp_path / "a.ome.zarr")
    assert (source.is_2d, source.spacing_um, source.shape) == (True, (1.0, 0.5, 0.25), (3, 1, 40, 44))
    assert open_movie(tmp_path / "a.ome.zarr", channel=0).dims == ("t", "y", "x")
    np.testing.assert_array_equal(pixels(tmp_path / "a.ome.zarr"), expected("TYX"))


@pytest.mark.parametrize(
    ("layout", "axes"),
    [
        (Layout("TZYX", planes=5), "TZYX"),
        (Layout(planes=5), "TZYX"),
        (Layout("ZTYX", planes=5), "ZTYX"),
        (Layout("TZCYX", planes=5, channels=2), "TZCYX"),
        (Layout("TCZYX", planes=5, channels=2), "TCZYX"),
        (Layout(channels=2), "TCYX"),
        (Layout("ZYX"), "ZYX"),
        (Layout("TYX"), "TYX"),
    ],
)
def test_plain_pages_are_what_the_person_says(tmp_path: Path, layout: Layout, axes: str) -> None:
    source = tiff(tmp_path / "a.tif", axes_order(axes).reshape(-1, 40, 44))
    convert([source], tmp_path / "a.ome.zarr", layout=layout, spacing_um=SPACING)
    np.testing.assert_array_equal(pixels(tmp_path / "a.ome.zarr"), expected(axes))


def test_four_plain_pages_are_no_colour_image_when_the_person_says_so(tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="photometric"):
        tifffile.imwrite(tmp_path / "a.tif", MOVIE[0, 0, :3], metadata=None, compression="zlib")
    convert([tmp_path / "a.tif"], tmp_path / "a.ome.zarr", layout=Layout("ZYX"), spacing_um=SPACING)
    np.testing.assert_array_equal(pixels(tmp_path / "a.ome.zarr"), MOVIE[:1, :1, :3])


def test_what_the_person_says_wins_over_the_file(tmp_path: Path) -> None:
    source = imagej(tmp_path / "a.tif", MOVIE[:, 0], "TZYX")
    done = convert([source], tmp_path / "a.ome.zarr", spacing_um=(3, 2, 1), interval_s=7, channel_names=["nuclei"])
    assert (done.spacing_um, done.interval_s, done.channel_names) == ((3.0, 2.0, 1.0), 7, ("nuclei",))
    assert open_source(tmp_path / "a.ome.zarr").channel_names == ("nuclei",)


@pytest.mark.parametrize(
    ("stored", "kept"),
    [
        ("u1", "uint8"),
        (">u2", "uint16"),
        ("i2", "int16"),
        ("f4", "float32"),
        ("f8", "float32"),
        ("i4", "uint16"),
        ("u4", "uint16"),
        ("i1", "int16"),
    ],
)
def test_data_types_kept_or_made_small(tmp_path: Path, stored: str, kept: str) -> None:
    data = (MOVIE[0, 0] // 600).astype(stored)
    byteorder = ">" if stored.startswith(">") else "<"
    source = tiff(tmp_path / "a.tif", data, "ZYX", byteorder=byteorder)
    done = convert([source], tmp_path / "a.ome.zarr", spacing_um=SPACING)
    found = pixels(tmp_path / "a.ome.zarr")
    assert done.dtype == found.dtype.name == kept
    assert any("pixels were" in note for note in done.notes) == (kept != np.dtype(stored).newbyteorder("=").name)
    np.testing.assert_array_equal(found[0, 0], data)
    check_segmentable(open_source(tmp_path / "a.ome.zarr"), range(1))


def test_booleans_become_numbers(tmp_path: Path) -> None:
    tiff(tmp_path / "a.tif", MOVIE[0, 0] > 30000, "ZYX")
    assert convert([tmp_path / "a.tif"], tmp_path / "a.ome.zarr", spacing_um=SPACING).dtype == "uint8"
    assert np.unique(pixels(tmp_path / "a.ome.zarr")).tolist() == [0, 1]


# OME-Zarr in


def zarr_movie(path: Path, version: int, dtype: str = "u2") -> Path:
    group = zarr.create_group(path, zarr_format=version)
    group.create_array("0", shape=MOVIE.shape, dtype=dtype, chunks=(1, 1, 2, 40, 44))[...] = MOVIE.astype(dtype)
    axes = [{"name": "t", "type": "time", "unit": "minute"}, {"name": "c", "type": "channel"}]
    axes += [{"name": a, "type": "space", "unit": "nanometer"} for a in "zyx"]
    transforms = [
        {"type": "scale", "scale": [0.5, 1, 2000, 500, 250]},
        {"type": "translation", "translation": [2, 0, 7000, 0, 0]},
    ]
    image: dict[str, Any] = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": transforms}]}
    omero = {"channels": [{"label": "a", "color": "FF0000"}, {"label": "b", "color": "0000FF"}]}
    if version == 2:
        group.attrs.update({"multiscales": [image | {"version": "0.4"}], "omero": omero})
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [image], "omero": omero}
    return path


@pytest.mark.parametrize("version", [2, 3])
def test_ome_zarr_becomes_ome_zarr_with_the_same_pixels_and_place(tmp_path: Path, version: int) -> None:
    old = zarr_movie(tmp_path / "old.zarr", version, ">u2" if version == 2 else "u2")
    done = convert([old], tmp_path / "new.ome.zarr")
    before, after = open_movie(old), open_movie(tmp_path / "new.ome.zarr")
    np.testing.assert_array_equal(after.values, before.values)
    for axis in "tczyx":
        np.testing.assert_array_equal(after[axis].values, before[axis].values)
    assert (done.spacing_um, done.interval_s, done.channel_names) == (SPACING, 30.0, ("a", "b"))
    with pytest.raises(MovieError, match=r"1 channel name was given, but .*old\.zarr has 2 channels"):
        convert([old], tmp_path / "none.ome.zarr", channel_names=["a"])
    source = open_source(tmp_path / "new.ome.zarr")
    assert (source.version, source.writable, source.dtype) == ("0.5", True, "<u2")
    assert after["t"].values[0] == 120.0


def test_missing_chunks_are_not_made_into_zeros_unasked(tmp_path: Path) -> None:
    old = zarr_movie(tmp_path / "old.zarr", 3)
    (old / "0/c/1/0/0/0/0").unlink()
    with pytest.raises(MovieError, match="1 chunk is missing, the first is 0/c/1/0/0/0/0"):
        convert([old], tmp_path / "new.ome.zarr")
    convert([old], tmp_path / "new.ome.zarr", allow_missing=True)
    assert pixels(tmp_path / "new.ome.zarr")[1, 0, :2].max() == 0
    check_segmentable(open_source(tmp_path / "new.ome.zarr"), range(3))


# what is written


def test_all_chunks_are_there_even_of_zeros_and_a_lost_one_is_found(tmp_path: Path) -> None:
    tiff(tmp_path / "a.tif", np.zeros((3, 5, 40, 44), "u2"), "TZYX")
    out = tmp_path / "a.ome.zarr"
    convert([tmp_path / "a.tif"], out, spacing_um=SPACING)
    source = open_source(out)
    assert list(source.missing_chunks(range(3))) == []
    victim = sorted(p for p in (out / "0" / "c").rglob("*") if p.is_file())[-1]
    victim.unlink()
    assert list(source.missing_chunks(range(3))) == [str(victim.relative_to(out))]


def test_the_pyramid_and_the_display_window(tmp_path: Path) -> None:
    data = RNG.normal(1000, 50, (6, 200, 180)).astype("u2")
    tiff(tmp_path / "a.tif", data, "ZYX")
    done = convert([tmp_path / "a.tif"], tmp_path / "a.ome.zarr", spacing_um=(2, 0.5, 0.5))
    assert done.levels == 3
    for level, expected in enumerate(image_levels(data, [(1, 1, 1), (1, 2, 2), (1, 4, 4)])):
        found = open_movie(tmp_path / "a.ome.zarr", level=level).values[0, 0]
        np.testing.assert_array_equal(found, expected)
    ome = json.loads((tmp_path / "a.ome.zarr/zarr.json").read_text())["attributes"]["ome"]
    window = ome["omero"]["channels"][0]["window"]
    assert (window["min"], window["max"]) == (0, 65535)
    assert 900 < window["start"] < 1000 < window["end"] < 1100


def test_metadata_pass_ome_zarr_models(tmp_path: Path) -> None:
    from ome_zarr_models.v05 import Image

    imagej(tmp_path / "a.tif", MOVIE.transpose(0, 2, 1, 3, 4), "TZCYX")
    convert([tmp_path / "a.tif"], tmp_path / "a.ome.zarr")
    Image.from_zarr(zarr.open_group(tmp_path / "a.ome.zarr", mode="r"))


@pytest.mark.usefixtures("small_regions")
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_memory_does_not_grow_with_the_movie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: str | None
) -> None:
    frame = np.zeros((32, 128, 192), "u2")
    tiff(tmp_path / "short.tif", np.stack([frame] * 2), "TZYX", compression=compression)
    tiff(tmp_path / "long.tif", np.stack([frame] * 5), "TZYX", compression=compression)
    monkeypatch.setattr(convert_module, "SLAB_BYTES", 2**18)
    convert([tmp_path / "short.tif"], tmp_path / "short.ome.zarr", spacing_um=(1, 1, 1))  # pays for imports
    peaks = []
    for name in ("short", "long"):
        tracemalloc.start()
        convert([tmp_path / f"{name}.tif"], tmp_path / f"{name}.ome.zarr", spacing_um=(1, 1, 1), overwrite=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + frame.nbytes  # for three frames more; threads that overlap differ by less
    assert peaks[1] < 3 * frame.nbytes  # the long movie is 5 frames


@pytest.mark.usefixtures("small_regions")
def test_slabs_of_any_size_give_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = RNG.integers(0, 999, (70, 90, 100)).astype("u2")
    tiff(tmp_path / "a.tif", data, "ZYX", compression="zlib")
    convert([tmp_path / "a.tif"], tmp_path / "whole.ome.zarr", spacing_um=(1, 1, 1))
    monkeypatch.setattr(convert_module, "SLAB_BYTES", 1)
    calls = []
    convert([tmp_path / "a.tif"], tmp_path / "cut.ome.zarr", spacing_um=(1, 1, 1), progress=lambda *c: calls.append(c))
    assert calls[-1][0] == calls[-1][1] > 10
    np.testing.assert_array_equal(pixels(tmp_path / "cut.ome.zarr"), pixels(tmp_path / "whole.ome.zarr"))
    np.testing.assert_array_equal(pixels(tmp_path / "cut.ome.zarr")[0, 0], data)


# never half


def test_a_killed_conversion_leaves_nothing_that_looks_complete(tmp_path: Path) -> None:
    folder = tmp_path / "stacks"
    folder.mkdir()
    for t in range(60):
        tiff(folder / f"t{t}.tif", MOVIE[0, 0], compression="zlib")
    out = tmp_path / "a.ome.zarr"
    code = "import sys; from tlseg.cli.convert import command; command(sys.argv[1:])"
    arguments = [sys.executable, "-c", code, str(folder), str(out), "--spacing", "2,1,1"]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    part = tmp_path / ".a.ome.zarr.partial"
    deadline = time.monotonic() + 30
    while not (part / out.name / "0" / "c").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert part.exists()
    assert not out.exists()
    with pytest.raises(MovieError, match="no multiscales"):
        open_source(part / out.name)
    convert([folder], out, spacing_um=(2, 1, 1))
    assert open_source(out).n_frames == 60
    assert not part.exists()


def test_numbers_that_only_overflow_in_the_output_are_refused(tmp_path: Path) -> None:
    huge = np.zeros((2, 5, 40, 44), "f8")
    huge[1, 2, 3, 4] = 1e300
    out = tmp_path / "m.ome.zarr"
    with pytest.raises(MovieError, match="beyond what float32 holds"):
        convert([tiff(tmp_path / "huge.tif", huge, "TZYX")], out, spacing_um=SPACING)
    assert not out.exists()


def test_a_failed_conversion_cleans_up_and_keeps_the_old_movie(tmp_path: Path) -> None:
    out = tmp_path / "a.ome.zarr"
    convert([imagej(tmp_path / "a.tif", MOVIE[:, 0], "TZYX")], out)
    bad = tiff(tmp_path / "bad.tif", np.full((2, 5, 40, 44), np.nan, "f4"), "TZYX")
    with pytest.raises(MovieError, match="NaN"):
        convert([bad], out, spacing_um=SPACING, overwrite=True)
    np.testing.assert_array_equal(pixels(out), expected("TZYX"))
    assert not list(tmp_path.glob(".*"))


def test_overwrite_replaces_only_what_is_an_ome_zarr(tmp_path: Path) -> None:
    source = imagej(tmp_path / "a.tif", MOVIE[:, 0], "TZYX")
    out = tmp_path / "a.ome.zarr"
    convert([source], out)
    with pytest.raises(MovieError, match="--overwrite"):
        convert([source], out)
    other = imagej(tmp_path / "b.tif", MOVIE[:2, 1], "TZYX")
    convert([other], out, overwrite=True)
    np.testing.assert_array_equal(pixels(out)[:, 0], MOVIE[:2, 1])
    thesis = tmp_path / "thesis.zarr"
    thesis.mkdir()
    (thesis / "chapter1.txt").touch()
    with pytest.raises(MovieError, match="not an OME-Zarr, so it is not replaced"):
        convert([source], thesis, overwrite=True)
    assert (thesis / "chapter1.txt").exists()


def test_a_conversion_that_another_finished_first_is_not_replaced_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, out = imagej(tmp_path / "a.tif", axes_order("TZYX"), "TZYX"), tmp_path / "out.ome.zarr"
    open_inputs = convert_module.open_inputs

    def slowly(*args: Any, **settings: Any) -> Any:
        monkeypatch.setattr(convert_module, "open_inputs", open_inputs)
        convert([stack], out, spacing_um=(9.0, 9.0, 9.0))
        return open_inputs(*args, **settings)

    monkeypatch.setattr(convert_module, "open_inputs", slowly)
    with pytest.raises(MovieError, match=r"exists\. Use --overwrite"):
        convert([stack], out)
    assert open_source(out).spacing_um == (9.0, 9.0, 9.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "out.ome.zarr"]


def test_an_input_is_never_the_output(tmp_path: Path) -> None:
    old = zarr_movie(tmp_path / "old.zarr", 3)
    with pytest.raises(MovieError, match="both input and output"):
        convert([old], old, overwrite=True)
    assert open_source(old).n_frames == 3


@pytest.mark.parametrize("written", ["x/../old.zarr", "link.zarr", "x/link.zarr"])
def test_an_input_is_never_the_output_however_it_is_written(tmp_path: Path, written: str) -> None:
    old = zarr_movie(tmp_path / "old.zarr", 3)
    (tmp_path / "x").mkdir()
    for link in (tmp_path / "link.zarr", tmp_path / "x" / "link.zarr"):
        link.symlink_to(old)
    for given, out in ((tmp_path / written, old), (old, tmp_path / written)):
        with pytest.raises(MovieError, match="both input and output"):
            convert([given], out, overwrite=True)
    assert open_source(old).n_frames == 3


def test_an_input_inside_the_output_is_found_through_links(tmp_path: Path) -> None:
    old = zarr_movie(tmp_path / "old.zarr", 3)
    (old / "extra").mkdir()
    stack = imagej(old / "extra" / "a.tif", axes_order("ZYX"), "ZYX")
    (tmp_path / "link").symlink_to(old)
    with pytest.raises(MovieError, match="holds an input, which would be lost"):
        convert([tmp_path / "link" / "extra" / "a.tif"], old, overwrite=True)
    assert stack.exists()


def test_a_full_disk_is_one_line_and_exit_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    source = imagej(tmp_path / "a.tif", MOVIE[:, 0], "TZYX")
    monkeypatch.setattr("tlseg.store.image.arrays.PyramidArrays.write", full)
    with pytest.raises(RunError, match="No space left on device"):
        convert([source], tmp_path / "a.ome.zarr")
    assert not list(tmp_path.glob("*.zarr")) + list(tmp_path.glob(".*"))


# one clear line


@dataclass
class Ran:
    exit_code: int
    stdout: str
    stderr: str


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: Any) -> Ran:
        code = 0
        try:
            command.main([str(a) for a in arguments], prog_name="tlseg convert", standalone_mode=False)
        except SystemExit as error:
            code = int(error.code or 0)
        return Ran(code, *capsys.readouterr())

    return call


@pytest.fixture
def fails(run: Run) -> Callable[..., str]:
    """Run the command, expect exit 2 and one line; return it."""

    def call(*arguments: Any) -> str:
        result = run(*arguments)
        assert result.exit_code == 2
        error = [line for line in result.stderr.splitlines() if not line.startswith("converted")]
        assert len(error) == 1, result.stderr
        assert error[0].startswith("Error: ")
        assert not result.stdout
        return error[0]

    return call


def test_unknown_spacing_asks_for_it(tmp_path: Path, fails: Callable[..., str]) -> None:
    out = tmp_path / "a.ome.zarr"
    assert "--spacing Z,Y,X" in fails(tiff(tmp_path / "a.tif", MOVIE[0, 0], "ZYX"), out)
    assert "--spacing Y,X" in fails(tiff(tmp_path / "b.tif", MOVIE[0, 0], "TYX"), out)
    ome = tiff(tmp_path / "c.ome.tif", MOVIE[0, 0], "ZYX", ome=True, metadata={"PhysicalSizeX": 0.5})
    assert "gives only x 0.5" in fails(ome, out)
    assert "Expected Z,Y,X" in fails(tmp_path / "a.tif", out, "--spacing", "1,1")


def test_counts_of_an_axis_that_there_is_not_are_refused(tmp_path: Path, fails: Callable[..., str]) -> None:
    """Else the channels of a movie would be taken for its frames."""
    source = tiff(tmp_path / "a.tif", MOVIE[:, :, 0].reshape(6, 40, 44))
    out = tmp_path / "a.ome.zarr"
    words = (source, out, "--spacing", "1,1", "--axes", "TYX")
    assert "Add C to --axes, or omit --channels" in fails(*words, "--channels", "2")
    assert "Add Z to --axes, or omit --planes" in fails(*words, "--planes", "3")
    convert([source], out, layout=Layout("TYX", planes=1, channels=1), spacing_um=(1, 1))
    assert open_source(out).n_frames == 6


def test_pages_of_unknown_meaning_ask_for_axes(tmp_path: Path, fails: Callable[..., str]) -> None:
    source = tiff(tmp_path / "a.tif", MOVIE[:, 0].reshape(15, 40, 44))
    out = tmp_path / "a.ome.zarr"
    assert "--axes" in fails(source, out, "--spacing", "1,1,1")
    assert "15 pages" in fails(source, out, "--spacing", "1,1,1", "--planes", 4)
    assert "letters among T, C, Z" in fails(source, out, "--axes", "TQYX")
    assert "letters among T, C, Z" in fails(source, out, "--axes", "XYT")
    stacks = imagej(tmp_path / "stacks.tif", MOVIE[:, 0], "TZYX")
    assert "3 x 5 pages, which are not one series along T" in fails(stacks, out, "--axes", "TYX")
    planar = tmp_path / "planar.tif"
    tifffile.imwrite(planar, MOVIE[:, 0, 0].astype("u1"), photometric="rgb", planarconfig="separate")
    assert "marks its pages as colours (axes SYX, shape (3, 40, 44)). Name its axes with --axes" in fails(planar, out)
    assert convert(planar, out, layout=Layout("CYX"), spacing_um=(1, 1)).shape == (1, 3, 1, 40, 44)


def test_a_single_page_fills_any_axes(tmp_path: Path) -> None:
    source = tiff(tmp_path / "a.tif", MOVIE[0, 0, 0])
    done = convert(source, tmp_path / "a.ome.zarr", layout=Layout("TCZYX"), spacing_um=(1, 1, 1))
    assert done.shape == (1, 1, 1, 40, 44)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--axes", "tzyx"], "--axes TZYX would say what the pages of a plain TIFF are; "),
        (["--planes", "5"], "--planes 5 would say"),
        (["--planes", "5", "--channels", "2"], "--planes 5 --channels 2 would say"),
        (["--scene", "0"], "--scene is for microscopes' own files"),
        (["--allow-gaps"], "--allow-gaps is for TIFFs with numbers in their names"),
    ],
)
def test_options_for_other_inputs_are_refused(
    tmp_path: Path, fails: Callable[..., str], words: list[str], said: str
) -> None:
    movie = zarr_movie(tmp_path / "m.zarr", 3)
    error = fails(movie, tmp_path / "out.ome.zarr", *words)
    assert said in error
    assert f"; {movie} is an OME-Zarr. Omit {'them' if len(words) > 2 else 'it'}." in error
    assert not (tmp_path / "out.ome.zarr").exists()


def test_an_unset_variable_is_not_the_current_folder(
    tmp_path: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiff(tmp_path / "t0.tif", MOVIE[0, 0])
    monkeypatch.chdir(tmp_path)
    assert "An empty path was given" in fails("", "a.ome.zarr", "--spacing", "1,1,1")
    assert "An empty path was given" in fails("t0.tif", "", "--spacing", "1,1,1")
    assert [p.name for p in tmp_path.iterdir()] == ["t0.tif"]


def test_a_file_is_one_time_point_once(
    tmp_path: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiff(tmp_path / "t0.tif", MOVIE[0, 0])
    monkeypatch.chdir(tmp_path)
    for again in (tmp_path / "t0.tif", "./t0.tif", tmp_path):
        assert "t0.tif was given twice" in fails("t0.tif", again, "a.ome.zarr", "--spacing", "1,1,1")
    (tmp_path / "t1.tif").symlink_to("t0.tif")
    assert convert(tmp_path, "a.ome.zarr", spacing_um=(1, 1, 1)).shape[0] == 2, "a frame may be repeated on purpose"


def test_a_file_url_is_a_local_path(tmp_path: Path) -> None:
    file = tiff(tmp_path / "t0.tif", MOVIE[0, 0], "ZYX")
    convert(f"file://{file}", tmp_path / "a.ome.zarr", spacing_um=(1, 1, 1))
    assert np.array_equal(pixels(tmp_path / "a.ome.zarr")[0, 0], MOVIE[0, 0])


def test_files_may_come_one_by_one(tmp_path: Path) -> None:
    for t in range(2):
        tiff(tmp_path / f"t{t}.tif", MOVIE[t, 0], "ZYX")
    out = tmp_path / "a.ome.zarr"
    assert convert(tmp_path.glob("t*.tif"), out, spacing_um=(1, 1, 1)).shape[0] == 2


def test_names_of_channels_may_be_set_apart_by_spaces(tmp_path: Path, run: Run) -> None:
    source = tiff(tmp_path / "a.tif", MOVIE[:, :, 0], "TCYX")
    assert (
        run(source, tmp_path / "a.ome.zarr", "--spacing", "1,1", "--channel-names", "membrane, nuclei").exit_code == 0
    )
    assert open_source(tmp_path / "a.ome.zarr", channel="nuclei").channel == 1


def test_files_that_do_not_fit_together(tmp_path: Path, fails: Callable[..., str]) -> None:
    out, first = tmp_path / "a.ome.zarr", tiff(tmp_path / "t0.tif", MOVIE[0, 0])
    assert "Expected all time points to be alike" in fails(first, tiff(tmp_path / "t1.tif", MOVIE[0, 0, :, :30]), out)
    message = fails(first, tiff(tmp_path / "t2.tif", MOVIE[0, 0].astype("f4")), out)
    assert "data type float32" in message
    assert "Expected one OME-Zarr alone" in fails(first, zarr_movie(tmp_path / "m.zarr", 3), out)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("keep", [0.0, 0.02, 0.5, 0.95])
def test_truncated_tiffs(tmp_path: Path, fails: Callable[..., str], compression: str | None, keep: float) -> None:
    source = tiff(tmp_path / "a.tif", MOVIE[:, 0], "TZYX", compression=compression)
    data = source.read_bytes()
    source.write_bytes(data[: int(len(data) * keep)])
    fails(source, tmp_path / "a.ome.zarr", "--spacing", "1,1,1")
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]


@pytest.mark.parametrize("keep", [0.4, 0.95, 0.999])
@pytest.mark.parametrize("kind", ["pages", "zlib pages", "imagej", "ome", "zlib ome"])
def test_a_truncated_stack_is_not_taken_for_a_shorter_one(
    tmp_path: Path, fails: Callable[..., str], run: Run, kind: str, keep: float
) -> None:
    source = tmp_path / ("a.ome.tif" if "ome" in kind else "a.tif")
    stack = MOVIE[:, 0].reshape(15, 40, 44)
    compression = "zlib" if "zlib" in kind else None
    with tifffile.TiffWriter(source, imagej=kind == "imagej", ome="ome" in kind) as writer:
        for page in stack if "pages" in kind else [stack]:
            metadata = None if "pages" in kind else {"axes": "ZYX"}
            writer.write(page, contiguous=False, metadata=metadata, compression=compression, photometric="minisblack")
    data = source.read_bytes()
    source.write_bytes(data[: int(len(data) * keep)])
    arguments = (source, tmp_path / "a.ome.zarr", "--spacing", "1,1,1", "--axes", "ZYX")
    if kind == "imagej" and keep == 0.999:  # all pixels are there, only part of the page list is lost
        assert run(*arguments).exit_code == 0
        np.testing.assert_array_equal(pixels(tmp_path / "a.ome.zarr")[0, 0], stack)
    else:
        fails(*arguments)


def test_pixels_that_are_no_grey_values(tmp_path: Path, fails: Callable[..., str]) -> None:
    out = tmp_path / "a.ome.zarr"
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((40, 44, 3), "u1"), photometric="rgb")
    assert "colour" in fails(tmp_path / "rgb.tif", out, "--spacing", "1,1")
    large = np.zeros((5, 40, 44), "i4")
    large[3, 2, 1] = 70000
    assert "from 0 to 70000" in fails(tiff(tmp_path / "i4.tif", large, "ZYX"), out, "--spacing", "1,1,1")
    assert "from -1 to 0" in fails(
        tiff(tmp_path / "i4.tif", np.minimum(large, 0) - (large > 0), "ZYX"), out, "--spacing", "1,1,1"
    )
    assert "complex64" in fails(tiff(tmp_path / "c8.tif", large.astype("c8"), "ZYX"), out, "--spacing", "1,1,1")


def test_inputs_that_are_not_there_or_no_tiff(tmp_path: Path, fails: Callable[..., str]) -> None:
    out = tmp_path / "a.ome.zarr"
    assert "does not exist" in fails(tmp_path / "none.tif", out)
    (tmp_path / "a.tif").write_text("hello")
    assert "cannot be opened as TIFF" in fails(tmp_path / "a.tif", out)
    (tmp_path / "empty").mkdir()
    assert "no .tif or .tiff files" in fails(tmp_path / "empty", out)
    assert "last argument" in fails(tmp_path / "a.tif", tmp_path / "b.tif")
    zarr.create_group(tmp_path / "g.zarr")
    assert "no multiscales" in fails(tmp_path / "g.zarr", out)


def series(folder: Path, *numbers: int) -> Path:
    folder.mkdir()
    for number in numbers:
        tiff(folder / f"img_t{number:03d}.tif", MOVIE[0, 0])
    return folder


def test_a_missing_time_point_is_not_closed_up(tmp_path: Path, fails: Callable[..., str], run: Run) -> None:
    given = (series(tmp_path / "s", 1, 2, 4, 5), tmp_path / "a.ome.zarr", "--spacing", "1,1,1")
    message = fails(*given)
    assert "numbers are missing: img_t003.tif." in message
    assert not (tmp_path / "a.ome.zarr").exists()
    allowed = run(*given, "--allow-gaps", "--interval", 60)
    assert "Note: 4 files, img_t001.tif to img_t005.tif, 1 missing in between" in allowed.stdout


def test_files_and_their_step_are_said(tmp_path: Path, run: Run) -> None:
    for folder, numbers, said in (
        ("even", (1, 51, 101), "Note: 3 files, img_t001.tif to img_t101.tif, every 50th number\n"),
        ("all", (7, 8, 9), "Note: 3 files, img_t007.tif to img_t009.tif\n"),
    ):
        given = series(tmp_path / folder, *numbers)
        assert said in run(given, tmp_path / f"{folder}.ome.zarr", "--spacing", "1,1,1").stdout


def test_a_spacing_that_the_files_contradict_is_said(tmp_path: Path, run: Run) -> None:
    source = tiff(
        tmp_path / "a.tif",
        MOVIE[:, 0],
        "TZYX",
        imagej=True,
        resolution=(1.25, 1.25),
        metadata={"spacing": 1.75, "unit": "um"},
    )
    wrong = run(source, tmp_path / "a.ome.zarr", "--spacing", "0.8,0.8,1.75").stdout
    assert (
        "Note: the files give a spacing of 1.75, 0.8, 0.8 um (z, y, x); 0.8, 0.8, 1.75 was given and is used" in wrong
    )
    assert "Note: voxels are 0.8 um along y and 1.75 um along x" in wrong
    for k, given in enumerate(([], ["--spacing", "1.75,0.8,0.8"])):
        assert "spacing of" not in run(source, tmp_path / f"{k}.ome.zarr", *given).stdout


def test_a_thickness_that_no_z_axis_keeps_is_said(tmp_path: Path, run: Run) -> None:
    """What is printed is what is stored, whether a person or a file says how thick a plane is; persons are told."""
    plain = tiff(tmp_path / "a.tif", MOVIE[:, 0, 0], "TYX")
    physical = {f"PhysicalSize{axis}": size for axis, size in zip("ZYX", (3.0, 0.5, 0.5), strict=True)}
    ome = tiff(tmp_path / "a.ome.tif", MOVIE[:, 0, 0], "TYX", ome=True, metadata=physical)
    out = tmp_path / "a.ome.zarr"
    for given in ([plain, out, "--spacing", "3,0.5,0.5"], [ome, out, "--overwrite"]):
        said = run(*given).stdout
        assert "spacing 0.5 x 0.5 um (y, x)" in said
        assert ("3 um along z is not used" in said) == ("--spacing" in given)
        assert open_source(out).spacing_um == (1.0, 0.5, 0.5)
    assert "along z" not in run(plain, out, "--spacing", "0.5,0.5", "--overwrite").stdout
    stack = run(plain, out, "--axes", "TZYX", "--planes", "1", "--spacing", "3,0.5,0.5", "--overwrite").stdout
    assert "spacing 3 x 0.5 x 0.5 um" in stack
    assert "along z" not in stack
    assert open_source(out).spacing_um == (3.0, 0.5, 0.5)


# the command


def test_the_command_says_what_it_wrote(tmp_path: Path, run: Run) -> None:
    source = imagej(tmp_path / "a.tif", MOVIE[:, 0], "TZYX")
    result = run(source, tmp_path / "a.ome.zarr")
    assert result.exit_code == 0
    assert "3 frames, 1 channel, 5 x 40 x 44 voxels, uint16" in result.stdout
    assert "2 x 0.5 x 0.25 um (z, y, x), every 30 s" in result.stdout
    assert "convert: 3/3" in result.stderr


def test_a_2d_movie_is_told_without_the_z_it_does_not_have(tmp_path: Path, run: Run) -> None:
    source, out = tiff(tmp_path / "a.tif", MOVIE[:, 0, 0]), tmp_path / "a.ome.zarr"
    result = run(source, out, "--axes", "TYX", "--spacing", "0.5,0.25", "--interval", "30")
    assert "3 frames, 1 channel, 40 x 44 pixels, uint16" in result.stdout
    assert "spacing 0.5 x 0.25 um (y, x), every 30 s" in result.stdout
    planned = invoke(main, "plan", out)
    assert "3 frames of 40 x 44 pixels, 0.5 x 0.25 um (y, x)\n" in planned.stdout


def test_json_is_all_of_standard_output(tmp_path: Path, run: Run) -> None:
    plain = tiff(tmp_path / "a.tif", MOVIE[:, 0].reshape(-1, 40, 44))
    result = run(
        plain, tmp_path / "a.ome.zarr", "--planes", 5, "--spacing", "2,.5,.25", "--json", "--channel-names", "nuclei"
    )
    found = json.loads(result.stdout)
    assert (found["shape"], found["spacing_um"], found["interval_s"]) == ([3, 1, 5, 40, 44], [2, 0.5, 0.25], None)
    assert found["channel_names"] == ["nuclei"]
    assert "--interval" in found["notes"][0]


# real files


def test_real_ome_tiff(data: Path, tmp_path: Path) -> None:
    done = convert([data / "scikit-tracker/TZ_nucleus.ome.tif"], tmp_path / "a.ome.zarr")
    assert done.shape == (4, 1, 5, 51, 73)
    assert done.interval_s == 180.0
    assert done.spacing_um == pytest.approx((1.5, 0.41513, 0.41513), abs=1e-4)
    np.testing.assert_array_equal(
        pixels(tmp_path / "a.ome.zarr")[:, 0], tifffile.imread(data / "scikit-tracker/TZ_nucleus.ome.tif")
    )


def test_real_imagej_stacks(data: Path, tmp_path: Path) -> None:
    stacks = sorted((data / "scikit-tracker").glob("Stack-*.tif"))
    done = convert(stacks, tmp_path / "a.ome.zarr", spacing_um=(1.5, 0.415, 0.415), interval_s=180)
    assert done.shape == (4, 1, 5, 172, 165)
    np.testing.assert_array_equal(pixels(tmp_path / "a.ome.zarr")[2, 0], tifffile.imread(stacks[2]))


def test_real_2d_frames(data: Path, tmp_path: Path) -> None:
    done = convert([data / "mitocheck-movie"], tmp_path / "a.ome.zarr", spacing_um=(0.645, 0.645))
    assert done.shape == (30, 1, 1, 190, 211)
    last = sorted((data / "mitocheck-movie").glob("*.tif"))[-1]
    np.testing.assert_array_equal(pixels(tmp_path / "a.ome.zarr")[-1, 0], tifffile.imread(last))


def test_real_embryo_with_spacing_of_its_own(data: Path, tmp_path: Path) -> None:
    stacks = sorted((data / "bbbc050/Images/train/Images").glob("Emb01_t[01]*.tif"))
    done = convert(stacks, tmp_path / "a.ome.zarr", interval_s=30000)
    assert done.spacing_um == (1.75, 0.8, 0.8)
    source = open_source(tmp_path / "a.ome.zarr")
    np.testing.assert_array_equal(source.read(1, Box.of_shape(source.frame_shape)), tifffile.imread(stacks[1]))
    check_segmentable(source, range(len(stacks)))
