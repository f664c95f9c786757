"""Say how good a result is, given the truth.

Everything follows from one table per frame: how many voxels each pair of labels shares. The table is an exact sum over
blocks, so no metric depends on how a frame was cut.

The package is also the function: ``tlseg.evaluate(result, truth)`` is `tlseg.evaluate.api.evaluate`, while
``from tlseg.evaluate.overlap import count_overlap`` works as for any package.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tlseg.evaluate.api import evaluate as evaluate
    from tlseg.evaluate.report import Evaluation as Evaluation

__all__ = ["Evaluation", "evaluate"]


class _CallableModule(ModuleType):
    """A package that is called like the function it is named after; `api` is imported on first use."""

    def __call__(self, result: Any, truth: Any, **options: Any) -> Evaluation:
        from tlseg.evaluate.api import evaluate

        return evaluate(result, truth, **options)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tlseg.evaluate import api

    return getattr(api, name)


sys.modules[__name__].__class__ = _CallableModule
