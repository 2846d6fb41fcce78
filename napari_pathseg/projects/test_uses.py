"""How often the test slides of a project were used: a set that decides what is trained next is no test any more.

``test_uses.jsonl`` in the project folder gets a line each time a model is scored on slides of the role test.
"""

from collections.abc import Sequence
from typing import TypedDict

from napari_pathseg.projects import roles
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.json_lines import append_line, read_lines
from napari_pathseg.storage.json_schema import Name

FILE = "test_uses.jsonl"
_MAX_BYTES = 16 << 20


class TestSetUse(TypedDict):
    """One use of test slides: when, the model, what was done, and the slides."""

    time: str
    model: Name
    use: str
    slides: list[Name]


def log_test_use(project: Project, model: str, use: str, slides: Sequence[str]) -> None:
    """Note that a model was used on slides; those that are no test slides are left out."""
    test = [name for name in slides if project.slide(name).role == roles.TEST]
    if test:
        append_line(project.folder / FILE, {"model": model, "use": use, "slides": test})


def read_test_uses(project: Project) -> list[TestSetUse]:
    """Return all uses of test slides, the first one first."""
    return list(read_lines(project.folder / FILE, TestSetUse, _MAX_BYTES))
