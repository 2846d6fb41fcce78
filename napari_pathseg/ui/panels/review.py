"""The Review section: predict with a model, accept or reject its predictions, compare two models."""

from collections.abc import Callable

from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QComboBox, QGridLayout, QLabel, QSizePolicy, QSlider, QWidget
from superqt.utils import qthrottled

from napari_pathseg.ui.layers.outline_rendering import OutlineRendering
from napari_pathseg.ui.session.formatting import format_model
from napari_pathseg.ui.session.queries import compare_scores, project_models
from napari_pathseg.ui.session.selection import (
    DRAW_SELECTION,
    NONE_SELECTED,
    SELECTION,
    SLIDE,
    VIEW,
)
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.shortcuts import with_key
from napari_pathseg.ui.widgets.layout import MenuButton, column, push_button, row
from napari_pathseg.ui.widgets.notifications import show_errors
from napari_pathseg.ui.widgets.theme import HALF_SPACING, SPACING


class ReviewPanel(QWidget):
    """Predict, accept, reject, opacity and the comparison of two models."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._mask_layer: Layer | None = None  # the one whose opacity is connected
        self.model = QComboBox()
        self.model.setToolTip("The model that predicts, newest first, with its Dice on the held-out slides.")
        self.predict_view = push_button("Predict view", "Predict the part of the slide on screen.")
        self.predict_slide = push_button("Predict slide", "Predict the whole slide.")
        self.predict_all = push_button("Predict all", "Predict all slides, one after the other.")
        self.accept = push_button("Accept view", with_key("Accept the predictions on screen as correct.", "accept"))
        self.reject = push_button("Reject view", with_key("Remove the predictions on screen.", "reject"))
        self.accept_more = MenuButton("Accept elsewhere", _elsewhere("Accept", self.accept_in))
        self.reject_more = MenuButton("Reject elsewhere", _elsewhere("Reject", self.reject_in))
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, 100)
        self.opacity.setValue(50)
        self.opacity.setToolTip(with_key("Opacity of the mask over the slide. Hold H to hide it", "hold_mask"))
        self.only_contour = QCheckBox("Contour only")
        self.only_contour.setToolTip("Show only the borders of the mask, as a clear line.")
        self._contour = OutlineRendering(session.layers, self)
        session.slide_changed.connect(self._contour.attach)
        self.compare = push_button("Compare", "Score the two newest models on the same held-out slides.")
        self._lay_out()
        self._connect()
        self._show_models()
        self._show_slide()

    def _lay_out(self) -> None:
        self.table = QWidget()
        self._cells = QGridLayout(self.table)
        self._cells.setContentsMargins(0, 0, 0, 0)
        self._cells.setSpacing(HALF_SPACING)
        verdicts = row(self.accept, self.accept_more, self.reject, self.reject_more)
        verdicts.setSpacing(1)
        verdicts.insertSpacing(2, SPACING)
        column(
            self,
            row(QLabel("Model"), self.model),
            row(self.predict_view, self.predict_slide, self.predict_all),
            verdicts,
            row(QLabel("Opacity"), self.opacity, self.only_contour),
            row(self.compare, QLabel("the two newest models"), None),
            self.table,
        )
        self.model.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.model.setMinimumContentsLength(20)
        self.model.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    # -- actions

    def predict(self, *, view: bool = False, everything: bool = False) -> None:
        """Predict the current slide, its part on screen (`view`), or all slides (`everything`)."""
        with show_errors():
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
        """Accept the predictions on screen."""
        self.accept_in(VIEW)

    def reject_view(self) -> None:
        """Remove the predictions on screen."""
        self.reject_in(VIEW)

    def accept_in(self, where: str) -> None:
        """Accept the predictions in the selection, the view or the slide."""
        with show_errors():
            self._session.editor.accept(where)

    def reject_in(self, where: str) -> None:
        """Remove the predictions in the selection, the view or the slide."""
        with show_errors():
            self._session.editor.reject(where)

    def compare_models(self) -> None:
        """Score the two newest models."""
        with show_errors():
            self._session.training.compare()

    def hide_mask(self, hidden: bool) -> None:
        """Hide or show the mask; a key hides it while it is held."""
        if self._session.layers.mask is not None:
            self._session.layers.mask.visible = not hidden

    # -- display

    def _show_models(self) -> None:
        with show_errors():
            models = project_models(self._session)
            chosen = self.model.currentData()
            newer = bool(models) and self.model.count() > 0 and self.model.itemData(0) != models[-1].id
            self.model.clear()
            for bundle in reversed(models):
                self.model.addItem(format_model(bundle), bundle.id)
            self.model.setCurrentIndex(0 if newer else max(0, self.model.findData(chosen)))
            if not models:
                self.model.addItem("None yet: train one", None)
            self._show_run()

    def _show_run(self) -> None:
        """Enable the buttons that can be used now."""
        project = self._session.project
        models = [] if project is None else project.model_ids()
        can_run = bool(models) and not self._session.training.active
        self.model.setEnabled(bool(models))
        can_predict = can_run and not self._session.read_only
        self.predict_all.setEnabled(can_predict)
        for button in (self.predict_view, self.predict_slide):
            button.setEnabled(can_predict and self._session.slide is not None)
        self.compare.setEnabled(can_run and len(models) > 1)
        self._show_table()

    def _show_table(self) -> None:
        """Show the Dice of the two newest models once they have been compared."""
        while (item := self._cells.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        names, rows = compare_scores(self._session)
        for number, cells in enumerate([("Dice", *names, "Difference"), *rows] if rows else []):
            for column_number, text in enumerate(cells):
                label = QLabel(f"<b>{text}</b>" if number == 0 else text)
                side = Qt.AlignmentFlag.AlignRight if column_number else Qt.AlignmentFlag.AlignLeft
                self._cells.addWidget(label, number, column_number, alignment=side)
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
        self.compare.clicked.connect(self.compare_models)
        self.opacity.valueChanged.connect(self._set_opacity)
        self.only_contour.clicked.connect(self._contour.set_enabled)
        self._contour.changed.connect(self._show_contour)
        for more in (self.accept_more, self.reject_more):
            more.choices.setToolTipsVisible(True)
            more.choices.aboutToShow.connect(self._show_choices)
        self._show_run_later = qthrottled(self._show_run, timeout=100, leading=False, parent=self)
        self._session.project_changed.connect(self._show_models)
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
