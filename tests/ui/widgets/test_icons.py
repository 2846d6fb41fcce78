import pytest
from qtpy.QtGui import QPalette

from napari_pathseg.ui.tools.registry import TOOLS
from napari_pathseg.ui.widgets.icons import themed_icon


@pytest.mark.parametrize("name", [tool.name for tool in TOOLS])
def test_icons_have_the_text_colour_of_the_theme(dock, viewer, name):
    from napari.settings import get_settings

    colors = []
    button = dock.annotate.tools[name]
    for theme in ("dark", "light"):
        get_settings().appearance.theme = theme
        image = themed_icon(name, button).pixmap(40, 40).toImage()
        shown = {
            image.pixelColor(x, y).rgb() for x in range(40) for y in range(40) if image.pixelColor(x, y).alpha() == 255
        }
        assert button.palette().color(QPalette.ColorRole.WindowText).rgb() in shown
        colors.append(shown)
    get_settings().appearance.theme = "dark"
    assert colors[0] != colors[1]
