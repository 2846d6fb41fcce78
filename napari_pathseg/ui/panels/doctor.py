"""The dialog that checks the installation: what works on this computer, what does not, and what to do about it.

The checks are made by another process, one after the other, and are shown as they come.
"""

import json
import sys
from pathlib import Path

from qtpy.QtCore import QProcess, QSize, Qt
from qtpy.QtGui import QCloseEvent, QHideEvent
from qtpy.QtWidgets import QApplication, QDialog, QFrame, QGridLayout, QScrollArea, QSizePolicy, QWidget

from napari_pathseg.doctor.examination import CHECKS, report, summary
from napari_pathseg.doctor.finding import Finding
from napari_pathseg.ui.widgets.layout import column, push_button, row
from napari_pathseg.ui.widgets.plain_text import PlainLabel
from napari_pathseg.ui.widgets.theme import HALF_SPACING, SPACING, SecondaryLabel

_SIZE = QSize(680, 560)
_MARGIN = 12
_SIGNS = {"ok": ("✓", "#009e73"), "warning": ("!", "#e69f00"), "fault": ("✕", "#d55e00")}  # of Okabe and Ito
_END_MS = 1000  # for the process to end what it has started


class DoctorDialog(QDialog):
    """Shows the findings of all checks.

    Parameters
    ----------
    folder
        A project, or the folder whose disk is checked.
    """

    def __init__(self, folder: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Doctor")
        self.resize(_SIZE)
        self._folder = folder
        self._process: QProcess | None = None
        self.findings: list[Finding] = []
        self.state = SecondaryLabel("")
        self.area = QScrollArea()
        self.area.setWidgetResizable(True)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.copy = push_button("Copy report", "Copy what was found as text. It names no user, computer or folder.")
        self.again = push_button("Check again", "Make all checks again, after you have changed something.")
        self.close_button = push_button("Close", "Close this window.")
        column(self, self.state, self.area, row(self.copy, self.again, None, self.close_button))
        layout = self.layout()
        assert layout is not None
        layout.setContentsMargins(_MARGIN, _MARGIN, _MARGIN, _MARGIN)
        self.copy.clicked.connect(self.copy_report)
        self.again.clicked.connect(self.start)
        self.close_button.clicked.connect(self.close)
        self.start()

    def start(self) -> None:
        """Make all checks; those that were made are forgotten."""
        self._stop()
        self.findings = []
        inside = QWidget()
        self._rows = QGridLayout(inside)
        self._rows.setContentsMargins(0, 0, SPACING, 0)
        self._rows.setHorizontalSpacing(SPACING)
        self._rows.setVerticalSpacing(HALF_SPACING)
        self._rows.setColumnStretch(2, 1)
        self._rows.setRowStretch(2 * len(CHECKS), 1)
        self.area.setWidget(inside)
        process = QProcess(self)
        process.readyReadStandardOutput.connect(self._read)
        process.finished.connect(self._ended)
        process.errorOccurred.connect(self._ended)
        self._process = process
        process.start(sys.executable, ["-m", "napari_pathseg.doctor", str(self._folder)])
        self._show_state()

    @property
    def running(self) -> bool:
        """Whether checks are being made."""
        return self._process is not None

    def copy_report(self) -> None:
        """Copy what was found so far."""
        clipboard = QApplication.clipboard()
        assert clipboard is not None
        clipboard.setText("\n".join(report(self.findings)))

    def closeEvent(self, event: QCloseEvent | None) -> None:  # noqa: N802
        """End the checks."""
        self._stop()
        super().closeEvent(event)

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802
        """End the checks when Escape, or the window below, closes this one."""
        if event is not None and not event.spontaneous():  # not when it is minimised
            self._stop()
        super().hideEvent(event)

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.blockSignals(True)
        process.terminate()
        if not process.waitForFinished(_END_MS):
            process.kill()
            process.waitForFinished(_END_MS)
        process.deleteLater()

    def _read(self) -> None:
        while self._process is not None and self._process.canReadLine():
            finding = Finding(**json.loads(self._process.readLine().data()))
            self._add(finding)
            self.findings.append(finding)
        self._show_state()

    def _add(self, finding: Finding) -> None:
        """Show a finding below the others."""
        at = 2 * len(self.findings)
        sign, color = _SIGNS[finding.state]
        texts = (sign, finding.name, finding.what)
        top = Qt.AlignmentFlag.AlignTop
        for place, text in enumerate(texts):
            label = PlainLabel(text)
            if place == 2:
                _wrap(label)
                self._rows.addWidget(label, at, place)
            else:
                bold = "font-weight: bold;" + (f" color: {color};" if place == 0 else "")
                label.setStyleSheet(bold)
                self._rows.addWidget(label, at, place, top)
        if finding.remedy:
            remedy = SecondaryLabel(finding.remedy)
            _wrap(remedy)
            self._rows.addWidget(remedy, at + 1, 2)

    def _ended(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.deleteLater()
        self._show_state()

    def _show_state(self) -> None:
        done = len(self.findings)
        self.copy.setEnabled(bool(done))
        if self._process is not None and done < len(CHECKS):
            self.state.setText(f"Checking {list(CHECKS)[done]} ({done + 1} of {len(CHECKS)})…")
        elif done < len(CHECKS):
            name = list(CHECKS)[done]
            self.state.setText(f"The checks ended at {name}, and were not all made. {summary(self.findings)}")
        else:
            self.state.setText(summary(self.findings))


def _wrap(label: PlainLabel | SecondaryLabel) -> None:
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)  # a long word widens no window
    policy.setHeightForWidth(True)
    label.setSizePolicy(policy)
