"""Outlines without the stairs of the mask's pixels, for programs in which they are looked at."""

from dataclasses import replace

import numpy as np
import shapely
from scipy import ndimage

from napari_pathseg.data.annotation import Contour, Points

_STEP = 0.5  # pixels between the points of a line while it is smoothed
_FLATNESS = 0.05  # pixels by which points may be left out afterwards
_FEWEST = 8  # points that a line has to have to be smoothed


def smooth(contour: Contour, reach: float) -> Contour:
    """Return a contour whose lines are averaged along themselves.

    Parameters
    ----------
    contour
        What to smooth; its holes are smoothed, too.
    reach
        In pixels: the width of the average, and the farthest that a point is moved; 0 for none.
        Classes that touch may overlap or part by as much.
    """
    if reach <= 0:
        return contour
    rings = [_smooth_ring(ring, reach) for ring in contour.rings]
    return replace(contour, exterior=rings[0], holes=tuple(rings[1:]))


def _smooth_ring(ring: Points, reach: float) -> Points:
    """Average a closed line along itself, moving no point farther than `reach`."""
    closed = np.vstack([ring, ring[:1]])
    along = np.concatenate([[0.0], np.hypot(*np.diff(closed, axis=0).T).cumsum()])
    count = int(along[-1] / _STEP)
    if count < _FEWEST:
        return ring
    places = np.linspace(0, along[-1], count, endpoint=False)
    points = np.column_stack([np.interp(places, along, closed[:, axis]) for axis in (0, 1)])
    averaged = ndimage.gaussian_filter1d(points, reach / (along[-1] / count), axis=0, mode="wrap")
    moved = averaged - points
    length = np.maximum(np.hypot(*moved.T), 1e-12)[:, None]
    kept = points + moved * np.minimum(1, reach / length)
    thinned = shapely.get_coordinates(shapely.simplify(shapely.LinearRing(kept), _FLATNESS))[:-1]
    return thinned if len(thinned) > 3 else ring
