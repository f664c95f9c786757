"""Does another microscope change the answer?

    python benchmarks/robustness.py --fold Emb11=embryo-without-emb11 --fold Emb03,Emb08=runs/fold38 --out robustness
    python benchmarks/robustness.py --optics ...
    python benchmarks/robustness.py --exposure ...

Every held-out stack is changed as another instrument or export would have recorded it, predicted anew and scored against
the truth, changed alike where geometry is. The table gives the scores and how far they are from those of the stack as
it is. Writes robustness.md and robustness.csv into OUT, and goes on where it was stopped.

Noise is what differs from the median of 3 x 3 voxels in a plane; its spread is taken for each grey level. "Half" takes
away half of that difference, "double" adds three times its variance. Crops cut nuclei at all six faces; they are compared
with the labels of the whole stack in the same crop. With `--planes`, single planes are the stacks.

`--optics` changes the light itself instead, and writes optics.md and optics.csv. The truth stays, although people who saw
only the changed stack might draw it differently. `--exposure` clips stacks, so that their brightest thousandth would be 1.5
to 4 times as bright as the greatest value, surrounds them with zeros, and writes exposure.md and exposure.csv.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from accuracy import by, scores
from folds import Fold, Stack, add_fold_options, file_of, open_folds, publish
from machine import machine, table
from scipy import ndimage

from tlseg.geometry import Spacing
from tlseg.label.frame import label_frame

PLAIN = "as it is"
SCORES = ("iou", "seg", "mucov", "f1")
COARSER = 1.5
ALLOWED = 0.05
SATURATED = 0.01
HAZE_UM = 15.0


class Seen(NamedTuple):
    """A stack as another instrument would have recorded it."""

    image: np.ndarray
    truth: np.ndarray
    spacing_um: Spacing


Change = Callable[[Seen, np.random.Generator], Seen]


def main() -> None:
    """Print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_fold_options(parser)
    for name, what in (("optics", "blur, haze and depth"), ("exposure", "saturation and padding")):
        text = f"{what} instead of cameras and exports"
        parser.add_argument(f"--{name}", dest="name", action="store_const", const=name, default="robustness", help=text)
    options = parser.parse_args()
    name = options.name
    rows = []
    for fold in open_folds(options):
        for stack in fold.stacks:
            rows += score_changes(fold, stack, TABLES[name])
            print(f"\r{stack.name} ", end="", flush=True)
    print("\r", end="")
    frame = pd.DataFrame(rows)
    frame.to_csv(file_of(options, name, "csv"), index=False)
    publish(options, name, report(frame))


def score_changes(fold: Fold, stack: Stack, changes: dict[str, Change]) -> list[dict[str, object]]:
    """A row for each change of one stack."""
    image, truth = stack.pixels
    plain = Seen(image, truth, stack.spacing_um)
    whole = labels_of(fold, plain, name=stack.name)
    crop = edges_off(plain)
    rows = []
    for name, change in {PLAIN: lambda seen, rng: seen, **changes}.items():
        if change is coarser_z and len(image) == 1:
            continue
        seen = change(plain, np.random.default_rng(zlib.crc32(stack.name.encode())))
        labels = whole if name == PLAIN else labels_of(fold, seen, name=f"{stack.name}-{name}")
        found = scores(seen.truth, labels, seen.spacing_um)
        reference = scores(truth[crop], whole[crop], plain.spacing_um) if name == "cropped" else None
        brightest = int(((seen.image == seen.image.max()) & (seen.truth > 0)).sum())
        rows.append({"change": name, "stack": stack.name, "brightest_voxels": brightest} | found)
        if reference is not None:
            rows.append({"change": f"{PLAIN}, in the crop", "stack": stack.name} | reference)
    return rows


def labels_of(fold: Fold, seen: Seen, *, name: str) -> np.ndarray:
    """Labels of an image by the code of a run."""
    maps = fold.maps_of(seen.image, seen.spacing_um, name=name)
    return label_frame(*maps, spacing_um=seen.spacing_um, settings=fold.model.spec.label_settings())


# --- changes -------------------------------------------------------------------------------------------------------


def coarser_z(seen: Seen, rng: np.random.Generator) -> Seen:
    """Planes further apart; positions are those of voxel centres, so that neither image nor truth is shifted."""
    at = np.arange(COARSER / 2, len(seen.image), COARSER) - 0.5
    at = at[at <= len(seen.image) - 1]
    below = np.floor(at).astype(int)
    above, share = np.minimum(below + 1, len(seen.image) - 1), (at - below)[:, None, None]
    mixed = seen.image[below] * (1 - share) + seen.image[above] * share
    z, y, x = seen.spacing_um
    return Seen(np.rint(mixed).astype(seen.image.dtype), seen.truth[np.rint(at).astype(int)], (z * COARSER, y, x))


