"""Laws of derived models: the same weights give the same answer on a grid scaled with the nuclei."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors import SafetensorError

from handmade import bright_balls, save_threshold_model
from runs import tree
from tlseg.cli.models import command
from tlseg.errors import ModelError, RunError
from tlseg.label.frame import label_frame
from tlseg.models.bundle import load_model, save_model
from tlseg.models.derive import NUCLEUS, for_nuclei, nucleus_um, rescaled, save_derived
from tlseg.predict.frame import predict_maps

SHAPE = (16, 40, 40)
CENTRES = np.array([[7, 11, 12], [8, 27, 26]])


def test_nuclei_a_quarter_as_wide_are_labelled_as_before(tmp_path: Path) -> None:
    """The same voxels, said to be a quarter as wide, get the same labels from the model made for them."""
    model = save_threshold_model(tmp_path / "model", minimum_volume_um3=20.0)
    small = save_derived(tmp_path / "small", model, rescaled(model.spec, 0.25))
    image = bright_balls(SHAPE, CENTRES, seed=1)
    results = []
    for one, factor in ((model, 1.0), (small, 0.25)):
        z, y, x = (s * factor for s in model.spec.spacing_um)
        maps = predict_maps(image, (z, y, x), model=one, device="cpu")
        settings = one.spec.label_settings()
        results.append(label_frame(maps["nsn"], maps["ndn"], spacing_um=(z, y, x), settings=settings))
    np.testing.assert_array_equal(*results)
    assert results[0].max() == 2


def test_there_and_back_is_the_same_description(tmp_path: Path) -> None:
    spec = save_threshold_model(tmp_path / "model", minimum_volume_um3=20.0).spec
    back = rescaled(rescaled(spec, 0.25), 4.0)
    assert {**back.to_dict(), "provenance": {}} == {**spec.to_dict(), "provenance": {}}
    assert rescaled(spec, 0.5).minimum_volume_um3 == spec.minimum_volume_um3 / 8
    assert rescaled(spec, 0.5).label_settings().halo_um == spec.label_settings().halo_um / 2


def test_networks_know_nuclei_by_their_voxels() -> None:
    assert nucleus_um((1.0, 1.0, 1.0)) ** 3 * math.pi / 6 == pytest.approx(NUCLEUS)
    assert nucleus_um((0.8, 0.4, 0.4)) == pytest.approx(nucleus_um((1.6, 0.8, 0.8)) / 2)


def test_a_model_for_nuclei_of_some_width_expects_them(tmp_path: Path) -> None:
    spec = save_threshold_model(tmp_path / "model").spec
    small = for_nuclei(for_nuclei(spec, 90.0), 5.0)
    assert nucleus_um(small.spacing_um) == pytest.approx(5.0)
    assert small.provenance["rescaled"] == pytest.approx(5.0 / nucleus_um(spec.spacing_um))
    call = ["rescale", str(tmp_path / "model"), "--out", str(tmp_path / "small")]
    said = CliRunner().invoke(command, [*call, "--nucleus-um", "5", "--json"])
    assert json.loads(said.stdout)["spacing_um"] == pytest.approx(list(small.spacing_um))
    assert load_model(tmp_path / "small").spec.name == f"{spec.name}-5um"


@pytest.mark.parametrize("given", [[], ["--factor", "2", "--nucleus-um", "5"]])
def test_a_width_is_given_in_one_way(tmp_path: Path, given: list[str]) -> None:
    model = save_threshold_model(tmp_path / "model").folder
    said = CliRunner().invoke(command, ["rescale", str(model), "--out", str(tmp_path / "small"), *given])
    assert said.exit_code == 2
    assert "Give either --factor or --nucleus-um." in said.output
    assert not (tmp_path / "small").exists()


def test_the_command_writes_a_model_and_refuses_in_one_line(tmp_path: Path) -> None:
    model = save_threshold_model(tmp_path / "model")
    call = ["rescale", str(model.folder), "--factor", "0.25", "--out", str(tmp_path / "small")]
    said = json.loads(CliRunner().invoke(command, [*call, "--json"]).stdout)
    small = load_model(tmp_path / "small")
    assert said["digest"] == small.digest
    assert tuple(said["spacing_um"]) == small.spec.spacing_um == tuple(s / 4 for s in model.spec.spacing_um)
    assert small.spec.provenance["rescaled"] == 0.25
    assert small.spec.name == f"{model.spec.name}-x0.25", "a report tells it from the first"
    again = CliRunner().invoke(command, call)
    assert again.exit_code == 2
    assert "already" in again.output


@pytest.mark.parametrize("factor", [0.0, -1.0, 1e-320, 1e-100, 1e200, float("inf"), float("nan")])
def test_no_model_is_for_nuclei_of_no_size(tmp_path: Path, factor: float) -> None:
    spec = save_threshold_model(tmp_path / "model").spec
    with pytest.raises(ModelError, match=r"cannot be .* times as wide as .*Expected from 1e-06 to 1e\+06 times"):
        rescaled(spec, factor)


@pytest.mark.parametrize("error", [SafetensorError("I/O error: No space left"), OSError(28, "No space left")])
def test_a_model_that_the_disk_does_not_take_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    model = save_threshold_model(tmp_path / "model")
    before = tree(tmp_path)

    def full(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("tlseg.models.bundle.save_file", full)
        patch.setattr("shutil.copyfile", full)
        for save in (
            lambda: save_model(tmp_path / "new", model.spec, weights={"nsn": {}}),
            lambda: save_derived(tmp_path / "new", model, model.spec),
        ):
            with pytest.raises(RunError, match=r"new cannot be written \(.*No space left"):
                save()
    assert tree(tmp_path) == before
    assert save_derived(tmp_path / "new", model, model.spec).digest == model.digest


def test_a_model_is_written_to_the_working_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = save_threshold_model(tmp_path / "model")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    save_derived(Path(), model, model.spec)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["here", "model"]
    assert load_model(tmp_path / "here").digest == model.digest
