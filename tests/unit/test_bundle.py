"""Models on disk: everything that affects the result is in the folder, and nothing in it is executed."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from handmade import save_threshold_model
from tlseg.errors import ModelError
from tlseg.models.bundle import Model, NetworkSpec, bundled_models, load_model, save_model
from tlseg.models.unet import UNet, UNetConfig


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return save_threshold_model(tmp_path / "model", description="for tests", provenance={"steps": 3})


def test_a_model_comes_back_as_it_was_saved(model: Model) -> None:
    again = load_model(model.folder)
    assert again.spec == model.spec
    assert again.digest == model.digest
    for role in ("nsn", "ndn"):
        before, after = model.network(role).state_dict(), again.network(role).state_dict()
        assert all(torch.equal(before[k], after[k]) for k in before)
        assert all(v.dtype == torch.float32 for v in after.values() if v.is_floating_point())
    assert not again.network("nsn").training


def test_weights_are_kept_to_half_precision(tmp_path: Path, model: Model) -> None:
    torch.manual_seed(0)
    config = UNetConfig(levels=2, kernel=3, base=2)
    state = UNet(config).state_dict()
    spec = replace(model.spec, networks={"nsn": NetworkSpec(config, "nsn.safetensors", (8, 8, 8), (2, 2, 2))})
    after = save_model(tmp_path / "random", spec, weights={"nsn": state}).network("nsn").state_dict()
    for key, value in state.items():
        assert np.allclose(after[key], value, rtol=1e-3, atol=1e-7), key


def test_a_model_replaced_in_part_is_none(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.replace
    moved: list[str] = []

    def killed(path: Path, target: Path) -> Path:
        if moved:
            raise KeyboardInterrupt
        moved.append(path.name)
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        save_threshold_model(model.folder, description="another")
    assert len(moved) == 1
    with pytest.raises(ModelError, match=r"neither a folder with a model\.json nor"):
        load_model(model.folder)


@pytest.mark.parametrize("file", ["model.json", "nsn.safetensors", "ndn.safetensors"])
def test_the_digest_changes_with_any_byte(model: Model, file: str) -> None:
    path = model.folder / file
    before = path.read_bytes()
    rng = np.random.default_rng(0)
    # In model.json only bytes after which it still is a description: blanks.
    places = (
        [i for i, b in enumerate(before) if b == ord(" ")][:3]
        if file == "model.json"
        else rng.integers(0, len(before), 8)
    )
    for place in places:
        changed = bytearray(before)
        changed[place] = ord("\t") if file == "model.json" else changed[place] ^ 1
        path.write_bytes(bytes(changed))
        assert load_model(model.folder).digest != model.digest
    path.write_bytes(before)
    assert load_model(model.folder).digest == model.digest


def line_of(error: pytest.ExceptionInfo[ModelError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    "text", ["", "{", "[1, 2]", '"model"', "null", "{}", '{"networks": {}}', '{"networks": {"nsn": {}}}', "\x00\xff"]
)
def test_a_damaged_description_is_one_line(model: Model, text: str) -> None:
    (model.folder / "model.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelError) as caught:
        load_model(model.folder)
    assert "model.json" in line_of(caught)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("spacing_um", [1, 2]),
        ("spacing_um", "abc"),
        ("surprise", 1),
        ("networks", []),
        ("networks", {"ndn": None}),
        ("format", ...),
        ("name", ...),
    ],
)
def test_a_description_that_says_something_else_is_one_line(model: Model, key: str, value: object) -> None:
    path = model.folder / "model.json"
    values = json.loads(path.read_text())
    if value is ...:
        del values[key]
    else:
        values[key] = value
    path.write_text(json.dumps(values))
    with pytest.raises(ModelError) as caught:
        load_model(model.folder)
    assert "model.json" in line_of(caught)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", None),
        ("format", 99),
        ("format", True),
        ("name", 5),
        ("scaling", "bogus"),
        ("precision", "int8"),
        ("region_threshold", 7),
        ("region_threshold", "x"),
        ("centre_saddle", math.nan),
        ("centre_distance_um", 10**400),
        ("spacing_um", [0, -1, 2]),
        ("relief", "nope"),
        ("relief", []),
        ("flips", True),
        ("batch", -1),
        ("provenance", None),
        ("surprise", 1),
    ],
)
def test_a_value_that_cannot_be_meant_names_file_and_field(model: Model, key: str, value: object) -> None:
    path = model.folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(ModelError) as caught:
        load_model(model.folder)
    assert str(path) in line_of(caught)
    assert key in line_of(caught)
    assert "Error(" not in line_of(caught)
    if key not in ("format", "surprise"):
        with pytest.raises(ModelError, match=f"^{key} is "):
            replace(model.spec, **{key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("window", [1.5, 8, 8]),
        ("overlap", [-1, 0, 0]),
        ("file", 3),
        # What is copied with a model lies in its folder: else another's description would write beside a new one.
        ("file", "../ndn.safetensors"),
        ("file", "/etc/hostname"),
        ("file", "weights\\ndn.safetensors"),
        ("file", ".."),
        ("architecture", {"levels": "x"}),
    ],
)
def test_a_network_that_cannot_be_meant_is_named(model: Model, key: str, value: object) -> None:
    path = model.folder / "model.json"
    values = json.loads(path.read_text())
    network = values["networks"]["ndn"]
    network[key] = network[key] | value if isinstance(value, dict) else value
    path.write_text(json.dumps(values))
    with pytest.raises(ModelError, match=r"model\.json: In the network ndn, ") as caught:
        load_model(model.folder)
    line_of(caught)


@pytest.mark.parametrize("name", bundled_models())
def test_bundled_models_are_what_their_descriptions_say(name: str) -> None:
    model = load_model(name)
    assert load_model(model.folder).spec.spacing_um == (1.6, 0.8, 0.8)


def test_a_model_without_its_weights_is_one_line(model: Model) -> None:
    (model.folder / "ndn.safetensors").unlink()
    with pytest.raises(ModelError, match=r"ndn\.safetensors.* missing") as caught:
        load_model(model.folder)
    line_of(caught)


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_damaged_weights_are_one_line(model: Model, keep: int) -> None:
    path = model.folder / "nsn.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match=r"cannot be read.*Copy the model again") as caught:
        load_model(model.folder).network("nsn")
    line_of(caught)


def test_weights_of_another_network_are_one_line(model: Model) -> None:
    values = json.loads((model.folder / "model.json").read_text())
    values["networks"]["nsn"]["architecture"]["base"] = 2
    (model.folder / "model.json").write_text(json.dumps(values))
    with pytest.raises(ModelError, match="do not fit the architecture") as caught:
        load_model(model.folder).network("nsn")
    line_of(caught)


class Trap:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> object:
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("how", ["pickle", "torch"])
def test_a_pickle_is_never_opened(model: Model, tmp_path: Path, how: str) -> None:
    mark = tmp_path / "executed"
    path = model.folder / "nsn.safetensors"
    if how == "pickle":
        path.write_bytes(pickle.dumps(Trap(mark)))
    else:
        torch.save({"head.weight": Trap(mark)}, path)
    with pytest.raises(ModelError) as caught:
        load_model(model.folder).network("nsn")
    line_of(caught)
    assert not mark.exists()


def test_an_unknown_model_says_where_models_come_from() -> None:
    with pytest.raises(ModelError, match="tlseg models list"):
        load_model("no-such-model")
    assert bundled_models() == sorted(bundled_models())
