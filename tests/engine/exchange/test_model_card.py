"""The card of a model says what is known, and "not recorded" of the rest."""

import hashlib
import re
import shutil

from bundle_helpers import make_bundle

from napari_pathseg.engine.bundle import MODEL_CARD, make_newest
from napari_pathseg.engine.exchange.model_card import model_card
from napari_pathseg.projects.model_weights import WEIGHTS
from napari_pathseg.slides.look import Look


def rows(card):
    return dict(re.findall(r"^\| ([^|]+?) \| (.+?) \|$", card, re.MULTILINE))


def test_training_writes_a_card_with_the_hash_of_its_weights(trained):
    project, _, bundle = trained
    folder = project.folder / "models" / bundle.id
    card = (folder / MODEL_CARD).read_text(encoding="utf8")
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    assert card.startswith(f"# Model {bundle.id}\n")
    assert rows(card)[WEIGHTS] == f"SHA-256 {digest}"
    assert rows(card)["Classes"] == "Background, Tumour"
    assert f"| Tumour | {bundle.scores['Tumour']['dice']:.4f} |" in card
    assert "measured on" in rows(card)["Stain"]
    assert not any(slide in card for slide in project.slides)


def test_card_counts_patients_where_they_are_known():
    known = rows(model_card(make_bundle(train=["a", "b"], val=["c"], train_patients=1, val_patients=1), {}))
    assert known["Learnt"] == "2 slides, 1 patient"
    unknown = rows(model_card(make_bundle(train=["a", "b"], val=["c"]), {}))
    assert unknown["Learnt"] == "2 slides, number of patients not recorded"
    assert unknown["Stain"] == unknown["Date"] == unknown["Scanner"] == "not recorded"


def test_card_of_a_model_that_few_patients_judged_says_so():
    few = model_card(make_bundle(train=["a"], val=["b"], val_patients=1), {})
    many = model_card(make_bundle(train=["a"], val=["b"], val_patients=8), {})
    assert "scored on 1 patient, too few" in few
    assert "too few" not in many


def test_colours_of_the_stain_are_those_that_were_measured():
    look = Look(230.0, 0.5, (0.2, 0.9, 0.4), (0.6, 0.7, 0.3), 1.0)
    assert (
        "paler tissue #d168ab, denser tissue #8c7fbd" in rows(model_card(make_bundle(looks={"a": look}), {}))["Stain"]
    )


def test_names_cannot_change_the_table():
    classes = [{"name": "Background", "color": "#8fc68f"}, {"name": "a|b <img src=x>", "color": "#c80000"}]
    card = model_card(make_bundle(classes=classes), {})
    assert r"a\|b &lt;img src=x&gt;" in card


def test_card_of_a_copy_has_the_name_of_the_copy(project, trained):
    source, _, bundle = trained
    for name in ("m001", "m002"):
        shutil.copytree(source.folder / "models" / bundle.id, project.folder / "models" / name)
    (project.folder / "models" / "m002" / WEIGHTS).write_bytes(b"other")
    assert make_newest(project, "m001") == "m003"
    assert (project.folder / "models" / "m003" / MODEL_CARD).read_text(encoding="utf8").startswith("# Model m003\n")
