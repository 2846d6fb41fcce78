"""All training settings, for experts: in groups, with a button that restores the defaults."""

from psygnal import Signal
from qtpy.QtWidgets import QWidget

from napari_pathseg.config import TrainConfig
from napari_pathseg.ui.panels.train.samples import AugmentationPreviewDialog
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.form import read_form, settings_form
from napari_pathseg.ui.widgets.layout import column, push_button, row
from napari_pathseg.ui.widgets.weights_button import add_weights_button


class TrainSettings(QWidget):
    """The settings form with its extra buttons; `changed` reports any change."""

    changed = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.form = settings_form(TrainConfig(), expert_only=True)
        self.choose_weights = add_weights_button(self.form, "weights", "Choose a file with weights for this encoder.")
        self.preview = push_button("Preview augmentation", "")
        self.form.add_below("Augmentation", self.preview)
        self.reset = push_button("Reset", "Restore the default of every setting in Expert.")
        self.samples = AugmentationPreviewDialog(session, self.config, self)
        column(self, self.form, row(None, self.reset))
        self.preview.clicked.connect(self.show_samples)
        self.reset.clicked.connect(self.show_defaults)
        self.form.changed.connect(self._on_form_changed)
        session.project_changed.connect(self._show_state)
        session.training.run_changed.connect(self._show_state)
        self._on_form_changed()
        self._show_state()

    def config(self, **others: object) -> TrainConfig:
        """Return the settings as shown; `others` are those of the rest of the panel.

        Raises
        ------
        ConfigError
            If a value lies outside its limits.
        """
        return read_form(self.form, TrainConfig, others)

    def show_config(self, config: TrainConfig) -> None:
        """Show the settings of `config`."""
        self.form.show_settings(config)

    # -- actions

    def show_defaults(self) -> None:
        """Restore the defaults."""
        self.form.show_settings(TrainConfig())

    def show_samples(self) -> None:
        """Open the preview of the augmentation."""
        self.samples.show()
        self.samples.raise_()
        self.samples.draw()

    # -- display

    def _on_form_changed(self) -> None:
        self.reset.setEnabled(bool(self.form.differing()))
        self.samples.on_settings_changed()
        self.changed.emit()

    def _show_state(self) -> None:
        project, busy = self._session.project, self._session.training.busy
        can_draw = project is not None and bool(project.slides) and not self._session.read_only
        self.preview.setEnabled(can_draw and not busy)
        self.preview.setToolTip(
            "Available once nothing else runs."
            if busy
            else "Show a tile of the training slides and fifteen augmented versions of it."
        )
        if project is None:
            self.samples.close()
