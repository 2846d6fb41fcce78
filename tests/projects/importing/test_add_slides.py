import itertools
import json
import sys
import unicodedata

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_pathseg.classes import class_table
from napari_pathseg.contours.alignment import AxisScaleTransform
from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import write_contours
from napari_pathseg.errors import AnnotationError, ConfigError, ProjectError, UnsupportedSlideError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance, training_labels
from napari_pathseg.masks.edits import fill_from_model, paint
from napari_pathseg.projects.checks.checks import check
from napari_pathseg.projects.exporting.export import ExportOptions, export
from napari_pathseg.projects.importing import add_slides as importing
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides, mask_downsample
from napari_pathseg.projects.importing.contour_import import ImportOptions, import_annotations, import_file
from napari_pathseg.projects.project import Project

SQUARE = Contour(np.array([[10.0, 10], [10, 50], [50, 50], [50, 10]]), class_name="Tumour")


@pytest.fixture
def empty(tmp_path):
    return Project.create(tmp_path / "empty.pathseg")


def imported(project, slide, label=2):
    return int(project.counts(slide)[label, Provenance.IMPORTED])


def test_contours_of_the_same_stem_become_filled_regions(project):
    assert imported(project, "case0") == 80 * 80
    assert project.slide("case0").complete


def test_slide_without_a_contour_file_stays_new(project):
    assert not project.slide("case5").complete
    assert not project.counts("case5").any()


def test_partial_contours_leave_the_outside_unlabelled(empty, slides):
    (record,) = add_slides(empty, slides[:1], AddOptions(contours=slides[0].parent, partial=True))
    assert not record.complete


def test_partial_contours_of_a_complete_slide_are_refused(project, slides):
    with pytest.raises(ConfigError, match="^case0 is a complete slide: .* or add contours without"):
        add_slides(project, slides[:1], AddOptions(contours=slides[0].parent, partial=True))
    assert project.slide("case0").complete


def test_negative_slide_is_complete_without_contours(empty, slides):
    (record,) = add_slides(empty, slides[5:], AddOptions(negative=True))
    assert record.complete


@pytest.mark.parametrize("value", [1, 255])
def test_binary_label_image_becomes_the_first_target_class(empty, slides, tmp_path, value):
    mask = np.zeros((192, 192), np.uint8)
    mask[10:20, 10:30] = value
    Image.fromarray(mask).save(tmp_path / "case5.png")
    add_slides(empty, slides[5:], AddOptions(contours=tmp_path))
    assert imported(empty, "case5") == 200


def test_label_image_keeps_its_class_indices(empty, slides, tmp_path):
    mask = np.full((192, 192), 1, np.uint8)
    mask[:10] = 2
    Image.fromarray(mask).save(tmp_path / "case5_mask.png")
    add_slides(empty, slides[5:], AddOptions(contours=tmp_path, partial=True))
    assert imported(empty, "case5") == 1920
    assert imported(empty, "case5", 1) == 192 * 182


def test_label_image_with_an_unknown_class_is_refused(empty, slides, tmp_path):
    Image.fromarray(np.full((192, 192), 7, np.uint8)).save(tmp_path / "case5.png")
    with pytest.raises(
        AnnotationError,
        match=r"case5\.png holds the value 7; the project's classes are 1 Background, 2 Tumour",
    ):
        add_slides(empty, slides[5:], AddOptions(contours=tmp_path))


def test_binary_mask_that_was_resized_smoothly_is_refused_with_the_likely_cause(empty, slides, tmp_path):
    values = np.tile(np.linspace(0, 255, 192).astype(np.uint8), (192, 1))
    Image.fromarray(values).save(tmp_path / "case5.png")
    with pytest.raises(AnnotationError, match="holds 189 values from 4 to 255 .* Resizing and JPEG make such masks"):
        add_slides(empty, slides[5:], AddOptions(contours=tmp_path))


