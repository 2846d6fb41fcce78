"""What the keys of the table do."""

from collections.abc import Callable

from napari_pathseg.ui.panels.annotate.annotate import AnnotatePanel
from napari_pathseg.ui.panels.review import ReviewPanel
from napari_pathseg.ui.panels.slides.slides import SlidesPanel
from napari_pathseg.ui.tools import TOOLS

_CLASSES = 9  # that have a key


def key_actions(slides: SlidesPanel, outline: AnnotatePanel, review: ReviewPanel) -> dict[str, Callable[[], None]]:
    """Return what is done by the name that the table of keys gives it."""
    actions: dict[str, Callable[[], None]] = {
        "next_slide": lambda: slides.step(1),
        "previous_slide": lambda: slides.step(-1),
        "undo": outline.undo_step,
        "redo": outline.redo_step,
        "clean": outline.clean_up.click,
        "select": outline.select.click,
        "complete_box": outline.complete_box.click,
        "accept": review.accept_view,
        "reject": review.reject_view,
    }
    for tool in TOOLS:
        actions[tool.name] = lambda name=tool.name: outline.choose(name)  # type: ignore[misc]
    for number in range(1, _CLASSES + 1):
        actions[f"class_{number}"] = lambda number=number: outline.classes.select(number)  # type: ignore[misc]
    return actions
