"""Losses against their formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tlseg.errors import TrainingError
from tlseg.train.losses import TERMS, loss_of


def example() -> tuple[torch.Tensor, torch.Tensor, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    z, t = rng.normal(0, 2, (2, 3, 4, 5)), rng.random((2, 3, 4, 5))
    return torch.from_numpy(z)[:, None].float(), torch.from_numpy(t).float(), 1 / (1 + np.exp(-z)), t


def test_terms_are_their_formulas() -> None:
    logits, target, p, t = example()
    entropy = -(t * np.log(p) + (1 - t) * np.log(1 - p))
    expected = {
        "bce": entropy.mean(),
        "dice": 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1),
        "mse": ((p - t) ** 2).mean(),
        "focal": (np.abs(p - t) ** 2 * entropy).mean(),
    }
    assert {*expected, "ce"} == set(TERMS)
    for name, value in expected.items():
        assert float(loss_of(name)(logits, target)) == pytest.approx(value, rel=1e-5), name
    assert float(loss_of("bce+dice")(logits, target)) == pytest.approx(expected["bce"] + expected["dice"], rel=1e-5)


def test_by_hand() -> None:
    zero, one = torch.zeros(1, 1, 1, 1, 2), torch.ones(1, 1, 1, 2)
    assert float(loss_of("bce")(zero, one)) == pytest.approx(np.log(2))
    assert float(loss_of("mse")(zero, one)) == pytest.approx(0.25)
    assert float(loss_of("focal")(zero, one)) == pytest.approx(0.25 * np.log(2))
    assert float(loss_of("dice")(zero, one)) == pytest.approx(1 - (2 * 1 + 1) / (1 + 2 + 1))


def test_softmax_cross_entropy_is_its_formula() -> None:
    logits, target, p, t = example()
    two = torch.cat([torch.zeros_like(logits), logits], dim=1)
    expected = -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean()
    assert float(loss_of("ce", outputs=2)(two, target)) == pytest.approx(expected, rel=1e-5)
    assert float(loss_of("ce+dice", outputs=2)(two, target)) == pytest.approx(
        expected + float(loss_of("dice")(logits, target)), rel=1e-5
    )


def test_softmax_cross_entropy_needs_two_channels() -> None:
    with pytest.raises(TrainingError, match="--output softmax"):
        loss_of("dice+ce")


@pytest.mark.parametrize("name", sorted({*TERMS} - {"ce"}))
def test_two_channels_are_softmax(name: str) -> None:
    logits, target, _, _ = example()
    background = torch.randn(logits.shape)
    two = torch.cat([background, background + logits], dim=1)
    assert float(loss_of(name)(two, target)) == pytest.approx(float(loss_of(name)(logits, target)), rel=1e-5)


@pytest.mark.parametrize("name", sorted({*TERMS} - {"ce"}))
def test_a_better_answer_costs_less(name: str) -> None:
    target = (torch.rand(1, 4, 4, 4, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    costs = [float(loss_of(name)((target[:, None] - 0.5) * sure, target)) for sure in (-4, -1, 0, 1, 4, 40)]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] == pytest.approx(0, abs=1e-6)


def test_unknown_losses_are_named() -> None:
    with pytest.raises(TrainingError, match="Unknown loss 'hinge' in 'bce\\+hinge'; use a sum of bce, ce, dice"):
        loss_of("bce+hinge")
