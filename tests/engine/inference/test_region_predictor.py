import numpy as np
import pytest
import torch

from napari_pathseg.config import PredictConfig
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.bundle_io import load_network
from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.device import Device
from napari_pathseg.engine.events import run
from napari_pathseg.engine.inference import tta
from napari_pathseg.engine.inference.predict import predict
from napari_pathseg.engine.inference.region_predictor import RegionPredictor
from napari_pathseg.engine.networks import build_network
from napari_pathseg.geometry import Region

FP32 = Device(torch.device("cpu"), bfloat16=False)
BOX, HALO = Region(32, 64, 96, 64), 32
OFFSETS = [(0, 0), (16, 16), (0, 16), (16, 0)]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_network(NetworkSpec("unet", "mobilenetv3_small_050", 2)).eval()


@pytest.fixture
def source(project):
    slide = SlidePatchSource(project, project.slide("case0"))
    yield slide
    slide.close()


def read_padded(project, slide, margin):
    """Return a slide's pixels with mirrored margins."""
    with project.open_slide(slide) as opened:
        pixels = opened.read(Region(0, 0, 192, 192))
    return np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="reflect")


@torch.inference_mode()
def average(network, padded, margin, box, offsets, halo):
    """Return the mean probability over windows that begin `offset` pixels earlier, cut out by hand."""
    total = 0
    for down, right in offsets:
        top, left = box.top - down - halo, box.left - right - halo
        rows, columns = (
            -(-(size + shift + 2 * halo) // 32) * 32 for size, shift in ((box.height, down), (box.width, right))
        )
        window = padded[margin + top : margin + top + rows, margin + left : margin + left + columns]
        answer = network(torch.from_numpy(window.copy()).movedim(-1, 0)[None])[0].softmax(0)
        total = total + answer[:, halo + down :, halo + right :][:, : box.height, : box.width]
    return total / len(offsets)


@pytest.mark.parametrize("shifts", [1, 2, 3, 4])
@pytest.mark.parametrize("symmetries", [1, 4])
def test_shifted_passes_are_the_mean_of_windows_shifted_by_hand(network, project, source, shifts, symmetries):
    averaged = tta.TestTimeAugmentation(network, symmetries)
    found = RegionPredictor(averaged, FP32, HALO, shifts).probabilities(source, BOX)
    expected = average(averaged, read_padded(project, "case0", 128), 128, BOX, OFFSETS[:shifts], HALO)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_shifted_passes_differ_from_one_another(network, source):
    one, four = (RegionPredictor(network, FP32, HALO, n).probabilities(source, BOX) for n in (1, 4))
    assert (one - four).abs().max() > 1e-3


def test_shifts_do_not_eat_into_the_halo(network, project, source):
    found = RegionPredictor(network, FP32, halo=0, shifts=4).probabilities(source, BOX)
    expected = average(network, read_padded(project, "case0", 64), 64, BOX, OFFSETS, 0)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_prediction_of_a_slide_averages_the_shifted_passes(trained):
    project, _, bundle = trained
    run(predict(project, PredictConfig(shifts=4, tta=2, halo="128"), slides=["case1"]))
    stored = np.asarray(project.find_prediction(bundle.id, "case1").probabilities)
    network = tta.TestTimeAugmentation(load_network(project.folder / "models" / bundle.id).eval(), 2)
    box, halo = Region(0, 0, 192, 192), 128
    expected = average(network, read_padded(project, "case1", 191), 191, box, OFFSETS, halo)
    assert np.abs(stored / 255 - expected.numpy()).mean() < 0.01  # bfloat16 where that is faster, and 8 bits


@torch.inference_mode()
def test_disagreement_is_the_mutual_information_of_all_positions(network, project, source):
    predictor = RegionPredictor(tta.TestTimeAugmentation(network, 2), FP32, HALO, 2)
    probabilities, found = predictor.compute_both(predictor.read(source, BOX))
    answers = []
    for count, shifts in ((1, 1), (2, 1), (1, 2), (2, 2)):
        single = RegionPredictor(tta.TestTimeAugmentation(network, count), FP32, HALO, shifts)
        answers.append(single.compute(single.read(source, BOX)))
    first, with_turned, with_shifted, mean = answers
    turned, shifted = 2 * with_turned - first, 2 * with_shifted - first
    both = 4 * mean - first - turned - shifted
    entropies = [-(each * each.clamp_min(1e-12).log()).sum(0) for each in (first, turned, shifted, both, mean)]
    information = (entropies[4] - torch.stack(entropies[:4]).mean(0)) / np.log(2)
    torch.testing.assert_close(probabilities, mean, rtol=0, atol=1e-5)
    torch.testing.assert_close(found, information.clamp_min(0).sqrt(), rtol=0, atol=5e-3)
    assert found.max() > 0.01


@torch.inference_mode()
def test_one_position_cannot_disagree(network, source):
    for predictor in (
        RegionPredictor(network, FP32, HALO),
        RegionPredictor(tta.TestTimeAugmentation(network, 1), FP32, HALO, 1),
    ):
        assert predictor.compute_both(predictor.read(source, BOX))[1] is None
