"""Tissue masks of a project: ``tissue/<slide>.png``, computed on first use.

The PNG has one bit per pixel, which any viewer shows; its text chunk ``napari-pathseg`` holds, as JSON, the downsample,
the settings, and whether the user edited the mask.
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
from napari_pathseg.storage.portable import remove
from napari_pathseg.storage.untrusted import decoding

_CHUNK = "napari-pathseg"
_WRITING = threading.Lock()  # the user's edits, and a thread's result, go to the same file
_logger = logging.getLogger(__name__)


def tissue_path(project: Project, slide_id: str) -> Path:
    """Return the file of a slide's tissue mask, which need not exist."""
    return project.folder / "tissue" / f"{slide_id}.png"


def _always() -> bool:
    return True


def load_tissue(
    project: Project, slide_id: str, config: TissueConfig | None = None, *, may_keep: Callable[[], bool] = _always
) -> TissueMask:
    """Return a slide's tissue mask: the saved one, else a new one, which is saved if `may_keep` allows it by then.

    A mask that was detected with other settings than `config` is detected again, unless the user edited it; None
    accepts any settings.  Safe to call from any thread.

    Raises
    ------
    ProjectError
        If the saved mask is damaged, or belongs to another slide.
    UnsupportedSlideError
        If the slide's file is needed and cannot be read.
    """
    record, path = project.slide(slide_id), tissue_path(project, slide_id)
    if path.exists():
        kept, found_with = _read(path, record)
        if kept.edited or config is None or found_with == config:
            return kept
    config = config or TissueConfig()
    with project.open_slide(slide_id) as slide:
        tissue = find_tissue(slide, config)
    try:
        with _WRITING:
            if may_keep() and not _is_edited(path, record):  # the user may have edited it meanwhile
                _write(path, tissue, config)
    except ProjectError as error:  # works in a read-only folder too
        _logger.warning("%s", error)
    return tissue


def save_tissue(project: Project, slide_id: str, tissue: TissueMask) -> None:
    """Save a slide's tissue mask; an edited one is never replaced automatically.

    Raises
    ------
    ProjectError
        If the mask belongs to another slide, another program holds the project, or the file cannot be written.
    """
    record = project.slide(slide_id)
    if tissue.shape != record.shape:
        raise ProjectError(
            f"The tissue mask belongs to a slide of {tissue.shape[0]} x {tissue.shape[1]} pixels; {slide_id} has "
            f"{record.shape[0]} x {record.shape[1]}. Save it with the slide that it was found on."
        )
    with project.write_lock(), _WRITING:
        _write(tissue_path(project, slide_id), tissue, TissueConfig())


def forget_tissue(project: Project, slide_id: str) -> None:
    """Delete a slide's tissue mask, even an edited one; it is detected again on the next use."""
    with project.write_lock():
        remove(tissue_path(project, slide_id))


def _write(path: Path, tissue: TissueMask, config: TissueConfig) -> None:
    with contextlib.suppress(OSError):  # replace_file reports why
        path.parent.mkdir(exist_ok=True)
    text = PngInfo()
    text.add_text(
        _CHUNK,
        json.dumps({"downsample": tissue.downsample, "edited": tissue.edited, "settings": config.to_json()}),
    )
    with replace_file(path) as partial:
        Image.fromarray(tissue.pixels).save(partial, format="PNG", pnginfo=text)


def _read(path: Path, record: SlideRecord) -> tuple[TissueMask, TissueConfig]:
    try:
        with decoding(), Image.open(path, formats=("PNG",)) as picture:
            assert isinstance(picture, PngImageFile)
            text = picture.text[_CHUNK]
            pixels = np.array(picture.convert("1"))
        about = json.loads(text)
        config = TissueConfig.from_json(about["settings"])
        tissue = TissueMask(pixels, int(about["downsample"]), record.shape, record.mpp, bool(about["edited"]))
    except (LookupError, TypeError, ValueError, PathsegError) as error:
        raise ProjectError(
            f"{path} cannot be read as the tissue mask of {record.id} ({error!s:.200}). Delete the file, and the "
            "tissue is detected again."
        ) from error
    return tissue, config


def _is_edited(path: Path, record: SlideRecord) -> bool:
    return path.exists() and _read(path, record)[0].edited
