"""From checkpoints to a model: parts that do not fit together are refused before anything is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from commandline import invoke
from tlseg.cli.models import command
from tlseg.errors import ModelError
from tlseg.models.bundle import ModelSpec, load_model
from tlseg.models.checkpoint import read_checkpoint
from tlseg.models.unet import UNet, UNetConfig

CONFIG = UNetConfig(levels=2, kernel=3, base=2)


def checkpoint(path: Path, **facts: object) -> Path:
    """A minimal version of what a training leaves behind."""
    stated = {"architecture": CONFIG.to_dict(), "target": "mask", "spacing_um": (1.6, 0.8, 0.8), "scaling": "quantiles"}
    torch.save({**stated, "network": UNet(CONFIG).state_dict(), **facts}, path)
    return path


def pack(folder: Path, *words: object, nsn: str = "nsn.pt", ndn: str = "ndn.pt") -> str:
    """Pack two files beside the folder and return the message; after an error, nothing is left."""
    place = folder.parent
    there = folder.exists()
    result = invoke(command, "pack", folder, "--name", "m", "--nsn", place / nsn, "--ndn", place / ndn, *words)
    if result.exit_code == 0:
        return result.stdout
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert folder.exists() == there
    return result.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    checkpoint(tmp_path / "nsn.pt", target="mask")
    checkpoint(tmp_path / "ndn.pt", target="centre")
    return tmp_path / "model"


def test_a_model_is_packed_once(folder: Path) -> None:
    said = pack(folder)
    assert "sha256" in said
    assert f"tlseg models calibrate {folder} DATA" in said
    before = load_model(folder).digest
    checkpoint(folder.parent / "nsn.pt", target="mask")
    assert "already exists" in pack(folder)
    assert load_model(folder).digest == before


def test_a_model_of_nsn_alone_is_for_components(folder: Path) -> None:
    done = invoke(command, "pack", folder, "--name", "m", "--nsn", folder.parent / "nsn.pt")
    assert done.exit_code == 0, done.stderr
    assert "tlseg segment --method components" in done.stdout
    assert load_model(folder).spec.networks.keys() == {"nsn"}


def test_swapped_networks_are_refused(folder: Path) -> None:
    assert "ndn.pt learned the target 'centre'; as NSN it must be mask" in pack(folder, nsn="ndn.pt", ndn="nsn.pt")
    assert "as NDN it must be centre or ball" in pack(folder, ndn="nsn.pt")


def test_other_weights_are_refused(folder: Path) -> None:
    checkpoint(folder.parent / "ndn.pt", target="centre", network={"a": torch.zeros(3)})
    assert "ndn.pt do not fit the network it describes" in pack(folder)


def test_weights_without_what_they_must_be_used_with_are_refused(folder: Path) -> None:
    for stored in ({}, UNet(CONFIG).state_dict(), {"network": UNet(CONFIG).state_dict()}):
        torch.save(stored, folder.parent / "nsn.pt")
        assert "nsn.pt is not a training checkpoint" in pack(folder)
    torch.save({"network": UNet(CONFIG).state_dict(), "target": "mask", "scaling": "asinh"}, folder.parent / "nsn.pt")
    assert "it does not give the architecture and the spacing_um of its network" in pack(folder)


def test_the_width_of_ndn_is_that_of_its_checkpoint(folder: Path) -> None:
    pack(folder)
    assert load_model(folder).spec.networks["ndn"].architecture == CONFIG


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"name": "other"}, "sets name, which the command"),
        ({"networks": {}}, "sets networks, which the command"),
        ({"nsn": "x"}, "'nsn', which is not a field of model.json"),
        ([1], "holds a value of type list"),
        (3, "holds a value of type int"),
        ({"region_threshold": 7}, "region_threshold is 7; expected a number from 0 to 1"),
    ],
)
def test_settings_that_are_none_are_named(folder: Path, settings: object, said: str) -> None:
    path = folder.parent / "settings.json"
    path.write_text(json.dumps(settings))
    answer = pack(folder, "--settings", path)
    assert said in answer
    assert str(path) in answer


def test_settings_are_taken_over(folder: Path) -> None:
    path = folder.parent / "settings.json"
    path.write_text(json.dumps({"spacing_um": [2, 1, 1], "flips": 4, "centre_saddle": 1.0}))
    assert "calibrate" not in pack(folder, "--settings", path)
    spec = load_model(folder).spec
    assert (spec.spacing_um, spec.flips) == ((2.0, 1.0, 1.0), 4)
    assert (spec.centre_saddle, spec.minimum_volume_fraction) == (1.0, 0.15)


def test_shares_are_by_default_those_of_the_bundled_models(folder: Path) -> None:
    """Only when a model is made: a `model.json` that does not name them keeps its meaning."""
    pack(folder)
    packed, bundled = load_model(folder).spec, load_model("embryo").spec
    assert (packed.centre_saddle, packed.minimum_volume_fraction) == (0.8, 0.15)
    assert (bundled.centre_saddle, bundled.minimum_volume_fraction) == (0.8, 0.15)
    stored = packed.to_dict()
    del stored["centre_saddle"], stored["minimum_volume_fraction"]
    read = ModelSpec.from_dict(stored, where="model.json")
    assert (read.centre_saddle, read.minimum_volume_fraction) == (1.0, 0.0)


@pytest.mark.parametrize("facts", [{"spacing_um": [1, 2]}, {"scaling": ["quantiles"]}, {"target": ["mask"]}])
def test_facts_that_cannot_be_meant_are_named(folder: Path, facts: dict[str, object]) -> None:
    checkpoint(folder.parent / "nsn.pt", **facts)
    answer = pack(folder)
    assert "nsn.pt" in answer
    assert next(iter(facts)) in answer


@pytest.mark.parametrize(
    "content", [b"", b"\x00", b"garbage", b"g\x00\xff" * 99, b"\x80\x02.", b"PK\x03\x04", b"(lp0\n"]
)
def test_bytes_that_are_no_checkpoint_are_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(ModelError, match=r"a\.pt is not a training checkpoint: [^\n]*\.$") as caught:
        read_checkpoint(tmp_path / "a.pt")
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize(
    "state",
    [
        5,
        {},
        {"network": 5},
        {"averaged": 5},
        {"averaged": {3: torch.zeros(1)}},
        {3: torch.zeros(1)},
        {"network": {"a": torch.zeros(1)}, "architecture": {"levels": 2, "kernel": 3, "base": 2, "surprise": 1}},
        {"network": {"a": torch.zeros(1)}, "architecture": {"levels": "x", "kernel": 3, "base": 2}},
        {"network": {"a": torch.zeros(1)}, "architecture": 5},
    ],
    ids=str,
)
def test_a_checkpoint_of_something_else_is_one_line(tmp_path: Path, state: object) -> None:
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(ModelError, match=r"a\.pt is not a training checkpoint: [^\n]*\.$"):
        read_checkpoint(tmp_path / "a.pt")


def test_no_memory_does_not_make_a_checkpoint_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(torch, "load", full)
    with pytest.raises(MemoryError):
        read_checkpoint(tmp_path / "a.pt")


def test_a_checkpoint_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"a\.pt cannot be read: No such file"):
        read_checkpoint(tmp_path / "a.pt")


def test_one_network_takes_its_place_in_a_model(folder: Path) -> None:
    """The other one and all settings stay, byte by byte, and it is said where they come from."""
    pack(folder)
    settings = folder.parent / "settings.json"
    settings.write_text(json.dumps({"relief": "distance"}))
    first = load_model(folder)
    for role, target, other in (("nsn", "mask", "ndn"), ("ndn", "centre", "nsn")):
        fine = checkpoint(folder.parent / "fine.pt", target=target)
        made = folder.parent / f"with-{role}"
        done = invoke(
            command, "pack", made, "--name", "fine", f"--{role}", fine, "--model", folder, "--settings", settings
        )
        assert done.exit_code == 0, done.stderr
        model = load_model(made)
        assert (model.spec.name, model.spec.relief, model.spec.minimum_volume_fraction) == ("fine", "distance", 0.15)
        assert model.spec.provenance["model"]["digest"] == first.digest
        assert (made / f"{other}.safetensors").read_bytes() == (folder / f"{other}.safetensors").read_bytes()
        assert (made / f"{role}.safetensors").read_bytes() != (folder / f"{role}.safetensors").read_bytes()


def test_a_network_of_another_grid_has_no_place_in_a_model(folder: Path) -> None:
    pack(folder)
    checkpoint(folder.parent / "nsn.pt", target="mask", spacing_um=(0.4, 0.2, 0.2))
    words = ("--name", "m", "--nsn", folder.parent / "nsn.pt", "--model", folder)
    done = invoke(command, "pack", folder.parent / "other", *words)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "different voxel spacings" in done.stderr
    assert "--grid" in done.stderr


def test_nothing_to_pack(folder: Path) -> None:
    pack(folder)
    for words in ([], ["--ndn", folder.parent / "ndn.pt"], ["--model", folder]):
        done = invoke(command, "pack", folder.parent / "other", "--name", "m", *words)
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
        assert "no checkpoint to pack" in done.stderr
