"""Parts of slides that are held out: what is learnt beside them, and what is scored in them."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.dataset.patches import PatchDataset
from napari_pathseg.engine.dataset.tiles import grow
from napari_pathseg.errors import NothingToLearnError
from napari_pathseg.geometry import Region
from napari_pathseg.masks.edits import paint
from napari_pathseg.projects.ground_truth import GroundTruth
from napari_pathseg.projects.held_out_parts import MARGIN, boxes_on_mask, choose_parts, is_whole
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project

BACKGROUND, TUMOUR = 1, 2


def tumour_everywhere(shape, seed=0):
    """Return labels of two classes in patches of 24 pixels."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(BACKGROUND, TUMOUR + 1, (-(-shape[0] // 24), -(-shape[1] // 24)), np.uint8)
    return coarse.repeat(24, 0).repeat(24, 1)[: shape[0], : shape[1]]


def make_project(folder, *labels, mpp=None):
    """Return a project of slides of one patient with these labels."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, mask in enumerate(labels):
        Image.fromarray(np.zeros((*mask.shape, 3), np.uint8)).save(folder / f"s{number}.png")
    project = Project.create(folder / "p.pathseg", mpp=mpp)
    add_slides(project, sorted(folder.glob("s*.png")), AddOptions(patient="s"))
    for record, mask in zip(list(project.slides.values()), labels, strict=True):
        label(project, record.id, mask)
    return project


def label(project, slide, mask, top=0, left=0):
    with project.write_lock(), project.open_mask(slide) as opened:
        paint(opened, Region(top, left, *mask.shape), mask)


def held_out_classes(project, record, parts):
    truth = GroundTruth(project, record)
    return {int(each) for box in boxes_on_mask(record, parts) for each in np.unique(truth.labels(box))} - {0}


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(st.integers(200, 500), st.integers(200, 500)),
    seed=st.integers(0, 99),
    tile=st.sampled_from([64, 96, 128, 256]),
)
def test_no_label_of_a_held_out_part_or_its_margin_is_learnt(tmp_path_factory, shape, seed, tile):
    folder = tmp_path_factory.mktemp("one")
    project = make_project(folder, tumour_everywhere(shape, seed))
    (record,) = project.slides.values()
    found = choose_parts(project, [record])
    marked = np.zeros((*shape, 3), np.uint8)
    for box in boxes_on_mask(record, found.boxes):
        marked[grow(box, MARGIN, 1).clip(shape).slices] = 255
    Image.fromarray(marked).save(folder / "s0.png")
    with PatchDataset(project, [record], TrainConfig(tile=tile), held_out=found.boxes) as dataset:
        rng = np.random.default_rng(seed)
        assert dataset.classes == [BACKGROUND, TUMOUR]
        tiles = [dataset.draw(rng) for _ in range(30)]
    assert not any(each.labels[each.pixels[..., 0] > 0].any() for each in tiles)
    assert all(each.labels[each.pixels[..., 0] == 0].all() for each in tiles)
    assert all(each.labels.any() for each in tiles)


@pytest.mark.parametrize("side", [192, 256, 512, 1024])
def test_each_class_is_both_learnt_and_held_out(tmp_path, side):
    project = make_project(tmp_path, tumour_everywhere((side, side)))
    (record,) = project.slides.values()
    found = choose_parts(project, [record])
    assert held_out_classes(project, record, found.boxes) == {BACKGROUND, TUMOUR}
    with PatchDataset(project, [record], TrainConfig(tile=128), held_out=found.boxes) as dataset:
        assert dataset.classes == [BACKGROUND, TUMOUR]
    assert found.missing == ()


def test_only_labels_inside_the_parts_are_scored(tmp_path):
    project = make_project(tmp_path, tumour_everywhere((600, 500)))
    (record,) = project.slides.values()
    found, scored = choose_parts(project, [record]), np.zeros((600, 500), int)
    with PatchDataset(project, [record], TrainConfig(), held_out=found.boxes, scored=True) as dataset:
        for _, region in dataset.labelled_regions(512, 1000, np.random.default_rng(0)):
            scored[region.slices] += 1
    expected = np.zeros((600, 500), int)
    for box in boxes_on_mask(record, found.boxes):
        expected[box.slices] = 1
    assert (scored == expected).all()


def test_the_same_labels_give_the_same_parts_and_new_ones_keep_them(tmp_path):
    mask = tumour_everywhere((700, 700))
    mask[:, 350:] = 0
    project = make_project(tmp_path, mask)
    (record,) = project.slides.values()
    first = choose_parts(project, [record])
    assert choose_parts(project, [record]) == first
    label(project, record.id, tumour_everywhere((700, 350), 1), left=350)
    assert choose_parts(project, [record], first.boxes).boxes == first.boxes


def test_parts_are_added_for_a_class_that_is_new(tmp_path):
    project = make_project(tmp_path, tumour_everywhere((700, 700)))
    (record,) = project.slides.values()
    first = choose_parts(project, [record])
    project.change_classes(project.classes.add("Necrosis"))
    for box in [Region(20, 300, 60, 60), Region(620, 300, 60, 60), Region(300, 20, 60, 60), Region(300, 620, 60, 60)]:
        label(project, record.id, np.full((60, 60), 3, np.uint8), box.top, box.left)
    second = choose_parts(project, [record], first.boxes)
    assert second.boxes[record.id][: len(first.boxes[record.id])] == first.boxes[record.id]
    assert 3 in held_out_classes(project, record, second.boxes)


def test_class_in_one_place_only_is_learnt_rather_than_scored(tmp_path):
    mask = tumour_everywhere((512, 512))
    mask[10:40, 10:40] = 3
    project = make_project(tmp_path, tumour_everywhere((512, 512)))
    project.change_classes(project.classes.add("Necrosis"))
    (record,) = project.slides.values()
    label(project, record.id, mask)
    found = choose_parts(project, [record])
    assert found.missing == (3,)
    with PatchDataset(project, [record], TrainConfig(tile=128), held_out=found.boxes) as dataset:
        assert 3 in dataset.classes


def test_of_several_slides_of_a_patient_whole_ones_are_held_out(tmp_path):
    project = make_project(tmp_path, *(tumour_everywhere((120, 120), seed) for seed in range(5)))
    records = list(project.slides.values())
    found = choose_parts(project, records)
    assert 0 < len(found.boxes) < 3
    assert all(is_whole(project.slide(slide), found.boxes) for slide in found.boxes)
    for slide in found.boxes:
        Image.fromarray(np.full((120, 120, 3), 255, np.uint8)).save(tmp_path / f"{slide}.png")
    with PatchDataset(project, records, TrainConfig(tile=128), held_out=found.boxes) as dataset:
        rng = np.random.default_rng(0)
        assert not any(dataset.draw(rng).pixels.any() for _ in range(60))


def test_parts_lie_on_the_slide_of_any_pixel_size(tmp_path):
    Image.fromarray(np.zeros((1200, 1000, 3), np.uint8)).save(tmp_path / "s0.png")
    project = Project.create(tmp_path / "p.pathseg", mpp=2.0)
    (record,) = add_slides(project, [tmp_path / "s0.png"], AddOptions(pixel_size=0.5))
    assert record.mask_shape == (300, 250)
    label(project, "s0", tumour_everywhere((300, 250)))
    found = choose_parts(project, [record])
    for box in found.boxes["s0"]:
        assert box.clip(record.shape) == box
        assert box.height >= 4 * 16
    assert held_out_classes(project, record, found.boxes) == {BACKGROUND, TUMOUR}


def test_slide_too_small_to_hold_out_a_part_says_what_to_do(tmp_path):
    project = make_project(tmp_path, tumour_everywhere((100, 100)))
    with pytest.raises(NothingToLearnError, match=r"contours are on s0 only, too small .* another patient"):
        choose_parts(project, list(project.slides.values()))
