"""What a training needs before it starts: slides, a network, a run of its own.

All that a user can fix is found before the run's folder is made.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from napari_pathseg.config import TrainConfig
from napari_pathseg.data.files import save_json
from napari_pathseg.data.project import Project
from napari_pathseg.data.readiness import learning_slides
from napari_pathseg.data.slide_entry import SlideEntry
from napari_pathseg.engine.bundle import NetworkSpec, check_classes, find_bundle, load_bundle, new_run
from napari_pathseg.engine.checkpoint import load_network
from napari_pathseg.engine.networks import UNet, build_network


@dataclass(frozen=True)
class Plan:
    """A training that can start."""

    config: TrainConfig
    train: list[SlideEntry]
    val: list[SlideEntry]
    class_names: list[str]
    spec: NetworkSpec
    network: UNet
    parent_id: str | None
    model_id: str
    run: Path


def prepare(project: Project, config: TrainConfig, parent: str | None) -> Plan:
    """Check that a project can be learnt from, and reserve a run; see `training.train` for errors."""
    train, val = learning_slides(project)
    if parent == "latest":
        parent = project.model_ids()[-1] if project.model_ids() else None
    spec = NetworkSpec(config.architecture, config.encoder, len(project.classes))
    if parent is None:
        with torch.random.fork_rng(devices=[]):  # what the decoder starts from follows the seed alone
            torch.manual_seed(config.seed)
            network = build_network(spec, config.weights)
    else:
        folder = find_bundle(project, parent)
        bundle = load_bundle(folder)
        check_classes(project, bundle)
        spec, network = bundle.network, load_network(folder)
    number, run = new_run(project)
    save_json(run / "config.json", {"parent": parent, **config.to_json()})
    names = list(project.classes.names)
    return Plan(config, train, val, names, spec, network, parent, f"m{number}", run)
