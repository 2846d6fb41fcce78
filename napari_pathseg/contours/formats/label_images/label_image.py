"""Label images: masks as PNG, TIFF or BMP pictures in which a pixel's number is its class.

The numbers come and go as they are; what 255 means is for the project to say.  Of a picture
with a palette they are the indices.  Where a project's class colours are given, a picture
painted in them says the classes by its colours: one with a palette that has any of them, a grey
one with no other, and any other coloured one.  A colour that is no class's is then refused;
black, unless it is a class's, and what is transparent are 0.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from napari_pathseg.contours.formats.label_images.label_colors import Painted, by_colors
from napari_pathseg.errors import AnnotationError
from napari_pathseg.storage.atomic import replace_file

_TIFF = (".tif", ".tiff")
_PICTURES = {".png": "PNG", ".bmp": "BMP"}
_MARK = "napari-pathseg", "class indices"  # in what is written here
_SPREAD = {"L;2": 85, "L;4": 17}  # Pillow spreads the numbers of a narrow PNG over 0 to 255
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
    Image.DecompressionBombError,
)


class LabelImage(NamedTuple):
    """The numbers of a label image, and whether they are classes for certain.

    They are where its colours say them, and where it was written here; else 0 and 1, or 0 and
    255, may mean something of their own.
    """

    values: npt.NDArray[np.uint8]
    are_classes: bool


def read_label_image(
    path: Path,
    shape: tuple[int, int],
    colors: Mapping[str, int] | None = None,
    page: int | None = None,
    mask_shape: tuple[int, int] | None = None,
) -> LabelImage:
    """Return the numbers of a label image of `shape`, rows and columns, 0 to 255.

    Parameters
    ----------
    path
        The picture.
    shape
        Rows and columns it must have.
    colors
        The number of each colour, as ``#rrggbb``, that a class is painted in.
    page
        Which mask of a TIFF with several, from 0; the first where None.
    mask_shape
        Another shape that it may have: that of the slide's mask.

    Raises
    ------
    AnnotationError
        If the file cannot be read, is of another size than its slide, or holds fractions,
        numbers above 255 or colours that are no class's: which, and of how many pixels.
    """
    tiff = path.suffix.lower() in _TIFF
    try:
        shapes = [shape] if mask_shape is None else [shape, mask_shape]
        painted = _read_tiff(path, shapes, page) if tiff else _read_picture(path, shapes)
    except AnnotationError:
        raise
    except FileNotFoundError as error:
        raise AnnotationError(f"{path} does not exist. Check the path.") from error
    except (*_BROKEN, tifffile.TiffFileError) as error:
        raise AnnotationError(f"{path.name} could not be read: {error}. Export it again.") from error
    named = None if painted.own else by_colors(painted, colors or {}, path.name)
    if named is None:
        return LabelImage(_numbers(painted.pixels, path.name), painted.own)
    return LabelImage(named, True)


def write_label_image(path: Path, mask: npt.NDArray[np.uint8], mpp: float | None = None, *, own: bool = True) -> None:
    """Write a mask as a PNG, BMP or (deflated) TIFF picture, the only one to hold the pixel size.

    `mpp` is micrometres per mask pixel; `own` says that its numbers are classes of a project.

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
            about = PngInfo()
            about.add_text(*_MARK)
            options = {"pnginfo": about} if own and suffix == ".png" else {}
            Image.fromarray(mask).save(partial, format=_PICTURES[suffix], **options)
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
            description=": ".join(_MARK) if own else None,
            **resolution,
        )


def decode_png(raw: bytes, place: str, check_size: Callable[[int, int], None]) -> npt.NDArray[np.bool_]:
    """Return which pixels of a PNG picture in memory are not 0.

    Parameters
    ----------
    raw
        The file.
    place
        Where it is from; it begins the message.
    check_size
        Called with rows and columns before the pixels are read; may refuse them.

    Raises
    ------
    AnnotationError
        If it is no PNG picture or cannot be read.
    """
    try:
        with Image.open(io.BytesIO(raw), formats=("PNG",)) as picture:
            check_size(picture.height, picture.width)
            pixels = np.asarray(picture)
    except AnnotationError:
        raise
    except _BROKEN as error:  # UnidentifiedImageError is an OSError
        raise AnnotationError(f"{place}: its mask is no PNG picture that can be read. Export it again.") from error
    inside: npt.NDArray[np.bool_] = (pixels if pixels.ndim == 2 else pixels[..., :3].max(axis=-1)) != 0
    return inside


def _read_picture(path: Path, shapes: Sequence[tuple[int, int]]) -> Painted:
    with warnings.catch_warnings():  # the slide has that size, too
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            picture = Image.open(path, formats=("PNG", "BMP"))
        except UnidentifiedImageError as error:
            raise AnnotationError(f"{path.name} is no PNG or BMP picture. Export it again.") from error
        with picture:
            _check_size((picture.height, picture.width), shapes, path.name)
            stored = picture.tile[0].args if picture.tile else None
            stored = stored if isinstance(stored, str) else ""
            if picture.mode.startswith("RGB") and "16B" in stored:  # Pillow would give half of the numbers
                raise AnnotationError(
                    f"{path.name} holds 16-bit colours. Save it as an 8-bit or a 16-bit grey picture."
                )
            pixels = np.asarray(picture)
            palette = picture.getpalette("RGB") if picture.mode == "P" else None
            own = picture.info.get(_MARK[0]) == _MARK[1]
    table = None if palette is None else np.array(palette, np.uint8).reshape(-1, 3)
    return Painted(pixels // np.uint8(_SPREAD[stored]) if stored in _SPREAD else pixels, table, own)


def _read_tiff(path: Path, shapes: Sequence[tuple[int, int]], number: int | None) -> Painted:
    with tifffile.TiffFile(path) as file:
        count = len(file.pages)
        if number is not None and number >= count > 1:
            raise AnnotationError(
                f"{path.name} has {count} masks; number {number + 1} was asked for. Add what is missing."
            )
        found = file.pages[0 if number is None or count == 1 else number]
        page = found.aspage() if isinstance(found, tifffile.TiffFrame) else found
        _check_size((page.imagelength, page.imagewidth), shapes, path.name)
        pixels = np.asarray(page.asarray())
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind in "ub":
            pixels = ~pixels if page.bitspersample == pixels.itemsize * 8 else pixels == 0
        if pixels.ndim == 3 and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
            pixels = np.moveaxis(pixels, 0, -1)
        table = page.colormap if page.photometric == tifffile.PHOTOMETRIC.PALETTE else None
    if table is None:
        return Painted(pixels, own=page.description == ": ".join(_MARK))
    return Painted(pixels, (table >> 8 if table.max() > 255 else table).astype(np.uint8).T)


def _check_size(found: tuple[int, int], shapes: Sequence[tuple[int, int]], name: str) -> None:
    """Refuse a picture that is not as large as its slide."""
    if found not in [tuple(shape) for shape in shapes]:
        shape = shapes[0]
        raise AnnotationError(
            f"{name} is {found[0]} x {found[1]} pixels, its slide {shape[0]} x {shape[1]} (rows x columns). "
            "Give the mask that belongs to this slide, at its full size."
        )


def _numbers(pixels: npt.NDArray[Any], name: str) -> npt.NDArray[np.uint8]:
    """Return numbers that fit a mask; refuse all others."""
    if pixels.ndim not in (2, 3):
        raise AnnotationError(f"{name} holds a stack of shape {pixels.shape}, not one picture. Save one of its pages.")
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
