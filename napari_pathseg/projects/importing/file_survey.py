"""What each file of a folder, or of several that were chosen, is to a project: an annotation of which slides, or none.

No file is left out, so that nobody has to guess what happened to one; hidden files are not the user's.  A folder inside
a folder is one row.  Only the number of pages of a mask is read here.
"""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_pathseg.contours.formats import CONTOUR_SUFFIXES, MASK_SUFFIXES, is_label_image, stem_of
from napari_pathseg.errors import UnsupportedSlideError
from napari_pathseg.geometry import Region
from napari_pathseg.projects.project import Project
from napari_pathseg.slides.folders import is_plain_folder, paired_folders, visible_in
from napari_pathseg.slides.registry import SLIDE_SUFFIXES, count_pages, open_slide
from napari_pathseg.storage.names import is_project, stems_of_mask

_SIDE, _MAX_VALUES = 1024, 16  # pixels of a side that are looked at, and values that a label image has there at most
IS_SLIDE = "a slide of this project"
NOT_A_MASK = f"not an annotation (masks are {', '.join(suffix.lstrip('.').upper() for suffix in MASK_SUFFIXES)})"
NOT_AN_ANNOTATION = "not an annotation"
ADDED = "added as a slide"
IS_FOLDER = "a folder: import it by itself"


@dataclass(frozen=True)
class SurveyedFile:
    """A file, and what it is to a project.

    Attributes
    ----------
    path
        The file.
    slides
        The slides whose annotations it is named after: one, or all pages of a stack for a mask with several pages;
        empty if there are none.
    ignored
        Why it is not imported, as the end of a sentence; empty for a contour file or a label image.
    """

    path: Path
    slides: tuple[str, ...] = ()
    ignored: str = ""


class SlideNames:
    """Finds the slides of a project that files are named after."""

    def __init__(self, project: Project) -> None:
        self.files: dict[Path, str] = {}  # of the slides; of a stack the first page
        self.stacks: dict[str, tuple[str, ...]] = {}  # the pages of each stack, by its file's stem
        self._by_name: dict[str, str] = {}
        for record in project.slides.values():
            file = project.find_file(record)
            stem = stem_of(file)
            self.files.setdefault(file.resolve(), record.id)
            self._by_name[record.id] = record.id
            if record.page is None:
                self._by_name.setdefault(stem, record.id)
            else:
                self.stacks[stem] = (*self.stacks.get(stem, ()), record.id)

    def find(self, path: Path) -> tuple[str, ...]:
        """Return the slide that an annotation file is named after, or the pages of a stack; empty without a match."""
        names = _slide_stems(path)
        slide = next((self._by_name[name] for name in names if name in self._by_name), None)
        if slide is not None:
            return (slide,)
        stack = next((self.stacks[name] for name in names if name in self.stacks), ())
        return stack if stack and is_label_image(path) and pages_of(path) > 1 else ()


def survey_files(paths: Iterable[Path], project: Project) -> list[SurveyedFile]:
    """Return what each file is, and each file in the folders among `paths`, by name; hidden files are left out.

    Of a folder that holds no slide, the files in its sub-folders for annotations count too.
    """
    names, found = SlideNames(project), list[SurveyedFile]()
    for path in paths:
        try:
            inside = _files_in(path) if is_plain_folder(path) else [path]
        except OSError as error:
            found.append(SurveyedFile(path, ignored=f"cannot be read: {error.strerror}"))
            continue
        found += [_survey(file, names) for file in inside]
    return found


def with_likely_slides(
    files: Sequence[SurveyedFile], project: Project, in_view: str | None = None, *, masks: bool = False
) -> list[SurveyedFile]:
    """Return surveyed files with the slides that those named after none can be meant for.

    A single annotation belongs to `in_view`, else to the only slide, label images only with `masks` and if they hold a
    single one; all contour files of a project with one slide belong to that.
    """
    only = next(iter(project.slides)) if len(project.slides) == 1 else None
    single = (in_view or only) if sum(not file.ignored for file in files) == 1 else None

    def likely(path: Path) -> str | None:
        if not is_label_image(path):
            return single or only
        return single if single is not None and masks and pages_of(path) == 1 else None

    slides = [None if file.ignored or file.slides else likely(file.path) for file in files]
    return [
        file if slide is None else replace(file, slides=(slide,)) for file, slide in zip(files, slides, strict=True)
    ]


def is_named_like_a_mask(path: Path) -> bool:
    """Return whether an image is called ``a_mask`` or ``mask_a``, whether or not there is an image ``a``."""
    return path.suffix.lower() in MASK_SUFFIXES and bool(stems_of_mask(stem_of(path)))


def holds_labels(path: Path) -> bool:
    """Return whether an image looks like a label image: grey, and of 2 to 16 values in the middle of its pages.

    Of a stack three pages are looked at.  What cannot be read holds none.
    """
    if path.suffix.lower() not in MASK_SUFFIXES:
        return False
    values: set[int] = set()
    try:
        count = count_pages(path)
        for page in sorted({0, count // 2, count - 1}):
            with open_slide(path, page if count > 1 else None) as slide:
                if slide.channels != 1:
                    return False
                rows, columns = slide.shape
                middle = Region((rows - _SIDE) // 2, (columns - _SIDE) // 2, _SIDE, _SIDE).clip(slide.shape)
                values.update(np.unique(slide.read_level(0, middle)).tolist())
    except UnsupportedSlideError:
        return False
    return 1 < len(values) <= _MAX_VALUES


def pages_of(path: Path) -> int:
    """Return how many label images a file holds; 1 if it cannot be read, which is reported when it is."""
    with contextlib.suppress(UnsupportedSlideError):
        return count_pages(path)
    return 1


def _survey(path: Path, names: SlideNames) -> SurveyedFile:
    suffix = path.suffix.lower()
    if path.resolve() in names.files:
        return SurveyedFile(path, ignored=IS_SLIDE)
    if path.is_dir():
        return SurveyedFile(path, ignored=IS_FOLDER)
    if suffix in CONTOUR_SUFFIXES or suffix in MASK_SUFFIXES:
        return SurveyedFile(path, names.find(path))
    return SurveyedFile(path, ignored=NOT_A_MASK if suffix in SLIDE_SUFFIXES else NOT_AN_ANNOTATION)


def _files_in(folder: Path) -> list[Path]:
    slides, annotations = paired_folders(folder)
    opened = [*slides, *annotations] if annotations else []
    inside = [child for child in visible_in(folder) if child not in opened and not is_project(child)]
    return inside + [child for inner in annotations for child in visible_in(inner)]


def _slide_stems(path: Path) -> list[str]:
    """Return the names that the slide of an annotation file can have, the likeliest first."""
    stem = stem_of(path)
    return list(dict.fromkeys((stem, *stems_of_mask(stem), stem_of(stem))))
