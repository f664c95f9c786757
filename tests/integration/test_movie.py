"""Movies in: any legal axes give the same pixels in the same place, and unreadable input is one clear line."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import numpy as np
import pytest
import zarr

from handmade import write_movie
from tlseg.errors import LabelError, MovieError
from tlseg.geometry import Box
from tlseg.run.planning import plan_run
from tlseg.run.segment import segment
from tlseg.store.fs.groups import open_store
from tlseg.store.fs.place import place_of
from tlseg.store.fs.remote import RetryingStore
from tlseg.store.image import movie
from tlseg.store.image.chunks import Chunks, describe_missing
from tlseg.store.image.movie import MovieSource, open_movie, open_source
from tlseg.store.image.segmentable import check_segmentable

SIZES = {"t": 3, "c": 2, "z": 4, "y": 6, "x": 5}
SCALE = {"t": 30.0, "c": 1.0, "z": 2.0, "y": 0.5, "x": 0.25}
SHIFT = {"t": 60.0, "c": 0.0, "z": 10.0, "y": 1.0, "x": 0.0}
KINDS = {"t": ("time", "second"), "c": ("channel", None)}
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(1, 4000, tuple(SIZES[a] for a in "tczyx")).astype("u2")  # t, c, z, y, x


def write(
    path: Path, axes: str = "tczyx", *, version: str = "0.5", pixels: np.ndarray | None = None, **more: Any
) -> Path:
    """Write an OME-Zarr image by hand, so that this package's own writer does not vouch for its reader."""
    if pixels is None:
        index = tuple(slice(None) if a in axes else 0 for a in "tczyx")
        present = [a for a in "tczyx" if a in axes]
        pixels = PIXELS[index].transpose([present.index(a) for a in axes])
    group = zarr.create_group(path, zarr_format=3 if version == "0.5" else 2)
    chunks = more.pop(
        "chunks",
        tuple(min(n, {"t": 1, "c": 1, "z": 2, "y": 4, "x": 4}[a]) for a, n in zip(axes, pixels.shape, strict=True)),
    )
    array = group.create_array(
        "0", shape=pixels.shape, dtype=pixels.dtype, chunks=chunks, shards=more.pop("shards", None)
    )
    array[...] = pixels
    listed = []
    for a in axes:
        kind, unit = KINDS.get(a, ("space", "micrometer"))
        listed.append({"name": a, "type": kind} | ({"unit": unit} if unit else {}))
    transforms = [
        {"type": "scale", "scale": [SCALE[a] for a in axes]},
        {"type": "translation", "translation": [SHIFT[a] for a in axes]},
    ]
    datasets = [{"path": "0", "coordinateTransformations": more.pop("transforms", transforms)}]
    multiscales = [{"axes": more.pop("listed", listed), "datasets": datasets}]
    if version == "0.5":
        group.attrs["ome"] = {"version": "0.5", "multiscales": multiscales, **more}
    else:
        multiscales[0]["version"] = "0.4"
        group.attrs.update({"multiscales": multiscales, **more})
    return path


LEGAL = [
    t + c + "".join(space)
    for t, c in itertools.product(["", "t"], ["", "c"])
    for space in [*itertools.permutations("zyx"), *itertools.permutations("yx")]
]


@pytest.mark.parametrize(("axes", "version"), [*((a, "0.5") for a in LEGAL), *((a, "0.4") for a in LEGAL[::7])])
def test_any_legal_axes_give_the_same_pixels_at_the_same_place(tmp_path: Path, axes: str, version: str) -> None:
    path = write(tmp_path / "m.ome.zarr", axes, version=version)
    movie = open_movie(path)
    assert movie.dims == tuple(a for a in "tczyx" if a in axes)
    expected = PIXELS[tuple(slice(None) if a in axes else 0 for a in "tczyx")]
    np.testing.assert_array_equal(movie.values, expected)
    for axis in set(axes) - {"c"}:
        np.testing.assert_allclose(movie[axis], SHIFT[axis] + np.arange(SIZES[axis]) * SCALE[axis])

    source = open_source(path, channel=SIZES["c"] - 1 if "c" in axes else None)
    frame, channel = SIZES["t"] - 1 if "t" in axes else 0, SIZES["c"] - 1 if "c" in axes else 0
    plane = slice(None) if "z" in axes else slice(0, 1)
    expected = PIXELS[frame, channel, plane]
    assert source.shape == (SIZES["t"] if "t" in axes else 1, *expected.shape)
    assert (source.is_2d, source.version, source.writable) == ("z" not in axes, version, version == "0.5")
    box = Box((0, 1, 2), (source.shape[1], 5, 5))
    np.testing.assert_array_equal(source.read(frame, box), expected[box.slices])


