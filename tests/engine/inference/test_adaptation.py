"""Adapt to scanner: batch norms measured on a slide undo what its scanner changed, and change little elsewhere."""

import json
import shutil
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch

from napari_pathseg.cli import main
from napari_pathseg.config import PredictConfig, ScoreConfig
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.bundle_io import load_network, save_bundle, save_weights
from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.device import Device
from napari_pathseg.engine.evaluation.evaluation import score_job
from napari_pathseg.engine.events import Note, run
from napari_pathseg.engine.inference.adaptation import ScannerAdapter
from napari_pathseg.engine.inference.predict import is_adapted, predict
from napari_pathseg.engine.networks import build_network
from napari_pathseg.errors import ConfigError
from napari_pathseg.geometry import Region
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project

WHOLE = Region(0, 0, 192, 192)
CPU = Device(torch.device("cpu"), bfloat16=False)
ADAPT = PredictConfig(adapt=True)


def draw(folder, name, seed, light=(1.0, 1.0, 1.0)):
    """Write a slide like those that were learnt, dark squares on pale ground, under another light, and its mask."""
    random, side = np.random.default_rng(seed), 384
    pixels, squares = random.integers(190, 230, (side, side, 3)), np.zeros((side, side), bool)
    for corner in ((0, 0), (0, 192), (192, 0), (192, 192)):
        top, left = random.integers(20, 80, 2) + corner
        squares[top : top + 80, left : left + 80] = True
    pixels[squares] = random.integers(60, 120, (squares.sum(), 3))
    path = folder / f"{name}.tif"
    tifffile.imwrite(path, (pixels * light).astype(np.uint8), photometric="rgb")
    (folder / "masks").mkdir(exist_ok=True)
    tifffile.imwrite(folder / "masks" / f"{name}.tif", np.where(squares, np.uint8(255), np.uint8(0)))
    return path


@pytest.fixture
def scanned(trained, tmp_path):
    """A copy of the trained project with four new slides, two of them from a scanner that is darker and redder."""
    source, _, bundle = trained
    shutil.copytree(source.folder, tmp_path / "copy.pathseg")
    project, names = Project.open(tmp_path / "copy.pathseg"), {"plain": [], "shifted": []}
    for number, kind in enumerate(["plain", "shifted"] * 2):
        light = (0.65, 0.55, 0.6) if kind == "shifted" else (1.0, 1.0, 1.0)
        path = draw(tmp_path, f"{kind}{number}", number // 2, light)
        add_slides(project, [path], AddOptions(contours=tmp_path / "masks"))
        names[kind].append(path.stem)
    return project, bundle, names


def dice(project, bundle, slides):
    answer = run(score_job(project, "all", bundle.id, slides, ScoreConfig(adapt=True)))
    assert [slide["slide"] for slide in answer["slides"]] == slides
    return answer["mean_dice"], answer["adapted"]["mean_dice"]


def test_adapted_scores_are_higher_on_another_scanner_and_alike_on_the_same(scanned):
    project, bundle, names = scanned
    plain, adapted = dice(project, bundle, names["shifted"])
    assert adapted > plain + 0.1
    plain, adapted = dice(project, bundle, names["plain"])
    assert abs(adapted - plain) < 0.05


def probabilities(project, bundle, slide, **settings):
    run(predict(project, PredictConfig(**settings), bundle.id, slides=[slide]))
    return np.asarray(project.find_prediction(bundle.id, slide).probabilities)


def test_tiles_depend_on_it_and_an_adapted_prediction_is_the_same_each_time(scanned):
    project, bundle, names = scanned
    slide = names["shifted"][0]
    plain = probabilities(project, bundle, slide)
    assert not is_adapted(project.find_prediction(bundle.id, slide))
    adapted = probabilities(project, bundle, slide, adapt=True)
    assert is_adapted(project.find_prediction(bundle.id, slide))
    assert not np.array_equal(plain, adapted)
    assert np.array_equal(probabilities(project, bundle, slide), plain)
    run(predict(project, ADAPT, bundle.id, slides=[names["plain"][0], slide]))  # another slide before it
    assert np.array_equal(np.asarray(project.find_prediction(bundle.id, slide).probabilities), adapted)


def test_it_goes_with_augmentation_shifts_and_blending(scanned):
    project, bundle, names = scanned
    slide = names["shifted"][0]
    for settings in ({"tta": 2}, {"shifts": 2}, {"blend": True}):
        plain = probabilities(project, bundle, slide, **settings)
        assert not np.array_equal(probabilities(project, bundle, slide, adapt=True, **settings), plain)


def test_plain_scores_stay_plain_after_an_adapted_prediction(scanned):
    project, bundle, names = scanned
    before = dice(project, bundle, names["shifted"])
    run(predict(project, ADAPT, bundle.id, slides=names["shifted"]))
    assert dice(project, bundle, names["shifted"]) == before
    assert is_adapted(project.find_prediction(bundle.id, names["shifted"][0]))


def test_score_prints_both(scanned, capsys):
    project, _, names = scanned
    for name in names["shifted"]:
        project.update_slide(name, role="test")
    assert main(["score", str(project.folder), "--adapt"]) == 0
    out = capsys.readouterr().out
    assert "Dice of     plain   adapted  difference" in out
    assert main(["score", str(project.folder), "--adapt", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["adapted"]["scores"]["Tumour"]["dice"] > answer["scores"]["Tumour"]["dice"]


def test_openvino_is_refused_with_what_to_do():
    with pytest.raises(ConfigError, match="adapt needs torch. Choose runtime auto or torch"):
        PredictConfig(adapt=True, runtime="openvino")


def test_weights_and_other_slides_are_left_as_they_were(scanned):
    project, bundle, names = scanned
    network = load_network(project.folder / "models" / bundle.id).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    adapter = ScannerAdapter(network)
    with closing(SlidePatchSource(project, project.slide(names["shifted"][0]))) as slide:
        adapter.adapt_to(project, slide, CPU)
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.rpartition(".")[2] in ("running_mean", "running_var", "num_batches_tracked") for name in changed)
    assert not any(part.training for part in network.modules())
    adapter.restore()
    assert all(
        torch.equal(tensor, before[name])
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    )


def test_a_network_without_batch_norm_says_so_in_one_sentence(scanned):
    project, bundle, names = scanned
    spec = NetworkSpec("unet-classic", "", 2)
    other = replace(bundle, id="m002", network=spec, looks={}, config={"precision": "fp32"})
    save_weights(project.folder / "models" / "m002", build_network(spec).state_dict())
    save_bundle(project.folder / "models" / "m002", other)
    events = []
    run(predict(project, ADAPT.replace(halo="32"), "m002", slides=names["plain"][:1]), events.append)
    texts = [event.text for event in events if isinstance(event, Note)]
    assert texts == ["m002 has no batch norm, so it is not adapted to the scanner: this is its plain answer."]
