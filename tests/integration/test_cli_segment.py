"""`tlseg plan` and `tlseg segment` as people and programs use them: what is printed where."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from commandline import invoke
from runs import SHAPE, essence, inputs, tree
from tlseg.cli import main
from tlseg.store.labels.result import open_result

BLOCK = ["--block", "16,32,48"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a movie of two frames, a model, and what `tlseg segment --json` made of it."""
    folder = tmp_path_factory.mktemp("cli")
    inputs(folder, frames=2)
    result = tlseg("segment", folder, *BLOCK, "--out", folder / "result.zarr", "--json")
    assert result.exit_code == 0, result.stderr
    (folder / "summary.json").write_text(result.stdout)
    (folder / "said.txt").write_text(result.stderr)
    return folder


def tlseg(command: str, folder: Path, *more: str | Path) -> Result:
    try:
        runner = CliRunner(mix_stderr=False)
    except TypeError:  # click 8.2 always keeps them apart
        runner = CliRunner()
    arguments = [command, folder / "movie.ome.zarr", "--model", folder / "model", "--device", "cpu", *more]
    return runner.invoke(main, [str(a) for a in arguments])


def test_json_alone_goes_to_standard_output(base: Path) -> None:
    summary = json.loads((base / "summary.json").read_text())
    result = open_result(base / "result.zarr")
    assert summary["path"] == str(base / "result.zarr")
    assert summary["nuclei"] == len(result.table()) == result.record["nuclei"]
    assert summary["tracks"] == result.table()["track"].nunique()
    assert summary["frames"] == 2
    assert summary["resumed"] is False
    assert summary["audit"] == result.record["audit"]


def test_progress_is_plain_lines_where_there_is_no_terminal(base: Path) -> None:
    lines = (base / "said.txt").read_text().splitlines()
    stages = {line.split(":")[0] for line in lines}
    assert stages == {"statistics", "predict", "detect", "flood", "measure", "summarise", "link", "write"}
    for line in lines:
        done, total = line.split(":")[1].split()[0].split("/")
        assert 0 < int(done) <= int(total)
        assert "\x1b" not in line


def test_the_same_command_again_says_that_it_is_complete(base: Path) -> None:
    """As when a queue restarts a job: it succeeds, with the figures of the run that made the result."""
    before = tree(base / "result.zarr")
    again = tlseg("segment", base, *BLOCK, "--out", base / "result.zarr")
    assert again.exit_code == 0, again.stderr
    assert again.stdout.startswith("Already complete; nothing was done. (")
    told = json.loads(tlseg("segment", base, *BLOCK, "--out", base / "result.zarr", "--json").stdout)
    first = json.loads((base / "summary.json").read_text())
    assert told | {"seconds": 0, "complete_already": False} == first | {"seconds": 0}
    other = tlseg("segment", base, *BLOCK, "--out", base / "result.zarr", "--no-repair")
    assert other.exit_code == 2
    assert "made with other settings: repair was True, is False. Use --overwrite" in other.stderr
    assert tree(base / "result.zarr") == before


