import os
import shutil

import pytest
import tifffile

from napari_pathseg.errors import ConfigError, ProjectError, UnsupportedSlideError
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.relink import find_moved, missing, relink


def result(job):
    """Return what a search found, and its steps."""
    steps = []
    while True:
        try:
            steps.append(next(job))
        except StopIteration as end:
            return end.value, steps


def search(project, folder, **options):
    return result(find_moved(project, folder, **options))[0]


@pytest.fixture
def moved(project, slides, tmp_path):
    """The folder to which all six slides went."""
    folder = tmp_path / "elsewhere" / "archive"
    folder.mkdir(parents=True)
    for path in slides:
        path.rename(folder / path.name)
    return folder


def test_a_project_with_its_slides_misses_none(project):
    assert missing(project) == []


def test_moved_slides_are_missed_found_below_a_folder_and_linked(project, moved, tmp_path):
    assert [entry.id for entry in missing(project)] == [f"case{n}" for n in range(6)]
    found = search(project, tmp_path)
    assert found == {f"case{n}": moved / f"case{n}.tif" for n in range(6)}
    relink(project, found)
    again = Project.open(project.folder)
    assert missing(again) == []
    assert again.slide("case0").relative_path == os.path.join("elsewhere", "archive", "case0.tif")
    with again.open_slide("case0") as slide:
        assert slide.shape == (192, 192)


def test_renamed_slides_are_known_by_their_content(project, moved, tmp_path):
    (moved / "case2.tif").rename(moved / "A17.TIFF")
    assert search(project, tmp_path)["case2"] == moved / "A17.TIFF"


def test_names_that_changed_places_do_not_mislead(project, moved, tmp_path):
    (moved / "case0.tif").rename(moved / "x.tif")
    (moved / "case1.tif").rename(moved / "case0.tif")
    (moved / "x.tif").rename(moved / "case1.tif")
    found = search(project, tmp_path)
    assert found["case0"] == moved / "case1.tif"
    assert found["case1"] == moved / "case0.tif"


def test_the_namesake_is_taken_before_a_copy(project, moved, tmp_path):
    shutil.copy(moved / "case0.tif", tmp_path / "a copy.tif")
    assert search(project, tmp_path)["case0"] == moved / "case0.tif"


def test_a_file_of_the_same_name_and_other_content_is_not_taken(project, slides, tmp_path):
    slides[0].unlink()
    (tmp_path / "new").mkdir()
    shutil.copy(slides[1], tmp_path / "new" / "case0.tif")
    assert search(project, tmp_path / "new") == {}


def test_the_file_of_a_slide_that_is_there_is_not_given_to_its_missing_twin(project, slides, tmp_path):
    project.update_slide("case0", fingerprint=project.slide("case1").fingerprint)
    slides[0].unlink()
    assert search(project, tmp_path) == {}


def test_all_slides_of_one_file_are_found_together(project, slides, tmp_path):
    entry = project.slide("case0")
    project.update_slide("case1", path=entry.path, relative_path=entry.relative_path, fingerprint=entry.fingerprint)
    there = slides[0].rename(tmp_path / "stack.tif")
    assert search(project, tmp_path) == {"case0": there, "case1": there}


def test_a_search_shows_how_far_it_is(project, moved, tmp_path):
    (moved / "case5.tif").rename(moved / "other.tif")
    found, steps = result(find_moved(project, tmp_path))
    assert len(found) == 6
    assert all(step.missing == 6 for step in steps)
    assert [len(step.paths) for step in steps] == sorted(len(step.paths) for step in steps)
    assert steps[0].folder == tmp_path


def test_a_search_ends_in_time_with_what_it_has(project, moved, tmp_path):
    assert search(project, tmp_path, seconds=-1) == {}


@pytest.mark.skipif(os.name == "nt", reason="making links takes rights there")
def test_links_in_circles_end(project, moved, tmp_path):
    (moved / "up").symlink_to(tmp_path, target_is_directory=True)
    (moved / "self.tif").symlink_to(moved / "self.tif")
    assert len(search(project, tmp_path)) == 6


def test_nothing_is_looked_for_in_projects(project, moved, tmp_path):
    inside = tmp_path / "old.pathseg" / "contours"
    inside.mkdir(parents=True)
    (moved / "case0.tif").rename(inside / "case0.tif")
    assert "case0" not in search(project, tmp_path)


def test_files_that_are_no_slides_are_passed_over(project, moved, tmp_path):
    (moved / "case0.tif").write_text("")
    (moved / "notes.txt").write_text("mine")
    assert set(search(project, tmp_path)) == {f"case{n}" for n in range(1, 6)}


def test_a_file_is_no_folder_to_look_in(project, slides):
    with pytest.raises(ConfigError, match=r"case0\.tif is not a folder. Choose the folder"):
        next(find_moved(project, slides[0]))


def test_another_slide_is_refused_by_name_and_nothing_is_linked(project, moved):
    with pytest.raises(ProjectError, match=r"case1\.tif is the slide case1, not case0. Choose the file that case0 was"):
        relink(project, {"case2": moved / "case2.tif", "case0": moved / "case1.tif"})
    assert len(missing(Project.open(project.folder))) == 6
    assert len(missing(project)) == 6


def test_file_with_other_content_is_refused(project, slides, tmp_path):
    pixels = tifffile.imread(slides[0])
    saved_anew = tmp_path / "anew.tif"
    tifffile.imwrite(saved_anew, pixels, photometric="rgb")
    slides[0].unlink()
    with pytest.raises(ProjectError, match=r"anew\.tif is another file than the one that was added, not case0"):
        relink(project, {"case0": saved_anew})
    assert project.slide("case0").path == str(slides[0])


def test_file_of_another_size_is_refused_and_nothing_is_linked(project, moved):
    project.update_slide("case0", shape=(50, 60))
    with pytest.raises(ProjectError, match=r"case0\.tif has 192 x 192 pixels; it had 50 x 60"):
        relink(project, {"case1": moved / "case1.tif", "case0": moved / "case0.tif"})
    assert len(missing(project)) == 6


def test_a_file_that_is_not_there_is_named(project, tmp_path):
    with pytest.raises(UnsupportedSlideError, match=r"gone\.tif does not exist"):
        relink(project, {"case0": tmp_path / "gone.tif"})
