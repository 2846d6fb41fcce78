"""A progress dialog for long work on the UI thread; it appears once the work has taken 0.4 s."""

from collections.abc import Callable

from qtpy.QtCore import QCoreApplication, QEventLoop, Qt
from qtpy.QtWidgets import QProgressDialog, QWidget

from napari_pathseg.masks import Mask

_SHOW_AFTER_MS, _STEPS = 400, 1000
_TIME_BUDGET_S = 0.05


class BusyDialog(QProgressDialog):
    """Shows how much of a job is done; while it is visible it blocks all input but its own Cancel button, if any."""

    def __init__(self, text: str, parent: QWidget | None, *, cancel: bool = True) -> None:
        super().__init__(text, "Cancel" if cancel else "", 0, _STEPS, parent)
        if not cancel:
            self.setCancelButton(None)
        self.setWindowTitle(text)
        self.setWindowModality(Qt.WindowModality.ApplicationModal)
        self.setMinimumDuration(_SHOW_AFTER_MS)

    def report(self, fraction: float) -> bool:
        """Show how much is done, 0 to 1, and return whether Cancel was pressed."""
        self.setValue(min(_STEPS - 1, round(_STEPS * fraction)))
        flags = QEventLoop.ProcessEventsFlag
        # until it is visible it blocks no input, so user input waits in the event queue
        QCoreApplication.processEvents(flags.AllEvents if self.isVisible() else flags.ExcludeUserInputEvents)
        return bool(self.wasCanceled())


def run_with_progress(text: str, job: Callable[[Callable[[float], bool]], bool], parent: QWidget | None = None) -> bool:
    """Run `job` and return its result; it reports its progress and stops if the report returns True."""
    progress = BusyDialog(text, parent)
    try:
        return job(progress.report)
    finally:
        progress.close()
        progress.deleteLater()


def apply_with_progress(mask: Mask, parent: QWidget | None = None) -> None:
    """Apply the pending operations of a mask, with a progress dialog if that takes long."""
    progress = BusyDialog("Updating the mask…", parent, cancel=False)
    try:
        while mask.has_pending:
            mask.process_pending(_TIME_BUDGET_S)
            progress.report(mask.operations.fraction_done)
    finally:
        progress.close()
        progress.deleteLater()
