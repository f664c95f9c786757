"""One family of 3D encoder-decoder networks: NSN, NDN and the 3D U-Net baseline differ by four numbers.

Tokuoka et al. 2020 (npj Systems Biology and Applications 6:32), supplementary tables 6 and 7. With "same" padding of
`kernel // 2` everywhere; the table's `p = 1` for NDN must read 2, or its feature maps would shrink.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

from tlseg.errors import ModelError
from tlseg.rules import one_of, whole
from tlseg.wording import how_many

Activation = Literal["relu", "sigmoid"]
Output = Literal["sigmoid", "softmax"]

_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid}


@dataclass(frozen=True, slots=True)
class UNetConfig:
    """Shape of one network.

    `levels` counts resolutions (pooling happens `levels - 1` times), `kernel` is the odd side of every convolution and
    `base` the channels of the first one. `output` "sigmoid" means one output channel, "softmax" two.
    """

    levels: int
    kernel: int
    base: int
    activation: Activation = "relu"
    skip: bool = True
    output: Output = "sigmoid"

    def __post_init__(self) -> None:
        one_of(True, False).check("skip", self.skip)
        sides = (self.levels, self.base, self.kernel)
        if not all(whole(1).holds(n) for n in sides) or self.kernel % 2 == 0:
            raise ModelError(
                f"A network needs levels >= 1, base >= 1 and an odd kernel; got levels={self.levels!r}, "
                f"base={self.base!r}, kernel={self.kernel!r}."
            )
        if self.activation not in tuple(_ACTIVATIONS) or self.output not in ("sigmoid", "softmax"):
            raise ModelError(
                f"activation must be one of {sorted(_ACTIVATIONS)} and output sigmoid or softmax; got "
                f"{self.activation!r} and {self.output!r}."
            )

    @property
    def multiple(self) -> int:
        """Every side of an input window must be a multiple of this many voxels."""
        return int(2 ** (self.levels - 1))

    @property
    def outputs(self) -> int:
        """Output channels."""
        return 1 if self.output == "sigmoid" else 2

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `UNetConfig(**d)` is the inverse."""
        return asdict(self)


NSN = UNetConfig(levels=3, kernel=3, base=16)
"""Nuclear Segmentation Network (Tokuoka et al. 2020, table 6): 1,147,585 parameters."""

NDN = UNetConfig(levels=5, kernel=5, base=12)
"""Nuclear Detection Network (Tokuoka et al. 2020, table 7): 44,450,473 parameters."""

UNET3D = UNetConfig(levels=4, kernel=3, base=32)
"""3D U-Net (Cicek et al. 2016) as compared with in Tokuoka et al. 2020: 19,073,665 parameters."""


class UNet(nn.Module):
    """Encoder-decoder network for windows (batch, 1, z, y, x) of normalised intensities; returns logits.

    Parameters
    ----------
    config
        Levels, kernel, base width, activation, skip connections and output.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = [2 ** (i + 1) * config.base for i in range(config.levels)]
        self.encoder = nn.ModuleList()
        for i, width in enumerate(widths):
            entering = 1 if i == 0 else widths[i - 1]
            self.encoder.append(self._block(entering, width // 2, width))
        self.pool = nn.MaxPool3d(2)
        self.up = nn.ModuleList()
        self.decoder = nn.ModuleList()
        for i in reversed(range(config.levels - 1)):
            below = widths[i + 1]
            self.up.append(nn.ConvTranspose3d(below, below, 2, stride=2))
            self.decoder.append(self._block(below + (widths[i] if config.skip else 0), widths[i], widths[i]))
        self.head = nn.Conv3d(widths[0], config.outputs, 1)

    def _block(self, entering: int, middle: int, leaving: int) -> nn.Sequential:
        k, activation = self.config.kernel, _ACTIVATIONS[self.config.activation]
        layers: list[nn.Module] = []
        for a, b in ((entering, middle), (middle, leaving)):
            layers += [nn.Conv3d(a, b, k, padding=k // 2), nn.BatchNorm3d(b), activation()]
        return nn.Sequential(*layers)

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits (batch, outputs, z, y, x); every side must be a multiple of `config.multiple`."""
        if any(n % self.config.multiple for n in windows.shape[2:]):
            raise ModelError(
                f"A window of {tuple(windows.shape[2:])} voxels cannot be halved "
                f"{how_many(self.config.levels - 1, 'time')}; every side must be a multiple of {self.config.multiple}."
            )
        kept: list[Tensor] = []
        x = windows
        for i, block in enumerate(self.encoder):
            if i:
                x = self.pool(x)
            x = block(x)
            kept.append(x)
        for up, block, skipped in zip(self.up, self.decoder, reversed(kept[:-1]), strict=True):
            x = up(x)
            x = block(torch.cat([x, skipped], dim=1) if self.config.skip else x)
        logits: Tensor = self.head(x)
        return logits

    def probability(self, logits: Tensor) -> Tensor:
        """Probability of foreground (batch, z, y, x) in [0, 1] from logits of this network."""
        if self.config.output == "sigmoid":
            return torch.sigmoid(logits[:, 0])
        return torch.softmax(logits, dim=1)[:, 1]


def count_parameters(network: nn.Module) -> int:
    """Trainable parameters of a network (running statistics of batch norms not counted)."""
    return sum(p.numel() for p in network.parameters())


def fold_batch_norm(network: UNet) -> UNet:
    """Return a copy in which every batch norm is multiplied into the convolution before it; for inference only."""
    folded = UNet(network.config)
    folded.load_state_dict(network.state_dict())
    folded.eval()
    for blocks in (folded.encoder, folded.decoder):
        for i, block in enumerate(blocks):
            layers: list[Any] = list(block.children())  # convolution, batch norm and activation, twice
            first, second = fuse_conv_bn_eval(*layers[0:2]), fuse_conv_bn_eval(*layers[3:5])
            blocks[i] = nn.Sequential(first, layers[2], second, layers[5])
    return folded


def forward_flop(config: UNetConfig, shape: tuple[int, int, int]) -> float:
    """Floating point operations (a multiply-add counts two) of one pass over a window of `shape` voxels."""
    voxels = float(shape[0] * shape[1] * shape[2])
    cube: int = config.kernel**3
    widths = [config.base << (i + 1) for i in range(config.levels)]
    total: float = 2 * widths[0] * config.outputs * voxels
    for i, width in enumerate(widths):
        at = voxels / 8**i
        entering = 1 if i == 0 else widths[i - 1]
        total += 2 * cube * at * (entering * width // 2 + width // 2 * width)
        if i + 1 < config.levels:
            below = widths[i + 1]
            total += 2 * at * below * below
            total += 2 * cube * at * ((below + (width if config.skip else 0)) * width + width * width)
    return total
