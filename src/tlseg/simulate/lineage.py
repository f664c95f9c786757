"""Who is alive when: cell cycles, divisions, and one number per nucleus between divisions.

Numbers follow birth (frame, then mother), so a longer movie only adds numbers: it never changes one.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

from tlseg.simulate.settings import SHORTEST_CYCLE, Draw, SimulationSettings


@dataclass(frozen=True, slots=True)
class Track:
    """One nucleus between two divisions.

    Attributes
    ----------
    number : int
        Label of the nucleus, from 1.
    parent : int
        Number of the mother; 0 for nuclei of the first frame.
    root : int
        Number of the first-frame ancestor.
    generation : int
        Divisions since the first frame.
    depth : int
        Divisions since the fertilised egg; sets size and brightness.
    birth, division : int
        First frame of the nucleus, and first frame of her daughters.
    """

    number: int
    parent: int
    root: int
    generation: int
    depth: int
    birth: int
    division: int

    def alive(self, t: int) -> bool:
        """Whether the nucleus is there in frame `t`."""
        return self.birth <= t < self.division


def grow_lineage(settings: SimulationSettings) -> tuple[Track, ...]:
    """All tracks born before the movie ends, by number.

    Parameters
    ----------
    settings : SimulationSettings

    Returns
    -------
    tuple of Track
        `tracks[n - 1].number == n`. The tracks of a shorter movie are the first ones of a longer.
    """
    full = settings.start_nuclei.bit_length() - 1
    deeper = 2 * (settings.start_nuclei - 2**full)
    tracks: list[Track] = []
    divisions: list[tuple[int, int]] = []
    paces: list[float] = []

    def add(parent: Track | None, birth: int, depth: int) -> None:
        number = len(tracks) + 1
        paces.append(_pace(settings, number, paces[parent.number - 1] if parent else None))
        length = max(SHORTEST_CYCLE, round(settings.cycle_frames * (1 + settings.cycle_noise * paces[-1])))
        # Nuclei of the first frame are somewhere in their cycle, before the plate.
        elapsed = 0 if parent else int(settings.rng(Draw.START, number).uniform(0, length - 1))
        track = Track(
            number=number,
            parent=parent.number if parent else 0,
            root=parent.root if parent else number,
            generation=parent.generation + 1 if parent else 0,
            depth=depth,
            birth=birth,
            division=birth + length - elapsed,
        )
        tracks.append(track)
        heapq.heappush(divisions, (track.division, number))

    for i in range(settings.start_nuclei):
        add(None, 0, full + 1 if i < deeper else full)
    while divisions[0][0] < settings.frames:
        t, number = heapq.heappop(divisions)
        mother = tracks[number - 1]
        for _ in range(2):
            add(mother, t, mother.depth + 1)
    return tuple(tracks)


def _pace(settings: SimulationSettings, number: int, mothers: float | None) -> float:
    """How many standard deviations slower than the mean a nucleus is; lineages keep theirs as far as they remember."""
    own = float(settings.rng(Draw.CYCLE, number).normal())
    if mothers is None:
        return own
    return settings.cycle_memory * mothers + math.sqrt(1 - settings.cycle_memory**2) * own
