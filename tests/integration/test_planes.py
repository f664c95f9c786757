"""Movies of single planes: the networks see nuclei in them, and everything after works as it does on stacks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from commandline import invoke
from handmade import write_movie
from runs import SPACING_UM, essence, inputs, labels_of, run, small_movie
from tlseg import evaluate
from tlseg.cli import main
from tlseg.run.segment import segment
from tlseg.simulate.api import simulate
from tlseg.simulate.settings import SimulationSettings
from tlseg.store.image.convert import convert
from tlseg.store.labels.pairs import find_pairs, read_pair
from tlseg.store.labels.tables import read_table

HELD_OUT = "embryo-without-emb11"


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """A folder with a model and movies of one plane that differ only in how thick it is said to be."""
    inputs(tmp_path, frames=1)
    plane = np.tile(small_movie()[:, 11:12], (1, 1, 3, 3))
    for name, thick_um in (("thin", 0.05), ("as the model", SPACING_UM[0]), ("thick", 40.0)):
        write_movie(tmp_path / f"{name}.ome.zarr", plane, spacing_um=(thick_um, *SPACING_UM[1:]))
    return tmp_path


def test_labels_of_planes_do_not_depend_on_blocks(flat: Path) -> None:
    movie, model = flat / "thin.ome.zarr", flat / "model"
    whole = run(movie, model, block=None, out=flat / "whole.ome.zarr", image=False)
    assert whole.record["plan"]["blocks_per_frame"] == 1
    for block in ((1, 16, 16), (16, 32, 48)):
        cut = run(movie, model, block=block, out=flat / "cut.ome.zarr", image=False, overwrite=True)
        assert cut.record["plan"]["blocks_per_frame"] > 1
        assert essence(flat / "cut.ome.zarr") == essence(flat / "whole.ome.zarr")
    assert len(np.unique(labels_of(flat / "whole.ome.zarr"))) > 20


def test_how_thick_a_plane_is_said_to_be_changes_nothing(flat: Path) -> None:
    found = []
    for name in ("thin", "as the model", "thick"):
        run(flat / f"{name}.ome.zarr", flat / "model")
        found.append(labels_of(flat / f"{name}.ome.zarr"))
    assert found[0].any()
    assert (found[0] == found[1]).all()
    assert (found[0] == found[2]).all()


def test_small_discs_are_dropped_as_small_balls_are(tmp_path: Path) -> None:
    """A nucleus of 12 um and one of a third of that width, which has a ninth of its area and a 27th of its volume."""
    y, x = np.indices((64, 96))
    image = np.full((1, 1, 64, 96), 100, np.uint16)
    for centre, width in ((24, 15), (72, 5)):
        image[0, 0, np.hypot(y - 32, x - centre) < width / 2] = 800
    inputs(tmp_path, frames=1)
    description = json.loads((tmp_path / "model/model.json").read_text())
    for fraction, kept in ((0.03, 2), (0.15, 1)):
        (tmp_path / "model/model.json").write_text(json.dumps(description | {"minimum_volume_fraction": fraction}))
        movie = write_movie(tmp_path / f"{kept}.ome.zarr", image)
        assert run(movie, tmp_path / "model").nuclei == kept
    assert not read_table(movie, "nuclei")["touches_edge"].any()


def test_simulated_planes_are_segmented_and_tracked(tmp_path: Path) -> None:
    movie = tmp_path / "movie.ome.zarr"
    simulate(movie, SimulationSettings(shape=(1, 160, 160), frames=6))
    segment(movie, device="cpu", workers=0)
    scores = evaluate(movie, movie)
    assert scores.mean.seg > 0.85
    assert scores.tracking is not None
    assert scores.tracking.tra > 0.97


def test_a_plane_goes_from_a_picture_to_a_report(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "plane.tif", small_movie(1)[0, 11])
    movie = tmp_path / "movie.ome.zarr"
    for line in (
        ("convert", tmp_path / "plane.tif", movie, "--spacing", "0.8,0.8"),
        ("plan", movie, "--device", "cpu"),
        ("segment", movie, "--device", "cpu"),
        ("report", movie),
    ):
        said = invoke(main, *line)
        assert said.exit_code == 0, said.output
    assert (movie / "tlseg/nuclei/report.html").is_file()


@pytest.mark.parametrize("pixel_um", [800.0, 8e-7])
def test_a_spacing_in_another_unit_is_said_as_it_was_given(tmp_path: Path, pixel_um: float) -> None:
    movie = tmp_path / "movie.ome.zarr"
    tifffile.imwrite(tmp_path / "plane.tif", small_movie(1)[0, 11])
    convert([tmp_path / "plane.tif"], movie, spacing_um=(pixel_um, pixel_um))
    said = invoke(main, "segment", movie, "--device", "cpu")
    assert said.exit_code == 2
    assert f"a spacing of {pixel_um:g}, {pixel_um:g} um (y, x)" in said.stderr
    assert "--spacing Y,X (micrometres)" in said.stderr


def test_sections_of_an_embryo_the_networks_never_saw(data: Path, tmp_path: Path) -> None:
    """Planes through its nuclei, each alone, are labelled about as well as in the stack (`benchmarks/planes.py`)."""
    iou, seg = [], []
    for pair in find_pairs(data / "bbbc050"):
        if pair.name in ("Emb11_t101", "Emb11_t301", "Emb11_t401"):
            image, truth = read_pair(pair)
            plane = int((truth > 0).sum(axis=(1, 2)).argmax())
            movie = write_movie(tmp_path / f"{pair.name}.ome.zarr", image[None, plane : plane + 1])
            segment(movie, model=HELD_OUT, device="cpu")
            found = evaluate(labels_of(movie)[0], truth[plane : plane + 1], spacing_um=SPACING_UM).mean
            iou.append(found.iou)
            seg.append(found.seg)
    assert np.mean(iou) > 0.84
    assert np.mean(seg) > 0.8


def test_real_cells_are_followed_through_their_divisions(data: Path, tmp_path: Path) -> None:
    """HeLa cells, whose nuclei are as wide as those the model knows if a pixel is taken as 1 um."""
    movie = tmp_path / "movie.ome.zarr"
    convert([data / "mitocheck-movie"], movie, spacing_um=(1.0, 1.0), interval_s=1800)
    made = segment(movie, frames="3:11", out=tmp_path / "out.ome.zarr", device="cpu")
    assert made.divisions >= 2
    lasting = read_table(tmp_path / "out.ome.zarr", "nuclei").groupby("track").size() == 8
    assert lasting.sum() >= 10
