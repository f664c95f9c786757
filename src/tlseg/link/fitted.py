"""Weights of linking, as `python benchmarks/fit_linking.py` prints them.

Each row is a logistic regression on simulated embryos, intact and degraded: the logarithm of the odds that a candidate is
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

        Costs are logarithms of odds in units of `TEMPERATURE`, so that `assign.confidence` is that probability if there is
        no other candidate.
        """
        odds = self.intercept + features @ np.array(self.weights) - np.log(least / (1 - least))
        return np.asarray(ALONE - TEMPERATURE * odds)


# In the order of `divisions.FEATURES`.
_WHOLE = Odds(-0.80, (-2.37, -4.00, -9.36, -9.29, -3.35, -4.40, 5.71, 1.82, -1.09, -1.66, -2.63, -1.80, -1.68, -2.47))
_WITHOUT_INTENSITY = Odds(
    -0.45, (-2.44, -4.33, -10.49, -9.97, -2.60, 0, 0, -1.04, 0, -1.22, -2.47, -2.01, -1.81, -2.58)
)
_PLACES_ONLY = Odds(0.43, (-2.40, -4.99, 0, 0, 0, 0, 0, 0, 0, 0, -0.57, -0.88, -0.04, -4.51))


def division_odds(objects: Objects) -> Odds:
    """Weights of `divisions.features` for what is known of these nuclei."""
    if not objects.have_volumes:
        return _PLACES_ONLY
    return _WHOLE if objects.have_intensities else _WITHOUT_INTENSITY
