"""What the gaps between touching objects weigh, so that a network learns to keep them apart.

The distance to the second nearest of many objects is found in two passes, down the columns
and along the rows, each of which finds the nearest object and the nearest *other* one; the
time depends on the pixels and the reach, not on how many objects there are.
"""

import numpy as np
import numpy.typing as npt
from skimage.measure import label as components

from napari_pathseg.classes import BACKGROUND
from napari_pathseg.geometry import Region, layout
from napari_pathseg.geometry.arrays import UInt8Array

Keys = npt.NDArray[np.unsignedinteger]  # a squared distance, then the bits of an object's number
REACH = 3.0  # in widths; what is farther weighs less than exp(-4.5) = 1.1 % of the most
_BLOCK = 512  # what is computed at once, so that memory stays small
_STRIP = 64  # rows that are compared at once, so that they stay in the cache


def border_weights(labels: UInt8Array, weight: float, width: float) -> npt.NDArray[np.float32]:
    """Return what each pixel of a mask of any size counts in the loss.

    Background pixels count ``1 + weight * exp(-(d1 + d2)**2 / (2 * width**2))``, where d1 and
    d2 are the distances, between pixel centres, to the nearest and the second nearest object [1]_;
    1 where the second is farther than three widths.  All other pixels count 1.

    Parameters
    ----------
    labels
        Class indices, shape (rows, columns).  An object is a connected part of a class above
        Background; pixels that touch at a corner only belong to different ones, so that an
        oblique line of one pixel parts two objects.
    weight
        The most that is added; 10 in the paper.
    width
        In pixels; 5 in the paper.

    References
    ----------
    .. [1] Ronneberger, Fischer, Brox, U-Net: convolutional networks for biomedical image
       segmentation, MICCAI 2015, equation 2.
    """
    weights = np.ones(labels.shape, np.float32)
    if weight == 0:
        return weights
    objects = components(np.where(labels > BACKGROUND, labels, 0), connectivity=1)  # type: ignore[no-untyped-call]
    reach = int(REACH * width)
    for region in layout(Region(0, 0, *labels.shape), _BLOCK):
        around = Region(
            region.top - reach, region.left - reach, region.height + 2 * reach, region.width + 2 * reach
        ).clip(labels.shape)
        inside = region.shift(-around.top, -around.left)
        nearest = _two_nearest(objects[around.slices], inside, reach)
        if nearest is None:
            continue
        first, second = nearest
        gap = (labels[region.slices] == BACKGROUND) & (second <= (REACH * width) ** 2)
        distance = np.sqrt(first[gap]) + np.sqrt(second[gap])
        weights[region.slices][gap] += weight * np.exp(-(distance**2) / (2 * width**2))
    return weights


def _two_nearest(objects: npt.NDArray[np.signedinteger], inside: Region, reach: int) -> tuple[Keys, Keys] | None:
    """Return the squared distances to the two nearest objects, or None where there are not two.

    An object farther than `reach` along an axis is not seen; its distance is then too large to count.

    Parameters
    ----------
    objects
        Object numbers, 0 for none.
    inside
        The box of `objects` that is asked for.
    reach
        In pixels, a whole number.
    """
    present = np.zeros(int(objects.max(initial=0)) + 1, bool)
    present[objects.ravel()] = True
    present[0] = False
    number = int(present.sum())
    if number < 2:
        return None
    bits = number.bit_length()
    far = 4 * reach**2 + 4  # squared; no sum of two squares within reach comes near
    kind = np.uint32 if (far + reach**2) << bits < 2**32 else np.uint64
    beyond = kind(far << bits)
    numbers: Keys = (np.cumsum(present) * present).astype(kind)  # 1, 2, ... in this block
    keys = numbers[objects]
    keys[objects == 0] = beyond
    pair: tuple[Keys, Keys] = keys, np.broadcast_to(beyond, keys.shape)
    for first, size in ((inside.top, inside.height), (inside.left, inside.width)):
        found = _gather(pair, range(first, first + size), reach, bits)
        pair = np.ascontiguousarray(found[0].T), np.ascontiguousarray(found[1].T)
    return np.right_shift(pair[0], bits), np.right_shift(pair[1], bits)


def _gather(pair: tuple[Keys, Keys], wanted: range, reach: int, bits: int) -> tuple[Keys, Keys]:
    """Return, for wanted rows, the nearest object and the nearest other one over the rows within `reach`.

    Parameters
    ----------
    pair
        The same within each row, a key for each pixel; a smaller key is a nearer object.
    wanted
        Rows that are asked for.
    reach, bits
        In pixels; of a key, those of the object's number.
    """
    nearest, other = pair
    shape = len(wanted), nearest.shape[1]
    first, second = (np.full(shape, (4 * reach**2 + 4) << bits, nearest.dtype) for _ in range(2))
    for top in range(0, len(wanted), _STRIP):
        rows = wanted[top : top + _STRIP]
        steps = []
        for step in range(-reach, reach + 1):
            low, high = max(rows.start, -step), min(rows.stop, len(nearest) - step)
            if low < high:
                to = slice(low - wanted.start, high - wanted.start)
                steps.append((to, slice(low + step, high + step), step * step << bits))
        for to, source, farther in steps:
            np.minimum(first[to], nearest[source] + nearest.dtype.type(farther), out=first[to])
        for to, source, farther in steps:
            candidate = _unless_same(nearest[source], first[to], bits)
            np.minimum(candidate, other[source], out=candidate)
            candidate += nearest.dtype.type(farther)
            np.minimum(second[to], candidate, out=second[to])
    return first, second


def _unless_same(keys: Keys, taken: Keys, bits: int) -> Keys:
    """Return the keys, with all bits set where the object is the one that is taken."""
    same = keys ^ taken
    same &= same.dtype.type((1 << bits) - 1)
    same -= same.dtype.type(1)  # below 0 where the numbers are equal
    signed = same.view(f"i{same.itemsize}")
    signed >>= 8 * same.itemsize - 1
    same |= keys
    return same
