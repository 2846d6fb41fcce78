"""The area of each class on the slide in view as text, fast enough to update while painting."""

from dataclasses import dataclass

from napari_pathseg.projects.areas import class_areas
from napari_pathseg.ui.session.formatting import format_area
from napari_pathseg.ui.session.tissue import TissueCache
from napari_pathseg.ui.session.workspace import Workspace


@dataclass(frozen=True)
class ClassAreaText:
    """The area of a class on the slide in view, and its share of the tissue, as text."""

    area: str
    percent: str


class ClassAreas:
    """The class areas of the slide in view, fast enough to be read at every stroke.

    They are those of exported tables, see `projects.areas`.

    Attributes
    ----------
    tissue
        The slide's tissue; call its :meth:`~.TissueCache.update` until it is detected.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace, self.tissue = workspace, TissueCache(workspace)

    @property
    def of_tissue(self) -> bool:
        """True if shares are known, which are always of the tissue."""
        return self.tissue.pixel_count is not None

    def by_class(self) -> dict[int, ClassAreaText]:
        """Return the areas by class; unlabelled pixels of complete slides and boxes count as Background."""
        record, project, mask = self._workspace.slide, self._workspace.project, self._workspace.mask
        if record is None or project is None or mask is None:
            return {}
        areas = class_areas(project.classes, record, self._workspace.counts(record.id), mask, self.tissue.sampled)
        return {
            index: ClassAreaText(
                format_area(area.pixels, record.mask_mpp),
                f"{area.percent_of_tissue:.0f} %" if area.pixels and area.percent_of_tissue is not None else "",
            )
            for index, area in areas.items()
        }
