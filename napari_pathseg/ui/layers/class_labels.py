"""A labels layer that knows a project's classes: names, colours, and which are locked or hidden."""

from collections.abc import Callable
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_pathseg.classes import BACKGROUND, ClassTable
from napari_pathseg.masks.label_rules import NONE_LOCKED, Locked
from napari_pathseg.ui.layers.mask_data import UNREVIEWED_OFFSET

_UNREVIEWED_OPACITY = 0.45  # opacity of unreviewed pixels relative to human-confirmed ones
_UNREVIEWED_LINE_OPACITY = 0.7  # the same for outlines, which are thin
_UNLABELLED = "unlabelled"


class TableColormap(DirectLabelColormap):  # type: ignore[misc]
    """A colormap that maps uint8 labels by indexing.

    Where numba is installed napari would compile its own mapping at the first layer of a session; that takes three
    seconds, in which the window does not respond.
    """

    def _map_without_cache(self, values: Any) -> Any:
        """Return the colour of each label, whether selected or not."""
        if values.dtype != np.uint8:
            return super()._map_without_cache(values)
        table = np.array([self.color_dict.get(label, self.default_color) for label in range(256)], np.float32)
        return table[values]


class ClassLabels(Labels):  # type: ignore[misc]
    """Base of both mask layers: their classes and how these are drawn.

    Attributes
    ----------
    hidden_classes
        Classes that are not shown; change them with :meth:`set_hidden_classes`.
    is_complete_at
        Whether unlabelled means Background at a position in the viewer's world.
    """

    selected_label: Any  # napari's property
    contour: int  # napari's: pixels of the shown level, 0 where areas are shown
    hidden_classes: frozenset[int] = frozenset()
    is_complete_at: Callable[[Any], bool] = staticmethod(lambda _: False)
    _classes_locked: Locked = NONE_LOCKED

    @property
    def locked_classes(self) -> Locked:
        """The classes whose pixels no tool changes; the preview of a stroke respects them too."""
        return self._classes_locked

    @locked_classes.setter
    def locked_classes(self, locked: Locked) -> None:
        self._classes_locked = self.data.locked = locked

    @property
    def _type_string(self) -> str:
        return "labels"

    @property
    def classes(self) -> ClassTable:
        """The classes whose names and colours are shown."""
        return self._classes

    def set_classes(self, classes: ClassTable) -> None:
        """Set the names and colours of the classes."""
        self._classes = classes
        if self.selected_label not in (0, *classes.numbers):  # it was removed
            self.selected_label = classes.specs[1].index
        self.colormap = class_colors(
            classes, self.hidden_classes, _UNREVIEWED_LINE_OPACITY if self.contour else _UNREVIEWED_OPACITY
        )
        self.features = {"index": [0, *(spec.index for spec in classes)], "class": [_UNLABELLED, *classes.names]}

    def get_status(self, position: Any = None, **options: Any) -> dict[str, str]:
        """Return napari's texts for its status bar; unlabelled is Background where the annotation is complete."""
        status: dict[str, str] = super().get_status(position, **options)
        if position is None or not any(text.endswith(_UNLABELLED) for text in status.values()):
            return status
        place = position if options.get("world") else self.data_to_world(position)
        if not self.is_complete_at(place):
            return status
        background = self._classes.name_of(BACKGROUND)
        return {name: text.removesuffix(_UNLABELLED) + background for name, text in status.items()}

    def set_hidden_classes(self, hidden: frozenset[int]) -> None:
        """Hide these classes and show all others."""
        self.hidden_classes = hidden
        self.set_classes(self._classes)

    def set_contour_width(self, width: int) -> None:
        """Show outlines of this width, in pixels of the level shown, instead of areas; 0 shows areas again."""
        if width != self.contour:
            toggled = (width > 0) != (self.contour > 0)
            self.contour = width
            if toggled:
                self.set_classes(self._classes)


def class_colors(
    classes: ClassTable, hidden: frozenset[int] = frozenset(), unreviewed_opacity: float = _UNREVIEWED_OPACITY
) -> TableColormap:
    """Return a colormap of the classes: lighter for unreviewed model pixels, transparent for hidden classes."""
    colors: dict[int | None, Any] = {None: (0, 0, 0, 0), 0: (0, 0, 0, 0)}
    for spec in classes:
        red, green, blue = (part / 255 for part in spec.rgb)
        visible = spec.index not in hidden
        colors[spec.index] = (red, green, blue, float(visible))
        colors[spec.index + UNREVIEWED_OFFSET] = (red, green, blue, unreviewed_opacity * visible)
    return TableColormap(color_dict=colors)


@ClassLabels.bind_key("M", overwrite=True)  # type: ignore[untyped-decorator]
def _no_new_label(_: ClassLabels) -> None:
    """Do nothing at napari's key for the next unused label: a mask has the labels of classes alone."""
