"""Which part of a stroke lies where the live model finds its class."""

from napari_pathseg.classes import UNLABELLED
from napari_pathseg.masks.shapes import BitmapShape, Shape
from napari_pathseg.ui.layers.live_tiles import above_threshold
from napari_pathseg.ui.session.session import Session


def part_found(session: Session, shape: Shape, label: int) -> Shape | None:
    """Return the part of a shape, on the mask in view, where the live model finds a class; None if nothing of it is.

    Where it has not answered counts as found, and without any answer, or while its answers are hidden, the shape is
    returned as it is.
    """
    mask, live, layer = session.mask, session.live, session.layers.live
    if mask is None or layer is None or not layer.visible:
        return shape
    box = shape.box.clip(mask.shape).coarser(live.step)
    flags = None if box.empty else shape.flags(box, live.step)
    if flags is None or live.tiles.coarsest(box.finer(live.step)) > live.step:
        return shape
    found = above_threshold(live.tiles.read(box, live.step.bit_length() - 1), live.threshold)
    if not found[flags].any():
        return shape
    kept = flags & ((found == label) | (found == UNLABELLED))
    return BitmapShape(kept, box, live.step) if kept.any() else None
