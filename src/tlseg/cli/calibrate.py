"""`tlseg models calibrate`: thresholds and distances for a model, from embryos it did not learn from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tlseg.cli.common import device_option, json_option, one_line_errors, print_json
from tlseg.cli.param_types import LocalPath, TripleType


@click.command("calibrate", short_help="Choose the settings of a model on true labels.")
@click.argument("model")
@click.argument("data", type=LocalPath())
@click.option("--out", type=LocalPath(), required=True, help="Folder of the new model.")
@click.option("--groups", help="Groups of DATA to use, separated by commas. [default: all]")
@click.option("--spacing", type=TripleType(float), help="Voxel size of DATA, um. [default: from the files]")
@device_option
@json_option
@one_line_errors
def command(model: str, data: Path, as_json: bool, **options: Any) -> None:
    """Choose the settings of MODEL on the stacks with truth in DATA, and write the calibrated model to --out.

    Thresholds, distances and minimum volumes are searched for the best mean of IoU, SEG and MUCov, less any volume bias
    beyond 3 %. Use stacks that the networks were not trained on. The weights are not changed.
    """
    from tlseg.cli.progress import StepProgress
    from tlseg.errors import TrainingError
    from tlseg.models.bundle import load_model
    from tlseg.models.derive import check_new
    from tlseg.predict.device import resolve_device
    from tlseg.store.labels.pairs import find_pairs
    from tlseg.train.calibrate import predict_examples, save_calibrated
    from tlseg.train.choose import Quality, choose

    check_new(options["out"])
    loaded, device = load_model(model), resolve_device(options["device"])
    pairs = find_pairs(data, spacing_um=options["spacing"])
    wanted = {g.strip() for g in options["groups"].split(",")} if options["groups"] else {p.group for p in pairs}
    if missing := wanted - {p.group for p in pairs}:
        known = ", ".join(sorted({p.group for p in pairs}))
        raise TrainingError(f"{data} has no group {', '.join(sorted(missing))}; it has {known}.")
    chosen = [p for p in pairs if p.group in wanted]
    with StepProgress("predict", len(chosen)) as progress:
        examples = predict_examples(
            chosen, model=loaded, device=device, report=lambda done: progress.update(done, chosen[done - 1].name)
        )
    said: list[Quality] = []

    def report(tried: int, best: Quality) -> None:
        if best not in said:
            said.append(best)
            click.echo(f"choose: {tried} tried, score {best.score:.4f}", err=True)

    choice = choose(examples, loaded.spec, report=report)
    made = save_calibrated(options["out"], loaded, choice, frames=[p.name for p in chosen])
    before, after = loaded.spec.to_dict(), made.spec.to_dict()
    changed = {
        name: (before[name], value) for name, value in after.items() if value != before[name] and name != "provenance"
    }
    if as_json:
        print_json({"folder": str(made.folder), "digest": made.digest, "changed": changed, "tried": choice.tried})
        return
    for name, (old, new) in changed.items():
        click.echo(f"{name}: {old} -> {new}")
    for name in ("iou", "seg", "mucov", "volume_bias"):
        click.echo(f"{name}: {getattr(choice.before, name):.3f} -> {getattr(choice.after, name):.3f}")
    click.echo(f"Model: {made.folder}")
