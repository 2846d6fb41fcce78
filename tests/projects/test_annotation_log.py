import pytest

from napari_pathseg.projects.annotation_log import (
    FILE,
    Round,
    Score,
    Work,
    count_lines,
    log_begun,
    log_dropped,
    log_learnt,
    log_scores,
    log_work,
    read_rounds,
    stop_sentence,
)

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


def test_work_noted_after_the_masks_were_read_is_of_the_next_round(project):
    log_work(project, "case0", STROKES)
    lines = count_lines(project)
    log_work(project, "case1", STROKES)
    log_scores(project, {"case0": Score("m000", 0.5, 0.5, 10)})
    log_begun(project, "m001", lines)
    log_learnt(project, "m001")
    first, open_round = read_rounds(project)
    assert (first.work, list(first.scores)) == ({"case0": STROKES}, ["case0"])
    assert open_round == Round("", {"case1": STROKES})


def test_training_that_made_no_model_ends_no_round(project):
    log_work(project, "case0", STROKES)
    log_begun(project, "m001")
    log_work(project, "case1", STROKES)
    learn(project, "m002")
    assert read_rounds(project) == [Round("m002", {"case0": STROKES, "case1": STROKES}), Round()]


def test_labels_of_a_model_that_was_dropped_are_learnt_by_the_next_one_of_its_name(project):
    log_work(project, "case0", STROKES)
    learn(project, "m001")
    log_dropped(project, "m001")
    assert read_rounds(project) == [Round("", {"case0": STROKES})]
    log_work(project, "case1", STROKES)
    learn(project, "m001")
    assert read_rounds(project) == [Round("m001", {"case0": STROKES, "case1": STROKES}), Round()]


def test_line_that_a_killed_program_has_begun_costs_no_other_one(project):
    log_work(project, "case0", STROKES)
    with (project.folder / FILE).open("a", encoding="utf8") as file:
        file.write('{"kind": "work", "sli')
    log_work(project, "case1", STROKES)
    assert read_rounds(project) == [Round("", {"case0": STROKES, "case1": STROKES})]


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


def test_scores_are_of_the_round_that_is_learnt_next(project):
    scores = {"case0": Score("m001", 0.5, 0.2, 100), "case1": Score("m001", 0.9, 0.6, 300)}
    log_scores(project, scores)
    log_begun(project, "m002")
    log_learnt(project, "m002", 0.8, 0.02)
    learnt = read_rounds(project)[0]
    assert learnt == Round("m002", {}, scores, 0.8, 0.02)
    assert learnt.dice == pytest.approx((0.5 * 100 + 0.9 * 300) / 400)


def rounds(*gains):
    return [*(Round(f"m{number:03}", gain=gain) for number, gain in enumerate(gains)), Round()]


def test_three_rounds_that_bring_less_than_half_a_point_are_a_sign_to_stop():
    assert stop_sentence(rounds(0.1, 0.002, 0.001, 0.001)).startswith("The last three rounds brought +0.004 Dice")
    assert stop_sentence(rounds(0.002, -0.01, 0.001))
    assert not stop_sentence(rounds(0.002, 0.001, 0.004))
    assert not stop_sentence(rounds(0.002, 0.001))
    assert not stop_sentence(rounds(0.002, None, 0.001))
