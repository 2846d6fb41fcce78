"""What tests of several packages need of a model's metadata."""

import json
from dataclasses import asdict
from typing import Any

from napari_pathseg.engine.bundle import Bundle, NetworkSpec
from napari_pathseg.projects.model_weights import WEIGHTS
from napari_pathseg.projects.project import Project


def make_bundle(name: str = "m001", **fields: Any) -> Bundle:
    """Return the metadata of a model of two classes that nobody trained; `fields` replace the defaults."""
    classes = [{"name": "Background", "color": "#8fc68f"}, {"name": "Tumour", "color": "#c80000"}]
    defaults: dict[str, Any] = {
        "id": name,
        "parent": None,
        "run": name.replace("m", "r", 1),
        "network": NetworkSpec("unet", "tf_efficientnet_lite0", 2),
        "classes": classes,
        "mpp": None,
        "config": {},
        "scores": {},
        "mean_dice": 0.8,
        "train": [],
        "val": [],
        "steps": 1,
        "seconds": 1.0,
        "finished": True,
    }
    return Bundle(**{**defaults, **fields})


def save_model(project: Project, bundle: Bundle) -> Bundle:
    """Put the metadata of a model, and an empty file in place of its weights, where the project looks for them."""
    folder = project.folder / "models" / bundle.id
    folder.mkdir(parents=True)
    (folder / "bundle.json").write_text(json.dumps(asdict(bundle)))
    (folder / WEIGHTS).touch()
    return bundle
