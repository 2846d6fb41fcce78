"""Images whose outlines are known: drawn glands and hand-outlined ones."""

import functools

import numpy as np
import pytest
from PIL import Image

from napari_pathseg.samples.stain import Stain, render


def draw_gland(inside, rng):
    """Return an H&E-like image: pink stroma with few nuclei, and where `inside` a gland crowded with them."""
    haematoxylin = np.where(inside, 0.2, 0.1).astype(np.float32)
    eosin = np.full(inside.shape, 0.4, np.float32)
    rows, columns = np.mgrid[-5:6, -5:6]
    nucleus = np.hypot(rows, columns) <= 4.2
    for row, column in rng.integers(5, np.array(inside.shape) - 5, (inside.size // 60, 2)):
        if inside[row, column] or rng.random() < 0.1:
            haematoxylin[row - 5 : row + 6, column - 5 : column + 6][nucleus] = 0.9
    return render(haematoxylin, eosin, Stain(), rng)


@pytest.fixture(scope="session")
def gland():
    """A drawn gland, 160 x 110 pixels, and where it is."""
    rows, columns = np.mgrid[:300, :400]
    inside = np.hypot((rows - 150) / 80, (columns - 190) / 55) <= 1
    return draw_gland(inside, np.random.default_rng(3)), inside


@pytest.fixture
def real_glands(shared):
    """Every third of the hand-outlined images, and where in them glands are."""
    return _read_glands(shared / "data/glands_jpg_png")


@functools.cache
def _read_glands(folder):
    images = []
    for path in sorted((folder / "images").iterdir())[::3]:
        mask = np.array(Image.open(folder / "masks" / f"{path.stem}.png").convert("L")) > 127
        images.append((np.array(Image.open(path).convert("RGB")), mask))
    return images
