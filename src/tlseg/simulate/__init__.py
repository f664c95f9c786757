"""Movies of growing embryos with exact truth: `tlseg.simulate(out)` writes one, `simulate_frames` streams one.

Everything loads on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tlseg.simulate.api import simulate_dense as simulate_dense
    from tlseg.simulate.dense import DenseSettings as DenseSettings
    from tlseg.simulate.dense import dense_frame as dense_frame
    from tlseg.simulate.dense import simulate_large_frame as simulate_large_frame
    from tlseg.simulate.movie import Frame as Frame
    from tlseg.simulate.movie import Node as Node
    from tlseg.simulate.movie import simulate_frames as simulate_frames
    from tlseg.simulate.scenes import scene_settings as scene_settings
    from tlseg.simulate.settings import SimulationError as SimulationError
    from tlseg.simulate.settings import SimulationSettings as SimulationSettings

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


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _PUBLIC:
            raise AttributeError(f"module 'tlseg.simulate' has no attribute {name!r}")
        return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__
