"""Networks: as published, and folded without changing their answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from tlseg.errors import ModelError
from tlseg.models.unet import NDN, NSN, UNET3D, UNet, UNetConfig, count_parameters, fold_batch_norm, forward_flop

TINY = UNetConfig(levels=3, kernel=3, base=2)


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (NSN, 1_147_585),
        (replace(NSN, output="softmax"), 1_147_618),
        (NDN, 44_450_473),
        (replace(NDN, output="softmax"), 44_450_498),
        (UNET3D, 19_073_665),
        (replace(NDN, base=4), 4_940_665),
        (replace(NDN, base=6), 11_114_557),
    ],
    ids=["NSN", "NSN softmax", "NDN", "NDN softmax", "3D U-Net", "NDN base 4", "NDN base 6"],
)
def test_networks_have_the_published_number_of_parameters(config: UNetConfig, parameters: int) -> None:
    with torch.device("meta"):
        assert count_parameters(UNet(config)) == parameters


def test_work_of_a_pass_is_that_of_its_convolutions() -> None:
    assert forward_flop(replace(NSN, output="softmax"), (128, 128, 128)) == pytest.approx(847e9, rel=0.005)
    assert forward_flop(replace(NDN, output="softmax"), (128, 128, 128)) == pytest.approx(2.65e12, rel=0.005)


@pytest.mark.parametrize(
    "config", [TINY, replace(TINY, skip=False), replace(TINY, levels=1, output="softmax"), NSN], ids=str
)
def test_work_of_a_pass_counts_every_multiplication(config: UNetConfig) -> None:
    total = 0.0

    def count(module: Any, inputs: Any, output: Any) -> None:
        nonlocal total
        a, b = module.weight.shape[:2]
        if isinstance(module, nn.ConvTranspose3d):
            total += 2 * a * b * output[0, 0].numel()
        else:
            total += 2 * a * b * module.weight[0, 0].numel() * output[0, 0].numel()

    with torch.device("meta"):
        network = UNet(config).eval()
        for module in network.modules():
            if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
                module.register_forward_hook(count)
        network(torch.zeros(1, 1, 8, 16, 12))
    assert forward_flop(config, (8, 16, 12)) == pytest.approx(total)


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_every_kind_of_network_answers_every_voxel(skip: bool, output: Any, activation: Any) -> None:
    network = UNet(replace(TINY, skip=skip, output=output, activation=activation)).eval()
    logits = network(torch.randn(2, 1, 8, 12, 4))
    assert logits.shape == (2, network.config.outputs, 8, 12, 4)
    probability = network.probability(logits)
    assert probability.shape == (2, 8, 12, 4)
    assert bool(((probability >= 0) & (probability <= 1)).all())


@pytest.mark.parametrize("shape", [(8, 8, 6), (7, 8, 8), (8, 10, 8)])
def test_windows_that_do_not_halve_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ModelError, match="multiple of 4"):
        UNet(TINY)(torch.zeros(1, 1, *shape))


@pytest.mark.parametrize(
    "wrong", [{"levels": 0}, {"kernel": 2}, {"kernel": 0}, {"base": 0}, {"activation": "tanh"}, {"output": "linear"}]
)
def test_networks_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        replace(TINY, **wrong)


@pytest.mark.parametrize(
    "config", [TINY, replace(TINY, skip=False, kernel=5), replace(TINY, activation="sigmoid")], ids=str
)
def test_folding_batch_norms_changes_nothing(config: UNetConfig) -> None:
    torch.manual_seed(0)
    network = UNet(config).train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -1, 1)
            # A large mean and an uneven spread, so that forgetting either shows.
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.3, 3)
    network.eval()
    windows = torch.randn(2, 1, 8, 8, 8)
    folded = fold_batch_norm(network)
    assert not any(isinstance(m, nn.BatchNorm3d) for m in folded.modules())
    assert any(isinstance(m, nn.BatchNorm3d) for m in network.modules())
    with torch.inference_mode():
        expected = network(windows)
        assert float(expected.std()) > 1e-3
        assert torch.allclose(folded(windows), expected, rtol=1e-4, atol=1e-5)


def test_a_configuration_survives_json() -> None:
    assert UNetConfig(**NDN.to_dict()) == NDN
