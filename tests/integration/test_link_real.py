"""Linking real nuclei: true labels of an embryo, moved rigidly, so that the truth of every link is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from tlseg.link import LinkSettings, link_objects
from tlseg.link.repair import find_repairs

SPACING_UM = np.array([1.75, 0.8, 0.8])


def true_labels(data: Path, time: int, *, embryo: int = 11) -> np.ndarray:
    path = data / "bbbc050" / "GroundTruth" / "train" / "GroundTruth_QCANet" / f"Emb{embryo:02d}_t{time:03d}.tif"
    return np.asarray(tifffile.imread(path))


def measured(labels: np.ndarray, t: int) -> pd.DataFrame:
    """Centroids and volumes of the nuclei of 100 voxels or more."""
    at = np.nonzero(labels)
    number = labels[at]
    size = np.bincount(number)
    kept = np.flatnonzero(size >= 100)
    centre = {
        f"{axis}_um": np.bincount(number, weights=where)[kept] / size[kept] * step
        for axis, where, step in zip("zyx", at, SPACING_UM, strict=True)
    }
    return pd.DataFrame(
        {"t": t, "label": kept}
        | centre
        | {"volume_um3": size[kept] * SPACING_UM.prod(), "volume_voxels": size[kept], "intensity_mean": 1.0}
    )


def truth_kept(objects: pd.DataFrame, frames: int) -> float:
    """Share of the links between equal labels of consecutive frames that were found."""
    empty = pd.DataFrame({"t": [], "label_a": [], "label_b": [], "voxels": []}, dtype=np.int64)
    edges = link_objects(objects, empty).edges
    right = edges[(edges["label_a"] == edges["label_b"]) & (edges["t_b"] == edges["t_a"] + 1)]
    return len(right) / (objects["label"].nunique() * (frames - 1))


@pytest.mark.parametrize("time", [301, 501])
def test_real_nuclei_turned_at_random(data: Path, time: int) -> None:
    from scipy.spatial.transform import Rotation

    still = measured(true_labels(data, time), 0)
    assert len(still) >= 8
    generator = np.random.default_rng(time)
    place = still[["z_um", "y_um", "x_um"]].to_numpy()
    frames = []
    for t in range(5):
        moved = Rotation.random(rng=generator).apply(place - place.mean(axis=0)) + generator.normal(50, 10, 3)
        moved += generator.normal(0, 0.5, moved.shape)
        volume = still["volume_um3"] * np.exp(0.05 * generator.normal(size=len(still)))
        frames.append(still.assign(t=t, z_um=moved[:, 0], y_um=moved[:, 1], x_um=moved[:, 2], volume_um3=volume))
    objects = pd.concat(frames, ignore_index=True).sample(frac=1, random_state=0)
    assert truth_kept(objects, 5) >= 0.95


def test_real_labels_shifted_by_voxels_link_by_overlap_alone(data: Path) -> None:
    labels = np.pad(true_labels(data, 501), 10)
    objects, overlaps = [measured(labels, 0)], []
    before = labels
    for t in range(1, 4):
        after = np.roll(labels, (t, -2 * t, 3 * t), axis=(0, 1, 2))
        objects.append(measured(after, t))
        both = (before > 0) & (after > 0)
        pairs, voxels = np.unique(np.stack([before[both], after[both]]), axis=1, return_counts=True)
        overlaps.append(pd.DataFrame({"t": t - 1, "label_a": pairs[0], "label_b": pairs[1], "voxels": voxels}))
        before = after
    table, shared = pd.concat(objects, ignore_index=True), pd.concat(overlaps, ignore_index=True)
    known = table[["t", "label"]]
    shared = shared.merge(known.rename(columns={"label": "label_a"}))
    shared = shared.merge(known.assign(t=known["t"] - 1).rename(columns={"label": "label_b"}))
    lineage = link_objects(table, shared, settings=LinkSettings(register=False))
    edges = lineage.edges
    assert lineage.tracks == table["label"].nunique()
    assert (edges["label_a"] == edges["label_b"]).all()
    assert set(edges["kind"]) == {"link"}


@pytest.mark.parametrize("embryo", [2, 11])
def test_true_labels_far_apart_in_time_are_not_repaired(data: Path, embryo: int) -> None:
    tables = [
        measured(true_labels(data, time, embryo=embryo), t)
        for t, time in enumerate((1, 51, 101, 151, 201, 251, 301, 351, 401, 451, 501))
    ]
    objects = pd.concat(tables, ignore_index=True)
    nothing = pd.DataFrame({name: np.zeros(0, np.int64) for name in ("t", "label_a", "label_b", "voxels")})
    assert len(objects) > 100
    assert find_repairs(objects, nothing) == []