def scaled(factor: float, dtype: str) -> Change:
    """Intensities times a factor, rounded and clipped where stored as integers."""

    def change(seen: Seen, rng: np.random.Generator) -> Seen:
        return Seen(stored(seen.image * factor, dtype), seen.truth, seen.spacing_um)

    return change


def offset(seen: Seen, rng: np.random.Generator) -> Seen:
    """A camera's offset."""
    return Seen(stored(seen.image + 1000.0, "uint16"), seen.truth, seen.spacing_um)


def eight_bit(seen: Seen, rng: np.random.Generator) -> Seen:
    """Darkest to brightest voxel in 256 grey levels."""
    low, high = float(seen.image.min()), float(seen.image.max())
    return Seen(stored((seen.image - low) * (255 / (high - low)), "uint8"), seen.truth, seen.spacing_um)


def half_noise(seen: Seen, rng: np.random.Generator) -> Seen:
    """Half of the difference to the median of the neighbourhood."""
    smooth = smoothed(seen.image)
    return Seen(stored(smooth + (seen.image - smooth) / 2, "uint16"), seen.truth, seen.spacing_um)


def double_noise(seen: Seen, rng: np.random.Generator) -> Seen:
    """Twice the spread, as it is at each grey level."""
    smooth = smoothed(seen.image)
    spread = spread_at(smooth, seen.image - smooth)
    noisy = seen.image + np.sqrt(3.0) * spread * rng.standard_normal(seen.image.shape)
    return Seen(stored(noisy, "uint16"), seen.truth, seen.spacing_um)


def saturated(times: float) -> Change:
    """Exposed for longer than the camera can hold: the brightest thousandth would be so many times its greatest value."""

    def change(seen: Seen, rng: np.random.Generator) -> Seen:
        dark, bright = np.percentile(seen.image, (50, 99.9))
        greatest = dark + (bright - dark) / times
        return Seen(stored(np.minimum(seen.image, greatest), "uint16"), seen.truth, seen.spacing_um)

    return change


def cropped(seen: Seen, rng: np.random.Generator) -> Seen:
    """Without its edges, so that nuclei are cut."""
    crop = edges_off(seen)
    return Seen(seen.image[crop], seen.truth[crop], seen.spacing_um)


def edges_off(seen: Seen) -> tuple[slice, slice, slice]:
    """All but the edges; a single plane has none along z."""
    return (slice(4, -4) if len(seen.image) > 1 else slice(None), slice(20, -20), slice(20, -20))


