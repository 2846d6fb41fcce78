import pytest

from napari_pathseg.projects.annotation_log import Score, Work, log_begun, log_learnt, log_scores, log_work
from napari_pathseg.ui.panels.train.train import TrainPanel


@pytest.fixture
def panel(qtbot, learnable):
    panel = TrainPanel(learnable)
    qtbot.addWidget(panel)
    panel.show()
    return panel


def learn(project, model, gain, dice):
    log_work(project, "case0", Work(12, 90.0, 4000, 0.4))
    log_scores(project, {"case0": Score("m001", dice, 0.3, 100)})
    log_begun(project, model)
    log_learnt(project, model, 0.9, gain)


def test_rounds_appear_with_the_first_training_that_learnt_one(panel, learnable):
    assert not panel.rounds_section.isVisible()
    learn(learnable.project, "m002", 0.012, 0.7)
    learnable.project_changed.emit()
    assert panel.rounds_section.isVisible()
    assert panel.rounds.sentence.text() == (
        "Round 1, learnt by m002: 12 strokes, 1:30 min and 0.4 mm² on 1 slide, 90 s a slide; before that, Dice 0.70 "
        "where you labelled; gain +0.012."
    )


def test_scores_work_and_gain_are_drawn_round_by_round_with_a_sign_to_stop(panel, learnable):
    for number, gain in enumerate((0.1, 0.001, 0.002, 0.001), 2):
        learn(learnable.project, f"m00{number}", gain, number / 10)
    learnable.project_changed.emit()
    rounds = panel.rounds
    assert [list(axis) for axis in rounds._dice.getData()] == [[1, 2, 3, 4], [0.2, 0.3, 0.4, 0.5]]
    assert list(rounds._gained.opts["height"]) == [0.1, 0.001, 0.002, 0.001]
    assert list(rounds._minutes.opts["height"]) == [1.5] * 4
    assert "less than half a point" in rounds.stop.text()
