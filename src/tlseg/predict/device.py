"""Where networks run: on a GPU or on the CPU. PyTorch is loaded only to look for a GPU."""

from __future__ import annotations

from typing import Literal

from tlseg.errors import PlanError

Device = Literal["auto", "cpu", "cuda"]
"""What can be asked for; "auto" is a GPU if there is one."""

TorchDevice = Literal["cpu", "cuda"]
"""Where networks run."""


def resolve_device(device: Device) -> TorchDevice:
    """Turn "auto" into the device available; requesting a GPU when there is none is an error, never a silent fallback."""
    if device == "cpu":
        return device
    import torch

    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise PlanError(
            "A GPU was requested (--device cuda), but PyTorch finds none on this machine. Use --device cpu."
        )
    return "cuda" if available else "cpu"


def gpu_count() -> int:
    """GPUs that PyTorch finds on this machine; none of them is touched."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
