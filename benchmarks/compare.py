"""How do the methods of the paper and tlseg compare, side by side, on embryos none of their networks saw?

    python benchmarks/compare.py --fold Emb11=embryo-without-emb11 --baselines Emb11=runs/emb11 --out compare

`--fold` names tlseg's own model for some held-out embryos, as in accuracy.py; `--beside` another one that did not see
them; `--baselines` a folder with the other networks trained without them. What is not there is left out:

    runs/emb11/unet3d/best.pt      3D U-Net, 19,073,665 parameters
    runs/emb11/qcanet-nsn/best.pt  NSN as published: extremes as scaling, flips alone, two outputs, Dice
    runs/emb11/qcanet-ndn/best.pt  NDN as published: balls as targets, two outputs, cross-entropy

They come from these commands (docs/comparison.md says what each option is for; `--steps` is the budget, the same for all):

    tlseg train unet3d DATA --out runs/emb11/unet3d --hold-out Emb11 --steps N
    tlseg train nsn DATA --out runs/emb11/qcanet-nsn --hold-out Emb11 --steps N --config benchmarks/qcanet-nsn.toml
    tlseg train ndn DATA --out runs/emb11/qcanet-ndn --hold-out Emb11 --steps N --config benchmarks/qcanet-ndn.toml

Files of the original authors do in place of the last two, as learned_nsn.npz and learned_ndn.npz in the same folder, but
they were trained on these embryos. Maps and labels are kept in OUT, so a second start goes on where the first stopped.
Writes compare.md, compare.csv (a row for each method and stack) and compare.png into OUT.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from accuracy import Method, by, by_stage, components, distance_watershed, ours, score_all, stage_means, with_stage
from folds import Fold, Stack, add_fold_options, open_folds
from machine import machine
from published import LabelledStacks, Rule, digest_of

from tlseg.models.bundle import Model, load_model
from tlseg.models.pack import pack
from tlseg.predict.infer import load_predictor
from tlseg.predict.maps import predict_frame

OURS, NSN_ALONE = "tlseg", "NSN alone, components"
UNET, UNET_WATERSHED = "3D U-Net, components", "3D U-Net, distance watershed"
QCANET, QCANET_HALF = "QCANet as published", "QCANet, masks at 0.5"
FROM_5 = ("5-8", "9-16", "17-31", "32+")


def main() -> None:
    """Print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_fold_options(parser)
    parser.add_argument(
        "--baselines", action="append", default=[], metavar="GROUPS=FOLDER", help="held-out groups and their networks"
    )
    parser.add_argument(
        "--beside",
        action="append",
        default=[],
        metavar="GROUPS=MODEL",
        help="tlseg's models of longer training, which are one more method",
    )
    options = parser.parse_args()
    folds = open_folds(options)
    baselines = open_baselines(options.baselines, folds, options.out)
    methods = methods_of(baselines, folds)
    if options.beside:
        methods |= beside(open_folds(argparse.Namespace(**vars(options) | {"fold": options.beside})))
    rows = score_all(folds, methods)
    text = report(rows, missing_from(baselines, folds))
    options.out.mkdir(parents=True, exist_ok=True)
    rows.to_csv(options.out / "compare.csv", index=False)
    (options.out / "compare.md").write_text(text + "\n")
    draw(rows, options.out / "compare.png")
    print(text)


# --- other networks ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Baselines:
    """Other networks that did not see some groups; None where there are none."""

    unet: Fold | None
    qcanet: LabelledStacks | None


