"""Use published weights: the same numbers under other names give the same output.

The networks of Tokuoka et al. 2020 (github.com/funalab/QCANet, `Model_L2` to `Model_L4`) name their layers `c0`, `c1`, ...
down, `dc0`, `dc1`, ... up (every third a transposed convolution, the last one the output), and batch norms `bnc*` and
`bndc*`. Their number and shapes define the architecture, so nothing is asked and everything is checked.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tlseg.errors import ModelError
from tlseg.geometry import Shape, Spacing
from tlseg.models.bundle import Model, ModelSpec, NetworkSpec, Role, save_model
from tlseg.models.foreign import ForeignWeights, read_foreign
from tlseg.models.unet import UNet, UNetConfig
from tlseg.wording import how_many

SPACING_UM: Spacing = (0.8, 0.8, 0.8)
"""The published code interpolates z to the spacing of x and y."""

WINDOW: Shape = (96, 96, 96)
OVERLAP: Shape = (48, 48, 48)

NOT_EXPRESSED = (
    "Published inference leaves Chainer in training mode, so batch norms use the statistics of each window; here they use "
    "the running ones. Windows are blended instead of keeping their middles. Maps are resampled without bias and "
    "thresholded at 0.5 instead of > 0. Centres are maxima of NDN's map at least 5 um apart instead of its components."
)
"""How a run of an imported model differs from the published pipeline."""

_NORMS = ("weight", "bias", "running_mean", "running_var")
_LAYERS = ("weight", "bias")


def import_model(
    folder: str | Path, *, nsn: Path, ndn: Path | None = None, name: str = "qcanet", description: str = ""
) -> Model:
    """Write a model folder from published weights, in float32: its networks give the output of the originals.

    Parameters
    ----------
    nsn, ndn
        Files as `read_foreign` reads them. Without NDN the model labels connected regions only.

    Raises
    ------
    ModelError
        When a file holds other arrays than such a network, the two are mixed up, or `folder` already holds a model.
    """
    folder = Path(folder)
    if (folder / "model.json").exists():
        raise ModelError(f"{folder} already holds a model. Choose another folder, or delete it.")
    files: dict[Role, Path] = {"nsn": Path(nsn)}
    if ndn is not None:
        files["ndn"] = Path(ndn)
    networks: dict[Role, NetworkSpec] = {}
    weights: dict[Role, Mapping[str, torch.Tensor]] = {}
    sources = {}
    for role, path in files.items():
        foreign = read_foreign(path)
        architecture = architecture_of(foreign.arrays, where=str(path))
        networks[role] = NetworkSpec(architecture, f"{role}.safetensors", WINDOW, OVERLAP)
        weights[role] = state_of(foreign, architecture)
        sources[role] = {
            "file": path.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "library": foreign.origin,
        }
    if "ndn" in networks and networks["ndn"].architecture.levels < networks["nsn"].architecture.levels:
        raise ModelError(
            f"{files['nsn']} holds a network of {how_many(networks['nsn'].architecture.levels, 'level')} and "
            f"{files['ndn']} one of {networks['ndn'].architecture.levels}; NDN is the deeper one. Give NSN first, then NDN."
        )
    spec = ModelSpec(
        name=name,
        networks=networks,
        spacing_um=SPACING_UM,
        scaling="extremes",
        precision="float32",
        region_threshold=0.5,
        centre_threshold=0.5,
        centre_smoothing_um=2.4,
        centre_distance_um=5.0,
        relief="distance",
        description=description or "Imported weights of QCANet (Tokuoka et al. 2020).",
        provenance={"imported": sources, "differs": NOT_EXPRESSED},
    )
    return save_model(folder, spec, weights=weights, storage="float32")


def architecture_of(arrays: Mapping[str, NDArray[np.float32]], *, where: str) -> UNetConfig:
    """Shape of the network that these arrays are, every one of them.

    Raises
    ------
    ModelError
        When an array is missing or superfluous, or its shape does not fit the others.
    """
    downward = [name for name in arrays if re.fullmatch(r"c\d+\.weight", name)]
    first = arrays.get("c0.weight")
    if first is None or len(downward) % 2:
        raise ModelError(
            f"{where} holds {how_many(len(arrays), 'array')}, first {sorted(arrays)[:3]}; expected a QCANet network with "
            "layers c0, c1, ... in pairs."
        )
    if first.ndim != 5:
        raise ModelError(
            f"{where}: c0 is {first.shape}; a 3D convolution has five axes. Networks for 2D are not supported."
        )
    levels, base, kernel = len(downward) // 2, first.shape[0], first.shape[2]
    head = arrays.get(f"dc{3 * (levels - 1)}.weight")
    joined = arrays.get("dc1.weight")
    config = UNetConfig(
        levels=levels,
        kernel=kernel,
        base=base,
        skip=joined is None or joined.ndim != 5 or joined.shape[1] != base << levels,
        output="sigmoid" if head is not None and head.shape[0] == 1 else "softmax",
    )
    _check(arrays, config, where)
    return config


def state_of(foreign: ForeignWeights, config: UNetConfig) -> dict[str, torch.Tensor]:
    """Weights of a `UNet` with this configuration that gives the output of the original.

    A difference between the batch norms' epsilons goes into the running variance, which is exact: only their sum counts.
    """
    shift = foreign.epsilon - torch.nn.BatchNorm3d(1).eps
    state = UNet(config).state_dict()
    for ours, theirs in _names(config):
        array = foreign.arrays[theirs].astype(np.float64) + (shift if ours.endswith("running_var") else 0.0)
        state[ours] = torch.from_numpy(array.astype(np.float32))
    return dict(state)


def _names(config: UNetConfig) -> Iterable[tuple[str, str]]:
    """Pairs of our name and the published one, for every array of a network."""
    layers: list[tuple[str, str, tuple[str, ...]]] = []
    for level in range(config.levels):
        for i in range(2):
            at = 2 * level + i
            layers += [(f"encoder.{level}.{3 * i}", f"c{at}", _LAYERS)]
            layers += [(f"encoder.{level}.{3 * i + 1}", f"bnc{at}", _NORMS)]
    for step in range(config.levels - 1):
        layers += [(f"up.{step}", f"dc{3 * step}", _LAYERS)]
        for i in range(2):
            at = 3 * step + 1 + i
            layers += [(f"decoder.{step}.{3 * i}", f"dc{at}", _LAYERS)]
            layers += [(f"decoder.{step}.{3 * i + 1}", f"bndc{at}", _NORMS)]
    layers += [("head", f"dc{3 * (config.levels - 1)}", _LAYERS)]
    return [(f"{ours}.{what}", f"{theirs}.{what}") for ours, theirs, kinds in layers for what in kinds]


def _check(arrays: Mapping[str, NDArray[np.float32]], config: UNetConfig, where: str) -> None:
    """Check that every array is there, none is left over, all fit this architecture, and no variance is below 0."""
    shapes = {name: tuple(tensor.shape) for name, tensor in UNet(config).state_dict().items()}
    expected = {theirs: shapes[ours] for ours, theirs in _names(config)}
    described = f"a network of {how_many(config.levels, 'level')}, base {config.base} and kernel {config.kernel}"
    missing = sorted(expected.keys() - arrays.keys())
    if missing:
        raise ModelError(
            f"{where} looks like {described} but lacks {how_many(len(missing), 'array')}, first {missing[0]}."
        )
    extra = sorted(arrays.keys() - expected.keys())
    if extra:
        raise ModelError(
            f"{where} looks like {described} but holds {how_many(len(extra), 'extra array')}, first {extra[0]}."
        )
    for name, shape in expected.items():
        if arrays[name].shape != shape:
            raise ModelError(f"{where}: {name} is {arrays[name].shape}; {described} has {shape} there.")
        if name.endswith("running_var") and (arrays[name] < 0).any():
            raise ModelError(f"{where}: {name} holds a negative variance; the file is damaged.")
