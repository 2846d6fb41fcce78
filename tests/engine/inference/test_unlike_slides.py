"""A slide that looks unlike those that a model learnt is named before it is predicted, and others are not."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy import ndimage

from napari_pathseg.cli import main
from napari_pathseg.engine.bundle import MOST_LOOKS, load_bundle
from napari_pathseg.engine.events import Note, TileDone, run
from napari_pathseg.engine.inference.predict import predict
from napari_pathseg.engine.inference.unlike_slides import differences, unlike_sentences
from napari_pathseg.errors import BundleError
from napari_pathseg.geometry import Region
from napari_pathseg.projects.importing.add_slides import add_slides
from napari_pathseg.samples import draw_field
from napari_pathseg.slides.look import measure_look

FAMILY = 9


def look_of(pixels, mpp=0.5):
    side = min(256, *pixels.shape[:2])
    starts = [(top, left) for top in range(0, pixels.shape[0], side) for left in range(0, pixels.shape[1], side)]
    return measure_look([pixels[top : top + side, left : left + side] for top, left in starts], mpp)


@pytest.fixture(scope="module")
def fields():
    """Synthetic slides of one family: stains, tissue and focus vary as between laboratories."""
    shares = (0.4, 0.28, 0.0, 0.5)
    return [
        draw_field((384, 384), np.random.default_rng([7, n]), tumour=shares[n % 4], glass=0.1)[0] for n in range(FAMILY)
    ]


@pytest.fixture(scope="module")
def learnt(fields):
    return [look_of(pixels) for pixels in fields[:5]]


def kinds(pixels, learnt, mpp=0.5):
    return [found.kind for found in differences(look_of(pixels, mpp), learnt)]


def rotated(pixels):
    """Return a picture whose hues are shifted by 40 degrees, from pink to red."""
    hsv = np.array(Image.fromarray(pixels).convert("HSV"))
    hsv[..., 0] += 28  # of 256
    return np.array(Image.fromarray(hsv, "HSV").convert("RGB"))


def test_slides_of_the_same_family_are_not_named(fields, learnt):
    for number in range(5, FAMILY):
        assert kinds(fields[number], learnt) == []
        for few in (1, 2, 3):
            assert kinds(fields[number], learnt[:few]) == []


@pytest.mark.parametrize("few", [1, 5])
def test_true_differences_are_named_each_by_its_kind(fields, learnt, few):
    pixels, few_learnt = fields[6], learnt[:few]
    blurred = ndimage.gaussian_filter(pixels, (2, 2, 0))
    denser = 240 * np.exp(-2 * np.log(240 / (pixels + 1.0)))
    assert kinds(blurred, few_learnt) == ["blurred"]
    assert kinds((0.6 * pixels).astype(np.uint8), few_learnt) == ["darker"]
    assert kinds(denser.clip(0, 255).astype(np.uint8), few_learnt) == ["stained more strongly"]
    assert "of another pixel size" in kinds(pixels, few_learnt, mpp=1.0)
    assert "of another pixel size" in kinds(pixels, few_learnt, mpp=0.25)


def test_shifted_hues_are_named(fields, learnt):
    shifted = [pixels for pixels in fields[5:] if kinds(rotated(pixels), learnt) == ["stained in other colours"]]
    assert len(shifted) == len(fields[5:])


def test_a_magnified_slide_is_not_said_to_be_blurred_as_well(fields, learnt):
    large = ndimage.zoom(fields[5], (2, 2, 1), order=1)
    assert kinds(large, learnt, mpp=1.0) == ["of another pixel size"]
    assert kinds(large, learnt) == ["blurred"]  # where the size in the file is wrong, it is seen all the same


def test_the_sentence_says_by_how_much_and_what_to_do(fields, learnt):
    found = {name: differences(look_of((0.6 * fields[6]).astype(np.uint8)), learnt) for name in "abcdefg"}
    (text,) = unlike_sentences(found, "m003")
    assert text.startswith("Unlike the slides that m003 learnt, darker: a (0.6 of their brightness), b (0.6")
    assert "and 3 more" in text
    assert text.endswith("label some of them and train again, or try Adapt to scanner (--adapt).")


def test_a_slide_without_tissue_has_no_look():
    assert measure_look([np.full((64, 64, 3), 250, np.uint8)]) is None
    assert measure_look([]) is None


@pytest.mark.shared_data
@pytest.mark.parametrize(("folder", "pattern"), [("tumour_tif_svg", "*.tiff"), ("glands_jpg_png/images", "*.jpg")])
def test_real_slides_of_one_set_are_like_each_other(shared, folder, pattern):
    looks = [
        look_of(np.array(Image.open(path).convert("RGB")), None)
        for path in sorted((shared / "data" / folder).glob(pattern))
    ]
    random, named = np.random.default_rng(0), []
    for _ in range(20):
        order = random.permutation(len(looks))
        half = len(looks) // 2
        named += [bool(differences(looks[n], [looks[m] for m in order[:half]])) for n in order[half:]]
    assert len(named) > 150
    assert np.mean(named) <= 0.1


@pytest.fixture
def changed(trained, tmp_path):
    """The trained project with two more slides: a blurred one and a dark one."""
    project, _, bundle = trained
    with project.open_slide("case5") as slide:
        pixels = slide.read(Region(0, 0, *slide.shape))
    pictures = {"blurred": ndimage.gaussian_filter(pixels, (2, 2, 0)), "dark": pixels // 2, "alike": pixels[::-1]}
    names = []
    for kind, picture in pictures.items():
        tifffile.imwrite(tmp_path / f"{kind}-{tmp_path.name}.tif", np.ascontiguousarray(picture), photometric="rgb")
        names.append(add_slides(project, [tmp_path / f"{kind}-{tmp_path.name}.tif"])[0].id)
    return project, bundle, names


def test_a_prediction_names_unlike_slides_before_their_tiles(changed):
    project, bundle, (blurred, dark, alike) = changed
    events = []
    run(predict(project, slides=[blurred, dark, alike]), events.append)
    texts = [
        event.text
        for event in events[: [isinstance(e, TileDone) for e in events].index(True)]
        if isinstance(event, Note)
    ]
    by_kind = {text.split(": ")[0].removeprefix(f"Unlike the slides that {bundle.id} learnt, "): text for text in texts}
    assert f"blurred: {blurred} (" in by_kind["blurred"]
    assert f"darker: {dark} (0.5" in by_kind["darker"]
    assert not any(alike in text for text in texts)
    assert len(texts) == len(by_kind) == sum(isinstance(event, Note) for event in events)


def test_the_command_line_names_them_too_with_a_bundle(changed, tmp_path, capsys):
    project, bundle, (blurred, *_) = changed
    image = project.find_file(project.slide(blurred))
    folder = project.folder / "models" / bundle.id
    assert main(["predict", "--bundle", str(folder), str(image), "--out", str(tmp_path / "out")]) == 0
    assert f"blurred: {blurred} (" in capsys.readouterr().err


def test_a_training_describes_its_slides_in_the_bundle(trained):
    _, _, bundle = trained
    assert set(bundle.looks) == set(bundle.train)
    look = bundle.looks[bundle.train[0]]
    assert 200 < look.brightness < 235
    assert np.linalg.norm(look.dense) == pytest.approx(1, abs=1e-3)


@pytest.fixture
def stored(trained, tmp_path):
    """A function that writes the bundle's JSON with a change of its looks, and returns its folder."""
    project, _, bundle = trained
    content = json.loads((project.folder / "models" / bundle.id / "bundle.json").read_text())

    def write(change):
        looks = change(content["looks"])
        changed = {name: value for name, value in content.items() if name != "looks"}
        (tmp_path / "bundle.json").write_text(json.dumps(changed | ({} if looks is None else {"looks": looks})))
        return tmp_path

    return write


def test_an_older_bundle_names_no_slide(stored, changed, fields):
    bundle = load_bundle(stored(lambda looks: None))
    assert bundle.looks == {}
    assert differences(look_of(fields[0]), list(bundle.looks.values())) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda looks: {f"slide{n}": next(iter(looks.values())) for n in range(MOST_LOOKS + 1)},
        lambda looks: {"a": next(iter(looks.values())) | {"brightness": 1e300}},
        lambda looks: {"a": next(iter(looks.values())) | {"density": -1}},
        lambda looks: {"a": next(iter(looks.values())) | {"pale": [1, 0]}},
        lambda looks: {"a": next(iter(looks.values())) | {"sharpness": "9"}},
        lambda looks: [1],
    ],
)
def test_hostile_looks_are_refused(stored, change):
    with pytest.raises(BundleError, match="is damaged"):
        load_bundle(stored(change))


def test_equal_learnt_slides_allow_what_few_slides_allow(fields, learnt):
    assert differences(learnt[0], [learnt[0]] * 20) == []
    assert differences(replace(learnt[0], sharpness=learnt[0].sharpness + 0.3), [learnt[0]] * 20) == []
