import json
from dataclasses import replace

from napari_pathseg.engine.events import Progress, Started, Validated, ValidationSamplesReady
from napari_pathseg.ui.session.job_state import JobKind, JobState
from napari_pathseg.ui.session.run_history import load_run

STARTED = Started("r001", "m001", None, [], [])


def progress(number):
    return Progress("Training", number / 3000, 9.0, number, 1 / (number + 1), 1e-3, float(number))


def validated(seconds, dice):
    return Validated(3, seconds, 0.5, {"Tumour": dice}, dice, best=True)


def write(folder, *events, end=""):
    text = "".join(json.dumps({"time": 1.0, **event.to_json()}) + "\n" for event in events)
    (folder / "events.jsonl").write_text(text + end, encoding="utf8")


def test_what_a_training_told_is_shown_again(tmp_path):
    (tmp_path / "examples.png").touch()
    events = [STARTED, progress(1), validated(2.0, 0.5), progress(3), ValidationSamplesReady("elsewhere.png")]
    write(tmp_path, *events)
    live = JobState(JobKind.TRAIN)
    for event in events:
        live = live.after(event)
    expected = replace(live, active=False, fraction=1.0, samples_path=str(tmp_path / "examples.png"))
    assert load_run(tmp_path) == expected


def test_hours_of_steps_are_read_thinned_out_and_no_score_is_left_out(tmp_path):
    steps = [progress(number) for number in range(3000)]
    write(tmp_path, STARTED, *steps[:1500], validated(1500.0, 0.4), *steps[1500:], validated(3000.0, 0.6))
    run = load_run(tmp_path)
    assert 500 < len(run.losses) < 1001
    assert run.dices == ((1500.0, 0.4), (3000.0, 0.6))


def test_the_half_line_of_a_killed_process_is_left_out(tmp_path):
    write(tmp_path, STARTED, progress(1), end='{"time": 3.0, "event": "prog')
    assert len(load_run(tmp_path).losses) == 1


def test_a_run_that_told_nothing_shows_nothing(tmp_path):
    assert load_run(tmp_path) is None
    write(tmp_path, STARTED)
    assert load_run(tmp_path) is None
