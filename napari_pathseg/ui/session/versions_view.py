"""Shows what two models have predicted of the slide in view, in turn or side by side; masks stay as they are."""

from psygnal import Signal

from napari_pathseg.errors import ProjectError
from napari_pathseg.masks.comparison import Opinion
from napari_pathseg.projects.model_weights import check_up_to_date
from napari_pathseg.ui.layers.versions_layer import TwoVersions
from napari_pathseg.ui.session.workspace import Workspace


class VersionsView:
    """Two models on the slide in view; `changed` is emitted when what is shown changes.

    Attributes
    ----------
    models
        The two, the older one first; empty while nothing is shown.
    share
        How much of the view, from the left, shows the first one.
    """

    changed = Signal()

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._versions: TwoVersions | None = None
        self._hid_mask = False
        self.models: tuple[str, ...] = ()
        self.share = 0.0
        workspace.slide_changed.connect(self._reload)

    @property
    def sentence(self) -> str:
        """What is shown; empty if nothing is."""
        if not self.models:
            return ""
        first, second = self.models
        if self.share in (0, 1):
            return f"Shown: {second if self.share == 0 else first}."
        return f"Left: {first}, right: {second}."

    def start(self, first: str, second: str) -> None:
        """Show the second model, of two that have predicted the slide in view, instead of the mask.

        Raises
        ------
        ProjectError
            If one of them has not.
        """
        versions = TwoVersions(self._opinion(first), self._opinion(second))
        self._versions, self.models, self.share = versions, (first, second), 0.0
        mask = self._workspace.layers.mask
        self._workspace.layers.show_versions(versions)
        if mask is not None and mask.visible:
            self._hid_mask, mask.visible = True, False
        self.changed.emit()

    def stop(self) -> None:
        """Show the mask again."""
        if not self.models:
            return
        self._versions, self.models = None, ()
        self._workspace.layers.show_versions(None)
        mask = self._workspace.layers.mask
        if self._hid_mask and mask is not None:
            mask.visible = True
        self._hid_mask = False
        self.changed.emit()

    def flicker(self) -> None:
        """Show the other of the two models."""
        self.swipe(0.0 if self.share > 0 else 1.0)

    def swipe(self, share: float) -> None:
        """Show the first model on so much of the view, from the left, and the second one on the rest."""
        if self._versions is None:
            return
        view = self._workspace.layers.visible_region()
        self.share = share
        split = 0 if share <= 0 else self._workspace.require_slide().mask_shape[1]
        self._versions.split = split if share in (0, 1) else round(view.left + share * view.width)
        self._workspace.layers.redraw_versions()
        self.changed.emit()

    def _reload(self) -> None:
        """Show the same two models on another slide, or the mask if they have not both predicted it."""
        if not self.models:
            return
        models, hid_mask = self.models, self._hid_mask
        if self._workspace.project is None or self._workspace.slide is None:
            self.stop()
            return
        try:
            self.start(*models)
            self._hid_mask |= hid_mask
        except ProjectError as error:
            self.stop()
            self._workspace.message.emit(str(error), "", "info")

    def _opinion(self, model: str) -> Opinion:
        project, record = self._workspace.require_project(), self._workspace.require_slide()
        found = project.find_prediction(model, record.id)
        if found is None or found.shape != record.mask_shape:
            raise ProjectError(f"{model} has not predicted {record.id} yet. Choose it, then press Predict slide.")
        check_up_to_date(project, model, found)
        return Opinion(record.mask_shape, found)
