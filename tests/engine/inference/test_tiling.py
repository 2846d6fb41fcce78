"""A prediction in tiles equals one forward pass over the whole slide, whatever the sizes."""

import os
from dataclasses import replace

import numpy as np
import tifffile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.device import Device
from napari_pathseg.engine.inference.region_predictor import RegionPredictor
from napari_pathseg.engine.networks import Network
from napari_pathseg.geometry import Region, grid_shape, layout
from napari_pathseg.projects.importing.add_slides import add_slides
from napari_pathseg.projects.project import Project

FUZZ = int(os.environ.get("FUZZ", "1"))  # `make fuzz` tries so many times as much

FP32 = Device(torch.device("cpu"), bfloat16=False)
REACH = 3  # pixels that decide on one, in each direction
SIDES = st.integers(20, 130)


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
def untiled(network: Network, pixels: np.ndarray) -> torch.Tensor:
    """Return the probabilities of a whole slide, mirrored at its edges, from one forward pass."""
    padded = np.pad(pixels, ((REACH, REACH), (REACH, REACH), (0, 0)), mode="reflect")
    logits = network(torch.from_numpy(padded).movedim(-1, 0)[None])[0]
    return logits[:, REACH:-REACH, REACH:-REACH].softmax(0)


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
