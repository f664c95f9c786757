"""Published weights under our names: every layer matches an independent computation of the original."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner

from chainer_files import Arrays, Change, forward, random_snapshot, save_npz, torch_names
from tlseg.cli import main
from tlseg.errors import MissingExtraError, ModelError
from tlseg.models.bundle import Model, Role
from tlseg.models.imported import import_model
from tlseg.models.unet import UNetConfig

NSN_LIKE = {"levels": 3, "base": 3, "kernel": 3, "seed": 1}
NDN_LIKE = {"levels": 5, "base": 2, "kernel": 5, "seed": 2}


@pytest.fixture(scope="module")
def snapshots() -> dict[Role, Arrays]:
    return {"nsn": random_snapshot(**NSN_LIKE), "ndn": random_snapshot(**NDN_LIKE)}


@pytest.fixture(scope="module")
def model(snapshots: dict[Role, Arrays], tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("published")
    files = {role: save_npz(folder / f"learned_{role}.npz", arrays) for role, arrays in snapshots.items()}
    return import_model(folder / "model", nsn=files["nsn"], ndn=files["ndn"])


def layer_of(name: str, config: UNetConfig) -> str:
    """Where in a `UNet` the convolution with this published name is."""
    if name.startswith("c"):
        level, second = divmod(int(name[1:]), 2)
        return f"encoder.{level}.{3 * second}"
    step, which = divmod(int(name[2:]), 3)
    if which == 0:
        return "head" if step == config.levels - 1 else f"up.{step}"
    return f"decoder.{step}.{3 * (which - 1)}"


@pytest.mark.parametrize("role", ["nsn", "ndn"])
def test_every_layer_answers_as_the_original(role: Role, snapshots: dict[Role, Arrays], model: Model) -> None:
    image = np.random.default_rng(3).random((16, 16, 32)).astype(np.float32)
    expected, layers = forward(snapshots[role], image)
    network = model.network(role)
    seen: dict[str, np.ndarray] = {}
    for name, module in network.named_modules():
        module.register_forward_hook(lambda _m, _i, out, name=name: seen.__setitem__(name, out[0].numpy()))
    with torch.inference_mode():
        probability = network.probability(network(torch.from_numpy(image)[None, None]))[0].numpy()
    assert len(layers) == len([n for n in snapshots[role] if n.endswith("/W")])
    for name, values in layers.items():
        found = seen[layer_of(name, network.config)]
        assert np.abs(found - values).max() <= 1e-4 * max(1.0, float(np.abs(values).max())), name
    assert np.abs(probability - expected[1]).max() <= 1e-4


def test_the_epsilon_of_batch_norms_counts(snapshots: dict[Role, Arrays]) -> None:
    """If it made no difference, the test above could not notice its absence."""
    image = np.random.default_rng(3).random((8, 8, 8)).astype(np.float32)
    ours, theirs = (forward(snapshots["nsn"], image, epsilon=e)[0] for e in (1e-5, 2e-5))
    assert np.abs(ours - theirs).max() > 1e-3


def test_the_architecture_is_read_from_the_arrays(model: Model) -> None:
    assert model.spec.networks["nsn"].architecture == UNetConfig(levels=3, kernel=3, base=3, output="softmax")
    assert model.spec.networks["ndn"].architecture == UNetConfig(levels=5, kernel=5, base=2, output="softmax")
    assert model.spec.scaling == "extremes"
    assert {source["library"] for source in model.spec.provenance["imported"].values()} == {"chainer"}


def test_one_output_is_a_sigmoid(tmp_path: Path) -> None:
    path = save_npz(tmp_path / "one.npz", random_snapshot(2, base=2, kernel=3, outputs=1))
    assert import_model(tmp_path / "model", nsn=path).spec.networks["nsn"].architecture.output == "sigmoid"


class Model_L2(torch.nn.Module):
    """A module with the published names; a pickle holds the name of the class as well."""

    def __init__(self, arrays: Arrays) -> None:
        super().__init__()
        self.loss_func = torch.nn.CrossEntropyLoss()
        self.pool = torch.nn.MaxPool3d(2, 2)
        for name in {n.split("/")[0] for n in arrays}:
            if name.startswith("bn"):
                self.add_module(name, torch.nn.BatchNorm3d(len(arrays[f"{name}/beta"])))
            else:
                weight = arrays[f"{name}/W"]
                upward = name in ("dc0", "dc3")
                kind = torch.nn.ConvTranspose3d if upward else torch.nn.Conv3d
                channels = weight.shape[:2] if upward else weight.shape[1::-1]
                self.add_module(name, kind(*channels, weight.shape[2]))
        self.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in torch_names(arrays).items()})


@pytest.mark.parametrize("what", ["state", "module"])
def test_pytorch_files_give_the_same_weights_with_their_own_epsilon(
    what: str, snapshots: dict[Role, Arrays], model: Model, tmp_path: Path
) -> None:
    network = Model_L2(snapshots["nsn"])
    path = tmp_path / "NSN_bestIoU.npz"  # the published code gives PyTorch files this ending, too
    torch.save(network if what == "module" else network.state_dict(), path)
    imported = import_model(tmp_path / "model", nsn=path)
    assert imported.spec.provenance["imported"]["nsn"]["library"] == "pytorch"
    theirs, ours = model.network("nsn").state_dict(), imported.network("nsn").state_dict()
    for name, value in ours.items():
        if name.endswith("num_batches_tracked"):
            continue
        shift = 1e-5 if name.endswith("running_var") else 0.0
        assert torch.allclose(value + shift, theirs[name], rtol=0, atol=1e-7), name


class _Runs:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("ran"),))


def test_nothing_in_a_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"c0.weight": _Runs()}, tmp_path / "evil.pt")
    with pytest.raises(ModelError, match=r"not opened.*state_dict"):
        import_model(tmp_path / "model", nsn=tmp_path / "evil.pt")
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(_Runs()))
    with pytest.raises(ModelError):
        import_model(tmp_path / "model", nsn=tmp_path / "evil.pkl")
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: a.pop("bndc4/avg_var"), r"lacks 1 array, first bndc4.running_var"),
        (lambda a: a.update({"c6/W": a["c5/W"]}), r"in pairs"),
        (lambda a: a.update({"extra/W": a["c5/W"]}), r"1 extra array, first extra.weight"),
        (lambda a: a.update({"dc2/W": a["dc2/W"][:1]}), r"dc2.weight is \(1, 12, 3, 3, 3\)"),
        (lambda a: a.update({"c0/W": a["c0/W"][..., 0]}), r"five axes"),
        (lambda a: a.update({"c3/b": np.full_like(a["c3/b"], np.nan)}), r"c3/b holds NaN"),
        (lambda a: a.update({"bnc0/avg_var": -a["bnc0/avg_var"]}), r"negative variance"),
        (lambda a: a.update({"c0/W": a["c0/W"].astype(int)}), r"c0/W holds int64"),
        (lambda a: a.clear() or a.update({"image": np.zeros(3, np.float32)}), r"QCANet network"),
    ],
)
def test_unexpected_arrays_are_named(change: Change, said: str, tmp_path: Path) -> None:
    arrays = random_snapshot(**NSN_LIKE)
    change(arrays)
    with pytest.raises(ModelError, match=said):
        import_model(tmp_path / "model", nsn=save_npz(tmp_path / "changed.npz", arrays))
    assert not (tmp_path / "model").exists()


def test_mixed_up_networks_are_refused(snapshots: dict[Role, Arrays], tmp_path: Path) -> None:
    files = {role: save_npz(tmp_path / f"{role}.npz", arrays) for role, arrays in snapshots.items()}
    with pytest.raises(ModelError, match="Give NSN first"):
        import_model(tmp_path / "model", nsn=files["ndn"], ndn=files["nsn"])


def test_a_file_that_is_not_there_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nope\.npz cannot be read \(No such file or directory\)\. Check the path"):
        import_model(tmp_path / "model", nsn=tmp_path / "nope.npz")


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 cut short", b"\x80\x02 no pickle", b"text", b"\x89HDF\r\n\x1a\nbroken"]
)
def test_other_files_are_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "weights.npz").write_bytes(content)
    result = CliRunner().invoke(main, ["models", "import", str(tmp_path / "weights.npz"), "--out", str(tmp_path / "m")])
    assert result.exit_code == 2
    assert len(result.output.strip().splitlines()) == 1
    assert "weights.npz" in result.output


def test_chainers_hdf5_files_are_read(snapshots: dict[Role, Arrays], model: Model, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "learned_nsn.model", "w") as file:
        for name, array in snapshots["nsn"].items():
            file[name] = array
    imported = import_model(tmp_path / "model", nsn=tmp_path / "learned_nsn.model")
    theirs, ours = model.network("nsn").state_dict(), imported.network("nsn").state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("at", [500, 900, 4100])
def test_damaged_hdf5_files_are_refused_in_one_line(at: int, snapshots: dict[Role, Arrays], tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "learned_nsn.model"
    with h5py.File(path, "w") as file:
        for name, array in snapshots["nsn"].items():
            file[name] = array
    content = bytearray(path.read_bytes())
    content[at : at + 400] = bytes(400)
    path.write_bytes(content)
    with pytest.raises(ModelError, match="cannot be read as HDF5: ") as caught:
        import_model(tmp_path / "model", nsn=path)
    assert "\n" not in str(caught.value)


def test_weights_in_bfloat16_are_read(snapshots: dict[Role, Arrays], tmp_path: Path) -> None:
    state = {name: torch.tensor(array).bfloat16() for name, array in torch_names(snapshots["nsn"]).items()}
    torch.save(state, tmp_path / "nsn.pt")
    network = import_model(tmp_path / "model", nsn=tmp_path / "nsn.pt").network("nsn")
    assert torch.equal(network.state_dict()["encoder.0.0.weight"], state["c0.weight"].float())


def test_hdf5_without_its_reader_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "learned_nsn.model").write_bytes(b"\x89HDF\r\n\x1a\nwhatever")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError, match=r"pip install '.*\[hdf5\]'"):
        import_model(tmp_path / "model", nsn=tmp_path / "learned_nsn.model")


def test_the_command_makes_a_model_that_runs_know(snapshots: dict[Role, Arrays], tmp_path: Path) -> None:
    files = [str(save_npz(tmp_path / f"learned_{role}.npz", snapshots[role])) for role in ("nsn", "ndn")]
    out = str(tmp_path / "qcanet")
    result = CliRunner().invoke(main, ["models", "import", *files, "--out", out])
    assert result.exit_code == 0, result.output
    assert "ndn: 5 levels, base 2, kernel 5, softmax output" in result.output
    shown = CliRunner().invoke(main, ["models", "show", out])
    assert shown.exit_code == 0
    assert yaml.safe_load(shown.output) == json.loads(
        CliRunner().invoke(main, ["models", "show", out, "--json"]).output
    )
    assert "\nspacing_um: [0.8, 0.8, 0.8]\n" in shown.output
    again = CliRunner().invoke(main, ["models", "import", *files, "--out", out])
    assert again.exit_code == 2
    assert "already holds a model" in again.output


def test_imported_weights_keep_every_bit(model: Model, snapshots: dict[Role, Arrays]) -> None:
    state = model.network("nsn").state_dict()
    assert np.array_equal(state["encoder.0.0.weight"].numpy(), snapshots["nsn"]["c0/W"])
    assert model.spec.precision == "float32"
