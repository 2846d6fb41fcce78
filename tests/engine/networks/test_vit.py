import pytest
import timm
import torch
from safetensors.torch import save_file

from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks import build_network
from napari_pathseg.errors import BundleError

TINY = "vit_tiny_patch16_224"


def noise(rows: int, columns: int) -> torch.Tensor:
    return torch.randint(0, 256, (1, 3, rows, columns), generator=torch.Generator().manual_seed(0)).float()


@pytest.mark.parametrize("encoder", [TINY, "vit_small_patch14_dinov2", "eva02_tiny_patch14_224"])
def test_transformer_of_any_patch_size_returns_logits_of_the_tile_size(encoder):
    network = build_network(NetworkSpec("unet", encoder, 3)).eval()
    with torch.inference_mode():
        assert network(noise(33, 64)).shape == (1, 3, 33, 64)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_network(NetworkSpec("unet", TINY, 2, context=True)).eval()


def test_pyramid_is_computed_from_cached_transformer_features(network):
    with torch.inference_mode():
        features = network.encode(noise(64, 64), noise(64, 64))
        assert [tuple(level.shape) for level in features] == [(1, 192, 4, 4)] * 2
        assert torch.equal(network.decode(features), network(noise(64, 64), noise(64, 64)))


def test_pyramid_belongs_to_the_decoder(network):
    decoder = {id(parameter) for parameter in network.decoder_parameters()}
    assert all(id(parameter) in decoder for parameter in network.pyramid.parameters())
    assert not any(id(parameter) in decoder for parameter in network.vit.parameters())


def test_weights_without_layer_scale_load_with_a_scale_of_one(tmp_path):
    torch.manual_seed(1)
    source = timm.create_model(TINY, pretrained=False)
    save_file(source.state_dict(), tmp_path / "vit.safetensors")
    network = build_network(NetworkSpec("unet", TINY, 2), str(tmp_path / "vit.safetensors")).eval()
    with torch.inference_mode():
        scaled = torch.rand(1, 3, 224, 224)
        expected = source.eval().forward_intermediates(scaled, 1, norm=True, intermediates_only=True)[0]
        assert torch.allclose(network._encode(scaled)[0], expected, atol=1e-4)
    assert network.mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])


def test_weights_of_a_deeper_transformer_are_refused(tmp_path):
    weights = timm.create_model(TINY, pretrained=False, depth=16).state_dict()
    save_file(weights, tmp_path / "deep.safetensors")
    with pytest.raises(BundleError, match="found: blocks.12.*Choose the encoder that they were trained with"):
        build_network(NetworkSpec("unet", TINY, 2), str(tmp_path / "deep.safetensors"))


def test_plain_transformer_is_refused_outside_the_unet():
    with pytest.raises(BundleError, match="fpn needs features of several sizes, but vit_tiny_patch16_224 has one"):
        build_network(NetworkSpec("fpn", TINY, 2))
