"""What a training needs before it starts: slides, a network, a run of its own.

All that a user can fix is found before the run's folder is made.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import NetworkSpec, check_classes, find_bundle, load_bundle, load_bundles, reserve_run
from napari_pathseg.engine.bundle_io import load_network
from napari_pathseg.engine.networks import Network, build_network
from napari_pathseg.engine.networks.kinds import NETWORK_KINDS
from napari_pathseg.engine.training.checkpoint import TrainingCheckpoint, load_checkpoint
from napari_pathseg.engine.training.interrupted import find_resumable_run
from napari_pathseg.engine.training.losses import class_weights
from napari_pathseg.engine.training.tensorboard import check_tensorboard
from napari_pathseg.errors import ConfigError, ProjectError
from napari_pathseg.projects.checks.trainability import assign_train_val_split
from napari_pathseg.projects.ground_truth import labelled_pixel_counts
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.storage.atomic import load_json, save_json


@dataclass(frozen=True)
class TrainingPlan:
    """A training that can start, or go on from `checkpoint`."""

    config: TrainConfig
    train: list[SlideRecord]
    val: list[SlideRecord]
    class_names: list[str]
    spec: NetworkSpec
    network: Network
    parent_id: str | None
    model_id: str
    run: Path
    pixels_by_class: list[int]
    checkpoint: TrainingCheckpoint | None = None


def plan_training(project: Project, config: TrainConfig, parent: str | None) -> TrainingPlan:
    """Check that a project can be learnt from, and reserve a run; see `training.train` for errors."""
    if config.batch % config.devices:
        raise ConfigError(
            f"batch is {config.batch}; {config.devices} devices share it, so make it a multiple of {config.devices}."
        )
    check_tensorboard(config)
    train, val = assign_train_val_split(project)
    names, pixels = list(project.classes.names), _pixels_by_class(project, train)
    class_weights(config.class_weights, pixels)  # refuses what it cannot read
    spec = _spec(project, config, train)
    if parent == "latest":
        parent = _newest_like(project, spec)
    if parent is not None:
        bundle = load_bundle(find_bundle(project, parent))
        check_classes(project, bundle)
        spec = bundle.network  # a parent's network is the child's
        encoder = spec.encoder or config.encoder
        config = config.replace(architecture=spec.architecture, encoder=encoder, context=spec.context)
    network = _build(project, config, spec, parent)
    number, run = reserve_run(project)
    kept = {"parent": parent, "network": asdict(spec), "config": config.to_json(), "classes": names}
    kept |= {"train": [entry.id for entry in train], "val": [entry.id for entry in val]}
    save_json(run / "config.json", kept)
    return TrainingPlan(config, train, val, names, spec, network, parent, f"m{number}", run, pixels)


def plan_resume(project: Project, run_id: str) -> TrainingPlan:
    """Return the plan of an interrupted run, the newest where none is named."""
    return plan_of_run(project, find_resumable_run(project, run_id))


def plan_of_run(project: Project, run: Path) -> TrainingPlan:
    """Return the plan that a run was begun with, and the state in which it was left."""
    kept = load_json(run / "config.json")
    try:
        train, val = (_still(project, kept[role], role, run) for role in ("train", "val"))
        if kept["classes"] != list(project.classes.names):
            raise ProjectError(f"{run.name} learnt other classes than the project has now. Train without resuming.")
        spec, config = NetworkSpec(**kept["network"]), TrainConfig.from_json(kept["config"])
        parent = kept["parent"]
    except (KeyError, TypeError) as error:
        raise ProjectError(f"{run / 'config.json'} is of an older version. Train without resuming.") from error
    check_tensorboard(config)
    checkpoint = load_checkpoint(run)
    network = build_network(spec) if checkpoint is not None else _build(project, config, spec, parent)
    names, model = list(project.classes.names), run.name.replace("r", "m", 1)
    pixels = _pixels_by_class(project, train)
    return TrainingPlan(config, train, val, names, spec, network, parent, model, run, pixels, checkpoint)


def _still(project: Project, slides: list[str], role: str, run: Path) -> list[SlideRecord]:
    """Return the slides of a run, if they are there and have the role that they had in it."""
    entries = [project.slides[name] for name in slides if name in project.slides]
    moved = [name for name in slides if name not in project.slides] + [e.id for e in entries if e.role != role]
    if moved:
        raise ProjectError(
            f"{', '.join(moved)}: gone, or not of the role {role} any more, as in {run.name}. Train without resuming."
        )
    return entries


def _spec(project: Project, config: TrainConfig, train: list[SlideRecord]) -> NetworkSpec:
    kind = NETWORK_KINDS[config.architecture]
    encoder = "" if kind.own_encoder else config.encoder
    grey = kind.grey and all(entry.channels == 1 for entry in train)
    return NetworkSpec(config.architecture, encoder, len(project.classes), 1 if grey else 3, config.context)


def _newest_like(project: Project, spec: NetworkSpec) -> str | None:
    """Return the newest model of the wanted network, if there is one; older ones knew other fields."""
    for bundle in reversed(load_bundles(project)):
        if bundle.network == replace(spec, classes=bundle.network.classes):
            return bundle.id
    return None


def _build(project: Project, config: TrainConfig, spec: NetworkSpec, parent: str | None) -> Network:
    if parent is not None:
        return load_network(find_bundle(project, parent))
    with torch.random.fork_rng(devices=[]):  # what the decoder starts from follows the seed alone
        torch.manual_seed(config.seed)
        return build_network(spec, config.weights)


def _pixels_by_class(project: Project, train: list[SlideRecord]) -> list[int]:
    """Return how many pixels of each class teach, Background where it is complete included."""
    totals = sum(labelled_pixel_counts(project, entry, project.counts(entry.id)) for entry in train)
    return [int(total) for total in np.asarray(totals)[1 : len(project.classes) + 1]]
