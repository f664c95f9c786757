"""Movie in and results out on s3://, against a server on loopback that fails as real ones do: the same bytes as on disk."""

from __future__ import annotations

import json
import urllib.request
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec.config
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from objectstore import BUCKET, CREDENTIALS, Fault, FaultyProxy, s3_server
from runs import essence, inputs, planned, run, tree
from tlseg.cli import main
from tlseg.errors import LabelError, MissingExtraError, MovieError, PlanError, ResumeError, RunError
from tlseg.evaluate.api import evaluate
from tlseg.report.export import export
from tlseg.report.write import write_report
from tlseg.run import publish, stages
from tlseg.run.linking import output as link_output
from tlseg.run.linking.labels import link_labels
from tlseg.run.measuring import channels as measuring
from tlseg.run.measuring.channels import measure_channels
from tlseg.run.segment import segment
from tlseg.run.watch.status import run_status
from tlseg.simulate import api as simulate_api
from tlseg.simulate.api import simulate
from tlseg.simulate.settings import SimulationSettings
from tlseg.store.fs import options, retry
from tlseg.store.fs.groups import open_group
from tlseg.store.fs.place import Place, place_of
from tlseg.store.image.convert import convert
from tlseg.store.image.image_writer import ImageWriter
from tlseg.store.image.movie import open_source
from tlseg.store.labels.label_group import prepare_root
from tlseg.store.labels.result import open_result
from tlseg.store.labels.tables import read_table
from tlseg.store.locks import lock
from tlseg.store.locks.lock import ObjectLock, held_lock
from tlseg.store.working.folder import MEASURING, scratch_folder
from tlseg.view.files import Bucket, FileServer

pytest.importorskip("moto")

MOVIE = f"s3://{BUCKET}/movie.ome.zarr"
FRAMES = 2


