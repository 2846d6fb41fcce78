"""A project: one folder with the list of slides, their masks, the models and the runs.

The folder is the single source of truth; `Project` reads and changes it.  Every change needs the project's lock, which
the window holds while it is open and a command while it runs.
"""

import contextlib
import threading
import time
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path, PureWindowsPath
from typing import Any, Self

from napari_pathseg.classes import DEFAULT_CLASSES, ClassTable, removed_name
from napari_pathseg.contours.formats.base import SlideGeometry
from napari_pathseg.errors import ProjectError
from napari_pathseg.masks import Mask, open_mask, open_mask_readonly, read_counts
from napari_pathseg.masks.opening import has_unapplied_edits
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.masks.provenance import Counts
from napari_pathseg.projects.manifest import Manifest, read_manifest, write_manifest
from napari_pathseg.projects.project_state import ProjectState
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.slides.registry import open_slide
from napari_pathseg.slides.slide import Slide
from napari_pathseg.storage.atomic import restore_former
from napari_pathseg.storage.links import check_links
from napari_pathseg.storage.lock import ProjectLock, folder_is_gone
from napari_pathseg.storage.portable import check_path_length, remove, remove_tree

FOLDER_SUFFIX = ".pathseg"
DEFAULT_MPP = 1.0  # micrometres per pixel of masks and of training
# The longest path in a project, without the name of a slide, is a temporary file of zarr:
# versions//.0001.partial/mask.zarr/provenance/0/zarr.json.<32 digits>.partial.
_RESERVED_CHARACTERS = 100
_FOLDERS = ("masks", "contours", "tissue", "models", "runs", "predictions")
_LEVELS = 3  # of folders: predictions/m001/a.zarr
_ORPHAN_SECONDS = 60  # another program may still be writing a younger partial file


