import numpy as np
import pytest
from napari.utils.colormaps import DirectLabelColormap

from napari_pathseg.classes import class_table
from napari_pathseg.ui.layers.class_labels import class_colors


@pytest.mark.parametrize("selection", [None, 2])
def test_thumbnail_has_the_colours_that_napari_would_give(selection):
    colors = class_colors(class_table([("Background", "#96c896"), ("Tumour", "#c80000")]), hidden=frozenset({1}))
    napari = DirectLabelColormap(color_dict=colors.color_dict)
    if selection is not None:
        for colormap in (colors, napari):
            colormap.selection, colormap.use_selection = selection, True
    labels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.allclose(colors.map(labels), napari.map(labels))


def test_first_thumbnail_compiles_nothing(monkeypatch):
    monkeypatch.setattr(DirectLabelColormap, "_map_without_cache", lambda *_: pytest.fail("napari's mapping was used"))
    colors = class_colors(class_table([("Background", "#96c896"), ("Tumour", "#c80000")]))
    assert colors.map(np.full((2, 2), 2, np.uint8)).shape == (2, 2, 4)
