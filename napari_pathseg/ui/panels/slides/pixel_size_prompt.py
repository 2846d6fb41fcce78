"""The one question that slides may leave: how large a pixel is, where their files do not say it."""

from qtpy.QtWidgets import QDoubleSpinBox, QWidget

from napari_pathseg.projects.project import Project
from napari_pathseg.ui.session.formatting import plural
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.layout import column, push_button, row
from napari_pathseg.ui.widgets.notifications import show_errors
from napari_pathseg.ui.widgets.theme import SecondaryLabel

_KEY = "pixel_size_not_known"  # in the project's settings: slides of which nobody knows it
_USUAL_MPP = 0.5  # a scan at 20x


def slides_without_pixel_size(project: Project) -> list[str]:
    """Return the slides whose pixel size nobody has told, nor said that it is not known."""
    if project.mpp is None:  # all is meant in pixels
        return []
    settled = set(project.settings.get(_KEY, []))
    return [entry.id for entry in project.slides.values() if entry.mpp is None and entry.id not in settled]


class PixelSizePrompt(QWidget):
    """Asks once for the pixel size of slides that do not say it; hidden where there is nothing to ask."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.text = SecondaryLabel()
        self.mpp = QDoubleSpinBox()
        self.mpp.setRange(0.01, 100)
        self.mpp.setDecimals(4)
        self.mpp.setSingleStep(0.05)
        self.mpp.setValue(_USUAL_MPP)
        self.mpp.setSuffix(" µm")
        self.mpp.setToolTip("How many micrometres a pixel covers: about 0.25 at 40x, 0.5 at 20x, 1 at 10x.")
        self.tell = push_button("Set", "These slides have this pixel size. A slide's menu (right-click) changes it.")
        self.unknown = push_button("Not known", "Their areas are told in pixels, and the question is not asked again.")
        column(self, self.text, row(self.mpp, self.tell, self.unknown))
        self.tell.clicked.connect(self._tell)
        self.unknown.clicked.connect(self._leave)
        session.project_changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Ask of the slides that leave the question."""
        project = self._session.project
        slides = [] if project is None else slides_without_pixel_size(project)
        self.setVisible(bool(slides))
        if slides:
            who = f"{slides[0]} does" if len(slides) == 1 else f"{plural(len(slides), 'slide')} do"
            self.text.setText(f"{who} not say how large a pixel is.")
            self.text.setToolTip("\n".join(slides[:20]))

    def _tell(self) -> None:
        with show_errors():
            project = self._session.require_project()
            slides, shown = slides_without_pixel_size(project), self._session.slide
            with project.write_lock():
                for slide in slides:
                    project.update_slide(slide, mpp=self.mpp.value())
            if shown is not None and shown.id in slides:
                self._session.show_slide(shown.id)
            self._session.project_changed.emit()

    def _leave(self) -> None:
        with show_errors():
            project = self._session.require_project()
            with project.write_lock():
                known = [*project.settings.get(_KEY, []), *slides_without_pixel_size(project)]
                project.settings[_KEY] = [slide for slide in known if slide in project.slides]
                project.save()
            self._session.project_changed.emit()
