import pytest

from napari_pathseg.projects.annotation_log import FILE, Round, Work, log_begun, log_learnt, log_work, read_rounds

STROKES = Work(strokes=3, seconds=20.0, pixels=500, mm2=0.5)


def learn(project, model):
    log_begun(project, model)
    log_learnt(project, model)


def test_training_ends_a_round_and_later_work_is_of_the_next_one(project):
    log_work(project, "case0", STROKES)
    log_work(project, "case0", Work(1, 4.0, 10, 0.01))
    log_work(project, "case1", STROKES)
    learn(project, "m001")
    log_work(project, "case2", STROKES)
    assert read_rounds(project) == [
        Round("m001", {"case0": Work(4, 24.0, 510, pytest.approx(0.51)), "case1": STROKES}),
        Round("", {"case2": STROKES}),
    ]
    assert read_rounds(project)[0].total == Work(7, 44.0, 1010, pytest.approx(1.01))


def test_training_that_made_no_model_ends_no_round(project):
    log_work(project, "case0", STROKES)
    log_begun(project, "m001")
    log_work(project, "case1", STROKES)
    learn(project, "m002")
    assert read_rounds(project) == [Round("m002", {"case0": STROKES, "case1": STROKES}), Round()]


def test_work_during_a_training_is_of_the_next_round(project):
    log_begun(project, "m001")
    log_work(project, "case0", STROKES)
    log_learnt(project, "m001")
    assert read_rounds(project) == [Round("m001"), Round("", {"case0": STROKES})]


def test_resumed_training_learns_what_was_done_until_it_was_resumed(project):
    log_work(project, "case0", STROKES)
    log_begun(project, "m001")
    log_work(project, "case1", STROKES)
    learn(project, "m001")
    assert read_rounds(project) == [Round("m001", {"case0": STROKES, "case1": STROKES}), Round()]


def test_lines_that_a_killed_program_or_a_newer_one_left_are_skipped(project):
    log_work(project, "case0", STROKES)
    with (project.folder / FILE).open("a", encoding="utf8") as file:
        file.write('{"kind": "yawn"}\n[1]\n{"kind": "work", "slide": 3}\n{"kind": "work", "sli\n')
    log_work(project, "case0", STROKES)
    assert read_rounds(project)[0].work["case0"].strokes == 6


def test_area_of_slides_without_a_pixel_size_is_unknown():
    assert (Work(1, 1.0, 5) + Work(1, 1.0, 5)).mm2 is None
    assert (Work(1, 1.0, 5) + Work(1, 1.0, 5, 2.0)).mm2 == 2.0
