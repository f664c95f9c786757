"""Options for joining nuclei through time, which mean the same in every command that has them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from tlseg.cli.common import option_group, refuse_given
from tlseg.cli.param_types import FiniteRange

if TYPE_CHECKING:
    from tlseg.link.settings import LinkSettings

_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}


class CycleType(click.ParamType):
    """Frames as a whole number, or a time such as `90min`: (frames, None) or (None, seconds)."""

    name = "FRAMES|TIME"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int | None, float | None]:
        """Parse the text; a value that is already a tuple passes."""
        if isinstance(value, tuple):
            return value
        text = str(value).strip()
        if text.isdecimal() and int(text) >= 1:
            return int(text), None
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h)", text)
        if not found or float(found[1]) <= 0:
            self.fail(
                f"{value!r} is neither a number of frames, such as 3, nor a time, such as 90min or 12h.", param, ctx
            )
        return None, float(found[1]) * _SECONDS[found[2]]


link_options = option_group(
    click.option(
        "--max-distance",
        type=FiniteRange(0, min_open=True),
        metavar="UM",
        help="Greatest distance a nucleus moves between frames. [default: from the movie]",
    ),
    click.option(
        "--max-gap",
        type=click.IntRange(0),
        default=3,
        show_default=True,
        help="Maximum number of consecutive frames in which a nucleus may be missing.",
    ),
    click.option(
        "--division-probability",
        type=FiniteRange(0, 1, min_open=True, max_open=True),
        default=0.4,
        show_default=True,
        help="Minimum probability of a division; lower values find more divisions, and more false ones.",
    ),
    click.option(
        "--min-cycle",
        type=CycleType(),
        default="3",
        show_default=True,
        metavar="FRAMES|TIME",
        help="Shortest cycle between two divisions of one nucleus: frames, or a time such as 90min or 12h.",
    ),
    click.option("--no-divisions", is_flag=True, help="Do not look for divisions."),
)


def link_settings(options: dict[str, Any]) -> LinkSettings:
    """Settings that the options ask for."""
    from tlseg.link.settings import LinkSettings

    if options["no_divisions"]:
        refuse_given(("division_probability", "min_cycle"), "with --no-divisions, none are looked for")
    frames, seconds = options["min_cycle"]
    chosen = LinkSettings(
        max_distance_um=options["max_distance"],
        max_gap=options["max_gap"],
        divisions=not options["no_divisions"],
        division_probability=options["division_probability"],
        min_cycle_s=seconds,
    )
    return chosen if frames is None else replace(chosen, min_cycle_frames=frames)
