"""Which pages of a TIFF are the slide: its levels, what lies aside, and stacks of several slides.

A label, a macro picture or a thumbnail is never the slide.  Pages that are neither levels nor
aside make the file a stack: each page, or each channel, is a slide of its own.
"""

import math

from tifffile import TiffFile, TiffPage, TiffPageSeries

from napari_pathseg.errors import UnsupportedSlideError
from napari_pathseg.slides.readers.tiff_samples import page_samples

# Kinds of tifffile in which the slide comes first, or is the largest; what else they hold are its
# label, macro and thumbnail.
_SLIDE_FIRST = frozenset({"svs", "ndpi", "qpi", "philips", "avs"})
_SLIDE_LARGEST = frozenset({"scn", "indica", "sis"})
_ASSOCIATED_NAMES = ("label", "macro", "thumbnail", "overview", "map")


def main_series(tiff: TiffFile) -> TiffPageSeries:
    """Return the series of a file that holds the slide."""
    series = tiff.series
    if not series:
        raise UnsupportedSlideError("it holds no picture.")
    _refuse_overlapping(tiff, series)
    main = series[0] if series[0].kind in _SLIDE_FIRST else max(filter(_is_top, series), key=_area, default=series[0])
    first = main.keyframe
    if not math.prod(first.shape):
        raise UnsupportedSlideError(f"its picture has {first.imagelength} x {first.imagewidth} pixels.")
    if first.imagedepth > 1:
        raise _volume(f"{first.imagedepth} planes")
    return main


def slide_pages(tiff: TiffFile, main: TiffPageSeries, page: int | None) -> list[TiffPage]:
    """Return the pages of a slide's levels, finest first.

    Raises
    ------
    UnsupportedSlideError
        If the file holds several slides and `page` is None, or it has no such page.
    """
    count = count_slides(tiff, main)
    if page is None and count > 1:
        raise _stack(main, count)
    if page is not None and not 0 <= page < count:
        raise UnsupportedSlideError(f"page {page} was asked for; it has pages 0 to {count - 1}.")
    if page is None or count == 1:
        return _levels(tiff, main)
    if _together(main):
        return [_page(level, page) for level in main.levels if len(level) == count]
    chosen = tiff.pages[page]
    return [chosen if isinstance(chosen, TiffPage) else chosen.aspage()]


def count_slides(tiff: TiffFile, main: TiffPageSeries) -> int:
    """Return 1 for a slide or a pyramid, the number of pages (or channels) for a stack."""
    first = main.keyframe
    # Not the number of pages: a volume may lie in a single one.
    several = math.prod(main.shape) != math.prod(first.shape)
    if not several and _explained(tiff, main):
        return 1
    if several and len(main) * math.prod(first.shape) != math.prod(main.shape):
        raise _volume(f"{' x '.join(map(str, main.shape))} samples")
    return len(main) if _together(main) else len(tiff.pages)


def _together(main: TiffPageSeries) -> bool:
    """Return whether a stack is one series of a kind that tells pages from levels and from what is aside."""
    return main.kind in _SLIDE_FIRST | _SLIDE_LARGEST | {"ome", "shaped", "imagej"} and len(main) > 1


def _explained(tiff: TiffFile, main: TiffPageSeries) -> bool:
    """Return whether every other series is a level of the slide or lies aside."""
    if main.kind in _SLIDE_FIRST | _SLIDE_LARGEST:
        return True
    levels = {page.offset for page in _levels(tiff, main)}
    return all(
        series is main
        or _is_associated(series)
        or not _is_top(series)
        or (len(series) == 1 and _page(series).offset in levels)
        or _is_aside(series.keyframe, main.keyframe)
        for series in tiff.series
    )


def _levels(tiff: TiffFile, main: TiffPageSeries) -> list[TiffPage]:
    """Return the pages of the slide's levels: those of its series, and series that follow it and halve."""
    first = main.keyframe
    pages = [first, *(_page(level) for level in main.levels[1:])]
    pages = [page for page in pages if page_samples(page).channels == page_samples(first).channels]
    if main.kind in _SLIDE_FIRST | _SLIDE_LARGEST:
        return pages
    for series in tiff.series[tiff.series.index(main) + 1 :]:
        if not _is_associated(series) and len(series) == 1 and _is_level(_page(series), pages):
            pages.append(_page(series))
    return pages


def _refuse_overlapping(tiff: TiffFile, series: list[TiffPageSeries]) -> None:
    """Raise for the formats whose tiles must be stitched, or whose slide lies in several places."""
    kind = series[0].kind
    if kind == "bif" or tiff.pages.first.software.startswith("MedScan"):
        raise UnsupportedSlideError("its tiles overlap, and only OpenSlide joins them.")
    if kind == "scn":
        finest = min(_spacing(entry.keyframe) for entry in series)
        if sum(_spacing(entry.keyframe) < 2 * finest for entry in series) > 1:
            raise UnsupportedSlideError("it holds several regions, and only OpenSlide puts them in their places.")


def _spacing(page: TiffPage) -> float:
    """Return how far apart the pixels of a page are, in its own unit; far where it does not say."""
    value = page.tags.valueof("XResolution")
    known = isinstance(value, tuple) and len(value) == 2 and all(value)
    return float(value[1] / value[0]) if known else math.inf


def _area(series: TiffPageSeries) -> int:
    return int(series.keyframe.imagelength * series.keyframe.imagewidth)


def _page(series: TiffPageSeries, index: int = 0) -> TiffPage:
    """Return a page of a series with the offsets of its own."""
    page = series.pages[index]
    return series.keyframe if page is None else page.aspage()


def _is_top(series: TiffPageSeries) -> bool:
    """Return whether a series begins with a page, not with a picture that hangs from one (a SubIFD)."""
    return len(series.keyframe.treeindex) == 1


def _is_associated(series: TiffPageSeries) -> bool:
    """Return whether a series is called a label, macro or thumbnail."""
    called = f"{series.name} {series.keyframe.description[:200]}".lower()
    return any(name in called for name in _ASSOCIATED_NAMES)


def _is_level(page: TiffPage, pages: list[TiffPage]) -> bool:
    """Return whether a page is the first of `pages`, a whole number of times smaller, and below the last."""
    first, last = pages[0], pages[-1]
    if not 0 < page.imagewidth < last.imagewidth or not 0 < page.imagelength < last.imagelength:
        return False
    ratio = round(first.imagewidth / page.imagewidth)
    fits = max(abs(first.imagewidth / ratio - page.imagewidth), abs(first.imagelength / ratio - page.imagelength))
    return fits <= 1 and (page.samplesperpixel, page.dtype) == (first.samplesperpixel, first.dtype)


def _is_aside(page: TiffPage, first: TiffPage) -> bool:
    """Return whether a page is a label, macro or thumbnail beside the slide's `first` page."""
    smaller = page.imagewidth * page.imagelength < first.imagewidth * first.imagelength
    return smaller and (bool(page.is_reduced) or (first.is_tiled and not page.is_tiled))


def _volume(extent: str) -> UnsupportedSlideError:
    return UnsupportedSlideError(
        f"its first page holds a volume of {extent}; save each picture of it as a page or a file of its own."
    )


def _stack(main: TiffPageSeries, count: int) -> UnsupportedSlideError:
    rows, columns = main.keyframe.imagelength, main.keyframe.imagewidth
    kind = "one for each channel" if "C" in main.axes else "no pyramid"
    return UnsupportedSlideError(
        f"it has {count} pages ({kind}), the largest of {rows} x {columns} pixels, and each is a slide of its own; "
        f"name one with page=0 to {count - 1}."
    )
