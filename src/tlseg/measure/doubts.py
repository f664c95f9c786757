"""Is there anything that makes a whole result doubtful? Noise taken for nuclei, an unknown size, or saturated frames.

Thresholds are wide: a warning is nearly always right, and a result without one may still be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOST_FALLBACK = 0.5
LEAST_FALLBACK = 10
"""Share and number of instances without a detected centre from which there were probably no nuclei to detect."""

MOST_OFF = 1.6
"""Times that nuclei may be wider or narrower than those the model learned from."""


def doubts_of(record: Mapping[str, Any], *, model: str = "") -> list[str]:
    """What a run record gives reason to doubt; nothing if it does not say.

    Parameters
    ----------
    record : mapping
        The run record.
    model : str
        What the model was called when it was chosen; if not given, as the record names it.
    """
    width = record.get("nucleus_um") or {}
    known = record.get("model") or {}
    settings = (record.get("fingerprint") or {}).get("settings") or {}
    return doubts(
        instances=int(record.get("nuclei", 0)),
        # Without looking for centres, none are found.
        fallback=0 if settings.get("method") == "components" else int(record.get("fallback", 0)),
        size=doubt_of_size(
            median_um=width.get("median"),
            seen_um=width.get("seen"),
            seen_in=int(width.get("seen_in", 0)),
            learned_um=width.get("learned"),
            model=model or str(known.get("name", "")),
        ),
        saturated=record.get("saturated") or {},
    )


def doubts(
    *,
    instances: int,
    fallback: int,
    size: str | None = None,
    saturated: Mapping[str, Any] | None = None,
) -> list[str]:
    """What to know before trusting a result, one or two sentences each.

    Parameters
    ----------
    instances, fallback : int
        Nuclei of all frames together, and those of them without a detected centre.
    size : str or None
        What `doubt_of_size` says.
    saturated : mapping, optional
        How many `frames` are saturated, the `worst` of them, and the `share` of its voxels with the greatest value.
    """
    found = []
    if fallback >= LEAST_FALLBACK and fallback > MOST_FALLBACK * instances:
        found.append(
            f"{fallback:,} of {instances:,} instances have no detected centre: most may be noise, or the channel or the "
            "model may be the wrong one. Look at the picture before using the numbers."
        )
    if size is not None:
        found.append(size)
    if saturated and saturated["frames"]:
        frames = f"Frame {saturated['worst']} is saturated:"
        if saturated["frames"] > 1:
            frames = f"{saturated['frames']:,} frames are saturated; in the worst of them, {saturated['worst']},"
        found.append(
            f"{frames} {100 * saturated['share']:.2g}% of all voxels have the greatest value. Outlines allow for it, but "
            "measured intensities are too low. Expose less if you can."
        )
    return found


def doubt_of_size(
    *, median_um: float | None, seen_um: float | None, seen_in: int = 0, learned_um: float | None, model: str
) -> str | None:
    """Say that nuclei are of another size than those the model knows, None if they are not.

    Parameters
    ----------
    median_um : float or None
        Width of a ball of the median volume of all instances.
    seen_um : float or None
        How wide nuclei look in frame `seen_in` of the image, whatever was found there.
    learned_um : float or None
        Width of the nuclei the model learned from, None where unknown.
    model : str
        Its name.
    """
    if not learned_um:
        return None
    for width, what in (
        (seen_um, f"Nuclei look about {{}} um wide in frame {seen_in}"),
        (median_um, "The median instance is {} um wide"),
    ):
        if width and not 1 / MOST_OFF <= width / learned_um <= MOST_OFF:
            found = _short(width)
            return (
                f"{what.format(found)}, but the model {model!r} expects about {_short(learned_um)} um. If nuclei are "
                f"{found} um wide and the voxel spacing is right, try --nucleus-um {found}."
            )
    return None


def _short(width: float) -> str:
    return f"{width:.{1 if width < 10 else 0}f}"
