"""Plans of whole runs: a checked request is planned for the workers that will do it, within their memory."""

from __future__ import annotations

import inspect
import json
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from click.testing import CliRunner

from commandline import invoke
from handmade import threshold_weights
from runs import inputs
from tlseg.cli import main
from tlseg.errors import PlanError
from tlseg.models.bundle import load_model, save_model
from tlseg.plan import BASE_BYTES
from tlseg.run.planning import plan_for, plan_run
from tlseg.run.request import Request, check
from tlseg.run.segment import segment
from tlseg.run.tasks.compute import Compute
from tlseg.run.tasks.workers import Site
from tlseg.run.watch.events import silent
from tlseg.store.image.convert import convert


def test_as_many_windows_at_once_as_cores_and_memory_allow(tmp_path: Path) -> None:
    movie, _ = inputs(tmp_path, frames=1)
    checked = check(Request(movie=movie))
    ample = plan_for(checked, Site("cpu", 8, 2**36))
    window = (ample.plan.memory_per_worker_bytes - BASE_BYTES) // 8
    short = plan_for(checked, Site("cpu", 8, BASE_BYTES + 3 * window + 1))
    assert (ample.run.threads, short.run.threads) == (8, 3)
    assert short.plan.memory_per_worker_bytes <= BASE_BYTES + 3 * window + 1


def test_a_run_that_starts_over_chooses_its_blocks_anew(tmp_path: Path) -> None:
    """Those of the run it discards may need memory that is no longer there."""
    movie, model = inputs(tmp_path, frames=1)
    request = Request(movie=movie, model=model)

    def block(**more: bool) -> tuple[int, ...]:
        return plan_for(check(replace(request, **more)), Site("cpu", 1, 2**36)).run.block

    usual = block()
    begun = plan_for(check(replace(request, block=(16, 48, 48))), Site("cpu", 1, 2**36))
    begun.run.scratch.begin(begun.fingerprint())
    assert block() == (16, 48, 48)
    assert block(overwrite=True) == usual != (16, 48, 48)
    begun.run.scratch.begin(begun.fingerprint(), overwrite=True)
    assert block(overwrite=True) == (16, 48, 48), "it goes on with what an earlier start with overwrite began"


def test_every_argument_says_what_is_wanted_or_where_it_is_done() -> None:
    """The defaults are the same however a run is started."""
    given = {name: p.default for name, p in inspect.signature(segment).parameters.items() if p.default is not p.empty}
    fields_of = {f.name: f.default for kind in (Request, Compute) for f in fields(kind) if f.default is not MISSING}
    assert given == {**fields_of, "listener": silent}
    assert {f.name for f in fields(Request)}.isdisjoint(f.name for f in fields(Compute))
    planned = inspect.signature(plan_run).parameters
    assert all(p.default == fields_of[name] for name, p in planned.items() if name != "movie")


def test_a_plan_is_the_same_from_python(tmp_path: Path) -> None:
    movie, _ = inputs(tmp_path, frames=2)
    said = CliRunner().invoke(main, ["plan", str(movie), "--memory-limit", "4", "--device", "cpu", "--json"])
    assert said.exit_code == 0, said.output
    found = plan_run(str(movie), memory_limit=4 * 2**30, device="cpu")
    assert json.loads(said.stdout) == json.loads(json.dumps(found.to_dict()))
    assert (found.plan.frames, found.device) == (2, "cpu")
    with pytest.raises(PlanError, match="may use"):
        plan_run(movie, memory_limit=1)


