"""Movies of growing embryos with exact truth: `tlseg.simulate(out)` writes one, `simulate_frames` streams one.

Everything loads on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PUBLIC = {
    "DenseSettings": "tlseg.simulate.dense",
    "Frame": "tlseg.simulate.movie",
    "Node": "tlseg.simulate.movie",
    "SimulationError": "tlseg.simulate.settings",
    "SimulationSettings": "tlseg.simulate.settings",
    "dense_frame": "tlseg.simulate.dense",
    "scene_settings": "tlseg.simulate.scenes",
    "simulate_dense": "tlseg.simulate.api",
    "simulate_frames": "tlseg.simulate.movie",
    "simulate_large_frame": "tlseg.simulate.dense",
}

__all__ = [*_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'tlseg.simulate' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__
