"""Losses: sums of named terms, each a mean over the batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from tlseg.errors import TrainingError

Loss = Callable[[Tensor, Tensor], Tensor]


def bce(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy with soft targets; two channels are read as softmax logits of background and foreground."""
    return functional.binary_cross_entropy_with_logits(_foreground(logits), target)


def ce(logits: Tensor, target: Tensor) -> Tensor:
    """Softmax cross-entropy of two output channels, background and foreground, with soft targets."""
    return functional.cross_entropy(logits.float(), torch.stack([1 - target, target], dim=1))


def dice(logits: Tensor, target: Tensor) -> Tensor:
    """Soft Dice loss over the whole batch (Drozdzal et al. 2016: sums, not squares, below), smoothed by one voxel."""
    probability = torch.sigmoid(_foreground(logits))
    overlap = (probability * target).sum()
    return 1 - (2 * overlap + 1) / (probability.sum() + target.sum() + 1)


def mse(logits: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of the probability."""
    return functional.mse_loss(torch.sigmoid(_foreground(logits)), target)


def focal(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy weighted by the squared error, so that easy voxels count little.

    Focal loss (Lin et al. 2017) with gamma 2, for soft targets as in Li et al. 2020 ("quality focal loss").
    """
    z = _foreground(logits)
    each = functional.binary_cross_entropy_with_logits(z, target, reduction="none")
    return ((torch.sigmoid(z) - target).abs() ** 2 * each).mean()


TERMS: dict[str, Loss] = {"bce": bce, "ce": ce, "dice": dice, "focal": focal, "mse": mse}


def loss_of(name: str, *, outputs: int = 1) -> Loss:
    """Loss from a sum of term names, such as "bce+dice", for a network with this many output channels.

    Raises
    ------
    TrainingError
        For terms that do not exist, or that need another number of channels.
    """
    names = name.split("+")
    unknown = [term for term in names if term not in TERMS]
    if unknown:
        raise TrainingError(f"Unknown loss {unknown[0]!r} in {name!r}; use a sum of {', '.join(sorted(TERMS))}.")
    if "ce" in names and outputs != 2:
        raise TrainingError(
            "The loss ce is a softmax over two output channels, but this network has one. Use --output softmax, or bce."
        )
    terms = [TERMS[term] for term in names]

    def total(logits: Tensor, target: Tensor) -> Tensor:
        return torch.stack([term(logits, target) for term in terms]).sum()

    return total


def _foreground(logits: Tensor) -> Tensor:
    """Logit of foreground (batch, z, y, x) of one or two output channels."""
    z = logits.float()
    return z[:, 0] if z.shape[1] == 1 else z[:, 1] - z[:, 0]
