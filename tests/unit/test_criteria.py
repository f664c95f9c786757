"""Criteria: counts made by hand for a small family, and laws that hold for any table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tlseg.measure.criteria import measure_criteria


def row(t: int, track: int, *, volume: float, x: float, parent: int = 0, generation: int = 0) -> dict[str, float]:
    return {
        "t": t,
        "label": track,
        "track": track,
        "parent": parent,
        "generation": generation,
        "volume_um3": volume,
        "intensity_mean": 10.0,
        "z_um": 0.0,
        "y_um": 0.0,
        "x_um": x,
    }


# Mother 1 grows by 10 um3 a frame; 2 and 3 are born in frame 3; 2 divides in frame 5 into 4 and 5; frame 7 is empty.
FAMILY = pd.DataFrame(
    [
        *(row(t, 1, volume=100 + 10 * t, x=2.0 * t) for t in range(3)),
        *(row(t, 2, volume=40, x=0.0, parent=1, generation=1) for t in (3, 4)),
        *(row(t, 3, volume=80, x=6.0, parent=1, generation=1) for t in (3, 4, 5, 6)),
        *(row(t, k, volume=20, x=float(k), parent=2, generation=2) for t in (5, 6) for k in (4, 5)),
    ]
)


def test_a_family_counted_by_hand() -> None:
    found = measure_criteria(FAMILY, frames=8, interval_s=60.0)
    frames = found.frames.set_index("t")
    assert frames["count"].tolist() == [1, 1, 1, 2, 2, 3, 3, 0]
    assert frames["t_s"].tolist() == [60.0 * t for t in range(8)]
    assert frames.loc[3, ["volume_um3_sum", "volume_um3_mean", "volume_um3_std"]].tolist() == [120, 60, 20]
    assert frames.loc[7, "volume_um3_sum"] == 0
    assert np.isnan(frames.loc[7, "volume_um3_mean"])

    tracks = found.tracks.set_index("track")
    assert tracks.loc[1, "volume_um3_per_frame"] == pytest.approx(10)
    assert tracks.loc[1, ["path_um", "speed_um_per_frame"]].tolist() == [4, 2]
    assert tracks.loc[3, "volume_um3_mean"] == 80

    divided = found.divisions.set_index("mother")
    assert divided.index.tolist() == [1, 2]
    assert divided.loc[1, "sister_volume_ratio"] == 0.5
    assert divided.loc[1, "sister_distance_um"] == 6
    assert divided.loc[1, "volume_ratio"] == pytest.approx(120 / 110)
    assert divided.loc[2, ["daughter_1", "daughter_2", "sister_volume_ratio"]].tolist() == [4, 5, 1]

    generations = found.generations.set_index("generation")
    assert generations["tracks"].tolist() == [1, 2, 2]
    assert generations["cycles"].tolist() == [0, 1, 0]
    assert generations.loc[1, ["cycle_frames_mean", "cycle_s_mean"]].tolist() == [2, 120]
    assert generations["divisions"].tolist() == [1, 1, 0]


def test_divisions_have_a_place_and_a_confidence() -> None:
    links = [(2, 1, 3, 2, "division", 0.9), (2, 1, 3, 3, "division", 0.6), (3, 2, 4, 2, "link", 0.1)]
    edges = pd.DataFrame(links, columns=["t_a", "label_a", "t_b", "label_b", "kind", "confidence"])
    found = measure_criteria(FAMILY, frames=8, edges=edges).divisions.set_index("mother")
    assert found["x_um"].tolist() == [3.0, 4.5]
    assert found.loc[1, "confidence"] == 0.6
    assert np.isnan(found.loc[2, "confidence"])
    assert "confidence" not in measure_criteria(FAMILY, frames=8).divisions


def test_tracks_of_unknown_generation_have_no_part_in_generations() -> None:
    strange = [row(t, 9, volume=500, x=40.0, generation=-1) for t in (4, 5, 6)]
    both = pd.concat([FAMILY, pd.DataFrame(strange)], ignore_index=True)
    pd.testing.assert_frame_equal(
        measure_criteria(both, frames=8).generations, measure_criteria(FAMILY, frames=8).generations
    )
    assert 9 in measure_criteria(both, frames=8).tracks["track"].tolist()


def test_every_division_has_a_row_and_only_two_sisters_are_compared() -> None:
    third = [row(t, 6, volume=50, x=3.0, parent=1, generation=1) for t in (4, 5)]
    family = pd.concat([FAMILY[FAMILY["track"] != 5], pd.DataFrame(third)])
    found = measure_criteria(family, frames=8)
    divided = found.divisions.set_index("mother")
    assert divided[["t", "daughters", "daughter_1", "daughter_2"]].to_numpy().tolist() == [[3, 3, 2, 3], [5, 1, 4, 0]]
    assert len(divided) == found.generations["divisions"].sum()
    compared = ["sister_volume_ratio", "sister_intensity_ratio", "sister_distance_um", "volume_ratio"]
    assert divided[compared].isna().all(axis=None)


def test_the_spread_of_division_times_is_the_synchrony() -> None:
    def family(second: int) -> pd.DataFrame:
        spans = {1: (0, 3, 0), 2: (0, second - 1, 0), 3: (4, 9, 1), 4: (4, 9, 1), 5: (second, 9, 2), 6: (second, 9, 2)}
        return pd.DataFrame(
            [
                row(t, k, volume=1, x=k, parent=p, generation=int(p > 0))
                for k, (a, b, p) in spans.items()
                for t in range(a, b + 1)
            ]
        )

    at_once, apart = (
        measure_criteria(family(t), frames=10).generations.set_index("generation")["division_t_std"][0] for t in (4, 8)
    )
    assert at_once == 0
    assert apart == pytest.approx(np.std([4, 8], ddof=1))


def test_the_order_of_rows_and_missing_columns_change_nothing_else() -> None:
    straight = measure_criteria(FAMILY, frames=8)
    shuffled = measure_criteria(FAMILY.sample(frac=1, random_state=3), frames=8)
    for name, table in straight.tables().items():
        pd.testing.assert_frame_equal(table, shuffled.tables()[name])
    bare = measure_criteria(FAMILY[["t", "label", "track", "parent", "generation"]], frames=8)
    assert bare.frames["count"].tolist() == straight.frames["count"].tolist()
    assert "volume_um3_mean" not in bare.tracks
    assert bare.divisions["mother"].tolist() == [1, 2]


def test_labels_without_tracks_and_empty_movies() -> None:
    labels = measure_criteria(pd.DataFrame({"t": [0, 1], "label": [4, 4]}), frames=2)
    assert labels.tracks["track"].tolist() == [4]
    assert not len(labels.divisions)
    nothing = measure_criteria(FAMILY.iloc[:0], frames=3)
    assert nothing.frames["count"].tolist() == [0, 0, 0]
    assert not any(len(nothing.tables()[name]) for name in ("tracks", "divisions", "generations"))


def test_frames_that_were_not_segmented_have_no_row() -> None:
    part = measure_criteria(FAMILY[FAMILY["t"].between(3, 5)], frames=range(2, 6), interval_s=60.0).frames
    assert part["t"].tolist() == [2, 3, 4, 5]
    assert part["t_s"].tolist() == [120, 180, 240, 300]
    assert (part["count"] > 0).tolist() == [False, True, True, True]
