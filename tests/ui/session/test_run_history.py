import json
from dataclasses import replace

from napari_pathseg.ui.session.job_state import Run
from napari_pathseg.ui.session.run_history import past_run

STARTED = {"event": "started", "run": "r001", "model": "m001", "parent": None, "train": [], "val": []}


def progress(number):
    told = {"fraction": number / 3000, "seconds_left": 9.0, "step": number, "loss": 1 / (number + 1), "rate": 1e-3}
    return {"event": "progress", "stage": "Training", "seconds": float(number), **told}


def validated(seconds, dice):
    return {"event": "validated", "seconds": seconds, "dice": {"Tumour": dice}, "mean_dice": dice}


def write(folder, *messages, end=""):
    text = "".join(json.dumps({"time": 1.0, **message}) + "\n" for message in messages)
    (folder / "events.jsonl").write_text(text + end, encoding="utf8")


def test_what_a_training_told_is_shown_again(tmp_path):
    (tmp_path / "examples.png").touch()
    messages = [STARTED, progress(1), validated(2.0, 0.5), progress(3), {"event": "examples", "path": "elsewhere.png"}]
    write(tmp_path, *messages)
    live = Run("train")
    for message in messages:
        live = live.hear(message)
    expected = replace(live, active=False, fraction=1.0, picture=str(tmp_path / "examples.png"))
    assert past_run(tmp_path) == expected


def test_hours_of_steps_are_read_thinned_out_and_no_score_is_left_out(tmp_path):
    steps = [progress(number) for number in range(3000)]
    write(tmp_path, STARTED, *steps[:1500], validated(1500.0, 0.4), *steps[1500:], validated(3000.0, 0.6))
    run = past_run(tmp_path)
    assert 500 < len(run.losses) < 1001
    assert run.dices == ((1500.0, 0.4), (3000.0, 0.6))


def test_the_half_line_of_a_killed_process_is_left_out(tmp_path):
    write(tmp_path, STARTED, progress(1), end='{"time": 3.0, "event": "prog')
    assert len(past_run(tmp_path).losses) == 1


def test_a_run_that_told_nothing_shows_nothing(tmp_path):
    assert past_run(tmp_path) is None
    write(tmp_path, STARTED)
    assert past_run(tmp_path) is None
