"""Which pages of a TIFF are the slide: its levels, associated images, and stacks of several slides.

A label, a macro image or a thumbnail is never the slide.  Pages that are the red, green and blue of one picture are one
slide.  Other pages that are neither levels nor associated images make the file a stack: each page, or each channel, is
a slide of its own.
"""

import math

from tifffile import PHOTOMETRIC, TiffFile, TiffPage, TiffPageSeries

from napari_pathseg.errors import UnsupportedSlideError
from napari_pathseg.slides.channels import ColourChannels
from napari_pathseg.slides.readers.tiff_samples import check_numbers

# Kinds of tifffile's series in which the slide comes first, or is the largest; the others are associated
# images.
_SLIDE_FIRST = frozenset({"svs", "ndpi", "qpi", "philips", "avs"})
_SLIDE_LARGEST = frozenset({"scn", "indica", "sis"})
_ASSOCIATED_NAMES = ("label", "macro", "thumbnail", "overview", "map")
_COLOUR = (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR, PHOTOMETRIC.PALETTE)

LevelPages = tuple[TiffPage, ...]  # of one level: a page, or one for each of its channels


def main_series(tiff: TiffFile) -> TiffPageSeries:
    """Return the series of a TIFF that holds the slide."""
    series = tiff.series
    if not series:
        raise UnsupportedSlideError("it has no image; export it again.")
    _refuse_overlapping(tiff, series)
    main = series[0] if series[0].kind in _SLIDE_FIRST else max(filter(_is_top, series), key=_area, default=series[0])
    first = main.keyframe
    check_numbers(first)
    if not math.prod(first.shape):
        raise UnsupportedSlideError(f"its image has {first.imagelength} x {first.imagewidth} pixels; export it again.")
    if first.imagedepth > 1:
        raise _volume(f"{first.imagedepth} planes")
    return main


def slide_pages(
    tiff: TiffFile, main: TiffPageSeries, page: int | None, colour: ColourChannels | None = None
) -> list[LevelPages]:
    """Return the pages of a slide's levels, finest first: one for each, or those of red, green, blue and alpha.

    Raises
    ------
    UnsupportedSlideError
        If the file holds several slides and no `page` is given, or it has no such page.
    """
    if colour is not None and page is None:
        planes = [index for index in colour if index is not None]
        return [tuple(_page(level, index) for index in planes) for level in _whole_levels(main)]
    # The planes of a picture in colour can be opened one by one, as projects of version 0.1.0 did.
    count = len(main) if colour is not None else count_slides(tiff, main)
    if page is None and count > 1:
        raise _stack(main, count)
    if page is not None and not 0 <= page < count:
        raise UnsupportedSlideError(f"it has no page {page}; its pages are 0 to {count - 1}.")
    if page is None or count == 1:
        return [(level,) for level in _levels(tiff, main)]
    if _is_one_series(main):
        return [(_page(level, page),) for level in _whole_levels(main)]
    chosen = tiff.pages[page]
    return [(chosen if isinstance(chosen, TiffPage) else chosen.aspage(),)]


def count_slides(tiff: TiffFile, main: TiffPageSeries, colour: ColourChannels | None = None) -> int:
    """Return 1 for a slide or a pyramid, the number of pages (or channels) for a stack."""
    if colour is not None:
        return 1
    first = main.keyframe
    # Not the number of pages: a single page can hold a volume.
    several = math.prod(main.shape) != math.prod(first.shape)
    if not several and _is_one_slide(tiff, main):
        return 1
    if several and len(main) * math.prod(first.shape) != math.prod(main.shape):
        raise _volume(f"{' x '.join(map(str, main.shape))} samples")
    return len(main) if _is_one_series(main) else len(tiff.pages)


def _whole_levels(main: TiffPageSeries) -> list[TiffPageSeries]:
    """Return the levels of a stack that hold all its pages."""
    return [level for level in main.levels if len(level) == len(main)]


def _is_one_series(main: TiffPageSeries) -> bool:
    """Return whether a stack is one series of a kind that separates pages from levels and associated images."""
    return main.kind in _SLIDE_FIRST | _SLIDE_LARGEST | {"ome", "shaped", "imagej"} and len(main) > 1


