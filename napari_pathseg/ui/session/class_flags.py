"""Which classes are locked, and which are hidden: marks that a person sets in the table of classes.

Locked classes are remembered by the project: no tool changes their pixels.  Hidden ones are
only not shown, until the project is opened again.  No Qt here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_pathseg.ui.session.session import Session

_SETTING = "locked"


def locked(session: Session) -> frozenset[int]:
    """Return the classes whose pixels stay as they are."""
    if session.project is None:
        return frozenset()
    known, kept = range(1, len(session.project.classes) + 1), session.project.settings.get(_SETTING)
    return frozenset(index for index in kept if index in known) if isinstance(kept, list) else frozenset()


def lock(session: Session, index: int, is_locked: bool) -> None:
    """Lock a class or free it; the project remembers.

    Raises
    ------
    ProjectError
        If the project can only be looked at.
    """
    session.access.require_writable()
    session.require_project().set_setting(_SETTING, sorted(_marked(locked(session), index, is_locked)))
    recall_locked(session)


def recall_locked(session: Session) -> None:
    """Tell the layer of the slide in view which classes are locked."""
    if session.layers.mask is not None:
        session.layers.mask.locked_classes = locked(session)


def hidden(session: Session) -> frozenset[int]:
    """Return the classes that are not shown."""
    layer = session.layers.mask
    return frozenset() if layer is None else layer.hidden_classes


def hide(session: Session, index: int, is_hidden: bool) -> None:
    """Hide a class or show it again."""
    layer = session.layers.mask
    if layer is not None and (index in layer.hidden_classes) != is_hidden:
        layer.set_hidden_classes(_marked(layer.hidden_classes, index, is_hidden))


def _marked(marked: frozenset[int], index: int, wanted: bool) -> frozenset[int]:
    return marked | {index} if wanted else marked - {index}