@pytest.fixture(scope="module")
def proxy() -> Iterator[FaultyProxy]:
    """S3 on loopback, reached through a proxy; credentials and endpoint are set as a user would."""
    with pytest.MonkeyPatch.context() as patch, s3_server() as server, FaultyProxy(server) as proxy:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patch.setenv(name, "/nonexistent")
        patch.setattr(fsspec.config, "conf", {})
        patch.setattr(options, "_given", {})
        patch.setattr(retry, "FIRST_DELAY_S", 0.01)
        patch.setattr(lock, "SETTLE_S", 0.01)
        options.set_options({"s3": {"endpoint_url": proxy.url}})
        fs, _ = Place(f"s3://{BUCKET}/x").file_system()
        fs.mkdir(BUCKET)
        yield proxy


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a movie, a model, and the run of it on disk, `out.ome.zarr`."""
    folder = tmp_path_factory.mktemp("local")
    movie, model = inputs(folder, FRAMES)
    run(movie, model, out=folder / "out.ome.zarr")
    return folder


@pytest.fixture(scope="module")
def remote(proxy: FaultyProxy, local: Path) -> str:
    """The movie in the bucket, and its result there, made while one request in five failed."""
    place_of(MOVIE).put(local / "movie.ome.zarr")

    def plan(method: str, path: str, before: int) -> Fault:
        draw = zlib.crc32(f"{method} {path}".encode())
        if before or draw % 5:
            return None
        faults: tuple[Fault, ...] = ("cut", "drop", "slow", "busy") if method == "GET" else ("drop", "slow", "busy")
        return faults[draw // 5 % len(faults)]

    proxy.plan = plan
    proxy.faults.clear()
    result = f"s3://{BUCKET}/result.ome.zarr"
    try:
        run(MOVIE, local / "model", out=result, scratch=local / "scratch")
    finally:
        proxy.plan = lambda method, path, before: None
    assert set(proxy.faults) == {"busy", "slow", "cut", "drop"}, proxy.faults
    assert sum(proxy.faults.values()) > 20
    return result


def fetched(url: str, folder: Path) -> Path:
    place_of(url).get(folder)
    return folder


def test_a_result_in_a_store_is_that_on_disk(remote: str, local: Path, tmp_path: Path) -> None:
    copy, disk = fetched(remote, tmp_path / "copy"), local / "out.ome.zarr"
    assert len(essence(copy)) > 40
    assert essence(copy) == essence(disk)
    there, here = tree(copy), tree(disk)
    assert {path for path, digest in there.items() if digest} == {path for path, digest in here.items() if digest}
    image = {path: digest for path, digest in here.items() if path[0].isdecimal()}
    assert {path: there[path] for path in image} == image
    record = json.loads((copy / "tlseg/nuclei/run.json").read_text())
    assert record["complete"]
    assert record["audit"] == json.loads((disk / "tlseg/nuclei/run.json").read_text())["audit"]


def test_no_secret_and_no_endpoint_is_written(remote: str, proxy: FaultyProxy, local: Path, tmp_path: Path) -> None:
    written = [*fetched(remote, tmp_path / "copy").rglob("*"), *(local / "scratch").rglob("*")]
    secrets = [CREDENTIALS["AWS_SECRET_ACCESS_KEY"], CREDENTIALS["AWS_ACCESS_KEY_ID"], proxy.url.split("//")[1]]
    for path in written:
        data = path.read_bytes() if path.is_file() else b""
        assert not [secret for secret in secrets if secret.encode() in data], path


def test_nothing_is_left_of_the_run(remote: str, local: Path) -> None:
    assert list((local / "scratch").iterdir()) == []
    assert place_of(f"{remote}/tlseg/nuclei").names() == ["audit.json", "events.jsonl", "run.json"]


def test_results_are_read_from_the_store(remote: str, local: Path, tmp_path: Path) -> None:
    here, there = open_result(local / "out.ome.zarr"), open_result(remote)
    np.testing.assert_array_equal(here.labels.compute(), there.labels.compute())
    np.testing.assert_array_equal(here.image.compute(), there.image.compute())
    assert here.table().equals(there.table())
    for ours, theirs in zip(here.tracks(), there.tracks(), strict=True):
        assert ours.equals(theirs)
    scores = evaluate(remote, local / "out.ome.zarr").to_dict()
    assert (scores["seg"], scores["tracking"]["tra"]) == (1.0, 1.0)
    for kind in ("ctc", "geff", "csv"):
        a, b = (export(r, kind, out=tmp_path / f"{kind}-{i}") for i, r in enumerate((local / "out.ome.zarr", remote)))
        assert a.items == b.items
    assert tree(tmp_path / "ctc-0") == tree(tmp_path / "ctc-1")
    status = run_status(remote)
    assert (status.state, status.frames_done) == ("complete", FRAMES)
    assert status.to_dict()["last_event"] == "run_finished"


def test_a_report_lies_with_the_result(remote: str) -> None:
    report = write_report(remote)
    assert str(report.path) == f"{remote}/tlseg/nuclei/report.html"
    assert len(place_of(str(report.path)).read_bytes()) == report.nbytes


def test_a_browser_reads_the_store_through_this_process(remote: str, local: Path) -> None:
    chunk = next((local / "out.ome.zarr/labels/nuclei/0/c").rglob("0"))
    while chunk.is_dir():
        chunk = next(path for path in sorted(chunk.rglob("*")) if path.is_file())
    key, data = chunk.relative_to(local / "out.ome.zarr").as_posix(), chunk.read_bytes()
    server = FileServer(Bucket(place_of(remote)), host="127.0.0.1")

    def ask(url: str, **headers: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
                assert answer.headers["Access-Control-Allow-Origin"] == "*"
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, b""

    try:
        assert ask(f"{server.url}/{key}") == (200, data)
        for header, part in (("bytes=2-9", data[2:10]), ("bytes=10-", data[10:]), ("bytes=-4", data[-4:])):
            assert ask(f"{server.url}/{key}", Range=header) == (206, part)
        assert ask(f"{server.url}/none")[0] == 404
        assert ask(f"{server.url.rsplit('/', 1)[0]}/guess/{key}")[0] == 404
        assert ask(f"{server.url}/../movie.ome.zarr/zarr.json")[0] == 404
    finally:
        server.stop()


def test_a_run_that_was_stopped_goes_on(
    remote: str, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, written = f"s3://{BUCKET}/stopped.ome.zarr", []
    original, publishing = stages.write, publish.write_rows

    def once(*arguments: object) -> int:
        if written:
            raise KeyboardInterrupt
        written.append(original(*arguments))
        return written[0]

    def never(*arguments: object, **settings: object) -> None:
        raise OSError("the network is gone")

    settings = {"out": out, "scratch": tmp_path / "scratch"}
    monkeypatch.setattr(stages, "write", once)
    with pytest.raises(KeyboardInterrupt):
        run(MOVIE, local / "model", **settings)
    assert run_status(out).state == "stopped"
    with pytest.raises(ResumeError, match="block was"):
        run(MOVIE, local / "model", **settings, block=(32, 48, 48))
    monkeypatch.setattr(stages, "write", original)
    monkeypatch.setattr(publish, "write_rows", never)
    with pytest.raises(RunError, match="the network is gone"):
        run(MOVIE, local / "model", **settings)
    assert run_status(out).last_error == "OSError: the network is gone"
    monkeypatch.setattr(publish, "write_rows", publishing)
    assert run(MOVIE, local / "model", **settings).resumed
    assert essence(fetched(out, tmp_path / "copy")) == essence(local / "out.ome.zarr")
    assert run(MOVIE, local / "model", **settings).complete_already


def test_two_runs_at_once_on_one_output_are_refused(remote: str, local: Path, tmp_path: Path) -> None:
    out = f"s3://{BUCKET}/busy.ome.zarr"
    prepare_root(place_of(out))
    with (
        ObjectLock(place_of(out) / "tlseg" / "nuclei"),
        pytest.raises(RunError, match=r"Another run is writing.*process"),
    ):
        run(MOVIE, local / "model", out=out, scratch=tmp_path)
    assert held_lock(place_of(out) / "tlseg" / "nuclei") is None


def test_a_lock_is_had_by_one_and_taken_over_from_the_dead(proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = place_of(f"s3://{BUCKET}/locks/tlseg/nuclei")
    with ObjectLock(folder) as mine:
        mine.beat()
        with pytest.raises(RunError, match="Another run is writing"), ObjectLock(folder):
            pass
        document = json.loads((folder / lock.LOCK).read_bytes())
        (folder / lock.LOCK).write(json.dumps(document | {"pid": 2**22 + 1, "token": "dead"}).encode())
        mine._check_mine()
        with pytest.raises(RunError, match="This one stops"):
            mine.beat()
        with ObjectLock(folder) as next_one:
            next_one.beat()
            far = json.loads((folder / lock.LOCK).read_bytes()) | {"host": "far"}
            assert not next_one.lost
        for age, alive in ((10.0, True), (3600.0, False)):
            (folder / lock.LOCK).write(json.dumps(far | {"beat": far["beat"] - age}).encode())
            held = held_lock(folder)
            assert held is not None
            assert held.alive is alive
    assert held_lock(folder) is not None, "what another run holds is not removed"


def test_a_lost_answer_to_a_lock_is_no_refusal(proxy: FaultyProxy) -> None:
    """The store creates the lock, the answer is lost, and the repeated request finds our own lock."""
    folder = place_of(f"s3://{BUCKET}/lost/tlseg/nuclei")
    own = ObjectLock(folder)
    (folder / lock.LOCK).write(own._document())
    with own:
        own.beat()


def test_tracked_labels_in_a_store_are_those_on_disk(remote: str, local: Path, tmp_path: Path) -> None:
    given, here, there = local / "out.ome.zarr", tmp_path / "linked.ome.zarr", f"s3://{BUCKET}/linked.ome.zarr"
    link_labels(given, out=here)
    done = link_labels(remote, out=there)
    assert (done.path, done.nuclei > 0) == (there, True)
    copy = fetched(there, tmp_path / "copy")
    assert len(essence(here)) > 20
    assert essence(copy) == essence(here)
    assert {path for path, digest in tree(copy).items() if digest} == {p for p, digest in tree(here).items() if digest}
    assert place_of(f"{there}/tlseg/nuclei").names() == ["run.json"]
    with pytest.raises(LabelError, match="already has labels"):
        link_labels(remote, out=there)
    with pytest.raises(LabelError, match="copy of another movie"):
        link_labels(given, out=there)
    assert link_labels(remote, out=there, overwrite=True).tracks == done.tracks
    for place in (remote, f"{remote}/labels/nuclei"):
        with pytest.raises(LabelError, match=r"only read|are not touched"):
            link_labels(remote, out=place, name="tracked")


def test_channels_are_measured_in_a_store_as_on_disk(remote: str, local: Path, tmp_path: Path) -> None:
    here, there = tmp_path / "measured.ome.zarr", f"s3://{BUCKET}/measured.ome.zarr"
    for place in (here, tmp_path / "copy"):
        place_of(remote).get(place)
    place_of(there).put(here)
    done = measure_channels(there, image=MOVIE, block=(16, 32, 48))
    measure_channels(here, image=local / "movie.ome.zarr")
    assert (done.path, done.nuclei > 0) == (there, True)
    copy = fetched(there, tmp_path / "fetched")
    assert essence(copy) == essence(here) != essence(tmp_path / "copy")
    assert held_lock(place_of(there) / "tlseg" / "nuclei") is None
    assert {path for path, digest in tree(copy).items() if digest} == {p for p, digest in tree(here).items() if digest}


def test_a_measurement_in_a_store_that_was_stopped_goes_on(
    remote: str, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame of the labels is rewritten in the meantime, and is measured again."""
    copy, there = fetched(remote, tmp_path / "copy"), f"s3://{BUCKET}/measure-stopped.ome.zarr"
    place_of(there).put(copy)

    def never(*arguments: object, **settings: object) -> None:
        raise OSError("the network is gone")

    with monkeypatch.context() as patch:
        patch.setattr(measuring, "set_columns", never)
        with pytest.raises(RunError, match=r"table of .* cannot be replaced \(OSError: the network is gone"):
            measure_channels(there, image=MOVIE)
    assert essence(fetched(there, tmp_path / "unchanged")) == essence(copy)
    chunk = next(path for path in (copy / "labels/nuclei/0/c/0").rglob("*") if path.is_file())
    place_of(f"{there}/{chunk.relative_to(copy)}").write(
        (copy / str(chunk.relative_to(copy)).replace("/c/0/", "/c/1/", 1)).read_bytes()
    )
    assert measure_channels(there, image=MOVIE).kept_frames == FRAMES - 1
    folder = Path(scratch_folder(place_of(there), "nuclei", None, of=MEASURING))
    assert folder.parent.is_dir()
    assert not folder.exists()
    here = fetched(there, tmp_path / "here.ome.zarr")
    measured = read_table(here, "nuclei")
    measure_channels(here, image=local / "movie.ome.zarr", overwrite=True)
    pd.testing.assert_frame_equal(read_table(here, "nuclei"), measured)


