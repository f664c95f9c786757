"""What does a network answer on embryos it never saw? Each answer is computed once and kept.

A fold is a model and the groups of stacks (embryos) that were held out of its training. Predicting is what takes long,
so maps are stored under the model's digest; a benchmark that was interrupted, or that only labels differently, goes on
from there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import zipfile
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tlseg.config import LabelSettings
from tlseg.geometry import Spacing
from tlseg.models.bundle import Flips, Model, ModelSpec, load_model
from tlseg.models.pack import pack
from tlseg.predict.device import resolve_device
from tlseg.predict.frame import predict_maps
from tlseg.store.image.stacks import PairPath
from tlseg.store.labels.pairs import find_pairs, read_pair
from tlseg.train.choose import Example

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("TLSEG_DATA", ROOT / "data")) / "bbbc050"
SETTINGS = ROOT / "docs" / "embryo-model-settings.json"
NAMES = ", ".join(name for name in LabelSettings.__dataclass_fields__ if name in ModelSpec.__dataclass_fields__)


@dataclass(frozen=True)
class Stack:
    """One held-out stack, or one plane of it; pixels are read when they are asked for."""

    pair: PairPath
    plane: int | None = None

    @property
    def name(self) -> str:
        """Name of the stack, and of the plane."""
        return self.pair.name if self.plane is None else f"{self.pair.name}_z{self.plane:02d}"

    @property
    def group(self) -> str:
        """The embryo."""
        return self.pair.group

    @property
    def spacing_um(self) -> Spacing:
        """Voxel spacing (z, y, x)."""
        return self.pair.spacing_um

    @cached_property
    def pixels(self) -> tuple[np.ndarray, np.ndarray]:
        """Image and truth, (z, y, x)."""
        image, truth = read_pair(self.pair)
        only = slice(None) if self.plane is None else slice(self.plane, self.plane + 1)
        return image[only], truth[only]

    def sections(self) -> list[Stack]:
        """Planes of the stack, each alone: that with most foreground, and those a quarter and three quarters through it."""
        area = (self.pixels[1] > 0).sum(axis=(1, 2))
        share = np.cumsum(area) / area.sum()
        planes = {int(area.argmax()), *np.searchsorted(share, (0.25, 0.75)).tolist()}
        return [Stack(self.pair, plane) for plane in sorted(planes)]


@dataclass(frozen=True)
class Fold:
    """A model, the stacks held out of its training, and where its answers are kept."""

    model: Model
    stacks: tuple[Stack, ...]
    cache: Path
    flips: Flips
    device: Any

    def maps(self, stack: Stack) -> tuple[np.ndarray, np.ndarray]:
        """Region map and centre map of a stack, (z, y, x) uint8."""
        return self.maps_of(stack.pixels[0], stack.spacing_um, name=stack.name)

    def maps_of(self, image: np.ndarray, spacing_um: Spacing, *, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Maps of any image; computed once for each `name`."""
        path = self.cache / f"{self.model.digest[:16]}-flips{self.flips}" / f"{name}.npz"
        try:
            with np.load(path) as stored:
                return stored["nsn"], stored["ndn"]
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
            maps = predict_maps(image, spacing_um, model=self.model, device=self.device, flips=self.flips)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".part.npz")
        np.savez_compressed(beside, nsn=maps["nsn"], ndn=maps["ndn"])
        beside.replace(path)
        return maps["nsn"], maps["ndn"]

    def example(self, stack: Stack) -> Example:
        """Maps and truth of a stack, to choose settings on."""
        return Example(*self.maps(stack), stack.pixels[1], stack.spacing_um)


