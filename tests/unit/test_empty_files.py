"""An empty file is damage wherever it is: Zarr itself takes an empty shard for one never written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from tlseg.store.fs.groups import open_group, writable_group
from tlseg.store.fs.place import Place


@pytest.mark.parametrize("remote", [False, True], ids=["local", "remote"])
@pytest.mark.parametrize("shards", [(4, 4), None], ids=["shard", "chunk"])
def test_an_empty_file_is_not_read_as_zeros(tmp_path: Path, remote: bool, shards: tuple[int, int] | None) -> None:
    if remote:
        pytest.importorskip("fsspec")
    url = f"memory://empty-{shards}" if remote else str(tmp_path / "group.zarr")
    array = writable_group(url).create_array("0", shape=(8, 4), dtype="uint8", chunks=(2, 2), shards=shards)
    array[:] = np.ones((8, 4), np.uint8)
    (Place(url) / "0/c/1/0").write(b"")
    read = open_group(url)["0"]
    assert isinstance(read, zarr.Array)
    assert np.all(read[:2] == 1)
    with pytest.raises(EOFError, match=r"0/c/1/0 is empty"):
        read[:]
