"""Whole-movie instance segmentation of nuclei: one number is one nucleus, however the work was cut."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Public names and the module that holds each: loaded on first use, so that `import tlseg` brings neither torch nor dask.
_PUBLIC = {
    "evaluate": "tlseg.evaluate.api",
    "open_movie": "tlseg.store.movie",
    "open_result": "tlseg.store.result",
    "segment": "tlseg.run.segment",
    "simulate": "tlseg.simulate.api",
}

__all__ = ["__version__", *_PUBLIC]

# Importing a package binds its name in this one, once: two functions have the names of packages, and come after them.
for _package in ("evaluate", "simulate"):
    import_module(f"tlseg.{_package}")
    del globals()[_package]
del _package


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'tlseg' has no attribute {name!r}")
    function = globals()[name] = getattr(import_module(_PUBLIC[name]), name)
    return function


def __dir__() -> list[str]:
    return __all__
