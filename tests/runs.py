"""Whole runs on tiny movies, and what of two results must be equal."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from handmade import moving_balls, save_threshold_model, write_movie
from tlseg.config import Method
from tlseg.label.frame import label_frame
from tlseg.models.bundle import Model, load_model
from tlseg.predict.infer import load_predictor
from tlseg.predict.maps import predict_frame
from tlseg.run.planning import PlannedRun, prepare
from tlseg.run.request import Request
from tlseg.run.segment import Summary, segment
from tlseg.run.tasks.compute import Compute

SHAPE = (24, 48, 48)
SPACING_UM = (1.6, 0.8, 0.8)
BLOCK = (16, 32, 48)


def small_movie(frames: int = 3) -> np.ndarray:
    """A movie (t, z, y, x) uint16 of crowded balls, and a dim block at the edge that gets no seed."""
    movie = moving_balls(frames, SHAPE, count=10)
    movie[:, 0:8, 2:12, 13:25] = np.maximum(movie[:, 0:8, 2:12, 13:25], 430)
    return movie


def inputs(folder: Path, frames: int = 3) -> tuple[Path, Path]:
    """Write the small movie and a model whose windows do not hold a frame; returns both paths."""
    save_threshold_model(folder / "model", window=(16, 32, 32))
    return write_movie(folder / "movie.ome.zarr", small_movie(frames)), folder / "model"


def run(movie: Path, model: Path, **settings: Any) -> Summary:
    """Segment on the CPU, in this process unless told otherwise."""
    return segment(movie, model=model, **{"block": BLOCK, "device": "cpu", **settings})


def planned(movie: Path | str, **settings: Any) -> PlannedRun:
    """Plan on this machine, with arguments of `segment`."""
    place = {field.name: settings.pop(field.name) for field in fields(Compute) if field.name in settings}
    return prepare(Request(movie=movie, **settings), Compute(**place))


def labels_of(root: Path, name: str = "nuclei", level: int = 0) -> np.ndarray:
    """Labels (t, z, y, x) of a result."""
    return np.asarray(zarr.open_array(root / "labels" / name / str(level), mode="r")[:])


def tree(folder: Path) -> dict[str, str]:
    """Every file below a folder with the digest of its bytes, and every folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
    }


def essence(root: Path, name: str = "nuclei") -> dict[str, str]:
    """Files of a result that two runs must share to the byte: everything but records, which hold times and machines."""
    parts = (f"labels/{name}/", f"tables/{name}/", "tracks.geff/")
    told = (f"labels/{name}/zarr.json",)
    return {path: digest for path, digest in tree(root).items() if path.startswith(parts) and path not in told}


def reference(image: np.ndarray, model: Model | Path, method: Method = "qcanet") -> np.ndarray:
    """Labels of one frame (z, y, x) worked out in memory, without blocks, stores or tasks."""
    model = model if isinstance(model, Model) else load_model(model)
    maps = {}
    for role in ("nsn", "ndn"):
        network = load_predictor(str(model.folder), model.digest, role, "cpu")
        maps[role] = predict_frame(image, SPACING_UM, spec=model.spec, role=role, network=network)
    settings = model.spec.label_settings(method)
    return label_frame(maps["nsn"], maps["ndn"], spacing_um=SPACING_UM, settings=settings)


def same_up_to_numbers(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether a bijection of labels that keeps 0 turns `a` into `b`."""
    pairs = np.unique(np.stack([a.ravel(), b.ravel()]).astype(np.int64), axis=1)
    one_to_one = all(len(np.unique(side)) == pairs.shape[1] for side in pairs)
    return a.shape == b.shape and one_to_one and not (pairs[0].astype(bool) ^ pairs[1].astype(bool)).any()
