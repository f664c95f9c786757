"""Settings by name: what would otherwise have to be assembled from many fields."""

from __future__ import annotations

from typing import Any, Literal

from tlseg.simulate.settings import SHORTEST_CYCLE, SimulationSettings

SceneName = Literal["embryo", "blastocyst", "sheet"]

_ROUNDS = 5.2  # cell cycles from two nuclei to somewhat more than 64
_SHEET_RADIUS = 0.8  # of the radius that lets nuclei of a sheet touch, so that their daughters find room


def scene_settings(scene: SceneName, **given: Any) -> SimulationSettings:
    """Settings of a scene.

    Parameters
    ----------
    scene : {"embryo", "blastocyst", "sheet"}
        `embryo`: the defaults, a ball of nuclei that divide fast. `blastocyst`: an embryo of 2 nuclei that grows to 64
        and more over the movie, whatever its length (500 frames of 10 minutes are those of a mouse), with polar bodies,
        drift, jumps, lineages of unequal pace and, from 32 nuclei on, a cavity. `sheet`: one layer of nuclei across the
        frame, as many as `start_nuclei` says. A longer embryo or sheet begins with the frames of a shorter one; a
        blastocyst does so only where `cycle_frames` and `bleach` are given, since they follow from `frames`.
    **given
        Fields of `SimulationSettings`; they overrule those of the scene.

    Returns
    -------
    SimulationSettings
    """
    if scene == "embryo":
        return SimulationSettings(**given)
    made = _blastocyst(given) if scene == "blastocyst" else _sheet(given)
    return SimulationSettings(**{**made, **given})


def _blastocyst(given: dict[str, Any]) -> dict[str, Any]:
    frames = SimulationSettings(frames=given.get("frames", 500)).frames
    return {
        "frames": frames,
        "start_nuclei": 2,
        "cycle_frames": max(float(SHORTEST_CYCLE), frames / _ROUNDS),
        "cycle_noise": 0.08,
        "cycle_memory": 0.5,
        "cavity_nuclei": 32,
        "polar_bodies": 2,
        "jump_chance": 0.02,
        "rotation_deg": 1.5,
        "drift_um": 0.3,
        "bleach": 0.2 / frames,
    }


def _sheet(given: dict[str, Any]) -> dict[str, Any]:
    plain = SimulationSettings(**{k: given[k] for k in ("shape", "spacing_um", "start_nuclei") if k in given})
    _, height, width = plain.extent_um
    return {
        "room": "sheet",
        "cycle_frames": 100.0,
        "axial_stretch": 1.4,
        # Nuclei of a sheet are of one size, whatever their number says about divisions since the egg.
        "shrink": 1.0,
        "fade": 1.0,
        "photons": 60.0,
        "radius_um": _SHEET_RADIUS * (height * width / plain.start_nuclei) ** 0.5 / 2,
        "migration_um": 0.3,
    }
