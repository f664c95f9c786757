"""Draw the pictures of metrics.md and simulator.md: the named cases with their scores, and simulated movies.

    python docs/draw.py [cases|simulator]

The cases are those the tests hold the scores to (tests/metric_cases.py); the scores are what `tlseg evaluate` says now.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tlseg.evaluate.api import evaluate
from tlseg.simulate.dense import DenseSettings, dense_frame
from tlseg.simulate.lineage import grow_lineage
from tlseg.simulate.motion import move_embryo
from tlseg.simulate.movie import simulate_frames
from tlseg.simulate.optics import expose
from tlseg.simulate.scenes import scene_settings
from tlseg.simulate.settings import SimulationSettings

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from metric_cases import CASES, Case

IMAGES = Path(__file__).parent / "images"
INK, PAPER, FAINT = (30, 30, 30), (255, 255, 255), (232, 232, 228)
COLOURS = [(43, 108, 176), (217, 95, 60), (46, 139, 87), (150, 80, 170), (200, 160, 40), (90, 90, 90)]
CELL, COLUMNS, PANEL = 11, 3, (366, 132)


def main() -> None:
    """Draw what is asked for, or all."""
    wanted = sys.argv[1:] or ["cases", "simulator"]
    if "cases" in wanted:
        draw_cases().save(IMAGES / "metric-cases.png", optimize=True)
    if "simulator" in wanted:
        draw_stages().convert("L").quantize(40).save(IMAGES / "simulated-blastocyst.png", optimize=True)
        draw_scenes().save(IMAGES / "simulated-scenes.png", optimize=True)


def draw_cases() -> Image.Image:
    """A sheet with one panel for each case."""
    rows = -(-len(CASES) // COLUMNS)
    width, height = PANEL
    sheet = Image.new("RGB", (COLUMNS * width, rows * height), PAPER)
    for k, (name, case) in enumerate(CASES.items()):
        sheet.paste(draw_case(name, case), (k % COLUMNS * width, k // COLUMNS * height))
    return sheet


def draw_case(name: str, case: Case) -> Image.Image:
    """Truth above result, frame by frame, and the scores that tell most."""
    panel = Image.new("RGB", PANEL, PAPER)
    pen = ImageDraw.Draw(panel)
    pen.text((10, 4), name, INK, font=font(14))
    colours: dict[int, tuple[int, int, int]] = {}
    shown = case.frames or range(len(case.truth))
    for y, title, labels, frames in (
        (28, "truth", case.truth, shown),
        (66, "result", case.result, range(len(case.result))),
    ):
        pen.text((10, y + 5), title, INK, font=font(11))
        for t, frame in zip(frames, labels, strict=True):
            draw_labels(pen, frame, (58 + t * (frame.shape[1] * CELL + 8), y), colours)
    with tempfile.TemporaryDirectory() as folder:
        found = evaluate(*case.write(Path(folder))).to_dict()
    pen.text((10, 102), "   ".join(figures(found)), INK, font=font(11))
    return panel


def figures(found: dict[str, Any]) -> Iterator[str]:
    """The scores of a case, as short text."""
    yield f"SEG {number(found['pooled']['seg'])}"
    for what in ("splits", "merges", "misses", "extras"):
        if found[what]:
            yield f"{what} {found[what]}"
    tracking = found["tracking"]
    if tracking is None:
        return
    yield f"DET {number(tracking['det'])}"
    yield f"LNK {number(tracking['lnk'])}"
    if any(d["n_truth"] + d["n_result"] for d in tracking["divisions"]):
        yield "divisions " + ", ".join(number(d["f1"]) for d in tracking["divisions"])


def number(value: float | None) -> str:
    """Two digits, or - where nothing is defined."""
    return "-" if value is None else f"{value:.2f}".rstrip("0").rstrip(".")


def draw_labels(
    pen: ImageDraw.ImageDraw, labels: NDArray[Any], corner: tuple[int, int], colours: dict[int, tuple[int, int, int]]
) -> None:
    """One frame; each number has its colour, and the number is written into its first voxel."""
    written = set()
    for (y, x), label in np.ndenumerate(labels):
        place = (corner[0] + x * CELL, corner[1] + y * CELL)
        colour = colours.setdefault(int(label), COLOURS[len(colours) % len(COLOURS)]) if label else FAINT
        pen.rectangle((*place, place[0] + CELL - 1, place[1] + CELL - 1), fill=colour, outline=PAPER)
        if label and label not in written and label < 10:
            pen.text((place[0] + 3, place[1] - 1), str(label), PAPER, font=font(10))
            written.add(label)


def font(size: int) -> Any:
    """Pillow's own font."""
    return ImageFont.load_default(size)


def draw_stages() -> Image.Image:
    """A blastocyst scene at six times: middle slice, brightest along z, brightest along y."""
    settings = scene_settings("blastocyst", shape=(51, 120, 122), seed=1)
    wanted = (0, 130, 250, 330, 420, 499)
    columns = []
    for t, scene in enumerate(move_embryo(grow_lineage(settings), settings=settings)):
        if t in wanted:
            image = expose(scene, t, settings=settings)
            side = np.repeat(image.max(axis=1), 2, axis=0)
            pieces = [image[25], image.max(axis=0), side]
            columns.append(
                captioned(np.vstack([grey(p, np.percentile(image, 99.8)) for p in pieces]), f"{len(scene.nuclei)}")
            )
    return beside(columns)


def draw_scenes() -> Image.Image:
    """The other scenes, one frame each, brightest along z; of the tissue a slice."""
    embryo = next(simulate_frames(SimulationSettings(frames=1, start_nuclei=16, shape=(51, 160, 160), cycle_frames=50)))
    sheet = scene_settings("sheet", frames=3, shape=(15, 220, 280), start_nuclei=220, seed=3)
    layer = list(simulate_frames(sheet))[-1].image.max(axis=0)[:160]
    tissue, labels = dense_frame((24, 160, 200), radius_voxels=DenseSettings().radius_voxels, seed=4)
    rng = np.random.default_rng(0)
    palette = np.concatenate([[[0, 0, 0]], rng.integers(70, 255, (int(labels.max()), 3))]).astype(np.uint8)
    pictures = [grey(p, np.percentile(p, 99.7)) for p in (embryo.image.max(axis=0), layer, tissue[12])]
    named = zip(pictures, ("embryo", "sheet", "tissue"), strict=True)
    panels = [captioned(picture, name) for picture, name in named]
    return beside([*panels, captioned(Image.fromarray(palette[labels[12]]), "tissue, labels")])


def grey(image: NDArray[Any], top: float) -> NDArray[np.uint8]:
    """Grey values from the camera's offset to `top`, the dark ones lifted."""
    shade = np.clip((image.astype(float) - 98) / (top - 98), 0, 1) ** 0.6 * 255
    return shade.astype(np.uint8)


def captioned(picture: NDArray[np.uint8] | Image.Image, text: str) -> Image.Image:
    """A picture with a line above it."""
    inner = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    panel = Image.new("RGB", (inner.width, inner.height + 18), PAPER)
    panel.paste(inner.convert("RGB"), (0, 18))
    ImageDraw.Draw(panel).text((2, 1), text, INK, font=font(12))
    return panel


def beside(panels: list[Image.Image]) -> Image.Image:
    """Pictures side by side."""
    width = sum(p.width + 4 for p in panels)
    sheet = Image.new("RGB", (width, max(p.height for p in panels)), PAPER)
    x = 0
    for panel in panels:
        sheet.paste(panel, (x, 0))
        x += panel.width + 4
    return sheet


if __name__ == "__main__":
    main()
