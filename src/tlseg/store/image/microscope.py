"""Movies in the files of microscope makers (CZI, LIF, ND2, ...), as BioIO and its plugins read them.

A file may hold several movies, such as the positions of a stage: BioIO calls them scenes.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tlseg.errors import MovieError, one_line
from tlseg.geometry import Box, Shape, Spacing
from tlseg.installed import missing_extra
from tlseg.store.image.logged import listening
from tlseg.store.image.tiff import MaybeSpacing

EXTRA = "microscopes"


class MicroscopeMovie:
    """One scene of a file, of which one stack (z, y, x) is in memory at a time.

    Parameters
    ----------
    path : Path
        The file.
    scene : str, optional
        Name of the scene, or its number from 0; needed if there are several.

    Raises
    ------
    MissingExtraError
        When BioIO is not installed.
    MovieError
        When no installed plugin reads the file, or it is not a movie of grey values.
    """

    def __init__(self, path: Path, *, scene: str | None = None) -> None:
        self._image = image = _open(path)
        self._held: tuple[tuple[int, int], npt.NDArray[np.generic]] | None = None
        chosen = _choose(path, image.scenes, scene)
        image.set_scene(chosen)
        sizes = dict(zip(image.dims.order, image.dims.shape, strict=True))
        if 0 in sizes.values() or sizes.keys() - set("TCZYX"):
            found = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise MovieError(
                f"{path} holds {found}. Expected a movie of grey values: T, C, Z, Y, X, and none of them 0."
            )
        self.name = str(path)
        self.n_frames = sizes["T"]
        self.frame_shape: Shape = (sizes["Z"], sizes["Y"], sizes["X"])
        self.is_2d = sizes["Z"] == 1
        self.dtype = np.dtype(image.dtype).newbyteorder("=")
        self.spacing_um: MaybeSpacing = _spacing(image)
        self.spacing_note = ""
        self.translation_um: Spacing = (0.0, 0.0, 0.0)
        self.interval_s = _interval(image)
        self.start_s = 0.0
        self.channel_names = tuple(map(str, image.channel_names or (f"channel {c}" for c in range(sizes["C"]))))
        which = f", scene {chosen!r} of {len(image.scenes)}" if len(image.scenes) > 1 else ""
        self.notes: tuple[str, ...] = (f"read with {type(image.reader).__module__.partition('.')[0]}{which}",)

    def read(self, frame: int, channel: int, box: Box) -> npt.NDArray[np.generic]:
        """Read the voxels (z, y, x) of a box in native byte order; its whole stack is kept until another is asked for."""
        if self._held is None or self._held[0] != (frame, channel):
            self._held = None
            self._held = ((frame, channel), self._stack(frame, channel))
        return self._held[1][box.slices].copy()

    def _stack(self, frame: int, channel: int) -> npt.NDArray[np.generic]:
        try:
            # Plugins read stacks by single planes, too, but then take seconds to find one among many.
            stack = self._image.get_image_dask_data("ZYX", T=frame, C=channel).compute(scheduler="synchronous")
        except Exception as error:  # every plugin has errors of its own
            raise MovieError(
                f"{self.name}: frame {frame} cannot be read ({one_line(error)}). The file is damaged, or of a kind its "
                "plugin of BioIO does not know; copy it again, or export it as OME-TIFF."
            ) from error
        return np.asarray(stack, dtype=self.dtype)

    def close(self) -> None:
        """No file stays open between two reads."""
        self._held = None


def _open(path: Path) -> Any:
    try:
        from bioio import BioImage
        from bioio_base.exceptions import UnsupportedFileFormatError
    except ImportError as error:
        what = f"{path.name} is neither a TIFF nor an OME-Zarr; reading files of microscope makers"
        raise missing_extra(what, EXTRA) from error
    try:
        with listening("bioio") as refusals:
            return BioImage(str(path))
    except UnsupportedFileFormatError as error:
        if refusals:
            why = " ".join(refusals[0].rpartition("failed with error: ")[2].split())[:160]
            raise MovieError(
                f"{path} cannot be read: it is not a TIFF, and no installed plugin of BioIO can read it ({why}). Copy it "
                "again, or export the movie as OME-TIFF."
            ) from error
        raise MovieError(
            f"{path} cannot be read: it is not a TIFF, and no installed plugin of BioIO knows it. Install the one for this "
            "format (bioio-czi for CZI, see https://github.com/bioio-devs/bioio), or export the movie as OME-TIFF."
        ) from error
    except Exception as error:  # every plugin has errors of its own
        raise MovieError(
            f"{path} cannot be opened ({one_line(error)}). Copy it again, or export it as OME-TIFF."
        ) from error


def _choose(path: Path, scenes: tuple[str, ...], scene: str | None) -> str:
    """Name of the scene that was asked for."""
    names = ", ".join(f"{number}: {name}" for number, name in enumerate(scenes))
    if scene is None and len(scenes) > 1:
        raise MovieError(f"{path} holds {len(scenes)} scenes ({names}). Choose one with --scene, by name or number.")
    if scene is None or scene in scenes:
        return scene or scenes[0]
    if scene.isdecimal() and int(scene) < len(scenes):
        return scenes[int(scene)]
    raise MovieError(f"{path} has no scene {scene!r}. There are {names}.")


def _spacing(image: Any) -> MaybeSpacing:
    """Micrometres along (z, y, x), None where unknown."""
    sizes = image.physical_pixel_sizes
    z, y, x = (abs(float(size)) if size else None for size in (sizes.Z, sizes.Y, sizes.X))
    return (z, y, x)


def _interval(image: Any) -> float | None:
    """Seconds between frames, None where unknown."""
    try:
        interval = image.time_interval
    except Exception:  # metadata that a plugin cannot make out are none
        return None
    seconds = interval.total_seconds() if isinstance(interval, timedelta) else interval
    return float(seconds) if seconds and seconds > 0 else None
