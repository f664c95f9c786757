"""The promise on real embryos: late stages, where nuclei crowd and touch, cut in every way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from tlseg.config import LabelSettings, Relief
from tlseg.geometry import Grid, Shape, Spacing
from tlseg.label.frame import label_frame
from tlseg.train.targets import centre_target

SPACING: Spacing = (1.75, 0.8, 0.8)
STACKS = ("Emb02_t501", "Emb05_t451")
BLOCKS: tuple[Shape, ...] = ((16, 16, 16), (16, 48, 32), (32, 32, 32), (32, 16, 80), (64, 32, 48), (48, 80, 16))


@dataclass(frozen=True)
class Maps:
    """What networks would say of a stack, from its truth: no edge is sharp, and some centres are missed."""

    regions: NDArray[np.uint8]
    centres: NDArray[np.uint8]
    nuclei: int


def as_bytes(probability: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.floor(np.clip(probability, 0, 1) * 255 + 0.5).astype(np.uint8)


@pytest.fixture(scope="module", params=STACKS)
def maps(data: Path, request: pytest.FixtureRequest) -> Maps:
    folder = data / "bbbc050" / "GroundTruth" / "train" / "GroundTruth_QCANet"
    labels = tifffile.imread(folder / f"{request.param}.tif")
    mask = ndimage.gaussian_filter((labels > 0).astype(np.float32), (0.6, 1.2, 1.2))
    centre = ndimage.gaussian_filter(centre_target(labels, SPACING), (0.4, 0.8, 0.8))
    numbers = np.unique(labels)[1:]
    centre[np.isin(labels, numbers[::7])] *= 0.3
    return Maps(as_bytes(mask), as_bytes(centre / centre.max()), len(numbers))


def labelled(
    maps: Maps, relief: Relief, block: Shape | None = None, order: list[int] | None = None, *, halo_um: float = 8.0
) -> NDArray[np.uint32]:
    # Halo and margin so small that some blocks must try again.
    settings = LabelSettings(
        relief=relief, centre_threshold=100, centre_distance_um=4.0, halo_um=halo_um, margin_um=3.0
    )
    return label_frame(maps.regions, maps.centres, spacing_um=SPACING, settings=settings, block=block, order=order)


@pytest.mark.parametrize("relief", ["distance", "centre"])
def test_real_embryos_have_the_same_labels_in_any_cut(maps: Maps, relief: Relief) -> None:
    one = labelled(maps, relief)
    assert one.max() > 0.7 * maps.nuclei > 10
    shape = maps.regions.shape
    for number, block in enumerate(BLOCKS):
        order = np.arange(len(Grid((shape[0], shape[1], shape[2]), block)))
        np.random.default_rng(number).shuffle(order)
        many = labelled(maps, relief, block, order.tolist())
        assert many.tobytes() == one.tobytes(), (block, int((many != one).sum()))
