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
_WHOLE = Odds(-0.69, (-2.48, -3.97, -8.91, -10.03, -3.30, -4.17, 5.97, 2.00, -1.42, -1.84, -2.85, -2.07, -1.72, -2.42))
_WITHOUT_INTENSITY = Odds(
    -0.26, (-2.55, -4.29, -10.49, -10.78, -2.32, 0, 0, -0.80, 0, -1.24, -2.65, -2.22, -1.76, -2.48)
)
_PLACES_ONLY = Odds(0.43, (-2.34, -5.01, 0, 0, 0, 0, 0, 0, 0, 0, -0.55, -0.89, -0.04, -4.51))


def division_odds(objects: Objects) -> Odds:
    """Weights of `divisions.features` for what is known of these nuclei."""
    if np.ptp(objects.volume_um3) == 0:
        return _PLACES_ONLY
    return _WHOLE if np.ptp(objects.intensity) > 0 else _WITHOUT_INTENSITY
