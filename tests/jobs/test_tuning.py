import csv
import json

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import load_bundles
from napari_pathseg.engine.events import PreviewReady, Progress, RequestPreview, Started, Stop, Trial, run
from napari_pathseg.engine.search_space import TuneRequest
from napari_pathseg.errors import BundleError, ConfigError, NothingToLearnError, ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.jobs.tuning import open_study, tune
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.atomic import save_json

TINY = TrainConfig(tile=64, batch=2, steps=2, encoder="mobilenetv3_small_050", weights="none", precision="fp32")
RATES = "learning_rate=1e-4,1e-3"


def request(*vary, config=TINY, **others):
    return TuneRequest.read(vary, config, name="t", **others)


def advance_to(job, kind, model=""):
    """Run a job until an event of this kind, in the training of `model` if one is named."""
    seen = ""
    for event in job:
        seen = event.model if isinstance(event, Started) else seen
        if isinstance(event, kind) and seen >= model:
            return event
    raise AssertionError("the job ended before such an event")


def rows(project):
    with (project.folder / "runs" / "tune-t" / "table.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_combinations_are_whole_trainings_ranked_by_score(project):
    events = []
    job = tune(project, request(RATES, config=TINY.replace(tensorboard=True)))
    while True:
        try:
            events.append(next(job))
        except StopIteration as end:
            result = end.value
            break
    scores = [trial.score for trial in result.trials]
    assert scores == sorted(scores, reverse=True)
    assert result.best == result.trials[0]
    trained = {b.id: (b.config["learning_rate"], b.mean_dice, b.parent) for b in load_bundles(project)[:2]}
    assert trained == {trial.model: (trial.settings["learning_rate"], trial.score, None) for trial in result.trials}
    reported = [(event.number, event.of, event.score) for event in events if isinstance(event, Trial)]
    by_model = {trial.model: trial.score for trial in result.trials}
    assert reported == [(1, 2, None), (1, 2, by_model["m001"]), (2, 2, None), (2, 2, by_model["m002"])]
    assert [row["model"] for row in rows(project)] == [trial.model for trial in result.trials]
    assert json.loads((project.folder / "runs" / "r002" / "status.json").read_text())["state"] == "finished"
    shown = EventAccumulator(str(project.folder / "runs" / "tune-t" / "tensorboard" / "m002")).Reload()
    assert shown.Scalars("mean_dice")[0].value == pytest.approx(by_model["m002"])


def test_best_trial_becomes_the_newest_model(project):
    # a rate of 1e-6 learns nothing: the order alone decides whether the best trial comes last
    copied = []
    for name, rates in (("up", "1e-3,1e-6"), ("down", "1e-6,1e-3")):
        result = run(tune(project, TuneRequest.read([f"learning_rate={rates}"], TINY.replace(steps=4), name=name)))
        newest, best = load_bundles(project)[-1], project.folder / "models" / result.best.model
        assert newest.mean_dice == result.best.score
        weights = project.folder / "models" / newest.id / "weights.safetensors"
        assert weights.read_bytes() == (best / "weights.safetensors").read_bytes()
        copied.append(newest.id != result.best.model)
    assert sorted(copied) == [False, True]


def test_killed_tuning_resumes_where_it_stopped(project):
    job = tune(project, request(RATES))
    advance_to(job, Progress, "m002")
    job.close()  # leaves the lock of the study and the run as a process that ended does
    again = tune(project, request(RATES))
    first = next(again)
    assert (first.number, first.model) == (2, "m002")
    result = run(again)
    assert sorted(trial.run for trial in result.trials) == ["r001", "r002"]
    assert {trial.state for trial in result.trials} == {"finished"}
    before = project.model_ids()
    assert run(tune(project, request(RATES))) == result  # all is done: nothing is trained again
    assert project.model_ids() == before
    more = run(tune(project, request("learning_rate=1e-4,1e-2,1e-3")))  # only the new value is tried
    assert sorted(trial.model for trial in more.trials)[:2] == ["m001", "m002"]
    assert len(more.trials) == 3


def test_table_tells_the_varied_steps_from_those_that_were_made(project):
    run(tune(project, request("steps=2,3")))
    assert sorted((row["setting steps"], row["steps"]) for row in rows(project)) == [("2", "2"), ("3", "3")]


def test_trial_stopped_before_its_first_step_has_neither_run_nor_model(project):
    job = tune(project, request("learning_rate=1e-3"))
    advance_to(job, Started)
    job.send(Stop())
    (trial,) = run(job).trials
    assert (trial.state, trial.run, trial.model) == ("stopped", "", "")
    assert advance_to(tune(project, request("learning_rate=1e-3")), Started).model == "m001"


def test_stopped_trial_keeps_its_best_model_and_is_repeated_next_time(project):
    job = tune(project, request("learning_rate=1e-3", config=TINY.replace(steps=1000)))
    advance_to(job, Progress)
    job.send(Stop())
    (trial,) = run(job).trials
    assert (trial.model, trial.state) == ("m001", "stopped")
    assert load_bundles(project)[0].finished
    again = tune(project, request("learning_rate=1e-3", config=TINY.replace(steps=1000)))
    assert advance_to(again, Started).model == "m002"


def test_previewed_view_is_predicted_in_each_trial(project):
    job = tune(project, request(RATES))
    next(job)
    model, shown = job.send(RequestPreview("case5", Region(0, 0, 64, 64))).model, {}
    for event in job:
        model = event.model if isinstance(event, Started) else model
        if isinstance(event, PreviewReady):
            shown[model] = event.slide
    assert shown == {"m001": "case5", "m002": "case5"}


def test_failed_trial_is_recorded_and_the_next_one_starts(project):
    result = run(tune(project, request("encoder=nonsense,resnet18")))
    good, bad = result.trials
    assert (good.settings["encoder"], good.state) == ("resnet18", "finished")
    assert (bad.score, bad.state) == (None, "failed")
    assert "nonsense" in bad.problem
    assert result.best == good
    assert rows(project)[1]["problem"] == bad.problem


def test_error_is_raised_if_all_trials_fail(project):
    with pytest.raises(BundleError, match="nonsense"):
        run(tune(project, request("encoder=nonsense")))
    assert rows(project)[0]["state"] == "failed"


def test_missing_model_or_contours_are_reported_before_the_first_trial(project, tmp_path):
    with pytest.raises(BundleError, match="has no model"):
        run(tune(project, request(RATES, parent="m007")))
    empty = Project.create(tmp_path / "empty.pathseg")
    with pytest.raises(NothingToLearnError):
        run(tune(empty, request(RATES)))
    assert not list((project.folder / "runs").iterdir()) + list((empty.folder / "runs").iterdir())


def test_tuning_name_belongs_to_one_set_of_shared_settings(project):
    with open_study(project, request(RATES)) as study:
        study.save()
    with pytest.raises(ConfigError, match="batch is 4; the tuning t was started with 2. Give it another name"):
        run(tune(project, request(RATES, config=TINY.replace(batch=4))))


def test_tuning_is_locked_against_a_second_process(project):
    with open_study(project, request(RATES)), pytest.raises(ProjectError, match="tune-t is open in pytest of"):
        run(tune(project, request(RATES)))


def test_damaged_study_says_what_to_do(project):
    folder = project.folder / "runs" / "tune-t"
    folder.mkdir()
    save_json(folder / "study.json", {"trials": []})
    with pytest.raises(ProjectError, match="Delete it, or give the tuning another name"):
        run(tune(project, request(RATES)))
