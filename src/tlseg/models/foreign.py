"""Which arrays does a file of foreign weights hold?

Files are read as data and never run: NumPy archives without pickles, HDF5, and PyTorch files only through the
`weights_only` unpickler. Whatever the file, the arrays come out under PyTorch's names, `layer.weight`, `layer.bias`,
`layer.running_mean` and `layer.running_var`.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from tlseg.errors import ModelError, TlsegError
from tlseg.installed import missing_extra

Origin = Literal["chainer", "pytorch"]

EPSILON: Mapping[Origin, float] = {"chainer": 2e-5, "pytorch": 1e-5}
"""What each library adds to a batch norm's variance unless told otherwise; it is not stored with the weights."""

_CHAINER_NAMES = {
    "W": "weight",
    "b": "bias",
    "gamma": "weight",
    "beta": "bias",
    "avg_mean": "running_mean",
    "avg_var": "running_var",
}
_COUNTERS = ("N", "num_batches_tracked")
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class ForeignWeights:
    """Float32 arrays by name, and the library that wrote them."""

    arrays: Mapping[str, NDArray[np.float32]]
    origin: Origin

    @property
    def epsilon(self) -> float:
        """What the network's batch norms add to the variance."""
        return EPSILON[self.origin]


def read_foreign(path: str | Path) -> ForeignWeights:
    """Read the weights of one network.

    Parameters
    ----------
    path
        A Chainer snapshot (`serializers.save_npz` or `save_hdf5`), or a PyTorch file with a state dict or a whole
        module. Its kind is told from its content: the published PyTorch code calls its files `.npz` as well.

    Raises
    ------
    ModelError
        When the file is not one of these, is damaged, or holds anything but finite numbers.
    """
    path = Path(path)
    members: list[str] = []
    try:
        with path.open("rb") as file:
            signature = file.read(len(_HDF5_SIGNATURE))
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                members = archive.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"{path} cannot be read ({reason}). Check the path; expected a file of weights.") from error
    origin: Origin = "chainer"
    if signature == _HDF5_SIGNATURE:
        kind, read = "HDF5", _read_hdf5
    elif members and all(name.endswith(".npy") for name in members):
        kind, read = "a NumPy archive", _read_npz
    elif any(name.endswith("data.pkl") for name in members) or signature.startswith(b"\x80"):
        kind, read, origin = "PyTorch weights", _read_torch, "pytorch"
    else:
        raise ModelError(
            f"{path} is neither a Chainer snapshot (.npz or HDF5) nor a PyTorch file. Give the weights as saved by the "
            "published code."
        )
    try:
        found = read(path)
    except (TlsegError, MemoryError):
        raise
    except Exception as error:  # damaged files, and other objects, make readers fail in any way they have
        raise ModelError(f"{path} cannot be read as {kind}: {_first_line(error)}") from error
    return _weights(found, origin, path)


def _weights(found: Mapping[str, Any], origin: Origin, path: Path) -> ForeignWeights:
    arrays: dict[str, NDArray[np.float32]] = {}
    for name, value in found.items():
        layer, _, what = name.replace("/", ".").removeprefix("module.").rpartition(".")
        if what in _COUNTERS:
            continue
        array = np.asarray(value)
        if array.dtype.kind != "f":
            raise ModelError(f"{path}: {name} holds {array.dtype}, but weights are floating-point numbers.")
        array = array.astype(np.float32)
        if not np.isfinite(array).all():
            raise ModelError(f"{path}: {name} holds NaN or infinite values; the training that wrote it had failed.")
        arrays[f"{layer}.{_CHAINER_NAMES.get(what, what)}"] = array
    return ForeignWeights(arrays, origin)


def _read_npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def _read_hdf5(path: Path) -> dict[str, Any]:
    try:
        import h5py
    except ImportError as error:
        raise missing_extra(f"Reading the HDF5 file {path}", "hdf5") from error
    found: dict[str, Any] = {}

    def keep(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            found[name] = node[()]

    with h5py.File(path, "r") as file:
        file.visititems(keep)
    return found


class _Shell:
    """Stands in for every class named in a pickled network: it takes the attributes and does nothing."""

    _parameters: Mapping[str, Any]
    _buffers: Mapping[str, Any]
    _modules: Mapping[str, Any]


_SHELLED = re.compile(r"torch\.nn\.modules\.\w+\.\w+|(\w+\.)*Model_L[234]")


def _read_torch(path: Path) -> dict[str, Any]:
    """Arrays of a state dict, or of a pickled module, of which no class is ever imported."""
    named = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    refused = [name for name in named if not _SHELLED.fullmatch(name)]
    if refused:
        raise ModelError(
            f"{path} names {refused[0]}, which is not part of a network; it was not opened, because that could run "
            "code. Save only the network's state_dict() and import that."
        )
    with torch.serialization.safe_globals([(_Shell, name) for name in named]):
        content = torch.load(path, map_location="cpu", weights_only=True)
    tensors = dict(_attributes(content)) if isinstance(content, _Shell) else content
    if not isinstance(tensors, Mapping) or not all(isinstance(v, torch.Tensor) for v in tensors.values()):
        raise ModelError(f"{path} holds {type(content).__name__}; expected a network or its state_dict().")
    # NumPy has no bfloat16.
    return {name: (t.detach().float() if t.is_floating_point() else t).numpy() for name, t in tensors.items()}


def _attributes(module: _Shell, prefix: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Names and tensors of a pickled module, as its `state_dict()` would give them."""
    for name, value in [*module._parameters.items(), *module._buffers.items()]:
        if value is not None:
            yield prefix + name, value
    for name, child in module._modules.items():
        yield from _attributes(child, f"{prefix}{name}.")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
