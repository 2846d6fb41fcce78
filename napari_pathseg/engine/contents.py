"""The models and runs of a project, as JSON values.  It needs no torch."""

from dataclasses import asdict
from typing import Any

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import find_bundle, load_bundle
from napari_pathseg.engine.evaluation.before_after import before_after
from napari_pathseg.engine.model_tree import model_tree
from napari_pathseg.engine.training.interrupted import StartedRun, started_runs
from napari_pathseg.engine.training.stored_run import load_stored_run
from napari_pathseg.projects.project import Project


def describe_models(project: Project) -> list[dict[str, Any]]:
    """Return the models, each after the one that it was trained from."""
    models, names = [], project.state.model_names
    for depth, bundle in model_tree(project):
        compared = before_after(project, bundle)
        models.append(
            {
                "model": bundle.id,
                "name": names.get(bundle.id, ""),
                "parent": bundle.parent,
                "depth": depth,
                "current": bundle.id == project.current_model,
                "mean_dice": bundle.mean_dice,
                "finished": bundle.finished,
                "labels": bundle.labels,
                "before_after": None if compared is None else compared.to_json(),
            }
        )
    return models


def show_model(project: Project, model: str) -> dict[str, Any]:
    """Return all that is known of one model: its network, settings, lineage and scores."""
    folder = find_bundle(project, model)
    bundle = load_bundle(folder)
    compared = before_after(project, bundle)
    return {
        "model": bundle.id,
        "name": project.state.model_names.get(bundle.id, ""),
        "current": bundle.id == project.current_model,
        "parent": bundle.parent,
        "run": bundle.run,
        "folder": str(folder),
        "network": bundle.network.to_json(),
        "classes": bundle.class_names,
        "mpp": bundle.mpp,
        "config": changed_settings(bundle.config),
        "train": bundle.train,
        "val": bundle.val,
        "held_out_parts": bundle.held_out,
        "mean_dice": bundle.mean_dice,
        "scores": bundle.scores,
        "slide_dice": {slide: score.dice for slide, score in bundle.slide_scores.items()},
        "steps": bundle.steps,
        "seconds": bundle.seconds,
        "finished": bundle.finished,
        "caveat": bundle.caveat,
        "origin": bundle.origin,
        "before_after": None if compared is None else compared.to_json(),
    }


def describe_runs(project: Project) -> list[dict[str, Any]]:
    """Return the trainings, oldest first."""
    return [_describe_run(run) for run in reversed(started_runs(project))]


def show_run(project: Project, name: str) -> dict[str, Any] | None:
    """Return all that is known of one training; None if no training has it."""
    run = next((run for run in started_runs(project) if run.name == name), None)
    if run is None:
        return None
    stored = load_stored_run(run.folder)
    return {
        **_describe_run(run),
        "folder": str(run.folder),
        "network": stored["network"].to_json(),
        "classes": stored["classes"],
        "config": changed_settings(stored["config"]),
        "train": stored["train"],
        "val": stored["val"],
        "held_out_parts": stored.get("held_out", {}),
        "origin": stored.get("origin", {}),
    }


def _describe_run(run: StartedRun) -> dict[str, Any]:
    return {"run": run.name, "state": run.state, "model": run.model, "parent": load_stored_run(run.folder)["parent"]}


def changed_settings(config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a training that are not the present defaults, by their present names."""
    usual = asdict(TrainConfig())
    return {name: value for name, value in TrainConfig.renamed(config).items() if value != usual.get(name)}
