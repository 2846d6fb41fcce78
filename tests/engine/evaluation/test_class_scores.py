import numpy as np
import pytest

from napari_pathseg.classes import DEFAULT_CLASSES
from napari_pathseg.engine.evaluation.borders import BorderDistance
from napari_pathseg.engine.evaluation.class_scores import (
    area_agreement,
    calibration,
    class_scores,
    false_positives,
    patient_scores,
    score_notes,
)
from napari_pathseg.engine.evaluation.lesions import LesionCounts
from napari_pathseg.engine.evaluation.metrics import Confusion
from napari_pathseg.engine.evaluation.slide_evidence import SlideEvidence
from napari_pathseg.projects.slide_record import SlideRecord

BACKGROUND, TUMOUR = 1, 2
NEVER_SCORED = {"dice", "iou", "f1", "precision", "recall", "nsd", "hd95", "lesion_f1_10", "lesion_f1_50"}


NO_BORDER, NO_LESIONS = BorderDistance(), LesionCounts()


def slide(name, matrix, patient=None, mpp=1.0, **counted):
    record = SlideRecord(name, "", "", "", (100, 100), 3, mpp, 1, patient or name, complete=True)
    borders, lesions = counted.get("borders", NO_BORDER), counted.get("lesions", NO_LESIONS)
    each = {BACKGROUND: borders, TUMOUR: borders}
    return SlideEvidence(record, Confusion(np.array(matrix, np.int64)), each, {TUMOUR: lesions})


def tumour(*slides):
    return class_scores(DEFAULT_CLASSES, slides)["Tumour"]


def test_class_that_is_neither_labelled_nor_predicted_has_no_scores_but_full_specificity():
    scores = tumour(slide("a", [[100, 0], [0, 0]]))
    assert {name for name, value in scores.items() if value is None} == NEVER_SCORED
    assert scores["specificity"] == 1


def test_class_that_is_only_predicted_has_no_scores_and_less_specificity():
    scores = tumour(slide("a", [[75, 25], [0, 0]], borders=BorderDistance(0, 20), lesions=LesionCounts(0, 1)))
    assert {name for name, value in scores.items() if value is None} == NEVER_SCORED
    assert scores["specificity"] == 0.75


def test_class_that_is_only_labelled_scores_nothing():
    scores = tumour(slide("a", [[75, 0], [25, 0]], borders=BorderDistance(0, 20), lesions=LesionCounts(1, 0)))
    assert scores.pop("specificity") == 1
    assert scores.pop("hd95") is None
    assert set(scores.values()) == {0}


def test_slide_of_one_class_has_no_specificity_and_no_border():
    scores = tumour(slide("a", [[0, 0], [0, 100]], lesions=LesionCounts(1, 1, (1, 1))))
    assert (scores["specificity"], scores["nsd"], scores["hd95"]) == (None, None, None)
    assert scores["dice"] == 1


def test_errors_on_slides_without_a_class_count_where_slides_are_pooled():
    found = slide("a", [[50, 0], [0, 50]], borders=BorderDistance(20, 20, 1.0), lesions=LesionCounts(1, 1, (1, 1)))
    false = slide("b", [[50, 50], [0, 0]], borders=BorderDistance(0, 20), lesions=LesionCounts(0, 2))
    scores = tumour(found, false)
    assert scores["dice"] == pytest.approx(100 / 150)
    assert scores["nsd"] == 0.5
    assert scores["lesion_f1_50"] == 0.5
    assert scores["hd95"] == 1.0


def test_false_positive_area_is_of_slides_without_the_class():
    slides = [slide("a", [[50, 0], [0, 50]]), slide("b", [[60, 40], [0, 0]]), slide("c", [[100, 0], [0, 0]])]
    found = false_positives(DEFAULT_CLASSES, slides)["Tumour"]
    assert [(each["slide"], each["pixels"]) for each in found["slides"]] == [("b", 40), ("c", 0)]
    assert found["mm2"]["mean"] == pytest.approx(20e-6)
    assert found["mm2"]["range"] == pytest.approx([0, 40e-6])


def test_slides_of_a_patient_make_one_value():
    slides = [
        slide("a", [[0, 0], [20, 80]], "Smith"),
        slide("b", [[0, 0], [0, 100]], "Smith"),
        slide("c", [[0, 0], [50, 50]], "Jones"),
    ]
    found = patient_scores(DEFAULT_CLASSES, slides)
    assert (found["patients"], found["unknown"]) == (2, [])
    recall = found["scores"]["Tumour"]["recall"]
    assert (recall["mean"], recall["patients"]) == (pytest.approx((0.9 + 0.5) / 2), 2)
    assert recall["interval"] is None


def test_unknown_patients_are_said():
    slides = [slide(name, [[10, 0], [0, 10]]) for name in "abcdefghi"]
    found = patient_scores(DEFAULT_CLASSES, slides)
    assert (found["patients"], len(found["unknown"])) == (9, 9)
    assert found["scores"]["Tumour"]["dice"]["interval"] == [1, 1]
    assert any("unknown patients" in note for note in score_notes(slides, found))


def test_areas_of_a_patient_are_summed_and_compared_in_mm2():
    slides = [
        slide("a", [[0, 1_000_000], [0, 1_000_000]], "Smith"),
        slide("b", [[0, 0], [1_000_000, 1_000_000]], "Smith", mpp=2.0),
        slide("c", [[0, 0], [0, 5]], mpp=None),
    ]
    found = area_agreement(DEFAULT_CLASSES, slides)
    assert (found["unit"], found["left_out"]) == ("mm2", ["c"])
    (pair,) = found["classes"]["Tumour"]["patients"]
    assert (pair["truth"], pair["found"]) == pytest.approx((1 + 8, 2 + 4))


def test_slides_without_a_pixel_size_have_areas_in_pixels_and_it_is_said():
    slides = [slide("a", [[0, 500_000], [0, 500_000]], mpp=None)]
    found = area_agreement(DEFAULT_CLASSES, slides)
    assert found["unit"] == "Mpx"
    assert found["classes"]["Tumour"]["bias"]["mean"] == pytest.approx(0.5)
    notes = score_notes(slides, patient_scores(DEFAULT_CLASSES, slides))
    assert any("pixel size of a is unknown" in note for note in notes)


def test_hausdorff_distances_in_pixels_are_not_mixed_with_micrometres():
    known = slide("a", [[50, 0], [0, 50]], borders=BorderDistance(9, 10, 4.0))
    unknown = slide("b", [[50, 0], [0, 50]], mpp=None, borders=BorderDistance(9, 10, 100.0))
    assert tumour(known, unknown)["hd95"] == 4.0
    assert tumour(unknown)["hd95"] == 100.0
    found = patient_scores(DEFAULT_CLASSES, [known, unknown])["scores"]["Tumour"]["hd95"]
    assert (found["mean"], found["patients"]) == (4.0, 1)


def test_calibration_is_pooled_over_slides():
    slides = [slide("a", [[50, 0], [0, 50]]), slide("b", [[50, 0], [0, 50]])]
    for each, right in zip(slides, (100, 60), strict=True):
        each.counted[204], each.right[204] = 100, right
    found = calibration(slides)
    assert (found["pixels"], found["ece"]) == (200, pytest.approx(0, abs=1e-9))
    (only,) = found["curve"]
    assert (only["probability"], only["right"]) == pytest.approx((0.8, 0.8))
