"""State of a project besides its slides and classes: the ``settings`` of ``project.json``.

Each key has one typed property, so a misspelt key or a value of the wrong type cannot spread.  Keys of a newer
version are preserved.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NotRequired, TypedDict

from napari_pathseg.contours.alignment import IDENTITY, AxisScaleTransform
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.storage.json_schema import Count


@dataclass(frozen=True)
class ImportRecord:
    """An imported annotation file: its slide, name, path at the time of import, transform, and the warning about it."""

    slide: str
    file: str
    path: str
    transform: AxisScaleTransform = IDENTITY
    warning: str = ""


@dataclass(frozen=True)
class TrainingChoices:
    """The choices in the Train panel at the last training: its settings, and whether to train from scratch."""

    config: Mapping[str, Any] = field(default_factory=dict)
    from_scratch: bool = False


@dataclass(frozen=True)
class TuningChoices:
    """The choices in the Find settings panel at the last search; None if not chosen yet."""

    vary: Mapping[str, str] | None = None
    trials: int = 0
    minutes: float | None = None


@dataclass(frozen=True)
class LiveChoices:
    """Whether the live model follows the strokes, and its settings."""

    on: bool = True
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainedLabels:
    """The labels that a model was trained on: pixels per class, by slide."""

    model: str
    pixels: Mapping[str, list[Count]]


@dataclass(frozen=True)
class TourState:
    """The step of the tour, from 1, that comes next in this project, 0 before the first, and whether it is shown."""

    step: int = 0
    on: bool = False


class _StoredTransform(TypedDict, total=False):
    scale: float
    swapped: bool


class _StoredImport(TypedDict):
    slide: str
    file: str
    path: str
    remedy: _StoredTransform
    warning: NotRequired[str]


class _StoredTour(TypedDict):
    step: Count
    on: bool


class _StoredTraining(TypedDict, total=False):
    config: dict[str, Any]
    anew: bool


class StoredState(TypedDict, total=False):
    """The ``settings`` of ``project.json``: the schema of what the properties of :class:`ProjectState` read."""

    locked: list[int]
    former_class_names: dict[int, list[str]]
    imported: dict[str, _StoredImport]
    pixel_size_not_known: list[str]
    removed_slides: list[SlideRecord]
    mpp_is_chosen: bool
    current_model: str
    removed_models: list[str]
    model_names: dict[str, str]
    learnt: TrainedLabels
    train: _StoredTraining
    tune: TuningChoices
    predict: dict[str, Any]
    live: LiveChoices
    finds_places: bool
    cleaning: dict[str, Any]
    tour: _StoredTour


class ProjectState:
    """Typed access to the settings of a project; `values` is their JSON object in ``project.json``."""

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self.values: dict[str, Any] = dict(values or {})

    @property
    def locked_classes(self) -> frozenset[int]:
        """The classes whose pixels no tool changes."""
        return frozenset(self.values.get("locked", ()))

    @locked_classes.setter
    def locked_classes(self, classes: Iterable[int]) -> None:
        self.values["locked"] = sorted(classes)

    @property
    def former_class_names(self) -> dict[int, list[str]]:
        """The names that classes had before they were renamed, by index."""
        kept = self.values.get("former_class_names", {})
        return {int(index): list(names) for index, names in kept.items()}

    @former_class_names.setter
    def former_class_names(self, names: Mapping[int, list[str]]) -> None:
        self.values["former_class_names"] = {str(index): former for index, former in names.items()}

    @property
    def imports(self) -> dict[str, ImportRecord]:
        """The imported files, by their names in ``contours/``."""
        return {name: _import_record(stored) for name, stored in self.values.get("imported", {}).items()}

    @property
    def imported_names(self) -> Collection[str]:
        """The names in ``contours/`` of the files that were imported."""
        return set(self.values.get("imported", {}))

    def imports_into(self, slide_id: str) -> dict[str, ImportRecord]:
        """Return the files that were imported into one slide."""
        kept = self.values.get("imported", {})
        return {name: _import_record(one) for name, one in kept.items() if one["slide"] == slide_id}

    def record_import(self, name: str, record: ImportRecord) -> None:
        """Record the import of a file, saved as `name` in ``contours/``."""
        self.values["imported"] = {
            **self.values.get("imported", {}),
            name: {
                "slide": record.slide,
                "file": record.file,
                "path": record.path,
                "remedy": record.transform.to_json(),
                **({"warning": record.warning} if record.warning else {}),
            },
        }

    @property
    def slides_of_unknown_pixel_size(self) -> frozenset[str]:
        """The slides whose pixel size the user does not know; they are not asked about again."""
        return frozenset(self.values.get("pixel_size_not_known", ()))

    @slides_of_unknown_pixel_size.setter
    def slides_of_unknown_pixel_size(self, slide_ids: Iterable[str]) -> None:
        self.values["pixel_size_not_known"] = sorted(slide_ids)

    @property
    def removed_slides(self) -> list[dict[str, Any]]:
        """The records of the slides that were removed and can be brought back, as JSON values."""
        return list(self.values.get("removed_slides", ()))

    @removed_slides.setter
    def removed_slides(self, records: Iterable[Mapping[str, Any]]) -> None:
        self.values["removed_slides"] = [dict(record) for record in records]

    @property
    def current_model(self) -> str:
        """The model that was made the current one; "" for the newest. See `Project.current_model`."""
        return str(self.values.get("current_model", ""))

    @current_model.setter
    def current_model(self, model: str) -> None:
        self.values.pop("current_model", None)
        if model:
            self.values["current_model"] = model

    @property
    def removed_models(self) -> list[str]:
        """The models that were removed and can be brought back, in the order of removal."""
        return list(self.values.get("removed_models", ()))

    @removed_models.setter
    def removed_models(self, models: Iterable[str]) -> None:
        self.values["removed_models"] = list(models)

    @property
    def model_names(self) -> dict[str, str]:
        """The names that the user gave to models, by model."""
        return dict(self.values.get("model_names", {}))

    @model_names.setter
    def model_names(self, names: Mapping[str, str]) -> None:
        self.values["model_names"] = dict(names)

    @property
    def mpp_is_chosen(self) -> bool:
        """Whether the user chose the project's pixel size; older versions recorded none."""
        return bool(self.values.get("mpp_is_chosen", False))

    @mpp_is_chosen.setter
    def mpp_is_chosen(self, chosen: bool) -> None:
        self.values["mpp_is_chosen"] = chosen

    @property
    def trained_labels(self) -> TrainedLabels | None:
        """The labels that the newest model was trained on, if it was trained in the window."""
        stored = self.values.get("learnt")
        return TrainedLabels(stored["model"], stored["pixels"]) if stored else None

    @trained_labels.setter
    def trained_labels(self, labels: TrainedLabels) -> None:
        self.values["learnt"] = asdict(labels)

    @property
    def training_choices(self) -> TrainingChoices:
        """The choices of the last training."""
        stored = self.values.get("train", {})
        return TrainingChoices(stored.get("config", {}), bool(stored.get("anew", False)))

    @training_choices.setter
    def training_choices(self, choices: TrainingChoices) -> None:
        self.values["train"] = {"config": dict(choices.config), "anew": choices.from_scratch}

    @property
    def tuning_choices(self) -> TuningChoices:
        """The choices of the last hyperparameter search."""
        stored = self.values.get("tune", {})
        return TuningChoices(stored.get("vary"), int(stored.get("trials", 0)), stored.get("minutes"))

    @tuning_choices.setter
    def tuning_choices(self, choices: TuningChoices) -> None:
        self.values["tune"] = asdict(choices)

    @property
    def prediction_choices(self) -> dict[str, Any]:
        """The settings of the last prediction in the window as JSON values; empty if there was none."""
        return dict(self.values.get("predict", {}))

    @prediction_choices.setter
    def prediction_choices(self, settings: Mapping[str, Any]) -> None:
        self.values["predict"] = dict(settings)

    @property
    def live_choices(self) -> LiveChoices:
        """Whether the live model is on, and its settings."""
        stored = self.values.get("live", {})
        return LiveChoices(bool(stored.get("on", True)), stored.get("config", {}))

    @live_choices.setter
    def live_choices(self, choices: LiveChoices) -> None:
        self.values["live"] = asdict(choices)

    @property
    def finds_places(self) -> bool:
        """Whether places to annotate are looked for after each training and prediction."""
        return bool(self.values.get("finds_places", True))

    @finds_places.setter
    def finds_places(self, on: bool) -> None:
        self.values["finds_places"] = on

    @property
    def tour(self) -> TourState:
        """How far the tour is, in the project that was made for it."""
        stored = self.values.get("tour", {})
        return TourState(int(stored.get("step", 0)), bool(stored.get("on", False)))

    @tour.setter
    def tour(self, tour: TourState) -> None:
        self.values["tour"] = asdict(tour)

    @property
    def cleanup(self) -> dict[str, Any]:
        """The last clean-up request as JSON values; empty if there was none."""
        return dict(self.values.get("cleaning", {}))

    @cleanup.setter
    def cleanup(self, request: Mapping[str, Any]) -> None:
        self.values["cleaning"] = dict(request)


def _import_record(kept: Mapping[str, Any]) -> ImportRecord:
    transform = AxisScaleTransform.from_json(kept["remedy"])
    return ImportRecord(kept["slide"], kept["file"], kept["path"], transform, kept.get("warning", ""))