def _is_one_slide(tiff: TiffFile, main: TiffPageSeries) -> bool:
    """Return whether every other series is a level of the slide or an associated image."""
    if main.kind in _SLIDE_FIRST | _SLIDE_LARGEST:
        return True
    levels = {page.offset for page in _levels(tiff, main)}
    return all(
        series is main
        or _is_associated(series)
        or not _is_top(series)
        or (len(series) == 1 and _page(series).offset in levels)
        or _is_unnamed_associated(series.keyframe, main.keyframe)
        for series in tiff.series
    )


def _levels(tiff: TiffFile, main: TiffPageSeries) -> list[TiffPage]:
    """Return the pages of the slide's levels: those of its series, and later series that are smaller copies."""
    first = main.keyframe
    pages = [first, *(_page(level) for level in main.levels[1:])]
    pages = [page for page in pages if _channels(page) == _channels(first)]
    if main.kind in _SLIDE_FIRST | _SLIDE_LARGEST:
        return pages
    for series in tiff.series[tiff.series.index(main) + 1 :]:
        if not _is_associated(series) and len(series) == 1 and _is_level(_page(series), pages):
            pages.append(_page(series))
    return pages


def _channels(page: TiffPage) -> int:
    """Return how many channels a page shows, its alpha included."""
    return 3 if page.photometric in _COLOUR else int(page.samplesperpixel)


def _refuse_overlapping(tiff: TiffFile, series: list[TiffPageSeries]) -> None:
    """Raise for formats whose tiles must be stitched, or whose slide consists of several regions."""
    kind = series[0].kind
    if kind == "bif" or tiff.pages.first.software.startswith("MedScan"):
        raise UnsupportedSlideError("its tiles overlap, and only OpenSlide can stitch them.")
    if kind == "scn":
        finest = min(_spacing(entry.keyframe) for entry in series)
        if sum(_spacing(entry.keyframe) < 2 * finest for entry in series) > 1:
            raise UnsupportedSlideError("it has several regions, and only OpenSlide can place them.")


def _spacing(page: TiffPage) -> float:
    """Return the pixel size of a page in its own unit; infinity if it has none."""
    value = page.tags.valueof("XResolution")
    known = isinstance(value, tuple) and len(value) == 2 and all(value)
    return float(value[1] / value[0]) if known else math.inf


def _area(series: TiffPageSeries) -> int:
    return int(series.keyframe.imagelength * series.keyframe.imagewidth)


def _page(series: TiffPageSeries, index: int = 0) -> TiffPage:
    """Return a page of a series with its own offsets."""
    page = series.pages[index]
    return series.keyframe if page is None else page.aspage()


def _is_top(series: TiffPageSeries) -> bool:
    """Return whether a series begins with a top-level page, not with a SubIFD."""
    return len(series.keyframe.treeindex) == 1


def _is_associated(series: TiffPageSeries) -> bool:
    """Return whether a series is named a label, macro or thumbnail."""
    called = f"{series.name} {series.keyframe.description[:200]}".lower()
    return any(name in called for name in _ASSOCIATED_NAMES)


def _is_level(page: TiffPage, pages: list[TiffPage]) -> bool:
    """Return whether a page is a whole number of times smaller than the first of `pages`, and smaller than the last."""
    first, last = pages[0], pages[-1]
    if not 0 < page.imagewidth < last.imagewidth or not 0 < page.imagelength < last.imagelength:
        return False
    ratio = round(first.imagewidth / page.imagewidth)
    fits = max(abs(first.imagewidth / ratio - page.imagewidth), abs(first.imagelength / ratio - page.imagelength))
    return fits <= 1 and (page.samplesperpixel, page.dtype) == (first.samplesperpixel, first.dtype)


def _is_unnamed_associated(page: TiffPage, first: TiffPage) -> bool:
    """Return whether a page looks like a label, macro or thumbnail of the slide's `first` page."""
    smaller = page.imagewidth * page.imagelength < first.imagewidth * first.imagelength
    return smaller and (bool(page.is_reduced) or (first.is_tiled and not page.is_tiled))


def _volume(extent: str) -> UnsupportedSlideError:
    return UnsupportedSlideError(
        f"its first page holds a volume of {extent}; save each image of it as a page or a file of its own."
    )


def _stack(main: TiffPageSeries, count: int) -> UnsupportedSlideError:
    rows, columns = main.keyframe.imagelength, main.keyframe.imagewidth
    kind = "one for each channel" if "C" in main.axes else "no pyramid"
    return UnsupportedSlideError(
        f"it has {count} pages ({kind}), the largest of {rows} x {columns} pixels, and each is a slide of its own; "
        f"name one with page=0 to {count - 1}."
    )
