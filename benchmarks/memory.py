"""How much memory does a worker need, and does it grow with the movie?

    python benchmarks/memory.py [--shape Z,Y,X] [--frames 1,2] [--workers 2] [--folder DIR]
    python benchmarks/memory.py --series [--block Z,Y,X] [--sizes Z,Y,X ...] [--out FOLDER]

Simulated dense tissue (every nucleus touches others), by default 512 x 1024 x 1024 uint16 (1 GiB a frame) of
1.0 x 0.4 x 0.4 um, segmented with the bundled model by worker processes whose resident memory is watched from outside.

--series  three series in one command: longer movies, larger frames, more workers, all with the same block and the same
          memory limit. Written to FOLDER: `memory.csv` (a row for each run; those that are there are not done again),
          `memory.md` and `memory.png`.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from machine import machine, table

from tlseg.geometry import Shape
from tlseg.plan import sized
from tlseg.run.planning import plan_run
from tlseg.run.segment import segment
from tlseg.simulate.dense import DenseSettings, simulate_large_frame
from tlseg.store.image.image_writer import create_image
from tlseg.store.image.pyramid import plan_pyramid

SPACING = (1.0, 0.4, 0.4)
LIMIT_BYTES = 4 * 2**30
"""As `tlseg segment --memory-limit 4` would."""

LENGTHS = (1, 2, 4, 8)
WORKERS = (1, 2, 4)
USUAL_WORKERS = 2

COLUMNS = (
    *("frames", "frame", "workers", "block", "blocks", "nuclei", "planned_gib", "peak_gib", "client_gib", "seconds"),
    "seam_voxels_wrong",
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", default="512,1024,1024")
    parser.add_argument("--frames", default="1,2", help="lengths of the movies")
    parser.add_argument("--workers", type=int, default=USUAL_WORKERS)
    parser.add_argument("--folder", type=Path, help="where to work [default: a temporary folder]")
    parser.add_argument("--series", action="store_true", help="three series, with a plot")
    parser.add_argument("--block", default="64,128,128", help="block of all series")
    parser.add_argument("--sizes", nargs="+", default=["64,256,256", "128,256,256", "128,512,512"], help="two or more")
    parser.add_argument("--out", type=Path, default=Path("runs/memory"), help="where the series go")
    options = parser.parse_args()
    print(machine(), "\n", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="tlseg-memory-", dir=options.folder))
    try:
        if options.series:
            run_series([shape_of(size) for size in options.sizes], shape_of(options.block), out=options.out, at=folder)
        else:
            lengths = [int(n) for n in options.frames.split(",")]
            print_chosen(shape_of(options.shape), lengths, options.workers, folder)
    finally:
        shutil.rmtree(folder)


def print_chosen(shape: Shape, lengths: list[int], workers: int, folder: Path) -> None:
    """Print the table of movies of these lengths, in blocks that the plan chooses."""
    movie = write_movie(folder / "movie.ome.zarr", shape, frames=max(lengths))
    rows = []
    for frames in lengths:
        found = measure(movie, Case(frames, shape, workers, None), folder)
        pixels = frames * shape[0] * shape[1] * shape[2] * 2 / 2**30
        peaks = ", ".join(sized(peak) for peak in found.workers)
        sizes = [sized(found.planned), peaks, sized(found.client)]
        counts = [str(frames), f"{pixels:.1f}", str(found.block), str(found.nuclei)]
        rows.append([*counts, *sizes, f"{found.seconds:.0f}", str(found.wrong)])
        print(f"{frames} frames: {rows[-1]}", flush=True)
    headers = ["frames", "GiB of pixels", "block", "nuclei", "planned", "peak of each worker", "client", "s"]
    print(f"\n{table([*headers, 'seam voxels wrong'], rows)}")


@dataclass(frozen=True, slots=True)
class Case:
    """One run; the plan chooses the block where it is None."""

    frames: int
    shape: Shape
    workers: int
    block: Shape | None


@dataclass(frozen=True, slots=True)
class Found:
    """What one run took, in bytes and seconds; `workers` holds the peak of each, the heaviest last."""

    block: Shape
    blocks: int
    nuclei: int
    planned: int
    workers: list[int]
    client: int
    seconds: float
    wrong: int


def measure(movie: Path, case: Case, folder: Path) -> Found:
    """Segment the first frames of a movie as `tlseg segment --workers N --memory-limit 4` would, and watch."""
    out, frames = folder / "result.ome.zarr", f"0:{case.frames}"
    common = {"frames": frames, "memory_limit": LIMIT_BYTES, "block": case.block}
    planned = plan_run(movie, workers=case.workers, **common).plan
    with PeakMemory() as peak:
        summary = segment(movie, out=out, workers=case.workers, image=False, device="cpu", **common)
    shutil.rmtree(out)
    return Found(
        block=planned.block,
        blocks=planned.blocks_per_frame,
        nuclei=summary.nuclei,
        planned=planned.memory_per_worker_bytes,
        workers=sorted(peak.workers.values())[-case.workers :],
        client=peak.client,
        seconds=summary.seconds,
        wrong=summary.audit["face_voxels_that_disagree"],
    )


# --- three series ---------------------------------------------------------------------------------------------------


def run_series(sizes: list[Shape], block: Shape, *, out: Path, at: Path) -> None:
    """Do what is missing of the three series, the quick runs first; write table and plot after each."""
    out.mkdir(parents=True, exist_ok=True)
    series = {
        "frames of a movie": [Case(n, sizes[0], USUAL_WORKERS, block) for n in LENGTHS],
        "frame, million voxels": [Case(1, size, USUAL_WORKERS, block) for size in sizes],
        "workers": [Case(1, sizes[1], n, block) for n in WORKERS],  # of more blocks than workers
    }
    cases = {case for cases in series.values() for case in cases}
    for case in sorted(cases, key=lambda c: (c.frames * c.shape[0] * c.shape[1] * c.shape[2], c.workers)):
        rows = read_rows(out / "memory.csv")
        if key_of(case) not in rows:
            longest = max(c.frames for c in cases if c.shape == case.shape)
            movie = at / f"{times(case.shape)}.ome.zarr"
            if not movie.exists():
                write_movie(movie, case.shape, frames=longest)
            rows[key_of(case)] = row_of(case, measure(movie, case, at))
            write_rows(out / "memory.csv", list(rows.values()))
            print(", ".join(f"{name} {value}" for name, value in rows[key_of(case)].items()), flush=True)
        text = "\n\n".join(series_table(name, of, rows) for name, of in series.items())
        (out / "memory.md").write_text(f"{machine()}\n\n{text}\n")
        draw(out / "memory.png", series, rows)
    print((out / "memory.md").read_text())


Rows = dict[tuple[str, ...], dict[str, str]]
"""Rows of the CSV file by what decides them."""


def key_of(case: Case) -> tuple[str, ...]:
    """Columns that name a case."""
    block = "" if case.block is None else times(case.block)
    return (str(case.frames), times(case.shape), str(case.workers), block)


def row_of(case: Case, found: Found) -> dict[str, str]:
    """Row of the CSV file."""
    sizes = (found.planned, found.workers[-1], found.client)
    values = [*key_of(case), str(found.blocks), str(found.nuclei), *(f"{size / 2**30:.3f}" for size in sizes)]
    return dict(zip(COLUMNS, [*values, f"{found.seconds:.0f}", str(found.wrong)], strict=True))


def read_rows(path: Path) -> Rows:
    """Rows of an earlier start; none where there is no file."""
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        return {tuple(row[name] for name in COLUMNS[:4]): row for row in csv.DictReader(file)}


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    """Write all rows beside and rename, so that a start that is stopped loses none."""
    beside = path.with_suffix(".part")
    with beside.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    beside.replace(path)


def series_table(name: str, cases: list[Case], rows: Rows) -> str:
    """Markdown table of one series."""
    headers = ["frames", "frame", "workers", "blocks a frame", "nuclei", "heaviest worker, GiB", "client, GiB"]
    lines = []
    for case in cases:
        row = rows.get(key_of(case))
        if row is not None:
            keys = ("frames", "frame", "workers", "blocks", "nuclei", "peak_gib", "client_gib", "seconds")
            lines.append([*(row[key] for key in keys), row["seam_voxels_wrong"]])
    return f"Against {name}:\n\n{table([*headers, 's', 'seam voxels wrong'], lines)}"


def place(name: str, case: Case) -> float:
    """Where a case lies along the axis of its series."""
    if name == "workers":
        return case.workers
    if name.startswith("frames"):
        return case.frames
    return round(case.shape[0] * case.shape[1] * case.shape[2] / 1e6, 1)


def draw(path: Path, series: dict[str, list[Case]], rows: Rows) -> None:
    """Draw the heaviest worker's peak, and what the plan allowed for, against what grows in each series."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.8), layout="constrained")
    for axes, (name, cases) in zip(figure.subplots(1, 3, sharey=True), series.items(), strict=True):
        there = [case for case in cases if key_of(case) in rows]
        ticks = [place(name, case) for case in there]
        for column, label, style in (("planned_gib", "plan", "--"), ("peak_gib", "heaviest worker", "-")):
            sizes = [float(rows[key_of(case)][column]) for case in there]
            axes.plot(
                ticks, sizes, style, marker="o", markersize=3, color="0.6" if style == "--" else "C0", label=label
            )
        axes.set(xlabel=name, xscale="log")
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
    top = max(float(row["planned_gib"]) for row in rows.values())
    figure.axes[0].set_ylim(0, 1.1 * top)  # the axis of all three
    figure.axes[0].set_ylabel("resident memory, GiB")
    figure.axes[0].legend(frameon=False)
    figure.savefig(path, dpi=150)


