"""The plan of a training: its slides, network, starting weights and run folder.

Every error that the user can fix is raised before the run's folder is created.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_pathseg.config import LIVE, USUAL_BATCH, TrainConfig
from napari_pathseg.engine.bundle import (
    NetworkSpec,
    check_classes,
    find_bundle,
    has_classes_of,
    learnt_slides,
    lineage,
    load_bundle,
    load_bundles,
    reserve_run,
)
from napari_pathseg.engine.bundle_io import allocate_network, load_network
from napari_pathseg.engine.device import best_device
from napari_pathseg.engine.networks import Network, build_network
from napari_pathseg.engine.networks.kinds import NETWORK_KINDS
from napari_pathseg.engine.training.checkpoint import TrainingCheckpoint, checkpoint_shapes, load_checkpoint
from napari_pathseg.engine.training.interrupted import find_resumable_run
from napari_pathseg.engine.training.losses import class_weights
from napari_pathseg.engine.training.origin import describe_origin
from napari_pathseg.engine.training.stored_run import load_stored_run
from napari_pathseg.engine.training.tensorboard import check_tensorboard
from napari_pathseg.errors import BundleError, ConfigError, PathsegError, ProjectError
from napari_pathseg.projects.checks.trainability import assign_train_val_split, left_out
from napari_pathseg.projects.ground_truth import labelled_pixel_counts
from napari_pathseg.projects.held_out_parts import (
    WEAKER,
    Parts,
    choose_parts,
    describe_parts,
    is_whole,
    parts_from_json,
    parts_to_json,
)
from napari_pathseg.projects.model_weights import LIVE_MODEL
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.projects.working_grid import fitting_tile, longest_sides
from napari_pathseg.storage.atomic import save_json

# A checkpoint holds the network, its mean, and up to two tensors of the optimizer for each of its own.
_MOST_COPIES, _REST_BYTES = 8, 64 << 20
_SHORT_MINUTES, _SHORT_BATCH = 2.0, 2


@dataclass(frozen=True)
class TrainingPlan:
    """A training that is ready to start, or to resume from `checkpoint`.

    Attributes
    ----------
    config
        The settings; architecture, encoder and context are those of the parent, if there is one.
    train, val
        Slides to train on, and to validate on.
    held_out
        The parts of `val` that are validated on, where these are slides that are also trained on; else empty.
    learnt_before
        The slides of `val` from which the parent, or one that it was trained from, has learnt.
    base
        The model before it, with which it is compared: the parent or, without one, the current model; "" for none.
    spec, network
        What network it is, and the network with its initial weights.
    parent_id
        The model whose weights are the initial ones; None for none.
    model_id, run
        Identifier of the new model, and the folder of the run.
    pixels_by_class
        Labelled pixels of each class on the training slides, Background first.
    origin
        When, where and how the run began; see `describe_origin`.
    notes
        What of the settings was changed to fit the slides, a sentence each.
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
    origin: dict[str, Any]
    checkpoint: TrainingCheckpoint | None = None
    notes: tuple[str, ...] = ()
    held_out: Parts = field(default_factory=dict)
    learnt_before: tuple[str, ...] = ()
    base: str = ""


def plan_training(project: Project, config: TrainConfig, parent: str | None) -> TrainingPlan:
    """Check that a project can be trained on, and create a run; see `training.train` for errors."""
    if config.batch % config.devices:
        raise ConfigError(
            f"batch is {config.batch}; {config.devices} devices share it. Set it to a multiple of {config.devices}."
        )
    check_tensorboard(config)
    if config.preset == LIVE:
        config, parent = _live_settings(config), None
    train, val = assign_train_val_split(project)
    names, pixels = list(project.classes.slot_names), pixels_by_class(project, train)
    known, unknown = known_classes(project, pixels)
    class_weights(config.class_weights, pixels)  # raises if they are malformed
    spec = replace(_spec(project, config, train), known=known)
    if parent == LIVE_MODEL:
        raise BundleError(f"{LIVE_MODEL} is replaced as you draw, so no training starts from it. Name another model.")
    if parent == "latest":
        parent = _latest_compatible(project, spec)
    if parent is not None:
        bundle = load_bundle(find_bundle(project, parent))
        check_classes(project, bundle)
        spec = replace(bundle.network, classes=project.classes.highest, known=known)
        unknown = (*unknown, *_kept_network(parent, spec, config))
        encoder = spec.encoder or config.encoder
        config = config.replace(architecture=spec.architecture, encoder=encoder, context=spec.context)
        config = config.replace(augment_ramp=0.0)  # its tiles were seen before
    division = divide(project, _fit_batch(config, parent), train, val)
    config, train, val, held_out = division.config, division.train, division.val, division.held_out
    network = _initial_network(project, config, spec, parent)
    number, run = reserve_run(project)
    saved = {"parent": parent, "network": spec.to_json(), "config": config.to_json(), "classes": names}
    saved["origin"] = origin = describe_origin()
    saved |= {"train": [record.id for record in train], "val": [record.id for record in val]}
    save_json(run / "config.json", saved | {"held_out": parts_to_json(held_out)})
    plan = TrainingPlan(config, train, val, names, spec, network, parent, f"m{number}", run, pixels, origin)
    return replace(
        plan,
        notes=(*unknown, *division.notes),
        held_out=held_out,
        learnt_before=_learnt_before(project, parent, val, held_out),
        base=parent or _model_before(project, plan.model_id),
    )


