"""The plan of a training: its slides, network, starting weights and run folder.

Every error that the user can fix is raised before the run's folder is created.
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
    """A training that is ready to start, or to resume from `checkpoint`.

    Attributes
    ----------
    config
        The settings; architecture, encoder and context are those of the parent, if there is one.
    train, val
        Slides to train on, and to validate on.
    spec, network
        What network it is, and the network with its initial weights.
    parent_id
        The model whose weights are the initial ones; None for none.
    model_id, run
        Identifier of the new model, and the folder of the run.
    pixels_by_class
        Labelled pixels of each class on the training slides, Background first.
    """

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
    """Check that a project can be trained on, and create a run; see `training.train` for errors."""
    if config.batch % config.devices:
        raise ConfigError(
            f"batch is {config.batch}; {config.devices} devices share it. Set it to a multiple of {config.devices}."
        )
    check_tensorboard(config)
    train, val = assign_train_val_split(project)
    names, pixels = list(project.classes.names), _pixels_by_class(project, train)
    class_weights(config.class_weights, pixels)  # raises if they are malformed
    spec = _spec(project, config, train)
    if parent == "latest":
        parent = _latest_compatible(project, spec)
    if parent is not None:
        bundle = load_bundle(find_bundle(project, parent))
        check_classes(project, bundle)
        spec = bundle.network
        encoder = spec.encoder or config.encoder
        config = config.replace(architecture=spec.architecture, encoder=encoder, context=spec.context)
    network = _initial_network(project, config, spec, parent)
    number, run = reserve_run(project)
    saved = {"parent": parent, "network": asdict(spec), "config": config.to_json(), "classes": names}
    saved |= {"train": [entry.id for entry in train], "val": [entry.id for entry in val]}
    save_json(run / "config.json", saved)
    return TrainingPlan(config, train, val, names, spec, network, parent, f"m{number}", run, pixels)


def plan_resume(project: Project, run_id: str) -> TrainingPlan:
    """Return the plan of an interrupted run; "" is the newest."""
    return plan_of_run(project, find_resumable_run(project, run_id))


def plan_of_run(project: Project, run: Path) -> TrainingPlan:
    """Return the plan with which a run started, with its latest checkpoint."""
    saved = load_json(run / "config.json")
    try:
        train, val = (_unchanged_slides(project, saved[role], role, run) for role in ("train", "val"))
        if saved["classes"] != list(project.classes.names):
            raise ProjectError(f"{run.name} has other classes than the project has now. Train without resuming.")
        spec, config = NetworkSpec(**saved["network"]), TrainConfig.from_json(saved["config"])
        parent = saved["parent"]
    except (KeyError, TypeError) as error:
        raise ProjectError(f"{run / 'config.json'} was written by an older version. Train without resuming.") from error
    check_tensorboard(config)
    checkpoint = load_checkpoint(run)
    network = build_network(spec) if checkpoint is not None else _initial_network(project, config, spec, parent)
    names, model = list(project.classes.names), run.name.replace("r", "m", 1)
    pixels = _pixels_by_class(project, train)
    return TrainingPlan(config, train, val, names, spec, network, parent, model, run, pixels, checkpoint)


def _unchanged_slides(project: Project, slides: list[str], role: str, run: Path) -> list[SlideRecord]:
    """Return the slides of a run; raise if one was removed or has another role now."""
    entries = [project.slides[name] for name in slides if name in project.slides]
    changed = [name for name in slides if name not in project.slides] + [e.id for e in entries if e.role != role]
    if changed:
        raise ProjectError(
            f"{', '.join(changed)}: removed, or no longer in the role {role}, as in {run.name}. Train without resuming."
        )
    return entries


def _spec(project: Project, config: TrainConfig, train: list[SlideRecord]) -> NetworkSpec:
    kind = NETWORK_KINDS[config.architecture]
    encoder = "" if kind.own_encoder else config.encoder
    grey = kind.grey and all(entry.channels == 1 for entry in train)
    return NetworkSpec(config.architecture, encoder, len(project.classes), 1 if grey else 3, config.context)


def _latest_compatible(project: Project, spec: NetworkSpec) -> str | None:
    """Return the newest model with the same network, or None; the number of classes may differ."""
    for bundle in reversed(load_bundles(project)):
        if bundle.network == replace(spec, classes=bundle.network.classes):
            return bundle.id
    return None


def _initial_network(project: Project, config: TrainConfig, spec: NetworkSpec, parent: str | None) -> Network:
    if parent is not None:
        return load_network(find_bundle(project, parent))
    with torch.random.fork_rng(devices=[]):  # so that the seed alone decides the initial decoder
        torch.manual_seed(config.seed)
        return build_network(spec, config.weights)


def _pixels_by_class(project: Project, train: list[SlideRecord]) -> list[int]:
    """Return the labelled pixels of each class; on a complete slide, the rest is Background."""
    totals = sum(labelled_pixel_counts(project, entry, project.counts(entry.id)) for entry in train)
    return [int(total) for total in np.asarray(totals)[1 : len(project.classes) + 1]]
