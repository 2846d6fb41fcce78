"""Write a model for other programs, with its card: ONNX, TorchScript, or a package for bioimage.io."""

import json
from importlib.metadata import version
from pathlib import Path

from napari_pathseg.engine.bundle import MODEL_CARD, Bundle, find_bundle, load_bundle
from napari_pathseg.engine.bundle_io import load_network
from napari_pathseg.engine.exchange.bioimageio_package import write_package
from napari_pathseg.engine.exchange.export_formats import BIOIMAGEIO, EXPORT_FORMATS, ONNX
from napari_pathseg.engine.exchange.graphs import write_onnx, write_torchscript
from napari_pathseg.engine.exchange.model_card import INTENDED_USE, card_of
from napari_pathseg.errors import BundleError, ConfigError, ProjectError
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.atomic import replace_file


def model_folder(path: Path, model_id: str | None = None) -> Path:
    """Return the folder of a model that is named by it, or by its project and an id: None for the current model.

    Raises
    ------
    BundleError, ProjectError
        If there is no such model, or the folder is neither a model nor a project.
    """
    if model_id is None and (path / "bundle.json").is_file():
        return path
    return find_bundle(Project.open(path), model_id)


def export_model(folder: Path, format_name: str, out: Path) -> list[Path]:
    """Write a model into a folder for other programs; return the files.

    Of two files of weights, those are used that predict new slides.

    Parameters
    ----------
    folder
        The bundle.
    format_name
        A key of `EXPORT_FORMATS`.
    out
        Where the files go; created if need be.

    Raises
    ------
    ConfigError
        If the format is unknown.
    BundleError
        If the folder is no model, it needs more than the pixels of a tile, the format cannot hold its network, or what
        was written does not give its answer.
    ProjectError
        If the files cannot be written.
    """
    if format_name not in EXPORT_FORMATS:
        raise ConfigError(f'format is "{format_name}"; it must be one of {", ".join(EXPORT_FORMATS)}.')
    bundle = load_bundle(folder)
    _check_input(bundle)
    network = load_network(folder, weights=bundle.weights_for("")).eval()
    name, card = f"{bundle.id}.{EXPORT_FORMATS[format_name].suffix}", f"{bundle.id}_{MODEL_CARD}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        with replace_file(out / name) as partial:
            if format_name == BIOIMAGEIO:
                write_package(network, bundle, folder, partial, _notes(bundle))
            elif format_name == ONNX:
                write_onnx(network, partial, _notes(bundle))
            else:
                write_torchscript(network, partial)
        if format_name == BIOIMAGEIO:  # its card is inside
            return [out / name]
        with replace_file(out / card) as partial:
            partial.write_text(card_of(folder, bundle), encoding="utf8")
    except OSError as error:
        raise ProjectError(f"{out} could not be written ({error.strerror or error}). Choose another folder.") from error
    return [out / name, out / card]


def _check_input(bundle: Bundle) -> None:
    """Raise BundleError if a model sees more of a slide than a tile of it."""
    if bundle.network.context:
        raise BundleError(
            f"{bundle.id} also sees the surroundings of each tile, which these formats cannot describe. "
            "Train one without context."
        )
    stain_norm = bundle.config.get("stain_norm", "none")
    if stain_norm != "none":
        raise BundleError(
            f"{bundle.id} was trained with stain_norm {stain_norm}, which is measured on a whole slide and is no part "
            "of these formats. Train one with stain_norm none."
        )


def _notes(bundle: Bundle) -> dict[str, str]:
    """Return what a graph says of itself."""
    return {
        "classes": json.dumps(bundle.class_names),
        "mpp": "" if bundle.mpp is None else f"{bundle.mpp:g}",
        "intended_use": INTENDED_USE,
        "made_by": f"napari-pathseg {version('napari-pathseg')}",
    }