@dataclass(frozen=True)
class Division:
    """What a model learns and what it is scored on; the fields are those of a `TrainingPlan`."""

    config: TrainConfig
    train: list[SlideRecord]
    val: list[SlideRecord]
    held_out: Parts = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def divide(project: Project, config: TrainConfig, train: list[SlideRecord], val: list[SlideRecord]) -> Division:
    """Return slides to learn and to score; without any of the latter, parts of the former, the same ones each time."""
    config, notes = _fit_tile(project, config, train)
    if val:
        return Division(config, train, val, notes=notes)
    held_out = _hold_out_parts(project, train)
    held_out_note = f"Held out to score it: {describe_parts(train, held_out)}; this is {WEAKER}."
    val = [record for record in train if record.id in held_out]
    train = [record for record in train if not is_whole(record, held_out)]
    return Division(config, train, val, held_out, (*notes, held_out_note))


def _live_settings(config: TrainConfig) -> TrainConfig:
    """Return the settings of a live model: a fit in closed form needs no model to start from, and one process."""
    if config.weights == "none":
        raise ConfigError("The preset live needs trained features. Set weights to imagenet, or to a file.")
    return config.with_network_of_preset.replace(devices=1)


def _learnt_before(project: Project, parent: str | None, val: list[SlideRecord], held_out: Parts) -> tuple[str, ...]:
    return tuple(learnt_slides(lineage(project, parent), [record.id for record in val], held_out))


def _model_before(project: Project, model_id: str) -> str:
    """Return the current model, or else the newest before another one, that has the project's classes; "" for none."""
    for name in project.preferred_models():
        with suppress(PathsegError):  # a damaged model is compared with nothing
            if name != model_id and has_classes_of(project, load_bundle(find_bundle(project, name)).class_names):
                return name
    return ""


def _hold_out_parts(project: Project, train: list[SlideRecord]) -> Parts:
    """Return the parts of the training slides to hold out.

    The newest model's parts stay, so that models are scored on the same pixels.
    """
    earlier = next((bundle.parts for bundle in reversed(load_bundles(project)) if bundle.held_out), None)
    return choose_parts(project, train, earlier).boxes


