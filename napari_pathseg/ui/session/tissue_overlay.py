"""The tissue of the slide in view as a layer: shown on request, editable, saved with the project."""

from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_pathseg.projects.project import Project
from napari_pathseg.projects.tissue_masks import forget_tissue, load_tissue, save_tissue
from napari_pathseg.slides.tissue import TissueMask
from napari_pathseg.ui.layers.slide_layers import METADATA_KEY, layer_transform
from napari_pathseg.ui.session.workspace import Workspace

_COLOR = "#3ec1d3"
_OPACITY = 0.35


class TissueOverlay:
    """Shows and hides the tissue; edits are saved when the layer or the slide is closed."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._layer: Labels | None = None
        self._project: Project | None = None
        self._tissue: TissueMask | None = None
        self._slide = ""
        workspace.slide_changed.connect(self.hide)

    @property
    def shown(self) -> bool:
        """Whether the tissue is shown."""
        return self._layer is not None and self._layer in self._workspace.layers.viewer.layers

    @property
    def area_mm2(self) -> float | None:
        """The area of the tissue shown; None if the pixel size is unknown."""
        return None if self._tissue is None else self._edited(self._tissue).area_mm2

    def toggle(self) -> None:
        """Show the tissue of the slide in view, or hide it."""
        if self.shown:
            self.hide()
        else:
            self.show()

    def show(self) -> None:
        """Detect the tissue, or load the edited one, and show it."""
        self._keep()
        entry = self._workspace.require_slide()
        self._project, self._slide = self._workspace.require_project(), entry.id
        self._tissue = load_tissue(self._project, entry.id)
        colors = DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", 1: _COLOR})
        self._layer = Labels(
            self._tissue.pixels.astype(np.uint8),
            name=f"{entry.id} · tissue",
            opacity=_OPACITY,
            colormap=colors,
            metadata={METADATA_KEY: {"slide": entry.id, "role": "tissue"}},
            **layer_transform(entry.mpp, self._tissue.downsample),
        )
        self._layer.selected_label = 1
        self._layer.brush_size = 5
        self._layer.events.paint.connect(self._keep)  # a stroke is on disk when it ends
        self._workspace.layers.viewer.add_layer(self._layer)

    def hide(self) -> None:
        """Save edits and remove the layer."""
        self._keep()
        if self.shown:
            self._workspace.layers.viewer.layers.remove(self._layer)
        self._layer = self._tissue = None

    def find_again(self) -> None:
        """Discard edits and detect the tissue again."""
        self._tissue = None
        self.hide()
        forget_tissue(self._workspace.require_project(), self._workspace.require_slide().id)
        self.show()

    def _keep(self, *_: Any) -> None:
        """Save edits."""
        if self._tissue is None or self._project is None or self._slide not in self._project.slides:
            return
        edited = self._edited(self._tissue)
        if edited is not self._tissue:
            save_tissue(self._project, self._slide, edited)
            self._tissue = edited

    def _edited(self, tissue: TissueMask) -> TissueMask:
        """Return the tissue as shown; the same object if nothing was edited."""
        painted = tissue.pixels if self._layer is None else np.asarray(self._layer.data) > 0
        return tissue if np.array_equal(painted, tissue.pixels) else tissue.edit(painted)
