import pytest

from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.skipped_places import FILE, load_skipped, offer_again, offer_all_again, skip_place

FIRST, SECOND = Region(0, 0, 64, 64), Region(64, 0, 64, 64)


def test_skipped_places_are_remembered_by_the_project(project):
    assert load_skipped(project) == {}
    for region in (FIRST, SECOND, FIRST):
        skip_place(project, "case0", region)
    assert load_skipped(Project.open(project.folder)) == {"case0": [FIRST, SECOND]}


def test_skipped_place_can_be_offered_again_alone_or_with_all_others(project):
    for region in (FIRST, SECOND):
        skip_place(project, "case0", region)
    skip_place(project, "case1", FIRST)
    offer_again(project, "case1", FIRST)
    offer_again(project, "case0", FIRST)
    assert load_skipped(project) == {"case0": [SECOND]}
    offer_all_again(project)
    assert load_skipped(project) == {}


@pytest.mark.parametrize("content", ["{", '{"format": 1, "slides": {"case0": [[1, 2, "a", 4]]}}', "[]"])
def test_damaged_list_of_skipped_places_is_an_error_that_says_what_to_do(project, content):
    (project.folder / FILE).write_text(content)
    with pytest.raises(ProjectError, match=f"{FILE} is damaged: .*(Delete it|Restore it)"):
        load_skipped(project)
