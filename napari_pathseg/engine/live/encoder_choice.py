"""Which encoder the live model uses: that of the project, or one of a file or a name in its settings."""

import re
from pathlib import Path

from napari_pathseg.config import PROJECT, TrainConfig
from napari_pathseg.engine.networks.kinds import NETWORK_KINDS
from napari_pathseg.projects.project import Project

_NAMED_FILE = r"(?P<name>[\w.-]+)=(?P<file>.+)"


def project_encoder(project: Project) -> tuple[str, str]:
    """Return the encoder of a project's training settings, and its weights.

    The default ones if the network to train has an encoder of its own; random weights say nothing about pixels, so
    those of ImageNet replace them.
    """
    training, usual = TrainConfig.known(project.state.training_choices.config), TrainConfig()
    if NETWORK_KINDS[training.architecture].own_encoder is not None:
        return usual.encoder, usual.weights
    return training.encoder, usual.weights if training.weights == "none" else training.weights


def chosen_encoder(project: Project, setting: str) -> tuple[str, str]:
    """Return the encoder that the setting of the live model names, and its weights.

    Raises
    ------
    BundleError
        If it names a file that cannot be read, or whose encoder cannot be recognised.
    """
    from napari_pathseg.engine.networks.recognition import recognized_encoder  # imports torch
    from napari_pathseg.engine.networks.weights import WEIGHTS_SUFFIXES

    if setting == PROJECT:
        return project_encoder(project)
    named = re.fullmatch(_NAMED_FILE, setting)
    if named and not Path(setting).exists():
        file = Path(named["file"]).expanduser()
        return recognized_encoder(file, named["name"]), str(file)
    path = Path(setting).expanduser()
    if path.suffix in WEIGHTS_SUFFIXES or path.name != setting:
        return recognized_encoder(path), str(path)
    return setting, TrainConfig().weights
