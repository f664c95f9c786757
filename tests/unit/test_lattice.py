"""Windows over frames, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tlseg.errors import ModelError
from tlseg.geometry import Box, Shape
from tlseg.predict.lattice import Lattice


def test_a_frame_that_fits_is_one_window_without_ramps() -> None:
    lattice = Lattice((5, 30, 33), (16, 48, 48), (4, 8, 8), 4)
    assert len(lattice) == 1
    assert lattice.box(0) == Box((0, 0, 0), (8, 32, 36))
    assert all((w == 1).all() for w in lattice.weights(0))


def test_two_windows_meet_in_a_ramp() -> None:
    lattice = Lattice((4, 4, 20), (4, 4, 12), (0, 0, 4), 4)
    assert lattice.starts == ((0,), (0,), (0, 8))
    rising = np.array([0.125, 0.375, 0.625, 0.875], dtype=np.float32)
    first, second = lattice.weights(0)[2], lattice.weights(1)[2]
    assert np.array_equal(first, np.concatenate([np.ones(8), rising[::-1]]))
    assert np.array_equal(second, np.concatenate([rising, np.ones(8)]))


def test_windows_are_evened_out() -> None:
    # Three windows of 64 could cover 146; three of 64 - 8 do, too, with less past the end.
    lattice = Lattice((64, 64, 146), (64, 64, 64), (0, 0, 8), 8)
    assert lattice.shape == (64, 64, 56)
    assert lattice.starts[2] == (0, 48, 96)


@pytest.mark.parametrize(
    ("window", "overlap"),
    [((60, 64, 64), (0, 0, 0)), ((64, 64, 64), (33, 0, 0)), ((64, 64, 64), (-1, 0, 0)), ((0, 8, 8), (0, 0, 0))],
)
def test_windows_that_cannot_be_blended_are_refused(window: Shape, overlap: Shape) -> None:
    with pytest.raises(ModelError, match="multiples of 8 and hold two overlaps"):
        Lattice((100, 100, 100), window, overlap, 8)
