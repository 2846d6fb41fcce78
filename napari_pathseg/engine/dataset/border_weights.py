"""Pixel weights for the gaps between touching objects, so that a network learns to separate them.

The distances to the two nearest objects are found in two passes, along columns and along
rows.  Each pass finds the nearest object and the nearest *other* one, so the time depends on
the pixels and the reach, not on the number of objects.
"""

import numpy as np
import numpy.typing as npt
from skimage.measure import label as components

from napari_pathseg.classes import BACKGROUND
from napari_pathseg.geometry import Region, layout
from napari_pathseg.geometry.arrays import Float32Array, UInt8Array

Keys = npt.NDArray[np.unsignedinteger]  # a squared distance in the high bits, an object's number in the low ones
REACH = 3.0  # in widths; beyond it the weight is below exp(-4.5) = 1.1 % of the maximum
_BLOCK = 512  # side of the blocks that are computed one by one, to bound memory
_STRIP = 64  # rows compared at once, so that they stay in the CPU cache


def border_weights(labels: UInt8Array, weight: float, width: float) -> Float32Array:
    """Return the weight of each pixel of a mask in the loss.

    Background pixels weigh ``1 + weight * exp(-(d1 + d2)**2 / (2 * width**2))``, where d1 and
    d2 are the distances, between pixel centres, to the nearest and the second nearest object [1]_,
    and 1 where d2 exceeds three widths.  All other pixels weigh 1.

    Parameters
    ----------
    labels
        Class indices, shape (rows, columns).  An object is a 4-connected part of a class above
        Background, so that an oblique line of one pixel separates two objects.
    weight
        Maximum added weight; 10 in the paper.
    width
        Standard deviation in pixels; 5 in the paper.

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
    """Return the squared distances to the two nearest objects, or None if there are fewer than two.

    Objects farther than `reach` along an axis are ignored; the distance is then larger than any within reach.

    Parameters
    ----------
    objects
        Object numbers, 0 for none.
    inside
        The box of `objects` for which distances are returned.
    reach
        Whole pixels.
    """
    present = np.zeros(int(objects.max(initial=0)) + 1, bool)
    present[objects.ravel()] = True
    present[0] = False
    number = int(present.sum())
    if number < 2:
        return None
    bits = number.bit_length()
    far = 4 * reach**2 + 4  # squared; larger than any sum of two squares within reach
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
    """Return, for some rows, the keys of the nearest object and of the nearest other one within `reach` rows.

    Parameters
    ----------
    pair
        The same two keys of each pixel within its own row; a smaller key is a nearer object.
    wanted
        The rows for which keys are returned.
    reach, bits
        In pixels; and the number of bits that a key uses for the object's number.
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
            candidate = _exclude_same_object(nearest[source], first[to], bits)
            np.minimum(candidate, other[source], out=candidate)
            candidate += nearest.dtype.type(farther)
            np.minimum(second[to], candidate, out=second[to])
    return first, second


def _exclude_same_object(keys: Keys, excluded: Keys, bits: int) -> Keys:
    """Return the keys, with all bits set where the object is that of `excluded`."""
    same = keys ^ excluded
    same &= same.dtype.type((1 << bits) - 1)
    same -= same.dtype.type(1)  # negative where the numbers are equal
    signed = same.view(f"i{same.itemsize}")
    signed >>= 8 * same.itemsize - 1
    same |= keys
    return same
