"""A search continues where it was stopped, gives up what falls behind, and ends with the best settings."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tlseg.errors import FailedTrainingError, RunError, TrainingError
from tlseg.train.loop import Progress
from tlseg.train.space import Between, Choices, read_space, with_values
from tlseg.train.tune import Report, Train, Tried, best_of, tune
from tlseg.train.tune_record import write_search

pytest.importorskip("optuna")

SPACE = read_space({"rate": {"low": 1e-4, "high": 1e-1, "log": True}, "augment.noise": [[0.0, 0.1], [0.0, 0.2]]})
STEPS = 3


class Trainings:
    """Trainings whose score is known: the nearer the rate is to 0.01, the better. A file records the steps done."""

    def __init__(self, *, stop_after: int | None = None, fail_at: int | None = None) -> None:
        self.folders: list[str] = []
        self.steps: list[int] = []
        self.left = stop_after
        self.fail_at = fail_at

    def __call__(self, values: Mapping[str, Any], folder: Path, report: Report) -> float:
        self.folders.append(folder.name)
        if self.fail_at == len(self.folders):
            raise FailedTrainingError("no numbers")
        folder.mkdir(exist_ok=True)
        last = folder / "last.pt"
        done = int(last.read_text()) if last.exists() else 0
        score = 1.0 - abs(values["rate"] - 0.01)
        for step in range(done + 1, STEPS + 1):
            if self.left is not None:
                self.left -= 1
                if self.left < 0:
                    raise KeyboardInterrupt
            self.steps.append(step)
            last.write_text(str(step))
            report(Progress(step, STEPS, 0.1, 0, score * step / STEPS, None))
        return score


def search(out: Path, trainings: Train, trials: int = 4, **changes: Any) -> list[Tried]:
    return tune(changes.pop("space", SPACE), trainings, out=out, trials=trials, fixed={"steps": STEPS}, **changes)


def test_the_best_is_found_and_what_falls_behind_is_given_up(tmp_path: Path) -> None:
    trainings = Trainings()
    tried = search(tmp_path, trainings, trials=9)
    best, lost = best_of(tried), [t for t in tried if t.outcome == "given up"]
    assert best is not None
    assert best.score == pytest.approx(1 - abs(best.values["rate"] - 0.01))
    assert best.score == max(t.score for t in tried if t.outcome == "finished" and t.score is not None)
    assert lost
    assert len(trainings.steps) < 9 * STEPS
    assert all(t.score is not None and t.score < best.score for t in lost)
    assert all(t.values["augment.noise"] in ([0.0, 0.1], [0.0, 0.2]) for t in tried)
    assert not list(tmp_path.glob("*/last.pt"))


def test_a_stopped_search_goes_on_in_the_middle_of_a_training(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, Trainings(stop_after=2 * STEPS + 1))
    second = Trainings()
    tried = search(tmp_path, second)
    # Four in all: two before, and of the third the first step is not done again.
    assert [t.outcome for t in tried] == ["finished"] * 4
    assert second.steps[0] == 2
    assert len(set(second.folders)) == 2
    assert second.folders[0] == "trial-0002"
    assert search(tmp_path, third := Trainings()) == tried
    assert third.folders == []


def test_a_second_search_in_one_folder_is_refused(tmp_path: Path) -> None:
    refused = []

    def train(values: Mapping[str, Any], folder: Path, report: Report) -> float:
        with pytest.raises(RunError, match=r"Another run is writing to .*write elsewhere") as caught:
            search(tmp_path, Trainings())
        refused.append(caught.value)
        return 0.5

    tried = tune(SPACE, train, out=tmp_path, trials=2, fixed={"steps": STEPS})
    assert [t.outcome for t in tried] == ["finished"] * len(refused) == ["finished"] * 2
    assert not (tmp_path / "run.lock").exists()


def test_a_disk_that_is_full_ends_the_search_and_costs_no_trial(tmp_path: Path) -> None:
    trainings = Trainings()

    def train(values: Mapping[str, Any], folder: Path, report: Report) -> float:
        trainings(values, folder, report)
        raise RunError("last.pt cannot be written")

    with pytest.raises(RunError, match="cannot be written"):
        search(tmp_path, train, trials=1)
    assert list(tmp_path.glob("*/last.pt"))
    assert [t.outcome for t in search(tmp_path, trainings, trials=1)] == ["finished"]
    assert len(set(trainings.folders)) == 1


def test_a_search_without_a_score_says_why_and_keeps_its_folder(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"None of the trainings \(1\) .* no numbers"):
        search(tmp_path, Trainings(fail_at=1), trials=1)
    with pytest.raises(TrainingError, match="other settings"):
        search(tmp_path, Trainings(), trials=1, space=SPACE[:1])


def test_the_record_is_a_table_a_picture_and_a_configuration(tmp_path: Path) -> None:
    """A training that fails does not end the search, and is recorded like others."""
    tried = search(tmp_path, Trainings(fail_at=2), trials=3)
    assert [t.outcome for t in tried] == ["finished", "failed", "finished"]
    fixed = {"steps": STEPS, "augment": {"blur_z_voxels": [0.0, 2.0]}}
    write_search(tmp_path, tried, space=SPACE, fixed=fixed, score_name="IoU")
    best = best_of(tried)
    assert best is not None
    assert yaml.safe_load((tmp_path / "best.yaml").read_text()) == {
        "steps": STEPS,
        "rate": best.values["rate"],
        "augment": {"blur_z_voxels": [0.0, 2.0], "noise": best.values["augment.noise"]},
    }
    rows = list(csv.DictReader((tmp_path / "trials.csv").read_text().splitlines()))
    assert [(row["outcome"], row["error"]) for row in rows] == [(t.outcome, t.error) for t in tried]
    assert rows[1]["error"] == "no numbers"
    assert (tmp_path / "study.png").read_bytes().startswith(b"\x89PNG")


def test_a_space_is_choices_and_ranges() -> None:
    assert read_space({"a": [1, "x"], "b": {"low": 1, "high": 4}}) == (
        Choices("a", (1, "x")),
        Between("b", 1, 4, log=False),
    )
    assert with_values({"a": 1}, {"no-skip": True}) == {"a": 1, "no_skip": True}


@pytest.mark.parametrize(
    "search",
    [
        None,
        {},
        [],
        {"a": []},
        {"a": 3},
        {"a": {"low": 1}},
        {"a": {"low": 2, "high": 1}},
        {"a": {"low": 0, "high": 1, "log": True}},
        {"a": {"low": "x", "high": 1}},
        {"a": {"low": 0, "high": 1, "steps": 3}},
        {"a": {"low": 0, "high": float("inf")}},
    ],
)
def test_a_space_that_is_none_is_one_line(search: Any) -> None:
    with pytest.raises(TrainingError) as caught:
        read_space(search)
    assert "\n" not in str(caught.value)
