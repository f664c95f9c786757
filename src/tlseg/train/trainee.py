"""A network in training: weights, their moving average, the optimizer, and the step it has reached.

Saved and loaded whole, it continues bit for bit as if nothing had happened. Devices, several processes and the exchange of
gradients are accelerate's business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, GradientAccumulationPlugin
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tlseg.errors import RunError, TrainingError, one_line
from tlseg.models.unet import UNet
from tlseg.predict.device import TorchDevice
from tlseg.predict.kernels import use_exact_kernels
from tlseg.store.fs.atomic import replacing
from tlseg.train.losses import Loss, loss_of
from tlseg.train.processes import join
from tlseg.train.samples import Pair, batch
from tlseg.train.settings import TrainSettings, difference, learning_rate

FORMAT = 3
_SAME = {"start": "from other weights", "data": "on other data", "processes": "on another number of processes"}

_SAVED = {"settings", *_SAME, "network", "averaged", "optimizer", "step", "score", "skipped", "in_a_row"}


@dataclass(slots=True)
class Trainee:
    """One network in training; `score` is the best so far, `in_a_row` counts the steps skipped just now."""

    settings: TrainSettings
    accelerator: Accelerator
    network: UNet
    model: torch.nn.Module
    averaged: AveragedModel
    optimizer: Any
    loss: Loss
    described: Mapping[str, Any]
    step: int = 0
    score: float | None = None
    skipped: int = 0
    in_a_row: int = 0
    rate: float = 0.0

    @property
    def ended(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self.settings.steps

    def learn(self, pairs: Sequence[Pair]) -> float:
        """Do one step and return its loss; a step whose gradient is not finite changes nothing but the count."""
        self.rate = learning_rate(self.step, self.settings)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        device = self.accelerator.device
        images, targets = batch(
            pairs,
            self.settings.samples,
            seed=self.settings.seed,
            step=self.step,
            size=self.settings.batch,
            share=self.accelerator.process_index,
            shares=self.accelerator.num_processes,
        )
        buffers = [b.clone() for b in self.network.buffers()]
        self.model.train()
        with torch.autocast(device.type, torch.bfloat16, enabled=self.settings.precision == "bfloat16"):
            logits = self.model(images.to(device, memory_format=torch.channels_last_3d))
        loss = self.loss(logits, targets.to(device))
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        length = self.accelerator.clip_grad_norm_(self.network.parameters(), self.settings.clip)
        if length is not None and bool(torch.isfinite(length)):
            self.optimizer.step()
            self.averaged.update_parameters(self.network)
            self.in_a_row = 0
        else:
            _put_back(self.network, buffers)
            self.skipped, self.in_a_row = self.skipped + 1, self.in_a_row + 1
        self.step += 1
        return float(loss.detach())

    @property
    def average(self) -> UNet:
        """The network with its averaged weights, ready to be judged."""
        self.averaged.eval()
        return cast(UNet, self.averaged.module)

    def facts(self) -> dict[str, Any]:
        """What a reader of a checkpoint needs to know."""
        return {
            "format": FORMAT,
            "architecture": self.settings.architecture.to_dict(),
            "target": self.settings.target,
            "spacing_um": self.settings.samples.spacing_um,
            "scaling": self.settings.samples.scaling,
            "step": self.step,
            "score": self.score,
        }

    def save(self, path: Path) -> None:
        """Write everything needed to continue."""
        learned = {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        write_checkpoint(
            path, {**self.facts(), **self.described, **learned, "skipped": self.skipped, "in_a_row": self.in_a_row}
        )

    def save_average(self, path: Path) -> None:
        """Write the averaged weights alone."""
        write_checkpoint(path, {**self.facts(), "network": self.average.state_dict()})

    def resume(self, path: Path) -> None:
        """Continue from what `save` wrote.

        Raises
        ------
        TrainingError
            When it cannot be read or is damaged, or was another training: other settings, data or weights to start from.
        """
        elsewhere = f"Choose another --out, or delete {path.parent}."
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
        except MemoryError:
            raise
        except OSError as error:
            raise TrainingError(
                f"{path} cannot be read ({one_line(error)}). Check the disk, and start again."
            ) from error
        except Exception as error:  # other bytes make the reader fail in any way it has
            raise TrainingError(_damaged(path)) from error
        if not isinstance(saved, Mapping) or saved.get("format") != FORMAT:
            raise TrainingError(f"{path} was made by another version of tlseg and cannot be resumed. {elsewhere}")
        if not saved.keys() >= _SAVED:
            raise TrainingError(_damaged(path))
        changed = difference(saved["settings"], self.described["settings"])
        if changed:
            raise TrainingError(f"{path.parent} holds a training with other settings: {changed}. {elsewhere}")
        for key, what in _SAME.items():
            if saved[key] != self.described[key]:
                raise TrainingError(f"{path.parent} holds a training {what}. {elsewhere}")
        self.network.load_state_dict(saved["network"])
        self.averaged.load_state_dict(saved["averaged"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.step, self.score = saved["step"], saved["score"]
        self.skipped, self.in_a_row = saved["skipped"], saved["in_a_row"]


def new_trainee(
    settings: TrainSettings, *, data: str, start: Mapping[str, Tensor] | None, device: TorchDevice
) -> Trainee:
    """Network with random weights from the seed, or with `start`, at step 0; `data` is the data's fingerprint."""
    join(device)
    accelerator = _accelerator(device)
    torch.manual_seed(settings.seed)
    network = UNet(settings.architecture)
    if start is not None:
        network.load_state_dict(start)
    described = {
        "settings": settings.to_dict(),
        "data": data,
        "start": _digest(network),
        "processes": accelerator.num_processes,
    }
    network = network.to(accelerator.device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    averaged = AveragedModel(network, multi_avg_fn=_averaging(settings.average), use_buffers=True)
    model, optimizer = accelerator.prepare(network, _optimizer(network, settings))
    loss = loss_of(settings.loss, outputs=settings.architecture.outputs)
    return Trainee(settings, accelerator, network, model, averaged, optimizer, loss, described)


def _accelerator(device: TorchDevice) -> Accelerator:
    """Devices and processes as they were launched, and nothing else: the rest is decided by the settings.

    `accelerate launch` hands a user's number format, accumulation and compiler on through the environment.
    """
    if device == "cuda":
        use_exact_kernels()
    accelerator = Accelerator(
        cpu=device == "cpu",
        mixed_precision="no",
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        dynamo_backend="no",
    )
    kind = accelerator.distributed_type
    if kind not in (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU):
        raise RunError(
            f"accelerate was told to train by {kind.value}; expected data parallelism. Run `accelerate config` again, or "
            "launch with torchrun."
        )
    return accelerator


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write beside and rename, so that a kill or a full disk leaves the checkpoint before."""
    try:
        with replacing(path, beside=path.with_suffix(".part")) as beside:
            torch.save(dict(state), beside)
    except (OSError, RuntimeError) as error:  # torch has no class of its own for a disk that is full
        raise RunError(
            f"{path} cannot be written ({one_line(error)}). Free space, then run the same command again to continue "
            "from the last checkpoint."
        ) from error


def _damaged(path: Path) -> str:
    return (
        f"{path} is damaged, so the training cannot continue. Delete it to start over, or start from best.pt (--init) into "
        "another --out."
    )


def _optimizer(network: UNet, settings: TrainSettings) -> torch.optim.Optimizer:
    match settings.optimizer:
        case "sgd":
            return torch.optim.SGD(network.parameters(), lr=settings.rate, momentum=settings.momentum)
        case "adam":
            return torch.optim.Adam(network.parameters(), lr=settings.rate)
        case "adamw":
            return torch.optim.AdamW(network.parameters(), lr=settings.rate, weight_decay=settings.weight_decay)


def _put_back(network: UNet, buffers: Sequence[Tensor]) -> None:
    """Restore running statistics: a pass with non-finite output may have corrupted them."""
    with torch.no_grad():
        for now, before in zip(network.buffers(), buffers, strict=True):
            now.copy_(before)


def _digest(network: UNet) -> str:
    """Digest of the weights a training starts from."""
    digest = hashlib.blake2b(digest_size=16)
    for name, value in network.state_dict().items():
        digest.update(name.encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _averaging(most: float) -> Callable[[Any, Any, Any], None]:
    """A moving average that forgets by `most` each step, and more while it is young.

    Else the weights a training began with would be a fifth of the average after 300 steps of 0.995. The share kept grows as
    in TensorFlow's ExponentialMovingAverage.
    """

    def update(averages: Any, weights: Any, seen: Any) -> None:
        n = int(seen)
        get_ema_multi_avg_fn(min(most, (1 + n) / (10 + n)))(averages, weights, seen)  # type: ignore[no-untyped-call]

    return update
