import copy

import pytest
import segmentation_models_pytorch as smp
import torch
from torch.nn import functional as F

from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks import Network, build_network
from napari_pathseg.engine.networks.kinds import NETWORK_KINDS
from napari_pathseg.engine.networks.smp import SmpNetwork
from napari_pathseg.errors import BundleError

LITE0 = "tf_efficientnet_lite0"
ENCODERS = {"unetplusplus": "resnet18", "segformer": "mit_b0"}  # where they differ from LITE0, for variety
ALL = {name: "none" if kind.own_encoder else ENCODERS.get(name, LITE0) for name, kind in NETWORK_KINDS.items()}
LIGHT = [name for name in ALL if name != "fcn8s"]
SMP = [name for name in LIGHT if not NETWORK_KINDS[name].own_encoder]


def noise(rows: int, columns: int, seed: int = 0, tiles: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (tiles, 3, rows, columns), dtype=torch.uint8, generator=generator)


def fresh(architecture: str, *, context: bool = False, encoder: str | None = None) -> Network:
    torch.manual_seed(0)
    return build_network(NetworkSpec(architecture, encoder or ALL[architecture], 3, context=context))


@pytest.fixture(scope="module", params=ALL)
def network(request):
    return fresh(request.param).eval()


def test_network_returns_a_logit_per_class_and_pixel_at_any_size(network):
    with torch.inference_mode():
        assert network(noise(37, 51)).shape == (1, 3, 37, 51)


def test_decoding_cached_features_equals_the_whole_network(network):
    pixels = noise(32, 32)
    with torch.inference_mode():
        features = network.encode(pixels)
        assert torch.equal(network.decode(features), network(pixels))
    assert features[0].shape[-1] >= features[-1].shape[-1]


@pytest.mark.parametrize("network", LIGHT, indirect=True)
def test_padding_to_the_multiple_equals_padding_by_hand(network):
    missing = -27 % network.multiple
    before, after = missing // 2, missing - missing // 2
    grown = F.pad(noise(27, 27).float(), (before, after, before, after), mode="replicate")
    middle = slice(before, before + 27)
    with torch.inference_mode():
        assert torch.equal(network(noise(27, 27)), network(grown)[..., middle, middle])


def test_encoder_and_decoder_parameters_partition_the_network(network):
    encoder = {id(parameter) for parameter in network.encoder_parameters()}
    decoder = {id(parameter) for parameter in network.decoder_parameters()}
    assert encoder
    assert decoder
    assert not decoder & encoder
    assert decoder | encoder == {id(parameter) for parameter in network.parameters()}


def test_biases_have_no_weight_decay(network):
    decayed = {id(parameter) for parameter in network.decayed_parameters()}
    assert decayed
    assert not any(id(p) in decayed for name, p in network.named_parameters() if name.endswith("bias"))


@pytest.mark.parametrize("network", LIGHT, indirect=True)
def test_channels_last_and_bfloat16_give_similar_logits(network):
    pixels = noise(64, 64)
    halved = copy.deepcopy(network).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        exact = network(pixels)
        with torch.autocast("cpu", torch.bfloat16):
            assert (halved(pixels) - exact).abs().mean() < 0.1 * (exact.max() - exact.min())


@pytest.mark.parametrize("architecture", SMP)
def test_decoder_trains_on_rebatched_cached_features(architecture):
    network = fresh(architecture, context=True).eval()
    with torch.no_grad():
        kept = network.encode(noise(64, 64, tiles=3), noise(64, 64, 1, tiles=3))
    levels = [torch.stack([level[1], level[0]]).flip([3]) for level in kept]
    network.train()
    F.cross_entropy(network.decode(levels), torch.zeros(2, 64, 64, dtype=torch.long)).backward()
    assert all(parameter.grad is not None for parameter in network.decoder_parameters())
    assert all(parameter.grad is None for parameter in network.encoder_parameters())


def test_unknown_network_is_refused_with_a_list_of_networks():
    with pytest.raises(
        BundleError, match='"unet3d" is not a network of this version. Choose one of unet, unetplusplus, fpn'
    ):
        build_network(NetworkSpec("unet3d", LITE0, 2))


def test_unknown_encoder_is_refused_with_similar_names():
    with pytest.raises(BundleError, match='"resnet43" is not an encoder .* Similar: .*resnet34.*list_models'):
        build_network(NetworkSpec("unet", "resnet43", 2))


@pytest.mark.parametrize("name", ["hf-hub:someone/model", "local-dir:/tmp/model"])
def test_hub_encoder_is_never_downloaded(name):
    with pytest.raises(BundleError, match="is not an encoder"):
        build_network(NetworkSpec("unet", name, 2))


@pytest.mark.parametrize(("architecture", "encoder"), [("unetplusplus", "mit_b0"), ("unet", "levit_128s")])
def test_encoder_that_does_not_work_with_the_network_is_refused(architecture, encoder):
    with pytest.raises(BundleError, match=f"{architecture} does not work with the encoder {encoder}"):
        build_network(NetworkSpec(architecture, encoder, 2))


def test_bug_in_our_own_code_keeps_its_traceback():
    with pytest.raises(AttributeError, match="NoSuchModel"):
        SmpNetwork(NetworkSpec("unet", "resnet18", 2), "NoSuchModel")


def test_memory_error_while_building_keeps_its_traceback(monkeypatch):
    def broken(*args, **options):
        raise MemoryError("no more memory")

    monkeypatch.setattr(smp, "Unet", broken)
    with pytest.raises(MemoryError, match="no more memory"):
        SmpNetwork(NetworkSpec("unet", "resnet18", 2), "Unet")


@pytest.mark.parametrize("encoder", ["mobilenetv3_small_050", "tu-resnet10t", "convnext_atto", "timm-efficientnet-b0"])
def test_encoders_of_both_libraries_work(encoder):
    with torch.inference_mode():
        assert fresh("unet", encoder=encoder).eval()(noise(32, 32)).shape == (1, 3, 32, 32)


def test_normalisation_is_saved_with_the_weights():
    network, other = fresh("unet"), fresh("unet")
    network.set_scale((10.0,) * 3, (20.0,) * 3)
    other.load_state_dict(network.state_dict())
    assert other.mean.flatten().tolist() == [10.0] * 3
    assert other.std.flatten().tolist() == [20.0] * 3


def test_model_saved_without_a_normalisation_loads():
    network = fresh("unet")
    before = {name: tensor for name, tensor in network.state_dict().items() if name not in ("mean", "std")}
    network.load_state_dict(before)
    assert network.mean.flatten().tolist() == [127.0] * 3


def test_depthwise_convolutions_run_in_float32_under_autocast():
    seen = []
    plain = F.conv2d

    def spy(*args):
        seen.append((args[0].dtype, args[6]))
        return plain(*args)

    network = fresh("deeplabv3plus")
    F.conv2d = spy
    try:
        with torch.autocast("cpu", torch.bfloat16):
            network(noise(64, 64, tiles=2))
    finally:
        F.conv2d = plain
    assert {dtype for dtype, groups in seen if groups > 1} == {torch.float32}
