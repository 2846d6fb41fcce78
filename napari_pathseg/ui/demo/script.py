"""The steps of the demo: import, train, predict, correct, train again, score, export.

Each step waits for the jobs it started, up to a time limit; the error names the step that hung.
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
_START_S = 60.0  # for the start of the worker and the prediction, in addition to the training time
_SCORE_S = 60.0
_SCREENSHOT_AT = 0.5  # fraction of a training
_SETTLE_S = 1.5  # until thumbnails are loaded and sections have opened


class DemoScript:
    """The steps in the order in which they are called; screenshots go into `folder`."""

    def __init__(self, viewer: napari.Viewer, dock: "PathsegDock", folder: Path) -> None:
        self._viewer, self._folder, self._dock = viewer, folder, dock
        self._session: Session = dock.session
        self.screenshots: list[Path] = []
        self._earlier_message_count = len(notification_manager.records)
        _fill_screen(viewer)
        idle(_SETTLE_S)

    def import_slides(
        self, project: Path, slides: Sequence[Path], added: Sequence[tuple[list[Path], AddOptions]]
    ) -> None:
        """Create a project of `slides`, then import contours for some of them."""
        self._session.new_project(project)
        self._session.add_slides(slides)
        self._screenshot("slides")
        for paths, options in added:
            self._session.add_slides(paths, options)
        self._screenshot("contours")

    def train(self, slide: str, config: TrainConfig, screenshot: str | None = None) -> str:
        """Train with `slide` in view until the new model has predicted it; return the ID of the model."""
        before = self._session.require_project().model_ids()
        self._session.show_slide(slide)
        training = self._session.training
        self._session.live.set_on(False)  # it would stay in view until the network is better
        self._dock.open_section("train")
        training.train(config)
        end = time.monotonic() + config.longest_minutes * 60 + _START_S
        if screenshot is not None:
            self._wait("Training", lambda: self._has_predictions() or not self._training(), end)
            if not self._training():
                raise RuntimeError(f"{slide} showed no predictions during training. {self._last_message()}")
            self._wait("Training", lambda: not self._training() or self._progress() > _SCREENSHOT_AT, end)
            self._screenshot(screenshot)
        self._wait("Training", lambda: not training.active, end)
        new_models = [name for name in self._session.require_project().model_ids() if name not in before]
        if not new_models or self._session.require_project().find_prediction(new_models[-1], slide) is None:
            raise RuntimeError(f"Training ended without a model that predicted {slide}. {self._last_message()}")
        return new_models[-1]

    def correct(self, truth: npt.NDArray[np.uint8], count: int = _STROKES) -> list[Stroke]:
        """Correct errors on the current slide with the mouse; return the strokes.

        `truth` holds the slide's classes at level 0.  It decides where to paint; no model is trained on it.
        """
        session, layer = self._session, self._session.layers.mask
        if layer is None or session.mask is None:
            raise RuntimeError("No slide is shown, so there is no mask to correct.")
        self._dock.open_section("review")
        self._screenshot("prediction")
        record = session.require_slide()
        centres = slice(record.downsample // 2, None, record.downsample)
        strokes = correction_strokes(np.asarray(layer.data), np.maximum(truth[centres, centres], BACKGROUND), count)
        if not strokes:
            raise RuntimeError(f"The prediction of {record.id} has no error to correct; train for a shorter time.")
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

    def compare(self) -> dict[str, dict[str, float | None]]:
        """Return the Dice by class of the two newest models on the same held-out slides."""
        training = self._session.training
        models = self._session.require_project().model_ids()[-2:]
        training.compare()
        self._wait("Scoring", lambda: not training.active, time.monotonic() + _SCORE_S)
        if missing := [name for name in models if name not in training.scores]:
            raise RuntimeError(f"Scoring ended without scores of {', '.join(missing)}. {self._last_message()}")
        self._screenshot("after")
        return {name: training.scores[name].dice for name in models}

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

    def _has_predictions(self) -> bool:
        mask = self._session.mask
        return mask is not None and bool(mask.counts[BACKGROUND:, Provenance.MODEL].any())

    def _last_message(self) -> str:
        messages = [str(note.message) for note in notification_manager.records[self._earlier_message_count :]]
        return f"Last message: {messages[-1]}" if messages else "There was no message."

    def _wait(self, step: str, ended: Callable[[], bool], end: float) -> None:
        """Process events until `ended`, at most until `time.monotonic()` reaches `end`.

        Raises
        ------
        PathsegError, RuntimeError
            If the window showed an error, or the time is over.
        """
        started = time.monotonic()
        while not ended():
            idle(0.01)
            self._check(step)
            if time.monotonic() > end:
                raise RuntimeError(f"{step} did not end within {end - started:.0f} s. {self._last_message()}")
        self._check(step)

    def _check(self, step: str) -> None:
        """Raise if the window showed an error."""
        for note in notification_manager.records[self._earlier_message_count :]:
            if note.severity == NotificationSeverity.ERROR:
                if isinstance(note, ErrorNotification):
                    raise RuntimeError(f"{step}: an unexpected error occurred in the window.") from note.exception
                raise PathsegError(f"{step} failed: {note.message}")

    def _screenshot(self, name: str) -> None:
        idle(_SETTLE_S)
        self._check(f"The screenshot of {name}")
        path = self._folder / f"{len(self.screenshots) + 1:02d}_{name}.png"
        self._viewer.screenshot(str(path), canvas_only=False, flash=False)
        self.screenshots.append(path)


def _fill_screen(viewer: napari.Viewer) -> None:
    screen = QApplication.primaryScreen()
    if screen is not None:
        free = screen.availableGeometry()
        viewer.window.set_geometry(free.x(), free.y(), min(_WINDOW[0], free.width()), min(_WINDOW[1], free.height()))


def _require_painted(counts: npt.NDArray[np.int64], strokes: Sequence[Stroke]) -> None:
    """Raise if the strokes did not reach the mask."""
    painted = int(counts[:, [Provenance.CORRECTED, Provenance.DRAWN]].sum())
    if painted < sum(stroke.diameter for stroke in strokes):
        raise RuntimeError(f"{len(strokes)} mouse strokes changed only {painted} pixels of the mask.")
