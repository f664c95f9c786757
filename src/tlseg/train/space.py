"""What is searched over: names of training settings, each with choices or a range.

A space is written in a file (`[search]` of `tlseg tune --config`), so it is checked here as user input.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna

from tlseg.errors import TrainingError
from tlseg.train.config import AUGMENT


@dataclass(frozen=True, slots=True)
class Choices:
    """One of a few values, of any kind that a configuration can hold."""

    name: str
    values: tuple[Any, ...]

    def suggest(self, trial: optuna.Trial) -> Any:
        """Let the sampler choose; it receives the values as JSON, because a value may be a list."""
        return json.loads(trial.suggest_categorical(self.name, [json.dumps(v) for v in self.values]))


@dataclass(frozen=True, slots=True)
class Between:
    """A number from `low` to `high`, whole where both are; on a logarithmic scale or not."""

    name: str
    low: float
    high: float
    log: bool

    def suggest(self, trial: optuna.Trial) -> float:
        """Let the sampler choose."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(self.name, self.low, self.high, log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, log=self.log)


Dimension = Choices | Between


def read_space(search: Any) -> tuple[Dimension, ...]:
    """Dimensions of a `[search]` table: a list of choices, or `{low, high, log}`, for each name.

    Raises
    ------
    TrainingError
        When it is not a valid search table.
    """
    if not isinstance(search, Mapping) or not search:
        raise TrainingError(
            "There is nothing to search: the configuration needs a table [search], such as "
            "rate = { low = 1e-4, high = 1e-2, log = true } or optimizer = ['adam', 'sgd']."
        )
    return tuple(_dimension(str(name), given) for name, given in search.items())


def with_values(fixed: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Put searched values into a configuration; those named `augment.NAME` into its table `augment`."""
    config = {**fixed}
    augment = dict(config.pop("augment", None) or {})
    for name, value in values.items():
        if name.startswith(AUGMENT):
            augment[name.removeprefix(AUGMENT)] = value
        else:
            config[name.replace("-", "_")] = value
    return {**config, "augment": augment} if augment else config


def _dimension(name: str, given: Any) -> Dimension:
    if isinstance(given, list) and given:
        return Choices(name, tuple(given))
    if isinstance(given, Mapping) and {"low", "high"} <= set(given) <= {"low", "high", "log"}:
        low, high, log = given["low"], given["high"], given.get("log", False)
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in (low, high))
        if numbers and low < high and isinstance(log, bool) and (low > 0 or not log):
            return Between(name, low, high, log)
    raise TrainingError(
        f"The search over {name} is {given!r}. Expected a list of choices, or a table with low and a larger high, and "
        "log = true for a logarithmic scale (then low is above 0)."
    )
