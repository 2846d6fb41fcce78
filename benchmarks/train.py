"""Compare the speed of the trainer with a bare training step, with a usual loop, and beside a busy core.

On synthetic slides; medians of the time between steps:

``vs_bare``          steps per second of the trainer, relative to the same network on tensors in memory with the
                     same precision, layout, loss and optimizer; the lowest of the networks
``vs_usual_loop``    relative to a usual loop: segmentation-models-pytorch in float32, default layout, a
                     DataLoader with two workers
``busy_core``        beside a process that keeps a core busy, relative to an idle machine
``dice_difference``  Dice of the trainer on validation slides minus that of the usual loop, after equal steps

    python benchmarks/train.py [--short]
"""

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if "--usual-loop" not in sys.argv:  # as in the product; torch reads both when it is imported
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import numpy as np
import segmentation_models_pytorch as smp
import tifffile
import torch
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.bundle_io import load_network
from napari_pathseg.engine.device import choose_device
from napari_pathseg.engine.events import Progress
from napari_pathseg.engine.networks import build_network
from napari_pathseg.engine.training.losses import build_loss
from napari_pathseg.engine.training.training import train
from napari_pathseg.geometry import Region
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project
from napari_pathseg.samples import draw_field

SIDE, TILE, BATCH = 768, 256, 4
NETWORKS = ("unet", "fcn8s", "unet-classic")
RATE = 1e-3


def make_project(folder: Path) -> Project:
    """Return a project of eight complete slides: six for training, two for validation."""
    rng = np.random.default_rng(0)
    (folder / "masks").mkdir()
    project = Project.create(folder / "bench.pathseg")
    for number in range(8):
        pixels, classes = draw_field((SIDE, SIDE), rng)
        path = folder / f"slide{number}.tif"
        tifffile.imwrite(path, pixels, photometric="rgb", compression="deflate")
        Image.fromarray(np.where(classes == 2, 255, 0).astype(np.uint8)).save(folder / "masks" / f"slide{number}.png")
        role = "val" if number > 5 else "train"
        add_slides(project, [path], AddOptions(contours=folder / "masks", role=role))
    return project


def trainer_steps(project: Project, config: TrainConfig) -> Iterator[float]:
    """Train, and yield the seconds of each step of the whole network, without validations."""
    job, start = train(project, config, None), time.perf_counter()
    for event in job:
        now = time.perf_counter()
        if isinstance(event, Progress) and event.stage == "Training":
            yield now - start
        start = time.perf_counter()
    raise AssertionError("the training ended before it was measured")


def bare_steps(config: TrainConfig) -> Iterator[float]:
    """Yield the seconds of each step of the network alone, on tensors in memory."""
    encoder = config.encoder if config.architecture == "unet" else ""
    network = build_network(NetworkSpec(config.architecture, encoder, 2))
    pixels = torch.randint(0, 255, (BATCH, 3, TILE, TILE), dtype=torch.uint8)
    labels = torch.randint(1, 3, (BATCH, TILE, TILE), dtype=torch.uint8)
    device = choose_device(network, pixels)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, fused=True)
    loss_of = build_loss(config, [1, 1])
    network.train()
    while True:
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with device.autocast():
            logits = network(pixels)
        loss_of(logits, labels, None).backward()
        optimizer.step()
        yield time.perf_counter() - start


def rate(seconds: Iterator[float], steps: int) -> float:
    """Return the median steps per second over some steps, after three to warm up."""
    return 1 / statistics.median([next(seconds) for _ in range(steps + 3)][3:])


def paired_rates(ours: Iterator[float], bare: Iterator[float], steps: int) -> tuple[float, float]:
    """Return steps per second of two loops that alternate, so that the machine's load affects both alike."""
    pairs = [(next(ours), next(bare)) for _ in range(steps + 3)][3:]
    return 1 / statistics.median(a for a, _ in pairs), 1 / statistics.median(b for _, b in pairs)


class Crops(IterableDataset):
    """Random flipped crops of whole slides in memory, as the usual loop draws them."""

    def __init__(self, slides: list[tuple[np.ndarray, np.ndarray]]) -> None:
        self._slides = slides

    def __iter__(self):
        rng = np.random.default_rng(torch.utils.data.get_worker_info().id)
        while True:
            pixels, labels = self._slides[rng.integers(len(self._slides))]
            top, left = rng.integers(0, SIDE - TILE, 2)
            pixels, labels = pixels[top : top + TILE, left : left + TILE], labels[top : top + TILE, left : left + TILE]
            if rng.random() < 0.5:
                pixels, labels = pixels[:, ::-1], labels[:, ::-1]
            if rng.random() < 0.5:
                pixels, labels = pixels[::-1], labels[::-1]
            image = ((pixels.astype(np.float32) - 127) / 128).transpose(2, 0, 1)
            yield torch.from_numpy(image.copy()), torch.from_numpy(labels.astype(np.int64))


