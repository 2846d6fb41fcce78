"""What a project remembers besides its slides and classes: the ``settings`` of ``project.json``.

One property for each key, so that a misspelt key or a value of the wrong type cannot spread.  Keys of a newer version
are kept as they are.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from napari_pathseg.contours.alignment import IDENTITY, AxisScaleTransform


@dataclass(frozen=True)
class ImportRecord:
    """An annotation file that was imported: into which slide, its name, its path then, and how it was transformed."""

    slide: str
    file: str
    path: str
    transform: AxisScaleTransform = IDENTITY


@dataclass(frozen=True)
class TrainingChoices:
    """What the Train panel showed at the last training: the settings, and whether it started without a model."""

    config: Mapping[str, Any] = field(default_factory=dict)
    from_scratch: bool = False


@dataclass(frozen=True)
class TuningChoices:
    """What the Find settings panel showed at the last search; None where nothing was chosen yet."""

    vary: Mapping[str, str] | None = None
    trials: int = 0
    minutes: float | None = None


@dataclass(frozen=True)
class TrainedLabels:
    """The labels that a model was trained on: the pixels of each class, by slide."""

    model: str
    pixels: Mapping[str, list[int]]


class ProjectState:
    """Typed access to the settings of a project; `values` is what ``project.json`` holds."""

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self.values: dict[str, Any] = dict(values or {})

    @property
    def locked_classes(self) -> frozenset[int]:
        """The classes whose pixels no tool changes."""
        kept = self.values.get("locked")
        return frozenset(index for index in kept if isinstance(index, int)) if isinstance(kept, list) else frozenset()

    @locked_classes.setter
    def locked_classes(self, classes: Iterable[int]) -> None:
        self.values["locked"] = sorted(classes)

    @property
    def imports(self) -> dict[str, ImportRecord]:
        """The files that were imported, by their names in ``contours/``."""
        kept = self.values.get("imported", {})
        return {
            name: ImportRecord(one["slide"], one["file"], one["path"], AxisScaleTransform.from_json(one["remedy"]))
            for name, one in kept.items()
        }

    def imports_into(self, slide_id: str) -> dict[str, ImportRecord]:
        """Return the files that were imported into one slide."""
        return {name: record for name, record in self.imports.items() if record.slide == slide_id}

    def record_import(self, name: str, record: ImportRecord) -> None:
        """Record what a file in ``contours/`` was imported as."""
        self.values["imported"] = {
            **self.values.get("imported", {}),
            name: {
                "slide": record.slide,
                "file": record.file,
                "path": record.path,
                "remedy": record.transform.to_json(),
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
    def trained_labels(self) -> TrainedLabels | None:
        """The labels that the newest model was trained on, if it was trained in the window."""
        kept = self.values.get("learnt")
        return TrainedLabels(kept["model"], kept["pixels"]) if kept else None

    @trained_labels.setter
    def trained_labels(self, labels: TrainedLabels) -> None:
        self.values["learnt"] = asdict(labels)

    @property
    def training_choices(self) -> TrainingChoices:
        """The settings of the last training."""
        kept = self.values.get("train", {})
        return TrainingChoices(kept.get("config", {}), bool(kept.get("anew", False)))

    @training_choices.setter
    def training_choices(self, choices: TrainingChoices) -> None:
        self.values["train"] = {"config": dict(choices.config), "anew": choices.from_scratch}

    @property
    def tuning_choices(self) -> TuningChoices:
        """The settings of the last search for settings."""
        kept = self.values.get("tune", {})
        return TuningChoices(kept.get("vary"), int(kept.get("trials", 0)), kept.get("minutes"))

    @tuning_choices.setter
    def tuning_choices(self, choices: TuningChoices) -> None:
        self.values["tune"] = asdict(choices)

    @property
    def cleanup(self) -> dict[str, Any]:
        """The last clean-up request as plain values; empty where there was none."""
        kept = self.values.get("cleaning", {})
        return dict(kept) if isinstance(kept, dict) else {}

    @cleanup.setter
    def cleanup(self, request: Mapping[str, Any]) -> None:
        self.values["cleaning"] = dict(request)