def test_mask_of_another_size_is_refused_and_nothing_is_added(empty, slides, tmp_path):
    Image.fromarray(np.zeros((10, 10), np.uint8)).save(tmp_path / "case5.png")
    with pytest.raises(AnnotationError, match=r"case5\.png"):
        add_slides(empty, slides, AddOptions(contours=tmp_path))
    assert Project.open(empty.folder).slides == {}
    assert not list((empty.folder / "masks").iterdir())


def test_contour_outside_the_slide_is_refused(empty, slides, tmp_path):
    svg = tmp_path / "case5.svg"
    svg.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg"><polygon points="900,900 950,900 950,950" stroke="red"/></svg>'
    )
    with pytest.raises(AnnotationError, match="case5.svg"):
        add_slides(empty, slides[5:], AddOptions(contours=svg))


def test_unreadable_file_adds_none_of_the_slides(empty, slides, tmp_path):
    (tmp_path / "letter.tif").write_text("Dear doctor")
    with pytest.raises(UnsupportedSlideError, match="letter.tif"):
        add_slides(empty, [*slides, tmp_path / "letter.tif"])
    assert Project.open(empty.folder).slides == {}


def test_unknown_class_is_named_with_the_known_ones(empty, slides, tmp_path):
    path = tmp_path / "case5.geojson"
    path.write_text(
        '{"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[1,1],[50,1],[50,50],[1,1]]]},'
        '"properties":{"classification":{"name":"Tumor?"}}}'
    )
    with pytest.raises(AnnotationError, match=r'class "Tumor\?" is unknown. The project has: Background, Tumour'):
        add_slides(empty, slides[5:], AddOptions(contours=path))


def test_ignored_qupath_class_is_skipped_and_tumor_is_tumour(empty, slides, tmp_path):
    square = '{"type":"Polygon","coordinates":[[[%d,10],[%d,10],[%d,20],[%d,20],[%d,10]]]}'
    features = [
        f'{{"type":"Feature","geometry":{square % (a, b, b, a, a)},"properties":{{"classification":"{name}"}}}}'
        for a, b, name in ((10, 20, "Tumor"), (40, 90, "Ignore*"))
    ]
    path = tmp_path / "case5.geojson"
    path.write_text(f'{{"type":"FeatureCollection","features":[{",".join(features)}]}}')
    add_slides(empty, slides[5:], AddOptions(contours=path))
    assert imported(empty, "case5") == 100
    labels, provenance = empty.open_mask("case5").read(Region(15, 50, 1, 1))
    assert training_labels(labels, provenance, complete=True) == 0


def test_second_import_keeps_the_patient_and_corrections(empty, slides):
    add_slides(empty, slides[:1], AddOptions(patient=r"^cas", contours=slides[0].parent))
    with empty.write_lock(), empty.open_mask("case0") as mask:
        paint(mask, Region(0, 0, 192, 192), np.full((192, 192), 1, np.uint8))
    (record,) = add_slides(empty, slides[:1], AddOptions(contours=slides[0].parent))
    assert record.patient == "cas"
    assert empty.counts("case0")[1, Provenance.CORRECTED] == 6400


def test_moved_slide_is_recognised(project, slides, tmp_path):
    moved = slides[0].rename(tmp_path / "moved.tif")
    (record,) = add_slides(project, [moved])
    assert record.id == "case0"
    assert len(project.slides) == 6


def test_contour_file_is_not_imported_into_two_slides(empty, slides):
    with pytest.raises(AnnotationError, match=r"case0\.svg would be imported into both case0 and case1"):
        add_slides(empty, slides[:2], AddOptions(contours=slides[0].with_suffix(".svg")))


def test_empty_contour_file_is_refused(empty, slides, tmp_path):
    path = tmp_path / "case5.svg"
    path.write_text('<svg xmlns="http://www.w3.org/2000/svg"></svg>')
    with pytest.raises(AnnotationError, match=r"case5\.svg has no contours, so all of case5 would be Background"):
        add_slides(empty, slides[5:], AddOptions(contours=path))
    assert empty.slides == {}


