"""How much memory does a worker need, and does it grow with the movie?

    python benchmarks/memory.py [--shape Z,Y,X] [--frames 1,2] [--workers 2] [--folder DIR]

Simulated dense tissue (every nucleus touches others), by default 512 x 1024 x 1024 uint16 (1 GiB a frame) of
1.0 x 0.4 x 0.4 um, segmented with the bundled model by worker processes whose resident memory is watched from outside.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import threading
import time
from pathlib import Path

import psutil
from machine import machine, table

from tlseg.geometry import Shape
from tlseg.plan import gib
from tlseg.run.job import prepare
from tlseg.run.segment import segment
from tlseg.simulate.dense import DenseSettings, simulate_large_frame
from tlseg.store.image_writer import create_image
from tlseg.store.pyramid import plan_pyramid

SPACING = (1.0, 0.4, 0.4)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", default="512,1024,1024")
    parser.add_argument("--frames", default="1,2", help="lengths of the movies")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where to work [default: a temporary folder]")
    options = parser.parse_args()
    z, y, x = (int(n) for n in options.shape.split(","))
    folder = Path(tempfile.mkdtemp(prefix="tlseg-memory-", dir=options.folder))
    lengths = [int(n) for n in options.frames.split(",")]
    movie = write_movie(folder / "movie.ome.zarr", (z, y, x), frames=max(lengths))
    print(machine(), "\n")
    rows = []
    for frames in lengths:
        # As `tlseg segment --workers N --memory-limit 4` would: blocks are chosen to fit.
        limit = 4 * 2**30
        planned = prepare(movie, out=folder / "plan", frames=f"0:{frames}", workers=options.workers, memory_limit=limit)
        with PeakMemory() as peak:
            summary = segment(
                movie,
                out=folder / f"result-{frames}.ome.zarr",
                frames=f"0:{frames}",
                workers=options.workers,
                memory_limit=limit,
                image=False,
            )
        shutil.rmtree(folder / f"result-{frames}.ome.zarr")
        rows.append(
            [
                str(frames),
                f"{frames * z * y * x * 2 / 2**30:.1f}",
                str(planned.run.block),
                str(summary.nuclei),
                gib(planned.plan.memory_per_worker_bytes),
                ", ".join(gib(v) for v in sorted(peak.workers.values())[-options.workers :]),
                gib(peak.client),
                f"{summary.seconds:.0f}",
                str(summary.audit["face_voxels_that_disagree"]),
            ]
        )
        print(f"{frames} frames: {rows[-1]}", flush=True)
    print()
    headers = [
        "frames",
        "GiB of pixels",
        "block",
        "nuclei",
        "planned",
        "peak of each worker",
        "client",
        "s",
        "seam voxels wrong",
    ]
    print(table(headers, rows))
    shutil.rmtree(folder)


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
    """Watch the resident memory of this process and of its children while inside."""

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
            self.client = max(self.client, me.memory_info().rss)
            for child in me.children(recursive=True):
                try:
                    self.workers[child.pid] = max(self.workers.get(child.pid, 0), child.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue
            time.sleep(0.1)


if __name__ == "__main__":
    main()
