import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage.measure import label

from napari_pathseg.engine.events import run
from napari_pathseg.engine.report.report import report_job
from napari_pathseg.projects.exporting.export import ExportOptions, export
from napari_pathseg.projects.test_uses import log_test_use

TUMOUR = 2


class Page(HTMLParser):
    """What a page has: its tags with their attributes, the rows of its tables by section, and its text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.rows, self.text, self._section, self._svg = [], {}, "", "", 0
        self.titles, self._cell = 0, False
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags.append((tag, values))
        if tag == "h2":
            self._section = values["id"]
        elif tag == "tr":
            self.rows.setdefault(self._section, []).append([])
        elif tag in ("td", "th"):
            self.rows[self._section][-1].append("")
        elif tag == "br" and self.rows.get(self._section):
            self.rows[self._section][-1][-1] += "\n"
        self._svg += tag == "svg"
        self.titles += tag == "title" and self._svg > 0
        self._cell = tag in ("td", "th") or (self._cell and tag not in ("table", "h2", "h3", "p"))

    def handle_endtag(self, tag):
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data):
        self.text += data
        if self._cell:
            self.rows[self._section][-1][-1] += data

    def table(self, section):
        return [[cell.strip() for cell in row] for row in self.rows.get(section, [])]


@pytest.fixture(scope="module")
def written(trained, tmp_path_factory):
    """The report of a model that a short training made: its page, its JSON, its files and its project."""
    project, _, bundle = trained
    folder = tmp_path_factory.mktemp("report")
    files = run(report_job(project, folder, bundle.id))
    html = (folder / "report.html").read_text(encoding="utf8")
    return Page(html), json.loads((folder / "report.json").read_text(encoding="utf8")), files, project, html


@pytest.fixture(scope="module")
def masks(written, tmp_path_factory):
    """The labels and the prediction of each scored slide, as exported images."""
    _, found, _, project, _ = written
    slides = [each["slide"] for each in found["results"]["slides"]]
    arrays = []
    for what in ("mask", "prediction"):
        folder, model = tmp_path_factory.mktemp(what), found["identity"]["model"] if what == "prediction" else None
        export(project, folder, ExportOptions(format="mask", what=what, model=model, slides=slides))
        pictures = [np.array(Image.open(folder / f"{slide}.png")) for slide in slides]
        arrays.append([np.maximum(each, 1) for each in pictures])  # complete: unlabelled is Background
    return dict(zip(slides, zip(*arrays, strict=True), strict=True))


def test_pixel_scores_are_those_of_the_exported_masks(written, masks):
    results = written[1]["results"]
    truth, predicted = (np.concatenate([each.ravel() for each in side]) for side in zip(*masks.values(), strict=True))
    assert results["confusion"] == [[int(((truth == t) & (predicted == p)).sum()) for p in (1, 2)] for t in (1, 2)]
    both, tumour, found = (truth == 2) & (predicted == 2), truth == 2, predicted == 2
    expected = {
        "dice": 2 * both.sum() / (tumour.sum() + found.sum()),
        "iou": both.sum() / (tumour | found).sum(),
        "precision": both.sum() / found.sum(),
        "recall": both.sum() / tumour.sum(),
        "specificity": (~tumour & ~found).sum() / (~tumour).sum(),
    }
    assert {name: results["scores"]["Tumour"][name] for name in expected} == pytest.approx(expected)
    assert results["pixel_error"] == pytest.approx((truth != predicted).mean())


def test_borders_and_lesions_are_those_of_the_exported_masks(written, masks):
    for slide in written[1]["results"]["slides"]:
        truth, predicted = (side == TUMOUR for side in masks[slide["slide"]])
        edges = [each & ~ndimage.binary_erosion(each, border_value=1) for each in (truth, predicted)]
        apart = [ndimage.distance_transform_edt(~edge)[other] for edge, other in (edges, edges[::-1])]
        scores = slide["scores"]["Tumour"]
        assert scores["nsd"] == pytest.approx(np.mean(np.concatenate(apart) <= 10))
        assert scores["hd95"] == pytest.approx(max(np.percentile(each, 95) for each in apart))
        lesions, found = label(truth, connectivity=2), label(predicted, connectivity=2)
        overlaps = [
            ((lesions == one) & (found == other)).sum() / ((lesions == one) | (found == other)).sum()
            for one in range(1, lesions.max() + 1)
            for other in range(1, found.max() + 1)
        ]
        hits = sum(each >= 0.5 for each in overlaps)
        assert scores["lesion_f1_50"] == pytest.approx(2 * hits / (lesions.max() + found.max()))


def test_areas_and_means_over_patients_are_those_of_the_exported_masks(written, masks):
    results = written[1]["results"]
    areas = [((t == TUMOUR).sum() / 1e6, (p == TUMOUR).sum() / 1e6) for t, p in masks.values()]
    agreed = results["areas"]["classes"]["Tumour"]
    assert agreed["bias"]["mean"] == pytest.approx(np.mean([found - truth for truth, found in areas]))
    assert np.allclose([(each["truth"], each["found"]) for each in agreed["patients"]], areas)
    dice = [
        2 * ((t == TUMOUR) & (p == TUMOUR)).sum() / ((t == TUMOUR).sum() + (p == TUMOUR).sum())
        for t, p in masks.values()
    ]
    assert results["by_patient"]["scores"]["Tumour"]["dice"]["mean"] == pytest.approx(np.mean(dice))


def test_figures_on_the_page_are_those_of_the_json(written):
    page, found = written[0], written[1]["results"]
    table = page.table("results")
    row = next(row for row in table if row[0] == "Tumour")
    names = ("dice", "iou", "precision", "recall", "f1", "specificity")
    assert row[1:] == [f"{found['scores']['Tumour'][name]:.3f}" for name in names]
    borders = next(row for row in page.table("borders") if row[0] == "Tumour")
    scores = found["scores"]["Tumour"]
    assert borders[1:3] == [f"{scores['nsd']:.3f}", f"{scores['hd95']:.1f}"]
    counts = [
        [int(re.sub(r"\D", "", re.split(r"\d+\.\d %", cell)[0])) for cell in row[1:]]
        for row in page.table("confusion")[1:]
    ]
    assert counts == found["confusion"]
    for slide in found["slides"]:
        (row,) = (row for row in table if row[0] == slide["slide"])
        assert row[2:4] == [f"{slide['scores'][name]['dice']:.3f}" for name in ("Background", "Tumour")]


def test_page_needs_nothing_else_and_runs_nothing(written):
    page, html = written[0], written[4]
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "iframe", "object", "link", "form", "base"})
    links = [value for _, values in page.tags for name, value in values.items() if name in ("src", "href")]
    assert all(link.startswith(("#", "data:image/png;base64,", "data:application/geo+json;base64,")) for link in links)
    assert not re.search(r"https?:|@import|url\(", html)
    assert not any(name.startswith("on") for _, values in page.tags for name in values)


def test_pictures_and_plots_have_a_text(written):
    tags = written[0].tags
    assert all(values["alt"] for tag, values in tags if tag == "img")
    plots = [values for tag, values in tags if tag == "svg"]
    assert len(plots) == written[0].titles > 3
    assert all(values["role"] == "img" for values in plots)


def test_report_names_what_limits_it(written):
    texts = " ".join(written[1]["warnings"])
    assert "too few for a 95 % interval" in texts
    assert "unknown patients" in texts
    assert all(text in written[0].text for text in written[1]["warnings"])


def test_model_that_is_loaded_again_answers_as_it_is_stored(written):
    again = written[1]["reload"]
    assert again["different_pixels"] <= 0.005 * again["mask_pixels"]  # a trial chooses the precision each time
    assert (again["stored"] == again["again"]) == (again["different_pixels"] == 0)


def test_hashes_are_those_of_the_files(written):
    for name, digest in written[1]["identity"]["sha256"].items():
        assert digest == hashlib.sha256((written[3].folder / name).read_bytes()).hexdigest()
    assert any(name.endswith("weights.safetensors") for name in written[1]["identity"]["sha256"])


def test_no_item_of_the_guidelines_is_blank(written):
    rows = written[0].table("checklist")[1:]
    assert {row[0] for row in rows} >= {str(number) for number in range(1, 43)}
    assert all(all(row) for row in rows)
    assert any(row[3] == "not recorded" for row in rows)


def test_files_are_listed_the_page_first(written):
    files = written[2]
    assert [path.name for path in files[:2]] == ["report.html", "report.json"]
    assert all(path.is_file() for path in files)


def test_project_without_labels_that_are_held_out_has_a_report_that_says_so(trained, tmp_path):
    project, _, bundle = trained
    run(report_job(project, tmp_path, bundle.id, "test"))
    found = json.loads((tmp_path / "report.json").read_text(encoding="utf8"))
    assert found["results"] is None
    assert "no slide of the role test is labelled" in " ".join(found["warnings"])


def test_test_slides_that_were_scored_before_a_training_are_warned_of(trained, tmp_path):
    from napari_pathseg.engine.report.content import partition

    project, _, bundle = trained
    uses = project.folder / "test_uses.jsonl"
    assert not uses.exists()
    log_test_use(project, bundle.id, "scored", ["case5"])
    try:
        assert partition(project, bundle)["trained_after_test"] == []
        uses.write_text(uses.read_text().replace('"time": "20', '"time": "19'))
        assert partition(project, bundle)["trained_after_test"] == [bundle.id]
    finally:
        uses.unlink()