def test_a_movie_says_its_units_and_stays_lazy(tmp_path: Path) -> None:
    movie = open_movie(write(tmp_path / "embryo.ome.zarr"))
    assert movie.name == "embryo"
    assert movie.attrs["units"] == {"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"}
    assert movie.attrs["spacing_um"] == (2.0, 0.5, 0.25)
    assert movie.attrs["interval_s"] == 30.0
    assert movie.attrs["source"] == str(tmp_path / "embryo.ome.zarr")
    assert movie.chunks is not None
    assert movie["z"].attrs["units"] == "micrometer"


def test_channels_by_number_and_by_name(tmp_path: Path) -> None:
    omero = {"channels": [{"label": "membrane"}, {"label": "nuclei"}]}
    path = write(tmp_path / "m.ome.zarr", omero=omero)
    everything = Box.of_shape((4, 6, 5))
    for channel in (1, "nuclei", "1"):
        np.testing.assert_array_equal(open_movie(path, channel=channel).values, PIXELS[:, 1])
        np.testing.assert_array_equal(open_source(path, channel=channel).read(2, everything), PIXELS[2, 1])
    np.testing.assert_array_equal(open_source(path).read(0, everything), PIXELS[0, 0])
    assert open_source(path).channel_names == ("membrane", "nuclei")
    assert list(open_movie(path)["c"].values) == ["membrane", "nuclei"]
    for channel in (2, -1, "cytoplasm"):
        with pytest.raises(MovieError, match="'membrane', 'nuclei'"):
            open_source(path, channel=channel)


def test_a_source_travels_small_and_reads_the_same(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "m.ome.zarr"))
    text = pickle.dumps(source)
    assert len(text) < 4000
    box = Box.of_shape(source.frame_shape)
    np.testing.assert_array_equal(pickle.loads(text).read(1, box), PIXELS[1, 0])


def test_identity_changes_with_what_matters_only(tmp_path: Path) -> None:
    path = write(tmp_path / "m.ome.zarr")
    identity = open_source(path).identity()
    assert json.loads(json.dumps(identity)) == identity
    assert open_source(str(path) + "/").identity() == identity
    assert open_source(path, channel=1).identity() != identity
    write(tmp_path / "rechunked.ome.zarr", chunks=(1, 1, 1, 6, 5))
    assert open_source(tmp_path / "rechunked.ome.zarr").identity()["array_metadata"] != identity["array_metadata"]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("read_before", [False, True])
@pytest.mark.parametrize("other", [PIXELS[:, :, :2], PIXELS.astype("i2")], ids=["shape", "type"])
def test_a_movie_replaced_after_opening_is_not_read(
    tmp_path: Path, version: str, read_before: bool, other: np.ndarray
) -> None:
    """Not even by a process that has read from it and still has it open."""
    path, voxel = tmp_path / "m.ome.zarr", Box((0, 0, 0), (1, 1, 1))
    source = open_source(write(path, version=version))
    if read_before:
        source.read(0, voxel)
    path.rename(tmp_path / "old")
    write(path, version=version, pixels=other)
    with pytest.raises(MovieError, match="replaced since it was opened"):
        source.read(0, voxel)


def test_a_movie_that_is_gone_is_told(tmp_path: Path) -> None:
    path, voxel = tmp_path / "m.ome.zarr", Box((0, 0, 0), (1, 1, 1))
    source = open_source(write(path))
    source.read(0, voxel)
    path.rename(tmp_path / "old")
    with pytest.raises(MovieError, match="cannot be opened"):
        source.read(0, voxel)


