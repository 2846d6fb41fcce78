import pytest

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.events import Stop, Trial
from napari_pathseg.jobs.protocol import Tune, TuningFinished
from napari_pathseg.ui.panels.train.train import TrainPanel


@pytest.fixture
def panel(qtbot, learnable):
    panel = TrainPanel(learnable)
    qtbot.addWidget(panel)
    panel.show()
    panel.tuning_section.set_open(True)
    return panel


def trial(number, score=None, problem="", **settings):
    return Trial(number, 2, f"m{number:03}", settings, score, problem)


def finish(worker, *trials):
    worker.event.emit(TuningFinished(list(trials)))


def shown(table):
    return [
        [table.item(row, column).text() for column in range(table.columnCount())] for row in range(table.rowCount())
    ]


def test_search_starts_with_a_default_grid(panel):
    assert list(panel.tuning.rows.values()) == ["learning_rate", "weight_decay", "batch"]
    assert panel.tuning.effort.text() == "8 trials, about 8 min"


def test_search_space_is_sent_as_typed(panel, worker):
    rows = panel.tuning.rows
    rows.rows[2].remove.click()
    rows.rows[1].text.setText("0, 1e-3")
    panel.tuning.minutes.value = 0.5
    panel.tuning.trials.value = 3
    assert panel.tuning.effort.text() == "3 trials of 4 combinations, about 2 min"
    panel.tuning.button.click()
    (command,) = [command for command in worker.sent if isinstance(command, Tune)]
    assert command.vary == ["learning_rate=1e-4, 1e-3", "weight_decay=0, 1e-3"]
    assert (command.trials, command.search) == (3, "grid")
    assert command.config.minutes == 0.5


def test_setting_can_be_added_and_a_range_searched(panel, worker):
    rows = panel.tuning.rows
    rows.show_values({"learning_rate": "1e-5..1e-2"})
    rows.add.click()
    rows.rows[1].choice.setCurrentText("Loss")
    rows.rows[1].text.setText("focal, dice")
    panel.tuning.button.click()
    assert worker.sent[0].vary == ["learning_rate=1e-5..1e-2", "loss=focal, dice"]
    assert worker.sent[0].search == "optuna"


@pytest.mark.parametrize("values", [{}, {"batch": "4, many"}, {"learning_rate": "7"}])
def test_impossible_values_show_an_error_and_start_nothing(panel, worker, learnable, values):
    from napari.utils.notifications import notification_manager

    notification_manager.records.clear()
    panel.tuning.rows.show_values(values)
    panel.tuning.button.click()
    assert worker.sent == []
    assert not learnable.training.active
    assert [record.severity.value for record in notification_manager.records] == ["error"]


def test_trials_are_listed_by_score_as_they_finish(panel, worker, qtbot):
    table = panel.tuning.table
    panel.tuning.button.click()
    assert not table.isVisible()
    for found in (
        trial(1, 0.5, batch=4),
        trial(2, batch=8),
        trial(2, 0.75, batch=8),
        trial(3, problem="No.", batch=16),
    ):
        worker.event.emit(found)
    qtbot.waitUntil(table.isVisible)
    assert shown(table) == [["0.750", "m002", "8"], ["0.500", "m001", "4"], ["failed", "m003", "16"]]


def test_best_trial_is_reported_at_the_end(panel, worker, learnable):
    messages = []
    learnable.message.connect(lambda *words: messages.append(words))
    panel.tuning.button.click()
    finish(worker, trial(2, 0.75, batch=8), trial(1, 0.5, batch=2))
    assert messages[0][0].startswith("m002 scored best: Dice 0.75.")


def test_selected_trial_sets_the_form(panel, worker, qtbot):
    panel.tuning.button.click()
    best, other = trial(2, 0.75, learning_rate=2e-3, batch=8), trial(1, 0.5, learning_rate=1e-4, batch=2)
    finish(worker, best, other)
    qtbot.waitUntil(panel.tuning.use.isVisible)
    panel.tuning.use.click()
    assert panel.config() == TrainConfig(learning_rate=2e-3, batch=8)
    panel.tuning.table.selectRow(1)
    panel.tuning.table.cellDoubleClicked.emit(1, 0)
    assert panel.config() == TrainConfig(learning_rate=1e-4, batch=2)


def test_search_can_be_stopped_and_blocks_training(panel, worker, qtbot):
    panel.tuning.button.click()
    assert panel.tuning.button.text() == "Stop"
    qtbot.waitUntil(lambda: not panel.button.isEnabled())
    panel.tuning.button.click()
    assert worker.sent[-1] == Stop()
    finish(worker)
    qtbot.waitUntil(panel.button.isEnabled)
    assert panel.tuning.button.text() == "Find"


def test_search_space_is_restored_with_the_project(panel, learnable, worker):
    folder = learnable.require_project().folder
    panel.tuning.rows.show_values({"batch": "2, 4"})
    panel.tuning.button.click()
    learnable.close()
    finish(worker)
    learnable.open_project(folder)
    assert panel.tuning.rows.values() == {"batch": "2, 4"}
