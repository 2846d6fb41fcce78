"""Prompt for the pixel size of slides whose files do not state it."""

from qtpy.QtWidgets import QWidget

from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_settings import SlideChanges
from napari_pathseg.ui.session.formatting import plural
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.layout import column, push_button, row
from napari_pathseg.ui.widgets.notifications import show_errors
from napari_pathseg.ui.widgets.plain_text import plain
from napari_pathseg.ui.widgets.spin_box import ScientificFloat
from napari_pathseg.ui.widgets.theme import SecondaryLabel

_DEFAULT_MPP = 0.5  # a scan at 20x


def slides_without_pixel_size(project: Project) -> list[str]:
    """Return the slides whose pixel size is missing, except those for which the user does not know it."""
    if project.mpp is None:  # the project works in pixels
        return []
    unknown = project.state.slides_of_unknown_pixel_size
    return [record.id for record in project.slides.values() if record.mpp is None and record.id not in unknown]


class PixelSizePrompt(QWidget):
    """Asks once for missing pixel sizes; hidden if there are none."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.text = SecondaryLabel()
        self.mpp = ScientificFloat(
            value=_DEFAULT_MPP,
            min=0.01,
            max=100,
            step=0.05,
            tooltip="Micrometres per pixel: about 0.25 at 40x, 0.5 at 20x, 1 at 10x.",
        )
        self.mpp.native.setSuffix(" µm")
        self.set_size = push_button(
            "Set", "These slides have this pixel size. A slide's menu (right-click) changes it."
        )
        self.unknown = push_button("Not known", "Their areas are shown in pixels, and you are not asked again.")
        column(self, self.text, row(self.mpp.native, self.set_size, self.unknown))
        self.set_size.clicked.connect(self._set)
        self.unknown.clicked.connect(self._mark_unknown)
        session.project_changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the slides whose pixel size is missing."""
        project = self._session.project
        slides = [] if project is None else slides_without_pixel_size(project)
        self.setVisible(bool(slides))
        if slides:
            which = f"{slides[0]} does" if len(slides) == 1 else f"{plural(len(slides), 'slide')} do"
            self.text.setText(f"{which} not state a pixel size.")
            self.text.setToolTip(plain("\n".join(slides[:20])))

    def _set(self) -> None:
        with show_errors():
            slides = slides_without_pixel_size(self._session.require_project())
            self._session.change_slides(slides, SlideChanges(pixel_size=self.mpp.value))

    def _mark_unknown(self) -> None:
        with show_errors():
            project = self._session.require_project()
            with project.edit_state() as state:
                unknown = {*state.slides_of_unknown_pixel_size, *slides_without_pixel_size(project)}
                state.slides_of_unknown_pixel_size = unknown & set(project.slides)
            self._session.project_changed.emit()