def test_complete_slide_loses_its_predictions(empty, slides):
    add_slides(empty, slides[:1])
    with empty.write_lock(), empty.open_mask("case0") as mask:
        fill_from_model(mask, Region(0, 0, 192, 192), np.full((192, 192), 2, np.uint8))
    add_slides(empty, slides[:1], AddOptions(contours=slides[0].parent))
    assert not empty.counts("case0")[:, Provenance.MODEL].any()
    assert imported(empty, "case0") == 6400


def test_patient_is_the_match_of_the_pattern(empty, slides):
    records = add_slides(empty, slides[:2], AddOptions(patient=r"case(\d)"))
    assert [record.patient for record in records] == ["0", "1"]


def test_patient_is_read_from_a_table(empty, slides, tmp_path):
    table = tmp_path / "patients.csv"
    table.write_text("slide,patient\ncase0.tif,Smith\n")
    (record,) = add_slides(empty, slides[:1], AddOptions(patient=str(table)))
    assert record.patient == "Smith"
    with pytest.raises(ConfigError, match=r"patients\.csv has no patient for the slide case1"):
        add_slides(empty, slides[1:2], AddOptions(patient=str(table)))


def test_pattern_without_a_match_is_an_error_with_the_name(empty, slides):
    with pytest.raises(ConfigError, match=r"patient is '\^x'; it matches nothing in the name case0"):
        add_slides(empty, slides[:1], AddOptions(patient="^x"))


def test_patient_cannot_be_added_in_two_roles(empty, slides):
    add_slides(empty, slides[:1], AddOptions(patient="case", role="train"))
    with pytest.raises(ProjectError, match='Patient "case" would be in two roles: case0 is train, case1 is test'):
        add_slides(empty, slides[1:2], AddOptions(patient="case", role="test"))


def test_slide_added_again_only_gets_its_contours(project, slides):
    add_slides(project, slides[5:], AddOptions(contours=slides[0].with_suffix(".svg")))
    assert len(project.slides) == 6
    assert project.slide("case5").role == "test"
    assert imported(project, "case5") == 6400


def test_slides_of_the_same_name_get_different_ids(empty, slides, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "case0.tif").write_bytes(slides[1].read_bytes())
    records = add_slides(empty, [slides[0], other / "case0.tif"])
    assert [record.id for record in records] == ["case0", "case0-2"]


def test_imported_file_is_copied_unchanged(project, slides):
    assert (project.folder / "contours" / "case0.svg").read_text() == slides[0].with_suffix(".svg").read_text()


def test_contours_can_be_imported_later(project, slides):
    import_file(project, "case5", slides[0].with_suffix(".svg"), complete=False)
    assert imported(project, "case5") == 6400
    assert not Project.open(project.folder).slide("case5").complete


@pytest.mark.parametrize(
    ("mpp", "wanted", "shape", "expected"),
    [
        (0.25, 1.0, (9000, 9000), 4),
        (None, 1.0, (2048, 2048), 1),
        (0.5, None, (2048, 2048), 1),
        (2.0, 1.0, (2048, 2048), 1),
        (0.25, 1.0, (100_000, 80_000), 4),
        (0.25, None, (100_000, 80_000), 1),
        (0.25, None, (300_000, 80_000), 3),
    ],
)
def test_mask_grid_follows_the_pixel_size(mpp, wanted, shape, expected):
    assert mask_downsample(mpp, wanted, shape) == expected


def test_mask_of_a_slide_without_a_pixel_size_is_at_full_size(tmp_path, slides):
    project = Project.create(tmp_path / "coarse.pathseg", class_table([("Background", None), ("Gland", None)]))
    (record,) = add_slides(project, slides[:1])
    assert record.mask_shape == (192, 192)
    assert record.mask_mpp is None


# -- stacks


