"""The tile of a pyramid of labels that napari has loaded: where it lies, and drawing a box of it.

Like `mask_layer` this relies on napari's private API, and is used only where `can_paint_pyramids` is True.
"""

import numpy as np
from napari.layers import Labels

from napari_pathseg.geometry import EMPTY_REGION, Region
from napari_pathseg.geometry.arrays import UInt8Array


def loaded_tile(layer: Labels) -> Region:
    """Return the box of the level shown that napari has loaded."""
    rows, columns = layer._slice.image.raw.shape
    if layer._slice.empty:
        return EMPTY_REGION
    factors = layer.downsample_factors[layer.data_level]  # not powers of 2 where a level has odd sides
    top, left = np.round(layer._slice.tile_to_data.translate[-2:] / factors[-2:]).astype(int)
    return Region(int(top), int(left), rows, columns)


def draw_box(layer: Labels, box: Region, shown: UInt8Array) -> None:
    """Set the displayed values of a box of the loaded tile, and upload that box alone to the graphics card."""
    tile, image = loaded_tile(layer), layer._slice.image
    here = box.shift(-tile.top, -tile.left)
    if not image.raw.flags.writeable:
        layer.refresh(extent=False, thumbnail=False)
        return
    image.raw[here.slices] = shown
    reach = layer.contour + 1 if layer.contour else 0
    wide = Region(here.top - reach, here.left - reach, here.height + 2 * reach, here.width + 2 * reach)
    wide = wide.clip(image.raw.shape)
    image.view[wide.slices] = layer._raw_to_displayed(image.raw, wide.slices)
    if layer._slicing_state.loaded:
        layer.events.labels_update(data=image.view[wide.slices], offset=[wide.top, wide.left])
