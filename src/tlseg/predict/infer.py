"""One window through one network, always with the same bits.

Float results change in the last bits with the batch size and with the number of threads inside an operation, so both are
fixed: on a CPU a window is computed alone by one thread (parallelism comes from many windows at once), on a GPU in batches
that are always full.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tlseg.errors import RunError
from tlseg.geometry import Shape
from tlseg.models.bundle import Flips, Model, ModelSpec, Role, load_model
from tlseg.models.unet import UNet, UNetConfig, fold_batch_norm
from tlseg.predict.device import TorchDevice, resolve_device
from tlseg.predict.kernels import use_exact_kernels

MIRRORED: tuple[tuple[int, ...], ...] = ((), (4,), (3,), (3, 4), (2,), (2, 4), (2, 3), (2, 3, 4))
"""Axes of (n, channel, z, y, x) that each copy of a window is mirrored along; the first four leave z as it is."""

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}

Run = Callable[[NDArray[np.float32], int], NDArray[np.uint8]]
"""Maps of some windows (n, z, y, x), computed as a batch of this many: what is missing is filled up."""


def in_batches(run: Run, windows: NDArray[np.float32], *, batch: int) -> tuple[NDArray[np.uint8], int]:
    """Run windows (n, z, y, x) in batches, halved each time the GPU runs out of memory.

    Returns the maps, and the batch size that fits. It affects the last bits, so all windows are computed with it, and a run
    records it.

    Raises
    ------
    RunError
        When not even one window fits.
    """
    while True:
        try:
            return np.concatenate([run(windows[i : i + batch], batch) for i in range(0, len(windows), batch)]), batch
        except torch.OutOfMemoryError as error:
            if batch == 1:
                raise RunError(
                    f"A window of {windows.shape[1:]} voxels does not fit into the memory of the GPU. Use a GPU with more "
                    "memory, a model with smaller windows, or --device cpu."
                ) from error
        # Only here: the error holds on to the tensors of the batch that failed.
        torch.cuda.empty_cache()
        batch //= 2


def one_by_one(run: Run, windows: NDArray[np.float32], *, threads: int) -> NDArray[np.uint8]:
    """Run windows (n, z, y, x) each alone and by one thread; `threads` of them at once, which does not change the result."""
    with _one_thread_each(), ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return np.concatenate(list(pool.map(lambda i: run(windows[i : i + 1], 1), range(len(windows)))))


class Predictor:
    """A network ready to run: batch norm folded, weights in the model's precision, channels last.

    Parameters
    ----------
    network
        Network in evaluation mode.
    precision
        "bfloat16", "float16" or "float32": number format of weights and forward pass, on any device.
    device
        "cpu" or "cuda".
    batch
        Windows per call, always filled up; fewer from the first time that memory does not suffice, which may change the last
        bit of a probability. None computes windows one by one, as a CPU must to give the same bits on any number of cores.
    flips
        Mirrored copies of each window whose probabilities are averaged, always in the same order.
    """

    def __init__(
        self,
        network: UNet,
        *,
        precision: str,
        device: TorchDevice,
        batch: int | None = None,
        flips: Flips = 1,
    ) -> None:
        if device == "cuda":
            use_exact_kernels()
        self.device = torch.device(device)
        self.dtype = _DTYPES[precision]
        self.batch = batch
        self.mirrored = MIRRORED[:flips]
        folded = fold_batch_norm(network).to(device=self.device, dtype=self.dtype)
        self.network = folded.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def __call__(self, windows: NDArray[np.float32], *, threads: int = 1) -> NDArray[np.uint8]:
        """Probability of foreground for normalised windows (n, z, y, x), as uint8: 255 is certain.

        Without a batch `threads` windows are computed at once; it does not change the result.
        """
        if self.batch is None:
            return one_by_one(self._run, windows, threads=threads)
        maps, self.batch = in_batches(self._run, windows, batch=self.batch)
        return maps

    def _run(self, part: NDArray[np.float32], batch: int) -> NDArray[np.uint8]:
        missing = batch - len(part)
        full = np.pad(part, ((0, missing), (0, 0), (0, 0), (0, 0))) if missing else part
        with torch.inference_mode():
            tensor = torch.from_numpy(full[:, None]).to(
                device=self.device, dtype=self.dtype, memory_format=torch.channels_last_3d
            )
            probability = torch.zeros(full.shape, device=self.device)
            for axes in self.mirrored:
                seen = tensor.flip(axes).contiguous(memory_format=torch.channels_last_3d) if axes else tensor
                answer = self.network.probability(self.network(seen).float())
                # What is seen has a channel axis, the answer has none.
                probability += answer.flip([axis - 1 for axis in axes])
            quantised = torch.floor(probability * (255.0 / len(self.mirrored)) + 0.5).to(torch.uint8)
        result: NDArray[np.uint8] = quantised[: len(part)].cpu().numpy()
        return result


def predictor_of(network: UNet, spec: ModelSpec, *, device: TorchDevice, flips: Flips = 1) -> Predictor:
    """Predictor as a model asks for it: on a GPU in its batches, on a CPU one by one."""
    batch = spec.batch if device == "cuda" else None
    return Predictor(network, precision=spec.precision, device=device, batch=batch, flips=flips)


@functools.lru_cache(maxsize=4)
def load_predictor(
    folder: str, digest: str, role: Role, device: TorchDevice, *, flips: Flips | None = None
) -> Predictor:
    """Predictor of a model's network, loaded once per process; a folder whose weights changed since is an error.

    `flips` overrides the model's own.
    """
    resolve_device(device)
    model: Model = load_model(folder)
    if model.digest != digest:
        raise RunError(f"The model in {folder} changed during the run.")
    return predictor_of(model.network(role), model.spec, device=device, flips=flips or model.spec.flips)


def window_bytes(shape: Shape, architecture: UNetConfig) -> int:
    """Rough memory of one window's forward pass on a CPU in 16 bits.

    The finest level holds the skipped channels, their concatenation and a convolution's input and output in oneDNN's
    own layout; coarser levels add a quarter of that each.
    """
    voxels = shape[0] * shape[1] * shape[2]
    return int(voxels * architecture.base * (2 + 6 + 2 * 6) * 2 * 1.4)


class _one_thread_each:
    """While anyone is inside, PyTorch uses one thread per operation; the last to leave restores what was.

    The setting belongs to the process, and a worker may run several tasks at once.
    """

    lock = threading.Lock()
    inside = 0
    before = 1

    def __enter__(self) -> None:
        here = type(self)
        with here.lock:
            if here.inside == 0:
                here.before = torch.get_num_threads()
            here.inside += 1
            torch.set_num_threads(1)

    def __exit__(self, *_: Any) -> None:
        here = type(self)
        with here.lock:
            here.inside -= 1
            if here.inside == 0:
                torch.set_num_threads(here.before)
