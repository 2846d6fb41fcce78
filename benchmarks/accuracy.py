"""Measure the accuracy of presets and networks on real images, after a given training time.

The data are folders of images with masks (EBHI-SEG glands as ``glands/images`` and ``glands/masks``,
patient = name before the first ``-``) and the stacks of the ISBI 2012 challenge
(``membranes/train-volume.tif``, ``membranes/train-labels.tif``).  Every third patient, and
the last five slices, are held out from training.  Prints Dice pooled over their pixels, one
line for each check, and on the last line one JSON object.

    python benchmarks/accuracy.py --glands FOLDER --membranes FOLDER --tumour FOLDER --vgg FILE [--seeds 3]
    python benchmarks/accuracy.py --only membranes --membranes FOLDER
"""

import argparse
import json
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from napari_pathseg.classes import class_table
from napari_pathseg.config import PredictConfig, TrainConfig
from napari_pathseg.engine.bundle import Bundle
from napari_pathseg.engine.evaluation.evaluation import score
from napari_pathseg.engine.events import run
from napari_pathseg.engine.inference.predict import predict
from napari_pathseg.engine.training.training import train
from napari_pathseg.geometry import Region
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.splits import assign_missing_roles

PATIENT = r"^[^-]+"
STROKES, SPARSE_SLIDES, BRUSH = 6, 8, 9  # strokes for each class, slides that have strokes, width of a stroke in pixels


def held_out_patients(images: list[Path]) -> set[str]:
    """Return every third patient, in order of name."""
    return set(sorted({re.match(PATIENT, path.name).group() for path in images})[::3])


def gland_project(folder: Path, data: Path) -> Project:
    """Return a project of the glands with their masks; the held-out patients have the role test."""
    images = sorted((data / "images").iterdir())
    held = held_out_patients(images)
    test = [path for path in images if re.match(PATIENT, path.name).group() in held]
    project = Project.create(folder / "glands.pathseg", class_table([("Background", None), ("Gland", None)]), None)
    masks = AddOptions(contours=data / "masks", patient=PATIENT)
    add_slides(project, [path for path in images if path not in test], masks)
    add_slides(project, test, AddOptions(contours=data / "masks", patient=PATIENT, role="test"))
    return project


def membrane_project(folder: Path, data: Path) -> Project:
    """Return a project of the slices with membrane as Background: the first validates, the last five test."""
    (folder / "masks").mkdir()
    volume, labels = (tifffile.imread(data / f"train-{name}.tif") for name in ("volume", "labels"))
    paths = []
    for number, (pixels, truth) in enumerate(zip(volume, labels, strict=True)):
        paths.append(folder / f"slice{number:02}.png")
        Image.fromarray(pixels).save(paths[-1])
        Image.fromarray(truth).save(folder / "masks" / paths[-1].name)
    project = Project.create(folder / "isbi.pathseg", class_table([("Membrane", None), ("Cell", None)]), None)
    add_slides(project, paths[1:-5], AddOptions(contours=folder / "masks", role="train"))
    add_slides(project, paths[:1], AddOptions(contours=folder / "masks", role="val"))
    add_slides(project, paths[-5:], AddOptions(contours=folder / "masks", role="test"))
    return project


def scores_on_test(project: Project, bundle: Bundle, tta: int = 1) -> dict:
    """Return the scores of a model on the test slides."""
    run(predict(project, PredictConfig(role="test", tta=tta), bundle.id))
    return score(project, "test", bundle.id)


def train_and_score(project: Project, config: TrainConfig, parent: str | None = None) -> tuple[Bundle, float]:
    """Train; return the model and the Dice of the second class on the test slides."""
    start = time.perf_counter()
    bundle = run(train(project, config, parent))
    seconds = time.perf_counter() - start
    dice = scores_on_test(project, bundle)["scores"][bundle.class_names[1]]["dice"]
    print(f"  {bundle.id} {config.preset} {config.architecture}: {bundle.steps} steps, {bundle.seconds:.0f} s")
    print(f"    Dice {dice:.4f} ({seconds - bundle.seconds:.1f} s more for setup)", flush=True)
    return bundle, dice


def presets(options: argparse.Namespace, folder: Path) -> dict:
    """A quick look of ten seconds, then the normal preset for a minute."""
    found: dict[str, list[float]] = {"quick": [], "normal": []}
    for seed in range(options.seeds):
        project = gland_project(fresh(folder, f"presets{seed}"), options.glands)
        quick, dice = train_and_score(project, TrainConfig(preset="quick", seed=seed))
        found["quick"].append(round(dice, 4))
        _, dice = train_and_score(project, TrainConfig(minutes=1, seed=seed), quick.id)
        found["normal"].append(round(dice, 4))
    return found


def from_chance(options: argparse.Namespace, folder: Path) -> dict:
    """Two minutes without pretrained weights."""
    dices = []
    for seed in range(options.seeds):
        project = gland_project(fresh(folder, f"chance{seed}"), options.glands)
        dices.append(round(train_and_score(project, TrainConfig(weights="none", minutes=2, seed=seed))[1], 4))
    return {"from_chance": dices}


def fcn(options: argparse.Namespace, folder: Path) -> dict:
    """FCN-8s with and without VGG16's weights, three minutes each."""
    project = gland_project(fresh(folder, "fcn"), options.glands)
    config = TrainConfig(architecture="fcn8s", minutes=3)
    with_file = train_and_score(project, config.replace(weights=str(options.vgg)))[1]
    return {
        "fcn_with_vgg": round(with_file, 4),
        "fcn_without": round(train_and_score(project, config.replace(weights="none"))[1], 4),
    }