@pytest.fixture
def stack(tmp_path):
    """A stack of three grey pages with a stack of their masks."""
    rng = np.random.default_rng(0)
    pages = rng.integers(0, 255, (3, 96, 128), dtype=np.uint8)
    masks = np.zeros((3, 96, 128), np.uint8)
    for number in range(3):
        masks[number, : 20 * (number + 1)] = 255
    tifffile.imwrite(tmp_path / "volume.tif", pages, photometric="minisblack")
    tifffile.imwrite(tmp_path / "masks.tif", masks, photometric="minisblack")
    return tmp_path, pages, masks


def test_pages_of_a_stack_are_paired_with_pages_of_the_masks(stack):
    folder, pages, masks = stack
    project = Project.create(folder / "p.pathseg", mpp=None)
    records = add_slides(project, [folder / "volume.tif"], AddOptions(contours=folder / "masks.tif"))
    assert [record.id for record in records] == ["volume[0]", "volume[1]", "volume[2]"]
    again = Project.open(project.folder)
    for number, record in enumerate(records):
        with again.open_slide(record.id) as slide:
            assert np.array_equal(slide.read(Region(0, 0, 96, 128)), pages[number])
        assert again.counts(record.id)[2].sum() == (masks[number] == 255).sum()


def test_stack_added_twice_is_not_duplicated(stack):
    folder, _, _ = stack
    project = Project.create(folder / "p.pathseg", mpp=None)
    for _ in range(2):
        add_slides(project, [folder / "volume.tif"])
    assert len(project.slides) == 3


# -- remedies and other words


def test_contours_of_a_smaller_copy_can_be_scaled_up(project, slides, tmp_path):
    square = np.array([[4.5, 4.5], [4.5, 14.5], [14.5, 14.5], [14.5, 4.5]])
    write_contours(tmp_path / "small.geojson", [Contour(square, class_name="Lesion")])
    options = ImportOptions({"Lesion": 2}, AxisScaleTransform(scale=4.0))
    import_file(project, "case5", tmp_path / "small.geojson", complete=True, options=options)
    assert imported(project, "case5") == 1600
    assert Project.open(project.folder).state.imports_into("case5")["case5.geojson"].transform == AxisScaleTransform(
        scale=4.0
    )
    assert check(project) == []


def test_second_import_of_a_file_replaces_the_first(project, tmp_path):
    square = np.array([[4.5, 4.5], [4.5, 14.5], [14.5, 14.5], [14.5, 4.5]])
    write_contours(tmp_path / "a.svg", [Contour(square + 30)])
    import_file(project, "case5", tmp_path / "a.svg", complete=False)
    import_file(
        project,
        "case5",
        tmp_path / "a.svg",
        complete=False,
        options=ImportOptions(transform=AxisScaleTransform(scale=0.5)),
    )
    assert imported(project, "case5") == 25
    write_contours(tmp_path / "b.svg", [Contour(square + 100)])
    import_file(project, "case5", tmp_path / "b.svg", complete=False)
    assert imported(project, "case5") == 125
    assert sorted(project.state.imports_into("case5")) == ["case5.2.svg", "case5.svg"]


def test_coco_file_of_one_image_is_not_for_two_slides(slides, tmp_path):
    image = {"id": 1, "file_name": slides[0].name, "width": 192, "height": 192}
    square = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[10, 10, 50, 10, 50, 50]], "iscrowd": 0}
    content = {"images": [image], "annotations": [square], "categories": [{"id": 1, "name": "Tumour"}]}
    (tmp_path / "one.json").write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match="would be imported into both"):
        add_slides(Project.create(tmp_path / "p.pathseg"), slides[:2], AddOptions(contours=tmp_path / "one.json"))


def test_contour_file_is_not_for_all_pages_of_a_stack(stack):
    folder, _, _ = stack
    write_contours(folder / "volume.svg", [Contour(np.array([[1.0, 1], [1, 50], [50, 50]]))])
    with pytest.raises(AnnotationError, match="would be imported into both"):
        add_slides(
            Project.create(folder / "p.pathseg"), [folder / "volume.tif"], AddOptions(contours=folder / "volume.svg")
        )


