"""How much of the slide in view is of each class, as a person reads it while painting; no Qt."""

from dataclasses import dataclass

from napari_pathseg.data.classes import BACKGROUND
from napari_pathseg.ui.box_rest import rest_of_boxes
from napari_pathseg.ui.session import Session
from napari_pathseg.ui.summary import area_text
from napari_pathseg.ui.tissue_pixels import TissuePixels


@dataclass(frozen=True)
class ClassArea:
    """How much of the slide in view is of a class, in words, and as a share."""

    area: str
    percent: str


class Areas:
    """The areas of a session's slide; they are asked for at every stroke, so that the window never waits for them.

    `tissue` knows how much of the slide is tissue, once it was made to look.
    """

    def __init__(self, session: Session) -> None:
        self._session, self.tissue = session, TissuePixels(session)

    @property
    def of_tissue(self) -> bool:
        """Whether shares are of the tissue, and not of what is labelled."""
        return self.tissue.of_slide is not None

    def by_class(self) -> dict[int, ClassArea]:
        """Return the areas by class; where it is complete the rest is Background.

        Shares are of the tissue, where that was found, else of what is labelled.
        """
        entry, project, mask = self._session.slide, self._session.project, self._session.mask
        if entry is None or project is None:
            return {}
        pixels = self._session.counts(entry.id).sum(axis=1)
        tissue = self.tissue.of_slide
        found = int(pixels[BACKGROUND + 1 :].sum())
        if entry.complete:
            rows, columns = entry.mask_shape
            pixels[BACKGROUND] = rows * columns - found
        elif entry.boxes and mask is not None:
            pixels[BACKGROUND] += rest_of_boxes(entry, mask)
        whole = int(pixels[1:].sum()) if tissue is None else tissue
        shares = pixels / max(whole, 1)
        if tissue is not None:  # glass is Background too, but no tissue
            shares[BACKGROUND] = max(0.0, min(shares[BACKGROUND], 1 - found / max(whole, 1)))
        areas = {}
        for spec in project.classes:
            number = int(pixels[spec.index])
            percent = f"{100 * shares[spec.index]:.0f} %" if number else ""
            areas[spec.index] = ClassArea(area_text(number, entry.mask_mpp), percent)
        return areas
