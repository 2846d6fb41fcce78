"""Large pyramids that take little space, and a model that predicts them, for `memory.py` and `tissue.py`."""

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tifffile

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.events import run
from napari_pathseg.engine.training.training import train
from napari_pathseg.geometry import Region, pyramid_shapes
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project

MPP = 0.25  # um per pixel of the slides
WORKING_MPP = 1.0  # at which the model predicts
_TILE = 512
_RNG = np.random.default_rng(0)
_GLASS = np.full((_TILE, _TILE, 3), 242, np.uint8)
_TISSUE = np.tile(
    _RNG.normal((190, 110, 170), 25, (64, 64, 3)).clip(0, 255).astype(np.uint8), (_TILE // 64,) * 2 + (1,)
)


def write_pyramid(path: Path, side: int, is_tissue: Callable[[Region], bool]) -> None:
    """Write a slide of `side` pixels, halved without a rest; a pattern repeats where `is_tissue` of a level-0 tile."""
    tissue, glass = (zlib.compress(tile.tobytes(), 9) for tile in (_TISSUE, _GLASS))

    def compressed(top: int, left: int, step: int) -> bytes:
        cell = max(1, _TILE // step)  # of a coarser level: a tile of level 0
        corners = [(top + row, left + column) for row in range(0, _TILE, cell) for column in range(0, _TILE, cell)]
        found = [is_tissue(Region(row * step, column * step, _TILE, _TILE)) for row, column in corners]
        if len(set(found)) == 1:
            return tissue if found[0] else glass
        mask = np.array(found).reshape(_TILE // cell, -1).repeat(cell, 0).repeat(cell, 1)
        return zlib.compress(np.where(mask[..., None], _TISSUE, _GLASS).tobytes())

    shapes = pyramid_shapes((side, side))

    def tiles(shape: tuple[int, int]) -> Iterator[bytes]:
        step = side // shape[0]
        for top in range(0, shape[0], _TILE):
            for left in range(0, shape[1], _TILE):
                yield compressed(top, left, step)

    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for level, shape in enumerate(shapes):
            mpp = MPP * side / shape[0]
            file.write(
                tiles(shape),
                shape=(*shape, 3),
                dtype=np.uint8,
                photometric="rgb",
                tile=(_TILE, _TILE),
                compression="adobe_deflate",
                resolution=(1e4 / mpp, 1e4 / mpp),
                resolutionunit="CENTIMETER",
                subifds=len(shapes) - 1 if level == 0 else None,
                subfiletype=int(level > 0),
                metadata=None,
            )


def make_project(folder: Path) -> tuple[Project, str]:
    """Return a project with a model that was trained for some seconds on a small slide."""
    project = Project.create(folder / "bench.pathseg", mpp=WORKING_MPP)
    pixels = np.tile(_TISSUE, (1, 2, 1))
    pixels[:, _TILE:, 1] //= 2
    labels = np.zeros(pixels.shape[:2], np.uint8)
    labels[:, _TILE:] = 255
    (folder / "masks").mkdir()
    for name in ("first", "second"):
        tifffile.imwrite(
            folder / f"{name}.tif", pixels, photometric="rgb", resolution=(1e4, 1e4), resolutionunit="CENTIMETER"
        )
        tifffile.imwrite(folder / "masks" / f"{name}.tif", labels)
    add_slides(project, [folder / "first.tif"], AddOptions(contours=folder / "masks", role="train"))
    add_slides(project, [folder / "second.tif"], AddOptions(contours=folder / "masks", role="val"))
    run(train(project, TrainConfig(steps=30, seed=0), None))
    (model,) = project.model_ids()
    return project, model


def add_slide(project: Project, path: Path) -> str:
    """Add a slide to a project, and return its name."""
    (record,) = add_slides(project, [path])
    return record.id
