"""Read and write OME-Zarr metadata of an image: axes, spacing, channels, pyramid levels.

Pure functions on the JSON of the specification (0.4 and 0.5). Lengths are returned in micrometres, times in seconds.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tlseg.errors import MovieError
from tlseg.geometry import Spacing, triple

Json = dict[str, Any]

_PREFIXES = {
    "yocto": -24, "zepto": -21, "atto": -18, "femto": -15, "pico": -12, "nano": -9, "micro": -6, "milli": -3,
    "centi": -2, "deci": -1, "": 0, "hecto": 2, "kilo": 3, "mega": 6, "giga": 9, "tera": 12, "peta": 15, "exa": 18,
    "zetta": 21, "yotta": 24,
}  # fmt: skip
_METRES = {f"{prefix}{stem}": n for prefix, n in _PREFIXES.items() for stem in ("meter", "metre")}
_MICROMETRES = {name: 10.0 ** (n + 6) for name, n in _METRES.items()} | {
    "angstrom": 1e-4, "inch": 25400.0, "foot": 304800.0, "yard": 914400.0, "nm": 1e-3, "um": 1.0, "µm": 1.0, "μm": 1.0,
    "\\u00b5m": 1.0, "micron": 1.0, "microns": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6, "å": 1e-4, "pm": 1e-6,
}  # fmt: skip
_SECONDS = {f"{prefix}second": 10.0**n for prefix, n in _PREFIXES.items()} | {
    "minute": 60.0, "hour": 3600.0, "day": 86400.0, "s": 1.0, "sec": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6,
    "μs": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3600.0, "d": 86400.0,
}  # fmt: skip
_AXIS_OF_TYPE = {"time": "t", "channel": "c"}


@dataclass(frozen=True, slots=True)
class ImageMetadata:
    """Metadata of one multiscale image.

    Attributes
    ----------
    version : str
        "0.4" or "0.5".
    axes : tuple of str
        Names among t, c, z, y, x in the order of the array.
    paths : tuple of str
        Array of each pyramid level, the finest first.
    scales, translations : tuple of tuples of float
        Per level and axis, micrometres for space and seconds for time.
    spacing_problem : str or None
        Why the voxel spacing cannot be trusted; None if it can.
    spacing_note : str
        What was assumed about the spacing, one sentence; empty if nothing was.
    interval_s : float or None
        Seconds between frames; None where unknown.
    channel_names : tuple of str
        From `omero`, empty if absent.
    omero : dict
        As found, empty if absent.
    """

    version: str
    axes: tuple[str, ...]
    paths: tuple[str, ...]
    scales: tuple[tuple[float, ...], ...]
    translations: tuple[tuple[float, ...], ...]
    spacing_problem: str | None
    spacing_note: str
    interval_s: float | None
    channel_names: tuple[str, ...]
    omero: Json

    def spacing_um(self, level: int = 0) -> Spacing:
        """Voxel spacing (z, y, x) of a level; 1 along an axis the image does not have."""
        return self._space(self.scales[level], 1.0)

    def translation_um(self, level: int = 0) -> Spacing:
        """Position (z, y, x) of the centre of a level's first voxel."""
        return self._space(self.translations[level], 0.0)

    @property
    def start_s(self) -> float:
        """Time of the first frame in seconds; 0 where unknown."""
        return self.translations[0][self.axes.index("t")] if self.interval_s is not None else 0.0

    def _space(self, values: Sequence[float], absent: float) -> Spacing:
        return triple(values[self.axes.index(a)] if a in self.axes else absent for a in "zyx")


def micrometres(unit: str | None) -> float | None:
    """Micrometres in one `unit` of length; None if the unit is not a known length."""
    if not unit:
        return None
    return _MICROMETRES.get("megameter" if unit == "Mm" else unit.strip().lower())


def seconds(unit: str | None) -> float | None:
    """Seconds in one `unit` of time; None if the unit is not a known time."""
    return _SECONDS.get(unit.strip().lower()) if unit else None


def ome_of(attributes: object) -> Mapping[str, Any]:
    """Metadata of the specification in a group's attributes, which 0.5 keeps under `ome` and 0.4 beside all others."""
    found = mapping(attributes)
    return mapping(found.get("ome", found))


