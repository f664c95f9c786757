"""How long does linking take, how much memory, and how right is it, beside laptrack on the same points?

    pip install -e '.[bench]'
    python benchmarks/linking.py [--frames N] [--nuclei N] [--wander UM] [--curve N,N,...] [--out FOLDER]

The points are a tissue that stays as dense as it is: nuclei 12 um apart wander around their places (1.6 um a frame), divide
every 200 frames or so, as many others vanish, and 1 in 100 is missed in each frame. Both programs may look 8 um far and
bridge 3 missing frames. Each linking runs in a process of its own, from a table in memory to a table of links; memory is
the peak of that process, less what it held before it linked. `--curve` then links tissues of other sizes with tlseg alone
and writes linking.csv and linking.png into FOLDER.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from machine import machine, table

from tlseg.evaluate.divisions import score_divisions
from tlseg.evaluate.lineage import TrackGraph, graph_of_links
from tlseg.evaluate.scores import precision_recall

PITCH_UM, REACH_UM, RADIUS_UM = 12.0, 8.0, 4.5
MEMORY = 0.82  # share of its distance from its place that a nucleus keeps to the next frame
CYCLE, CYCLE_NOISE, MISSED, MAX_GAP = 200, 0.1, 0.01, 3
LINKS = ["frame", "label", "next_frame", "next_label"]


def main() -> None:
    """Compare, then draw the curve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--nuclei", type=int, default=2000)
    parser.add_argument("--wander", type=float, default=1.5, help="spread of a nucleus around its place, um")
    parser.add_argument("--programs", default="tlseg,laptrack,laptrack-frames", help="which to compare")
    parser.add_argument(
        "--curve", default="", help="other numbers of nuclei for tlseg alone, such as 100,500,2000,5000"
    )
    parser.add_argument("--out", type=Path, default=Path("bench"))
    parser.add_argument("--only", nargs=3, metavar=("PROGRAM", "POINTS", "LINKS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        link_alone(*options.only)
        return
    programs = options.programs.split(",") if options.programs else []
    print(machine() + (f", laptrack {version('laptrack')}" if any("laptrack" in p for p in programs) else ""), "\n")
    with tempfile.TemporaryDirectory() as folder:
        if programs:
            compare(programs, options.frames, options.nuclei, options.wander, Path(folder))
        if options.curve:
            numbers = [int(n) for n in options.curve.split(",")]
            draw(cost_curve(numbers, options.frames, options.wander, Path(folder)), options.out)


def compare(programs: list[str], frames: int, nuclei: int, wander_um: float, folder: Path) -> None:
    """Link the same points with each program, one after the other, and print a table."""
    points, truth = tissue(frames, nuclei, wander_um=wander_um)
    print(f"{frames} frames, {len(points)} points, {len(truth)} true links\n", flush=True)
    measured = {}
    for program in programs:
        measured[program] = measure(program, points, truth, folder)
        print(f"{program}: {measured[program]['seconds']:.1f} s", flush=True)
    print()
    first = measured[programs[0]]["cpu"]
    columns = ["program", "s", "CPU s", "times the CPU", "GiB", "links right", "links found", "division F1"]
    rows = [
        [
            program,
            *(f"{m[key]:.1f}" for key in ("seconds", "cpu")),
            f"{m['cpu'] / first:.1f}",
            f"{m['gib']:.2f}",
            *(f"{m[key]:.4f}" for key in ("precision", "recall")),
            f"{m['division_f1']:.3f}",
        ]
        for program, m in measured.items()
    ]
    print(table(columns, rows), "\n")


def cost_curve(numbers: list[int], frames: int, wander_um: float, folder: Path) -> pd.DataFrame:
    """Link ever larger tissues with tlseg; one row each."""
    rows = []
    for nuclei in numbers:
        points, truth = tissue(frames, nuclei, wander_um=wander_um)
        rows.append({"frames": frames, "nuclei": nuclei, **measure("tlseg", points, truth, folder)})
        print(f"{nuclei} nuclei: {rows[-1]['seconds']:.1f} s, {rows[-1]['gib']:.2f} GiB", flush=True)
    return pd.DataFrame(rows)


def draw(curve: pd.DataFrame, out: Path) -> None:
    """Write the curve as CSV and picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    out.mkdir(parents=True, exist_ok=True)
    curve.round(4).to_csv(out / "linking.csv", index=False)
    figure, left = plt.subplots(figsize=(5.2, 3.4), layout="constrained")
    right = left.twinx()
    left.loglog(curve["nuclei"], curve["cpu"], "o-", color="#0b6e8f")
    right.loglog(curve["nuclei"], curve["gib"], "s--", color="#b4541a")
    left.set(xlabel=f"nuclei in each of {curve['frames'].iloc[0]} frames", xticks=curve["nuclei"].tolist())
    left.set_xticklabels([f"{n:,}" for n in curve["nuclei"]])
    left.minorticks_off()
    left.set_ylabel("CPU seconds", color="#0b6e8f")
    right.set_ylabel("memory, GiB", color="#b4541a")
    left.grid(alpha=0.3)
    figure.savefig(out / "linking.png", dpi=110)
    columns = ["nuclei", "s", "CPU s", "GiB", "links right", "links found", "division F1"]
    keys = ("seconds", "cpu", "gib", "precision", "recall", "division_f1")
    rows = [[str(int(row["nuclei"])), *(f"{row[key]:.3f}" for key in keys)] for _, row in curve.iterrows()]
    print("\n" + table(columns, rows))


def tissue(frames: int, nuclei: int, *, wander_um: float = 1.5, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Points of a simulated tissue, and the true links between them.

    Returns
    -------
    points
        `t, label, z_um, y_um, x_um, volume_um3, intensity_mean`; labels are drawn anew in each frame.
    links
        `frame, label, next_frame, next_label`: to where the same nucleus, or her daughters, are seen next.
    """
    rng = np.random.default_rng(seed)
    side = int(np.ceil(nuclei ** (1 / 3)))
    place = (
        np.stack(np.unravel_index(np.arange(nuclei), (side,) * 3), 1) + rng.uniform(-0.3, 0.3, (nuclei, 3))
    ) * PITCH_UM
    off = rng.normal(0, wander_um, (nuclei, 3))
    track, mother = np.arange(nuclei), np.full(nuclei, -1)
    born = -rng.integers(0, CYCLE, nuclei)
    ends = np.maximum(1, born + cycles(nuclei, rng))
    numbers = nuclei
    parts = []
    for t in range(frames):
        if t:
            off = MEMORY * off + np.sqrt(1 - MEMORY**2) * rng.normal(0, wander_um, (nuclei, 3))
            dividing = np.flatnonzero(ends == t)
            dying = rng.permutation(np.flatnonzero(ends > t + 3))[: len(dividing)]
            dividing = dividing[: len(dying)]
            axis = rng.normal(size=(len(dividing), 3))
            axis *= 0.9 * RADIUS_UM / np.linalg.norm(axis, axis=1, keepdims=True)
            # One daughter takes her mother's place in the arrays, the other that of a nucleus that dies.
            mother[dying] = mother[dividing] = track[dividing]
            place[dying], off[dying] = place[dividing] + axis, off[dividing]
            place[dividing] = place[dividing] - axis
            pair = np.concatenate([dividing, dying])
            track[pair] = numbers + np.arange(len(pair))
            numbers += len(pair)
            born[pair], ends[pair] = t, t + cycles(len(pair), rng)
        age, left = t - born, ends - t
        ripe = np.clip(age / CYCLE, 0, 1)
        volume = 4 / 3 * np.pi * RADIUS_UM**3 * (0.65 + 0.5 * ripe)
        glow = np.ones(nuclei)
        for when, small, bright in (
            (left == 2, 0.8, 1.2),
            (left == 1, 0.5, 1.9),
            (age == 0, 0.6, 1.7),
            (age == 1, 0.8, 1.2),
        ):
            volume, glow = np.where(when, volume * small, volume), np.where(when, bright, glow)
        seen = rng.random(nuclei) >= MISSED
        noise = np.exp(rng.normal(0, 0.05, (2, nuclei)))
        part = pd.DataFrame((place + off)[seen], columns=["z_um", "y_um", "x_um"])
        part["volume_um3"], part["intensity_mean"] = (volume * noise[0])[seen], (100 * glow * noise[1])[seen]
        part["track"], part["mother"], part["t"] = track[seen], mother[seen], t
        part["label"] = rng.permutation(len(part)) + 1
        parts.append(part)
    points = pd.concat(parts, ignore_index=True)
    return points.drop(columns=["track", "mother"]), true_links(points)


def cycles(count: int, rng: np.random.Generator) -> np.ndarray:
    """Lengths of cell cycles, frames."""
    return np.maximum(5, rng.normal(CYCLE, CYCLE_NOISE * CYCLE, count)).round().astype(np.int64)


def true_links(points: pd.DataFrame) -> pd.DataFrame:
    """Join each nucleus to where it, or a daughter, is seen next, over at most `MAX_GAP` frames."""
    ordered = points.sort_values(["track", "t"], kind="stable")
    t, label, track = (ordered[name].to_numpy() for name in ("t", "label", "track"))
    same = np.flatnonzero(track[1:] == track[:-1])
    last = ordered.drop_duplicates("track", keep="last").set_index("track")[["t", "label"]]
    first = ordered.drop_duplicates("track")
    first = first[first["mother"].isin(last.index)]
    ending = last.loc[first["mother"]]
    links = np.concatenate(
        [
            np.stack([t[same], label[same], t[same + 1], label[same + 1]], 1),
            np.stack([ending["t"], ending["label"], first["t"], first["label"]], 1),
        ]
    )
    return pd.DataFrame(links[links[:, 2] - links[:, 0] <= MAX_GAP + 1], columns=LINKS)


def measure(program: str, points: pd.DataFrame, truth: pd.DataFrame, folder: Path) -> dict[str, float]:
    """Link in a process of its own and score what comes back."""
    given, found = folder / "points.parquet", folder / "links.parquet"
    points.to_parquet(given)
    done = subprocess.run(
        [sys.executable, __file__, "--only", program, str(given), str(found)],
        check=True,
        capture_output=True,
        text=True,
    )
    cost: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {**cost, **score(points, truth, pd.read_parquet(found))}


def score(points: pd.DataFrame, truth: pd.DataFrame, found: pd.DataFrame) -> dict[str, float]:
    """Links and divisions that are right to the frame."""
    frame, label = points["t"].to_numpy(np.int64), points["label"].to_numpy(np.uint64)
    true, ours = graph_of_links(frame, label, truth), graph_of_links(frame, label, found)
    right = len(np.intersect1d(edge_numbers(true), edge_numbers(ours)))
    precision, recall, _ = precision_recall(right, len(true.edges), len(ours.edges))
    every = np.arange(len(frame), dtype=np.int64)
    divisions = score_divisions(true, ours, (every, every), tolerance_frames=0)[0]
    return {"precision": precision or 0.0, "recall": recall or 0.0, "division_f1": divisions.f1 or 0.0}


def edge_numbers(graph: TrackGraph) -> np.ndarray:
    """One number for each edge."""
    return graph.edges[:, 0] * len(graph) + graph.edges[:, 1]


def link_alone(program: str, given: str, found: str) -> None:
    """Link the points of a file: the part that is measured."""
    points = pd.read_parquet(given)
    link = PROGRAMS[program]()
    before = peak_gib()
    began, cpu = time.monotonic(), time.process_time()
    links = link(points)
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    gib = peak_gib() - before
    links.to_parquet(found)
    print(json.dumps({"seconds": seconds, "cpu": cpu, "gib": gib}))


def peak_gib() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**30


def with_tlseg() -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Links, gaps and divisions."""
    from tlseg.link import LinkSettings, link_objects

    settings = LinkSettings(max_distance_um=REACH_UM, max_gap=MAX_GAP)
    none = pd.DataFrame({name: np.zeros(0, np.int64) for name in ("t", "label_a", "label_b", "voxels")})
    # What is compiled on first use is not linking.
    small, _ = tissue(6, 60)
    link_objects(small, none, settings=settings)

    def link(points: pd.DataFrame) -> pd.DataFrame:
        edges = link_objects(points, none, settings=settings).edges
        return edges[["t_a", "label_a", "t_b", "label_b"]].set_axis(LINKS, axis=1)

    return link


def with_laptrack(*, whole: bool) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """laptrack, on positions: its frame linking alone, or with gaps and divisions."""
    from laptrack import LapTrack

    reach = REACH_UM**2
    tracker = LapTrack(
        cutoff=reach,
        gap_closing_cutoff=reach if whole else False,
        splitting_cutoff=reach if whole else False,
        gap_closing_max_frame_count=MAX_GAP + 1,  # a difference of frames
    )

    def link(points: pd.DataFrame) -> pd.DataFrame:
        axes = ["z_um", "y_um", "x_um"]
        tracks, splits, _ = tracker.predict_dataframe(points, axes, frame_col="t", only_coordinate_cols=False)
        rows = tracks.reset_index(drop=True).rename(columns={"frame_y": "t"}).sort_values(["track_id", "t"])
        t, label, track = (rows[name].to_numpy() for name in ("t", "label", "track_id"))
        same = np.flatnonzero(track[1:] == track[:-1])
        links = [np.stack([t[same], label[same], t[same + 1], label[same + 1]], 1)]
        if len(splits):
            last = rows.drop_duplicates("track_id", keep="last").set_index("track_id").loc[splits["parent_track_id"]]
            first = rows.drop_duplicates("track_id").set_index("track_id").loc[splits["child_track_id"]]
            links.append(np.stack([last["t"], last["label"], first["t"], first["label"]], 1))
        return pd.DataFrame(np.concatenate(links), columns=LINKS)

    return link


PROGRAMS: dict[str, Callable[[], Callable[[pd.DataFrame], pd.DataFrame]]] = {
    "tlseg": with_tlseg,
    "laptrack": lambda: with_laptrack(whole=True),
    "laptrack-frames": lambda: with_laptrack(whole=False),
}


if __name__ == "__main__":
    main()
