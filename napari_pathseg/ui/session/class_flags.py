"""Which classes are locked and which are hidden: the flags in the table of classes.

The project remembers locked classes; no tool changes their pixels.  Hidden classes are only not
shown, until the project is opened again.
"""

from napari_pathseg.ui.session.workspace import Workspace


class ClassFlags:
    """The flags of the open project's classes."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    @property
    def locked(self) -> frozenset[int]:
        """The classes whose pixels no tool changes."""
        project = self._workspace.project
        if project is None:
            return frozenset()
        return project.state.locked_classes & frozenset(range(1, len(project.classes) + 1))

    @property
    def hidden(self) -> frozenset[int]:
        """The classes that are not shown."""
        layer = self._workspace.layers.mask
        return frozenset() if layer is None else layer.hidden_classes

    def set_locked(self, index: int, locked: bool) -> None:
        """Lock or unlock a class; the project remembers it.

        Raises
        ------
        ProjectError
            If the project is read-only.
        """
        self._workspace.require_writable()
        with self._workspace.require_project().edit_state() as state:
            state.locked_classes = _with_flag(self.locked, index, locked)
        self.sync_locked()

    def set_hidden(self, index: int, hidden: bool) -> None:
        """Hide a class or show it again."""
        layer = self._workspace.layers.mask
        if layer is not None and (index in layer.hidden_classes) != hidden:
            layer.set_hidden_classes(_with_flag(layer.hidden_classes, index, hidden))

    def sync_locked(self) -> None:
        """Pass the locked classes on to the mask layer of the slide in view."""
        if self._workspace.layers.mask is not None:
            self._workspace.layers.mask.locked_classes = self.locked


def _with_flag(flags: frozenset[int], index: int, on: bool) -> frozenset[int]:
    return flags | {index} if on else flags - {index}
