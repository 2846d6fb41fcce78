"""A bundle: a folder with a trained model and everything needed to use it.

``weights.safetensors`` holds the tensors, ``weights_all.safetensors`` those that a last pass also taught the held-out
slides, ``bundle.json`` the architecture, the lineage and the scores, ``model_card.md`` what others need to know,
``curves.csv`` the training curves, drawn in ``curves.svg`` and ``curves.png``.  Nothing in it can run code.  This
module handles the metadata and needs no torch; `engine.bundle_io` reads and writes the weights.
"""

import filecmp
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from napari_pathseg.classes import HIGHEST_NUMBER, StoredClass
from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.evaluation.slide_scores import SlideScore
from napari_pathseg.errors import BundleError, ProjectError
from napari_pathseg.projects import roles
from napari_pathseg.projects.held_out_parts import Parts, covers, join_names, parts_from_json
from napari_pathseg.projects.model_weights import ALL_WEIGHTS, LIVE_MODEL, WEIGHTS
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord, labelled_classes
from napari_pathseg.slides.look import Look
from napari_pathseg.storage.atomic import atomic_folder, load_json, save_json
from napari_pathseg.storage.json_schema import Count, Fraction, PixelSize, SchemaError, conform
from napari_pathseg.storage.regular_files import open_regular, read_regular

FORMAT = 1
_MAX_BYTES = 64 << 20  # of a bundle.json
MOST_LOOKS = 128  # of slides, that a bundle describes
_COPIES = 5  # attempts to copy a bundle that another process replaces
MODEL_CARD, CARD_TITLE = "model_card.md", "# Model "
_FILES = (WEIGHTS, ALL_WEIGHTS, "bundle.json", MODEL_CARD, "curves.csv", "curves.svg", "curves.png")
_FolderName = Annotated[str, Meta(pattern=r"^(\w[\w.-]*)?$")]  # of a model or a run
_ClassNumber = Annotated[int, Meta(ge=1, le=HIGHEST_NUMBER)]
StoredParts = dict[str, list[Annotated[list[Count], Meta(min_length=4, max_length=4)]]]  # level-0 boxes, by slide