def slides_of(project: Project, role: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return pixels and true labels (0 Background, 1 Tumour) of all slides of a role."""
    whole, slides = Region(0, 0, SIDE, SIDE), []
    for entry in project.slides_with_role(role):
        with project.open_slide(entry.id) as slide, project.open_mask(entry.id) as mask:
            slides.append((slide.read(whole), (mask.read(whole)[0] == 2).astype(np.uint8)))
    return slides


def usual_loop(project: Project, steps: int) -> tuple[float, float]:
    """Return the steps per second of the usual loop, and its Dice on the validation slides."""
    ours = build_network(NetworkSpec("unet", "tf_efficientnet_lite0", 2), "imagenet")
    network = smp.Unet("tu-tf_efficientnet_lite0", encoder_weights=None, classes=2)
    network.encoder.load_state_dict(ours.net.encoder.state_dict())
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    dice_loss = smp.losses.DiceLoss("multiclass")
    loader = iter(DataLoader(Crops(slides_of(project, "train")), batch_size=BATCH, num_workers=2))
    network.train()
    times = []
    for step in range(steps):
        images, labels = next(loader)
        for group in optimizer.param_groups:
            group["lr"] = RATE * (0.5 * (1 + np.cos(np.pi * step / steps)) + 0.01)
        optimizer.zero_grad()
        logits = network(images)
        loss = torch.nn.functional.cross_entropy(logits, labels) + dice_loss(logits, labels)
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter())
    network.eval()
    return 1 / statistics.median(np.diff(times[2:])), dice(
        project, lambda pixels: network((pixels.float() - 127) / 128)
    )


@torch.inference_mode()
def dice(project: Project, network) -> float:
    """Return the Dice of a network, pooled over the validation slides."""
    both = total = 0
    for pixels, labels in slides_of(project, "val"):
        found = network(torch.from_numpy(pixels)[None].movedim(-1, 1))[0].argmax(0).numpy() == 1
        both += int((found & (labels == 1)).sum())
        total += int(found.sum() + (labels == 1).sum())
    return 2 * both / max(1, total)


def usual_loop_in_process(project: Project, steps: int) -> tuple[float, float]:
    """Run the usual loop in another process, with torch's default waiting of threads."""
    command = [sys.executable, __file__, "--usual-loop", str(project.folder), str(steps)]
    ours = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    rate, its_dice = json.loads(done.stdout.splitlines()[-1])
    return rate, its_dice


def trainer_dice(project: Project, steps: int) -> float:
    """Return the Dice of the trainer's network after some steps, those of the decoder alone included."""
    config = TrainConfig(steps=steps, cached_tiles=96, learning_rate=RATE)
    job = train(project, config, None)
    try:
        while True:
            next(job)
    except StopIteration as end:
        weights = end.value.weights_for("")
        network = load_network(project.folder / "models" / end.value.id, weights=weights).eval()
        return dice(project, network)


def _spin() -> None:
    while True:
        pass


@contextmanager
def busy_core():
    """Keep a core busy inside the block."""
    process = multiprocessing.get_context("spawn").Process(target=_spin, daemon=True)
    process.start()
    time.sleep(2)
    try:
        yield
    finally:
        process.kill()
        process.join()


def against_bare(project: Project, short: bool) -> dict[str, float]:
    """Return the trainer's rate relative to the bare rate, for each network."""
    ratios = {}
    print(f"{'steps/s':16}{'bare':>10}{'trainer':>10}{'ratio':>10}")
    for name in NETWORKS[: 1 if short else None]:
        steps = (15 if short else 60) if name == "unet" else 15
        config = TrainConfig(minutes=60, architecture=name, weights="imagenet" if name == "unet" else "none")
        ours, bare = paired_rates(trainer_steps(project, config), bare_steps(config), steps)
        ratios[name] = ours / bare
        print(f"{name:16}{bare:10.2f}{ours:10.2f}{ratios[name]:10.3f}", flush=True)
    return ratios


def main() -> None:
    """Run all comparisons and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="fewer steps, one network")
    parser.add_argument("--usual-loop", nargs=2, metavar=("PROJECT", "STEPS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.usual_loop:
        print(json.dumps(usual_loop(Project.open(options.usual_loop[0]), int(options.usual_loop[1]))))
        return
    short = options.short
    steps = 120 if short else 240
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder))
        ratios = against_bare(project, short)
        config = TrainConfig(minutes=60)
        idle = rate(trainer_steps(project, config), 30)
        with busy_core():
            busy = rate(trainer_steps(project, config), 30)
        usual, usual_dice = usual_loop_in_process(project, steps)
        idle = (idle + rate(trainer_steps(project, config), 30)) / 2
        our_dice = trainer_dice(project, steps)
    for name, found in (("beside a busy core", busy), ("the usual loop", usual), ("the trainer, idle", idle)):
        print(f"{name:26}{found:10.2f}")
    print(f"Dice after {steps} steps: trainer {our_dice:.3f}, usual loop {usual_dice:.3f}")
    answer = {
        "vs_bare": round(min(ratios.values()), 3),
        "vs_usual_loop": round(idle / usual, 3),
        "busy_core": round(busy / idle, 3),
        "dice_difference": round(our_dice - usual_dice, 4),
        "vs_bare_by_network": {name: round(ratio, 3) for name, ratio in ratios.items()},
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
