"""Masks and predictions out of a project, for other programs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_pathseg.errors import ConfigError, ProjectError
from napari_pathseg.masks.zarr_store import MaskStore
from napari_pathseg.projects.exporting.export_files import FORMATS, Exported, suffix_of, write_exported
from napari_pathseg.projects.importing.import_log import import_records
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord

EXPORT_FORMATS = tuple(FORMATS)
EXPORTED = ("mask", "prediction")


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What is written, and how.

    Attributes
    ----------
    format
        One of `EXPORT_FORMATS`: contours for another program; "mask" for label images of class
        indices, at level-0 size for flat slides (PNG), on the mask's grid with its pixel size for
        pyramids (TIFF); "ome-tiff" for pyramids of these; "csv" for areas by class.
    what
        "mask" or "prediction".
    model
        Whose prediction; None for the newest model.
    slides
        Names of slides; None for all.
    smooth_um
        How far outlines may leave the pixels' edges to be smooth, in micrometres; 0 for exact ones.
    """

    format: str
    what: str = "mask"
    model: str | None = None
    slides: Sequence[str] | None = None
    smooth_um: float = 0.0

    def __post_init__(self) -> None:
        for value, known, name in ((self.format, EXPORT_FORMATS, "format"), (self.what, EXPORTED, "what")):
            if value not in known:
                raise ConfigError(f"{name} is {value!r}; it must be one of {', '.join(known)}.")
        if self.smooth_um < 0:
            raise ConfigError(f"smooth_um is {self.smooth_um:g}; it must be 0 or more micrometres.")


def export(project: Project, folder: Path, options: ExportOptions) -> list[Path]:
    """Write one file per slide into `folder`, making it where it is missing; return the files.

    Raises
    ------
    ProjectError
        If there is nothing to write, or the folder cannot be written.
    """
    known = list(project.slides.values())
    entries = known if options.slides is None else [project.slide(name) for name in options.slides]
    found = [slide for entry in entries if (slide := _exported(project, entry, options)) is not None]
    if not found:
        raise ProjectError(
            f"{project.folder.name} has no {options.what} to export. "
            + ("Predict a slide first." if options.what == "prediction" else "Import or draw contours first.")
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProjectError(f"{folder} could not be made ({error.strerror}). Choose another folder.") from error
    files = [folder / f"{slide.entry.id}{suffix_of(slide, options.format)}" for slide in found]
    _spare_slides(project, files)
    for slide, path in zip(found, files, strict=True):
        write_exported(slide, path, options.format, options.smooth_um)
    return files


def _exported(project: Project, entry: SlideRecord, options: ExportOptions) -> Exported | None:
    """Return what there is to write of a slide, or None."""
    if options.what == "mask":
        path = project.mask_path(entry.id)
        return Exported(project, entry, store=MaskStore(path)) if path.exists() else None
    models = project.model_ids()
    prediction = project.find_prediction(options.model or models[-1], entry.id) if models else None
    return None if prediction is None else Exported(project, entry, prediction=prediction)


def _spare_slides(project: Project, files: Iterable[Path]) -> None:
    slides = {project.find_file(entry).resolve() for entry in project.slides.values()}
    sources = {Path(one.path) for one in import_records(project).values()}
    for path in files:
        for own, what in ((slides, "a slide of"), (sources, "what was imported into")):
            if path.resolve() in own:
                raise ProjectError(f"{path} is {what} the project; it would be overwritten. Choose another folder.")
