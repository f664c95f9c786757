"""`tlseg evaluate`: how good a result is, given the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tlseg.cli.common import json_option, one_line_errors, print_json, refuse_given, say_notes, storage_option
from tlseg.cli.label_options import axes_option
from tlseg.cli.param_types import FiniteRange, SpacingType
from tlseg.wording import how_many

if TYPE_CHECKING:
    from tlseg.evaluate.api import Evaluation, Tracking

MOST_FRAMES, WORST_FRAMES = 20, 10
"""Most frames that have a row each in the tables; of more frames, only this many are listed."""


@click.command("evaluate")
@click.argument("result")
@click.argument("truth")
@click.option("--name", help="Label image of RESULT inside an OME-Zarr. [default: nuclei, or the only one]")
@click.option(
    "--iou", type=FiniteRange(0, 1), default=0.5, show_default=True, help="Minimum IoU at which two objects match."
)
@click.option(
    "--tolerance-um",
    type=FiniteRange(0),
    default=5.0,
    show_default=True,
    help="Maximum distance at which two centroids match.",
)
@click.option("--division-tolerance", default=1, show_default=True, help="Frames a division may be early or late.")
@click.option(
    "--frames",
    metavar="A:B",
    help="Frames to compare, from A up to but not including B. [default: all, or those that the run segmented]",
)
@axes_option
@click.option("--spacing", type=SpacingType(), help="Micrometres per voxel, if the files do not say.")
@click.option(
    "--tracking/--no-tracking",
    default=None,
    help="Score tracks; without a track file or graph, each label is one track. [default: only if both sides have one]",
)
@storage_option
@json_option
@one_line_errors
def command(
    result: str,
    truth: str,
    *,
    name: str | None,
    iou: float,
    tolerance_um: float,
    division_tolerance: int,
    frames: str | None,
    axes: str | None,
    spacing: tuple[float, ...] | None,
    tracking: bool | None,
    as_json: bool,
) -> None:
    """Compare the labels of RESULT with those of TRUTH.

    Each is a label TIFF, a folder of label TIFFs (one per frame), a Cell Tracking Challenge folder, or an OME-Zarr with
    labels (and, for tracks, its tracks.geff). If TRUTH is an OME-Zarr, its labels `truth` are used if present; for others,
    give the path of the label image, such as movie.ome.zarr/labels/cells.
    """
    from tlseg.cli.progress import counted
    from tlseg.evaluate.api import evaluate

    if tracking is False:
        refuse_given(("division_tolerance",), "with --no-tracking, divisions are not scored")
    wanted: Tracking = "auto" if tracking is None else "always" if tracking else "never"
    with counted("evaluate") as progress:
        evaluation = evaluate(
            result,
            truth,
            name=name,
            iou=iou,
            tolerance_um=tolerance_um,
            division_tolerance=division_tolerance,
            frames=frames,
            axes=axes,
            spacing_um=spacing,
            tracking=wanted,
            progress=progress,
        )
    if as_json:
        print_json(evaluation.to_dict())
    else:
        _print_tables(evaluation)


def _print_tables(evaluation: Evaluation) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(_segmentation(evaluation))
    console.print(_objects(evaluation))
    if len(evaluation.frames) > 1:
        console.print(_frames(evaluation))
    if evaluation.tracking is not None:
        console.print(_tracks(evaluation))
    say_notes(evaluation.notes)


def _segmentation(e: Evaluation) -> Any:
    table = _table(
        f"Segmentation, {how_many(len(e.frames), 'frame')}", "score", "mean over images", "pooled over objects"
    )
    titles = {"iou": "foreground IoU", "seg": "SEG", "mucov": "MUCov", "pq": "PQ", "rq": "  RQ", "sq": "  SQ"}
    titles |= {k: f"{k if k != 'f1' else 'F1'} at IoU {e.iou_threshold:g}" for k in ("precision", "recall", "f1")}
    for key, title in titles.items():
        table.add_row(title, _number(getattr(e.mean, key)), _number(getattr(e.pooled, key)))
    return table


def _objects(e: Evaluation) -> Any:
    table = _table("Objects", "", "")
    table.add_row("in the truth", str(e.n_truth))
    table.add_row("in the result", f"{e.n_result} ({_percent(e.count_bias)})")
    table.add_row("foreground volume", _percent(e.volume_bias))
    for title, value in (("split", e.splits), ("merged", e.merges), ("missed", e.misses), ("extra", e.extras)):
        table.add_row(title, str(value))
    if (v := e.volume_ratio) is not None:
        table.add_row(
            f"volume ratio of {v.n} matched, median", f"{v.median:.3f} (5 to 95 %: {v.low:.3f} to {v.high:.3f})"
        )
    if (d := e.detection) is not None:
        table.add_row(f"detection F1 within {d.tolerance_um:g} um, mean", _number(d.mean_f1))
        table.add_row(f"detection F1 within {d.tolerance_um:g} um, pooled", _number(d.f1))
    return table


def _frames(e: Evaluation) -> Any:
    rows, title = e.frames, f"Frames, F1 at IoU {e.iou_threshold:g} and of detection"
    if len(rows) > MOST_FRAMES:
        worst = sorted(rows, key=lambda row: (row.seg is None, row.seg, row.t))[:WORST_FRAMES]
        rows = tuple(sorted(worst, key=lambda row: row.t))
        title += f": the {WORST_FRAMES} of {len(e.frames)} with the lowest SEG"
    names = ("frame", "true", "found", "SEG", "F1", "det. F1")
    table = _table(title, *names, "split", "merged", "missed", "extra")
    table.collapse_padding = True
    for r in rows:
        counts = (r.splits, r.merges, r.misses, r.extras)
        scores = (_number(score) for score in (r.seg, r.f1, r.detection_f1))
        table.add_row(str(r.t), str(r.n_truth), str(r.n_result), *scores, *map(str, counts))
    return table


def _tracks(e: Evaluation) -> Any:
    table = _table("Tracks", "score", "")
    if (t := e.tracking) is not None:
        table.add_row("tracks in the truth", str(t.n_truth_tracks))
        table.add_row("tracks in the result", str(t.n_result_tracks))
        for title, value in (("DET", t.det), ("TRA", t.tra), ("LNK", t.lnk), ("CT", t.ct), ("TF", t.tf)):
            table.add_row(title, _number(value))
        table.add_row("HOTA", _number(t.hota))
        table.add_row("cell-cycle accuracy", _number(t.cca))
        table.add_row(f"complete lineages of {t.n_truth_lineages}", _number(t.complete_lineages))
    for d in e.divisions:
        title = f"divisions within {how_many(d.tolerance_frames, 'frame')}, F1"
        table.add_row(title, f"{_number(d.f1)} ({d.correct} correct of {d.n_result} found, {d.n_truth} true)")
    return table


def _table(title: str, *columns: str) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_header=any(columns))
    table.add_column(columns[0])
    for column in columns[1:]:
        table.add_column(column, justify="right")
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.1f} %"
