"""Read label images: masks stored as PNG, TIFF or BMP in which each pixel's number is its class.

The numbers are returned as stored, palette indices included; what 255 means is up to the project.  Of TIFFs that store
white as 0 they are inverted, unless the writer is known to store a mask's values as they are.
If the project's class colours are given, an image painted in them yields classes instead: a palette
image that uses any of them, a grey image that uses no other grey, and every RGB image.  A colour
that belongs to no class is refused; transparent pixels are 0, and so is black unless a class has it.
"""

import io
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image, ImageFile, UnidentifiedImageError

from napari_pathseg.contours.alignment import (
    IDENTITY,
    AxisScaleTransform,
    fits_stated_size,
    transform_for_stated_size,
)
from napari_pathseg.errors import AnnotationError, UnsupportedSlideError
from napari_pathseg.geometry.arrays import BoolArray, UInt8Array
from napari_pathseg.slides.readers.tiff_chunks import check_chunks, read_page
from napari_pathseg.slides.readers.tiff_samples import check_numbers, tiff_palette
from napari_pathseg.slides.tiff_file import open_tiff_file
from napari_pathseg.storage.portable import ConcurrentFileReader
from napari_pathseg.storage.untrusted import MAX_DECODED_BYTES, DecodeError, decoding

TIFF_SUFFIXES = (".tif", ".tiff")
PILLOW_FORMATS = {".png": "PNG", ".bmp": "BMP"}
_BAND = 4_000_000  # pixels looked up at once, so that no second copy of the image in wider numbers is held
_UNKNOWN = 255  # no class has that number
_MAX_UNKNOWN_COLORS = 1_000  # an image with more is not a mask
_COLORS_SHOWN = 3
MARK = "napari-pathseg", "class indices"  # in what is written here
_SPREAD = {"L;2": 85, "L;4": 17}  # Pillow spreads the numbers of a narrow PNG over 0 to 255
_MAX_BYTES = 512 << 20  # of an image in memory


class _WantedSize(NamedTuple):
    """The size that a label image must have: one of `shapes`, or one that `transform` turns into the first of them."""

    shapes: Sequence[tuple[int, int]]
    transform: AxisScaleTransform = IDENTITY

    def accepts(self, found: tuple[int, int]) -> bool:
        if self.transform == IDENTITY:
            return found in [tuple(shape) for shape in self.shapes]
        return fits_stated_size(found, self.shapes[0], self.transform)


class _StoredImage(NamedTuple):
    """An image as it is stored: numbers or colours, and the RGB palette that the numbers index.

    `is_marked` says that this program wrote it, so its numbers are classes.
    """

    pixels: npt.NDArray[Any]
    palette: UInt8Array | None = None
    is_marked: bool = False


class LabelImage(NamedTuple):
    """The values of a label image, and whether they are known to be class indices.

    They are if its colours gave them or this program wrote it.  Otherwise 0 and 1, or 0 and 255,
    may mean "outside" and "inside".
    """

    values: UInt8Array
    are_classes: bool


def read_label_image(
    path: Path,
    shape: tuple[int, int],
    colors: Mapping[str, int] | None = None,
    page: int | None = None,
    mask_shape: tuple[int, int] | None = None,
    transform: AxisScaleTransform = IDENTITY,
) -> LabelImage:
    """Return the values, 0 to 255, of a label image, as they are in the file.

    Parameters
    ----------
    path
        A PNG, BMP or TIFF file.
    shape
        Rows and columns it must have.
    colors
        Class index by class colour, ``#rrggbb``.
    page
        The page of a TIFF with several masks, from 0; None for the first.
    mask_shape
        Another shape that is accepted: that of the slide's mask.
    transform
        What aligns the image with the slide; unless it is the identity, the image must fit `shape` after it.

    Raises
    ------
    AnnotationError
        If the file cannot be read, does not have the slide's size, or holds fractions, numbers
        above 255 or colours that belong to no class.
    """
    if not path.exists():
        raise AnnotationError(f"{path} does not exist. Check the path.")
    size = _WantedSize([shape] if mask_shape is None else [shape, mask_shape], transform)
    stored = _read_tiff(path, size, page) if path.suffix.lower() in TIFF_SUFFIXES else _read_image(path, size)
    classes = None if stored.is_marked else _classes_by_color(stored, colors or {}, path.name)
    if classes is None:
        return LabelImage(_checked_values(stored.pixels, path.name), stored.is_marked)
    return LabelImage(classes, True)


