"""Embryos whose truth nobody had to draw, to mix into a training.

They follow from the seed alone: simulated once into a folder, found there again by the next start, and the same wherever
they are simulated.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tlseg.simulate.api import simulate
from tlseg.simulate.settings import SimulationSettings
from tlseg.store.fs.atomic import write_atomically
from tlseg.store.fs.place import place_of
from tlseg.store.image.stacks import PairPath
from tlseg.store.labels.pairs import find_pairs
from tlseg.store.locks.lock import lock_of

EMBRYOS = 24
STAGES = (2, 4, 8, 16, 32, 64)
"""Nuclei in the simulated stacks, in turn."""

_DEPTH_UM, _WIDTH_UM = 90.0, 102.0


def simulated_settings(seed: int) -> list[SimulationSettings]:
    """Settings of the simulated stacks of a training with this seed: one frame each, of different stages and optics."""
    return [_settings(seed, number) for number in range(EMBRYOS)]


def simulated_pairs(
    folder: Path, *, seed: int, report: Callable[[int, int], None] = lambda _done, _whole: None
) -> list[PairPath]:
    """Simulate the stacks into `folder`, or find them there.

    Parameters
    ----------
    folder
        Where they are, or will be, as OME-Zarr movies with `labels/truth`.
    seed
        Seed of the training.
    report
        Called with (stacks done, stacks).

    Raises
    ------
    RunError
        If another training simulates them now.
    """
    wanted = simulated_settings(seed)
    record = folder / "settings.json"
    described = json.loads(json.dumps([asdict(s) for s in wanted]))
    if _read(record) != described:
        with lock_of(place_of(folder)) as lock:
            record.unlink(missing_ok=True)
            for number, settings in enumerate(wanted):
                path = folder / f"sim{number:02d}.ome.zarr"
                simulate(path, settings, overwrite=path.exists())
                lock.beat()
                report(number + 1, len(wanted))
            # Last: a folder without it was interrupted and is made again.
            write_atomically(record, f"{json.dumps(described)}\n".encode())
    return find_pairs(folder)


def _settings(seed: int, number: int) -> SimulationSettings:
    """Spacing, light and depth differ as between microscopes: z ratios from 1.5 to 3.5."""
    rng = np.random.default_rng((seed, number, 97))
    xy = float(rng.uniform(0.6, 1.0))
    z = xy * float(rng.uniform(1.5, 3.5))
    return SimulationSettings(
        frames=1,
        start_nuclei=STAGES[number % len(STAGES)],
        shape=(round(_DEPTH_UM / z), round(_WIDTH_UM / xy), round(_WIDTH_UM / xy)),
        spacing_um=(z, xy, xy),
        seed=int(rng.integers(2**31)),
        photons=float(rng.uniform(40, 400)),
        attenuation_um=float(rng.uniform(60, 300)),
        background=float(rng.uniform(0.2, 4.0)),
    )


def _read(record: Path) -> Any:
    return json.loads(record.read_text()) if record.is_file() else None
