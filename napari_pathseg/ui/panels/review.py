"""The Review section: predict with a model, accept or reject its predictions, compare two models."""

import contextlib
from collections.abc import Callable
from pathlib import Path

from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QFileDialog, QGridLayout, QLabel, QSlider, QWidget
from superqt.utils import qthrottled

from napari_pathseg.config import PredictConfig
from napari_pathseg.errors import ConfigError
from napari_pathseg.masks.comparison import Agreement
from napari_pathseg.projects.review_progress import unreviewed_sentence
from napari_pathseg.ui.layers.comparison_layer import DIFFERENCE_COLORS
from napari_pathseg.ui.layers.outline_rendering import OutlineRendering
from napari_pathseg.ui.panels.confident_accept import ConfidentAcceptPanel
from napari_pathseg.ui.panels.confusion import ConfusionPanel
from napari_pathseg.ui.panels.live import LivePanel, LiveSettings
from napari_pathseg.ui.panels.model_choice import ModelChoice
from napari_pathseg.ui.panels.next_places import NextPlacesPanel
from napari_pathseg.ui.panels.probability import ProbabilityPanel
from napari_pathseg.ui.panels.versions_view import VersionsPanel
from napari_pathseg.ui.session.job_state import JobKind
from napari_pathseg.ui.session.queries import (
    all_progress,
    compare_scores,
    compared_on,
    undecided,
)
from napari_pathseg.ui.session.selection import (
    DRAW_SELECTION,
    NONE_SELECTED,
    SELECTION,
    SLIDE,
    VIEW,
)
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.shortcuts import with_key
from napari_pathseg.ui.widgets.fixed_lines import FixedLines
from napari_pathseg.ui.widgets.form import read_form, settings_form
from napari_pathseg.ui.widgets.layout import MenuButton, column, push_button, row
from napari_pathseg.ui.widgets.notifications import show_errors
from napari_pathseg.ui.widgets.plain_text import PlainLabel
from napari_pathseg.ui.widgets.section import CollapsibleSection
from napari_pathseg.ui.widgets.theme import HALF_SPACING, SPACING, SecondaryLabel

_ACCEPT_HELP = (
    "Accept what the model found on screen; on a complete slide its outline replaces yours where they differ."
)

_REJECT_HELP = "Drop what the model found on screen; on a complete slide your outline is kept where they differ."
_REPORT_HELP = (
    "Write a page on the chosen model into a folder: what it is for, its data, its scores and how sure they are, its "
    "worst places. It scores the test slides or, if none is labelled, those that are held out."
)
_PROGRESS_LINES = 2
_WORDS = {Agreement.ONLY_PERSON: "only mine", Agreement.ONLY_MODEL: "only model"}
_LEGEND = [
    "both:&nbsp;as&nbsp;class",
    *(
        f'<span style="color: {DIFFERENCE_COLORS[who]}">■</span>&nbsp;{text.replace(" ", "&nbsp;")}'
        for who, text in _WORDS.items()
    ),
]


