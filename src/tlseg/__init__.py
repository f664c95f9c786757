"""Whole-movie instance segmentation of nuclei: one number is one nucleus, however the work was cut."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tlseg.evaluate.api import evaluate as evaluate
    from tlseg.report.criteria_files import write_criteria as write_criteria
    from tlseg.report.export import export as export
    from tlseg.report.write import write_report as write_report
    from tlseg.run.linking.adopt import adopt_labels as adopt_labels
    from tlseg.run.linking.correct import correct_labels as correct_labels
    from tlseg.run.linking.labels import link_labels as link_labels
    from tlseg.run.linking.points import link_points as link_points
    from tlseg.run.measuring.channels import measure_channels as measure_channels
    from tlseg.run.planning import plan_run as plan_run
    from tlseg.run.segment import segment as segment
    from tlseg.run.watch.status import run_status as run_status
    from tlseg.simulate.api import simulate as simulate
    from tlseg.store.image.convert import convert as convert
    from tlseg.store.image.movie import open_movie as open_movie
    from tlseg.store.image.tiff import Layout as Layout
    from tlseg.store.labels.result import open_result as open_result

__version__ = "0.1.0"

# Public names and the module that holds each: loaded on first use, so that `import tlseg` brings neither torch nor dask.
_PUBLIC = {
    "Layout": "tlseg.store.image.tiff",
    "adopt_labels": "tlseg.run.linking.adopt",
    "convert": "tlseg.store.image.convert",
    "correct_labels": "tlseg.run.linking.correct",
    "evaluate": "tlseg.evaluate.api",
    "export": "tlseg.report.export",
    "link_labels": "tlseg.run.linking.labels",
    "link_points": "tlseg.run.linking.points",
    "measure_channels": "tlseg.run.measuring.channels",
    "open_movie": "tlseg.store.image.movie",
    "open_result": "tlseg.store.labels.result",
    "plan_run": "tlseg.run.planning",
    "run_status": "tlseg.run.watch.status",
    "segment": "tlseg.run.segment",
    "simulate": "tlseg.simulate.api",
    "write_criteria": "tlseg.report.criteria_files",
    "write_report": "tlseg.report.write",
}

__all__ = ["__version__", *_PUBLIC]

# Importing a package binds its name in this one, once: two functions have the names of packages, and come after them.
for _package in ("evaluate", "simulate"):
    import_module(f"tlseg.{_package}")
    del globals()[_package]
del _package


if not TYPE_CHECKING:  # where types are checked, the names above are all there are

    def __getattr__(name: str) -> Any:
        if name not in _PUBLIC:
            raise AttributeError(f"module 'tlseg' has no attribute {name!r}")
        function = globals()[name] = getattr(import_module(_PUBLIC[name]), name)
        return function


def __dir__() -> list[str]:
    return __all__
