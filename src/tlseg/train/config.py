"""Settings of a training in a file, TOML or YAML: the same names as on the command line, which takes precedence.

An unknown key is an error, because a misspelt setting would silently be the default.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Mapping
from datetime import date, time
from pathlib import Path
from typing import Any

import yaml

from tlseg.errors import TrainingError

AUGMENT = "augment."
"""Prefix of settings of the augmentation, a table of its own in a configuration."""


def read_config(path: Path) -> dict[str, Any]:
    """Read a configuration file; keys may be written with hyphens or underscores, underscores are returned.

    Raises
    ------
    TrainingError
        When it is not TOML (.toml) or YAML (.yaml, .yml), or contains no table, or its `augment` is none.
    """
    if not path.exists():
        raise TrainingError(f"{path} does not exist. Check the path of the configuration.")
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".toml":
            values = tomllib.loads(text)
        elif path.suffix in (".yaml", ".yml"):
            values = yaml.safe_load(text) or {}
        else:
            raise TrainingError(f"{path} is neither .toml nor .yaml; a configuration must be one of them.")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        raise TrainingError(f"{path} cannot be read as a configuration: {' '.join(str(error).split())}.") from error
    if not isinstance(values, Mapping):
        raise TrainingError(f"{path} holds a value of type {type(values).__name__}; expected names with values.")
    if not isinstance(augment := values.get("augment"), Mapping | None):
        raise TrainingError(
            f"{path}: augment is {augment!r}; expected a table, such as noise = [0.0, 0.02] in [augment]."
        )
    return {str(key).replace("-", "_"): _without_dates(value) for key, value in values.items()}


def _without_dates(value: Any) -> Any:
    """Dates and times as text: no setting is one, and it is refused as any other wrong text."""
    if isinstance(value, Mapping):
        return {key: _without_dates(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_dates(inner) for inner in value]
    return str(value) if isinstance(value, date | time) else value


def check_keys(values: Collection[str], known: Collection[str], *, where: str) -> None:
    """Raise a `TrainingError` that names the nearest known key for a key that is not known."""
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}."
            raise TrainingError(f"{where} has a key {key!r} that is not a setting: {hint}")