def _fit_batch(config: TrainConfig, parent: str | None) -> TrainConfig:
    """Return the settings with the batch size that 0 means.

    In a minute or two a CPU makes some hundred steps, and twice as many of half the size teach a new model more.
    """
    if config.batch:
        return config
    short = config.preset == "normal" and not config.steps and config.longest_minutes <= _SHORT_MINUTES
    alone = parent is None and config.devices == config.accumulate == 1
    batch = _SHORT_BATCH if short and alone and best_device().type == "cpu" else USUAL_BATCH
    return config.replace(batch=-(-batch // config.devices) * config.devices)


def _fit_tile(project: Project, config: TrainConfig, train: list[SlideRecord]) -> tuple[TrainConfig, tuple[str, ...]]:
    """Return the settings with a tile that is no larger than the slides need, and what changed."""
    tile = fitting_tile(longest_sides(project.mpp, train), config.tile)
    if tile == config.tile:
        return config, ()
    note = f"Tiles have {tile} pixels instead of {config.tile}, since most training slides are no larger."
    return config.replace(tile=tile), (note,)


def plan_resume(project: Project, run_id: str) -> TrainingPlan:
    """Return the plan of an interrupted run; "" is the newest."""
    return plan_of_run(project, find_resumable_run(project, run_id))


def plan_of_run(project: Project, run: Path) -> TrainingPlan:
    """Return the plan with which a run started, with its latest checkpoint."""
    saved = load_stored_run(run)
    held_out = parts_from_json(saved.get("held_out", {}))
    train = _unchanged_slides(project, saved["train"], "train", run)
    val = _unchanged_slides(project, saved["val"], "train" if held_out else "val", run)
    if len(saved["classes"]) != project.classes.highest or not has_classes_of(project, saved["classes"]):
        raise ProjectError(f"{run.name} has other classes than the project has now. Train without resuming.")
    spec, config = saved["network"], TrainConfig.from_json(saved["config"])
    parent, origin = saved["parent"], saved.get("origin", {})
    check_tensorboard(config)
    network, checkpoint = _network_of_run(run, spec)
    network = network or _initial_network(project, config, spec, parent)
    names, model = list(project.classes.slot_names), run.name.replace("r", "m", 1)
    pixels = pixels_by_class(project, train)
    plan = TrainingPlan(config, train, val, names, spec, network, parent, model, run, pixels, origin, checkpoint)
    learnt_before = _learnt_before(project, parent, val, held_out)
    base = parent or _model_before(project, model)
    return replace(plan, held_out=held_out, learnt_before=learnt_before, base=base)


def _network_of_run(run: Path, spec: NetworkSpec) -> tuple[Network | None, TrainingCheckpoint | None]:
    """Return a network for the tensors of a run's checkpoint, and the checkpoint; None for both if it has none."""
    shapes = checkpoint_shapes(run)
    if shapes is None:
        return None, None
    try:
        network = allocate_network(shapes, spec)  # never larger than the checkpoint
    except PathsegError:
        raise
    except ValueError as error:
        raise ProjectError(
            f"The checkpoint of {run.name} is of another network: {error}. Train without resuming."
        ) from error
    size = sum(tensor.nbytes for tensor in network.state_dict().values())
    return network, load_checkpoint(run, _MOST_COPIES * size + _REST_BYTES)


def _unchanged_slides(project: Project, slides: list[str], role: str, run: Path) -> list[SlideRecord]:
    """Return the slides of a run; raise if one was removed or has another role now."""
    records = [project.slides[name] for name in slides if name in project.slides]
    changed = [name for name in slides if name not in project.slides] + [r.id for r in records if r.role != role]
    if changed:
        raise ProjectError(
            f"{', '.join(changed)}: removed, or no longer in the role {role}, as in {run.name}. Train without resuming."
        )
    return records


def _spec(project: Project, config: TrainConfig, train: list[SlideRecord]) -> NetworkSpec:
    kind = NETWORK_KINDS[config.architecture]
    encoder = "" if kind.own_encoder else config.encoder
    grey = kind.grey and all(record.channels == 1 for record in train)
    return NetworkSpec(config.architecture, encoder, project.classes.highest, 1 if grey else 3, config.context)


def _kept_network(parent: str, spec: NetworkSpec, config: TrainConfig) -> Iterator[str]:
    """Yield a sentence if the settings name another network than that of the model that is fine-tuned."""
    kept = {"architecture": spec.architecture, "encoder": spec.encoder, "context": spec.context}
    others = {name: value for name, value in kept.items() if value not in ("", getattr(config, name))}
    if others:
        network = ", ".join(f"{name} {value}" for name, value in others.items())
        wanted = ", ".join(f"{name} {getattr(config, name)}" for name in others)
        yield f"{parent} keeps its network ({network}); for {wanted}, train from scratch."


def _latest_compatible(project: Project, spec: NetworkSpec) -> str | None:
    """Return the current model, or else the newest, with the same network; None without one.

    Classes may have been renamed or added since.
    """
    for bundle in map(load_bundle, map(partial(find_bundle, project), project.preferred_models())):
        same_network = bundle.network == replace(spec, classes=bundle.network.classes, known=bundle.network.known)
        if same_network and has_classes_of(project, bundle.class_names):
            return bundle.id
    return None


def _initial_network(project: Project, config: TrainConfig, spec: NetworkSpec, parent: str | None) -> Network:
    with torch.random.fork_rng(devices=[]):  # so that the seed alone decides the initial decoder
        torch.manual_seed(config.seed)
        if parent is not None:
            network = load_network(find_bundle(project, parent), spec.classes)
            network.set_outputs(spec.known)
            return network
        network = build_network(spec, config.weights)
        if config.upsampling_init == "xavier":
            network.randomize_upsampling()
        return network


def pixels_by_class(project: Project, train: list[SlideRecord]) -> list[int]:
    """Return the labelled pixels of each class; on a complete slide, the rest is Background."""
    totals = sum(labelled_pixel_counts(project, record, project.counts(record.id)) for record in train)
    return [int(total) for total in np.asarray(totals)[1 : project.classes.highest + 1]]


def known_classes(project: Project, pixels: list[int]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the classes that a training learns, () if these are all, and a sentence for each that it leaves out."""
    known = tuple(sorted(spec.index for spec in project.classes if pixels[spec.index - 1]))
    notes = tuple(left_out(spec) for spec in project.classes if spec.index not in known)
    return (known if len(known) < project.classes.highest else ()), notes