def test_big_endian_pixels_come_native(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "m.ome.zarr", version="0.4", pixels=PIXELS.astype(">u2")))
    voxels = source.read(0, Box.of_shape(source.frame_shape))
    assert voxels.dtype.isnative
    np.testing.assert_array_equal(voxels, PIXELS[0, 0])


@pytest.mark.parametrize("box", [Box((0, 0, 0), (5, 6, 5)), Box((-1, 0, 0), (1, 1, 1))])
def test_reading_outside_the_movie_is_refused(tmp_path: Path, box: Box) -> None:
    source = open_source(write(tmp_path / "m.ome.zarr"))
    with pytest.raises(MovieError, match="Expected a place inside"):
        source.read(0, box)
    with pytest.raises(MovieError, match="frame 3"):
        source.read(3, Box((0, 0, 0), (1, 1, 1)))


def chunk(path: Path, key: str) -> Path:
    return path / "0" / "c" / key


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("damage", ["cut short", "garbage"])
def test_a_damaged_chunk_names_the_frame_and_the_box(tmp_path: Path, damage: str, sharded: bool) -> None:
    path = write(tmp_path / "m.ome.zarr", chunks=(1, 1, 2, 3, 5), shards=(1, 1, 4, 6, 5) if sharded else None)
    victim = chunk(path, "2/0/0/0/0")
    data = victim.read_bytes()
    victim.write_bytes(data[: len(data) // 2] if damage == "cut short" else b"\xff" * len(data))
    source = open_source(path)
    source.read(1, Box.of_shape(source.frame_shape))
    with pytest.raises(MovieError, match=r"frame 2, voxels \[0:4, 0:6, 0:5\] cannot be read") as caught:
        source.read(2, Box.of_shape(source.frame_shape))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_missing_chunks_are_those_of_the_frames_and_the_channel(tmp_path: Path, version: str) -> None:
    path = write(tmp_path / "m.ome.zarr", version=version)
    source = open_source(path, channel=1)
    assert list(source.missing_chunks(range(3))) == []
    keys = ["1/1/0/0/1", "2/0/0/0/0", "2/1/1/1/0"]  # the middle one is another channel
    names = [f"0/c/{k}" if version == "0.5" else "0/" + k.replace("/", ".") for k in keys]
    for name in names:
        (path / name).unlink()
    assert list(source.missing_chunks(range(3))) == [names[0], names[2]]
    assert list(source.missing_chunks(range(1))) == []
    assert list(source.missing_chunks(range(2, 3))) == [names[2]]


def source_of(array: Any, url: str, path: str, axes: str, *, channel: int = 0) -> MovieSource:
    """Return the movie that an array is, whatever the order of its axes."""
    sizes = dict(zip(axes, array.shape, strict=True))
    return MovieSource(
        url=url,
        array_path=path,
        axes=axes,
        channel=channel,
        shape=tuple(sizes.get(a, 1) for a in "tzyx"),
        dtype=array.dtype.str,
        spacing_um=(1.0, 1.0, 1.0),
        translation_um=(0.0, 0.0, 0.0),
        spacing_problem=None,
        interval_s=None,
        start_s=0.0,
        channel_names=(),
        version="0.5",
        is_2d="z" not in axes,
        writable=False,
        level_shapes=(),
        digest=movie._digest(array),
    )


@pytest.mark.parametrize("axes", ["tczyx", "ctzyx", "zyx", "tyx", "zctyx"])
@pytest.mark.parametrize("kind", ["folders", "points", "shards", "0.4 folders", "0.4 points"])
@pytest.mark.parametrize("where", ["local", "remote"])
def test_missing_chunks_are_found_however_they_are_named(tmp_path: Path, axes: str, kind: str, where: str) -> None:
    """In every layout, the chunks that were removed, each once and in order."""
    grid = {"t": 2, "c": 2, "z": 3, "y": 2, "x": 2}
    url = str(tmp_path / "m") if where == "local" else f"memory://{uuid4().hex}/m"
    old = kind.startswith("0.4")
    array = zarr.create_array(
        open_store(url, access="write"),
        name="a/0",
        shape=tuple(2 * grid[a] for a in axes),
        dtype="u2",
        chunks=(1 if kind == "shards" else 2,) * len(axes),
        shards=(2,) * len(axes) if kind == "shards" else None,
        chunk_key_encoding={"name": "v2" if old else "default", "separator": "." if "points" in kind else "/"},
        zarr_format=2 if old else 3,
    )
    array[...] = 1
    source = source_of(array, url, "a/0", axes, channel=1 if "c" in axes else 0)
    assert list(source.missing_chunks(range(4))) == []
    places = list(itertools.product(*(range(grid[a]) for a in axes)))
    lost = places[::3]
    for place in lost:
        (place_of(url) / f"a/0/{array.metadata.encode_chunk_key(place)}").remove()
    of_channel = [p for p in lost if "c" not in axes or p[axes.index("c")] == 0]
    of_frame = [p for p in of_channel if "t" not in axes or p[axes.index("t")] == 1]
    source = replace(source, channel=0)
    for frames, expected in ((range(4), of_channel), (range(2, 3), of_frame), (range(0), of_frame[:0])):
        if "t" in axes or frames:
            keys_of = [f"a/0/{array.metadata.encode_chunk_key(place)}" for place in expected]
            assert list(source.missing_chunks(frames)) == keys_of


def test_the_first_missing_chunks_of_many_are_found_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of ten million exists: only a folder or two are listed, and no file is looked up."""
    array = zarr.create_array(
        tmp_path, name="0", shape=(1000, 2, 100, 1000, 1000), dtype="u1", chunks=(1, 1, 10, 100, 100)
    )
    source = source_of(array, str(tmp_path), "0", "tczyx")
    looks: list[Any] = []
    for name, look in (("scandir", os.scandir), ("path.exists", os.path.exists)):
        monkeypatch.setattr(
            f"tlseg.store.image.chunks.os.{name}", lambda path, look=look: (looks.append(path), look(path))[1]
        )
    assert next(source.missing_chunks(range(1000))) == "0/c/0/0/0/0/0"
    assert (
        describe_missing(source.missing_chunks(range(1000)))
        == "at least 100 chunks are missing, the first is 0/c/0/0/0/0/0"
    )
    assert len(looks) < 5


def test_a_link_that_leads_nowhere_is_no_chunk(tmp_path: Path) -> None:
    """As left by copies that fetch files only on demand."""
    path = write(tmp_path / "m.ome.zarr")
    for victim, target in (("1/0/0/0/0", "nowhere"), ("1/0/0/0/1", "../../../../0/0/0/0/0")):
        chunk(path, victim).unlink()
        chunk(path, victim).symlink_to(target)
    assert list(open_source(path).missing_chunks(range(3))) == ["0/c/1/0/0/0/0"]


def test_a_remote_store_is_asked_for_the_frames_that_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"memory://{uuid4().hex}/m"
    array = zarr.create_array(
        open_store(url, access="write"), name="0", shape=(4, 2, 20, 20), dtype="u1", chunks=(1, 1, 2, 2)
    )
    array[...] = 1
    (place_of(url) / "0/c/2/1/9/9").remove()
    asked: list[str] = []
    listed = RetryingStore.list_prefix
    monkeypatch.setattr(
        RetryingStore, "list_prefix", lambda self, prefix: (asked.append(prefix), listed(self, prefix))[1]
    )
    for frames, expected, found in (((1,), ["0/c/1/1/"], []), ((2, 3), ["0/c/2/1/"], ["0/c/2/1/9/9"])):
        asked.clear()
        missing = Chunks.of(array, url=url, path="0", axes="tcyx", frames=frames, channel=1).missing()
        assert list(itertools.islice(missing, len(found) or 1)) == found
        assert asked == expected


@pytest.mark.parametrize("where", ["folder", "memory url"])
@pytest.mark.parametrize("separator", ["/", "."])
def test_the_mark_of_a_frame_changes_with_its_pixels_only(tmp_path: Path, where: str, separator: str) -> None:
    url = str(tmp_path / "m") if where == "folder" else f"memory://{uuid4().hex}/m"
    array = zarr.create_array(
        open_store(url, access="write"),
        name="0",
        shape=(3, 2, 1, 4, 4),
        dtype="u1",
        chunks=(1, 1, 1, 2, 2),
        chunk_key_encoding={"name": "default", "separator": separator},
    )
    array[:2] = 1
    source = source_of(array, url, "0", "tczyx")

    def marks() -> list[str]:
        return [source.mark(frame) for frame in range(3)]

    before = marks()
    assert marks() == before, "nothing was written"
    together = where != "folder" and separator == "."  # all objects of the array lie in one folder
    assert (before[0] == before[2]) == together, "the last frame has no files"
    time.sleep(0.02)
    array[1, 0, 0, :2, :2] = 2
    array[0, 1] = 2  # another channel
    changed = [mark != old for mark, old in zip(marks(), before, strict=True)]
    assert changed == ([True] * 3 if together else [False, True, False])
    before = marks()
    (place_of(url) / "0" / separator.join(("c", "1", "0", "0", "1", "1"))).remove()
    assert marks()[1] != before[1]


def segmentable_error(path: Path, frames: range = range(3), **more: Any) -> str:
    source = open_source(path)
    with pytest.raises(MovieError) as caught:
        check_segmentable(source, frames, **more)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_good_movie_can_be_segmented(tmp_path: Path) -> None:
    for dtype in ("u1", "u2", "i2", "f4"):
        source = open_source(write(tmp_path / f"{dtype}.ome.zarr", pixels=PIXELS.clip(0, 200).astype(dtype)))
        check_segmentable(source, range(3))


@pytest.mark.parametrize(
    ("dtype", "found"),
    [("f8", "float64"), (">u2", "big-endian uint16"), ("i8", "int64"), ("?", "bool"), ("c8", "complex64")],
)
def test_pixels_networks_do_not_take_are_refused(tmp_path: Path, dtype: str, found: str) -> None:
    path = write(tmp_path / "m.ome.zarr", version="0.4", pixels=PIXELS.astype(dtype))
    message = segmentable_error(path)
    assert found in message
    assert "tlseg convert m.ome.zarr OUT.ome.zarr" in message


def test_unknown_spacing_asks_for_it(tmp_path: Path) -> None:
    assert "--spacing Z,Y,X" in segmentable_error(write(tmp_path / "none.ome.zarr", transforms=[]))
    bad = [{"type": "scale", "scale": [1, 1, 0, 1, 1]}]
    assert "not positive: z 0" in segmentable_error(write(tmp_path / "zero.ome.zarr", transforms=bad))
    plain = [{"name": a, "type": KINDS.get(a, ("space",))[0]} for a in "tczyx"]
    ones = [{"type": "scale", "scale": [1] * 5}]
    message = segmentable_error(write(tmp_path / "ones.ome.zarr", transforms=ones, listed=plain))
    assert "every scale is 1" in message


def test_missing_chunks_stop_a_run_unless_allowed(tmp_path: Path) -> None:
    path = write(tmp_path / "m.ome.zarr")
    chunk(path, "1/0/0/0/0").unlink()
    message = segmentable_error(path)
    assert "1 chunk is missing" in message
    assert "0/c/1/0/0/0/0" in message
    check_segmentable(open_source(path), range(3), allow_missing=True)
    check_segmentable(open_source(path), range(2, 3))


def test_nothing_to_segment(tmp_path: Path) -> None:
    assert "nothing to segment" in segmentable_error(write(tmp_path / "a.ome.zarr"), range(0))
    assert "Use frames 0:3" in segmentable_error(tmp_path / "a.ome.zarr", range(2, 5))
    empty = write(tmp_path / "b.ome.zarr", pixels=PIXELS[:0], chunks=(1, 1, 2, 2, 2))
    assert "convert the movie again" in segmentable_error(empty, range(1))


def absent(path: Path) -> Path:
    return path / "nowhere"


def folder(path: Path) -> Path:
    (path / "plain").mkdir()
    return path / "plain"


def file(path: Path) -> Path:
    (path / "m.tif").write_bytes(b"II*\0")
    return path / "m.tif"


def bare_array(path: Path) -> Path:
    zarr.create_array(path / "a.zarr", shape=(2, 2), dtype="u2")
    return path / "a.zarr"


def bare_array_2(path: Path) -> Path:
    zarr.create_array(path / "a.zarr", shape=(2, 2), dtype="u2", zarr_format=2)
    return path / "a.zarr"


def bare_group(path: Path) -> Path:
    zarr.create_group(path / "g.zarr")
    return path / "g.zarr"


def truncated(path: Path) -> Path:
    document = write(path / "m.ome.zarr") / "zarr.json"
    document.write_text(document.read_text()[:200])
    return path / "m.ome.zarr"


def truncated_array(path: Path) -> Path:
    document = write(path / "m.ome.zarr") / "0" / "zarr.json"
    document.write_text(document.read_text()[:200])
    return path / "m.ome.zarr"


def no_array(path: Path) -> Path:
    (write(path / "m.ome.zarr") / "0" / "zarr.json").unlink()
    return path / "m.ome.zarr"


def too_few_axes(path: Path) -> Path:
    return write(path / "m.ome.zarr", listed=[{"name": a, "type": "space"} for a in "zyx"], transforms=[])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (absent, "does not exist"),
        (folder, "not a Zarr group"),
        (file, "tlseg convert m.tif"),
        (bare_array, "bare Zarr array"),
        (bare_array_2, "bare Zarr array"),
        (bare_group, "no multiscales"),
        (truncated, "damaged or cut short"),
        (truncated_array, "cannot be opened"),
        (no_array, "'0', which cannot be opened"),
        (too_few_axes, "5 dimensions"),
    ],
)
def test_what_is_no_movie_says_so_in_one_line(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    path = make(tmp_path)
    for opener in (open_source, open_movie):
        with pytest.raises(MovieError, match=message) as caught:
            opener(path)
        assert "\n" not in str(caught.value)


def test_levels(tmp_path: Path) -> None:
    with pytest.raises(MovieError, match="level 1 was requested"):
        open_source(write(tmp_path / "m.ome.zarr"), level=1)


class Quiet(SimpleHTTPRequestHandler):
    """Static files, and the listing of S3 where one is asked for."""

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if "list-type" not in query:
            return super().do_GET()
        bucket = Path(self.directory) / urlsplit(self.path).path.strip("/")
        prefix, most = query.get("prefix", [""])[0], int(query.get("max-keys", ["1000"])[0])
        files = sorted(
            p for p in bucket.rglob("*") if p.is_file() and p.relative_to(bucket).as_posix().startswith(prefix)
        )
        keys = "".join(
            f"<Contents><Key>{p.relative_to(bucket).as_posix()}</Key><Size>{p.stat().st_size}</Size></Contents>"
            for p in files[:most]
        )
        body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{keys}</ListBucketResult>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_address[1]}"
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_same_call_reads_over_http(tmp_path: Path, server: str, version: str) -> None:
    pytest.importorskip("aiohttp")
    write(tmp_path / "m.ome.zarr", version=version)
    url = f"{server}/m.ome.zarr"
    np.testing.assert_array_equal(open_movie(url).values, PIXELS)
    source = pickle.loads(pickle.dumps(open_source(url)))
    np.testing.assert_array_equal(source.read(1, Box.of_shape(source.frame_shape)), PIXELS[1, 0])
    assert (source.writable, list(source.missing_chunks(range(3)))) == (False, [])
    with pytest.raises(MovieError, match=r"cannot be opened as an OME-Zarr group|no multiscales"):
        open_source(f"{server}/nowhere")


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_plan_of_a_movie_elsewhere_says_that_a_run_needs_an_output(tmp_path: Path, server: str) -> None:
    pytest.importorskip("aiohttp")
    write_movie(tmp_path / "m.ome.zarr", np.ones((1, 24, 48, 48), np.uint16))
    (note,) = plan_run(f"{server}/m.ome.zarr").notes
    assert "because it is not on this machine: tlseg segment needs --out RESULT.ome.zarr" in note
    with pytest.raises(LabelError, match=r"it is not on this machine\. Expected a local"):
        segment(f"{server}/m.ome.zarr")


@pytest.mark.filterwarnings("ignore")
def test_the_same_call_reads_from_s3(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    s3fs = pytest.importorskip("s3fs")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    write(tmp_path / "bucket" / "m.ome.zarr")
    source = open_source("s3://bucket/m.ome.zarr")
    np.testing.assert_array_equal(source.read(1, Box.of_shape(source.frame_shape)), PIXELS[1, 0])
    np.testing.assert_array_equal(open_movie("s3://bucket/m.ome.zarr", channel=0).values, PIXELS[:, 0])
    assert list(source.missing_chunks(range(3))) == []
    chunk(tmp_path / "bucket" / "m.ome.zarr", "1/0/0/0/0").unlink()
    s3fs.S3FileSystem.clear_instance_cache()
    assert list(source.missing_chunks(range(3))) == ["0/c/1/0/0/0/0"]


@pytest.mark.parametrize(
    ("url", "module", "extra"), [("https://example.org/m", "aiohttp", "http"), ("s3://b/m", "s3fs", "s3")]
)
def test_a_missing_file_system_names_the_extra(url: str, module: str, extra: str) -> None:
    code = (
        "import sys; sys.modules[sys.argv[2]] = None\n"
        "from tlseg.errors import MissingExtraError; from tlseg.store.image.movie import open_source\n"
        "try: open_source(sys.argv[1])\n"
        "except MissingExtraError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, url, module], capture_output=True, text=True, check=True)
    assert f"[{extra}]'" in done.stdout


def test_an_unknown_scheme_is_one_line() -> None:
    with pytest.raises(MovieError, match="https:// or s3://"):
        open_source("nonsense://movie")


def test_opening_a_local_movie_loads_no_remote_file_system(tmp_path: Path) -> None:
    path = write(tmp_path / "m.ome.zarr")
    code = (
        "import sys; from tlseg.store.image.movie import open_movie, open_source; open_source(sys.argv[1]); "
        "assert not {'torch', 'dask', 'distributed', 's3fs', 'aiohttp'} & set(sys.modules), sorted(sys.modules); "
        "open_movie(sys.argv[1]); assert not {'torch', 'distributed', 's3fs', 'aiohttp'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


SAMPLES = "ome-zarr-samples"


def sample(data: Path, name: str) -> Path:
    return data / SAMPLES / name


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("ome-zarr-examples/valid/image-01.zarr", (1, 1, 1000, 1000)),
        ("ome-zarr-examples/valid/image-02.zarr", (1, 1, 200, 200)),
        ("ome-zarr-examples/valid/image-03.zarr", (1, 2, 100, 100)),
        ("ome-zarr-examples/valid/image-04.zarr", (1, 2, 64, 64)),
        ("ome-zarr-examples/valid/plate-01.zarr/B/2/0", (1, 1, 1000, 1000)),
        ("ome-zarr-examples/warning/image-01.zarr", (1, 1, 64, 64)),
        ("neuroglancer/simple_0.4", (1, 1, 10, 10)),
        ("neuroglancer/simple_0.5", (1, 1, 10, 10)),
    ],
)
def test_samples_others_wrote_open(data: Path, name: str, shape: tuple[int, ...]) -> None:
    source = open_source(sample(data, name))
    assert source.shape == shape
    movie = open_movie(sample(data, name))
    np.testing.assert_array_equal(source.read(0, Box.of_shape(source.frame_shape)).squeeze(), movie.values.squeeze())


def test_neuroglancer_samples_have_spacing_in_micrometres_and_real_pixels(data: Path) -> None:
    for version in ("0.4", "0.5"):
        movie = open_movie(sample(data, f"neuroglancer/simple_{version}"), level=1)
        assert movie.attrs["spacing_um"][1:] == pytest.approx((0.008, 0.06))
        assert movie["x"].values[0] == pytest.approx(0.015)
        assert movie.values.max() > 0


@pytest.mark.parametrize(
    "name",
    [f"ome-zarr-examples/invalid/image-0{i}.zarr" for i in (1, 2, 3, 4)] + ["ome-zarr-examples/valid/plate-01.zarr"],
)
def test_invalid_samples_are_one_line(data: Path, name: str) -> None:
    with pytest.raises(MovieError) as caught:
        open_source(sample(data, name))
    assert "\n" not in str(caught.value)
