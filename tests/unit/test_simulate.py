"""Parts of the simulator: settings, forms, optics, and what the package gives."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from tlseg.errors import TlsegError
from tlseg.geometry import Box
from tlseg.simulate.dense import DenseSettings, simulate_large_frame
from tlseg.simulate.lineage import Track
from tlseg.simulate.movie import simulate_frames
from tlseg.simulate.optics import read_out
from tlseg.simulate.scenes import scene_settings
from tlseg.simulate.settings import Draw, SimulationError, SimulationSettings
from tlseg.simulate.shape import Ellipsoid, fill_label, nucleus_form

SETTINGS = SimulationSettings()
TRACK = Track(number=9, parent=4, root=1, generation=1, depth=3, birth=10, division=20)


def test_ellipsoid_bounds_and_volume_match_its_voxels() -> None:
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    ball = Ellipsoid((4.0, 7.0, 9.0), turn, 1.5)
    labels = np.zeros((80, 80, 80), np.uint32)
    spacing = (0.5, 0.4, 0.6)
    centre = np.array([20.1, 16.3, 23.7])
    voxels = fill_label(labels, ball, centre, number=7, spacing_um=spacing)
    assert voxels == np.count_nonzero(labels == 7)
    assert voxels * math.prod(spacing) == pytest.approx(ball.volume_um3, rel=0.01)
    where = np.argwhere(labels) * spacing - centre
    reach = np.abs(where).max(axis=0)
    assert (reach <= ball.bounds_um + 1e-9).all()
    assert (reach > ball.bounds_um - spacing).all()


def test_shrunk_keeps_direction_and_scales_axes() -> None:
    ball = Ellipsoid((5.0, 5.0, 5.0), np.eye(3), 2.0)
    assert ball.shrunk(along_z=0.5, across=0.8).bounds_um == pytest.approx([5.0, 4.0, 4.0])


def test_a_nucleus_condenses_before_and_relaxes_after_division() -> None:
    def look(t: int) -> tuple[float, float]:
        form, glow = nucleus_form(TRACK, t, settings=SETTINGS)
        return form.volume_um3, glow

    rest, plate, newborn = look(15), look(19), look(10)
    assert plate[0] < 0.7 * rest[0]
    assert plate[1] > 1.5 * rest[1]
    assert newborn[0] < rest[0]
    form, _ = nucleus_form(TRACK, 19, settings=SETTINGS)
    assert min(form.half_axes_um) < 0.5 * max(form.half_axes_um), "the plate is flat"


def test_daughters_are_smaller_and_dimmer() -> None:
    deeper = dataclasses.replace(TRACK, depth=4)
    (big, bright), (small, dim) = (nucleus_form(t, 15, settings=SETTINGS) for t in (TRACK, deeper))
    assert small.volume_um3 / big.volume_um3 == pytest.approx(SETTINGS.shrink**3)
    assert dim / bright == pytest.approx(SETTINGS.fade)


def test_camera_has_the_mean_and_twice_the_variance_of_poisson() -> None:
    light = np.full((100, 100, 10), 20.0, np.float32)
    grey = read_out(light, np.random.default_rng(1), settings=SETTINGS).astype(float) - SETTINGS.offset
    assert grey.mean() == pytest.approx(20 * SETTINGS.gain, rel=0.01)
    assert grey.var() == pytest.approx(2 * 20 * SETTINGS.gain**2 + SETTINGS.read_noise**2, rel=0.05)


def test_bright_light_saturates_instead_of_wrapping() -> None:
    grey = read_out(np.full((2, 2, 2), 1e6, np.float32), np.random.default_rng(1), settings=SETTINGS)
    assert (grey == 65535).all()


@pytest.mark.parametrize("bleach", [-0.1, 1.1])
def test_more_light_than_there_is_cannot_be_lost(bleach: float) -> None:
    with pytest.raises(SimulationError, match=r"bleach is .* expected a number from 0 to 1\."):
        SimulationSettings(bleach=bleach)


def test_depth_dims_and_time_bleaches() -> None:
    chosen = SimulationSettings(frames=2, shape=(40, 64, 64), start_nuclei=12, radius_um=7, cycle_frames=60)
    clear = dataclasses.replace(chosen, attenuation_um=1e6, bleach=0.0)
    strong = dataclasses.replace(chosen, attenuation_um=30.0, bleach=0.5)
    a, b = list(simulate_frames(clear)), list(simulate_frames(strong))
    near, far = slice(20, None), slice(None, 20)

    def light(frame_image: np.ndarray, part: slice, labels: np.ndarray) -> float:
        return float(frame_image[part][labels[part] > 0].mean() - 100)

    ratio = [light(b[0].image, p, b[0].labels) / light(a[0].image, p, a[0].labels) for p in (near, far)]
    assert ratio[1] < 0.7 * ratio[0]
    assert light(b[1].image, near, b[1].labels) < 0.7 * light(b[0].image, near, b[0].labels)


def test_one_plane_makes_a_2d_movie() -> None:
    chosen = SimulationSettings(frames=3, shape=(1, 96, 96), radius_um=5, cycle_frames=4)
    for frame in simulate_frames(chosen):
        assert frame.image.shape == (1, 96, 96)
        assert len(frame.nodes) >= 4
        assert {n.z_um for n in frame.nodes} == {0.0}


def test_streams_of_chance_are_apart() -> None:
    draws = {SETTINGS.rng(d, 1).integers(2**60) for d in Draw}
    assert len(draws) == len(Draw)


@pytest.mark.parametrize(
    "bad",
    [
        {"frames": 0},
        {"start_nuclei": 0},
        {"seed": -1},
        {"shape": (0, 10, 10)},
        {"spacing_um": (1.0, 0.0, 1.0)},
        {"embryo_um": (1.0, math.inf, 1.0)},
        {"cycle_frames": 3.0},
        {"radius_um": math.nan},
        {"light_share": (0.5, 1.2)},
        {"frames": 2.5},
        {"seed": "one"},
        {"cavity_nuclei": 1},
        {"room": "flask"},
        {"photons": math.nan},
    ],
)
def test_bad_settings_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(SimulationError, match=f"{next(iter(bad))} is .*; expected"):
        dataclasses.replace(SETTINGS, **bad)
    assert issubclass(SimulationError, TlsegError)


def test_too_many_nuclei_for_the_egg_are_refused() -> None:
    with pytest.raises(SimulationError, match="cannot fit"):
        next(simulate_frames(SimulationSettings(start_nuclei=40, shape=(10, 32, 32), radius_um=8.0)))


def test_dense_boxes_must_lie_inside() -> None:
    chosen = DenseSettings((8, 8, 8), (3.0, 3.0, 3.0))
    for box in (Box((0, 0, 0), (9, 8, 8)), Box((-1, 0, 0), (8, 8, 8)), Box((2, 2, 2), (2, 4, 4))):
        with pytest.raises(SimulationError, match="outside"):
            simulate_large_frame(chosen, box)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"radius_voxels": (1.0, 3.0, 3.0)}, r"radius_voxels is \(1\.0.* a number from 2 to 200"),
        ({"shape": (8.5, 8, 8)}, r"shape is \(8\.5.* a whole number of at least 1"),
        ({"photons": -1.0}, r"photons is -1\.0; expected a number of at least 0"),
        ({"frames": 0}, "frames is 0"),
    ],
)
def test_tissue_that_cannot_be_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(SimulationError, match=said):
        DenseSettings(**given)


@pytest.mark.parametrize("frames", [0, "ten"])
def test_a_scene_refuses_what_its_settings_refuse(frames: Any) -> None:
    with pytest.raises(SimulationError, match=r"frames is .* expected a whole number"):
        scene_settings("blastocyst", frames=frames)


def test_package_is_light() -> None:
    code = (
        "import sys; from tlseg.simulate import SimulationSettings; "
        "assert not {'zarr', 'torch', 'dask', 'scipy'} & set(sys.modules), 'heavy imports'; "
        "assert SimulationSettings.__name__ == 'SimulationSettings'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_every_public_name_resolves() -> None:
    package = import_module("tlseg.simulate")

    for name in dir(package):
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="nothing_here"):
        _ = package.nothing_here
