"""How near is the trainer to the bare step, how far ahead of the usual loop, and what does a busy core leave of it?

In turn, in one process, on synthetic slides; medians of the time from step to step:

``vs_bare``          steps per second of the trainer, of those of the same network on tensors that lie
                     ready, with the same precision, layout, loss and optimiser; the lowest of the networks
``vs_usual_loop``    of those of the loop one writes first: segmentation-models-pytorch in float32, default
                     layout, a DataLoader with two workers
``busy_core``        beside a process that keeps a core busy, of those on an idle machine
``dice_difference``  of the trainer's Dice on held-out slides and the usual loop's, after as many steps

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
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in the product; torch reads it when it is imported

import numpy as np
import segmentation_models_pytorch as smp
import tifffile
import torch
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset

from napari_pathseg.config import TrainConfig
from napari_pathseg.data.geometry import Region
from napari_pathseg.data.importing import AddOptions, add_slides
from napari_pathseg.data.project import Project
from napari_pathseg.data.synthetic import draw_field
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.checkpoint import load_network
from napari_pathseg.engine.device import choose_device
from napari_pathseg.engine.events import Progress, Stop
from napari_pathseg.engine.losses import build_loss
from napari_pathseg.engine.networks import build_network
from napari_pathseg.engine.training import train

SIDE, TILE, BATCH = 768, 256, 4
NETWORKS = ("unet", "fcn8s", "unet-classic")
RATE = 5e-4


def make_project(folder: Path) -> Project:
    """Return a project of eight complete slides, six to learn from and two held out."""
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


def median_rate(times: list[float]) -> float:
    """Return steps per second from the times at which they ended."""
    return 1 / statistics.median(np.diff(times))


def trainer_rate(project: Project, config: TrainConfig, steps: int) -> float:
    """Return the steps per second of the trainer while everything learns, validations left out."""
    job, times, command = train(project, config, None), [], None
    try:
        while True:
            event = job.send(command)
            if isinstance(event, Progress) and event.stage == "Training":
                times.append(time.perf_counter())
                command = Stop() if len(times) > steps else None
    except StopIteration:
        return median_rate(times[2:])


def bare_rate(config: TrainConfig, steps: int) -> float:
    """Return the steps per second of the network alone, on tensors that lie ready."""
    encoder = config.encoder if config.architecture == "unet" else ""
    network = build_network(NetworkSpec(config.architecture, encoder, 2))
    pixels = torch.randint(0, 255, (BATCH, 3, TILE, TILE), dtype=torch.uint8)
    labels = torch.randint(1, 3, (BATCH, TILE, TILE), dtype=torch.uint8)
    device = choose_device(network, pixels)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, fused=True)
    loss_of = build_loss(config, [1, 1])
    network.train()
    times = []
    for _ in range(steps + 3):
        optimizer.zero_grad(set_to_none=True)
        with device.autocast():
            logits = network(pixels)
        loss_of(logits, labels, None).backward()
        optimizer.step()
        times.append(time.perf_counter())
    return median_rate(times[2:])


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
    """Return pixels and true labels (0 Background, 1 the other) of all slides of a role."""
    whole, slides = Region(0, 0, SIDE, SIDE), []
    for entry in project.with_role(role):
        with project.open_slide(entry.id) as slide, project.open_mask(entry.id) as mask:
            slides.append((slide.read(whole), (mask.read(whole)[0] == 2).astype(np.uint8)))
    return slides


def usual_loop(project: Project, steps: int) -> tuple[float, float]:
    """Return the steps per second of the usual loop, and its Dice on the held-out slides."""
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
    return median_rate(times[2:]), dice(project, lambda pixels: network((pixels.float() - 127) / 128))


@torch.inference_mode()
def dice(project: Project, network) -> float:
    """Return the Dice of a network pooled over the held-out slides."""
    both = total = 0
    for pixels, labels in slides_of(project, "val"):
        found = network(torch.from_numpy(pixels)[None].movedim(-1, 1))[0].argmax(0).numpy() == 1
        both += int((found & (labels == 1)).sum())
        total += int(found.sum() + (labels == 1).sum())
    return 2 * both / max(1, total)


def usual_loop_apart(project: Project, steps: int) -> tuple[float, float]:
    """Run the usual loop in a process of its own, whose threads wait as torch's do by default."""
    command = [sys.executable, __file__, "--usual-loop", str(project.folder), str(steps)]
    done = subprocess.run(
        command, env={**os.environ, "OMP_WAIT_POLICY": ""}, stdout=subprocess.PIPE, text=True, check=True
    )
    rate, its_dice = json.loads(done.stdout.splitlines()[-1])
    return rate, its_dice


def trainer_dice(project: Project, steps: int) -> float:
    """Return the Dice of the trainer's network after as many steps, the decoder's own included."""
    config = TrainConfig(steps=steps - 96, cached_tiles=96, learning_rate=RATE)
    job = train(project, config, None)
    try:
        while True:
            next(job)
    except StopIteration as end:
        network = load_network(project.folder / "models" / end.value.id).eval()
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
    """Return the trainer's rate of the bare rate, by network."""
    ratios = {}
    print(f"{'steps/s':16}{'bare':>10}{'trainer':>10}{'ratio':>10}")
    for name in NETWORKS[: 1 if short else None]:
        steps = (15 if short else 40) if name == "unet" else 12
        config = TrainConfig(minutes=60, architecture=name, weights="imagenet" if name == "unet" else "none")
        before, ours, after = bare_rate(config, steps), trainer_rate(project, config, steps), bare_rate(config, steps)
        bare = (before + after) / 2
        ratios[name] = ours / bare
        print(f"{name:16}{bare:10.2f}{ours:10.2f}{ratios[name]:10.3f}")
    return ratios


def main() -> None:
    """Run all comparisons and print what was measured."""
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
        idle = trainer_rate(project, config, 30)
        with busy_core():
            busy = trainer_rate(project, config, 30)
        usual, usual_dice = usual_loop_apart(project, steps)
        idle = (idle + trainer_rate(project, config, 30)) / 2
        our_dice = trainer_dice(project, steps)
    for name, rate in (("beside a busy core", busy), ("the usual loop", usual), ("the trainer, idle", idle)):
        print(f"{name:26}{rate:10.2f}")
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
