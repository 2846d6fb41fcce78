"""Label images: masks as PNG, TIFF or BMP pictures in which a pixel's number is its class.

The numbers come and go as they are; what 255 means is for the project to say.
"""

import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image, UnidentifiedImageError

from napari_pathseg.data.files import replace_file
from napari_pathseg.errors import AnnotationError

_TIFF = (".tif", ".tiff")
_PICTURES = {".png": "PNG", ".bmp": "BMP"}
_BROKEN = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    struct.error,
    zlib.error,
)


def read_label_image(path: Path, shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return the numbers of a label image of `shape`, rows and columns, 0 to 255.

    Of a coloured picture whose channels are equal the first is taken, of one with a palette
    the indices.

    Raises
    ------
    AnnotationError
        If the file cannot be read, is of another size than its slide, or holds colours,
        fractions or numbers above 255.
    """
    read = _read_tiff if path.suffix.lower() in _TIFF else _read_picture
    try:
        pixels = read(path, shape)
    except AnnotationError:
        raise
    except FileNotFoundError as error:
        raise AnnotationError(f"{path} does not exist. Check the path.") from error
    except (*_BROKEN, tifffile.TiffFileError, Image.DecompressionBombError) as error:
        raise AnnotationError(f"{path.name} could not be read: {error}. Export it again.") from error
    return _labels(pixels, path.name)


def write_label_image(path: Path, mask: npt.NDArray[np.uint8], mpp: float | None = None) -> None:
    """Write a mask as a PNG, BMP or (deflated) TIFF picture, the only one to hold the pixel size.

    `mpp` is micrometres per mask pixel.

    Raises
    ------
    AnnotationError
        If the suffix is none of these.
    ProjectError
        If the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in (*_TIFF, *_PICTURES):
        raise AnnotationError(f"{path.name}: masks are written as .png, .tif, .tiff or .bmp. Rename it.")
    with replace_file(path) as partial:
        if suffix in _PICTURES:
            Image.fromarray(mask).save(partial, format=_PICTURES[suffix])
            return
        resolution: dict[str, Any] = {}
        if mpp is not None:
            resolution = {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"}
        tile = (512, 512) if min(mask.shape) > 512 else None
        tifffile.imwrite(
            partial,
            mask,
            photometric="minisblack",
            compression="adobe_deflate",
            tile=tile,
            metadata=None,
            **resolution,
        )


def _read_picture(path: Path, shape: tuple[int, int]) -> npt.NDArray[Any]:
    with warnings.catch_warnings():  # the slide has that size, too
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            picture = Image.open(path, formats=("PNG", "BMP"))
        except UnidentifiedImageError as error:
            raise AnnotationError(f"{path.name} is no PNG or BMP picture. Export it again.") from error
        with picture:
            _check_size((picture.height, picture.width), shape, path.name)
            return np.asarray(picture)


def _read_tiff(path: Path, shape: tuple[int, int]) -> npt.NDArray[Any]:
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        _check_size((page.imagelength, page.imagewidth), shape, path.name)
        pixels = page.asarray()
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind in "ub":
            pixels = ~pixels if page.bitspersample == pixels.itemsize * 8 else pixels == 0
        if pixels.ndim == 3 and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
            pixels = np.moveaxis(pixels, 0, -1)
        return np.asarray(pixels)


def _check_size(found: tuple[int, int], shape: tuple[int, int], name: str) -> None:
    """Refuse a picture that is not as large as its slide."""
    if found != tuple(shape):
        raise AnnotationError(
            f"{name} is {found[0]} x {found[1]} pixels, its slide {shape[0]} x {shape[1]} (rows x columns). "
            "Give the mask that belongs to this slide, at its full size."
        )


def _labels(pixels: npt.NDArray[Any], name: str) -> npt.NDArray[np.uint8]:
    """Return numbers that fit a mask; refuse all others."""
    if pixels.ndim == 3:
        colors = pixels[..., :3] if pixels.shape[-1] > 2 else pixels[..., :1]
        if (colors != colors[..., :1]).any():
            raise AnnotationError(f"{name} holds colours, not class numbers. Save it as a grey picture.")
        pixels = pixels[..., 0]
    if pixels.dtype.kind not in "bui":
        raise AnnotationError(f"{name} holds {pixels.dtype} values; a mask has whole numbers. Save it as 8-bit grey.")
    if pixels.dtype.kind != "b" and pixels.size and (pixels.max() > 255 or pixels.min() < 0):
        value = int(pixels.max() if pixels.max() > 255 else pixels.min())
        raise AnnotationError(f"{name} holds the number {value}; a mask has 0 to 255. Save it as 8-bit grey.")
    return np.ascontiguousarray(pixels, np.uint8)
