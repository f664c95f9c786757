"""The numbers at the head of the page."""

from __future__ import annotations

from dataclasses import dataclass

from tlseg.measure.history import MANY_MOTHERLESS
from tlseg.report.facts import Facts
from tlseg.report.svg import Raw, tag
from tlseg.report.timing import Clock
from tlseg.wording import how_many


@dataclass(frozen=True, slots=True)
class Tile:
    """One number at the head of the page, and what it counts."""

    title: str
    number: str
    about: Raw | str


def tiles_through_time(facts: Facts, clock: Clock) -> list[Tile]:
    """Those of a movie."""
    nuclei = f"first and last frame; {how_many(facts.instances, 'instance')} (one nucleus in one frame)"
    repaired = Tile("Repaired", f"{facts.repaired:,}", facts.repaired_how)
    return [
        Tile("Frames", f"{facts.frames:,}", clock.text(facts.frames - 1)),
        Tile("Nuclei", f"{facts.first_count:,} → {facts.last_count:,}", nuclei),
        Tile("Tracks", f"{facts.tracks:,}", _motherless(facts)),
        Tile("Divisions", f"{facts.divisions:,}", "forks of the tree below"),
        *([repaired] if facts.repaired or facts.mended else []),
        *_fallback(facts),
        _edge(facts),
    ]


def tiles_of_one_frame(facts: Facts) -> list[Tile]:
    """Those of a result without time."""
    return [Tile("Nuclei", f"{facts.instances:,}", "in one frame"), *_fallback(facts), _edge(facts)]


def _motherless(facts: Facts) -> Raw | str:
    """What to know about the tracks: how many begin without a mother, emphasised if they are many."""
    if not facts.motherless:
        return "a nucleus between divisions"
    many = facts.motherless - facts.motherless_at_edge > MANY_MOTHERLESS * facts.tracks
    edge = f" ({facts.motherless_at_edge:,} at the frame's edge)" if facts.motherless_at_edge else ""
    text = f"{facts.motherless:,} of them begin{'s' if facts.motherless == 1 else ''} mid-movie without a mother{edge}"
    return tag("a", text, href="#loose", class_="doubt" if many else None)


def _fallback(facts: Facts) -> list[Tile]:
    if not (facts.fallback or facts.model):
        return []
    share = f"{100 * facts.fallback / facts.instances:.1f}\u00a0% of instances" if facts.instances else "no instances"
    return [Tile("Fallback", f"{facts.fallback:,}", f"no centre detected; {share}")]


def _edge(facts: Facts) -> Tile:
    return Tile("At the edge", f"{facts.touching_edge:,}", "instances cut by the frame")
