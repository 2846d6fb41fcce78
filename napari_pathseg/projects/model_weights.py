"""The files of weights of a project's models, and whether what the live model has predicted is still what it says.

A numbered model never changes once it is trained; the live model is replaced whenever labels have changed.
"""

from napari_pathseg.errors import ProjectError
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.projects.project import Project

LIVE_MODEL = "live"  # the live model that the window keeps: it has no number, so it is never the newest model
WEIGHTS, ALL_WEIGHTS = "weights.safetensors", "weights_all.safetensors"


def weights_mtime(project: Project, model_id: str) -> int:
    """Return when a model's weights were last written, in nanoseconds; training rewrites them until it ends."""
    files = (project.folder / "models" / model_id / name for name in (WEIGHTS, ALL_WEIGHTS))
    return max(file.stat().st_mtime_ns for file in files if file.name == WEIGHTS or file.exists())


def is_outdated(project: Project, model_id: str, prediction: Prediction) -> bool:
    """Return whether a prediction is of a former live model; unknown weights, or a model that is gone, do not count."""
    if model_id != LIVE_MODEL or prediction.weights is None:
        return False
    try:
        return prediction.weights != weights_mtime(project, model_id)
    except FileNotFoundError:
        return False


def check_up_to_date(project: Project, model_id: str, prediction: Prediction) -> None:
    """Check that a prediction is not of a former live model.

    Raises
    ------
    ProjectError
        If it is.
    """
    if is_outdated(project, model_id, prediction):
        slide = prediction.path.stem
        raise ProjectError(f"The live model has changed since it predicted {slide}. Predict the slide again.")
