"""Overlay pictures: stable colours, outlines inside labels, true proportions, a scale bar of the right length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tlseg.geometry import Spacing
from tlseg.report.overlay import (
    overlay_montage,
    overlay_movie,
    overlay_slice,
    save_png,
    time_stamp,
)
from tlseg.report.pixels import grey_window, label_colors

RNG = np.random.default_rng(0)


@pytest.fixture
def frame() -> tuple[np.ndarray, np.ndarray]:
    labels = np.zeros((10, 40, 50), np.uint32)
    labels[2:5, 5:15, 5:15] = 3
    labels[4:9, 20:35, 20:40] = 4_000_000_000
    image = RNG.poisson(20, labels.shape).astype(np.uint16) + (labels > 0).astype(np.uint16) * 200
    return image, labels


def test_a_color_belongs_to_the_number_alone() -> None:
    numbers = np.arange(1, 500)
    shuffled = RNG.permutation(numbers)
    assert np.array_equal(label_colors(numbers)[shuffled - 1], label_colors(shuffled))
    assert (label_colors(np.array([[0, 7]]))[0, 0] == 0).all()


def test_colors_are_bright_and_neighbours_differ() -> None:
    colors = label_colors(np.arange(1, 2000)).astype(float)
    assert (colors @ [0.3, 0.59, 0.11]).min() > 110
    assert np.abs(np.diff(colors, axis=0)).max(axis=1).min() > 40


def test_outlines_lie_inside_labels_and_nowhere_else(frame: tuple[np.ndarray, np.ndarray]) -> None:
    image, labels = frame[0][4], frame[1][4]
    plain, drawn = overlay_slice(image), overlay_slice(image, labels)
    changed = (plain != drawn).any(axis=2)
    edge = np.zeros_like(labels, bool)
    for number in (3, 4_000_000_000):
        ys, xs = np.nonzero(labels == number)
        ring = (labels == number) & ~np.isin(np.arange(40), np.arange(ys.min() + 1, ys.max()))[:, None]
        ring |= (labels == number) & ~np.isin(np.arange(50), np.arange(xs.min() + 1, xs.max()))[None]
        edge |= ring
        assert (drawn[ring] == label_colors(np.array(number))).all()
    assert np.array_equal(changed | edge, edge)


def test_touching_labels_are_parted_by_a_line() -> None:
    labels = np.full((8, 8), 1)
    labels[:, 4:] = 2
    drawn = overlay_slice(np.zeros((8, 8)), labels, window=(0.0, 1.0))
    assert (drawn[4, 3] == label_colors(np.array(1))).all()
    assert (drawn[4, 4] == label_colors(np.array(2))).all()
    assert (drawn[4, 1] == 0).all()


def test_window_clips_and_a_flat_image_does_not_divide_by_zero() -> None:
    image = np.array([[0.0, 5.0, 10.0, 20.0]])
    grey = overlay_slice(image, window=(5.0, 10.0))[0, :, 0]
    assert grey.tolist() == [0, 0, 255, 255]
    assert not overlay_slice(np.full((4, 4), 7, np.uint16)).any()
    low, high = grey_window(np.full((4, 4), 7))
    assert high > low


def projection(image: np.ndarray, labels: np.ndarray | None, spacing_um: Spacing = (1.0, 1.0, 1.0)) -> np.ndarray:
    return overlay_movie([(0, image, labels)], spacing_um=spacing_um)


def test_projections_keep_true_proportions(frame: tuple[np.ndarray, np.ndarray]) -> None:
    picture = projection(*frame, spacing_um=(4.0, 1.0, 0.5))
    assert (picture.shape, picture.dtype) == ((40 * 6 * 2, 50 * 6, 3), np.uint8)


def test_projection_shows_the_nucleus_nearest_to_the_last_plane() -> None:
    labels = np.zeros((4, 80, 80), np.uint32)
    labels[0, 24:32, 24:32] = 5
    labels[3, 28:36, 24:32] = 9
    picture = projection(np.zeros(labels.shape), labels)[::4, ::4]
    assert (picture[28, 26] == label_colors(np.array(9))).all()
    assert (picture[24, 26] == label_colors(np.array(5))).all()
    assert (picture[31, 26] == 0).all()


def test_scale_bar_has_the_length_it_names() -> None:
    picture = projection(np.zeros((1, 100, 400)), None, spacing_um=(1.0, 0.5, 0.5))
    bar = (picture == 235).all(axis=2)[:, 200:].sum(axis=1).max()
    assert bar == pytest.approx(50 / 0.5, abs=2), "200 um wide: a quarter is 50 um"


def test_large_frames_are_cut_to_a_screen() -> None:
    assert max(projection(np.zeros((2, 3000, 2500), np.uint8), None).shape) < 1600


def test_montage_and_movie_lay_out_panels(frame: tuple[np.ndarray, np.ndarray]) -> None:
    image, labels = frame
    montage = overlay_montage(image, labels, spacing_um=(1.0, 1.0, 1.0), planes=4)
    alone = overlay_montage(image, spacing_um=(1.0, 1.0, 1.0), planes=4)
    assert montage.shape[0] == 2 * alone.shape[0] + 6
    assert montage.shape[1] == 4 * 300 + 3 * 6
    movie = overlay_movie(
        ((t, image, labels) for t in range(5)), spacing_um=(1.0, 1.0, 1.0), interval_s=60.0, columns=3
    )
    assert movie.shape == (2 * 240 + 6, 3 * 300 + 2 * 6, 3)


@pytest.mark.parametrize(
    ("t", "interval", "text"),
    [
        (3, None, "t = 3"),
        (0, 600.0, "0 min"),
        (20, 600.0, "3 h 20 min"),
        (6, 600.0, "1 h 00 min"),
        (5, 10.0, "50 s"),
        (7, 10.0, "1 min 10 s"),
        (171, 0.7, "2 min 00 s"),
        (599, 0.1, "1 min 00 s"),
    ],
)
def test_time_stamps(t: int, interval: float | None, text: str) -> None:
    assert time_stamp(t, interval_s=interval) == text


def test_png_round_trip(tmp_path: Path) -> None:
    picture = RNG.integers(0, 256, (20, 30, 3)).astype(np.uint8)
    save_png(tmp_path / "p.png", picture)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "p.png")), picture)
