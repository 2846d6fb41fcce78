"""Images that are open in napari but are no slides of the project: they are offered as slides.

Once the user accepts, a slide takes the place of the layer.  Until then strokes go to the slide in view, which the
offer says; the user can also leave an image as it is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np
from napari.layers import Image
from psygnal import Signal

from napari_pathseg.projects.project import Project
from napari_pathseg.slides.pyramid_conversion import write_pyramid
from napari_pathseg.slides.registry import SLIDE_SUFFIXES
from napari_pathseg.storage.names import safe_name
from napari_pathseg.ui.layers.foreign_images import file_of, foreign_images, hides, move_below
from napari_pathseg.ui.session.background import Report
from napari_pathseg.ui.session.workspace import Workspace

_MAX_BYTES = 2_000_000_000  # of an image without a file that is written to one


@dataclass(frozen=True)
class OpenImage:
    """An image that is offered as a slide.

    Attributes
    ----------
    name
        Of its file, else of its layer.
    layers
        The layers that show it: a file can have several.
    path
        Its file; None if it has none that can be a slide.
    slide
        The slide of the project that it is already; empty if it is not one yet.
    """

    name: str
    layers: tuple[Image, ...]
    path: Path | None
    slide: str = ""

    @property
    def can_be_saved(self) -> bool:
        """Whether an image without a file can be written as a slide: 8 bits, grey or RGB, one plane."""
        pixels, rgb = _pixels(self.layers[0]), self.layers[0].rgb
        is_plane = len(pixels.shape) == (3 if rgb else 2)
        return bool(is_plane and pixels.dtype == np.uint8 and np.prod(pixels.shape) <= _MAX_BYTES)


class OpenImages:
    """The images that are open in napari beside the slide in view; `changed` is emitted when there are others."""

    changed = Signal()

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._viewer = workspace.layers.viewer
        self._left: WeakSet[Image] = WeakSet()
        events = self._viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.connect(self._notify, position="last")

    @property
    def offered(self) -> list[OpenImage]:
        """The images that the user can add as slides, or leave; an image without a file only until there is a slide."""
        project, layers = self._workspace.project, self._workspace.layers
        found: dict[object, list[Image]] = {}
        for layer in foreign_images(self._viewer):
            path = _slide_file(layer)
            if layer not in self._left and (path is not None or layers.record is None):
                found.setdefault(path or layer, []).append(layer)
        return [_open_image(images, project) for images in found.values()]

    @property
    def addable(self) -> list[OpenImage]:
        """The offered images that can be added: those with a file, and those that can be saved in the project."""
        project = self._workspace.project
        return [one for one in self.offered if one.path is not None or (project is not None and one.can_be_saved)]

    @property
    def covering(self) -> list[Image]:
        """The images that lie above the mask and hide it, because the user moved them there."""
        mask, layers = self._workspace.layers.mask, self._viewer.layers
        if mask is None or mask not in layers:
            return []
        place = layers.index(mask)
        return [one for one in foreign_images(self._viewer) if hides(one) and layers.index(one) > place]

    def leave(self, images: Sequence[OpenImage]) -> None:
        """Offer images no longer."""
        self._left.update(layer for image in images for layer in image.layers)
        self.changed.emit()

    def uncover(self) -> None:
        """Move the images that hide the mask below it."""
        layers = self._workspace.layers
        if layers.image is not None:
            move_below(self._viewer, self.covering, layers.lowest_above_image)

    def remove(self, images: Sequence[OpenImage]) -> None:
        """Remove the layers of images that slides show now."""
        for layer in [layer for image in images for layer in image.layers]:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    def _notify(self, event: object = None) -> None:
        self.changed.emit()


def save_image(image: OpenImage, project: Project, report: Report) -> Path:
    """Write an image without a file as a pyramid in the project's folder ``slides``, and return its path.

    Raises
    ------
    ProjectError
        If it cannot be written.
    """
    layer, folder = image.layers[0], project.folder / "slides"
    path = next(path for path in _unused(folder, safe_name(image.name)) if not path.exists())
    folder.mkdir(exist_ok=True)
    write_pyramid(path, _pixels(layer), _mpp(layer), report)
    return path


def slide_of(path: Path, project: Project) -> str:
    """Return the slide that a file is in the project, of a stack the first; empty if it is not one yet."""
    known = (record.id for record in project.slides.values() if Path(record.path) in (path, path.resolve()))
    return next(known, "")


def _open_image(layers: Sequence[Image], project: Project | None) -> OpenImage:
    path = _slide_file(layers[0])
    slide = slide_of(path, project) if path is not None and project is not None else ""
    return OpenImage(layers[0].name if path is None else path.name, tuple(layers), path, slide)


def _slide_file(layer: Image) -> Path | None:
    path = file_of(layer)
    return path if path is not None and path.suffix.lower() in SLIDE_SUFFIXES else None


def _unused(folder: Path, name: str) -> Iterator[Path]:
    yield folder / f"{name}.tif"
    yield from (folder / f"{name}-{number}.tif" for number in range(2, 10_000))


def _pixels(layer: Image) -> Any:
    return layer.data[0] if layer.multiscale else layer.data


def _mpp(layer: Image) -> float | None:
    """Return the pixel size of a layer in micrometres if it states one, and square pixels."""
    sides = [float(side) for side in layer.scale[-2:]]
    in_um = all(str(unit) == "micrometer" for unit in layer.units[-2:])
    return sides[0] if in_um and sides[0] == sides[1] else None
