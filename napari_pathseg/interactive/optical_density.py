"""Stain separation: the amounts of haematoxylin and eosin in each pixel, from its optical density.

Stains add up in optical density, ``-log10(value / 255)`` for each of red, green and blue, so
a small matrix separates them there [1]_.  The colours are those of Ruifrok and
Johnston as in scikit-image (``skimage.color.rgb_from_hed``); an amount here is 6 times
that of ``skimage.color.rgb2hed``, whose logarithm is to the base 1e-6.  A grey image has
no stain; its brightness is used instead.

A channel has 256 values, so every product is looked up in a table: ten times faster than
logarithms and a matrix.

References
----------
.. [1] Ruifrok & Johnston, Quantification of histochemical staining by color deconvolution,
   Analytical and Quantitative Cytology and Histology 23 (2001) 291-299.
"""

import numpy as np

from napari_pathseg.geometry.arrays import Float32Array, UInt8Array

# Red, green and blue density of haematoxylin, eosin and DAB, one row per stain.
_RGB_FROM_HED = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
_HED_FROM_RGB = np.linalg.inv(_RGB_FROM_HED)
# Black would be infinitely dense; it gets the density of the darkest grey.
_DENSITY = -np.log10(np.maximum(np.arange(256), 1) / 255)
_TABLES = (_DENSITY[:, None, None] * _HED_FROM_RGB).astype(np.float32)


def stains(image: UInt8Array) -> list[Float32Array]:
    """Return the amounts of haematoxylin and of eosin; for a grey image its brightness alone, 0 to 1.

    Parameters
    ----------
    image
        RGB (rows, columns, 3) or grey (rows, columns).
    """
    if image.ndim == 2:
        return [_brightness(image)]
    return [_amount(image, 0), _amount(image, 1)]


def haematoxylin(image: UInt8Array) -> Float32Array:
    """Return the amount of haematoxylin of each pixel, 0 or more; for a grey image its brightness, 0 to 1."""
    return stains(image)[0] if image.ndim == 2 else _amount(image, 0)


def _brightness(image: UInt8Array) -> Float32Array:
    return image.astype(np.float32) / np.float32(255)


def _amount(image: UInt8Array, stain: int) -> Float32Array:
    """Return the amount of one stain: the sum of the contributions of red, green and blue."""
    amount = np.take(_TABLES[:, 0, stain], image[..., 0])
    for channel in (1, 2):
        amount += np.take(_TABLES[:, channel, stain], image[..., channel])
    return np.maximum(amount, 0, out=amount)