def add_fold_options(parser: argparse.ArgumentParser) -> None:
    """Options by which a benchmark is told its folds."""
    parser.add_argument(
        "--fold",
        action="append",
        required=True,
        metavar="GROUPS=MODEL",
        help="held-out groups (Emb03,Emb08), and a model's name or folder, or a folder with nsn/best.pt and ndn/best.pt",
    )
    parser.add_argument("--data", type=Path, default=DATA, help="stacks with truth, in any layout tlseg train reads")
    parser.add_argument("--out", type=Path, required=True, help="tables and kept maps")
    parser.add_argument("--settings", type=Path, default=SETTINGS, help="model settings for folds given as trainings")
    parser.add_argument("--flips", type=int, choices=(1, 4, 8), help="mirrored windows; as the model says by default")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"label settings other than the model's: {NAMES}",
    )
    parser.add_argument(
        "--stacks", default="", metavar="NAMES", help="only stacks with one of these parts in their name"
    )
    parser.add_argument("--planes", action="store_true", help="up to three planes of each stack, as 2D images")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--into", type=Path, help="document whose figures are replaced, between <!-- NAME --> marks")


def file_of(options: argparse.Namespace, name: str, ending: str) -> Path:
    """File of a benchmark in OUT; those of planes have names of their own, so that both may lie in one folder."""
    return options.out / f"{_named(options, name)}.{ending}"


def _named(options: argparse.Namespace, name: str) -> str:
    return f"{name}-planes" if options.planes else name


def publish(options: argparse.Namespace, name: str, text: str) -> None:
    """Print a report, write it to OUT/NAME.md, and put it into the document where one is given."""
    file_of(options, name, "md").write_text(text + "\n")
    name = _named(options, name)
    if options.into:
        document, marks = options.into.read_text(), (f"<!-- {name} -->", f"<!-- /{name} -->")
        if not all(document.count(mark) == 1 for mark in marks):
            raise SystemExit(f"{options.into} has no place {marks[0]} ... {marks[1]}.")
        before, rest = document.split(marks[0])
        options.into.write_text(f"{before}{marks[0]}\n{text}\n{marks[1]}{rest.split(marks[1])[1]}")
    print(text)


def open_folds(options: argparse.Namespace) -> list[Fold]:
    """Open the folds a benchmark was told of; each stack is held out of exactly one."""
    options.out.mkdir(parents=True, exist_ok=True)
    pairs = find_pairs(options.data)
    wanted = [part for part in options.stacks.split(",") if part]
    folds, seen = [], set()
    for text in options.fold:
        groups, _, source = text.partition("=")
        model = _with_settings(_model(Path(source), options), options.set)
        for group in groups.split(","):
            if group in seen or not any(p.group == group for p in pairs):
                raise SystemExit(f"--fold {text}: {group} is no group of {options.data}, or it is in two folds.")
            seen.add(group)
        stacks = [
            Stack(p)
            for p in pairs
            if p.group in groups.split(",") and (not wanted or any(part in p.name for part in wanted))
        ]
        if options.planes:
            stacks = [plane for stack in stacks for plane in stack.sections()]
        flips = options.flips or model.spec.flips
        folds.append(Fold(model, tuple(stacks), options.out / "maps", flips, resolve_device(options.device)))
    return folds


def _model(source: Path, options: argparse.Namespace) -> Model:
    """Model of a name or folder; two trainings are packed into one first."""
    nsn, ndn = source / "nsn" / "best.pt", source / "ndn" / "best.pt"
    if not nsn.is_file():
        return load_model(str(source))
    digest = hashlib.sha256(nsn.read_bytes() + ndn.read_bytes()).hexdigest()[:16]
    settings = json.loads(options.settings.read_text()) | {"provenance": {"trainings": digest}}
    return pack(options.out / "models" / digest, name=digest, nsn=nsn, ndn=ndn, **settings)


def _with_settings(model: Model, changes: list[str]) -> Model:
    """The same networks with other label settings."""
    values: dict[str, Any] = {}
    for name, _, text in (change.partition("=") for change in changes):
        if name not in NAMES.split(", "):
            raise SystemExit(f"--set {name}: there are {NAMES}.")
        values[name] = text if name == "relief" else float(text)
    return replace(model, spec=replace(model.spec, **values))