def test_linking_into_a_store_that_was_stopped_starts_again(
    remote: str, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = f"s3://{BUCKET}/link-stopped.ome.zarr"

    def never(*arguments: object, **settings: object) -> None:
        raise OSError("the network is gone")

    with monkeypatch.context() as patch:
        patch.setattr(link_output, "write_rows", never)
        with pytest.raises(RunError, match="the network is gone"):
            link_labels(remote, out=out)
    assert held_lock(place_of(out) / "tlseg" / "nuclei") is None
    with pytest.raises(LabelError, match="no finished labels"):
        open_result(out)
    link_labels(remote, out=out)
    link_labels(local / "out.ome.zarr", out=tmp_path / "here.ome.zarr")
    assert essence(fetched(out, tmp_path / "copy")) == essence(tmp_path / "here.ome.zarr")


def test_a_movie_converted_into_a_store_is_that_on_disk(
    remote: str, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "new.ome.zarr", f"s3://{BUCKET}/new.ome.zarr"
    convert([local / "movie.ome.zarr"], here)

    def fails(*arguments: object, **settings: object) -> None:
        raise OSError("the network is gone")

    with monkeypatch.context() as patch:
        patch.setattr(ImageWriter, "finish", fails)
        with pytest.raises(RunError, match="the network is gone"):
            convert([MOVIE], there)
    with pytest.raises(MovieError, match="no multiscales"):
        open_source(there)
    assert convert([MOVIE], there).path == there, "what was begun is begun again"
    assert tree(fetched(there, tmp_path / "copy")) == tree(here)
    with pytest.raises(MovieError, match="--overwrite"):
        convert([MOVIE], there)
    for inside, words in ((there, "both input and output"), (f"{there}/1", "holds an input")):
        with pytest.raises(MovieError, match=words):
            convert([inside], there, overwrite=True)
    with pytest.raises(MovieError, match="is read-only"):
        convert([MOVIE], "http://127.0.0.1:1/new.ome.zarr")
    place_of(f"s3://{BUCKET}/other.zarr/notes.txt").write(b"mine")
    with pytest.raises(MovieError, match="not an OME-Zarr"):
        convert([MOVIE], f"s3://{BUCKET}/other.zarr", overwrite=True)
    assert convert([MOVIE], there, overwrite=True).levels == len(open_source(there).level_shapes)


@pytest.mark.parametrize(
    ("owner", "stage"),
    [(simulate_api, "write_tracks"), (simulate_api.LabelWriter, "finish"), (simulate_api.ImageWriter, "finish")],
)
def test_a_simulation_into_a_store_is_no_movie_before_it_is_whole(
    proxy: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, stage: str
) -> None:
    here, there = tmp_path / "sim.ome.zarr", f"s3://{BUCKET}/{owner.__name__}-{stage}/sim.ome.zarr"
    settings = SimulationSettings(frames=2, shape=(8, 24, 24), seed=3)
    simulate(here, settings)
    for again in (False, True):
        with monkeypatch.context() as patch:
            patch.setattr(owner, stage, stopped)
            with pytest.raises(KeyboardInterrupt):
                simulate(there, replace(settings, seed=4), overwrite=again)
        with pytest.raises(MovieError, match="no multiscales"):
            open_source(there)
        simulate(there, settings)  # what was begun is begun again, without being told to overwrite
        assert tree(fetched(there, tmp_path / f"copy{again}")) == tree(here)
        with pytest.raises(MovieError, match="--overwrite"):
            simulate(there, settings)


def stopped(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_other_protocols_fall_out_of_the_same_design(local: Path, tmp_path: Path) -> None:
    out = "memory://elsewhere/result.ome.zarr"
    movie = f"file://{local / 'movie.ome.zarr'}"
    run(movie, local / "model", out=out, scratch=tmp_path / "scratch", keep_maps=True)
    copy = fetched(out, tmp_path / "copy")
    assert essence(copy) == essence(local / "out.ome.zarr")
    assert (copy / "tlseg/nuclei/maps/zarr.json").is_file()
    place_of(out).remove()


def test_bad_places_are_one_line(
    proxy: FaultyProxy, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"model": local / "model", "device": "cpu"}
    with pytest.raises(LabelError, match=r"in an object store are not touched|cannot be added"):
        planned(MOVIE, **{**settings, "out": MOVIE} if place_of(MOVIE).exists() else settings)
    with pytest.raises(PlanError, match="--scratch DIR"):
        segment(local / "movie.ome.zarr", out=f"s3://{BUCKET}/x.zarr", scheduler="tcp://127.0.0.1:1", **settings)
    with pytest.raises(MovieError, match=r"cannot be opened|NoSuchBucket"):
        open_group("s3://no-such-bucket/movie.ome.zarr")
    with pytest.raises(LabelError, match="bucket does not exist") as caught:
        segment(local / "movie.ome.zarr", out="s3://no-such-bucket/x.zarr", scratch=tmp_path, **settings)
    assert "\n" not in str(caught.value)
    answer = CliRunner().invoke(main, ["status", f"s3://{BUCKET}/nothing.zarr"])
    assert answer.exit_code == 2
    assert "has no record of a run" in answer.output
    with pytest.raises((MovieError, MissingExtraError)):
        place_of("nosuch://x/y").exists()
