import pytest
import torch

from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.inference import tta
from napari_pathseg.engine.networks import build_network

SPEC = NetworkSpec("unet", "mobilenetv3_small_050", 2, context=True)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_network(SPEC).eval()


@pytest.fixture
def tiles():
    return torch.randint(0, 256, (2, 2, 3, 64, 96), dtype=torch.uint8).unbind()


def turn(tensor, quarters, flipped):
    turned = tensor.rot90(quarters, (-2, -1))
    return turned.flip(-1) if flipped else turned


def turn_back(tensor, quarters, flipped):
    return (tensor.flip(-1) if flipped else tensor).rot90(-quarters, (-2, -1))


@torch.inference_mode()
def test_one_symmetry_is_the_network_itself(network, tiles):
    assert torch.equal(tta.TestTimeAugmentation(network, 1)(*tiles), network(*tiles))


@torch.inference_mode()
def test_eight_symmetries_give_the_mean_over_all_rotations_and_flips(network, tiles):
    pixels, context = tiles
    answers = [
        turn_back(
            network(turn(pixels, quarters, flipped), turn(context, quarters, flipped)).softmax(1), quarters, flipped
        )
        for quarters in range(4)
        for flipped in (False, True)
    ]
    found = tta.TestTimeAugmentation(network, 8)(pixels, context)
    torch.testing.assert_close(found.exp(), torch.stack(answers).mean(0), rtol=0, atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize(("quarters", "flipped"), [(0, False), (1, False), (2, True), (3, True)])
def test_eight_symmetries_make_the_prediction_equivariant(network, tiles, quarters, flipped):
    pixels, context = tiles
    eight = tta.TestTimeAugmentation(network, 8)
    turned = eight(turn(pixels, quarters, flipped), turn(context, quarters, flipped))
    torch.testing.assert_close(turn_back(turned, quarters, flipped), eight(pixels, context), rtol=0, atol=1e-4)
