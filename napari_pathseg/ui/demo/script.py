"""The loop of the demo in a window: import, train, predict, correct, train again, score, export.

Each step waits for what it started, within a limit, and says which step hung.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import napari
import numpy as np
import numpy.typing as npt
from napari.utils.notifications import ErrorNotification, NotificationSeverity, notification_manager
from qtpy.QtWidgets import QApplication

from napari_pathseg.classes import BACKGROUND
from napari_pathseg.config import TrainConfig
from napari_pathseg.errors import PathsegError
from napari_pathseg.masks import Provenance
from napari_pathseg.projects.exporting.export import ExportOptions
from napari_pathseg.projects.importing.add_slides import AddOptions
from napari_pathseg.ui.demo.correction_strokes import Stroke, correction_strokes
from napari_pathseg.ui.demo.mouse import Mouse, idle
from napari_pathseg.ui.session.job_state import JobKind
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.tools.registry import choose_tool

if TYPE_CHECKING:
    from napari_pathseg.ui.dock import PathsegDock

_WINDOW = 1600, 1000
_STROKES = 12
_START_S = 60.0  # for the worker to start and a prediction to end, beside the training itself
_SCORE_S = 60.0
_PICTURED_AT = 0.5  # share of a training
_SETTLE_S = 1.5  # for thumbnails and what unfolds


class DemoScript:
    """The steps, in the order in which they are called; pictures of the window go into `folder`."""

    def __init__(self, viewer: napari.Viewer, dock: "PathsegDock", folder: Path) -> None:
        self._viewer, self._folder = viewer, folder
        self._session: Session = dock.session
        self.screenshots: list[Path] = []
        self._heard = len(notification_manager.records)
        _fill_screen(viewer)
        idle(_SETTLE_S)

    def import_slides(
        self, project: Path, slides: Sequence[Path], added: Sequence[tuple[list[Path], AddOptions]]
    ) -> None:
        """Make a project of `slides`, then give some their contours."""
        self._session.new_project(project)
        self._session.add_slides(slides)
        self._screenshot("slides")
        for paths, options in added:
            self._session.add_slides(paths, options)
        self._screenshot("contours")

    def train(self, slide: str, config: TrainConfig, picture: str | None = None) -> str:
        """Train on while `slide` is in view, until the new model has predicted it; return the model."""
        before = self._session.require_project().model_ids()
        self._session.show_slide(slide)
        learning = self._session.training
        learning.train(config)
        end = time.monotonic() + config.longest_minutes * 60 + _START_S
        if picture is not None:
            self._wait("Training", lambda: self._model_seen() or not self._training(), end)
            if not self._training():
                raise RuntimeError(f"{slide} showed nothing of the model while it learnt. {self._last_words()}")
            self._wait("Training", lambda: not self._training() or self._progress() > _PICTURED_AT, end)
            self._screenshot(picture)
        self._wait("Training", lambda: not learning.active, end)
        made = [name for name in self._session.require_project().model_ids() if name not in before]
        if not made or self._session.require_project().find_prediction(made[-1], slide) is None:
            raise RuntimeError(f"Training ended without a model that predicted {slide}. {self._last_words()}")
        return made[-1]

    def correct(self, truth: npt.NDArray[np.uint8], count: int = _STROKES) -> list[Stroke]:
        """Paint over what is wrong on the slide in view with the mouse; return the strokes.

        `truth` holds the slide's classes at level 0; it says where to paint and is shown to no model.
        """
        session, layer = self._session, self._session.layers.mask
        if layer is None or session.mask is None:
            raise RuntimeError("No mask is in view to be corrected.")
        self._screenshot("prediction")
        entry = session.require_slide()
        middle = slice(entry.downsample // 2, None, entry.downsample)
        strokes = correction_strokes(np.asarray(layer.data), np.maximum(truth[middle, middle], BACKGROUND), count)
        if not strokes:
            raise RuntimeError(f"The prediction of {entry.id} has no mistake to correct; train for a shorter time.")
        mouse = Mouse(self._viewer)
        for stroke in strokes:
            mouse.zoom_to(layer, stroke)
            choose_tool(session.layers, "brush")
            layer.selected_label, layer.brush_size = stroke.label, stroke.diameter
            mouse.paint(layer, stroke)
        _require_painted(session.mask.counts, strokes)
        choose_tool(session.layers, "pan")
        self._viewer.reset_view()
        self._screenshot("corrected")
        return strokes

    def compare(self) -> dict[str, dict[str, float]]:
        """Return the Dice by class of the two newest models on the same held-out slides."""
        learning = self._session.training
        models = self._session.require_project().model_ids()[-2:]
        learning.compare()
        self._wait("Scoring", lambda: not learning.active, time.monotonic() + _SCORE_S)
        if missing := [name for name in models if name not in learning.scores]:
            raise RuntimeError(f"Scoring ended without scores of {', '.join(missing)}. {self._last_words()}")
        self._screenshot("after")
        return {name: learning.scores[name] for name in models}

    def export(self) -> list[Path]:
        """Write the contours of all masks as GeoJSON into the folder."""
        return self._session.export(self._folder / "contours", ExportOptions(format="geojson"))

    # -- inside

    def _training(self) -> bool:
        run = self._session.training.run
        return run is not None and run.active and run.kind == JobKind.TRAIN

    def _progress(self) -> float:
        run = self._session.training.run
        return 0.0 if run is None else run.fraction

    def _model_seen(self) -> bool:
        mask = self._session.mask
        return mask is not None and bool(mask.counts[BACKGROUND:, Provenance.MODEL].any())

    def _last_words(self) -> str:
        said = [str(note.message) for note in notification_manager.records[self._heard :]]
        return f"Said last: {said[-1]}" if said else "Nothing was said about it."

    def _wait(self, step: str, ended: Callable[[], bool], end: float) -> None:
        """Let the window live until `ended`, at most until the clock shows `end`.

        Raises
        ------
        PathsegError, RuntimeError
            If the window showed an error, or it takes longer.
        """
        started = time.monotonic()
        while not ended():
            idle(0.01)
            self._check(step)
            if time.monotonic() > end:
                raise RuntimeError(f"{step} did not end within {end - started:.0f} s. {self._last_words()}")
        self._check(step)

    def _check(self, step: str) -> None:
        """Refuse to go on where the window showed an error."""
        for note in notification_manager.records[self._heard :]:
            if note.severity == NotificationSeverity.ERROR:
                if isinstance(note, ErrorNotification):
                    raise RuntimeError(f"{step}: the window met an unexpected error.") from note.exception
                raise PathsegError(f"{step} failed: {note.message}")

    def _screenshot(self, name: str) -> None:
        idle(_SETTLE_S)
        self._check(f"The picture of {name}")
        path = self._folder / f"{len(self.screenshots) + 1:02d}_{name}.png"
        self._viewer.screenshot(str(path), canvas_only=False, flash=False)
        self.screenshots.append(path)


def _fill_screen(viewer: napari.Viewer) -> None:
    screen = QApplication.primaryScreen()
    if screen is not None:
        room = screen.availableGeometry()
        viewer.window.set_geometry(room.x(), room.y(), min(_WINDOW[0], room.width()), min(_WINDOW[1], room.height()))


def _require_painted(counts: npt.NDArray[np.int64], strokes: Sequence[Stroke]) -> None:
    """Refuse to go on where the strokes did not arrive in the mask."""
    painted = int(counts[:, [Provenance.CORRECTED, Provenance.DRAWN]].sum())
    if painted < sum(stroke.diameter for stroke in strokes):
        raise RuntimeError(f"{len(strokes)} strokes of the mouse changed only {painted} pixels of the mask.")