class ReviewPanel(QWidget):
    """Predict, accept, reject, opacity and the comparison of two models."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._mask_layer: Layer | None = None  # the one whose opacity is connected
        self._folder: Path | None = None  # of the project whose settings are shown
        self._hidden: list[Layer] = []  # while the key is held
        self.model = ModelChoice(session)
        self.predict_view = push_button("Predict view", "Predict the part of the slide on screen.")
        self.predict_slide = push_button("Predict slide", "Predict the whole slide, what is on screen first.")
        self.predict_all = push_button("Predict all", "Predict all slides, the one in view first.")
        self.accept = push_button("Accept view", with_key(_ACCEPT_HELP, "accept"))
        self.reject = push_button("Reject view", with_key(_REJECT_HELP, "reject"))
        self.legend, self.progress = QLabel(), PlainLabel()
        FixedLines(self.legend)
        FixedLines(self.progress, _PROGRESS_LINES)
        self.accept_more = MenuButton("Accept elsewhere", _elsewhere("Accept", self.accept_in))
        self.reject_more = MenuButton("Reject elsewhere", _elsewhere("Reject", self.reject_in))
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, 100)
        self.opacity.setValue(50)
        self.opacity.setToolTip("Opacity of the mask over the slide. Hold H to see only the slide.")
        self.only_contour = QCheckBox("Contour only")
        self.only_contour.setToolTip(with_key("Show only the borders of the mask, as a clear line.", "only_contour"))
        self._contour = OutlineRendering(session.layers, self)
        session.slide_changed.connect(self._contour.attach)
        self.settings = settings_form(PredictConfig(), expert_only=True)
        self.settings.changed.connect(self._take_settings)
        self.live, self.live_settings = LivePanel(session), LiveSettings(session)
        self.places = NextPlacesPanel(session)
        self.probability = ProbabilityPanel(session, self.model)
        self.compare = push_button("Compare", "Score the two newest models on the same held-out slides.")
        self.report = push_button("Report…", _REPORT_HELP)
        self.versions = VersionsPanel(session)
        self.confident = ConfidentAcceptPanel(session, self.model)
        self.confidence = CollapsibleSection("Accept by confidence", self.confident, minor=True)
        self.confusion = ConfusionPanel(session, self.model)
        self.mixed_up = CollapsibleSection("Which classes it mixes up", self.confusion, minor=True)
        self._lay_out()
        self._connect()
        self._show_project()
        self._show_slide()
        self._show_comparison()

    def _lay_out(self) -> None:
        self.table = QWidget()
        self._cells = QGridLayout(self.table)
        self._cells.setContentsMargins(0, 0, 0, 0)
        self._cells.setSpacing(HALF_SPACING)
        models = row(QLabel("Model"), self.model, self.model.more)
        models.setSpacing(HALF_SPACING)
        verdicts = row(self.accept, self.accept_more, self.reject, self.reject_more)
        verdicts.setSpacing(1)
        verdicts.insertSpacing(2, SPACING)
        column(
            self,
            self.progress,
            self.places,
            self.live,
            models,
            row(self.predict_view, self.predict_slide, self.predict_all),
            verdicts,
            self.legend,
            self.confidence,
            row(QLabel("Mask opacity"), self.opacity, self.only_contour),
            row(self.compare, QLabel("the two newest models"), None, self.report),
            self.table,
            self.versions,
            self.mixed_up,
            CollapsibleSection("Probability", self.probability, minor=True),
            CollapsibleSection("Expert", self.settings, minor=True),
            CollapsibleSection("Expert: Live", self.live_settings, minor=True),
        )

    # -- actions

    def predict(self, *, view: bool = False, everything: bool = False) -> None:
        """Predict the current slide, its part on screen (`view`), or all slides (`everything`)."""
        with show_errors():
            config = self._session.training.predict_config = read_form(self.settings, PredictConfig)
            with self._session.require_project().edit_state() as state:
                state.prediction_choices = config.to_json()
            slides = list(self._session.require_project().slides) if everything else [self._session.require_slide().id]
            self._session.training.predict(slides, view=view, model=self.model.currentData())

    def _predict_view(self) -> None:
        self.predict(view=True)

    def _predict_slide(self) -> None:
        self.predict()

    def predict_everything(self) -> None:
        """Predict all slides."""
        self.predict(everything=True)

    def accept_view(self) -> None:
        """Accept what the model found on screen."""
        self.accept_in(VIEW)

    def reject_view(self) -> None:
        """Drop what the model found on screen."""
        self.reject_in(VIEW)

    def accept_in(self, where: str) -> None:
        """Accept what the model found in the selection, the view or the slide."""
        with show_errors():
            self._session.editor.accept(where)

    def reject_in(self, where: str) -> None:
        """Drop what the model found in the selection, the view or the slide."""
        with show_errors():
            self._session.editor.reject(where)

    def compare_models(self, *models: str) -> None:
        """Score two models, by default the newest ones."""
        with show_errors():
            self._session.training.compare(models)
            self._show_table()

    def ask_for_report(self) -> None:
        """Ask for a folder and write the report of the chosen model into it."""
        with show_errors():
            start = str(self._session.require_project().folder.parent)
            folder = QFileDialog.getExistingDirectory(self, "Write the report into a folder", start)
            if folder:
                self.write_report(Path(folder))

    def write_report(self, folder: Path) -> None:
        """Write the report of the chosen model into a folder."""
        with show_errors():
            self._session.training.write_report(self.model.currentData(), folder)

    def hide_overlays(self, hidden: bool) -> None:
        """Hide every layer but the slide, or show those again that this hid; a key hides them while it is held."""
        if not hidden:
            for layer in self._hidden:
                layer.visible = True
            self._hidden = []
        elif not self._hidden and (image := self._session.layers.image) is not None:
            self._hidden = [
                layer for layer in self._session.layers.viewer.layers if layer is not image and layer.visible
            ]
            for layer in self._hidden:
                layer.visible = False

    def _take_settings(self) -> None:
        """Use the settings for the prediction after a training, too; one outside its limits is reported on Predict."""
        with contextlib.suppress(ConfigError):
            self._session.training.predict_config = read_form(self.settings, PredictConfig)
            self._remember(self._session.training.predict_config)

    def _remember(self, config: PredictConfig) -> None:
        """Store settings that were changed in the project, which shows them when it is opened again."""
        project = self._session.project
        if project is None or self._session.read_only or project.folder != self._folder:
            return
        if config == PredictConfig.known(project.state.prediction_choices):
            return
        with show_errors(), project.edit_state() as state:
            state.prediction_choices = config.to_json()

    # -- display

    def _show_project(self) -> None:
        """Show the settings of the project's last prediction, and its models."""
        project = self._session.project
        folder = None if project is None else project.folder
        if folder != self._folder:
            self._folder = folder
            stored = {} if project is None else project.state.prediction_choices
            self.settings.show_settings(PredictConfig.known(stored))
        self._show_models()

    def _show_models(self) -> None:
        with show_errors():
            self.model.show_models()
            self.probability.follow_choice()
            self._show_run()

    def _show_run(self) -> None:
        """Enable the buttons that can be used now."""
        project = self._session.project
        models = [] if project is None else project.model_ids()
        has_model, free = self.model.currentData() is not None, not self._session.training.busy
        self.model.setEnabled(has_model)
        can_run = has_model and free
        can_predict = can_run and not self._session.read_only
        self.predict_all.setEnabled(can_predict)
        for button in (self.predict_view, self.predict_slide):
            button.setEnabled(can_predict and self._session.slide is not None)
        self.compare.setEnabled(free and len(models) > 1)
        self.report.setEnabled(can_predict)
        self.versions.refresh()
        self.confusion.refresh()
        self._show_table()

    def _show_table(self) -> None:
        """Show the Dice of the two models once they have been compared."""
        while (item := self._cells.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        names, rows = compare_scores(self._session)
        run = self._session.training.run
        scored = self._session.training.compared_models
        awaited = run is not None and run.kind == JobKind.SCORE and run.active and len(scored) > 1
        if not rows and awaited:  # the place of what is awaited
            names = scored
            rows = [(name, "…", "…", "…") for name in self._session.require_project().classes.names]
        for number, cells in enumerate([("Dice", *names, "Difference"), *rows] if rows else []):
            for column_number, text in enumerate(cells):
                label = PlainLabel(text)
                font = label.font()
                font.setBold(number == 0)
                label.setFont(font)
                side = Qt.AlignmentFlag.AlignRight if column_number else Qt.AlignmentFlag.AlignLeft
                self._cells.addWidget(label, number, column_number, alignment=side)
        if rows:
            note = SecondaryLabel(compared_on(self._session))
            self._cells.addWidget(note, len(rows) + 1, 0, 1, 4)
        self.table.setVisible(bool(rows))

    def _show_slide(self) -> None:
        layer = self._session.layers.mask
        for widget in (self.opacity, self.only_contour):
            widget.setEnabled(layer is not None)
        for button in (self.accept, self.accept_more, self.reject, self.reject_more):
            button.setEnabled(layer is not None and not self._session.read_only)
        if layer is not None and layer is not self._mask_layer:
            self._mask_layer = layer
            layer.events.opacity.connect(self._show_opacity)
            self._show_opacity()
            self._show_contour()
        self._show_run()

    def _show_choices(self) -> None:
        """Enable the selection entry if there is a selection."""
        selected = bool(self._session.selection.mask_shapes())
        for more in (self.accept_more, self.reject_more):
            action = more.choices.actions()[0]
            action.setEnabled(selected)
            action.setToolTip("" if selected else f"{NONE_SELECTED} {DRAW_SELECTION}")

    def _show_comparison(self) -> None:
        """Compare a complete slide with the model again, and explain its colours; others show the model's areas."""
        self._session.layers.update_comparison()
        self._show_progress()
        record = self._session.slide
        if record is None:
            self.legend.setText("")
        elif not record.complete:
            self.legend.setText("Light areas are the model's, not reviewed yet.")
        elif self._session.workspace.opinion is None:
            self.legend.setText("Predict the view to see where a model differs.")
        else:
            self.legend.setText(" &nbsp; ".join(_LEGEND))

    def _show_progress(self) -> None:
        progress, record = all_progress(self._session), self._session.slide
        texts = [unreviewed_sentence(progress.values())] if progress else ["Nothing unreviewed"]
        if record is not None and record.id in progress:
            done = progress[record.id]
            left = undecided(self._session)
            share = done.share - left / max(done.area, 1)
            whole = record.complete or self._session.workspace.tissue_pixels(record) is None
            texts.append(f"{100 * share:.0f} % of {'this slide' if whole else 'the tissue of this slide'} reviewed")
            if left:
                texts[1] += "; the model differs on the rest"
            if share < 1 and not any(one.unreviewed for one in progress.values()):
                del texts[0]  # that nothing waits would contradict it
        self.progress.setText(" · ".join(texts))

    def _show_opacity(self, *_: object) -> None:
        if self._session.layers.mask is not None:
            self.opacity.setValue(round(100 * self._session.layers.mask.opacity))

    def _show_contour(self) -> None:
        self.only_contour.setChecked(self._contour.enabled)

    # -- construction

    def _connect(self) -> None:
        self.predict_view.clicked.connect(self._predict_view)
        self.predict_slide.clicked.connect(self._predict_slide)
        self.predict_all.clicked.connect(self.predict_everything)
        self.accept.clicked.connect(self.accept_view)
        self.reject.clicked.connect(self.reject_view)
        self.report.clicked.connect(self.ask_for_report)
        self.compare.clicked.connect(lambda: self.compare_models())
        self.confidence.opened.connect(self.confident.set_open)
        self.confusion.chosen.connect(self.places.look_for)
        self.model.compare_wanted.connect(self.compare_models)
        self.opacity.valueChanged.connect(self._set_opacity)
        self.only_contour.clicked.connect(self._contour.set_enabled)
        self._contour.changed.connect(self._show_contour)
        for more in (self.accept_more, self.reject_more):
            more.choices.setToolTipsVisible(True)
            more.choices.aboutToShow.connect(self._show_choices)
        self._show_run_later = qthrottled(self._show_run, timeout=100, leading=False, parent=self)
        self._compare_later = qthrottled(self._show_comparison, timeout=150, leading=False, parent=self)
        self._session.mask_changed.connect(self._compare_later.throttle)
        self._session.project_changed.connect(self._show_project)
        self._session.live.kept.connect(self._show_models)
        self._session.project_changed.connect(self._show_comparison)
        self._session.slide_changed.connect(self._show_comparison)
        self._session.slide_changed.connect(self._show_slide)
        self._session.training.run_changed.connect(self._show_run_later.throttle)

    def _set_opacity(self, percent: int) -> None:
        layer = self._session.layers.mask
        if layer is not None and round(100 * layer.opacity) != percent:
            layer.opacity = percent / 100


def _elsewhere(verb: str, act: Callable[[str], None]) -> list[tuple[str, Callable[[], None]]]:
    """Return the menu entries that accept or reject outside the view."""
    return [
        (f"{verb} in the selection", lambda: act(SELECTION)),
        (f"{verb} on the whole slide", lambda: act(SLIDE)),
    ]
