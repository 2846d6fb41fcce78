"""Classes that are removed, merged, moved and brought back, and what becomes of masks and predictions."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from napari_pathseg.classes import DEFAULT_CLASSES, class_table
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance
from napari_pathseg.masks.prediction import create_prediction
from napari_pathseg.projects.class_changes import remove_class, replace_in_slide, restore_classes
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord

CLASSES = class_table([("Background", None), ("Tumour", None), ("Stroma", None), ("Necrosis", None)])
LEFT, RIGHT = Region(0, 0, 20, 20), Region(0, 30, 20, 20)


def paint(mask, region, label, provenance):
    square = np.full((region.height, region.width), label, np.uint8)
    mask.edit(region, square, np.full_like(square, provenance))
    mask.end_undo_group()


def make_project(folder, classes):
    project = Project.create(folder, classes)
    for name in ("a", "b"):
        project.slides[name] = SlideRecord(
            id=name,
            path="",
            relative_path="",
            fingerprint="",
            shape=(60, 80),
            channels=3,
            mpp=1.0,
            downsample=1,
            patient=name,
        )
    project.save()
    return project


@pytest.fixture
def project(tmp_path):
    project = make_project(tmp_path / "test.pathseg", CLASSES)
    with project.write_lock():
        for slide in project.slides:
            with project.open_mask(slide) as mask:
                paint(mask, LEFT, 3, Provenance.DRAWN)
                paint(mask, RIGHT, 3, Provenance.MODEL)
    return project


def pixels(project, slide, region):
    with project.open_mask(slide) as mask:
        labels, provenance = mask.read(region)
    return int(labels[5, 5]), int(provenance[5, 5])


def test_a_mask_in_which_a_replacement_is_stopped_is_as_it_was(project, monkeypatch):
    monkeypatch.setattr("napari_pathseg.projects.class_changes._REPORT_S", 0)
    large, reports = Region(0, 0, 1200, 1200), []
    with project.write_lock():
        project.slides["a"] = replace(project.slide("a"), id="large", shape=(large.height, large.width))
        project.slides["large"] = project.slides.pop("a")
        with project.open_mask("large") as mask:
            paint(mask, large, 3, Provenance.DRAWN)
        assert not replace_in_slide(project, "large", 3, 2, lambda done: bool(reports.append(done)) or len(reports) > 2)
        assert 0 < reports[-1] < 1
        with project.open_mask("large") as mask:
            assert (mask.read(large)[0] == 3).all()
            assert mask.committed_counts[3, Provenance.DRAWN] == large.height * large.width
        assert replace_in_slide(project, "large", 3, 2)
        assert not project.counts("large")[3].any()


def test_a_merged_class_keeps_who_set_its_pixels(project):
    changed = remove_class(project, 3, into=2)
    assert changed == list(project.slides)
    slide = changed[0]
    assert pixels(project, slide, LEFT) == (2, Provenance.DRAWN)
    assert pixels(project, slide, RIGHT) == (2, Provenance.MODEL)


def test_the_pixels_of_a_removed_class_are_unlabelled(project):
    slide = remove_class(project, 3)[0]
    assert pixels(project, slide, LEFT) == pixels(project, slide, RIGHT) == (0, 0)


def test_what_was_removed_from_a_complete_slide_is_not_learned_as_background(project):
    slide = next(iter(project.slides))
    project.update_slide(slide, complete=True)
    remove_class(project, 3)
    assert pixels(project, slide, LEFT) == (0, Provenance.DRAWN)  # what the Ignore class is
    assert pixels(project, slide, RIGHT) == (0, 0)


def test_numbers_of_the_other_classes_stay_and_are_never_given_again(project):
    remove_class(project, 3)
    project.change_classes(project.classes.add("Fat"))
    reopened = Project.open(project.folder)
    assert [(spec.index, spec.name) for spec in reopened.classes] == [
        (1, "Background"),
        (2, "Tumour"),
        (4, "Necrosis"),
        (5, "Fat"),
    ]


def test_one_undo_in_a_mask_brings_the_class_back(project):
    slide = remove_class(project, 3)[0]
    with project.write_lock(), project.open_mask(slide) as mask:
        mask.undo()
    assert restore_classes(project, [project.counts(slide)]) == ["Stroma"]
    assert pixels(project, slide, LEFT) == (3, Provenance.DRAWN)
    assert Project.open(project.folder).classes.named("Stroma").index == 3


def test_a_class_that_comes_back_has_a_free_name(project):
    remove_class(project, 3)
    project.change_classes(project.classes.add("Stroma"))
    assert project.classes.restored(3).numbered(3).name == "Stroma 2"


@pytest.mark.parametrize("removed", list(itertools.permutations((2, 3, 4))))
@pytest.mark.parametrize("restored", list(itertools.permutations((2, 3, 4))))
def test_removed_classes_come_back_in_their_places_in_whatever_order(tmp_path, removed, restored):
    classes = before = CLASSES.add("Fat")
    for number in removed:
        classes = classes.without(number)
    project = Project.create(tmp_path / "test.pathseg", classes)
    classes = Project.open(project.folder).classes
    for number in restored:
        classes = classes.restored(number)
    assert classes == before


def test_a_class_that_was_removed_by_an_older_version_comes_back_at_the_end():
    removed = CLASSES.without(2).removed[0]
    classes = replace(CLASSES.without(2), removed=(replace(removed, after=0),))
    assert classes.restored(2).names == ("Background", "Stroma", "Necrosis", "Tumour")


def test_moved_classes_keep_their_numbers(project):
    project.change_classes(project.classes.moved(4, 2))
    assert Project.open(project.folder).classes.names == ("Background", "Necrosis", "Tumour", "Stroma")
    assert Project.open(project.folder).classes.named("Necrosis").index == 4


def test_background_stays_first(project):
    assert project.classes.moved(1, 3) == project.classes
    assert project.classes.moved(3, 1).names == ("Background", "Stroma", "Tumour", "Necrosis")


def test_chains_of_merges_end_at_a_class_that_is_left(project):
    remove_class(project, 4, into=3)
    remove_class(project, 3, into=2)
    assert project.classes.merged == {4: 2, 3: 2}


def test_predictions_of_a_removed_class_are_deleted_and_others_stay(project):
    first, second = list(project.slides)[:2]
    for slide, number in ((first, 3), (second, 2)):
        shape = project.slide(slide).mask_shape
        prediction = create_prediction(project.prediction_path("m001", slide), shape, project.classes.names)
        output = np.zeros((4, *shape), np.uint8)
        output[number - 1] = 255
        prediction.write(Region(0, 0, *shape), output)
    remove_class(project, 3)
    assert project.find_prediction("m001", first) is None
    assert project.find_prediction("m001", second) is not None


@pytest.mark.parametrize(
    ("number", "into", "message"),
    [
        (1, 0, "Background is what is left between the other classes"),
        (9, 0, "There is no class 9"),
        (3, 3, "cannot be merged into class 3"),
    ],
)
def test_what_cannot_be_removed_says_why_and_changes_nothing(project, number, into, message):
    with pytest.raises(ProjectError, match=message):
        remove_class(project, number, into)
    assert project.classes == CLASSES


def test_the_last_class_besides_background_cannot_be_removed(tmp_path):
    project = make_project(tmp_path / "small.pathseg", DEFAULT_CLASSES)
    with pytest.raises(ProjectError, match="Tumour is the only class besides Background"):
        remove_class(project, 2)


def test_a_locked_class_is_not_removed(project):
    with project.edit_state() as state:
        state.locked_classes = {3}
    with pytest.raises(ProjectError, match="Stroma is locked"):
        remove_class(project, 3)
