"""A project: one folder with the slides' list, their masks, the models and the runs.

The folder is the truth; this class reads and changes it.  Changes are made while the lock
is held, by the window for as long as it is open, by a command for as long as it takes.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from napari_pathseg.classes import DEFAULT_CLASSES, ClassTable
from napari_pathseg.contours.formats.base import SlideGeometry
from napari_pathseg.errors import ProjectError
from napari_pathseg.masks import Mask, open_mask, open_mask_readonly, read_counts
from napari_pathseg.masks.counts import Counts
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.projects.manifest import Manifest, read_manifest, write_manifest
from napari_pathseg.projects.recovery import repair, slides_with_unapplied_strokes
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.slides.registry import open_slide
from napari_pathseg.slides.slide import Slide
from napari_pathseg.storage.lock import ProjectLock

FOLDER_SUFFIX = ".pathseg"
_FOLDERS = ("masks", "contours", "tissue", "models", "runs", "predictions")


class Project:
    """A project folder; make one with :meth:`create`, open one with :meth:`open`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = ProjectLock(folder)
        self.classes: ClassTable = DEFAULT_CLASSES
        self.mpp: float | None = None
        self.slides: dict[str, SlideRecord] = {}
        self.settings: dict[str, Any] = {}

    @classmethod
    def create(cls, folder: str | Path, classes: ClassTable = DEFAULT_CLASSES, mpp: float | None = 1.0) -> Self:
        """Make a new project.

        Parameters
        ----------
        folder
            A path where nothing is yet, or an empty folder.
        classes
            Its classes, Background first.
        mpp
            Micrometres per pixel at which masks lie and networks learn; None for each
            slide's own.

        Raises
        ------
        ProjectError
            If something is there already, or the folder cannot be written.
        """
        folder = Path(folder).absolute()
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ProjectError(f"{folder} exists already. Choose another name, or open it.")
        try:
            for name in _FOLDERS:
                (folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ProjectError(
                f"{folder} could not be made ({error.strerror}). Choose a folder that you may write to."
            ) from error
        project = cls(folder)
        project.classes, project.mpp = classes, mpp
        project.save()
        return project

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Open a project.

        Raises
        ------
        ProjectError
            If the folder is none, is damaged, or was made by a newer version.
        """
        project = cls(Path(folder).absolute())
        project.reload()
        if slides_with_unapplied_strokes(project.folder):
            with contextlib.suppress(ProjectError), project.write_lock():
                pass  # taking the lock repairs; strokes that an open window has in hand are its own
        return project

    def reload(self) -> None:
        """Read the project's list anew."""
        content = read_manifest(self.folder)
        self.classes, self.mpp, self.settings = content.classes, content.mpp, content.settings
        self.slides = {entry.id: entry for entry in content.slides}

    def save(self) -> None:
        """Write the project's list."""
        content = Manifest(self.classes, self.mpp, list(self.slides.values()), self.settings)
        write_manifest(self.folder, content)

    # -- one writer at a time

    def acquire_lock(self, program: str = "") -> None:
        """Take the lock until :meth:`release_lock`; sweep and repair what a killed program left.

        Others are told that `program` holds it, by default the command that runs.

        Raises
        ------
        ProjectError
            If another program holds it, or took it over meanwhile, naming that program.
        """
        if not self.lock.acquire(program):
            return
        try:
            self.reload()
            repair(self.folder, self.open_mask)
        except BaseException:
            self.lock.release()
            raise

    def release_lock(self) -> None:
        """Let the lock go."""
        self.lock.release()

    @contextlib.contextmanager
    def write_lock(self) -> Iterator[None]:
        """Hold the lock inside the block."""
        self.acquire_lock()
        try:
            yield
        finally:
            self.release_lock()

    # -- slides and what belongs to them

    def slide(self, slide_id: str) -> SlideRecord:
        """Return the entry of a slide.

        Raises
        ------
        ProjectError
            If the project has none of that name.
        """
        if slide_id not in self.slides:
            known = ", ".join(list(self.slides)[:5]) or "none yet"
            raise ProjectError(f'{self.folder.name} has no slide "{slide_id}". It has: {known}.')
        return self.slides[slide_id]

    def slides_with_role(self, role: str) -> list[SlideRecord]:
        """Return the slides of a role; "all" for all."""
        return [entry for entry in self.slides.values() if role in ("all", entry.role)]

    def update_slide(self, slide_id: str, **changes: Any) -> SlideRecord:
        """Change fields of a slide's entry and save."""
        with self.write_lock():
            self.slides[slide_id] = replace(self.slide(slide_id), **changes)
            self.save()
        return self.slides[slide_id]

    def change_classes(self, classes: ClassTable) -> None:
        """Rename, recolour or append classes and save; their numbers stay."""
        if len(classes) < len(self.classes):
            raise ProjectError(
                f"{len(classes)} classes are fewer than the {len(self.classes)} of {self.folder.name}; "
                "masks may hold them. Rename a class instead."
            )
        with self.write_lock():
            self.classes = classes
            self.save()

    def set_setting(self, name: str, value: Any) -> None:
        """Keep a setting with the project."""
        with self.write_lock():
            self.settings[name] = value
            self.save()

    def find_file(self, entry: SlideRecord) -> Path:
        """Return where a slide's file is: where it was, or as it lay beside the project."""
        beside = self.folder.parent / entry.relative_path
        return Path(entry.path) if Path(entry.path).exists() or not beside.exists() else beside

    def open_slide(self, slide_id: str) -> Slide:
        """Open a slide's file; see :func:`napari_pathseg.open_slide` for the errors.

        Raises
        ------
        ProjectError
            If the file has another size than when it was added.
        """
        entry = self.slide(slide_id)
        slide = open_slide(self.find_file(entry), entry.page)
        _check_size(slide, entry)
        return slide

    def frame(self, slide_id: str) -> SlideGeometry:
        """Return what contour formats may want to know of a slide; the errors are those of :meth:`open_slide`."""
        with self.open_slide(slide_id) as slide:
            return SlideGeometry.from_slide(slide, self.slide(slide_id).mpp)

    def mask_path(self, slide_id: str) -> Path:
        """Return the folder of a slide's mask, whether it is there or not."""
        return self.folder / "masks" / f"{slide_id}.zarr"

    def open_mask(self, slide_id: str) -> Mask:
        """Open a slide's mask, making an empty one where there is none; hold the lock meanwhile."""
        return open_mask(self.mask_path(slide_id), self.slide(slide_id).mask_shape, self.classes, self.lock.check)

    def open_mask_readonly(self, slide_id: str) -> Mask:
        """Open a slide's mask to be looked at, as it was saved last; no lock is needed."""
        return open_mask_readonly(self.mask_path(slide_id), self.slide(slide_id).mask_shape)

    def counts(self, slide_id: str) -> Counts:
        """Return the saved pixels of a slide's mask by (class, provenance)."""
        return read_counts(self.mask_path(slide_id))

    def prediction_path(self, model_id: str, slide_id: str) -> Path:
        """Return the folder of a model's output on a slide, whether it is there or not."""
        return self.folder / "predictions" / model_id / f"{slide_id}.zarr"

    def find_prediction(self, model_id: str, slide_id: str) -> Prediction | None:
        """Open a model's output on a slide, or return None."""
        path = self.prediction_path(model_id, slide_id)
        return Prediction(path) if path.exists() else None

    def model_ids(self) -> list[str]:
        """Return the trained models, oldest first."""
        return sorted(path.parent.name for path in self.folder.glob("models/m*/bundle.json"))


def _check_size(slide: Slide, entry: SlideRecord) -> None:
    if slide.shape == entry.shape:
        return
    slide.close()
    (rows, columns), (old_rows, old_columns) = slide.shape, entry.shape
    raise ProjectError(
        f"{entry.path} has {rows} x {columns} pixels; it had {old_rows} x {old_columns} when it was added. Put the old "
        "file back, or add the new one under another name."
    )