def wide_field(seen: Seen, rng: np.random.Generator, *, times: int = 2) -> Seen:
    """In a field so many times as wide along y and x, of voxels drawn from the corners, where no embryo is."""
    z, y, x = seen.image.shape
    corners = seen.image[:, np.r_[: y // 8, -(y // 8) : 0]][:, :, np.r_[: x // 8, -(x // 8) : 0]]
    field = rng.choice(corners.ravel(), (z, times * y, times * x))
    truth = np.zeros(field.shape, dtype=seen.truth.dtype)
    top, left = (times - 1) * y // 2, (times - 1) * x // 2
    place = (slice(None), slice(top, top + y), slice(left, left + x))
    field[place], truth[place] = seen.image, seen.truth
    return Seen(field, truth, seen.spacing_um)


def padded(seen: Seen, rng: np.random.Generator) -> Seen:
    """Half as much again along y and x, filled up with zeros, as by deskewing or the fusion of views."""
    _, y, x = seen.image.shape
    width = ((0, 0), (y // 4, y // 4), (x // 4, x // 4))
    return Seen(np.pad(seen.image, width), np.pad(seen.truth, width), seen.spacing_um)


CHANGES: dict[str, Change] = {
    "z spacing x 1.5": coarser_z,
    "intensity x 10": scaled(10.0, "uint16"),
    "intensity x 0.1, float": scaled(0.1, "float32"),
    "intensity x 0.1, integers": scaled(0.1, "uint16"),
    "offset + 1000": offset,
    "half noise": half_noise,
    "double noise": double_noise,
    "8 bit": eight_bit,
    "cropped": cropped,
    "wide field": wide_field,
}

EXPOSURE: dict[str, Change] = {
    "saturated x 1.5": saturated(1.5),
    "saturated x 2": saturated(2.0),
    "saturated x 3": saturated(3.0),
    "saturated x 4": saturated(4.0),
    "padded with zeros": padded,
}


def blurred(sigma_um: float) -> Change:
    """Softer optics: a Gaussian with this spread along y and x, twice as wide along z."""

    def change(seen: Seen, rng: np.random.Generator) -> Seen:
        sigma = np.array([2 * sigma_um, sigma_um, sigma_um]) / seen.spacing_um
        return Seen(stored(ndimage.gaussian_filter(seen.image.astype(float), sigma), "uint16"), *seen[1:])

    return change


def haze(seen: Seen, rng: np.random.Generator) -> Seen:
    """As much light again, spread over the neighbourhood: fluorescence out of focus."""
    dark = np.percentile(seen.image, 1)
    light = np.clip(seen.image - dark, 0, None)
    wide = ndimage.gaussian_filter(light, np.array([HAZE_UM * 1.5, HAZE_UM, HAZE_UM]) / seen.spacing_um)
    return Seen(stored(dark + light + wide, "uint16"), *seen[1:])


def dimmer_with_depth(seen: Seen, rng: np.random.Generator) -> Seen:
    """Light that falls with every plane, to 30 % at the last."""
    dark = np.percentile(seen.image, 1)
    left = np.linspace(0, np.log(0.3), len(seen.image))[:, None, None]
    return Seen(stored(dark + np.clip(seen.image - dark, 0, None) * np.exp(left), "uint16"), *seen[1:])


OPTICS: dict[str, Change] = {
    "blur 0.5 um": blurred(0.5),
    "blur 1 um": blurred(1.0),
    "haze": haze,
    "30 % of the light in the last plane": dimmer_with_depth,
}


def stored(values: np.ndarray, dtype: str) -> np.ndarray:
    """As a file of this type would hold them."""
    if dtype == "float32":
        return values.astype(np.float32)
    return np.clip(np.rint(values), 0, np.iinfo(dtype).max).astype(dtype)


def smoothed(image: np.ndarray) -> np.ndarray:
    """Median of 3 x 3 voxels in each plane."""
    return ndimage.median_filter(image.astype(np.float32), (1, 3, 3))


def spread_at(smooth: np.ndarray, residual: np.ndarray, *, levels: int = 32) -> np.ndarray:
    """Spread of the noise at every voxel, from voxels equally bright (median absolute deviation)."""
    edges = np.unique(np.quantile(smooth, np.linspace(0, 1, levels + 1)[1:-1]))
    level = np.digitize(smooth, edges)
    spreads = [1.4826 * float(np.median(np.abs(residual[level == i]))) for i in range(len(edges) + 1)]
    return np.array(spreads)[level]


TABLES = {"robustness": CHANGES, "optics": OPTICS, "exposure": EXPOSURE}

# --- table ---------------------------------------------------------------------------------------------------------


def report(rows: pd.DataFrame) -> str:
    """Scores of every change and their distance from the stack as it is, as Markdown."""
    changes = rows.groupby("change", sort=False)
    means = changes[list(SCORES)].mean()
    volume = changes["found_voxels"].sum() / changes["truth_voxels"].sum() - 1
    brightest = changes["brightest_voxels"].sum() / changes["truth_voxels"].sum()
    saturated = ", ".join(f"{name} {share:.0%}" for name, share in brightest.items() if share > SATURATED)
    lines, worst = [], {}
    for name, mean in means.iterrows():
        if str(name).startswith(PLAIN):
            continue
        against = means.loc[f"{PLAIN}, in the crop" if name == "cropped" else PLAIN]
        away = mean - against
        worst[str(name)] = float(away.min())
        lines.append([str(name), *(f"{mean[s]:.3f} ({away[s]:+.3f})" for s in SCORES), f"{volume[name]:+.1%}"])
    fallen = [name for name, value in worst.items() if value < -ALLOWED]
    verdict = (
        f"More than {ALLOWED} lost: {', '.join(fallen)}." if fallen else f"No figure falls by more than {ALLOWED}."
    )
    return "\n\n".join(
        [
            machine(),
            f"{rows['stack'].nunique()} held-out stacks.",
            by(rows[rows["change"].str.startswith(PLAIN)], ["change"]),
            table(["change", "IoU", "SEG", "MUCov", "F1", "volume"], lines),
            verdict,
            *([f"Of all voxels in true nuclei, these have the greatest value: {saturated}."] if saturated else []),
        ]
    )


if __name__ == "__main__":
    main()