def parse_image(attributes: Mapping[str, Any], *, where: str) -> ImageMetadata:
    """Read the attributes of an OME-Zarr group.

    Parameters
    ----------
    attributes : mapping
        The group's attributes, including the `ome` key.
    where : str
        The movie's name, for messages.

    Raises
    ------
    MovieError
        If the group holds no image that tlseg can read; one line that says what was found instead.
    """
    ome = ome_of(attributes)
    multiscales = ome.get("multiscales")
    if not isinstance(multiscales, list) or not multiscales or not isinstance(multiscales[0], Mapping):
        raise MovieError(_no_image(ome, multiscales, where))
    multiscale = multiscales[0]
    version = _version(attributes, multiscale, where)
    axes, units = _axes(multiscale, where)
    datasets = multiscale.get("datasets")
    if not isinstance(datasets, list) or not datasets or not all(_has_path(d) for d in datasets):
        raise MovieError(
            f"{where}: its multiscales lists no datasets with a path. Expected one array per pyramid level; copy or convert "
            "the movie again."
        )
    outer = _transforms(multiscale, len(axes), where)
    transforms = [_combine(_transforms(d, len(axes), where), outer) for d in datasets]
    stated = all(d.get("coordinateTransformations") for d in datasets) or bool(
        multiscale.get("coordinateTransformations")
    )
    problem = _spacing_problem(axes, units, transforms[0][0], stated)
    factors = [_factor(axis, unit) for axis, unit in zip(axes, units, strict=True)]
    return ImageMetadata(
        version=version,
        axes=axes,
        paths=tuple(str(d["path"]) for d in datasets),
        scales=tuple(tuple(s * f for s, f in zip(scale, factors, strict=True)) for scale, _ in transforms),
        translations=tuple(tuple(s * f for s, f in zip(shift, factors, strict=True)) for _, shift in transforms),
        spacing_problem=problem,
        spacing_note="" if problem else _spacing_note(axes, units, transforms[0][0]),
        interval_s=_interval(axes, units, transforms[0][0], stated),
        channel_names=_channel_names(ome),
        omero=dict(mapping(ome.get("omero"))),
    )


def image_axes(names: str, *, interval_known: bool) -> list[Json]:
    """Axes of the specification for the letters in `names`, with units (that of time if known)."""
    kinds: dict[str, Json] = {
        "t": {"name": "t", "type": "time"} | ({"unit": "second"} if interval_known else {}),
        "c": {"name": "c", "type": "channel"},
    }
    return [kinds.get(a) or {"name": a, "type": "space", "unit": "micrometer"} for a in names]


