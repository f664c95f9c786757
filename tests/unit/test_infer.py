"""A window gives the same answer whatever else is computed with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from handmade import save_threshold_model
from tlseg.errors import PlanError, RunError
from tlseg.models.bundle import Flips, load_model
from tlseg.models.unet import UNet, UNetConfig
from tlseg.predict import infer
from tlseg.predict.device import resolve_device
from tlseg.predict.infer import Predictor, load_predictor, window_bytes

SMALL = UNetConfig(levels=3, kernel=3, base=4)


def network(config: UNetConfig = SMALL, seed: int = 0) -> UNet:
    """Random weights, with batch norms that have an effect."""
    torch.manual_seed(seed)
    made = UNet(config)
    made.train()
    with torch.no_grad():
        for _ in range(3):
            made(torch.randn(2, 1, 16, 16, 16) * 2 + 1)
        # Steep, so that a last bit that differs is seen in whole numbers.
        made.head.weight *= 40
    return made.eval()


def windows(n: int) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(0.3, 1, (n, 8, 16, 12)).astype(np.float32)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_a_window_has_the_same_bits_alone_and_in_company(precision: str, output: str) -> None:
    predictor = Predictor(
        network(UNetConfig(levels=3, kernel=3, base=4, output=output)),  # type: ignore[arg-type]
        precision=precision,
        device="cpu",
    )
    some = windows(5)
    together = predictor(some)
    assert together.shape == some.shape
    assert together.dtype == np.uint8
    assert together.std() > 10
    for i in range(5):
        assert predictor(some[i : i + 1]).tobytes() == together[i].tobytes()
    assert predictor(some[::-1].copy()).tobytes() == together[::-1].tobytes()


@pytest.mark.parametrize("threads", [2, 4])
def test_windows_at_once_do_not_change_any(threads: int) -> None:
    predictor = Predictor(network(), precision="float32", device="cpu")
    some = windows(6)
    assert predictor(some, threads=threads).tobytes() == predictor(some, threads=1).tobytes()


@pytest.mark.parametrize("machine", [1, 2])
def test_threads_of_the_machine_do_not_change_any(machine: int) -> None:
    predictor, some = Predictor(network(), precision="float32", device="cpu"), windows(2)
    expected = predictor(some)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(machine)
        assert predictor(some).tobytes() == expected.tobytes()
        assert torch.get_num_threads() == machine
    finally:
        torch.set_num_threads(before)


def test_the_answer_is_the_networks() -> None:
    made, some = network(), windows(2)
    with torch.inference_mode():
        expected = made.probability(made(torch.from_numpy(some[:, None]))).numpy() * 255
    found = Predictor(made, precision="float32", device="cpu")(some)
    assert np.abs(found - expected).max() <= 0.5 + 0.02


@pytest.mark.parametrize(("flips", "axes"), [(4, (2, 3)), (8, (1, 2, 3))])
def test_mirrored_windows_have_mirrored_maps(flips: Flips, axes: tuple[int, ...]) -> None:
    plain, mirrored = (Predictor(network(), precision="float32", device="cpu", flips=n) for n in (1, flips))
    some = windows(2)
    for axis in axes:
        other = np.flip(some, axis).copy()
        # Sums are taken in another order, so the last bit before rounding may differ.
        assert np.abs(np.flip(mirrored(other), axis).astype(int) - mirrored(some)).max() <= 1
        assert np.abs(np.flip(plain(other), axis).astype(int) - plain(some)).max() > 1


def test_flips_are_averaged() -> None:
    made, some = network(), windows(1)
    copies = [np.flip(some, axes) for axes in ((), (3,), (2,), (2, 3))]
    plain = Predictor(made, precision="float32", device="cpu")
    answers = [plain(copy.copy()).astype(float) for copy in copies]
    back = [np.flip(a, axes) for a, axes in zip(answers, ((), (3,), (2,), (2, 3)), strict=True)]
    found = Predictor(made, precision="float32", device="cpu", flips=4)(some)
    # Each answer was rounded once, the average once more.
    assert np.abs(found - np.mean(back, axis=0)).max() <= 1.0


class Crowded(torch.nn.Module):
    """A network that fits into memory with up to so many windows at once, and records the shapes it was given."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.seen: list[tuple[int, ...]] = []

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        self.seen.append(tuple(windows.shape))
        if len(windows) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return windows

    @staticmethod
    def probability(answer: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(answer[:, 0])


def in_full_batches(network: torch.nn.Module, *, batch: int) -> Predictor:
    """A predictor that behaves on a CPU as it would on a GPU."""
    predictor = Predictor(UNet(SMALL).eval(), precision="float32", device="cpu", batch=batch)
    predictor.network = network
    return predictor


@pytest.mark.parametrize(
    ("most", "tried"), [(8, [8]), (7, [8, 4, 4]), (2, [8, 4, 2, 2, 2]), (1, [8, 4, 2, 1, 1, 1, 1, 1])]
)
def test_a_network_that_runs_out_of_memory_is_given_fewer_windows(most: int, tried: list[int]) -> None:
    some, crowded = windows(5), Crowded(most)
    predictor = in_full_batches(crowded, batch=8)
    maps = predictor(some)
    assert [n for n, *_ in crowded.seen] == tried
    assert predictor.batch == tried[-1]
    assert maps.tobytes() == in_full_batches(Crowded(8), batch=8)(some).tobytes()
    predictor(some[:1])
    assert crowded.seen[-1] == (tried[-1], 1, *some.shape[1:]), "later batches are as small, and full"


def test_a_network_that_cannot_hold_one_window_is_an_error() -> None:
    crowded = Crowded(0)
    with pytest.raises(RunError, match="does not fit into the memory of the GPU"):
        in_full_batches(crowded, batch=4)(windows(3))
    assert [n for n, *_ in crowded.seen] == [4, 2, 1]


def test_asking_for_a_gpu_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == "cpu"
    assert resolve_device("cpu") == "cpu"
    with pytest.raises(PlanError, match="--device cpu"):
        resolve_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == "cuda"


def test_weights_that_change_under_a_run_are_an_error(tmp_path: Path) -> None:
    model = save_threshold_model(tmp_path)
    loaded = load_predictor(str(tmp_path), model.digest, "nsn", "cpu")
    assert load_predictor(str(tmp_path), model.digest, "nsn", "cpu") is loaded
    assert loaded.batch is None, "on a CPU windows are computed one by one"
    load_predictor.cache_clear()
    weights = tmp_path / "nsn.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    assert load_model(tmp_path).digest != model.digest
    with pytest.raises(RunError, match="changed during the run"):
        load_predictor(str(tmp_path), model.digest, "nsn", "cpu")


def test_memory_of_a_window_grows_with_voxels_and_width() -> None:
    assert window_bytes((64, 64, 64), SMALL) * 8 == pytest.approx(window_bytes((128, 128, 128), SMALL), rel=1e-6)
    assert window_bytes((64, 64, 64), UNetConfig(3, 3, 8)) == pytest.approx(
        2 * window_bytes((64, 64, 64), SMALL), rel=1e-6
    )


@pytest.mark.parametrize("version", ["now", "before 2.9"])
def test_kernels_are_always_the_same_and_float32_is_not_rounded(version: str) -> None:
    """In a process of its own: the settings belong to it. PyTorch warns where it is told in an old way."""
    script = """
import sys, types, torch
from tlseg.predict.kernels import use_exact_kernels
cudnn = torch.backends.cudnn
if sys.argv[1] != "now":
    matmul = types.SimpleNamespace()
    cudnn = torch.backends.cudnn = types.SimpleNamespace()
    torch.backends.cuda = types.SimpleNamespace(matmul=matmul)
use_exact_kernels()
assert cudnn.deterministic and not cudnn.benchmark
if sys.argv[1] != "now":
    assert (cudnn.allow_tf32, matmul.allow_tf32) == (False, False)
elif hasattr(cudnn, "conv"):
    assert cudnn.conv.fp32_precision == torch.backends.cuda.matmul.fp32_precision == "ieee"
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script, version], check=True)


def test_networks_on_a_gpu_are_run_and_trained_by_these_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    class Chosen(Exception):
        pass

    def choose() -> None:
        raise Chosen

    trainee = pytest.importorskip("tlseg.train.trainee", exc_type=ImportError)
    monkeypatch.setattr(infer, "use_exact_kernels", choose)
    monkeypatch.setattr(trainee, "use_exact_kernels", choose)
    with pytest.raises(Chosen):
        Predictor(network(), precision="float32", device="cuda")
    with pytest.raises(Chosen):
        trainee._accelerator("cuda")
