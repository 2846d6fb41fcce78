"""What layers share whose pixels are read where one looks: napari must not read a whole level of them.

Like `mask_layer` this relies on napari's private API.
"""

from typing import Any


class ReadOnScreen:
    """Mix-in of a layer with levels, before napari's class.

    Attributes
    ----------
    slicing
        The class that reads what is on screen, and nothing for the thumbnail.
    """

    slicing: Any

    def _reset_thumbnail_level_data(self) -> None:
        super()._reset_thumbnail_level_data()  # type: ignore[misc]
        self._level_materializer = None  # it would cache the coarsest level

    def _get_layer_slicing_state(self, data: Any, cache: bool) -> Any:
        return self.slicing(self, data, cache)