def harder(options: argparse.Namespace, folder: Path) -> dict:
    """Tumour regions of few slides: a quick look, then two minutes of training from it."""
    images = sorted(options.tumour.glob("*.tiff"))
    project = Project.create(
        fresh(folder, "harder") / "t.pathseg", class_table([("Background", None), ("Tumour", None)])
    )
    test = images[::3]
    labels = AddOptions(contours=options.tumour / "labels")
    add_slides(project, [path for path in images if path not in test], labels)
    add_slides(project, test, AddOptions(contours=options.tumour / "labels", role="test"))
    quick, quick_dice = train_and_score(project, TrainConfig(preset="quick"))
    normal_dice = train_and_score(project, TrainConfig(minutes=2), quick.id)[1]
    return {"harder_quick": round(quick_dice, 4), "harder_normal": round(normal_dice, 4)}


def strokes(options: argparse.Namespace, folder: Path) -> dict:
    """Six strokes per class on eight slides against their full labels, a minute each."""
    dense = gland_project(fresh(folder, "dense"), options.glands)
    sparse = sparse_gland_project(fresh(folder, "sparse"), options.glands)
    assign_missing_roles(dense)
    for entry in list(dense.slides.values()):
        if entry.role == "train" and not sparse.counts(entry.id)[1:].any():
            _remove_labels(dense, entry.id)
    config = TrainConfig(minutes=1)
    dense_dice, sparse_dice = (train_and_score(project, config)[1] for project in (dense, sparse))
    return {
        "dense": round(dense_dice, 4),
        "strokes": round(sparse_dice, 4),
        "share": round(sparse_dice / dense_dice, 3),
    }


def sparse_gland_project(folder: Path, data: Path, seed: int = 0) -> Project:
    """Return the project of the glands with six strokes of each class on eight slides instead of the labels."""
    project, rng = gland_project(folder, data), np.random.default_rng(seed)
    entries = [entry for entry in project.slides.values() if entry.role != "test"]
    kept = [entry.id for entry in entries[:: max(1, len(entries) // SPARSE_SLIDES)][:SPARSE_SLIDES]]
    for name in kept:
        _replace_by_strokes(project, name, rng)
    assign_missing_roles(project)
    for entry in entries:
        if entry.id not in kept and project.slide(entry.id).role == "train":
            _remove_labels(project, entry.id)
    return project


def _replace_by_strokes(project: Project, slide: str, rng: np.random.Generator) -> None:
    """Replace a slide's labels by short strokes inside them, six of each class."""
    entry = project.slide(slide)
    whole = Region(0, 0, *entry.mask_shape)
    with project.write_lock():
        with project.open_mask(slide) as mask:
            labels, _ = mask.read(whole)
            truth = np.where(labels == 2, 2, 1).astype(np.uint8)
            painted = np.zeros_like(truth)
            for label in (1, 2):
                places = np.argwhere(truth == label)
                for row, column in places[rng.integers(len(places), size=STROKES)] if len(places) else ():
                    box = Region(int(row), int(column) - 20, BRUSH, 40).clip(entry.mask_shape)
                    part = painted[box.slices]
                    part[truth[box.slices] == label] = label
            mask.edit(whole, painted, np.where(painted, 4, 0).astype(np.uint8))
        project.update_slide(slide, complete=False)


def _remove_labels(project: Project, slide: str) -> None:
    """Remove all labels of a slide."""
    entry = project.slide(slide)
    whole = Region(0, 0, *entry.mask_shape)
    nothing = np.zeros(entry.mask_shape, np.uint8)
    with project.write_lock():
        with project.open_mask(slide) as mask:
            mask.edit(whole, nothing, nothing)
        project.update_slide(slide, complete=False)


def membranes(options: argparse.Namespace, folder: Path) -> dict:
    """The default network for ten minutes, with and without TTA, and the classic U-Net for four."""
    project = membrane_project(fresh(folder, "membranes"), options.membranes)
    bundle, _ = train_and_score(project, TrainConfig(minutes=10))
    plain, scores = scores_on_test(project, bundle), scores_on_test(project, bundle, tta=8)
    objects = scores["objects"]["Cell"]
    classic, dice = train_and_score(project, TrainConfig(architecture="unet-classic", weights="none", minutes=4))
    return {
        "pixel_error": round(scores["pixel_error"], 4),
        "pixel_error_one_position": round(plain["pixel_error"], 4),
        "v_rand": round(objects["v_rand"], 4),
        "v_info": round(objects["v_info"], 4),
        "classic_pixel_error": round(scores_on_test(project, classic)["pixel_error"], 4),
        "classic_dice": round(dice, 4),
    }


def fresh(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


CHECKS: dict[str, Callable[[argparse.Namespace, Path], dict]] = {
    "presets": presets,
    "from_chance": from_chance,
    "fcn": fcn,
    "harder": harder,
    "strokes": strokes,
    "membranes": membranes,
}
NEEDED = {"fcn": ("glands", "vgg"), "harder": ("tumour",), "membranes": ("membranes",)}  # others need the glands


def main() -> None:
    """Run the checks named on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--glands", type=Path, help="folder of the EBHI-SEG glands")
    parser.add_argument("--membranes", type=Path, help="folder of the ISBI 2012 stacks")
    parser.add_argument("--tumour", type=Path, help="folder of tumour regions (CAMELYON), with labels/")
    parser.add_argument("--vgg", type=Path, help="VGG16's convolutions as safetensors")
    parser.add_argument("--only", nargs="*", choices=CHECKS, default=list(CHECKS))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    for name in options.only:
        for needed in NEEDED.get(name, ("glands",)):
            if getattr(options, needed) is None:
                parser.error(f"the check {name} needs --{needed}")
    answer: dict = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only:
            print(f"{name}: {CHECKS[name].__doc__}", flush=True)
            answer |= CHECKS[name](options, Path(folder))
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
