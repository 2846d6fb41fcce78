"""Work in the window's own thread that may take long: a small window says how far it is, once that is felt."""

from collections.abc import Callable

from qtpy.QtCore import QCoreApplication, QEventLoop, Qt
from qtpy.QtWidgets import QProgressDialog, QWidget

from napari_pathseg.masks import Mask

_SHOW_AFTER_MS, _STEPS = 400, 1000
_TIME_BUDGET_S = 0.05


class BusyDialog(QProgressDialog):
    """Says how far something is; once it is seen the window takes nothing but its Cancel, where it has one."""

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
        kinds = QEventLoop.ProcessEventsFlag
        # until it is shown it keeps nothing else away: what a hand does then comes after
        QCoreApplication.processEvents(kinds.AllEvents if self.isVisible() else kinds.ExcludeUserInputEvents)
        return bool(self.wasCanceled())


def run_with_progress(text: str, job: Callable[[Callable[[float], bool]], bool], parent: QWidget | None = None) -> bool:
    """Run a job that tells how far it is, and ends where that returns True; return what it returns."""
    progress = BusyDialog(text, parent)
    try:
        return job(progress.report)
    finally:
        progress.close()
        progress.deleteLater()


def settle(mask: Mask, parent: QWidget | None = None) -> None:
    """Carry out what waits on a mask, and say so where that takes long."""
    progress = BusyDialog("Bringing all into the mask…", parent, cancel=False)
    try:
        while mask.has_pending:
            mask.process_pending(_TIME_BUDGET_S)
            progress.report(mask.operations.fraction_done)
    finally:
        progress.close()
        progress.deleteLater()
