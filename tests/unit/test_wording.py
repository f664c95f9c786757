"""Counts in messages: one thing is one thing."""

from __future__ import annotations

import pandas as pd
import pytest

from tlseg.errors import LabelError, TrainingError
from tlseg.link.objects import read_objects
from tlseg.store.image.chunks import describe_missing
from tlseg.train.folds import kth_group
from tlseg.wording import how_many


@pytest.mark.parametrize(
    ("number", "words", "written"),
    [
        (0, ["frame"], "0 frames"),
        (1, ["frame"], "1 frame"),
        (2, ["frame"], "2 frames"),
        (12345, ["frame"], "12,345 frames"),
        (1, ["nucleus", "nuclei"], "1 nucleus"),
        (3, ["nucleus", "nuclei"], "3 nuclei"),
    ],
)
def test_one_is_singular(number: int, words: list[str], written: str) -> None:
    assert how_many(number, *words) == written


def test_messages_about_one_thing_are_singular() -> None:
    assert describe_missing(["0/c/1"]) == "1 chunk is missing, the first is 0/c/1"
    assert describe_missing(["0/c/1", "0/c/2"]) == "2 chunks are missing, the first is 0/c/1"
    with pytest.raises(TrainingError, match="1 group makes folds 1 to 1"):
        kth_group(["Emb01"], 2)
    place = {"z_um": [0.0], "y_um": [0.0], "x_um": [0.0], "intensity_mean": [1.0]}
    table = pd.DataFrame({"t": [0], "label": [1], **place, "volume_um3": [-1.0]})
    with pytest.raises(LabelError, match="In 1 of 1 object, a value is not finite"):
        read_objects(table)
