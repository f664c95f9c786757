"""Scale grey values so that networks see every frame alike.

What is dark and what is bright belongs to the frame (`tlseg.predict.brightness`), so a voxel is scaled the same in whatever
block it is read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlseg.config import Scaling

QUANTILES: Mapping[Scaling, tuple[float, float]] = {
    "quantiles": (0.5, 0.999),
    "asinh": (0.5, 0.999),
    "extremes": (0.0, 1.0),
}
"""Shares of a frame's voxels below the grey values that become 0 and 1."""

KNEE = 5.0
"""Inverse of the intensity at which the "asinh" scaling turns from linear to logarithmic."""


@dataclass(frozen=True, slots=True)
class FrameStatistics:
    """Grey values that become 0 (`low`) and 1 (`high`): a frame's median and 99.9th percentile, or its extremes.

    Where padding or saturation hides these, what they would be without (`tlseg.predict.brightness`).

    The mapping is linear, except for "asinh": there intensities far above `high` grow as their logarithm (ten
    times `high` is 2), and dim ones, near `low`, are spread about twice as wide as on the line.

    `saturated` is the share of voxels with the greatest value if there are so many that `high` is extrapolated, else 0.
    In a frame with padding, values below `imaged` belong to it and count as that, the darkest of what was imaged.
    """

    low: float
    high: float
    scaling: Scaling = "quantiles"
    saturated: float = 0.0
    imaged: float = -math.inf

    def normalise(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Return intensities scaled so that `low` is 0 and `high` is 1; bright ones are not clipped."""
        steepness = KNEE if self.scaling == "asinh" else 1.0
        scale = np.float32(steepness / (self.high - self.low))
        raised = np.maximum(values.astype(np.float32), np.float32(self.imaged))
        result: NDArray[np.float32] = (raised - np.float32(self.low)) * scale
        if self.scaling == "asinh":
            np.arcsinh(result, out=result)
            result /= np.float32(np.arcsinh(KNEE))
        return result
