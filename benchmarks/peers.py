"""Compare the prediction of a slide with MONAI's sliding window, on the same network; see `make bench-peers`.

Ours goes from the slide's file to the stored answer; MONAI's begins with the picture in memory and ends with the
classes in memory.  It computes windows of 512 with an overlap of 0.25 and Gaussian weights.  In turn, medians:

``vs_monai_same_dtype``  pixels per second relative to MONAI's, both with torch in bfloat16
``vs_monai``             the same, MONAI in float32 as it comes, ours as it chooses
``cpu_same_dtype``, ``cpu``  the same two by the processor's time, which other programs change less
``agreement``            labels that equal those of the network on the whole picture at once
``agreement_monai``      the same of MONAI's, in float32

    .venv-peers/bin/python benchmarks/peers.py [--short]
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in the product; torch reads both when it is imported
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import numpy as np
import tifffile
import torch
from monai.inferers import SlidingWindowInferer
from predict import make_project

from napari_pathseg.config import PredictConfig
from napari_pathseg.engine.bundle_io import load_network
from napari_pathseg.engine.events import run
from napari_pathseg.engine.inference.predict import predict
from napari_pathseg.geometry import Region
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.portable import remove_tree


@torch.inference_mode()
def monai_labels(network: torch.nn.Module, picture: torch.Tensor, halved: bool) -> np.ndarray:
    """Return MONAI's labels of a picture."""
    inferer = SlidingWindowInferer(roi_size=(512, 512), sw_batch_size=1, overlap=0.25, mode="gaussian")
    with torch.autocast("cpu", torch.bfloat16, enabled=halved):
        logits = inferer(picture, network)
    return logits[0].argmax(dim=0).to(torch.uint8).numpy() + 1


def our_labels(project: Project, slide: str, config: PredictConfig) -> np.ndarray:
    """Predict a slide; return its stored labels."""
    (model,) = project.model_ids()
    path = project.prediction_path(model, slide)
    if path.exists():
        remove_tree(path)
    (done,) = run(predict(project, config, model, slides=[slide]))
    return project.find_prediction(model, slide).read(done.region)


def main() -> None:
    """Print a table and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="a smaller slide, once")
    args = parser.parse_args()
    side, rounds = (2048, 1) if args.short else (4096, 3)
    names = ("MONAI float32", "MONAI bfloat16", "ours, torch bfloat16", "ours")
    seconds: dict[str, list[float]] = {name: [] for name in names}
    work: dict[str, list[float]] = {name: [] for name in names}
    labels = {}
    with tempfile.TemporaryDirectory() as folder:
        project, slide = make_project(Path(folder), side)
        (model,) = project.model_ids()
        network = load_network(project.folder / "models" / model, 2).eval().to(memory_format=torch.channels_last)
        pixels = tifffile.imread(project.find_file(project.slide(slide)))
        picture = torch.from_numpy(pixels.transpose(2, 0, 1)[None].copy()).float()
        by_torch, chosen = PredictConfig(runtime="torch"), PredictConfig(runtime="openvino")
        our_labels(project, slide, chosen)  # converts the network and tries what is fastest, once
        our_labels(project, slide, by_torch)
        for _ in range(rounds):
            for name, compute in zip(
                names,
                (
                    lambda: monai_labels(network, picture, False),
                    lambda: monai_labels(network, picture, True),
                    lambda: our_labels(project, slide, by_torch),
                    lambda: our_labels(project, slide, chosen),
                ),
                strict=True,
            ):
                start, used = time.perf_counter(), time.process_time()
                labels[name] = compute()
                seconds[name].append(time.perf_counter() - start)
                work[name].append(time.process_time() - used)
        part = Region(0, 0, min(side, 2048), min(side, 2048))
        with torch.inference_mode():
            whole = network(torch.from_numpy(pixels[part.slices].transpose(2, 0, 1)[None].copy()))[0].argmax(dim=0) + 1
    inner = (slice(0, part.height - 256), slice(0, part.width - 256)) if side > part.height else part.slices
    agreement = {name: float((found[inner] == whole.numpy()[inner]).mean()) for name, found in labels.items()}
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    used = {name: statistics.median(values) for name, values in work.items()}
    for name in names:
        speed = f"{medians[name]:6.1f} s, of the processor {used[name]:6.1f} s"
        print(f"{name:<22} {speed}  {side**2 / 1e6 / medians[name]:.2f} Mpx/s  {agreement[name]:.5f}")
    result = {
        "vs_monai_same_dtype": round(medians["MONAI bfloat16"] / medians["ours, torch bfloat16"], 3),
        "vs_monai": round(medians["MONAI float32"] / medians["ours"], 3),
        "cpu_same_dtype": round(used["MONAI bfloat16"] / used["ours, torch bfloat16"], 3),
        "cpu": round(used["MONAI float32"] / used["ours"], 3),
        "agreement": round(agreement["ours"], 5),
        "agreement_monai": round(agreement["MONAI float32"], 5),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