def decode_png(raw: bytes, place: str, check_size: Callable[[int, int], None]) -> BoolArray:
    """Return which pixels of a PNG image in memory are not 0.

    Parameters
    ----------
    raw
        The bytes of the PNG file.
    place
        Where it comes from; begins the message.
    check_size
        Called with rows and columns before the pixels are decoded; may raise.

    Raises
    ------
    AnnotationError
        If it is not a readable PNG image.
    """
    refusal = f"{place}: its mask is not a readable PNG image. Export it again."
    try:
        with decoding():
            image = Image.open(io.BytesIO(raw), formats=("PNG",))
    except DecodeError as error:
        raise AnnotationError(refusal) from error
    with image:
        check_size(image.height, image.width)
        try:
            with decoding():
                pixels = np.asarray(image)
        except DecodeError as error:
            raise AnnotationError(refusal) from error
    inside: BoolArray = (pixels if pixels.ndim == 2 else pixels[..., :3].max(axis=-1)) != 0
    return inside


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Report what Pillow or tifffile raise as an unreadable file.  Only their calls belong inside."""
    try:
        with decoding():
            yield
    except DecodeError as error:
        raise AnnotationError(f"{name} could not be read ({error}). Export it again.") from error


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    """Report what makes a TIFF unreadable as a slide as an unreadable label image."""
    try:
        yield
    except UnsupportedSlideError as refusal:
        raise AnnotationError(f"{name} could not be read: {refusal}") from refusal


def _open_image(path: Path) -> ImageFile.ImageFile:
    with warnings.catch_warnings():  # the slide is as large
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with _decoding(path.name):
            try:
                image = Image.open(path, formats=("PNG", "BMP"))
            except UnidentifiedImageError:
                image = None
    if image is None:
        raise AnnotationError(f"{path.name} is not a PNG or BMP image. Export it again.")
    return image


def _read_image(path: Path, wanted: _WantedSize) -> _StoredImage:
    image = _open_image(path)
    with image:
        _check_size((image.height, image.width), wanted, path.name)
        raw_mode = image.tile[0].args if image.tile else None
        raw_mode = raw_mode if isinstance(raw_mode, str) else ""
        if image.mode.startswith("RGB") and "16B" in raw_mode:  # Pillow would drop the lower byte
            raise AnnotationError(f"{path.name} holds 16-bit colours. Save it as an 8-bit or a 16-bit grey image.")
        with _decoding(path.name):
            pixels = np.asarray(image)
            palette = image.getpalette("RGB") if image.mode == "P" else None
            is_marked = image.info.get(MARK[0]) == MARK[1]
    table = None if palette is None else np.array(palette, np.uint8).reshape(-1, 3)
    return _StoredImage(pixels // np.uint8(_SPREAD[raw_mode]) if raw_mode in _SPREAD else pixels, table, is_marked)


def _read_tiff(path: Path, wanted: _WantedSize, number: int | None) -> _StoredImage:
    with _decoding(path.name):
        file = open_tiff_file(path)
    with file:
        with _decoding(path.name):
            count = len(file.pages)
        if number is not None and number >= count > 1:
            raise AnnotationError(
                f"{path.name} has {count} masks, but its slide is number {number + 1} of its file. Add the "
                "missing masks."
            )
        with _decoding(path.name):
            page = _page(file, number or 0)
        _check_size(_size(page, path.name), wanted, path.name)
        pixels = _pixels_of(page, path, wanted)
        with _refusing(path.name):
            palette = tiff_palette(page) if page.photometric == tifffile.PHOTOMETRIC.PALETTE else None
        with _decoding(path.name):
            is_marked = page.description == ": ".join(MARK)
            is_inverted = _is_white_zero(page) and not _keeps_values(_page(file, 0))  # later pages name no writer
            is_full_width = page.bitspersample == pixels.itemsize * 8
    if is_inverted and pixels.dtype.kind in "ub":
        pixels = ~pixels if is_full_width else pixels == 0
    return _StoredImage(pixels, palette, is_marked)


def _pixels_of(page: tifffile.TiffPage, path: Path, wanted: _WantedSize) -> npt.NDArray[Any]:
    """Return the pixels of a page, whose strips or tiles are checked before they are decoded."""
    with _decoding(path.name):
        depth, samples, bits = page.imagedepth, page.samplesperpixel, page.bitspersample
    if depth > 1:
        raise AnnotationError(f"{path.name} holds a volume of {depth} planes, not one image. Save one of its planes.")
    planes = samples if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE else 1
    with _refusing(path.name):
        check_chunks(page, planes, path.stat().st_size, MAX_DECODED_BYTES)
    _check_bytes((page.imagelength, page.imagewidth), samples * -(-bits // 8), wanted, path.name)
    with _decoding(path.name), closing(ConcurrentFileReader(path)) as file:
        return read_page(page, file)


def _check_bytes(found: tuple[int, int], pixel_bytes: int, wanted: _WantedSize, name: str) -> None:
    """Raise AnnotationError if an image would take too much memory, although it is as large as its slide."""
    if found[0] * found[1] * pixel_bytes > _MAX_BYTES:
        rows, columns = wanted.shapes[-1]
        smaller = f", such as that of the slide's mask, {rows} x {columns}" if wanted.shapes[-1] != found else ""
        raise AnnotationError(
            f"{name} of {found[0]} x {found[1]} pixels needs more than {_MAX_BYTES >> 20} MiB. Save it as 8-bit grey "
            f"at a lower resolution{smaller}."
        )


def _page(file: tifffile.TiffFile, number: int) -> tifffile.TiffPage:
    """Return a page, or the first one if there is no such page."""
    found = file.pages[number if number < len(file.pages) else 0]
    return found.aspage() if isinstance(found, tifffile.TiffFrame) else found


def _size(page: tifffile.TiffPage, name: str) -> tuple[int, int]:
    """Return the rows and columns of a page; raise AnnotationError if its tags hold no numbers, or 0."""
    with _refusing(name):
        check_numbers(page)
    if min(page.imagelength, page.imagewidth) < 1:
        raise AnnotationError(f"{name} has {page.imagelength} x {page.imagewidth} pixels. Export it again.")
    return page.imagelength, page.imagewidth


def _is_white_zero(page: tifffile.TiffPage) -> bool:
    return page.photometric == tifffile.PHOTOMETRIC.MINISWHITE


def _keeps_values(page: tifffile.TiffPage) -> bool:
    """Return whether the writer stores the values of a mask whatever colour they are shown in.

    tifffile stores booleans with white as 0, ImageJ masks with an inverting look-up table; both read them back
    unchanged.
    """
    return page.software.startswith("tifffile") or page.description.startswith("ImageJ=")


def is_white_ambiguous(path: Path) -> bool:
    """Return whether a label image is a TIFF that stores white as 0, from a writer of which is not known what it means.

    Raises
    ------
    AnnotationError
        If the file cannot be read.
    """
    if path.suffix.lower() not in TIFF_SUFFIXES:
        return False
    with _decoding(path.name), open_tiff_file(path) as file:
        page = file.pages.first
        return _is_white_zero(page) and not _keeps_values(page)


def label_image_shape(path: Path, page: int | None = None) -> tuple[int, int]:
    """Return the rows and columns of a label image, of a TIFF those of one `page`.

    Raises
    ------
    AnnotationError
        If the file cannot be read.
    """
    if path.suffix.lower() not in TIFF_SUFFIXES:
        with _open_image(path) as image:
            return image.height, image.width
    with _decoding(path.name):
        file = open_tiff_file(path)
    with file:
        with _decoding(path.name):
            found = _page(file, page or 0)
        return _size(found, path.name)


def _check_size(found: tuple[int, int], wanted: _WantedSize, name: str) -> None:
    """Raise AnnotationError unless the image is as large as its slide."""
    if wanted.accepts(found):
        return
    rows, columns = wanted.shapes[0]
    remedy = transform_for_stated_size(found, (rows, columns))
    advice = "Give" if remedy is None or remedy == IDENTITY else f"Add it with {remedy.options}, or give"
    after = "" if wanted.transform == IDENTITY else f", and with {wanted.transform.options} it does not fit"
    raise AnnotationError(
        f"{name} is {found[0]} x {found[1]} pixels, its slide {rows} x {columns} (rows x columns){after}. {advice} "
        "the mask that belongs to this slide, at its full size."
    )


def _checked_values(pixels: npt.NDArray[Any], name: str) -> UInt8Array:
    """Return the pixels as uint8; raise AnnotationError if they do not fit a mask."""
    if pixels.ndim not in (2, 3):
        raise AnnotationError(f"{name} holds a stack of shape {pixels.shape}, not one image. Save one of its pages.")
    if pixels.ndim == 3:
        colors = pixels[..., :3] if pixels.shape[-1] > 2 else pixels[..., :1]
        if (colors != colors[..., :1]).any():
            raise AnnotationError(f"{name} holds colours, not class numbers. Save it as a grey image.")
        pixels = pixels[..., 0]
    if pixels.dtype.kind not in "bui":
        raise AnnotationError(f"{name} holds {pixels.dtype} values; a mask has whole numbers. Save it as 8-bit grey.")
    if pixels.dtype.kind != "b" and pixels.size and (pixels.max() > 255 or pixels.min() < 0):
        value = int(pixels.max() if pixels.max() > 255 else pixels.min())
        raise AnnotationError(f"{name} holds the number {value}; a mask has 0 to 255. Save it as 8-bit grey.")
    return np.ascontiguousarray(pixels, np.uint8)


def _classes_by_color(stored: _StoredImage, colors: Mapping[str, int], name: str) -> UInt8Array | None:
    """Return the classes of an image's colours, or None if its values are class numbers.

    Parameters
    ----------
    stored
        The image.
    colors
        Class index, up to 254, by colour ``#rrggbb``.
    name
        The file, for messages.

    Raises
    ------
    AnnotationError
        If the image has colours that no class has, naming them with their numbers of pixels.
    """
    if not colors:
        return None
    table = {int(color[1:], 16): index for color, index in colors.items()}
    table.setdefault(0, 0)
    pixels = stored.pixels
    if stored.palette is not None and pixels.ndim == 2 and pixels.dtype == np.uint8:
        return _by_palette(pixels, stored.palette, table, name)
    if pixels.ndim != 3 or pixels.shape[-1] not in (3, 4) or pixels.dtype != np.uint8:
        return None
    if pixels.shape[-1] == 4:
        pixels = pixels[..., :3] * (pixels[..., 3:] > 0)
    if (pixels == pixels[..., :1]).all():
        grey = np.arange(256, dtype=np.uint8).repeat(3).reshape(-1, 3)
        return _by_palette(pixels[..., 0], grey, table, name, grey=True)
    return _by_lookup(pixels, table, name)


def _by_palette(
    pixels: UInt8Array, palette: UInt8Array, table: dict[int, int], name: str, grey: bool = False
) -> UInt8Array | None:
    """Return the classes if any palette colour in use is a class colour, else None.

    Of greys all must be: a single one may match a class by chance.
    """
    counts = np.bincount(pixels.ravel(), minlength=256)
    packed = _packed(palette).tolist()
    used = np.flatnonzero(counts).tolist()
    if used[-1] >= len(packed) or not any(table.get(packed[index], 0) for index in used):
        return None
    unknown = Counter({packed[index]: int(counts[index]) for index in used if packed[index] not in table})
    if grey and unknown:
        return None
    _refuse_colors(unknown, name)
    classes = np.zeros(256, np.uint8)
    classes[used] = [table[packed[index]] for index in used]
    return classes[pixels]


def _by_lookup(pixels: UInt8Array, table: dict[int, int], name: str) -> UInt8Array:
    """Return the class of each pixel's colour."""
    classes = np.full(1 << 24, _UNKNOWN, np.uint8)
    for color, index in table.items():
        classes[color] = index
    labels = np.empty(pixels.shape[:2], np.uint8)
    unknown: Counter[int] = Counter()
    for rows in _bands(pixels.shape[:2]):
        packed = _packed(pixels[rows])
        found = classes[packed]
        new, counts = np.unique(packed[found == _UNKNOWN], return_counts=True)
        if len(new) + len(unknown) > _MAX_UNKNOWN_COLORS:
            raise AnnotationError(
                f"{name} holds more than {_MAX_UNKNOWN_COLORS:,} colours that no class has. Export the mask without "
                "smoothing, as PNG or TIFF, not JPEG."
            )
        unknown.update(dict(zip(new.tolist(), counts.tolist(), strict=True)))
        labels[rows] = found
    _refuse_colors(unknown, name)
    return labels


def _refuse_colors(unknown: Counter[int], name: str) -> None:
    if unknown:
        listed = ", ".join(f"#{color:06x} ({count:,} pixels)" for color, count in unknown.most_common(_COLORS_SHOWN))
        more = f" and {len(unknown) - _COLORS_SHOWN} more" if len(unknown) > _COLORS_SHOWN else ""
        raise AnnotationError(
            f"{name} holds colours that no class has: {listed}{more}. Give the project's classes these colours, "
            "or save the mask with class numbers as grey values."
        )


def _packed(colors: UInt8Array) -> npt.NDArray[np.uint32]:
    """Return red, green and blue as one number."""
    red, green, blue = (colors[..., channel].astype(np.uint32) for channel in range(3))
    return (red << 16 | green << 8 | blue).astype(np.uint32, copy=False)


def _bands(shape: tuple[int, ...]) -> Iterator[slice]:
    height = max(1, _BAND // shape[1])
    yield from (slice(top, top + height) for top in range(0, shape[0], height))