def write_multiscales(
    group: Any, *, name: str, axes: list[Json], datasets: list[Json], kind: str, omero: Json | None = None
) -> None:
    """Write the 0.5 multiscales (and `omero`) of a Zarr v3 group; `kind` names the downsampling."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # ome_zarr.writer uses its own deprecated class on import
        from ome_zarr.format import FormatV05
        from ome_zarr.writer import write_multiscales_metadata

    metadata: Json = {"method": kind} | ({"omero": omero} if omero else {})
    write_multiscales_metadata(group, datasets, fmt=FormatV05(), axes=axes, name=name, metadata=metadata)


def omero_channels(
    names: Sequence[str], windows: Sequence[tuple[float, float, float, float]], *, like: Sequence[Json] = ()
) -> Json:
    """Display settings: per channel a label, a colour and the window (min, max, start, end).

    Parameters
    ----------
    names : sequence of str
        Channel names.
    windows : sequence of (min, max, start, end)
        Range of the data type, and the part of it to show.
    like : sequence of dict, optional
        Settings of the same channels in the source; their colours are kept.
    """
    single = len(names) == 1
    palette = ["FFFFFF"] if single else ["00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF"]
    channels = []
    for i, (name, (low, high, start, end)) in enumerate(zip(names, windows, strict=True)):
        old = mapping(like[i]) if i < len(like) else {}
        colour = old.get("color") if isinstance(old.get("color"), str) and len(old["color"]) == 6 else None
        window = {"min": low, "max": high, "start": start, "end": end}
        channels.append({"label": name, "color": colour or palette[i % len(palette)], "active": True, "window": window})
    return {"channels": channels, "rdefs": {"model": "greyscale" if single else "color"}}


def _no_image(ome: Mapping[str, Any], multiscales: Any, where: str) -> str:
    if "plate" in ome or "well" in ome:
        return f"{where} is a plate or well of many images. Expected one image; give its path, such as {where}/A/1/0."
    if "bioformats2raw.layout" in ome:
        return f"{where} holds a series of images (bioformats2raw). Expected one; give its path, such as {where}/0."
    if "labels" in ome:
        return f"{where} is a folder of label images. Expected one image; give its path, such as {where}/nuclei."
    found = "an empty or malformed multiscales" if multiscales is not None else "no multiscales"
    return (
        f"{where} is a Zarr group with {found} in its attributes. Expected an OME-Zarr 0.4 or 0.5 "
        "image; give the group that holds one, or make one with: tlseg convert"
    )


def _version(attributes: Mapping[str, Any], multiscale: Mapping[str, Any], where: str) -> str:
    if "ome" in attributes:
        version = str(mapping(attributes["ome"]).get("version", "0.5"))
    else:
        version = str(multiscale.get("version", "0.4"))
    if version not in ("0.4", "0.5"):
        raise MovieError(
            f"{where} is OME-Zarr {version}. Expected version 0.4 or 0.5; convert it with another tool first."
        )
    return version


def _axes(multiscale: Mapping[str, Any], where: str) -> tuple[tuple[str, ...], list[str | None]]:
    listed = multiscale.get("axes")
    if not isinstance(listed, list) or not all(isinstance(a, Mapping) for a in listed):
        raise MovieError(
            f"{where}: its axes are {listed!r}. Expected a list of axes with name and type (OME-Zarr 0.4 or 0.5)."
        )
    names = tuple(_AXIS_OF_TYPE.get(str(a.get("type")), str(a.get("name", "")).lower()) for a in listed)
    if len(set(names)) != len(names) or not set(names) <= set("tczyx") or not {"y", "x"} <= set(names):
        found = ", ".join(str(a.get("name")) for a in listed)
        raise MovieError(
            f"{where}: its axes are ({found}). Expected y and x, and at most one each of t, c and z; "
            "correct the metadata, or write the movie again with such axes."
        )
    return names, [a.get("unit") if isinstance(a.get("unit"), str) else None for a in listed]


def _has_path(dataset: Any) -> bool:
    return isinstance(dataset, Mapping) and isinstance(dataset.get("path"), str)


Transform = tuple[tuple[float, ...], tuple[float, ...]]


def _transforms(entry: Mapping[str, Any], n_axes: int, where: str) -> Transform:
    scale, shift = (1.0,) * n_axes, (0.0,) * n_axes
    listed = entry.get("coordinateTransformations") or []
    if not isinstance(listed, list):
        raise MovieError(
            f"{where}: its coordinateTransformations are not a list. Expected a scale and perhaps a translation."
        )
    for transform in listed:
        kind = mapping(transform).get("type")
        if kind == "identity":
            continue
        values = mapping(transform).get(kind) if kind in ("scale", "translation") else None
        if not isinstance(values, list) or len(values) != n_axes or not all(_is_number(v) for v in values):
            raise MovieError(
                f"{where}: a coordinate transformation is {transform!r:.120}. Expected a scale or translation with "
                f"{n_axes} numbers, one per axis."
            )
        numbers = tuple(float(v) for v in values)
        scale, shift = (numbers, shift) if kind == "scale" else (scale, numbers)
    return scale, shift


def _combine(inner: Transform, outer: Transform) -> Transform:
    scale = tuple(a * b for a, b in zip(inner[0], outer[0], strict=True))
    shift = tuple(a * s + b for a, s, b in zip(inner[1], outer[0], outer[1], strict=True))
    return scale, shift


def _factor(axis: str, unit: str | None) -> float:
    factor = seconds(unit) if axis == "t" else None if axis == "c" else micrometres(unit)
    return 1.0 if factor is None else factor


def _spacing_problem(
    axes: Sequence[str], units: Sequence[str | None], scale: Sequence[float], stated: bool
) -> str | None:
    space = [(a, u, s) for a, u, s in zip(axes, units, scale, strict=True) if a in "zyx"]
    if not stated:
        return "no voxel spacing: it has no coordinateTransformations"
    if not all(math.isfinite(s) and s > 0 for _, _, s in space):
        return "a voxel spacing that is not positive: " + ", ".join(f"{a} {s:g}" for a, _, s in space)
    if all(s == 1 and not u for _, u, s in space):
        return "no voxel spacing: every scale is 1 and no axis has a unit"
    unknown = [f"{a} in {u!r}" for a, u, _ in space if u and micrometres(u) is None]
    return f"a voxel spacing in units that are not lengths: {', '.join(unknown)}" if unknown else None


def _spacing_note(axes: Sequence[str], units: Sequence[str | None], scale: Sequence[float]) -> str:
    bare = [f"{a} {s:g}" for a, u, s in zip(axes, units, scale, strict=True) if a in "zyx" and not u]
    if not bare:
        return ""
    return f"the voxel spacing ({', '.join(bare)}) has no unit and is taken as micrometres"


def _interval(axes: Sequence[str], units: Sequence[str | None], scale: Sequence[float], stated: bool) -> float | None:
    if "t" not in axes or not stated:
        return None
    unit, value = units[axes.index("t")], scale[axes.index("t")]
    factor = seconds(unit) if unit else (None if value == 1 else 1.0)
    return value * factor if factor is not None and math.isfinite(value) and value > 0 else None


def _channel_names(ome: Mapping[str, Any]) -> tuple[str, ...]:
    channels = mapping(ome.get("omero")).get("channels")
    if not isinstance(channels, list):
        return ()
    return tuple(str(mapping(c).get("label") or f"channel {i}") for i, c in enumerate(channels))


def mapping(value: object) -> Mapping[str, Any]:
    """What may be a JSON object of metadata that others wrote; empty if it is anything else."""
    return value if isinstance(value, Mapping) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
