"""Leica's image files (LIF), written by hand: an XML header, then blocks of raw pixels."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

LETTERS = {"X": 1, "Y": 2, "Z": 3, "T": 4}


def write_lif(path: Path, movies: dict[str, np.ndarray], *, spacing_um: tuple[float, float, float]) -> Path:
    """Write movies (t, c, z, y, x) uint16, each a scene of its own."""
    elements = "".join(_element(number, name, movie, spacing_um) for number, (name, movie) in enumerate(movies.items()))
    header = (
        '<LMSDataContainerHeader Version="2"><Element Name="movies.lif" Visibility="1" CopyOption="1" '
        'UniqueID="a"><Data><Experiment Path=""/></Data><Memory Size="0" MemoryBlockID="MemBlock_none"/>'
        f"<Children>{elements}</Children></Element></LMSDataContainerHeader>"
    )
    text = header.encode("utf-16-le")
    parts = [struct.pack("<IIBI", 0x70, len(text) + 5, 0x2A, len(header)), text]
    for number, movie in enumerate(movies.values()):
        name = f"MemBlock_{number}"
        described = struct.pack("<BQBI", 0x2A, movie.nbytes, 0x2A, len(name)) + name.encode("utf-16-le")
        parts += [struct.pack("<II", 0x70, len(described)), described, np.ascontiguousarray(movie, "<u2").tobytes()]
    path.write_bytes(b"".join(parts))
    return path


def _element(number: int, name: str, movie: np.ndarray, spacing_um: tuple[float, float, float]) -> str:
    t, c, z, y, x = movie.shape
    plane = y * x * 2
    steps = {"X": (x, 2, spacing_um[2]), "Y": (y, x * 2, spacing_um[1]), "Z": (z, plane, spacing_um[0])}
    steps["T"] = (t, c * z * plane, 0.0)
    dimensions = "".join(
        f'<DimensionDescription DimID="{LETTERS[axis]}" NumberOfElements="{n}" Origin="0" BitInc="0" BytesInc="{bytes_}" '
        + (f'Length="{(n - 1) * step * 1e-6}" Unit="m"/>' if axis != "T" else f'Length="{(n - 1) * 600.0}" Unit="s"/>')
        for axis, (n, bytes_, step) in steps.items()
    )
    channels = "".join(
        f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="16" NameOfMeasuredQuantity="" Min="0" Max="65535" '
        f'Unit="" LUTName="{colour}" IsLUTInverted="0" BytesInc="{i * z * plane}" BitInc="0"/>'
        for i, colour in zip(range(c), ("Green", "Red", "Blue"), strict=False)
    )
    return (
        f'<Element Name="{name}" Visibility="1" CopyOption="1" UniqueID="b{number}"><Data><Image TextDescription="">'
        f"<Attachment/><ImageDescription><Channels>{channels}</Channels><Dimensions>{dimensions}</Dimensions></ImageDescription></Image>"
        f'</Data><Memory Size="{movie.nbytes}" MemoryBlockID="MemBlock_{number}"/></Element>'
    )
