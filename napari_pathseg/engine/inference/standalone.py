"""A bundle on pictures that belong to no project: label images out, nothing else left."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from napari_pathseg.classes import class_table
from napari_pathseg.config import PredictConfig
from napari_pathseg.engine.bundle import load_bundle
from napari_pathseg.engine.events import Job
from napari_pathseg.engine.inference.predict import predict
from napari_pathseg.projects.exporting.export import ExportOptions, export
from napari_pathseg.projects.importing.add_slides import add_slides
from napari_pathseg.projects.project import Project


def predict_images(
    bundle_folder: Path, images: Sequence[Path], out: Path, config: PredictConfig | None = None
) -> Job[list[Path]]:
    """Predict pictures with a bundle; return the label images written into `out`.

    Raises
    ------
    BundleError, UnsupportedSlideError, ProjectError
        If the folder is no bundle, a picture cannot be opened, or `out` cannot be written.
    """
    bundle = load_bundle(bundle_folder)
    with tempfile.TemporaryDirectory(prefix="pathseg-") as folder:
        classes = class_table([(entry["name"], entry["color"]) for entry in bundle.classes])
        project = Project.create(Path(folder) / "images.pathseg", classes, bundle.mpp)
        add_slides(project, images)
        shutil.copytree(bundle_folder, project.folder / "models" / "m001")  # whatever name a stranger gave it
        yield from predict(project, config, "m001")
        return export(project, out, ExportOptions(format="mask", what="prediction"))
