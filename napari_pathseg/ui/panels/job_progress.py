"""What runs now: a bar, the time left, and Stop; gone when nothing runs."""

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QLabel, QProgressBar, QWidget
from superqt.utils import qthrottled

from napari_pathseg.ui.session.formatting import format_job
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.icons import set_icon
from napari_pathseg.ui.widgets.layout import column, push_button, row

_STAYS_MS = 4000  # after the end


class JobProgressBar(QWidget):
    """One line at the bottom of the dock."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.text = QLabel()
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.stop = push_button("Stop", "End it and keep what was won.")
        set_icon(self.stop, "stop")
        column(self, row(self.text, None, self.stop), self.bar)
        self._leave = QTimer(self)
        self._leave.setSingleShot(True)
        self._leave.setInterval(_STAYS_MS)
        self._leave.timeout.connect(self.hide)
        self._soon = qthrottled(self._show_run, timeout=100, leading=False, parent=self)
        self.stop.clicked.connect(self._stop)
        session.training.run_changed.connect(self._soon.throttle)
        self.hide()

    def _stop(self) -> None:
        self._session.training.stop()

    def _show_run(self) -> None:
        run = self._session.training.run
        if run is None:  # its project was closed
            self.hide()
            return
        self.text.setText(format_job(run))
        self.bar.setValue(round(1000 * run.fraction))
        self.stop.setVisible(run.active)
        self.stop.setEnabled(not run.stopping)
        if run.active:
            self._leave.stop()
            self.show()
        elif self.isVisible() and not self._leave.isActive():
            self._leave.start()