def test_class_map_for_contours_does_not_affect_a_label_image(project, tmp_path):
    labels = np.zeros((192, 192), np.uint8)
    labels[:40, :40] = 1
    tifffile.imwrite(tmp_path / "mask.tif", labels)
    options = ImportOptions({"Tumor": 2, "300": 2})
    import_file(project, "case5", tmp_path / "mask.tif", complete=False, options=options)
    assert imported(project, "case5") == 1600


def test_label_image_values_can_be_mapped_to_classes(project, tmp_path):
    labels = np.zeros((192, 192), np.uint8)
    labels[:40, :40], labels[100:, 100:] = 7, 9
    tifffile.imwrite(tmp_path / "odd.tif", labels)
    with pytest.raises(AnnotationError, match='holds the values 7, 9; .* as with --map "9=Tumour"'):
        import_file(project, "case5", tmp_path / "odd.tif", complete=False)
    import_file(project, "case5", tmp_path / "odd.tif", complete=False, options=ImportOptions({"7": 2, "9": 0}))
    assert project.counts("case5")[2].sum() == 1600


def test_coco_file_of_many_images_serves_all_their_slides(slides, tmp_path):
    def annotation(number, image):
        square = [10, 10, 50, 10, 50, 50, 10, 50]
        return {"id": number, "image_id": image, "category_id": 1, "segmentation": [square], "iscrowd": 0}

    images = [{"id": n, "file_name": path.name, "width": 192, "height": 192} for n, path in enumerate(slides[:2])]
    categories = [{"id": 1, "name": "Tumour"}]
    content = {"images": images, "categories": categories, "annotations": [annotation(1, 0), annotation(2, 1)]}
    (tmp_path / "all.json").write_text(json.dumps(content))
    project = Project.create(tmp_path / "p.pathseg")
    add_slides(project, slides[:2], AddOptions(contours=tmp_path / "all.json"))
    assert [imported(project, name) for name in project.slides] == [1600, 1600]


def test_exported_background_mask_imports_unchanged(project, tmp_path):
    with project.write_lock(), project.open_mask("case5") as mask:
        paint(mask, Region(0, 0, 50, 50), np.full((50, 50), 1, np.uint8))
    (path,) = export(project, tmp_path / "out", ExportOptions(format="mask", slides=["case5"]))
    other = Project.create(tmp_path / "other.pathseg")
    file = project.find_file(project.slide("case5"))
    add_slides(other, [file], AddOptions(contours=path, partial=True))
    assert (imported(other, "case5", 1), imported(other, "case5", 2)) == (2500, 0)


def test_failed_import_leaves_all_masks_unchanged(project, slides, monkeypatch):
    before = {slide: project.counts(slide).copy() for slide in project.slides}
    writes = []

    def one_only(*args):
        writes.append(args)
        if len(writes) > 1:
            raise ProjectError("the disk is full")
        return import_annotations(*args)

    monkeypatch.setattr(importing, "import_annotations", one_only)
    for svg in slides[0].parent.glob("*.svg"):
        svg.write_text(svg.read_text().replace("</svg>", '<rect x="1" y="1" width="9" height="9"/></svg>'))
    with pytest.raises(ProjectError, match="the disk is full"):
        add_slides(project, slides[:3], AddOptions(contours=slides[0].parent))
    assert len(writes) == 2
    assert all((project.counts(slide) == counts).all() for slide, counts in before.items())


# -- names that strangers give


def test_link_keeps_the_name_that_the_user_gave_it(empty, slides, tmp_path):
    link = tmp_path / "P01.tif"
    link.symlink_to(slides[0])
    write_contours(tmp_path / "P01.geojson", [SQUARE])
    (record,) = add_slides(empty, [link], AddOptions(contours=tmp_path))
    assert (record.id, imported(empty, "P01") > 0) == ("P01", True)
    assert add_slides(empty, [slides[0]])[0].id == "P01"  # the file is known


