"""Whole-movie instance segmentation of nuclei: one number is one nucleus, however the work was cut."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Public names and the module that holds each: loaded on first use, so that `import tlseg` brings neither torch nor dask.
_PUBLIC = {
    "evaluate": "tlseg.evaluate",
    "open_movie": "tlseg.store.movie",
    "open_result": "tlseg.store.result",
    "segment": "tlseg.run.segment",
    "simulate": "tlseg.simulate",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'tlseg' has no attribute {name!r}")
    module = import_module(_PUBLIC[name])
    # The packages `evaluate` and `simulate` are also the functions of their names: they can be called.
    return module if module.__name__ == f"tlseg.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return __all__
