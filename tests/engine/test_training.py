import contextlib
import csv
import time

import numpy as np
import pytest

from napari_pathseg.config import TrainConfig
from napari_pathseg.data.geometry import Region
from napari_pathseg.data.project import Project
from napari_pathseg.engine.bundle import load_bundle
from napari_pathseg.engine.checkpoint import load_network
from napari_pathseg.engine.events import Note, Progress, Show, Started, Stop, Validated, View, run
from napari_pathseg.engine.training import train
from napari_pathseg.errors import BundleError, NothingToLearnError

SHORT = TrainConfig(minutes=0.06, tile=64, batch=2, decoder_seconds=1, cached_tiles=8)


def test_a_short_training_finds_the_dark_squares(trained):
    _, _, bundle = trained
    assert bundle.mean_dice > 0.8
    assert bundle.scores["Tumour"]["dice"] == bundle.mean_dice


def test_it_says_what_it_learns_from_and_how_far_it_is(trained):
    _, events, _ = trained
    (started,) = [event for event in events if isinstance(event, Started)]
    assert (len(started.train), len(started.val)) == (4, 1)
    assert "case5" not in started.train + started.val
    fractions = [event.fraction for event in events if isinstance(event, Progress)]
    assert fractions == sorted(fractions)
    stages = [event.stage for event in events if isinstance(event, Progress)]
    assert list(dict.fromkeys(stages)) == ["Reading", "Quick look", "Training"]


def test_the_best_validation_is_the_one_that_is_kept(trained):
    _, events, bundle = trained
    assert bundle.mean_dice == max(event.mean_dice for event in events if isinstance(event, Validated))


def test_the_bundle_on_disk_rebuilds_the_network_and_tells_its_story(trained):
    project, _, bundle = trained
    folder = project.folder / "models" / "m001"
    assert load_bundle(folder) == bundle
    assert bundle.finished
    assert bundle.parent is None
    assert load_network(folder).net is not None
    rows = list(csv.DictReader((folder / "curves.csv").open()))
    assert float(rows[-1]["dice"]) <= bundle.mean_dice
    assert {"step", "seconds", "loss", "Tumour"} <= set(rows[0])


def test_training_keeps_to_its_minutes(trained):
    _, _, bundle = trained
    assert bundle.seconds < 60 * bundle.config["minutes"] + 8  # a validation and a step may be under way at the end


def test_stop_ends_soon_and_keeps_the_best(project):
    job = train(project, SHORT.replace(minutes=10, decoder_seconds=1))
    while not isinstance(next(job), Validated):
        pass
    start = time.perf_counter()
    with contextlib.suppress(StopIteration):
        job.send(Stop())
        run(job)
    assert time.perf_counter() - start < 20
    assert project.model_ids() == ["m001"]
    assert load_bundle(project.folder / "models" / "m001").finished


def test_the_view_is_predicted_while_it_learns(project):
    job = train(project, SHORT.replace(minutes=0.2, decoder_seconds=6))
    views = []
    event = next(job)
    try:
        event = job.send(Show("case5", Region(16, 0, 100, 150)))
        while True:
            if isinstance(event, View):
                views.append((event, np.load(event.path)))
            event = next(job)
    except StopIteration:
        pass
    assert len(views) >= 2
    event, classes = views[-1]
    assert (event.slide, event.region) == ("case5", Region(16, 0, 100, 150))
    assert classes.shape == (100, 150)
    assert set(np.unique(classes)) <= {1, 2}
    assert len({event.path for event, _ in views}) == len(views)  # none is overwritten while it is read


def test_a_view_of_an_unknown_slide_does_not_end_the_training(project, caplog):
    job = train(project, SHORT)
    next(job)
    job.send(Show("came later", Region(0, 0, 64, 64)))
    assert run(job).finished
    assert "came later" in caplog.text


def test_a_second_model_goes_on_from_the_first_and_is_no_worse(project):
    first = run(train(project, SHORT))
    second = run(train(project, SHORT))
    assert second.parent == first.id
    assert second.mean_dice >= first.mean_dice
    assert second.val == first.val
    assert run(train(project, SHORT, parent=None)).parent is None


def test_a_training_that_finds_nothing_better_says_so(project):
    run(train(project, SHORT))
    job, said = train(project, SHORT.replace(learning_rate=0.1, minutes=0.05)), []
    with contextlib.suppress(StopIteration):
        while True:
            event = next(job)
            said += [event.text] if isinstance(event, Note) else []
    first, second = (load_bundle(project.folder / "models" / name) for name in ("m001", "m002"))
    better = second.mean_dice > first.mean_dice
    assert any("Nothing better than m001" in text for text in said) != better


def test_a_killed_training_leaves_its_best_model_whole(project):
    job = train(project, SHORT.replace(minutes=1))
    while not isinstance(next(job), Validated):
        pass
    del job  # as if the process had died: nothing after the validation is written
    reopened = Project.open(project.folder)
    assert not load_bundle(project.folder / "models" / "m001").finished
    assert reopened.model_ids() == ["m001"]
    load_network(project.folder / "models" / "m001")


def test_a_project_without_contours_makes_no_run(tmp_path):
    project = Project.create(tmp_path / "p.pathseg")
    with pytest.raises(NothingToLearnError):
        run(train(project, SHORT))
    assert not list((project.folder / "runs").iterdir())


def test_an_unknown_parent_is_answered_with_the_known_ones(trained):
    project, _, _ = trained
    with pytest.raises(BundleError, match='has no model "m077". It has: m001'):
        run(train(project, SHORT, parent="m077"))
