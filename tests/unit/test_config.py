"""Settings that cross layers: words that mean nothing are refused, and frames mean one thing however they are given."""

from __future__ import annotations

from typing import Any

import pytest

from tlseg.config import LabelSettings
from tlseg.errors import ModelError


@pytest.mark.parametrize(
    "settings", [{"method": "foo"}, {"method": None}, {"relief": "distances"}, {"relief": ["centre"]}], ids=str
)
def test_words_that_no_stage_knows_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=f"{next(iter(settings))} is .*; expected is .* or "):
        LabelSettings(**settings)
