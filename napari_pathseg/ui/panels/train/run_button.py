"""The button that starts a kind of job and, while one runs, stops it."""

from dataclasses import dataclass

from qtpy.QtWidgets import QPushButton

from napari_pathseg.ui.session.job_state import JobKind
from napari_pathseg.ui.session.session import Session


@dataclass(frozen=True)
class RunButtonTexts:
    """The text of the button and its tool-tips."""

    start: str
    start_help: str
    stop_help: str


def show_run_button(
    button: QPushButton, session: Session, kind: JobKind, texts: RunButtonTexts, *, ready: bool
) -> None:
    """Turn `button` into Stop while a job of `kind` runs; `ready` tells whether one could start."""
    run, active = session.training.run, session.training.active
    running = active and run is not None and run.kind == kind
    button.setText("Stop" if running else texts.start)
    button.setToolTip(texts.stop_help if running else texts.start_help)
    stopping = run is not None and run.stopping
    can_start = ready and not session.training.busy and session.project is not None and not session.read_only
    button.setEnabled((running and not stopping) or can_start)
