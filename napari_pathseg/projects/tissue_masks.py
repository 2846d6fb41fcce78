"""Tissue masks of a project, computed on first use and saved as ``tissue/<slide>.png``.

The PNG has one bit per pixel, which any viewer shows; its text chunk ``napari-pathseg`` contains, as JSON, the
downsample, the settings, and whether the user edited the mask.
"""

import contextlib
import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo

from napari_pathseg.errors import ProjectError
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.slides.tissue import TissueConfig, TissueMask, find_tissue
from napari_pathseg.storage.atomic import replace_file
from napari_pathseg.storage.json_schema import Side, conform
from napari_pathseg.storage.portable import remove
from napari_pathseg.storage.regular_files import open_regular
from napari_pathseg.storage.untrusted import decoding

SMALL_PIXELS = 4096**2  # of a mask, up to which all of a slide is predicted, and tissue need not be detected
_CHUNK = "napari-pathseg"
_WRITE_LOCK = threading.Lock()  # a background thread and the user's edits write to the same file
_logger = logging.getLogger(__name__)


class _StoredTissue(TypedDict):
    downsample: Side
    edited: bool
    settings: dict[str, Any]


def tissue_path(project: Project, slide_id: str) -> Path:
    """Return the file of a slide's tissue mask, which need not exist."""
    return project.folder / "tissue" / f"{slide_id}.png"


def _always() -> bool:
    return True


def load_tissue(
    project: Project, slide_id: str, config: TissueConfig | None = None, *, may_save: Callable[[], bool] = _always
) -> TissueMask:
    """Return a slide's saved tissue mask, or detect it, and save it if `may_save` then returns True.

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
        saved, saved_config = _read(path, record)
        if saved.edited or config is None or saved_config == config:
            return saved
    config = config or TissueConfig()
    with project.open_slide(slide_id) as slide:
        tissue = find_tissue(slide, config)
    try:
        with _WRITE_LOCK:
            if may_save() and not _is_edited(path, record):  # the user may have edited it meanwhile
                _write(path, tissue, config)
    except ProjectError as error:  # a read-only project can still be used
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
            f"{record.shape[0]} x {record.shape[1]}. Save it with the slide in which it was detected."
        )
    with project.write_lock(), _WRITE_LOCK:
        _write(tissue_path(project, slide_id), tissue, TissueConfig())


def delete_tissue(project: Project, slide_id: str) -> None:
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
        with decoding(), open_regular(path) as file, Image.open(file, formats=("PNG",)) as image:
            assert isinstance(image, PngImageFile)
            text = image.text[_CHUNK]
            pixels = np.array(image.convert("1"))
        stored = conform(json.loads(text), _StoredTissue)
        config = TissueConfig.from_json(stored["settings"])
        tissue = TissueMask(pixels, stored["downsample"], record.shape, record.mpp, stored["edited"])
    except (ValueError, RecursionError) as error:
        raise ProjectError(
            f"{path} cannot be read as the tissue mask of {record.id} ({error!s:.200}). Delete the file, and the "
            "tissue is detected again."
        ) from error
    return tissue, config


def _is_edited(path: Path, record: SlideRecord) -> bool:
    return path.exists() and _read(path, record)[0].edited