@dataclass(frozen=True)
class RegionFold(Fold):
    """A network for regions alone; its centre map is empty."""

    def maps_of(
        self, image: np.ndarray, spacing_um: tuple[float, float, float], *, name: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Region map of an image, computed once for each `name`, and an empty centre map."""
        path = self.cache / f"{self.model.digest[:16]}-regions" / f"{name}.npy"
        if path.is_file():
            regions = np.load(path)
        else:
            predictor = load_predictor(str(self.model.folder), self.model.digest, "nsn", self.device)
            regions = predict_frame(image, spacing_um, spec=self.model.spec, role="nsn", network=predictor)
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_suffix(".part.npy")
            np.save(beside, regions)
            beside.replace(path)
        return regions, np.zeros_like(regions)


def open_baselines(texts: list[str], folds: list[Fold], out: Path) -> dict[str, Baselines]:
    """Other networks by the group they did not see."""
    opened: dict[str, Baselines] = {}
    held = {stack.group: fold for fold in folds for stack in fold.stacks}
    for text in texts:
        groups, _, source = text.partition("=")
        folder = Path(source)
        if not folder.is_dir():
            raise SystemExit(f"--baselines {text}: there is no folder {folder}.")
        for group in groups.split(","):
            if group not in held:
                raise SystemExit(f"--baselines {text}: no --fold holds out {group}.")
            opened[group] = Baselines(unet_of(folder, held[group], out), qcanet_of(folder, out))
    return opened


def unet_of(folder: Path, fold: Fold, out: Path) -> Fold | None:
    """The fold's stacks through the 3D U-Net in `folder`."""
    weights = folder / "unet3d" / "best.pt"
    if not weights.is_file():
        return None
    model = region_model(weights, out / "models" / f"unet3d-{digest_of(weights)}")
    return RegionFold(model, fold.stacks, fold.cache, 1, fold.device)


def region_model(weights: Path, folder: Path) -> Model:
    """Model folder of one network for regions."""
    if (folder / "model.json").is_file():
        return load_model(folder)
    return pack(folder, name="3D U-Net", nsn=weights, ndn=None, provenance={})


def qcanet_of(folder: Path, out: Path) -> LabelledStacks | None:
    """QCANet's own pipeline with the networks in `folder`."""
    for nsn, ndn in (("qcanet-nsn/best.pt", "qcanet-ndn/best.pt"), ("learned_nsn.npz", "learned_ndn.npz")):
        if (folder / nsn).is_file() and (folder / ndn).is_file():
            return LabelledStacks(folder / nsn, folder / ndn, folder=out / "published")
    return None


def methods_of(baselines: Mapping[str, Baselines], folds: list[Fold]) -> dict[str, Method]:
    """What every stack of every fold can be labelled with, in the order of the tables."""
    groups = {stack.group for fold in folds for stack in fold.stacks}
    everywhere = [baselines.get(group, Baselines(None, None)) for group in sorted(groups)]
    methods: dict[str, Method] = {}
    if all(b.unet for b in everywhere):
        methods[UNET] = lambda fold, stack: components(_unet(baselines, stack, fold), stack)
        methods[UNET_WATERSHED] = lambda fold, stack: distance_watershed(_unet(baselines, stack, fold), stack)
    methods[NSN_ALONE] = components
    if all(b.qcanet for b in everywhere):
        methods[QCANET] = lambda fold, stack: _qcanet(baselines, stack, rule="positive")
        methods[QCANET_HALF] = lambda fold, stack: _qcanet(baselines, stack, rule="half")
    methods[OURS] = ours
    return methods


def beside(folds: list[Fold]) -> dict[str, Method]:
    """The stacks of these folds by their own model."""
    of = {stack.name: fold for fold in folds for stack in fold.stacks}
    names = {fold.model.spec.name for fold in folds}
    name = names.pop() if len(names) == 1 else "longer training"
    return {f"{OURS}, {name}": lambda fold, stack: ours(of[stack.name], stack)}


def missing_from(baselines: Mapping[str, Baselines], folds: list[Fold]) -> list[str]:
    """Methods that are left out, and why."""
    groups = sorted({stack.group for fold in folds for stack in fold.stacks})
    told = []
    for name, has in (("3D U-Net", lambda b: b.unet), ("QCANet", lambda b: b.qcanet)):
        without = [g for g in groups if g not in baselines or not has(baselines[g])]
        if without:
            told.append(
                f"{name} is left out: there are no weights of it that were trained without {', '.join(without)}."
            )
    return told


def _unet(baselines: Mapping[str, Baselines], stack: Stack, fold: Fold) -> Fold:
    """The U-Net's maps under the label settings of the fold's own model."""
    unet = baselines[stack.group].unet
    settings = fold.model.spec
    spec = replace(
        unet.model.spec,
        region_threshold=settings.region_threshold,
        minimum_volume_um3=settings.minimum_volume_um3,
        minimum_volume_fraction=settings.minimum_volume_fraction,
    )
    return replace(unet, model=replace(unet.model, spec=spec))


def _qcanet(baselines: Mapping[str, Baselines], stack: Stack, *, rule: Rule) -> np.ndarray:
    return baselines[stack.group].qcanet.labels(lambda: stack.pixels[0], name=stack.name, rule=rule)


# --- tables and picture --------------------------------------------------------------------------------------------


def report(rows: pd.DataFrame, missing: list[str]) -> str:
    """All tables, as Markdown."""
    staged = with_stage(rows)
    parts = [machine(), f"Means over {rows['stack'].nunique()} stacks.", by(rows, ["method"]), *missing]
    for score, told in (("iou", "IoU"), ("seg", "SEG"), ("mucov", "MUCov")):
        parts += [f"{told} by number of nuclei:", by_stage(staged, score)]
    parts.append(ahead(staged))
    return "\n\n".join(parts)


def ahead(staged: pd.DataFrame) -> str:
    """Say where tlseg is not ahead of every other method in SEG and MUCov, from 5 nuclei on."""
    late = staged[staged["stage"].isin(FROM_5)]
    told = []
    for stage, some in late.groupby("stage", observed=True):
        means = some[~some["method"].str.startswith(f"{OURS},")].groupby("method")[["seg", "mucov"]].mean()
        for score, name in (("seg", "SEG"), ("mucov", "MUCov")):
            others = means[score].drop(OURS)
            lead = means.loc[OURS, score] - others.max()
            if round(lead, 3) <= 0:
                told.append(
                    f"{'behind' if round(lead, 3) < 0 else 'level with'} {others.idxmax()} in {name} at {stage}"
                )
    stages = ", ".join(str(s) for s in late["stage"].cat.remove_unused_categories().cat.categories)
    if not stages:
        return ""
    exceptions = f", but for: {'; '.join(told)}" if told else ""
    return f"tlseg is ahead of every other method in SEG and MUCov at {stages} nuclei{exceptions}."


def draw(rows: pd.DataFrame, path: Path) -> None:
    """SEG and MUCov of every method over the stages."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    staged = with_stage(rows)
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.8), sharey=True, layout="constrained")
    for axis, (score, told) in zip(axes, (("seg", "SEG"), ("mucov", "MUCov")), strict=True):
        for method, means in stage_means(staged, score).iterrows():
            style: dict[str, object] = {"color": "black"} if method.startswith(OURS) else {}
            style |= {"linewidth": 2.5} if method == OURS else {"linestyle": "--"} if style else {}
            axis.plot([str(s) for s in means.index], means, marker="o", markersize=4, label=method, **style)
        axis.set(title=told, xlabel="nuclei", ylim=(0, 1))
        axis.grid(alpha=0.3)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    main()
