"""What do the networks cost on one stack, and what did the published lattice cost?

    python benchmarks/cost.py [--rounds N]

Both sides run the same networks (NSN and the full NDN of Tokuoka et al. 2020, random weights: cost does not depend on
them) on one 51 x 120 x 122 stack of 1.75 x 0.8 x 0.8 um.

published: isotropic 0.8 um, windows of side 96 with stride 48 (27 of them, see published.py), float32, one after the
           other, all cores in each window.
ours:      the lattice of tlseg, bfloat16, channels last, batch norms folded, a window per core.
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from machine import machine, table
from published import SIDE, isotropic_shape, window_starts

from tlseg.models.bundle import ModelSpec, NetworkSpec, load_model
from tlseg.models.unet import NDN, NSN, UNet, UNetConfig, forward_flop
from tlseg.predict.infer import Predictor
from tlseg.predict.lattice import Lattice
from tlseg.predict.maps import lattice_for, predict_frame

SHAPE = (51, 120, 122)
SPACING = (1.75, 0.8, 0.8)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=4, help="stacks timed through our lattice")
    rounds = parser.parse_args().rounds
    bundled = load_model().spec
    published_nets = {"nsn": NSN, "ndn": NDN}
    spec = ModelSpec(
        name="published networks",
        networks={
            role: NetworkSpec(net, "", bundled.networks[role].window, bundled.networks[role].overlap)
            for role, net in published_nets.items()
        },
        spacing_um=bundled.spacing_um,
    )
    print(machine(), "\n")
    rows = []
    for role, net in [*published_nets.items(), ("ndn", bundled.networks["ndn"].architecture)]:
        lattice = lattice_for(spec, role, shape=SHAPE, spacing_um=SPACING)
        ours, once = lattice_flop(net, lattice), forward_flop(net, lattice.frame)
        name = f"{role.upper()} (base {net.base})"
        rows.append(
            [
                name,
                str(len(lattice)),
                f"{lattice.shape}",
                f"{ours / 1e12:.3f}",
                f"{once / 1e12:.3f}",
                f"{ours / once:.2f}",
            ]
        )
    print("Arithmetic on one stack, TFLOP. 'Once' is a single pass over the stack itself, without any padding.\n")
    print(table(["network", "windows", "window", "ours", "once", "ratio"], rows), "\n")

    torch.manual_seed(0)
    networks = {role: UNet(net).eval() for role, net in published_nets.items()}
    windows = published_windows()
    stacks = np.random.default_rng(0).integers(90, 1000, (rounds, *SHAPE)).astype(np.uint16)
    slow = time_published(networks, windows)
    fast = time_ours(networks, stacks, spec) / rounds
    flop = {
        "published": sum(forward_flop(n, (SIDE,) * 3) for n in published_nets.values()) * len(windows),
        "ours": sum(
            lattice_flop(n, lattice_for(spec, r, shape=SHAPE, spacing_um=SPACING)) for r, n in published_nets.items()
        ),
    }
    print(f"Time for one stack, {os.cpu_count()} cores, same networks (NSN and NDN base 12).\n")
    rows = [
        ["published", str(len(windows)), f"{flop['published'] / 1e12:.1f}", f"{slow:.1f}", "1"],
        ["ours", "1 a network", f"{flop['ours'] / 1e12:.1f}", f"{fast:.2f}", f"{slow / fast:.0f}"],
    ]
    print(table(["lattice", "windows", "TFLOP", "s a stack", "times faster"], rows))


def lattice_flop(net: UNetConfig, lattice: Lattice) -> float:
    """Arithmetic of all windows of a lattice."""
    return len(lattice) * forward_flop(net, lattice.shape)


def published_windows() -> list[np.ndarray]:
    """Windows of the published code over the isotropic stack."""
    return [np.zeros((SIDE,) * 3, np.float32) for _ in window_starts(isotropic_shape(SHAPE))]


def time_published(networks: dict[str, UNet], windows: list[np.ndarray]) -> float:
    """Seconds for all windows through both networks."""
    began = time.monotonic()
    with torch.inference_mode():
        for window in windows:
            for network in networks.values():
                network.probability(network(torch.from_numpy(window)[None, None]))
    return time.monotonic() - began


def time_ours(networks: dict[str, UNet], stacks: np.ndarray, spec: ModelSpec) -> float:
    """Seconds for all stacks through both networks, resampling and blending included, a window per core."""
    predictors = {role: Predictor(network, precision="bfloat16", device="cpu") for role, network in networks.items()}
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    jobs = [(stack, role) for stack in stacks for role in predictors]

    def one(job: tuple[np.ndarray, str]) -> None:
        stack, role = job
        predict_frame(stack, SPACING, spec=spec, role=role, network=predictors[role])

    one(jobs[0])
    began = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(one, jobs))
    elapsed = time.monotonic() - began
    torch.set_num_threads(before)
    return elapsed


if __name__ == "__main__":
    main()
