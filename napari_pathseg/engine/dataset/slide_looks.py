"""How slides look to a network: at its pixel size, after stain normalisation."""

from collections import OrderedDict

from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.dataset.spread_tiles import spread_tiles
from napari_pathseg.projects.project import Project
from napari_pathseg.slides.look import Look, measure_look

_TILES, _SIDE = 16, 256  # that are looked at; working pixels along a side
_KEPT = 1024
_MEASURED: "OrderedDict[tuple[str, int | None, float, str], Look | None]" = OrderedDict()  # a view must not wait


def look_of(project: Project, slide: SlidePatchSource) -> Look | None:
    """Return how an open slide looks, None if it shows too little tissue.

    Raises
    ------
    UnsupportedSlideError
        If its pixels cannot be decoded.
    """
    record = slide.record
    key = record.fingerprint, record.page, slide.factor * record.downsample, slide.stain_norm
    if key not in _MEASURED:
        tiles = [slide.pixels(box) for box in spread_tiles(project, slide, _TILES, _SIDE)]
        _MEASURED[key] = measure_look(tiles, record.mpp)
        while len(_MEASURED) > _KEPT:
            _MEASURED.popitem(last=False)
    return _MEASURED[key]
