"""Movies in microscopes' own formats are converted like any other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

from commandline import invoke
from handmade import write_movie
from leica import write_lif
from tlseg.cli import main
from tlseg.errors import MissingExtraError, MovieError
from tlseg.store.image.convert import convert
from tlseg.store.image.movie import open_source

SPACING_UM = (2.0, 0.5, 0.25)
RNG = np.random.default_rng(0)
MOVIE = RNG.integers(0, 60_000, (3, 2, 4, 12, 10), dtype=np.uint16)
OTHER = RNG.integers(0, 60_000, (1, 1, 5, 8, 9), dtype=np.uint16)


@pytest.fixture
def lif(tmp_path: Path) -> Path:
    pytest.importorskip("bioio_lif")
    return write_lif(tmp_path / "movies.lif", {"embryo 1": MOVIE, "embryo 2": OTHER}, spacing_um=SPACING_UM)


def pixels(movie: Path) -> np.ndarray:
    return np.asarray(zarr.open_array(movie / "0", mode="r")[:])


def test_every_scene_keeps_its_pixels_and_spacing(lif: Path, tmp_path: Path) -> None:
    for scene, expected in (("embryo 1", MOVIE), ("1", OTHER)):
        done = convert(lif, tmp_path / f"{scene}.ome.zarr", scene=scene, interval_s=600.0)
        assert done.shape == expected.shape
        np.testing.assert_allclose(done.spacing_um, SPACING_UM)
        np.testing.assert_array_equal(pixels(tmp_path / f"{scene}.ome.zarr"), expected)
        assert any("bioio_lif" in note and "of 2" in note for note in done.notes)
    assert open_source(tmp_path / "embryo 1.ome.zarr").channel_names == ("Green", "Red")


def test_a_scene_is_chosen_not_guessed(lif: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ome.zarr"
    for words, said in (
        ([], "2 scenes (0: embryo 1, 1: embryo 2). Choose one with --scene"),
        (["--scene", "2"], "no scene '2'"),
        (["--scene", "embryo"], "no scene 'embryo'"),
    ):
        done = invoke(main, "convert", lif, out, *words)
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.stderr
        assert said in done.stderr
        assert not out.exists()


def test_two_such_files_are_not_one_movie(lif: Path, tmp_path: Path) -> None:
    again = write_lif(tmp_path / "again.lif", {"a": MOVIE}, spacing_um=SPACING_UM)
    with pytest.raises(MovieError, match="Expected it alone"):
        convert([lif, again], tmp_path / "out.ome.zarr")


def test_a_file_cut_short_is_one_line(lif: Path, tmp_path: Path) -> None:
    whole = lif.read_bytes()
    for length in (3, 200, len(whole) - 4000):
        lif.write_bytes(whole[:length])
        done = invoke(main, "convert", lif, tmp_path / "out.ome.zarr", "--scene", "0", "--interval", "600")
        assert (done.exit_code, done.stderr.count("\nError") + done.stderr.startswith("Error")) in ((1, 1), (2, 1)), (
            done
        )
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "out.ome.zarr").exists()


def test_a_format_that_no_plugin_knows_is_named(tmp_path: Path) -> None:
    pytest.importorskip("bioio")
    for name in ("movie.xyz", "movie.nd2", "movie.lif"):
        (tmp_path / name).write_bytes(b"nothing")
        with pytest.raises(MovieError, match=rf"{name} cannot be read.*no installed plugin.*OME-TIFF"):
            convert(tmp_path / name, tmp_path / "out.ome.zarr")


def test_what_a_plugin_says_about_a_file_is_part_of_the_line(tmp_path: Path) -> None:
    """BioIO only logs it, which would be a line of its own in front of the error."""
    pytest.importorskip("bioio_lif")
    (tmp_path / "movie.lif").write_bytes(b"nothing")
    words = ["convert", str(tmp_path / "movie.lif"), str(tmp_path / "out.ome.zarr")]
    done = subprocess.run([sys.executable, "-m", "tlseg", *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "no installed plugin of BioIO can read it (bioio-lif does not support" in done.stderr
    assert "Install" not in done.stderr


def test_without_the_extra_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bioio", None)
    (tmp_path / "movie.nd2").write_bytes(b"\xda\xce\xbe\x0a")
    with pytest.raises(MissingExtraError, match=r"movie.nd2 is neither.*\[microscopes\]"):
        convert(tmp_path / "movie.nd2", tmp_path / "out.ome.zarr")


def test_scenes_are_for_such_files(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0")
    movie = write_movie(tmp_path / "a.ome.zarr", OTHER[:, 0])
    for other in (tmp_path / "a.tif", movie):
        with pytest.raises(MovieError, match="--scene is for"):
            convert(other, tmp_path / "out.ome.zarr", scene="0")


def test_axes_are_for_tiffs(lif: Path, tmp_path: Path) -> None:
    """Such a file names its axes, and no plugin takes others."""
    out = tmp_path / "out.ome.zarr"
    for words in (["--axes", "TYX"], ["--planes", "4"], ["--channels", "2"]):
        done = invoke(main, "convert", lif, out, "--scene", "0", "--interval", "600", *words)
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.stderr
        assert done.stderr.startswith(
            f"Error: {' '.join(words)} would say what the pages of a plain TIFF are; {lif} is no"
        )
        assert not out.exists()


def test_zeiss_files(tmp_path: Path) -> None:
    """Written by Zeiss's own library; the plugin that reads them is GPL and comes with no extra of tlseg."""
    czi = pytest.importorskip("pylibCZIrw.czi")
    pytest.importorskip("bioio_czi")
    with czi.create_czi(str(tmp_path / "movie.czi")) as file:
        for t, c, z in np.ndindex(MOVIE.shape[:3]):
            file.write(MOVIE[t, c, z][..., None], plane={"T": t, "C": c, "Z": z})
        file.write_metadata("movie", scale_x=0.25e-6, scale_y=0.5e-6, scale_z=2e-6, channel_names={0: "H2B", 1: "GFP"})
    done = convert(tmp_path / "movie.czi", tmp_path / "out.ome.zarr", interval_s=600.0)
    np.testing.assert_allclose(done.spacing_um, SPACING_UM)
    assert done.channel_names == ("H2B", "GFP")
    np.testing.assert_array_equal(pixels(tmp_path / "out.ome.zarr"), MOVIE)