def test_a_plan_takes_what_decides_what_is_written(tmp_path: Path) -> None:
    """The copy of the image counts as well as the labels; models without centres and movies with holes can be planned."""
    movie, model = inputs(tmp_path, frames=2)
    settings: dict[str, Any] = {"model": model, "memory_limit": 4 * 2**30}
    beside = plan_run(movie, **settings).plan
    copied = plan_run(movie, **settings, out=tmp_path / "result.ome.zarr").plan
    assert beside.image_bytes == 0
    assert copied.image_bytes == pytest.approx(beside.output_bytes / 2, abs=1), "two bytes a pixel and four a label"
    assert copied.output_bytes == beside.output_bytes + copied.image_bytes
    assert plan_run(movie, **settings, out=tmp_path / "result.ome.zarr", image=False).plan == beside

    without_centres = tmp_path / "nsn"
    spec = load_model(model).spec
    weights = {"nsn": threshold_weights(12.0, 0.3)}
    save_model(without_centres, replace(spec, networks={"nsn": spec.networks["nsn"]}), weights=weights)
    next(p for p in (movie / "0/c/1").rglob("*") if p.is_file()).unlink()
    words = ["plan", str(movie), "--model", str(without_centres), "--flips", "4", "--json"]
    refused = invoke(main, *words)
    assert refused.exit_code == 2
    assert "use --allow-missing" in refused.stderr
    refused = invoke(main, *words, "--allow-missing")
    assert (refused.exit_code, "Use --method components" in refused.stderr) == (2, True)
    done = invoke(main, *words, "--allow-missing", "--method", "components", "--out", tmp_path / "result.ome.zarr")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["windows_per_frame"].keys() == {"nsn"}
    done = invoke(main, *words[:-1], "--allow-missing", "--method", "components", "--out", tmp_path / "r.ome.zarr")
    assert "of the image" in done.stdout
    assert not (tmp_path / "result.ome.zarr").exists()


def test_a_spacing_without_a_unit_is_said(tmp_path: Path) -> None:
    movie, model = inputs(tmp_path, frames=1)
    assert plan_run(movie, model=model).notes == ()
    document = json.loads((movie / "zarr.json").read_text())
    for axis in document["attributes"]["ome"]["multiscales"][0]["axes"]:
        axis.pop("unit", None)
    (movie / "zarr.json").write_text(json.dumps(document))
    note = "the voxel spacing (z 1.6, y 0.8, x 0.8) has no unit and is taken as micrometres"
    assert plan_run(movie, model=model).notes == (note,)
    assert note in invoke(main, "plan", movie, "--model", model).stdout
    assert note in invoke(main, "segment", movie, "--model", model, "--frames", "5:9").stderr
    assert note in convert(movie, tmp_path / "copy.ome.zarr").notes[0]
    assert convert(movie, tmp_path / "given.ome.zarr", spacing_um=(1.6, 0.8, 0.8)).notes == ()


def test_a_movie_that_cannot_hold_labels_is_planned_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a run would do is known without write access; that the run itself needs --out is said."""
    movie, model = inputs(tmp_path, frames=1)
    document = json.loads((movie / "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]
    old = zarr.create_group(tmp_path / "old.ome.zarr", zarr_format=2)
    old.attrs["multiscales"] = [document | {"version": "0.4", "datasets": document["datasets"][:1]}]
    pixels = np.asarray(zarr.open_array(movie / "0", mode="r")[:])
    old.create_array("0", shape=pixels.shape, chunks=pixels.shape, dtype=pixels.dtype)[:] = pixels

    refused = invoke(main, "segment", tmp_path / "old.ome.zarr", "--model", model)
    assert (refused.exit_code, "it is OME-Zarr 0.4. Expected" in refused.stderr) == (2, True)
    words = ["plan", tmp_path / "old.ome.zarr", "--model", model]
    note = "because it is OME-Zarr 0.4: tlseg segment needs --out RESULT.ome.zarr"
    assert f"Note: labels cannot be added to this movie, {note}" in invoke(main, *words).stdout
    assert note in json.loads(invoke(main, *words, "--json").stdout)["notes"][0]
    assert json.loads(invoke(main, *words, "--out", tmp_path / "r.ome.zarr", "--json").stdout)["notes"] == []

    monkeypatch.setattr("tlseg.store.image.multiscale.os.access", lambda *_: False)
    (note,) = plan_run(movie, model=model).notes
    assert "because it is read-only: tlseg segment needs --out" in note


def test_an_address_is_no_client() -> None:
    with pytest.raises(PlanError, match=r"client is 'tcp://x'.*as scheduler="):
        Compute(client="tcp://x")  # type: ignore[arg-type]
    assert Compute(scheduler="tcp://x").elsewhere
