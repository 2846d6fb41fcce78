"""Four held-out patches as a picture: the image, what a person says, what the network says."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_pathseg.classes import BACKGROUND, ClassTable
from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.device import Device
from napari_pathseg.engine.evaluation.validation import Validator, classes_of, predict_region
from napari_pathseg.engine.networks import Network
from napari_pathseg.geometry import Region, layout
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.storage.atomic import replace_file

_PATCHES = 4
_SIDE = 192  # pixels of a patch
_GAP = 4
_TINT = 0.45  # how far a class colours the image


class ValidationSamples:
    """The patches of a run, the same ones each time; those that show most classes come first."""

    def __init__(self, validator: Validator, classes: ClassTable) -> None:
        self._colors = np.array([(0, 0, 0), *(spec.rgb for spec in classes)], np.float32)
        self._patches = _chosen(validator.tiles)

    def draw(self, network: Network, device: Device) -> UInt8Array:
        """Return the picture, RGB: a row for each patch."""
        rows = []
        for slide, region in self._patches:
            image = self._image(slide, region)
            found = classes_of(predict_region(network, device, slide, region))
            pictures = [image, self._tinted(image, slide.labels(region)), self._tinted(image, found)]
            rows.append(np.concatenate([_framed(picture) for picture in pictures], axis=1))
        return np.concatenate(rows)

    def write(self, path: Path, network: Network, device: Device) -> UInt8Array:
        """Write the picture as a PNG, and return it."""
        picture = self.draw(network, device)
        with replace_file(path) as partial:
            Image.fromarray(picture).save(partial, "PNG")
        return picture

    @staticmethod
    def _image(slide: SlidePatchSource, region: Region) -> UInt8Array:
        pixels = slide.pixels(slide.on_working_grid(region))
        return np.asarray(Image.fromarray(pixels).resize((region.width, region.height), Image.Resampling.BILINEAR))

    def _tinted(self, image: UInt8Array, labels: npt.NDArray[np.uint8]) -> UInt8Array:
        tint = np.where(labels > BACKGROUND, np.float32(_TINT), np.float32(0))[..., None]
        tinted: UInt8Array = (image * (1 - tint) + self._colors[labels] * tint).astype(np.uint8)
        return tinted


def _chosen(tiles: list[tuple[SlidePatchSource, Region]]) -> list[tuple[SlidePatchSource, Region]]:
    """Return the patches of tiles in which the rarer of their classes is largest, of each slide one first."""
    patches = [(slide, box) for slide, tile in tiles for box in layout(tile, _SIDE)]
    ranked = sorted(patches, key=lambda patch: -_variety(patch[0].labels(patch[1])))
    first = {slide.entry.id: (slide, box) for slide, box in reversed(ranked)}
    leading = [patch for patch in ranked if first[patch[0].entry.id] == patch]
    return [*leading, *(patch for patch in ranked if patch not in leading)][:_PATCHES]


def _variety(labels: UInt8Array) -> int:
    """Return how many pixels of a second class there are, the commonest left out."""
    counts = np.sort(np.bincount(labels[labels > 0]))
    return int(counts[:-1].sum())


def _framed(picture: UInt8Array) -> UInt8Array:
    canvas = np.full((_SIDE + _GAP, _SIDE + _GAP, 3), 40, np.uint8)
    canvas[: picture.shape[0], : picture.shape[1]] = picture
    return canvas
