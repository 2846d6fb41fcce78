"""Which files in a folder are slides, and which sub-folders hold slides and which their annotations.

Names only: no file is opened.  Hidden files and folders are not the user's.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from napari_pathseg.errors import UnsupportedSlideError
from napari_pathseg.slides.fingerprint import is_zarr
from napari_pathseg.slides.registry import SLIDE_SUFFIXES
from napari_pathseg.storage.names import is_project, mask_stems

_SLIDES = frozenset(("image", "img", "slide", "scan", "wsi", "tile", "patch", "patche", "tissueimage"))
_ANNOTATIONS = frozenset(
    ("mask", "label", "annotation", "gt", "groundtruth", "contour", "outline", "segmentation", "binarymask")
)


def find_slides(paths: Iterable[str | Path]) -> tuple[list[Path], list[Path]]:
    """Return the slides that paths name, and the label images of these slides, which are left out.

    A folder names the slides in it, see `sort_images`, or else those in its sub-folders for slides, see
    `paired_folders`; a file names itself.

    Raises
    ------
    UnsupportedSlideError
        If a folder holds no slide.
    """
    files, masks = list[Path](), list[Path]()
    for path in map(Path, paths):
        inside = [path]
        if path.is_dir() and not is_zarr(path):
            inside = _images_in(path)
        if not inside:
            slides, annotations = paired_folders(path)
            inside = [file for folder in slides for file in _images_in(folder)]
            masks += [file for folder in annotations for file in _images_in(folder)] if inside else []
        if not inside:
            raise UnsupportedSlideError(
                f"{path} holds no slide. Name a folder with files that end in {', '.join(sorted(SLIDE_SUFFIXES))}."
            )
        files += inside
    beside = set(sort_images(files)[1])
    return [path for path in files if path not in beside], sorted({*masks, *beside})


def sort_images(paths: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Return the slides among `paths`, by name, and the label images of these slides.

    Label images are ``a_mask.png`` and ``mask_a.png`` if ``a.tif`` is among the paths.  Hidden files and those that are
    no image are left out.
    """
    known = sorted(path for path in paths if _is_image(path))
    stems = {_stem(path) for path in known}
    names = {name for stem in stems for name in mask_stems(stem)}
    slides = [path for path in known if _stem(path) not in names]
    return slides, [path for path in known if _stem(path) in names]


def paired_folders(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the sub-folders with slides, and those with annotations, of a folder that holds no slide itself."""
    if not is_plain_folder(folder) or _images_in(folder):
        return [], []
    return pair_folders([child for child in visible_in(folder) if is_plain_folder(child)])


def pair_folders(folders: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Return which folders hold slides, and which annotations, by their names; others are in neither list.

    Slides lie in ``images`` or ``slides``, annotations in ``masks``, ``labels``, ``annotations``, ``gt`` or
    ``contours``.  A single other folder beside those with annotations is that of the slides.
    """
    annotations = [folder for folder in folders if is_named_for_annotations(folder)]
    slides = [folder for folder in folders if _word(folder) in _SLIDES]
    others = [folder for folder in folders if folder not in annotations]
    if annotations and not slides and len(others) == 1:
        slides = others
    return slides, annotations


def is_named_for_annotations(folder: Path) -> bool:
    """Return whether a folder is called ``masks``, ``labels`` or the like."""
    return _word(folder) in _ANNOTATIONS


def is_plain_folder(path: Path) -> bool:
    """Return whether a path is a folder of files: neither a slide nor a project."""
    if path.suffix.lower() in SLIDE_SUFFIXES or not path.is_dir():
        return False
    return not is_zarr(path) and not is_project(path)


def visible_in(folder: Path) -> list[Path]:
    """Return what a folder holds, by name, without hidden files."""
    return sorted(child for child in folder.iterdir() if not child.name.startswith("."))


def _images_in(folder: Path) -> list[Path]:
    return [child for child in visible_in(folder) if _is_image(child)]


def _word(folder: Path) -> str:
    """Return a folder's name in small letters, without separators and the plural's s."""
    return "".join(letter for letter in folder.name.casefold() if letter.isalnum()).removesuffix("s")


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SLIDE_SUFFIXES and not path.name.startswith(".")


def _stem(path: Path) -> str:
    """Return a file's name without its suffix, with its accents composed as in `contours.formats.stem_of`."""
    return unicodedata.normalize("NFC", path.stem).removesuffix(".ome")
