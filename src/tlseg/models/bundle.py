"""A model: two networks, and everything that must accompany them for the answer to be the same.

A model is a directory with `model.json` and one safetensors file per network. Nothing in it is executed on loading.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tlseg.config import LabelSettings, Method, Relief, Scaling, byte
from tlseg.errors import ModelError, RunError
from tlseg.geometry import Shape, Spacing
from tlseg.models.unet import UNet, UNetConfig
from tlseg.rules import (
    FileName,
    NonNegativeFloat,
    PositiveInt,
    Share,
    check_fields,
    one_of,
    positive,
    rules_of,
    three,
    whole,
)
from tlseg.store.fs.refused import refusal

FORMAT = 1
BUNDLED = Path(__file__).parent / "weights"
DEFAULT = "embryo"

Role = Literal["nsn", "ndn"]
Flips = Literal[1, 4, 8]
Precision = Literal["bfloat16", "float16", "float32"]


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """One network of a model: its shape, its file, and the lattice it is run on (voxels of the model's spacing)."""

    architecture: UNetConfig
    file: FileName
    window: Annotated[Shape, three(whole(1))]
    overlap: Annotated[Shape, three(whole(0))]

    def __post_init__(self) -> None:
        check_fields(self, error=ModelError)


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Everything that decides a model's answer, as stored in `model.json`.

    Parameters
    ----------
    spacing_um
        Voxel spacing (z, y, x) the networks were trained at; frames are resampled to it and maps back.
    scaling
        Intensities that become 0 and 1: "quantiles" for a frame's median and 99.9th percentile; "asinh" for the same two
        with a logarithm for bright values; "extremes" for the smallest and largest value, as in the published networks.
    precision
        Number format of the forward pass: "bfloat16", "float16" or "float32".
    region_threshold
        Foreground where NSN's probability is at least this.
    centre_threshold
        A maximum of NDN's map is a centre if it is at least this.
    centre_smoothing_um
        Side of the box over which NDN's map is averaged before maxima are sought; 0 for none.
    centre_distance_um
        Two centres are more than this far apart; the brighter one stays.
    centre_saddle, centre_reach_um
        Two maxima of NDN's averaged map, no further apart than `centre_reach_um`, are one nucleus if the map stays above
        this share of the lower one between them; with 1 they never are.
    relief
        What the watershed floods: "distance" to background, or NDN's "centre" map.
    minimum_volume_um3, minimum_volume_fraction
        Instances smaller than this volume, or than this fraction of the frame's median volume, are dropped.
    dark_threshold
        A window in which no neighbourhood (5 x 5 x 5 voxels, on average) is brighter than this, scaled, holds no nucleus: no
        network sees it, and its maps are 0.
    flips
        Every window is seen 1, 4 (y and x) or 8 times (z too), mirrored, and the answers are averaged: that many times
        the work.
    batch
        Windows the networks see at once on a GPU; a batch is always filled up to this, since results may differ in the
        last bit between batch sizes. A GPU without enough memory is given half as many, which a run records. On a CPU it is
        one.
    """

    name: str
    networks: Mapping[Role, NetworkSpec]
    spacing_um: Annotated[Spacing, three(positive())]
    scaling: Scaling = "quantiles"
    precision: Precision = "bfloat16"
    region_threshold: Share = 0.5
    centre_threshold: Share = 0.4
    centre_smoothing_um: NonNegativeFloat = 4.0
    centre_distance_um: NonNegativeFloat = 5.0
    centre_saddle: Share = 1.0
    centre_reach_um: NonNegativeFloat = 14.0
    relief: Relief = "centre"
    minimum_volume_um3: NonNegativeFloat = 0.0
    minimum_volume_fraction: NonNegativeFloat = 0.0
    dark_threshold: Share = 0.0
    flips: Flips = 1
    batch: PositiveInt = 8
    description: str = ""
    licence: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self, error=ModelError)
        for role in self.networks:
            one_of(*get_args(Role)).check("A role in networks", role)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as written to `model.json`."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["networks"] = {role: asdict(network) for role, network in self.networks.items()}
        return {"format": FORMAT, **values}

    def label_settings(self, method: Method = "qcanet") -> LabelSettings:
        """Settings of the label stage for this model."""
        return LabelSettings(
            method=method,
            region_threshold=byte(self.region_threshold),
            centre_threshold=byte(self.centre_threshold),
            centre_smoothing_um=self.centre_smoothing_um,
            centre_distance_um=self.centre_distance_um,
            centre_saddle=self.centre_saddle,
            centre_reach_um=self.centre_reach_um,
            relief=self.relief,
            minimum_volume_um3=self.minimum_volume_um3,
            minimum_volume_fraction=self.minimum_volume_fraction,
            halo_um=4 * self.centre_distance_um,
            margin_um=2 * self.centre_distance_um,
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, where: str) -> ModelSpec:
        """Inverse of `to_dict`; `where` names the file in errors."""
        try:
            known = dict(values)
            one_of(FORMAT).check("format", known.pop("format", None))
            rules = rules_of(cls)
            unknown = sorted(known.keys() - rules.keys())
            if unknown:
                raise ModelError(f"{unknown[0]!r} is not a field of a model.")
            for name in known:
                rules[name].check(name, known[name])
            known["networks"] = {role: _network(role, network) for role, network in known["networks"].items()}
            z, y, x = known["spacing_um"]
            known["spacing_um"] = (float(z), float(y), float(x))
            spec = cls(**known)
        except ModelError as error:
            raise ModelError(f"{where}: {error}") from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{where} is not a tlseg model description: {error!r}.") from error
        if "nsn" not in spec.networks:
            raise ModelError(f"{where} has no network for nuclear regions (nsn).")
        return spec


@dataclass(frozen=True, slots=True)
class Model:
    """A model on disk: its description, the folder that holds it, and a digest of every byte that decides its answer."""

    spec: ModelSpec
    folder: Path
    digest: str

    def network(self, role: Role) -> UNet:
        """Load one network with its weights, in float32 and evaluation mode."""
        spec = self.spec.networks[role]
        path = self.folder / spec.file
        try:
            state = {k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()}
        except (OSError, SafetensorError) as error:
            raise ModelError(f"The weights {path} cannot be read: {error}. Copy the model again.") from error
        network = UNet(spec.architecture)
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise ModelError(f"The weights {path} do not fit the architecture in model.json.") from error
        return network.eval()


def load_model(name: str | Path = DEFAULT) -> Model:
    """Find a model by the name of a bundled one or by its folder.

    Raises
    ------
    ModelError
        When there is no such model, or its files are damaged.
    """
    if not isinstance(name, str | Path):
        raise ModelError(
            f"{name!r} is not a model. Expected the name of a bundled model or a folder. See: tlseg models list"
        )
    folder = Path(name)
    if not (folder / "model.json").is_file():
        folder = BUNDLED / str(name)
    path = folder / "model.json"
    if not path.is_file():
        raise ModelError(
            f"No model {str(name)!r}: it is neither a folder with a model.json nor one of the bundled models "
            f"({', '.join(bundled_models())}). See: tlseg models list"
        )
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}.") from error
    spec = ModelSpec.from_dict(values, where=str(path))
    digest = hashlib.sha256(path.read_bytes())
    for role in sorted(spec.networks):
        weights = folder / spec.networks[role].file
        if not weights.is_file():
            raise ModelError(f"{path} names the weights {weights.name}, but that file is missing.")
        digest.update(weights.read_bytes())
    return Model(spec, folder, digest.hexdigest())


def bundled_models() -> list[str]:
    """Names of the models that come with tlseg."""
    return sorted(p.parent.name for p in BUNDLED.glob("*/model.json"))


def save_model(
    folder: str | Path,
    spec: ModelSpec,
    *,
    weights: Mapping[Role, Mapping[str, Tensor]],
    storage: Literal["float16", "float32"] = "float16",
    others: Model | None = None,
) -> Model:
    """Write a model folder: safetensors in the number format `storage` for each network in `weights`, and `model.json`.

    Files of all other networks are copied from the model `others`.

    Raises
    ------
    RunError
        When it cannot be written to disk.
    """
    dtype = torch.float16 if storage == "float16" else torch.float32
    with writing_model(Path(folder), spec) as part:
        for role, state in weights.items():
            stored = {k: (v.to(dtype) if v.is_floating_point() else v).contiguous() for k, v in state.items()}
            save_file(stored, part / spec.networks[role].file)
            (part / spec.networks[role].file).chmod(0o644)
        if others is not None:
            for role in spec.networks.keys() - weights.keys():
                shutil.copyfile(others.folder / others.spec.networks[role].file, part / spec.networks[role].file)
    return load_model(folder)


@contextmanager
def writing_model(folder: Path, spec: ModelSpec) -> Iterator[Path]:
    """Yield a folder for the weights of a model; they are in `folder` with its `model.json` once all could be written.

    Raises
    ------
    ModelError
        When nothing can be written there from the start.
    RunError
        When it cannot be written to disk; nothing is left then.
    """
    part = folder.absolute().with_name(f".{folder.absolute().name}.partial")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
    except OSError as error:
        found = f"{folder} cannot be written ({error.strerror or error})"
        instead = "Choose another folder, or fix its permissions."
        raise refusal(error, found, instead=instead, kind=ModelError) from error
    try:
        yield part
        (part / "model.json").write_text(json.dumps(spec.to_dict(), indent=2) + "\n")
        folder.mkdir(exist_ok=True)
        # What makes it a model goes first and comes last: stopped in between it is none, and never half of two.
        (folder / "model.json").unlink(missing_ok=True)
        for file in sorted(part.iterdir(), key=lambda file: file.name == "model.json"):
            file.replace(folder / file.name)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RunError(f"{folder} cannot be written ({reason}). Free space, or choose another folder.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _network(role: str, values: Mapping[str, Any]) -> NetworkSpec:
    """One network of `model.json`."""
    try:
        return NetworkSpec(
            architecture=UNetConfig(**values["architecture"]),
            file=values["file"],
            window=_tuple(values["window"]),
            overlap=_tuple(values["overlap"]),
        )
    except ModelError as error:
        raise ModelError(f"In the network {role}, {error}") from error


def _tuple(values: Any) -> Any:
    """JSON knows only lists; other values are left for the rules to refuse."""
    return tuple(values) if isinstance(values, list) else values
