"""The trials of a tuning on disk: ``runs/tune-NAME/study.json``, and a table of them beside it.

Both are written whole after each change, so that a killed tuning goes on where it stopped.
"""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import Bundle, load_bundle
from napari_pathseg.engine.search_space import Settings, TuneRequest
from napari_pathseg.errors import ConfigError, ProjectError
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.atomic import load_json, replace_file, save_json
from napari_pathseg.storage.lock import ProjectLock

RUNNING, FINISHED, STOPPED, FAILED = "running", "finished", "stopped", "failed"
_FILE = "study.json"


@dataclass
class TrialRecord:
    """A training of a tuning: what it trained with, how far it is, and what came of it."""

    settings: Settings
    state: str = RUNNING
    run: str = ""
    model: str = ""
    score: float | None = None
    steps: int = 0
    seconds: float = 0.0
    problem: str = ""

    def end(self, bundle: Bundle, state: str = FINISHED) -> None:
        """Take note of the model that came of it."""
        self.state, self.model, self.run = state, bundle.id, bundle.run
        self.score, self.steps, self.seconds = bundle.mean_dice, bundle.steps, round(bundle.seconds, 2)

    def fail(self, problem: str) -> None:
        """Take note of why nothing came of it."""
        self.state, self.problem = FAILED, problem


@dataclass(frozen=True)
class TuneResult:
    """The trials of a tuning, best first; `name` is the tuning's."""

    name: str
    trials: list[TrialRecord] = field(default_factory=list)

    @property
    def best(self) -> TrialRecord | None:
        """The trial with the highest score, one that was finished if any was; None where none has a score."""
        return self.trials[0] if self.trials and self.trials[0].score is not None else None

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {
            "name": self.name,
            "best": asdict(self.best) if self.best is not None else None,
            "trials": [asdict(trial) for trial in self.trials],
        }


class Study:
    """The trials of a tuning, in the order in which they began."""

    def __init__(self, project: Project, folder: Path, request: TuneRequest) -> None:
        self.request, self.folder, self._project = request, folder, project
        self.trials: list[TrialRecord] = []
        if (folder / _FILE).exists():
            self._load()

    def next_trial(self) -> TrialRecord | None:
        """Return the trial that was interrupted, else a new one, None where all is done."""
        for trial in self.trials:
            if trial.state == RUNNING:
                return trial
        tried, scores = [trial.settings for trial in self.trials], [trial.score for trial in self.trials]
        settings = self.request.next_settings(tried, scores)
        if settings is None:
            return None
        self.trials.append(TrialRecord(settings))
        return self.trials[-1]

    @property
    def planned(self) -> int:
        """How many trials there will be."""
        return len(self.trials) + self.request.left([trial.settings for trial in self.trials])

    def result(self) -> TuneResult:
        """Return the trials that began, best first; one that was stopped comes after all that were finished."""
        begun = [trial for trial in self.trials if trial.run or trial.state != RUNNING]
        ranked = sorted(begun, key=lambda t: (t.state == FINISHED, -1.0 if t.score is None else t.score), reverse=True)
        return TuneResult(self.folder.name.removeprefix("tune-"), ranked)

    def save(self) -> None:
        """Write the trials and their table."""
        trials = [asdict(trial) for trial in self.trials]
        save_json(self.folder / _FILE, {"shared": self.request.shared, "trials": trials})
        with (
            replace_file(self.folder / "table.csv") as partial,
            partial.open("w", newline="", encoding="utf-8") as file,
        ):
            csv.writer(file).writerows(table(self.result(), self.request.fields))

    def _load(self) -> None:
        path = self.folder / _FILE
        kept = load_json(path)
        try:
            shared = TrainConfig.renamed(kept["shared"])
            shared["varied"] = sorted(TrainConfig.renamed(dict.fromkeys(shared["varied"])))
            trials = [_trial(trial) for trial in kept["trials"]]
        except (KeyError, TypeError) as error:
            raise ProjectError(f"{path} is damaged ({error}). Delete it, or tune under another name.") from error
        for name, value in self.request.shared.items():
            if name in shared and shared[name] != value:
                raise ConfigError(
                    f"{name} is {value!r}; the tuning {self.request.name} began with {shared[name]!r}. "
                    "Give it another name, or the same settings."
                )
        self.trials = [trial for trial in trials if trial.state in (RUNNING, FINISHED)]
        for trial in self.trials:
            if trial.state == RUNNING:
                self._find_out(trial)

    def _find_out(self, trial: TrialRecord) -> None:
        """See how far a trial came whose process was killed."""
        if not trial.run or not (self._project.folder / "runs" / trial.run / "config.json").exists():
            trial.run = trial.model = ""
            return
        model = self._project.folder / "models" / trial.model
        if (model / "bundle.json").exists() and (bundle := load_bundle(model)).finished:
            trial.end(bundle)


def _trial(kept: dict[str, Any]) -> TrialRecord:
    return TrialRecord(**{**kept, "settings": TrainConfig.renamed(kept["settings"])})


@contextmanager
def open_study(project: Project, request: TuneRequest) -> Iterator[Study]:
    """Open the study of a tuning, or make it; what failed or was stopped is forgotten, to begin anew.

    Raises
    ------
    ProjectError
        If another process works on it, or it cannot be read or written.
    ConfigError
        If what all trials share was another then.
    """
    folder, begun = (project.folder / "runs" / f"tune-{name}" for name in (request.name, request.first_name))
    if begun.exists():
        folder = begun
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProjectError(f"{folder} could not be made ({error.strerror}). Allow writing to the project.") from error
    lock = ProjectLock(folder)
    lock.acquire()
    try:
        yield Study(project, folder, request)
    finally:
        lock.release()


def table(result: TuneResult, fields: list[str]) -> list[list[Any]]:
    """Return the rows of a result's table, the first one its heads."""
    heads: list[Any] = ["model", "score", "steps", "seconds", *fields, "state", "problem"]
    rows = [
        [t.model, t.score, t.steps, t.seconds, *(t.settings[name] for name in fields), t.state, t.problem]
        for t in result.trials
    ]
    return [heads, *rows]
