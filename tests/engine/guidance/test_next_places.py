import json

import numpy as np
import pytest

from napari_pathseg.cli import main
from napari_pathseg.contours.formats import read_contours
from napari_pathseg.engine.events import Progress, Stop, run
from napari_pathseg.engine.guidance.next_places import next_places
from napari_pathseg.engine.live.kept_features import KeptFeatures
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks.edits import paint
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.skipped_places import offer_all_again, skip_place

BOX = Region(0, 0, 192, 192)


@pytest.fixture
def unlabelled(tmp_path, slides):
    """A project of six slides without labels."""
    project = Project.create(tmp_path / "next.pathseg")
    add_slides(project, slides, AddOptions())
    return project


def draw(project, slide, label, region):
    with project.open_mask(slide) as mask:
        paint(mask, region, np.full(region[2:], label, np.uint8))


def test_without_labels_different_slides_are_offered(unlabelled):
    places = run(next_places(unlabelled, count=4))
    assert len({place.slide for place in places}) == len(places) == 4
    assert {place.reason for place in places} == {"nothing is labelled yet"}
    for place in places:
        assert BOX.intersect(place.region) == place.region
        assert not place.region.empty


def test_with_two_classes_the_places_say_what_a_model_hesitates_between(unlabelled):
    draw(unlabelled, "case0", 1, Region(0, 0, 20, 190))
    with unlabelled.open_slide("case0") as slide:
        dark = slide.read(BOX).mean(axis=-1) < 150
    rows, columns = np.nonzero(dark)
    draw(unlabelled, "case0", 2, Region(int(rows.min()) + 5, int(columns.min()) + 5, 30, 30))
    places = run(next_places(unlabelled, count=5))
    assert places
    for place in places:
        assert "Background" in place.reason or place.reason == "unlike anything labelled"
        assert 0 <= place.doubt <= 1
        assert 0 <= place.novelty <= 1


def test_held_out_and_complete_slides_are_not_offered(unlabelled):
    for slide, role in (("case0", "val"), ("case1", "test")):
        unlabelled.update_slide(slide, role=role)
    unlabelled.update_slide("case2", complete=True)
    offered = {place.slide for place in run(next_places(unlabelled, count=50))}
    assert offered == {"case3", "case4", "case5"}


def test_only_the_slides_that_are_named_are_searched(unlabelled):
    assert {place.slide for place in run(next_places(unlabelled, slides=["case3"]))} == {"case3"}
    with pytest.raises(ProjectError, match="case9"):
        run(next_places(unlabelled, slides=["case9"]))


def test_slide_that_cannot_be_read_is_left_out_with_a_sentence(unlabelled, slides):
    slides[0].write_bytes(b"not a slide")
    notes = []
    places = run(next_places(unlabelled, count=50), on_event=notes.append)
    assert "case0" not in {place.slide for place in places}
    assert any("case0" in getattr(note, "text", "") for note in notes)


def test_search_that_is_stopped_offers_nothing(unlabelled):
    job = next_places(unlabelled)
    next(job)
    with pytest.raises(StopIteration) as end:
        job.send(Stop())
    assert end.value.value == []


def test_command_prints_the_places_and_writes_them_for_qupath(unlabelled, tmp_path, capsys):
    folder = str(unlabelled.folder)
    assert main(["queue", folder, "--count", "2", "--out", str(tmp_path / "next"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["places"]) == len(answer["files"]) == 2
    (first, _) = answer["places"]
    (frame,) = read_contours(tmp_path / "next" / f"{first['slide']}.geojson")
    top, left, height, width = first["region"]
    assert np.ptp(frame.exterior, axis=0).tolist() == [height, width]
    assert frame.exterior.min(axis=0).tolist() == [top - 0.5, left - 0.5]
    assert frame.class_name == f"Next: {first['reason']}"
    assert main(["queue", folder, "--count", "0"]) == 1


def test_places_that_were_skipped_stay_away_after_the_project_was_opened_again(unlabelled):
    first, *others = run(next_places(unlabelled, count=50))
    skip_place(unlabelled, first.slide, first.region)
    offered = run(next_places(Project.open(unlabelled.folder), count=50))
    assert len(offered) >= len(others)
    assert not [place for place in offered if place.slide == first.slide and overlap(place.region, first.region)]
    offer_all_again(unlabelled)
    assert run(next_places(unlabelled, count=50))[0] == first


def overlap(one, other):
    return not one.intersect(other).empty


def test_second_search_finds_the_features_of_the_first_on_disk(unlabelled, monkeypatch):
    before = run(next_places(unlabelled))
    monkeypatch.setattr(KeptFeatures, "compute", lambda *_: pytest.fail("a tile was computed again"))
    assert run(next_places(unlabelled)) == before


def test_stopped_search_offers_what_it_has_looked_at(unlabelled):
    def stop_after_two_slides(event):
        return Stop() if isinstance(event, Progress) and event.fraction > 0.3 else None

    assert 0 < len({place.slide for place in run(next_places(unlabelled), stop_after_two_slides)}) < 6
    assert run(next_places(unlabelled), lambda _: Stop(now=True)) == []
