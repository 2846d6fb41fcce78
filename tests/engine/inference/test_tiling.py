"""A prediction in tiles equals one forward pass over the whole slide, whatever the sizes."""

import os
from dataclasses import replace
from functools import reduce

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from napari_pathseg.config import PredictConfig
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.dataset.tiles import mirror
from napari_pathseg.engine.device import Device
from napari_pathseg.engine.inference.divided_predictor import DividedPredictor
from napari_pathseg.engine.inference.predictor_choice import choose_predictor, exact_halo
from napari_pathseg.engine.inference.region_predictor import RegionPredictor
from napari_pathseg.engine.networks import Network, build_network
from napari_pathseg.engine.runtime.choice import ReadyNetwork, Way
from napari_pathseg.errors import ConfigError
from napari_pathseg.geometry import Region, grid_shape, layout
from napari_pathseg.projects.importing.add_slides import add_slides
from napari_pathseg.projects.project import Project

FUZZ = int(os.environ.get("FUZZ", "1"))  # `make fuzz` tries so many times as much

FP32 = Device(torch.device("cpu"), bfloat16=False)
REACH = 3  # pixels that decide on one, in each direction
SIDES = st.integers(20, 130)


def ready(network: Network) -> ReadyNetwork:
    return ReadyNetwork(network, FP32, Way("torch", "fp32"))


class Convolutions(Network):
    """Three convolutions of 3 × 3; its context layer, if it has one, has no effect yet."""

    def __init__(self, multiple: int, context: bool) -> None:
        super().__init__()
        self.multiple = multiple
        self._layers = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 3, 1, 1)
        )
        self._add_context(NetworkSpec("convolutions", "none", 3, context=context), 3)

    @property
    def encoder(self) -> nn.Module:
        return self._layers

    def _encode(self, pixels):
        return [self._layers(pixels)]

    def _decode(self, features):
        return features[0]


@torch.inference_mode()
def untiled(network: Network, pixels: np.ndarray, reach: int = REACH) -> torch.Tensor:
    """Return the probabilities of a whole slide, mirrored at its edges, from one forward pass."""
    rows, columns = pixels.shape[:2]
    below, right = (reach + -(size + 2 * reach) % network.multiple for size in (rows, columns))
    picks = (mirror(np.arange(-reach, size + after), size) for size, after in ((rows, below), (columns, right)))
    padded = pixels[np.ix_(*picks)]
    logits = network(torch.from_numpy(padded).movedim(-1, 0)[None])[0]
    return logits[:, reach : reach + rows, reach : reach + columns].softmax(0)


@settings(max_examples=15 * FUZZ, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(SIDES, SIDES),
    downsample=st.integers(1, 4),
    tile=st.integers(8, 80),
    halo=st.integers(REACH, 40),
    shifts=st.integers(1, 4),
    multiple=st.sampled_from([1, 8, 32]),
    context=st.booleans(),
    seed=st.integers(0, 99),
)
def test_tiles_equal_the_whole_slide(
    tmp_path_factory, shape, downsample, tile, halo, shifts, multiple, context, seed
):  # fmt: skip
    folder = tmp_path_factory.mktemp("tiling")
    pixels = np.random.default_rng(seed).integers(0, 256, (*shape, 3)).astype(np.uint8)
    tifffile.imwrite(folder / "a.tif", pixels, photometric="rgb", tile=(32, 32))
    project = Project.create(folder / "a.pathseg")
    (record,) = add_slides(project, [folder / "a.tif"])
    torch.manual_seed(seed)
    network = Convolutions(multiple, context).eval()
    whole = Region(0, 0, *grid_shape(shape, downsample))
    source = SlidePatchSource(project, replace(record, downsample=downsample))
    predictor = RegionPredictor(network, FP32, halo, shifts)
    try:
        stitched = torch.full((3, whole.height, whole.width), torch.nan)
        for region in layout(whole, tile):
            stitched[:, *region.slices] = predictor.probabilities(source, region)
    finally:
        source.close()
    with project.open_slide(record.id) as slide:
        expected = untiled(network, slide.read_grid(whole, downsample))
    torch.testing.assert_close(stitched, expected, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def networks():
    """Networks that are divided into stages, one of each kind."""
    torch.manual_seed(0)
    names = [("unet", "tf_efficientnet_lite0"), ("unet", "tu-regnetx_002"), ("unet-classic", "")]
    names += [("features+linear", "tf_efficientnet_lite0"), ("unetplusplus", "tf_efficientnet_lite0")]
    return [build_network(NetworkSpec(*name, 2)).eval() for name in names]


@settings(max_examples=3 * FUZZ, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.one_of(st.tuples(SIDES, SIDES), st.just((1, 90)), st.just((75, 1))),
    downsample=st.integers(1, 3),
    tile=st.sampled_from([64, 160]),
    together=st.integers(3, 9),
    number=st.integers(0, 5),
    corner=st.tuples(st.integers(0, 1000), st.integers(0, 1000)),
    seed=st.integers(0, 99),
)
def test_exact_margin_equals_the_whole_slide(
    tmp_path_factory, networks, shape, downsample, tile, together, number, corner, seed
):  # fmt: skip
    network = networks[number % len(networks)]
    folder = tmp_path_factory.mktemp("exact")
    pixels = np.random.default_rng(seed).integers(0, 256, (*shape, 3)).astype(np.uint8)
    tifffile.imwrite(folder / "a.tif", pixels, photometric="rgb", tile=(32, 32))
    project = Project.create(folder / "a.pathseg")
    (record,) = add_slides(project, [folder / "a.tif"])
    whole = Region(0, 0, *grid_shape(shape, downsample))
    top, left = (place % size for place, size in zip(corner, whole[2:], strict=True))
    tiles = list(layout(Region(top, left, whole.height - top, whole.width - left), tile))
    if number < len(networks):
        predictor = choose_predictor(network, ready(network), PredictConfig(halo="exact"))
        assert isinstance(predictor, DividedPredictor)
    else:
        predictor = RegionPredictor(network, FP32, exact_halo(network), together=9 * tile)
    source = SlidePatchSource(project, replace(record, downsample=downsample))
    stitched = torch.full((2, whole.height, whole.width), torch.nan)
    try:
        for first in range(0, len(tiles), together):
            some = tiles[first : first + together]
            read = predictor.read_tiles(source, some, reduce(Region.unite, some))
            for found in predictor.compute_tiles(read):
                if found is not None:
                    stitched[:, *found[0].slices] = found[1]
    finally:
        source.close()
    with project.open_slide(record.id) as slide:
        expected = untiled(network, slide.read_grid(whole, downsample), exact_halo(network))
    inside = (slice(None), slice(top, None), slice(left, None))
    torch.testing.assert_close(stitched[inside], expected[inside], rtol=0, atol=1e-4)


def test_exact_margin_of_a_network_without_one_is_refused():
    network = build_network(NetworkSpec("deeplabv3plus", "resnet18", 2)).eval()
    with pytest.raises(
        ConfigError, match="halo is exact, but each pixel that this model predicts depends on its whole"
    ):
        choose_predictor(network, ready(network), PredictConfig(halo="exact"))


def test_usual_margin_is_no_wider_than_the_network_needs():
    network = build_network(NetworkSpec("unet-classic", "", 2)).eval()
    predictor = choose_predictor(network, ready(network), PredictConfig())
    assert (predictor.halo, exact_halo(network)) == (112, 112)
