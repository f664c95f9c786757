"""How much does a nucleus look like the mother of two later ones?

Distance alone finds divisions badly, so the three are judged together and over time: whether the mother lies between
sisters that are alike and share her volume, whether she condensed and they relax, and whether both of them stay. The
weights are those of a logistic regression (`benchmarks/fit_linking.py`), so a cost is a probability on another scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlseg.geometry import ball_radius
from tlseg.link.candidates import log_ratio, log_ratio_squared, path_um
from tlseg.link.chains import Chains
from tlseg.link.objects import Floats, Ints, Objects
from tlseg.link.stabilise import Stabilised

FEATURES = (
    "midpoint",
    "same_side",
    "unlike_volume",
    "volume_gained",
    "daughter_size",
    "unlike_intensity",
    "mother_bright",
    "mother_small",
    "daughters_bright",
    "daughters_small",
    "short_daughter",
    "new_mother",
    "mother_missed",
    "daughter_missed",
)
"""What `features` returns, in this order."""

# Squares and logarithms count up to these, so that one bad measurement alone decides nothing.
_FARTHEST, _LEAST_CHANGE, _MOST_CHANGE = 9.0, -1.0, 0.7
# Two halves of a nucleus lie nearer to each other than this many radii of both together, two that are separate do not:
# halves of a ball lie 0.75 apart, balls that touch 1.59. In simulated embryos cut nuclei 0.62 to 0.99, sisters 1.85 or more.
_SEPARATE = 1.05


@dataclass(frozen=True, slots=True)
class Families:
    """Candidate divisions.

    Parameters
    ----------
    mother, child, sister
        Rows in `Objects`, shape (m,); `sister` had no link backward, and `child` is what the mother was linked to, if
        she was.
    cost
        Shape (m,): below 1 it is rather a division than not.
    """

    mother: Ints
    child: Ints
    sister: Ints
    cost: Floats

    def __len__(self) -> int:
        return len(self.mother)

    @classmethod
    def none(cls) -> Families:
        """No candidates."""
        rows = np.empty(0, np.int64)
        return cls(rows, rows, rows, np.empty(0))

    def take(self, index: NDArray[np.integer]) -> Families:
        """Only these candidates."""
        return Families(self.mother[index], self.child[index], self.sister[index], self.cost[index])

    def joined(self, other: Families) -> Families:
        """These candidates and then others."""
        pairs = zip(
            (self.mother, self.child, self.sister, self.cost),
            (other.mother, other.child, other.sister, other.cost),
            strict=True,
        )
        return Families(*(np.concatenate(pair) for pair in pairs))


def features(
    objects: Objects,
    placed: Stabilised,
    chains: Chains,
    mother: Ints,
    one: Ints,
    two: Ints,
    *,
    revived: NDArray[np.bool_],
) -> Floats:
    """What is known of a mother and two later nuclei, shape (m, len(FEATURES)).

    Parameters
    ----------
    objects, placed, chains
        Nuclei, their stabilised positions, and the links between them.
    mother, one, two
        Rows, shape (m,).
    revived
        For each row, whether a nucleus that could be the same is seen again after its chain ends, shape (n,).

    Notes
    -----
    With V and R the mother's volume and radius at rest, V1 and V2 the volumes of the daughters, `ln` from -1 to 0.7, and
    squared log ratios up to 4:

    - `midpoint`: `|m|^2 / R^2` over one more than the missing frames, up to 9, m the midpoint of the daughters from the
      mother, weighted by volume; `same_side`: `(1 + cos) / 2` of the angle between them, seen from her
    - `unlike_volume`, `unlike_intensity`: squared log ratios of the daughters, at first or later, whichever is less
    - `volume_gained`: square of `ln((V1 + V2) / V)` where that is above 0
    - `daughter_size`: `ln` of the larger daughter's later volume over V: a nucleus beside which another appears keeps its
      own
    - `mother_bright`, `mother_small`, `daughters_bright`, `daughters_small`: `ln` of intensity or volume beside the
      division over those at rest
    - `short_daughter`: whether one is seen in a single frame and not again; `new_mother`: whether the mother is new
    - `mother_missed`, `daughter_missed`: frames before the first daughter in which neither is seen, and frames between
      the two
    """
    v, i = objects.volume_um3, objects.intensity
    t = objects.t
    rest = chains.at_rest(v, mother)
    radius = ball_radius(rest)
    to_one, to_two = path_um(objects, placed, mother, one), path_um(objects, placed, mother, two)
    middle = (v[one, None] * to_one + v[two, None] * to_two) / (v[one] + v[two])[:, None]
    length = np.linalg.norm(to_one, axis=1) * np.linalg.norm(to_two, axis=1)
    cosine = np.divide(np.einsum("ij,ij->i", to_one, to_two), length, out=np.zeros_like(length), where=length > 0)
    late_one, late_two = t[one] - t[mother] - 1, t[two] - t[mother] - 1
    mother_missed, daughter_missed = np.minimum(late_one, late_two), np.abs(late_one - late_two)
    far = np.einsum("ij,ij->i", middle, middle) / radius**2 / (1 + mother_missed + daughter_missed)
    kept = _change(rest, v[one] + v[two])
    short = [(t[row] < objects.last) & ~revived[row] & (chains.following[row] < 0) for row in (one, two)]
    grown = [chains.later(v, row) for row in (one, two)]
    light = [chains.later(i, row) for row in (one, two)]
    bright = [_change(later, i[row]) for row, later in zip((one, two), light, strict=True)]
    small = [_change(later, v[row]) for row, later in zip((one, two), grown, strict=True)]
    columns = (
        np.minimum(far, _FARTHEST),
        (1 + cosine) / 2,
        np.minimum(log_ratio_squared(v[one], v[two]), log_ratio_squared(*grown)),
        np.maximum(kept, 0) ** 2,
        _change(rest, np.maximum(*grown)),
        np.minimum(log_ratio_squared(i[one], i[two]), log_ratio_squared(*light)),
        _change(chains.at_rest(i, mother), i[mother]),
        _change(rest, v[mother]),
        bright[0] + bright[1],
        small[0] + small[1],
        short[0] | short[1],
        (t[mother] > objects.first) & (chains.preceding[mother] < 0),
        mother_missed,
        daughter_missed,
    )
    return np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)


def separate(objects: Objects, placed: Stabilised, one: Ints, two: Ints) -> NDArray[np.bool_]:
    """Whether pairs of rows are too far apart to be pieces of one nucleus, shape (m,).

    Pairs of different frames always are; so are all pairs without volumes or a third dimension.
    """
    if objects.is_planar or not objects.have_volumes:
        return np.ones(len(one), dtype=bool)
    radius = ball_radius(objects.volume_um3[one] + objects.volume_um3[two])
    distance = np.linalg.norm(placed.position_um[one] - placed.position_um[two], axis=1)
    return np.asarray((objects.t[one] != objects.t[two]) | (distance > _SEPARATE * radius))


def part_ways(objects: Objects, placed: Stabilised, chains: Chains, one: Ints, two: Ints) -> NDArray[np.bool_]:
    """Whether pairs of rows are separate nuclei at once, or as what they are linked to, shape (m,)."""
    later_one, later_two = chains.following[one], chains.following[two]
    both = np.flatnonzero((later_one >= 0) & (later_two >= 0))
    apart = separate(objects, placed, one, two)
    apart[both] |= separate(objects, placed, later_one[both], later_two[both])
    return apart


def keep_grown_mothers(objects: Objects, chains: Chains, found: Families, *, frames: int) -> Ints:
    """Of divisions that follow each other too soon keep the likelier one; indices of those that stay, ascending.

    Parameters
    ----------
    objects, chains
        Nuclei of the movie, and all rows joined as one nucleus: links and gaps, mother to child included.
    found
        Divisions to choose from, each nucleus in one at most as mother and in one at most as daughter.
    frames
        Fewest frames from a nucleus's birth by division to its own division; nuclei whose birth was not seen pass.
    """
    chain = chains.heads()
    divided: dict[int, list[int]] = {}
    kept = []
    for index in np.lexsort((found.sister, found.mother, found.cost)).tolist():
        rows = [int(part[index]) for part in (found.mother, found.child, found.sister)]
        now = int(objects.t[rows[0]])
        lines = {int(chain[row]) for row in rows}
        if all(abs(now - other) >= frames for line in lines for other in divided.get(line, [])):
            kept.append(index)
            for line in lines:
                divided.setdefault(line, []).append(now)
    return np.sort(np.array(kept, dtype=np.int64))


def _change(before: Floats, after: Floats) -> Floats:
    """`ln(after / before)` within bounds; 0 if there is no ratio."""
    return np.clip(log_ratio(before, after), _LEAST_CHANGE, _MOST_CHANGE)
