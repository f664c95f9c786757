"""Weights of linking, as `python benchmarks/fit_linking.py` prints them.

Each row is a logistic regression on simulated embryos, whole and spoilt: the logarithm of the odds that a candidate is
true is the intercept plus the sum of weights times features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tlseg.link.assign import ALONE, TEMPERATURE
from tlseg.link.objects import Floats, Objects


@dataclass(frozen=True, slots=True)
class Odds:
    """Intercept and weights of a logistic regression."""

    intercept: float
    weights: tuple[float, ...]

    def cost(self, features: Floats, *, least: float = 0.5) -> Floats:
        """Cost of candidates, shape (m,): below `ALONE` where their probability is above `least`.

        Costs are logarithms of odds in units of `TEMPERATURE`, so that `assign.confidence` is that probability where
        there is no other candidate.
        """
        odds = self.intercept + features @ np.array(self.weights) - np.log(least / (1 - least))
        return np.asarray(ALONE - TEMPERATURE * odds)


# In the order of `divisions.FEATURES`.
_WHOLE = Odds(0.04, (-1.95, -4.22, -5.86, -9.54, 2.27, -1.55, -3.53, 5.38, 1.98, 0.50, -0.33, -2.89, -1.56, -1.31))
_WITHOUT_INTENSITY = Odds(0.07, (-2.42, -4.21, -6.91, -7.48, 2.44, -1.51, 0, 0, -0.60, 0, -1.15, -3.00, -1.81, -1.55))
_PLACES_ONLY = Odds(0.44, (-2.02, -5.72, 0, 0, 0, 0, 0, 0, 0, 0, 0, -0.85, -0.59, -4.77))


def division_odds(objects: Objects) -> Odds:
    """Weights of `divisions.features` for what is known of these nuclei."""
    if np.ptp(objects.volume_um3) == 0:
        return _PLACES_ONLY
    return _WHOLE if np.ptp(objects.intensity) > 0 else _WITHOUT_INTENSITY
