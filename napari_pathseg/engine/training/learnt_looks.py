"""How the slides look that a model has learnt, for its bundle: see `inference.unlike_slides`."""

import logging
from collections.abc import Generator, Sequence

from napari_pathseg.engine.bundle import MOST_LOOKS, lineage
from napari_pathseg.engine.dataset.slide_looks import look_of
from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.events import Progress
from napari_pathseg.errors import PathsegError
from napari_pathseg.projects.project import Project
from napari_pathseg.slides.look import Look

_MEASURING, _OFTEN = "Describing the slides", 8  # the stage, which few slides do not need, and slides between reports
_logger = logging.getLogger(__name__)


def looks_of_learnt(
    project: Project, slides: Sequence[SlidePatchSource], parent: str | None
) -> Generator[Progress, None, dict[str, Look]]:
    """Return how training slides look, and those that the model `parent` has learnt; of many, some evenly spread."""
    looks, count = dict[str, Look](), min(len(slides), MOST_LOOKS)
    for number, slide in enumerate((slides[index * len(slides) // count] for index in range(count)), 1):
        if number % _OFTEN == 0:
            yield Progress(_MEASURING, number / count, 0.0)
        try:
            look = look_of(project, slide)
        except PathsegError as error:  # the model is trained all the same
            _logger.warning("%s", error)
            continue
        if look is not None:
            looks[slide.record.id] = look
    for model in lineage(project, parent)[:1]:
        looks = {**model.looks, **looks}
    return dict(list(looks.items())[-MOST_LOOKS:])
