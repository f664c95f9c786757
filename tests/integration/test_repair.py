"""A run goes back to a frame that its neighbours in time contradict, and changes nothing else in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tlseg
from handmade import bright_balls, save_threshold_model, write_movie
from runs import essence, labels_of, run
from tlseg.run import repair, stages
from tlseg.run.segment import Summary
from tlseg.run.watch.status import run_status

SHAPE = (24, 64, 64)
FRAMES, DIM = 7, 3
FIRST = np.array([[12.0, 20.0, 22.0], [12.0, 20.0, 34.0], [8.0, 46.0, 18.0], [14.0, 46.0, 46.0]])
DRIFT = np.array([0.0, 0.6, -0.4])


def pair_that_merges() -> np.ndarray:
    """Four nuclei (t, z, y, x) of which two touch; one of these has no bright centre in one frame."""
    frames = []
    for t in range(FRAMES):
        centres = FIRST + t * DRIFT
        if t != DIM:
            frames.append(bright_balls(SHAPE, centres, seed=t))
            continue
        others = bright_balls(SHAPE, centres[[0, 2, 3]], seed=t)
        dim = 100 + 0.33 * (bright_balls(SHAPE, centres[[1]], seed=t).astype(float) - 100)
        ball = bright_balls(SHAPE, centres[[1]], seed=t) > 400
        frames.append(np.where(ball, np.maximum(np.maximum(others, dim), 415), others).astype(np.uint16))
    return np.stack(frames)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repair")
    save_threshold_model(folder / "model", window=(24, 64, 64))
    write_movie(folder / "movie.ome.zarr", pair_that_merges())
    return folder


def segmented(place: Path, name: str, **settings: object) -> Summary:
    return run(place / "movie.ome.zarr", place / "model", out=place / f"{name}.ome.zarr", image=False, **settings)


@pytest.fixture(scope="module")
def repaired(place: Path) -> Summary:
    return segmented(place, "repaired", block=(16, 32, 32))


def test_two_nuclei_in_one_label_are_told_apart(place: Path, repaired: Summary) -> None:
    plain = segmented(place, "plain", block=(16, 32, 32), repair=False)
    before, after = (labels_of(place / f"{name}.ome.zarr") for name in ("plain", "repaired"))
    assert len(np.unique(before[DIM])) - 1 == 3
    assert [len(np.unique(frame)) - 1 for frame in after] == [4] * FRAMES
    assert (plain.repaired, repaired.repaired) == (0, 2)
    assert (plain.record["repairs"], repaired.record["repairs"]) == ({"merged": 0, "cut": 0}, {"merged": 1, "cut": 0})
    assert run_status(repaired.path).repairs == {"merged": 1, "cut": 0}
    assert repaired.tracks == 4
    np.testing.assert_array_equal(before > 0, after > 0)
    others = [t for t in range(FRAMES) if t != DIM]
    np.testing.assert_array_equal(before[others], after[others])

    table = tlseg.open_result(repaired.path).table()
    here = table[table["seed"] == "repaired"]
    assert set(here["t"]) == {DIM}
    truth = (FIRST + DIM * DRIFT)[:2]
    found = here[["z", "y", "x"]].to_numpy()
    assert np.linalg.norm(found[np.argsort(found[:, 2])] - truth, axis=1).max() < 2
    for _, row in here.iterrows():
        inside = after[DIM] == row["label"]
        assert row["volume_voxels"] == inside.sum()
        np.testing.assert_allclose(row[["z", "y", "x"]].astype(float), np.argwhere(inside).mean(axis=0))


@pytest.mark.parametrize("settings", [{"block": (32, 64, 64)}, {"block": (16, 16, 16)}])
def test_repairs_do_not_depend_on_blocks(place: Path, repaired: Summary, settings: dict[str, object]) -> None:
    name = "blocks-" + "-".join(map(str, settings["block"]))  # type: ignore[call-overload]
    segmented(place, name, **settings)
    assert essence(place / f"{name}.ome.zarr") == essence(place / "repaired.ome.zarr")


@pytest.mark.parametrize("where", ["find_patch", "measure_patch", "write"])
def test_a_run_stopped_while_it_repairs_goes_on(
    place: Path, repaired: Summary, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = stages if where == "write" else repair
    calls: list[int] = []

    def stop(*arguments: object) -> int:
        calls.append(1)
        if where != "write" or len(calls) > DIM + 2:
            raise KeyboardInterrupt
        return int(original(*arguments))

    original = getattr(module, where)
    name = f"stopped-{where}"
    monkeypatch.setattr(module, where, stop)
    with pytest.raises(KeyboardInterrupt):
        segmented(place, name, block=(16, 32, 32))
    monkeypatch.undo()
    again = segmented(place, name, block=(16, 32, 32))
    assert again.resumed
    assert again.repaired == 2
    assert essence(place / f"{name}.ome.zarr") == essence(place / "repaired.ome.zarr")


@pytest.mark.parametrize("wanted", [False, True], ids=["left out", "wanted after all"])
def test_whether_to_repair_may_change_while_nothing_is_written(
    place: Path, repaired: Summary, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result is that of a run started with this setting."""
    name, settings = f"changed-{wanted}", {"block": (16, 32, 32)}
    expected = repaired if wanted else segmented(place, "never", repair=False, **settings)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tlseg.run.segment.open_output", stop)
    with pytest.raises(KeyboardInterrupt):
        segmented(place, name, repair=not wanted, **settings)
    monkeypatch.undo()
    monkeypatch.setattr(stages, "predict", stop)
    again = segmented(place, name, repair=wanted, **settings)
    assert again.resumed
    assert again.record["repairs"] == expected.record["repairs"]
    assert essence(place / f"{name}.ome.zarr") == essence(Path(expected.path))
