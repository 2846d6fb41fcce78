"""The slides and classes of a project, as JSON values.  No pixels are read, so thousands of slides take a moment.

Models and runs are in `engine.contents`.
"""

from glob import escape
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import BACKGROUND, ClassSpec
from napari_pathseg.masks.provenance import Counts, Provenance
from napari_pathseg.projects.areas import class_pixels, unlabelled_in_boxes
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord, labelled_classes


def describe_slides(project: Project) -> list[dict[str, Any]]:
    """Return each slide with its role, what a person labelled there and what waits for review."""
    return [_describe_slide(project, record) for record in project.slides.values()]


def _describe_slide(project: Project, record: SlideRecord) -> dict[str, Any]:
    counts = project.counts(record.id)
    labelled, unreviewed = labelled_classes(record, counts), int(counts[1:, Provenance.MODEL].sum())
    return {
        "slide": record.id,
        "patient": record.patient,
        "role": record.role,
        "complete": record.complete,
        "shape": list(record.shape),
        "mpp": record.mpp,
        "labelled": [spec.name for spec in project.classes if spec.index in labelled],
        "unreviewed_pixels": unreviewed,
        "unreviewed_mm2": _mm2(record, unreviewed),
    }


def show_slide(project: Project, slide_id: str) -> dict[str, Any]:
    """Return all that is known of one slide: its file, areas by class, imports, versions and predictions."""
    from napari_pathseg.projects.review_progress import TissueAreas, review_progress, slide_state
    from napari_pathseg.projects.versions import versions

    record, counts = project.slide(slide_id), project.counts(slide_id)
    progress, file = review_progress(record, counts, TissueAreas(project).pixels(record)), project.find_file(record)
    pixels = _slide_pixels(project, record, counts)
    return {
        **_describe_slide(project, record),
        "file": str(file),
        "file_is_there": file.exists(),
        "page": record.page,
        "mask_shape": list(record.mask_shape),
        "mask_mpp": record.mask_mpp,
        "complete_boxes": len(record.boxes),
        "state": slide_state(record, counts, progress),
        "reviewed": round(progress.share, 4),
        "areas": {
            spec.name: {"pixels": int(pixels[spec.index]), "mm2": _mm2(record, int(pixels[spec.index]))}
            for spec in project.classes
        },
        "imports": [kept.file for kept in project.state.imports_into(slide_id).values()],
        "versions": len(versions(project, slide_id)),
        "predicted_by": sorted(
            path.parent.name for path in project.folder.glob(f"predictions/*/{escape(slide_id)}.zarr")
        ),
    }


def describe_classes(project: Project) -> list[dict[str, Any]]:
    """Return each class with its pixels in the masks of all slides, predictions included, and on how many it is."""
    total, slides = np.zeros(256, np.int64), np.zeros(256, np.int64)
    for record in project.slides.values():
        pixels = _slide_pixels(project, record, project.counts(record.id))
        total += pixels
        slides += pixels > 0
    return [
        {
            "class": spec.name,
            "number": spec.index,
            "color": spec.color,
            "pixels": int(total[spec.index]),
            "slides": int(slides[spec.index]),
        }
        for spec in project.classes
    ]


def show_class(project: Project, spec: ClassSpec) -> dict[str, Any]:
    """Return all that is known of one class: its areas by slide, its names before, and whether it is locked."""
    areas = {}
    for record in project.slides.values():
        if pixels := int(_slide_pixels(project, record, project.counts(record.id))[spec.index]):
            areas[record.id] = {"pixels": pixels, "mm2": _mm2(record, pixels)}
    return {
        "class": spec.name,
        "number": spec.index,
        "color": spec.color,
        "pixels": sum(area["pixels"] for area in areas.values()),
        "former_names": project.state.former_class_names.get(spec.index, []),
        "locked": spec.index in project.state.locked_classes,
        "slides": areas,
    }


def _slide_pixels(project: Project, record: SlideRecord, counts: Counts) -> npt.NDArray[np.int64]:
    """Return the mask pixels of each class, by index; what is complete counts as Background."""
    pixels = class_pixels(record, counts)
    if record.boxes and not record.complete:
        pixels[BACKGROUND] += unlabelled_in_boxes(record, project.open_mask_readonly(record.id))
    return pixels


def _mm2(record: SlideRecord, pixels: int) -> float | None:
    return None if record.mask_mpp is None else pixels * record.mask_mpp**2 / 1e6