def shape_of(text: str) -> Shape:
    """Shape (z, y, x) from `Z,Y,X`."""
    z, y, x = (int(n) for n in text.split(","))
    return (z, y, x)


def times(shape: Shape) -> str:
    """A shape as `Z x Y x X`."""
    return " x ".join(map(str, shape))


# --- movie and memory -----------------------------------------------------------------------------------------------


def write_movie(path: Path, shape: Shape, *, frames: int) -> Path:
    """Dense tissue, written region by region; every frame is another tissue."""
    writer = create_image(
        path,
        pyramid=plan_pyramid(shape, spacing_um=SPACING),
        n_frames=frames,
        dtype="uint16",
        channel_names=["nuclei"],
        is_2d=False,
        interval_s=60.0,
    )
    for t in range(frames):
        settings = DenseSettings(shape=shape, radius_voxels=(7.0, 16.0, 16.0), seed=t)
        for box in writer.regions:
            writer.write(t, box, simulate_large_frame(settings, box)[0])
    writer.finish()
    return path


class PeakMemory:
    """Watch the resident memory of this process and of its children while inside: the largest each ever had."""

    def __init__(self) -> None:
        self.client = 0
        self.workers: dict[int, int] = {}
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self.stop.is_set():
            # Of this process only what it holds now counts, since it has done earlier runs.
            self.client = max(self.client, me.memory_info().rss)
            for child in me.children(recursive=True):
                try:
                    self.workers[child.pid] = max(self.workers.get(child.pid, 0), peak_bytes(child))
                except (psutil.NoSuchProcess, OSError):
                    continue
            time.sleep(0.1)


def peak_bytes(process: psutil.Process) -> int:
    """Peak of a process so far: Linux keeps it, so none is missed between two looks; elsewhere what it holds now."""
    status = Path(f"/proc/{process.pid}/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    return int(process.memory_info().rss)


if __name__ == "__main__":
    main()
