"""Tissue masks in a project: ``tissue/<slide>.png``, made on first use.

One bit per pixel, which any viewer shows; the text chunk ``napari-pathseg`` holds, as JSON,
the downsample, the settings, and whether a person edited the mask.
"""

import contextlib
import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo

from napari_pathseg.errors import PathsegError, ProjectError
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.slides.tissue import TissueConfig, TissueMask, find_tissue
from napari_pathseg.storage.atomic import replace_file
from napari_pathseg.storage.untrusted import decoding

_CHUNK = "napari-pathseg"
_WRITING = threading.Lock()  # what a person paints, and what a thread finds meanwhile, go to the same file
_logger = logging.getLogger(__name__)


def tissue_path(project: Project, slide_id: str) -> Path:
    """Return the file of a slide's tissue mask, whether it is there or not."""
    return project.folder / "tissue" / f"{slide_id}.png"


def _always() -> bool:
    return True


def load_tissue(
    project: Project, slide_id: str, config: TissueConfig | None = None, *, may_keep: Callable[[], bool] = _always
) -> TissueMask:
    """Return a slide's tissue mask: the kept one, else found now and kept, if it then may be.

    A mask that was found with other settings than `config` is found anew, one that a person
    edited never; None takes what is there.  It may be called from any thread.

    Raises
    ------
    ProjectError
        If the kept mask is damaged or is not of this slide.
    UnsupportedSlideError
        If the slide's file is needed and cannot be read.
    """
    entry, path = project.slide(slide_id), tissue_path(project, slide_id)
    if path.exists():
        kept, found_with = _read(path, entry)
        if kept.edited or config is None or found_with == config:
            return kept
    config = config or TissueConfig()
    with project.open_slide(slide_id) as slide:
        tissue = find_tissue(slide, config)
    try:
        with _WRITING:
            if may_keep() and not _is_edited(path, entry):  # by a person, meanwhile
                _write(path, tissue, config)
    except ProjectError as error:  # a folder that may only be read still has tissue
        _logger.warning("%s", error)
    return tissue


def save_tissue(project: Project, slide_id: str, tissue: TissueMask) -> None:
    """Keep a slide's tissue mask, an edited one for good.

    Raises
    ------
    ProjectError
        If the mask is of another slide, the project is held by another program, or the disk refuses.
    """
    entry = project.slide(slide_id)
    if tissue.shape != entry.shape:
        raise ProjectError(
            f"The tissue mask is of a slide of {tissue.shape[0]} x {tissue.shape[1]} pixels; {slide_id} has "
            f"{entry.shape[0]} x {entry.shape[1]}. Save it with the slide that it was found on."
        )
    with project.write_lock(), _WRITING:
        _write(tissue_path(project, slide_id), tissue, TissueConfig())


def forget_tissue(project: Project, slide_id: str) -> None:
    """Delete a slide's tissue mask, an edited one too; the next look finds it anew."""
    with project.write_lock():
        tissue_path(project, slide_id).unlink(missing_ok=True)


def _write(path: Path, tissue: TissueMask, config: TissueConfig) -> None:
    with contextlib.suppress(OSError):  # replace_file tells why
        path.parent.mkdir(exist_ok=True)
    text = PngInfo()
    text.add_text(
        _CHUNK,
        json.dumps({"downsample": tissue.downsample, "edited": tissue.edited, "settings": config.to_json()}),
    )
    with replace_file(path) as partial:
        Image.fromarray(tissue.pixels).save(partial, format="PNG", pnginfo=text)


def _read(path: Path, entry: SlideRecord) -> tuple[TissueMask, TissueConfig]:
    try:
        with decoding(), Image.open(path, formats=("PNG",)) as picture:
            assert isinstance(picture, PngImageFile)
            text = picture.text[_CHUNK]
            pixels = np.array(picture.convert("1"))
        about = json.loads(text)
        config = TissueConfig.from_json(about["settings"])
        tissue = TissueMask(pixels, int(about["downsample"]), entry.shape, entry.mpp, bool(about["edited"]))
    except (LookupError, TypeError, ValueError, PathsegError) as error:
        raise ProjectError(
            f"{path} cannot be read as the tissue mask of {entry.id} ({error!s:.200}). Delete the file, and tissue is "
            "found anew."
        ) from error
    return tissue, config


def _is_edited(path: Path, entry: SlideRecord) -> bool:
    return path.exists() and _read(path, entry)[0].edited