@dataclass(frozen=True)
class NetworkSpec:
    """Everything needed to build a network.

    Attributes
    ----------
    architecture, encoder
        The names of both; unet-classic and fcn8s have their own encoder.
    classes
        The number of output classes.
    channels
        1 if its input is the mean of red, green and blue, which is true of unet-classic alone.
    context
        Whether its input includes the surroundings of a tile.
    known
        The numbers of the classes that it was trained on, from 1; empty if it knows each of its outputs.
    """

    architecture: str
    encoder: str
    classes: _ClassNumber
    channels: Literal[1, 3] = 3
    context: bool = False
    known: tuple[_ClassNumber, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return its JSON values; `known` is left out if empty, as in files of older versions."""
        return {name: value for name, value in asdict(self).items() if name != "known" or value}


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """The content of a model's ``bundle.json``.

    Attributes
    ----------
    id, parent, run
        The model's name, the model it was fine-tuned from, the run that trained it.
    classes
        Names and colours in the order of the network's outputs.
    mpp
        Micrometres per pixel of its training data; None for the native resolution of each slide.
    scores
        By class name, pooled over the labelled pixels of `val`; None for a class that does not occur there.
    mean_dice
        The mean Dice of the classes that occur there.
    scored_tiles, held_out_tiles
        How many of the held-out tiles the scores cover; 0 of 0 in bundles that do not say it.
    origin
        When, where and how it was trained: date, versions, machine, command; empty in older bundles.
    collapsed
        The class that the model predicts everywhere; "" if it predicts several, as it should.
    train, val
        The slides it was trained and scored on.
    finished
        False while its run is going on, or if the run was killed.
    held_out
        Level-0 boxes (top, left, height, width) of the slides `val` that it was scored on; empty if on whole slides.
    learnt_before
        The slides of `val` from which an earlier model that it was trained from has learnt.
    last_pass
        Whether it also has weights that learnt what is held out, which predict all slides but those of `val`.
    slide_scores
        Its scores on each slide of `val`; empty in older bundles.
    base, base_scores
        The model before it, and that one's scores on the same labels, see `evaluation.before_after`; "" for none.
    labels
        A hash of the labels that it learnt and was scored on; "" in older bundles.
    is_copy
        Whether nothing learnt scored better than the parent, so that its weights are the parent's.  It is a model of
        its own all the same: its scores are on what is held out now, and its run ends with the model that it names.
    looks
        How slides look that it, or a model that it was trained from, has learnt, by slide; empty in older bundles.
    train_patients, val_patients
        How many patients the slides of `train` and `val` are of; None if that of a slide is unknown.
    """

    id: _FolderName
    parent: str | None
    run: _FolderName
    network: NetworkSpec
    classes: list[StoredClass]
    mpp: PixelSize | None
    config: dict[str, Any]
    scores: dict[str, dict[str, float | None]]
    mean_dice: Fraction
    train: list[str]
    val: list[str]
    steps: Count
    seconds: Annotated[float, Meta(ge=0)]
    finished: bool
    scored_tiles: Count = 0
    held_out_tiles: Count = 0
    collapsed: str = ""
    origin: dict[str, Any] = field(default_factory=dict)
    held_out: StoredParts = field(default_factory=dict)
    learnt_before: list[str] = field(default_factory=list)
    last_pass: bool = False
    is_copy: bool = False
    looks: Annotated[dict[str, Look], Meta(max_length=MOST_LOOKS)] = field(default_factory=dict)
    slide_scores: dict[str, SlideScore] = field(default_factory=dict)
    base: _FolderName = ""
    base_scores: dict[str, SlideScore] = field(default_factory=dict)
    labels: str = ""
    train_patients: Count | None = None
    val_patients: Count | None = None
    format: int = field(default=FORMAT)

    def weights_for(self, slide: str) -> str:
        """Return the file of the weights that predict a slide: what is held out, by those that have not learnt it."""
        return ALL_WEIGHTS if self.last_pass and slide not in self.val else WEIGHTS

    @property
    def caveat(self) -> str:
        """What to know before one trusts the scores; "" if they are those of a sound model on all held-out slides."""
        if self.collapsed:
            return f"has collapsed: it calls everything {self.collapsed}"
        if self.scored_tiles < self.held_out_tiles:
            return f"was scored on {self.scored_tiles} of {self.held_out_tiles} held-out tiles"
        return ""

    @property
    def parts(self) -> Parts:
        """The parts of slides that it was scored on, and that it has not learnt; empty if it was scored on slides."""
        return parts_from_json(self.held_out)

    @property
    def class_names(self) -> list[str]:
        """The names of the classes in order."""
        return [entry["name"] for entry in self.classes]


def load_bundle(folder: Path) -> Bundle:
    """Read a bundle without its weights.

    Raises
    ------
    BundleError
        If the folder is not a bundle or was written by a newer version.
    """
    path = folder / "bundle.json"
    if not path.is_file():
        raise BundleError(f"{folder} is not a trained model: it has no bundle.json. Name a folder below models/.")
    content = load_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        raise BundleError(f"{path} has format {found!r}; this version reads format {FORMAT}. Update napari-pathseg.")
    try:
        bundle = conform(content, Bundle)
        _check_outputs(bundle)
    except SchemaError as error:
        raise BundleError(f"{path} is damaged: {error}. Train again, or restore it from a copy.") from error
    if "held_out" not in content and bundle.scores:  # an older version's mean is without Background
        dice = [value for values in bundle.scores.values() if (value := values.get("dice")) is not None]
        bundle = replace(bundle, mean_dice=sum(dice) / max(1, len(dice)))
    return replace(bundle, config=TrainConfig.renamed(bundle.config))


def _check_outputs(bundle: Bundle) -> None:
    """Raise SchemaError unless each output of the network has one class."""
    names, outputs = bundle.class_names, bundle.network.classes
    if len(names) != outputs:
        raise SchemaError(f"it names {len(names)} classes, and its network has {outputs} outputs")
    if len(set(names)) != len(names):
        raise SchemaError("two of its classes have the same name")
    if any(number > outputs for number in bundle.network.known):
        raise SchemaError(f"network.known has a number above {outputs}, that of its outputs")


def find_bundle(project: Project, model_id: str | None = None) -> Path:
    """Return the folder of a project's model, by default the current one.

    Raises
    ------
    BundleError
        If the project has no such model.
    """
    known = [*project.model_ids(), *([LIVE_MODEL] if keeps_live_model(project) else [])]
    wanted = model_id or project.current_model
    if not known or wanted is None:
        raise BundleError(f"{project.folder.name} has no model yet. Train one first.")
    if wanted in project.state.removed_models:
        raise BundleError(f"{wanted} was removed. Bring it back first: pathseg model PROJECT restore {wanted}.")
    if wanted not in known:
        raise BundleError(f'{project.folder.name} has no model "{wanted}". It has: {", ".join(known)}.')
    return project.folder / "models" / wanted


def keeps_live_model(project: Project) -> bool:
    """Return whether the window has kept a live model in a project."""
    return (project.folder / "models" / LIVE_MODEL / "bundle.json").is_file()


def load_bundles(project: Project) -> list[Bundle]:
    """Read the bundles of all models of a project, oldest first."""
    return [load_bundle(project.folder / "models" / name) for name in project.model_ids()]


def lineage(project: Project, model_id: str | None) -> list[Bundle]:
    """Read a model's bundle and those of the models that it was trained from, removed or not, as far as they exist."""
    found: list[Bundle] = []
    known = {*project.stored_models(), *([LIVE_MODEL] if keeps_live_model(project) else [])}
    while model_id in known:
        known.remove(model_id)
        found.append(load_bundle(project.folder / "models" / model_id))
        model_id = found[-1].parent
    return found


def learnt_slides(models: Sequence[Bundle], slides: Sequence[str], parts: Parts) -> list[str]:
    """Return the slides of which one of `models` has learnt what is to be scored.

    Parameters
    ----------
    models
        A model and those that it was trained from, see `lineage`.
    slides
        The slides to be scored.
    parts
        The parts of these slides that are scored; empty if all of them is.
    """

    def has_learnt(model: Bundle, slide: str) -> bool:
        boxes = parts.get(slide, ())
        return slide in model.train and not (boxes and covers(model.parts, slide, boxes))

    return [slide for slide in slides if any(has_learnt(model, slide) for model in models)]


def slides_to_score(project: Project, role: str, bundle: Bundle) -> tuple[list[SlideRecord], Parts]:
    """Return the labelled slides of a role, and the parts of them to score: empty if these are whole slides.

    Where there is no validation slide, these are the parts that the model's training held out.
    """
    records = [r for r in project.slides_with_role(role) if labelled_classes(r, project.counts(r.id))]
    if records or role != roles.VAL or not bundle.held_out:
        return records, {}
    parts = {slide: boxes for slide, boxes in bundle.parts.items() if slide in project.slides}
    return [project.slide(slide) for slide in parts], parts


def comparable_slides(project: Project, model_ids: Sequence[str]) -> list[str]:
    """Return the held-out slides on which models can be compared: those of which, or of whose parts, none has learnt.

    Raises
    ------
    BundleError
        If there are none; the message says why.
    """
    models = {model: lineage(project, model) for model in model_ids}
    scored = [slides_to_score(project, roles.VAL, found[0]) for found in models.values()]
    records, parts = scored[-1]
    slides = [record.id for record in records]
    names = join_names(list(models))
    if any(other != parts for _, other in scored) or not slides:
        raise BundleError(
            f"{names} cannot be compared: no slide is held out from both. Annotate a slide of another patient, and "
            "give it the role Validation."
        )
    common = [slide for slide in slides if not any(learnt_slides(found, [slide], parts) for found in models.values())]
    if not common:
        known = [model for model, found in models.items() if learnt_slides(found, slides, parts)]
        raise BundleError(
            f"{names} cannot be compared: {join_names(known)} learnt from what is held out now ({join_names(slides)}). "
            "Train one from scratch, or hold out a slide that neither has seen."
        )
    return common


def check_classes(project: Project, bundle: Bundle) -> None:
    """Check that the classes of a model are those of the project; see :func:`has_classes_of`.

    Raises
    ------
    BundleError
        If they are not.
    """
    if not has_classes_of(project, bundle.class_names):
        raise BundleError(
            f"Model {bundle.id} has the classes {', '.join(bundle.class_names)}; the project has "
            f"{', '.join(project.classes.slot_names)}. Train a new model from scratch."
        )


def has_classes_of(project: Project, names: Sequence[str]) -> bool:
    """Return whether classes of these names, in order, are the project's.

    A class is its number: it may have been renamed since, and the project may have more classes.
    """
    return len(names) <= project.classes.highest and all(
        name in project.class_names_over_time(index) for index, name in enumerate(names, 1)
    )


def outputs_in(project: Project, bundle: Bundle) -> tuple[list[int], dict[int, int]]:
    """Return the classes that a model predicts in a project, and those of them that were merged into others."""
    merged = project.classes.merged
    known = bundle.network.known or range(1, bundle.network.classes + 1)
    return [number for number in known if number in project.classes.numbers or number in merged], merged


def make_newest(project: Project, model_id: str) -> str:
    """Make a model the newest of its project and return its name.

    Unless the newest model has the same weights already, the model is copied to the next number.

    Raises
    ------
    BundleError
        If the project has no such model.
    ProjectError
        If the copy cannot be written; nothing is left of it.
    """
    folder, trained = find_bundle(project, model_id), project.model_ids()
    if trained and filecmp.cmp(folder.with_name(trained[-1]) / WEIGHTS, folder / WEIGHTS, shallow=False):
        return trained[-1]
    number, run = reserve_run(project)
    copy = folder.with_name(f"m{number}")
    try:
        with atomic_folder(copy) as partial:
            _copy_whole(folder, partial)
            save_json(partial / "bundle.json", {**load_json(partial / "bundle.json"), "id": copy.name})
            _rename_card(partial / MODEL_CARD, copy.name)
    except OSError as error:
        raise ProjectError(
            f"{copy} could not be written ({error.strerror}). Free some space, then try again."
        ) from error
    finally:
        run.rmdir()
    return copy.name


def _rename_card(card: Path, model_id: str) -> None:
    """Give a model card, if there is one, the title of another model."""
    if card.exists():
        lines = card.read_text(encoding="utf8").splitlines(keepends=True)
        card.write_text("".join([f"{CARD_TITLE}{model_id}\n", *lines[1:]]), encoding="utf8")


def _copy_whole(folder: Path, target: Path) -> None:
    """Copy a bundle, again if it was replaced meanwhile, as a live model can be: its files belong together."""
    for _ in range(_COPIES):
        with suppress(FileNotFoundError):
            before = read_regular(folder / "bundle.json", _MAX_BYTES)
            copy_bundle(folder, target)
            if before == read_regular(folder / "bundle.json", _MAX_BYTES):
                return
        shutil.rmtree(target, ignore_errors=True)
    raise ProjectError(f"{folder} is being replaced all the time. Try again in a moment.")


def copy_bundle(folder: Path, target: Path) -> None:
    """Copy the files of a bundle to a new folder, and nothing else that lies beside them.

    Raises
    ------
    OSError
        If one cannot be read or written, or is a pipe or a device.
    """
    target.mkdir()
    for name in _FILES:
        if (folder / name).exists():
            with open_regular(folder / name) as source, (target / name).open("wb") as copy:
                shutil.copyfileobj(source, copy)


def reserve_run(project: Project) -> tuple[str, Path]:
    """Reserve the next number for a run and its model; return its digits and the folder of the run."""
    runs = project.folder / "runs"
    taken = [int(found.group(1)) for p in runs.glob("r*") if (found := re.fullmatch(r"r(\d+)", p.name))]
    taken += [int(found.group(1)) for m in project.stored_models() if (found := re.fullmatch(r"m(\d+)", m))]
    number = max(taken, default=0) + 1
    while True:
        try:
            (runs / f"r{number:03}").mkdir(parents=True)
            return f"{number:03}", runs / f"r{number:03}"
        except FileExistsError:  # another process took the number
            number += 1
        except OSError as error:
            raise ProjectError(
                f"{runs} cannot be written ({error.strerror}). Allow writing to the project folder."
            ) from error
