"""Mothers as people write them down: all spellings mean the same, and errors name their line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tlseg.errors import LabelError
from tlseg.store.labels.parents import read_parents
from tlseg.store.labels.tracks import write_tracks

CHALLENGE = "7 0 2 0\n20 3 5 7\n30 3 4 7\n"
MOTHERS = {20: 7, 30: 7}


def mothers(path: Path) -> dict[int, int]:
    told = read_parents(path).tracks
    told = told[told["parent"] > 0]
    return dict(zip(told["track"].tolist(), told["parent"].tolist(), strict=True))


def graph(root: Path, name: str = "nuclei") -> Path:
    """A graph of track 7 and its daughters, each seen twice."""
    nodes = pd.DataFrame({"t": [0, 1, 2, 2, 3, 3], "label": [7, 7, 20, 30, 20, 30]})
    nodes = nodes.assign(track=nodes["label"], lineage=7, z_um=0.0, y_um=0.0, x_um=0.0)
    edges = pd.DataFrame(
        [(0, 7, 1, 7), (1, 7, 2, 20), (1, 7, 2, 30), (2, 20, 3, 20), (2, 30, 3, 30)],
        columns=["t_a", "label_a", "t_b", "label_b"],
    ).assign(kind="link", confidence=1.0)
    return write_tracks(root, nodes, edges, spacing_um=(1, 1, 1), interval_s=None, name=name).path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("man_track.txt", CHALLENGE),
        ("man_track.txt", CHALLENGE.replace("\n", "\r\n")),
        ("a.csv", "track,parent\n7,0\n20,7\n30,7\n"),
        ("a.csv", " parent , track\r\n7, 20\r\n\r\n7,30\r\n"),
        ("a.txt", "track,first,parent\n20,3,7\n30,3,7\n"),
        ("a.csv", 'name,track,parent\n"one,\ntwo",20,7\n,30,7\n'),
        ("a.csv", "track;parent\n20;7\n30;7\n"),
        ("a.csv", "Track, Parent \n20.0,7.0\n30.,7.00\n"),
        ("a.csv", "sep=;\r\nname, or note;track;parent\r\none, two, three;20;7\r\n;30;7\r\n"),
        ("a.csv", "SEP=,\ntrack,parent\n20,7\n30,7\n"),
        ("a.csv", "\ntrack,parent\n7,\n20,7\n30,7\n"),
        ("a.csv", "t,label,track,parent\n2,20,20,7\n2,30,30,7\n3,20,20,7\n3,30,30,7\n"),
        ("a.tsv", "TRACK\tPARENT\n20\t7\n30\t7\n"),
        ("a.tsv", CHALLENGE.replace(" ", "\t")),
        ("a.txt", "\n track\tparent\n20\t7\n30\t7\n"),
        ("mothers", "track;parent\n20;7\n30;7\n"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_every_spelling_says_the_same(tmp_path: Path, name: str, text: str, encoding: str) -> None:
    (tmp_path / name).write_bytes(text.encode(encoding))
    assert mothers(tmp_path / name) == MOTHERS


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_tables_saved_as_unicode_text_are_read(tmp_path: Path, encoding: str) -> None:
    mark = "" if encoding == "utf-16" else "\ufeff"
    for text in ("Track\tParent\r\n20\t7\r\n30\t7\r\n", CHALLENGE):
        (tmp_path / "a.txt").write_bytes(f"{mark}{text}".encode(encoding))
        assert mothers(tmp_path / "a.txt") == MOTHERS


def test_folders_and_graphs_are_found(tmp_path: Path) -> None:
    (tmp_path / "01_RES").mkdir()
    (tmp_path / "01_RES" / "res_track.txt").write_text(CHALLENGE)
    assert mothers(tmp_path / "01_RES") == MOTHERS
    found = read_parents(graph(tmp_path))
    assert (found.kind, found.where) == ("graph", f"The lineage graph of {tmp_path / 'tracks.geff'}")
    assert mothers(tmp_path / "tracks.geff") == MOTHERS
    (tmp_path / "tracks.geff").rename(tmp_path / "mine")
    assert mothers(tmp_path / "mine") == MOTHERS


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "", "a.csv is empty. Expected a table with a header"),
        ("a.csv", "7,0\n20,7\n", "a.csv is 7, 0. Expected a table with a header and the columns track and parent"),
        ("a.csv", " \n", "a.csv is empty. Expected a table with a header"),
        ("a.txt", "", "a.txt is empty. Expected a table with a header"),
        ("a.csv", "sep=;\n", "a.csv is empty. Expected"),
        ("a.csv", "track|parent\n20|7\n", r"a.csv is track\|parent. Expected"),
        ("a.txt", "track parent\n20 7\n", "a.txt is track parent. Expected a table"),
        ("a.csv", "track,parent,Parent\n20,7,7\n", "a.csv is track, parent, Parent"),
        ("a.csv", "track,parent\n20,7\n,7\n", "line 3: found ',7', expected 2 values, of which track and parent are"),
        ("a.csv", "track,parent\n20,7.0.0\n", "line 2: found '20,7.0.0'"),
        ("a.csv", "track,parent\n20,7.5\n", "line 2: found '20,7.5'"),
        ("a.csv", "track,parent\n20,-7\n", "line 2: found '20,-7'"),
        ("a.csv", "track,parent\n20\n", "line 2: found '20', expected 2 values"),
        ("a.csv", "track,parent\n20,7,1\n", "line 2: found '20,7,1', expected 2 values"),
        ("a.csv", f"track,parent\n20,{2**63}\n", "line 2: found"),
        ("a.csv", f"track,parent\n20,1{'0' * 5000}\n", "line 2: found"),
        ("a.csv", "track,parent\n20,7\n30,7\n20,8\n", "line 4: track 20 has parent 8, but 7 further up. Give each"),
        ("a.csv", "track,parent\n20,7\n30,7\n20,\n", "line 4: track 20 has parent 0, but 7 further up"),
        ("a.csv", "track,parent\n0,7\n", "contains track 0, but 0 is the background"),
        ("a.txt", "20 3 5\n", "line 1: found '20 3 5', expected four whole numbers"),
        ("a.txt", "20 3 5 7\n20 3 5 7\n", "line 2: track 20 appears twice"),
        ("a.txt", "20 5 3 7\n", "ends before it starts"),
        ("a.txt", "0 3 5 7\n", "contains track 0"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(LabelError, match=words):
        read_parents(tmp_path / name)


def test_what_tells_no_mothers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bytes.csv").write_bytes(np.arange(256, dtype=np.uint8).tobytes())
    for path, words in [
        ("", "The path of the mothers is empty"),
        (tmp_path / "none.csv", "none.csv does not exist"),
        (tmp_path / "empty", "does not contain mothers of tracks. Expected a table"),
        (tmp_path / "bytes.csv", "cannot be read as text"),
    ]:
        with pytest.raises(LabelError, match=words):
            read_parents(path)
