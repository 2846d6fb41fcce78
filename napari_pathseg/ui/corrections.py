"""What is done to the mask in view beside the brush: outlines burnt in, the model's pixels accepted or rejected.

No Qt here; each is one step of undo.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_pathseg.data.geometry import Region
from napari_pathseg.data.mask import Mask
from napari_pathseg.data.mask.edits import accept, draw_contours, reject
from napari_pathseg.data.versions import ACCEPT_ALL, keep_version, keep_versions
from napari_pathseg.errors import ProjectError

if TYPE_CHECKING:
    from napari_pathseg.ui.session import Session


class Corrections:
    """The edits of a session's mask."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def burn_outlines(self, label: int) -> None:
        """Fill what is drawn on the contours layer into the mask as a class."""
        contours = self._session.layers.take_outlines(label)
        if contours:
            mask, entry = self._mask, self._session.in_view
            self._session.mask_edited(draw_contours(mask, contours, entry.downsample, self._locked))

    def accept_view(self) -> None:
        """Stand for the model's pixels on screen."""
        self._session.mask_edited(accept(self._mask, self._session.layers.view_region(), self._locked))

    def reject_view(self) -> None:
        """Take the model's pixels on screen away."""
        self._session.mask_edited(reject(self._mask, self._session.layers.view_region(), self._locked))

    def accept_slide(self) -> None:
        """Stand for all of the model's pixels; the mask as it was is kept as a version."""
        self._session.save_mask()
        keep_version(self._session.opened, self._session.in_view.id, ACCEPT_ALL)
        self._session.mask_edited(accept(self._mask, self._whole, self._locked))

    def reject_slide(self) -> None:
        """Take all of the model's pixels away."""
        self._session.mask_edited(reject(self._mask, self._whole, self._locked))

    def keep_versions(self, why: str) -> None:
        """Keep all masks as they are now; where the disk refuses that is said, and work goes on."""
        try:
            keep_versions(self._session.opened, why)
        except ProjectError as error:
            self._session.said.emit(str(error), "", "warning")

    @property
    def _mask(self) -> Mask:
        if self._session.mask is None:
            raise ProjectError("No slide is in view. Add one, or double-click one in the list.")
        return self._session.mask

    @property
    def _whole(self) -> Region:
        return Region(0, 0, *self._mask.shape)

    @property
    def _locked(self) -> frozenset[int]:
        layer = self._session.layers.mask
        return frozenset() if layer is None else layer.locked_classes
