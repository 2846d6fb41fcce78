import copy
import json

import pytest

from napari_pathseg.engine.events import run
from napari_pathseg.engine.report import content
from napari_pathseg.engine.report.page import page
from napari_pathseg.engine.report.plots import Axes, Series, chart
from napari_pathseg.engine.report.report import report_job

HOSTILE = '<script>alert("1")</script>\'"&'


@pytest.fixture(scope="module")
def found(trained, tmp_path_factory):
    project, _, bundle = trained
    folder = tmp_path_factory.mktemp("page")
    run(report_job(project, folder, bundle.id))
    values = json.loads((folder / "report.json").read_text(encoding="utf8"))
    for place in values["places"]:
        place["picture"] = None
    return values


def hostile(values):
    """Replace each text, and each name of a class or slide, by one that would run code."""
    return json.loads(json.dumps(values).replace("Tumour", json.dumps(HOSTILE)[1:-1]).replace("case", "<b>case"))


def links(values):
    return {place["slide"]: "{}" for place in values["places"]}


def test_names_of_strangers_are_shown_as_text(found):
    values = hostile(found)
    html = page(values, links(values))
    assert "<script" not in html
    assert "<b>" not in html
    assert "&lt;script&gt;alert" in html


def test_places_are_shown_with_where_they_are_and_a_link_for_qupath(found):
    place = {
        "slide": "case9",
        "region": [10, 20, 30, 40],
        "labelled": "Tumour",
        "predicted": "Background",
        "confidence": 0.98,
        "mask_pixels": 1234,
        "area_mm2": None,
        "picture": None,
        "command": "pathseg open p.pathseg --slide case9 --region 10,20,30,40",
    }
    html = page({**found, "places": [place]}, {"case9": '{"type": "FeatureCollection"}'})
    assert "Row 10, column 20, 30 × 40 pixels" in html
    assert 'href="data:application/geo+json;base64,' in html
    assert place["command"] in html


def test_labels_that_a_model_made_are_warned_of(found):
    values = copy.deepcopy(found)
    scored = values["results"]["slides"][0]["slide"]
    for row in values["data"]["slides"]:
        row["provenance"]["accepted"] = 5 if row["slide"] == scored else 0
    assert any(f"Labels of {scored} were accepted" in text for text in content.warnings(values))


def test_diagram_has_a_title_and_texts_that_can_be_selected():
    svg = chart("Dice & time", Axes("minutes", "Dice <%>"), [Series("held out", [(0, 0.5), (3, 0.8)])])
    assert "<title>Dice &amp; time</title>" in svg
    assert "Dice &lt;%&gt;</text>" in svg
    assert chart("", Axes("", ""), [Series("", [])]) == ""
