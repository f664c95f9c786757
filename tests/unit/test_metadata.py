"""What OME-Zarr metadata mean: units and order of transforms, and one clear line if they make no sense."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tlseg.errors import MovieError
from tlseg.store.image.metadata import micrometres, parse_image, seconds

GOOD: dict[str, Any] = {
    "multiscales": [
        {
            "version": "0.4",
            "axes": [
                {"name": "t", "type": "time", "unit": "minute"},
                {"name": "z", "type": "space", "unit": "nanometer"},
                {"name": "y", "type": "space", "unit": "micrometer"},
                {"name": "x", "type": "space", "unit": "millimeter"},
            ],
            "datasets": [
                {
                    "path": "0",
                    "coordinateTransformations": [
                        {"type": "scale", "scale": [2, 1500, 0.5, 0.0005]},
                        {"type": "translation", "translation": [1, 3000, 1, 0.001]},
                    ],
                }
            ],
        }
    ]
}


def changed(**changes: Any) -> dict[str, Any]:
    attributes = copy.deepcopy(GOOD)
    attributes["multiscales"][0].update(changes)
    return attributes


def axes(*names: str, unit: str | None = None) -> list[dict[str, str]]:
    kinds = {"t": "time", "c": "channel"}
    return [{"name": n, "type": kinds.get(n, "space")} | ({"unit": unit} if unit else {}) for n in names]


def test_units_become_micrometres_and_seconds() -> None:
    image = parse_image(GOOD, where="m")
    assert image.spacing_um() == pytest.approx((1.5, 0.5, 0.5))
    assert image.translation_um() == pytest.approx((3.0, 1.0, 1.0))
    assert (image.interval_s, image.start_s) == (120.0, 60.0)
    assert image.spacing_problem is None


def test_transforms_of_the_whole_image_come_after_those_of_a_level() -> None:
    outer = [{"type": "scale", "scale": [1, 2, 2, 2]}, {"type": "translation", "translation": [0, 1000, 0, 0]}]
    image = parse_image(changed(coordinateTransformations=outer), where="m")
    assert image.spacing_um() == pytest.approx((3.0, 1.0, 1.0))
    assert image.translation_um() == pytest.approx((7.0, 2.0, 2.0))


@pytest.mark.parametrize(
    ("unit", "value"), [("micrometer", 1), ("nm", 1e-3), ("angstrom", 1e-4), ("meter", 1e6), ("µm", 1)]
)
def test_lengths(unit: str, value: float) -> None:
    assert micrometres(unit) == pytest.approx(value)


def test_a_unit_of_another_kind_is_no_length() -> None:
    assert micrometres("second") is None
    assert micrometres("pixel") is None
    assert seconds("micrometer") is None
    assert seconds("millisecond") == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": axes("z", "y", "y", "x")}, "at most one each"),
        ({"axes": axes("q", "z", "y", "x")}, r"its axes are \(q, z, y, x\)"),
        ({"axes": axes("t", "z", "y", "w")}, "Expected y and x.*write the movie again"),
        ({"axes": ["t", "z", "y", "x"]}, "list of axes with name and type"),
        ({"axes": None}, "its axes are None"),
        ({"datasets": []}, "no datasets"),
        ({"datasets": [{"path": 3}]}, "no datasets with a path"),
        ({"version": "0.3"}, "OME-Zarr 0.3"),
        ({"datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1]}]}]}, "4 numbers"),
        (
            {"datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": ["a"] * 4}]}]},
            "4 numbers",
        ),
        ({"datasets": [{"path": "0", "coordinateTransformations": [{"type": "affine"}]}]}, "4 numbers"),
        ({"datasets": [{"path": "0", "coordinateTransformations": {"type": "scale"}}]}, "not a list"),
    ],
)
def test_what_cannot_be_read_says_why_in_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(MovieError, match=message) as caught:
        parse_image(changed(**changes), where="m")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({}, "no multiscales"),
        ({"multiscales": []}, "empty or malformed"),
        ({"multiscales": "x"}, "empty or malformed"),
        ({"ome": 3}, "no multiscales"),
        ({"plate": {}}, "A/1/0"),
        ({"ome": {"bioformats2raw.layout": 3}}, "m/0"),
        ({"ome": {"labels": ["a"]}}, "label images"),
        ({"ome": {"version": "0.6", **GOOD}}, "OME-Zarr 0.6"),
    ],
)
def test_groups_that_are_no_image_say_what_they_are(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(MovieError, match=message):
        parse_image(attributes, where="m")


def scaled(scale: list[float] | None, unit: str | None) -> dict[str, Any]:
    dataset: dict[str, Any] = {"path": "0"}
    if scale is not None:
        dataset["coordinateTransformations"] = [{"type": "scale", "scale": scale}]
    return changed(axes=axes("z", "y", "x", unit=unit), datasets=[dataset])


@pytest.mark.parametrize(
    ("scale", "unit", "problem"),
    [
        (None, "micrometer", "no coordinateTransformations"),
        ([1, 1, 1], None, "every scale is 1 and no axis has a unit"),
        ([1, 0, 1], "micrometer", "not positive: z 1, y 0"),
        ([1, -2, 1], "micrometer", "not positive"),
        ([1, float("nan"), 1], "micrometer", "not positive"),
        ([1, 2, 2], "pixel", "not lengths"),
        ([1, 1, 1], "micrometer", None),
        ([2, 1, 1], None, None),
    ],
)
def test_spacing_that_cannot_be_trusted_is_told(
    scale: list[float] | None, unit: str | None, problem: str | None
) -> None:
    found = parse_image(scaled(scale, unit), where="m").spacing_problem
    assert found is None if problem is None else problem in str(found)


def test_an_interval_is_unknown_rather_than_one() -> None:
    def interval(unit: str | None, scale: float) -> float | None:
        listed = [*axes("t", unit=unit), *axes("y", "x", unit="micrometer")]
        transforms = [{"type": "scale", "scale": [scale, 1, 1]}]
        dataset = {"path": "0", "coordinateTransformations": transforms}
        return parse_image(changed(axes=listed, datasets=[dataset]), where="m").interval_s

    assert interval(None, 1) is None
    assert interval("frame", 1) is None
    assert interval("second", 0) is None
    assert interval("second", 1) == 1
    assert interval(None, 30) == 30
