"""Training data from HDF5: a stack and its labels, cut into parts that can be held out, as folders of OME-TIFF.

    python examples/hdf5_pairs.py STACK.h5 OUT [--image raw] [--labels label] [--parts 2] [--axis y]

Spacing is taken from the attribute `element_size_um` (z, y, x) of the image, as in the GoNuclear data sets. `tlseg train`
reads OUT: every part is a group. Nuclei on a cut are in both parts, cut. Needs `pip install 'tlseg[hdf5]'`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import tifffile

try:
    import h5py
except ImportError:
    raise SystemExit("Reading HDF5 needs h5py. Install it with: pip install 'tlseg[hdf5]'") from None


def main() -> None:
    """Convert one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stack", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--image", default="raw", help="data set with grey values")
    parser.add_argument("--labels", default="label", help="data set with instance labels")
    parser.add_argument("--parts", type=int, default=2)
    parser.add_argument("--axis", choices=["z", "y", "x"], default="y", help="axis to cut along")
    options = parser.parse_args()

    with h5py.File(options.stack) as file:
        image, labels = file[options.image][:], file[options.labels][:]
        spacing = [float(s) for s in file[options.image].attrs["element_size_um"]]
    if image.shape != labels.shape or labels.max() > np.iinfo(np.uint16).max:
        parser.error(f"the image is {image.shape}, its labels are {labels.shape} up to {labels.max()}")
    for folder, values in (("images", image), ("labels", labels.astype(np.uint16))):
        (options.out / folder).mkdir(parents=True, exist_ok=True)
        for number, part in enumerate(np.array_split(values, options.parts, axis="zyx".index(options.axis)), start=1):
            name = f"{options.stack.stem.replace('_', '-')}-part{number}_stack.tif"
            write(options.out / folder / name, part, spacing)
    print(f"{options.out}: {options.parts} parts, voxels of {spacing} um (z, y, x)")


def write(path: Path, stack: np.ndarray, spacing: list[float]) -> None:
    """Write a stack (z, y, x) that knows how large its voxels are."""
    sizes = {f"PhysicalSize{axis}": size for axis, size in zip("ZYX", spacing, strict=True)}
    tifffile.imwrite(path, stack, ome=True, metadata={"axes": "ZYX", **sizes}, compression="zlib")


if __name__ == "__main__":
    main()
