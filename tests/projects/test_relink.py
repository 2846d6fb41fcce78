import os
import shutil

import pytest
import tifffile

from napari_pathseg.errors import ConfigError, ProjectError, UnsupportedSlideError
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.relink import find_moved, missing, relink


def run_search(generator):
    """Return the result of a search, and its steps."""
    steps = []
    while True:
        try:
            steps.append(next(generator))
        except StopIteration as end:
            return end.value, steps


def search(project, folder, **options):
    return run_search(find_moved(project, folder, **options))[0]


@pytest.fixture
def moved(project, slides, tmp_path):
    """The folder that all six slides were moved to."""
    folder = tmp_path / "elsewhere" / "archive"
    folder.mkdir(parents=True)
    for path in slides:
        path.rename(folder / path.name)
    return folder


def test_project_with_all_its_files_misses_no_slide(project):
    assert missing(project) == []


def test_moved_slides_are_found_in_subfolders_and_relinked(project, moved, tmp_path):
    assert [record.id for record in missing(project)] == [f"case{n}" for n in range(6)]
    found = search(project, tmp_path)
    assert found == {f"case{n}": moved / f"case{n}.tif" for n in range(6)}
    relink(project, found)
    again = Project.open(project.folder)
    assert missing(again) == []
    assert again.slide("case0").relative_path == os.path.join("elsewhere", "archive", "case0.tif")
    with again.open_slide("case0") as slide:
        assert slide.shape == (192, 192)


def test_renamed_slides_are_found_by_content(project, moved, tmp_path):
    (moved / "case2.tif").rename(moved / "A17.TIFF")
    assert search(project, tmp_path)["case2"] == moved / "A17.TIFF"


def test_exchanged_names_do_not_mislead_the_search(project, moved, tmp_path):
    (moved / "case0.tif").rename(moved / "x.tif")
    (moved / "case1.tif").rename(moved / "case0.tif")
    (moved / "x.tif").rename(moved / "case1.tif")
    found = search(project, tmp_path)
    assert found["case0"] == moved / "case1.tif"
    assert found["case1"] == moved / "case0.tif"


def test_file_of_the_same_name_is_preferred_to_a_copy(project, moved, tmp_path):
    shutil.copy(moved / "case0.tif", tmp_path / "a copy.tif")
    assert search(project, tmp_path)["case0"] == moved / "case0.tif"


def test_file_of_the_same_name_with_other_content_is_ignored(project, slides, tmp_path):
    slides[0].unlink()
    (tmp_path / "new").mkdir()
    shutil.copy(slides[1], tmp_path / "new" / "case0.tif")
    assert search(project, tmp_path / "new") == {}


def test_file_in_use_is_not_assigned_to_a_missing_duplicate(project, slides, tmp_path):
    project.update_slide("case0", fingerprint=project.slide("case1").fingerprint)
    slides[0].unlink()
    assert search(project, tmp_path) == {}


def test_slides_of_one_file_are_found_together(project, slides, tmp_path):
    record = project.slide("case0")
    project.update_slide("case1", path=record.path, relative_path=record.relative_path, fingerprint=record.fingerprint)
    stack = slides[0].rename(tmp_path / "stack.tif")
    assert search(project, tmp_path) == {"case0": stack, "case1": stack}


def test_search_reports_its_progress(project, moved, tmp_path):
    (moved / "case5.tif").rename(moved / "other.tif")
    found, steps = run_search(find_moved(project, tmp_path))
    assert len(found) == 6
    assert all(step.missing == 6 for step in steps)
    assert [len(step.paths) for step in steps] == sorted(len(step.paths) for step in steps)
    assert steps[0].folder == tmp_path


def test_search_ends_at_its_time_limit(project, moved, tmp_path):
    assert search(project, tmp_path, seconds=-1) == {}


@pytest.mark.skipif(os.name == "nt", reason="creating links needs privileges on Windows")
def test_circular_links_do_not_trap_the_search(project, moved, tmp_path):
    (moved / "up").symlink_to(tmp_path, target_is_directory=True)
    (moved / "self.tif").symlink_to(moved / "self.tif")
    assert len(search(project, tmp_path)) == 6


def test_project_folders_are_not_searched(project, moved, tmp_path):
    inside = tmp_path / "old.pathseg" / "contours"
    inside.mkdir(parents=True)
    (moved / "case0.tif").rename(inside / "case0.tif")
    assert "case0" not in search(project, tmp_path)


def test_files_that_are_not_slides_are_skipped(project, moved, tmp_path):
    (moved / "case0.tif").write_text("")
    (moved / "notes.txt").write_text("mine")
    assert set(search(project, tmp_path)) == {f"case{n}" for n in range(1, 6)}


def test_search_in_a_file_is_refused(project, slides):
    with pytest.raises(ConfigError, match=r"case0\.tif is not a folder. Choose the folder"):
        next(find_moved(project, slides[0]))


def test_file_of_another_slide_is_refused_and_nothing_is_relinked(project, moved):
    with pytest.raises(
        ProjectError, match=r"case1\.tif is the slide case1, not case0. Choose the original file of case0"
    ):
        relink(project, {"case2": moved / "case2.tif", "case0": moved / "case1.tif"})
    assert len(missing(Project.open(project.folder))) == 6
    assert len(missing(project)) == 6


def test_file_with_other_content_is_refused(project, slides, tmp_path):
    pixels = tifffile.imread(slides[0])
    saved_again = tmp_path / "again.tif"
    tifffile.imwrite(saved_again, pixels, photometric="rgb")
    slides[0].unlink()
    with pytest.raises(ProjectError, match=r"again\.tif is a different file, not case0"):
        relink(project, {"case0": saved_again})
    assert project.slide("case0").path == str(slides[0])


def test_file_of_another_size_is_refused_and_nothing_is_relinked(project, moved):
    project.update_slide("case0", shape=(50, 60))
    with pytest.raises(ProjectError, match=r"case0\.tif has 192 x 192 pixels; it had 50 x 60"):
        relink(project, {"case1": moved / "case1.tif", "case0": moved / "case0.tif"})
    assert len(missing(project)) == 6


def test_missing_file_is_named(project, tmp_path):
    with pytest.raises(UnsupportedSlideError, match=r"gone\.tif does not exist"):
        relink(project, {"case0": tmp_path / "gone.tif"})