def test_a_complete_result_need_not_be_writable(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive is read-only: a job that is queued again succeeds there too, and only what would write is refused."""
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    here = ("--out", base / "result.zarr", "--scratch", base / "scratch")
    again = tlseg("segment", base, *BLOCK, *here)
    assert again.exit_code == 0, again.stderr
    assert again.stdout.startswith("Already complete; nothing was done. (")
    for more in (["--overwrite"], ["--name", "other"]):
        refused = tlseg("segment", base, *BLOCK, *here, *more)
        assert refused.exit_code == 2
        assert "cannot be written to" in refused.stderr


def test_the_same_command_from_another_folder_finds_it_complete(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(base / "movie.ome.zarr")
    again = tlseg("segment", Path(".."), *BLOCK, "--out", Path("../result.zarr"))
    assert again.exit_code == 0, again.stderr
    assert again.stdout.startswith("Already complete; nothing was done. (")


def test_a_person_is_told_what_was_made_and_where(base: Path, tmp_path: Path) -> None:
    result = tlseg("segment", base, *BLOCK, "--out", tmp_path / "out.zarr", "--no-image", "--frames", "1:2")
    assert result.exit_code == 0
    first, note, second, third, _next = result.stdout.splitlines()
    nuclei = len(open_result(tmp_path / "out.zarr").table())
    assert re.fullmatch(rf"{nuclei} nuclei in one frame \(\d+ s\)\.", first)
    assert note.startswith("Note: The median instance is 11 um wide, but the model ")
    assert "voxels disagree" in second
    assert third == f"Labels: {tmp_path / 'out.zarr/labels/nuclei'}"


def said_next(result: Result) -> list[list[str]]:
    """The commands that a command names at its end, as a shell would pass them to tlseg."""
    assert result.exit_code == 0, result.stderr
    last = result.stdout.splitlines()[-1]
    assert last.startswith("Next: ")
    return [shlex.split(command)[1:] for command in last.removeprefix("Next: ").split(" or ")]


def test_a_command_says_what_comes_next(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands work as they are printed, whatever the paths and names; storage options may be secrets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tlseg.store.fs.options.set_options", lambda options: None)
    option = ["--storage-option", "region_name=x y"]
    simulated = invoke(main, "simulate", "a b.zarr", "--frames", "1", "--shape", "16,32,32", "--nuclei", "1", *option)
    assert simulated.stdout.endswith("tlseg segment 'a b.zarr' (with the same --storage-option)\n")
    assert "x y" not in simulated.stdout
    plan, _segment = said_next(invoke(main, "convert", "a b.zarr", "c d.zarr"))
    assert invoke(main, *plan).exit_code == 0
    shutil.copytree(base / "result.zarr", "e f.zarr")
    assert said_next(tlseg("segment", base, *BLOCK, "--out", "e f.zarr")) == [
        ["report", "e f.zarr"],
        ["view", "e f.zarr"],
    ]
    report, view = said_next(invoke(main, "link", "e f.zarr"))
    assert report[2:] == view[2:] == ["--name", "nuclei-tracked"]
    assert invoke(main, *report).exit_code == 0
    adopted = invoke(main, "adopt", "e f.zarr", "--out", "g.zarr", "--no-image")
    assert said_next(adopted) == [["report", "g.zarr"], ["view", "g.zarr"]]


def test_plan_says_what_the_run_recorded(base: Path) -> None:
    before = tree(base)
    result = tlseg("plan", base, *BLOCK, "--json")
    assert result.exit_code == 0
    assert result.stderr == ""
    plan = json.loads(result.stdout)
    assert tree(base) == before
    recorded = open_result(base / "result.zarr").record["plan"]
    for key in ("frames", "frame_shape", "block", "blocks_per_frame", "windows_per_frame", "tasks", "total_tasks"):
        assert plan[key] == recorded[key], key
    assert plan["frame_shape"] == list(SHAPE)
    assert plan["tasks"]["flood"] == open_result(base / "result.zarr").record["audit"]["blocks"]
    assert plan["total_tasks"] == sum(plan["tasks"].values())


def test_plan_for_a_person(base: Path) -> None:
    result = tlseg("plan", base, *BLOCK)
    assert result.exit_code == 0
    for word in ("2 frames of 24 x 48 x 48 voxels, 1.6 x 0.8 x 0.8 um", "Blocks:  4 per frame", "Memory:", "Disk:"):
        assert word in result.stdout


def test_plan_chooses_a_block_that_segment_takes_too(base: Path, tmp_path: Path) -> None:
    plan = json.loads(tlseg("plan", base, "--json").stdout)
    assert all(side % 16 == 0 for side in plan["block"])
    assert tlseg("segment", base, "--out", tmp_path / "out.zarr").exit_code == 0
    assert open_result(tmp_path / "out.zarr").record["plan"]["block"] == plan["block"]
    assert essence(tmp_path / "out.zarr") == essence(base / "result.zarr")


def test_killed_from_outside_and_given_again(base: Path, tmp_path: Path) -> None:
    """The same command continues, and its labels are those of an undisturbed run."""
    out = tmp_path / "out.zarr"
    command = [sys.executable, "-c", "from tlseg.cli import main; main()", "segment", base / "movie.ome.zarr"]
    command += ["--model", base / "model", "--device", "cpu", *BLOCK, "--out", out]
    scratch = out / "tlseg/nuclei/scratch"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not any(scratch.glob("*/tables/detect")):
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "it was too quick to be killed"
    again = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(again.stdout)["resumed"] is True
    assert essence(out) == essence(base / "result.zarr")
    assert not scratch.exists()