class Project:
    """A project folder; use :meth:`create` for a new one and :meth:`open` for an existing one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = ProjectLock(folder)
        self.classes: ClassTable = DEFAULT_CLASSES
        self.mpp: float | None = None
        self.slides: dict[str, SlideRecord] = {}
        self.state = ProjectState()
        self._changing = threading.RLock()  # one change of the manifest at a time, by whichever thread

    @classmethod
    def create(
        cls,
        folder: str | Path,
        classes: ClassTable = DEFAULT_CLASSES,
        mpp: float | None = DEFAULT_MPP,
        *,
        mpp_is_chosen: bool = False,
    ) -> Self:
        """Create a project.

        Parameters
        ----------
        folder
            A path that does not exist yet, or an empty folder.
        classes
            The classes, Background first.
        mpp
            Micrometres per pixel of masks and of training; None for the pixel size of each slide.
        mpp_is_chosen
            Whether the user chose it, be it the default; then slides to which it does not apply are reported.

        Raises
        ------
        ProjectError
            If the folder is not empty, cannot be written, or has too long a path.
        """
        folder = Path(folder).absolute()
        check_path_length(folder, _RESERVED_CHARACTERS)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ProjectError(f"{folder} already exists. Choose another name, or open it.")
        try:
            for name in _FOLDERS:
                (folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ProjectError(
                f"{folder} could not be created ({error.strerror}). Choose a folder that you may write to."
            ) from error
        project = cls(folder)
        project.classes, project.mpp = classes, mpp
        if mpp_is_chosen:
            project.state.mpp_is_chosen = True
        project.save()
        return project

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Open a project.

        Raises
        ------
        ProjectError
            If the folder is not a project, is damaged, was written by a newer version, or has too long a path.
        """
        project = cls(Path(folder).absolute())
        project.reload()
        project.check_path_lengths(["", *project.slides])
        if slides_with_unapplied_strokes(project.folder):
            with contextlib.suppress(ProjectError), project.write_lock():
                pass  # acquiring the lock recovers the strokes; if a window holds it, they belong to that window
        return project

    def check_path_lengths(self, slide_ids: Iterable[str]) -> None:
        """Raise ProjectError if the files of one of these slides would have too long a path (Windows)."""
        for slide_id in slide_ids:
            check_path_length(self.folder / slide_id, _RESERVED_CHARACTERS)

    def reload(self) -> None:
        """Read the manifest again."""
        manifest = read_manifest(self.folder)
        self.classes, self.mpp, self.state = manifest.classes, manifest.mpp, manifest.state
        self.slides = {record.id: record for record in manifest.slides}

    def save(self) -> None:
        """Write the manifest."""
        with self._changing:
            self._write()

    def _write(self) -> None:
        self.lock.check()
        if not self.folder.is_dir():
            raise folder_is_gone(self.folder)
        try:
            write_manifest(self.folder, Manifest(self.classes, self.mpp, list(self.slides.values()), self.state))
        except ProjectError:
            with contextlib.suppress(ProjectError):
                self.reload()  # what could not be saved is not so
            raise

    # -- one writer at a time

    def acquire_lock(self, program: str = "") -> None:
        """Acquire the lock until :meth:`release_lock`; reload, and recover the work of a killed program.

        Other programs see `program` as the owner; the default is the running command.

        Raises
        ------
        ProjectError
            If another program holds the lock or has taken it over, which the message names, or a link in the project
            leads out of it.
        """
        if not self.lock.acquire(program):
            return
        try:
            inside = self.check_links()
            self.reload()
            self._recover(inside)
        except BaseException:
            self.lock.release()
            raise

    def check_links(self) -> list[str]:
        """Return the paths in the upper levels of the folder; raise ProjectError if a link among them leads out."""
        return check_links(self.folder, _LEVELS)

    def release_lock(self) -> None:
        """Release the lock."""
        self.lock.release()

    @contextlib.contextmanager
    def write_lock(self) -> Iterator[None]:
        """Hold the lock for the duration of the block."""
        self.acquire_lock()
        try:
            yield
        finally:
            self.release_lock()

    def _recover(self, inside: Iterable[str]) -> None:
        """Apply strokes that a killed program left in a journal, and undo what it left half-done of files `inside`."""
        for slide_id in slides_with_unapplied_strokes(self.folder):
            if slide_id in self.slides:  # else it was removed; its strokes return with it
                self.open_mask(slide_id).close()
        newest_orphan = time.time() - _ORPHAN_SECONDS
        for orphan in map(Path, inside):
            with contextlib.suppress(OSError):  # the next program that replaces it brings it back
                restore_former(orphan)
            if fnmatch(orphan.name, ".*.partial") and orphan.exists() and orphan.stat().st_mtime < newest_orphan:
                remove_tree(orphan) if orphan.is_dir() else remove(orphan)

    # -- slides and their files

    def slide(self, slide_id: str) -> SlideRecord:
        """Return the record of a slide.

        Raises
        ------
        ProjectError
            If the project has no slide of that name.
        """
        if slide_id not in self.slides:
            known = ", ".join(list(self.slides)[:5]) or "none yet"
            raise ProjectError(f'{self.folder.name} has no slide "{slide_id}". It has: {known}.')
        return self.slides[slide_id]

    def slides_with_role(self, role: str) -> list[SlideRecord]:
        """Return the slides of a role, or every slide for "all"."""
        return [record for record in self.slides.values() if role in ("all", record.role)]

    def update_slide(self, slide_id: str, **changes: Any) -> SlideRecord:
        """Change fields of a slide's record and save; return the new record."""
        with self.write_lock(), self._changing:
            self.slides[slide_id] = replace(self.slide(slide_id), **changes)
            self.save()
            return self.slides[slide_id]

    def change_classes(self, classes: ClassTable) -> None:
        """Rename, recolour, move or append classes and save; their numbers do not change, and models keep working.

        `class_changes` removes one.
        """
        known = classes.numbers | {gone.spec.index for gone in classes.removed}
        if lost := sorted(self.classes.numbers - known):
            raise ProjectError(
                f"{len(classes)} classes are fewer than the {len(self.classes)} of {self.folder.name}; masks may "
                f"contain {', '.join(map(self.classes.name_of, lost))}. Remove a class with `pathseg class remove`."
            )
        with self.write_lock():
            former = self.state.former_class_names
            for before in self.classes:
                after = classes.numbered(before.index)
                renamed = after is None or after.name != before.name
                if renamed and before.name not in former.get(before.index, []):
                    former[before.index] = [*former.get(before.index, []), before.name]
            self.state.former_class_names = former
            self.classes = classes
            self.save()

    def class_names_over_time(self, index: int) -> set[str]:
        """Return the names that a class has or had."""
        former = self.state.former_class_names.get(index, ())
        return {self.classes.name_of(index), *former, *(removed_name(name, index) for name in former)}

    @contextlib.contextmanager
    def edit_state(self) -> Iterator[ProjectState]:
        """Hold the lock while the block changes `state`, then save."""
        with self.write_lock(), self._changing:
            yield self.state
            self.save()

    def find_file(self, record: SlideRecord) -> Path:
        """Return a slide's file: its recorded path or, if missing there, its path relative to the project."""
        relative = record.relative_path
        spellings = [relative, *(unicodedata.normalize(form, relative) for form in ("NFC", "NFD"))]  # macOS, others
        if "\\" in relative:  # written on Windows
            spellings.append(PureWindowsPath(relative).as_posix())
        candidates = [Path(record.path), *(self.folder.parent / spelled for spelled in dict.fromkeys(spellings))]
        return next((path for path in candidates if path.exists()), Path(record.path))

    def open_slide(self, slide_id: str) -> Slide:
        """Open a slide's file; also raises the errors of :func:`napari_pathseg.open_slide`.

        Raises
        ------
        ProjectError
            If its size in pixels differs from when the slide was added.
        """
        record = self.slide(slide_id)
        slide = open_slide(self.find_file(record), record.page)
        _check_size(slide, record)
        return slide

    def slide_geometry(self, slide_id: str) -> SlideGeometry:
        """Return the geometry of a slide for contour formats; raises the errors of :meth:`open_slide`."""
        with self.open_slide(slide_id) as slide:
            return SlideGeometry.from_slide(slide, self.slide(slide_id).mpp)

    def mask_path(self, slide_id: str) -> Path:
        """Return the folder of a slide's mask, which may not exist."""
        return self.folder / "masks" / f"{slide_id}.zarr"

    def open_mask(self, slide: str | SlideRecord) -> Mask:
        """Open the mask of a slide, or of a record that is not in the project yet, or create one; needs the lock."""
        record = self.slide(slide) if isinstance(slide, str) else slide
        self.lock.check()
        if not self.folder.is_dir():
            raise folder_is_gone(self.folder)
        return open_mask(self.mask_path(record.id), record.mask_shape, self.classes, self.lock.check)

    def open_mask_readonly(self, slide_id: str) -> Mask:
        """Open a slide's mask read-only, as last saved; needs no lock."""
        return open_mask_readonly(self.mask_path(slide_id), self.slide(slide_id).mask_shape)

    def counts(self, slide_id: str) -> Counts:
        """Return the pixel counts of a slide's saved mask by (class, provenance)."""
        return read_counts(self.mask_path(slide_id))

    def prediction_path(self, model_id: str, slide_id: str) -> Path:
        """Return the folder of a model's output on a slide, which may not exist."""
        return self.folder / "predictions" / model_id / f"{slide_id}.zarr"

    def find_prediction(self, model_id: str, slide_id: str) -> Prediction | None:
        """Open a model's output on a slide, or return None."""
        path = self.prediction_path(model_id, slide_id)
        return Prediction(path) if path.exists() else None

    def model_ids(self) -> list[str]:
        """Return the trained models, oldest first, but for those that were removed."""
        removed = self.state.removed_models
        return [model for model in self.stored_models() if model not in removed]

    def stored_models(self) -> list[str]:
        """Return the trained models, oldest first, with those that were removed."""
        names = {path.parent.name for path in self.folder.glob("models/m*/bundle.json")}
        return sorted(names, key=lambda name: (len(name), name))  # m1000 is newer than m999

    @property
    def current_model(self) -> str | None:
        """The model that is used where none is named: the one that was chosen, or else the newest; None for none."""
        models = self.model_ids()
        chosen = self.state.current_model
        return chosen if chosen in models else models[-1] if models else None

    def preferred_models(self) -> list[str]:
        """Return the models of `model_ids`, the current one first, then the newest first."""
        current = self.current_model
        others = [model for model in reversed(self.model_ids()) if model != current]
        return others if current is None else [current, *others]


def slides_with_unapplied_strokes(folder: Path) -> list[str]:
    """Return the slides whose journal contains strokes that are not in their mask yet."""
    masks = (path.with_suffix(".zarr") for path in folder.glob("masks/*.journal"))
    return [path.stem for path in masks if has_unapplied_edits(path) and path.exists()]


def _check_size(slide: Slide, record: SlideRecord) -> None:
    if slide.shape == record.shape:
        return
    slide.close()
    (rows, columns), (old_rows, old_columns) = slide.shape, record.shape
    raise ProjectError(
        f"{record.path} has {rows} x {columns} pixels; it had {old_rows} x {old_columns} when it was added. Restore "
        "the old file, or add the new one under another name."
    )