@pytest.mark.parametrize(("of_slide", "of_contours"), [("NFD", "NFC"), ("NFC", "NFD"), ("NFD", "NFD")])
def test_names_with_accents_match_however_they_are_composed(empty, slides, tmp_path, of_slide, of_contours):
    slide = tmp_path / f"{unicodedata.normalize(of_slide, 'Müller')}.tif"
    slide.write_bytes(slides[0].read_bytes())
    write_contours(tmp_path / f"{unicodedata.normalize(of_contours, 'Müller')}.geojson", [SQUARE])
    (record,) = add_slides(empty, [slide], AddOptions(contours=tmp_path))
    assert record.id == unicodedata.normalize("NFC", "Müller")
    assert imported(empty, record.id) > 0


def test_long_names_are_bounded_and_stay_different(empty, slides, tmp_path):
    for end in "ab":
        (tmp_path / f"{'ü' * 120}{end}.tif").write_bytes(slides[0].read_bytes())
    write_contours(tmp_path / "all.geojson", [SQUARE])
    for path in sorted(tmp_path.glob("ü*.tif")):
        add_slides(empty, [path], AddOptions(contours=tmp_path / "all.geojson"))
    assert len(empty.slides) == 2
    assert all(len(name.encode()) <= 160 for name in empty.slides)


def test_slides_of_known_naming_schemes_get_their_patient(empty, slides, tmp_path):
    names = ["TCGA-A1-A0SK-01Z-00-DX1", "TCGA-A1-A0SK-01Z-00-DX2", "patient_012_node_3", "biopsy"]
    paths = [tmp_path / f"{name}.tif" for name in names]
    for path in paths:
        path.write_bytes(slides[0].read_bytes())
    patients = [record.patient for record in add_slides(empty, paths)]
    assert patients == ["TCGA-A1-A0SK", "TCGA-A1-A0SK", "patient_012", "biopsy"]


def test_added_slides_are_looked_up_once_however_many_there_are(empty, slides, monkeypatch):
    looked_up = []
    real = Project.find_file
    monkeypatch.setattr(Project, "find_file", lambda self, record: looked_up.append(record.id) or real(self, record))
    add_slides(empty, slides[:2], AddOptions(negative=True))
    looked_up.clear()
    add_slides(empty, slides[2:], AddOptions(negative=True))
    assert sorted(looked_up) == ["case0", "case1"]


def test_cancelled_adding_adds_nothing(empty, slides):
    fractions = []

    def cancel_in_the_end(fraction):
        fractions.append(fraction)
        return fraction > 0.85

    with pytest.raises(ProjectError, match="cancelled; none was added"):
        add_slides(empty, slides[:5], AddOptions(contours=slides[0].parent), cancel_in_the_end)
    assert fractions == pytest.approx(np.arange(10) / 10)
    assert not empty.slides
    assert not list((empty.folder / "masks").iterdir())


def calls_of(function):
    """Return how many Python functions are called while `function` runs."""
    calls = itertools.count()
    sys.setprofile(lambda _frame, event, _argument: next(calls) if event == "call" else None)
    try:
        function()
    finally:
        sys.setprofile(None)
    return next(calls)


def test_work_of_adding_slides_is_in_proportion_to_their_number(tmp_path, slides):
    for number in range(40):
        (tmp_path / f"copy{number}.tif").symlink_to(slides[number % 5])
        (tmp_path / f"copy{number}.svg").symlink_to(slides[number % 5].with_suffix(".svg"))
    paths, options = sorted(tmp_path.glob("copy*.tif")), AddOptions(contours=tmp_path)
    few, many = (Project.create(tmp_path / f"{count}.pathseg") for count in (10, 40))
    add_slides(Project.create(tmp_path / "first.pathseg"), paths[:1], options)  # imports
    first = calls_of(lambda: add_slides(few, paths[:10], options))
    assert calls_of(lambda: add_slides(many, paths, options)) < 4.4 * first
