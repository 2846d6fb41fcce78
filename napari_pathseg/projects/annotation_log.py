"""What people did in a project, round by round: the work on each slide, and how a model did where they worked.

A round ends with a training, which learns its labels.  ``annotation_log.jsonl`` in the project folder gets a line of
JSON for each stretch of work, for each score, and for the start and the end of each training; no line is ever changed.
A training that was not finished ends no round: its labels are learnt by the next one.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypedDict

from napari_pathseg.projects.project import Project
from napari_pathseg.storage.json_schema import Count, Name, SchemaError, conform
from napari_pathseg.storage.regular_files import read_regular

FILE = "annotation_log.jsonl"
_MAX_BYTES = 64 << 20  # a year of work in stretches of a minute has half of that
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """Work on one slide.

    Attributes
    ----------
    strokes
        Strokes of any tool, those that were undone left out.
    seconds
        Time with the mouse or the keyboard at work.
    pixels, mm2
        Pixels of the mask that a person changed, each as often as it was, and their area if the pixel size is known.
    """

    strokes: int = 0
    seconds: float = 0.0
    pixels: int = 0
    mm2: float | None = None

    def __add__(self, other: "Work") -> "Work":
        known = [work.mm2 for work in (self, other) if work.mm2 is not None]
        return Work(
            max(0, self.strokes + other.strokes),
            self.seconds + other.seconds,
            self.pixels + other.pixels,
            sum(known) if known else None,
        )

    def __bool__(self) -> bool:
        return bool(self.strokes or self.pixels)


@dataclass(frozen=True)
class Round:
    """What was done on each slide until a training began.

    Attributes
    ----------
    model
        The model that learnt it; "" for the round that is open.
    work
        By slide.
    """

    model: str = ""
    work: Mapping[str, Work] = field(default_factory=dict)

    @property
    def total(self) -> Work:
        """The work on all slides."""
        return sum(self.work.values(), Work())


class _Line(TypedDict, total=False):
    kind: Literal["work", "begun", "learnt"]
    slide: Name
    strokes: int
    seconds: float
    pixels: Count
    mm2: float | None
    model: Name


def log_work(project: Project, slide: str, work: Work) -> None:
    """Add a stretch of work on a slide to the open round."""
    _append(project, {"kind": "work", "slide": slide, **asdict(work), "seconds": round(work.seconds, 1)})


def log_begun(project: Project, model: str) -> None:
    """Note that a training begins to learn the open round; what is done from now on is of the next one."""
    _append(project, {"kind": "begun", "model": model})


def log_learnt(project: Project, model: str) -> None:
    """Note that this training made a model."""
    _append(project, {"kind": "learnt", "model": model})


def read_rounds(project: Project) -> list[Round]:
    """Return the rounds, the first one first and the open one last; lines that cannot be read are left out."""
    lines = list(_lines(project))
    learnt = {line["model"] for line in lines if line["kind"] == "learnt" and "model" in line}
    last = {line.get("model", ""): number for number, line in enumerate(lines) if line["kind"] == "begun"}  # if resumed
    rounds, work = list[Round](), dict[str, Work]()
    for number, line in enumerate(lines):
        if line["kind"] == "work" and "slide" in line:
            done = Work(line.get("strokes", 0), line.get("seconds", 0.0), line.get("pixels", 0), line.get("mm2"))
            work[line["slide"]] = work.get(line["slide"], Work()) + done
        elif (model := line.get("model", "")) in learnt and number == last.get(model):
            rounds.append(Round(model, work))
            work = {}
    return [*rounds, Round(work=work)]


def _lines(project: Project) -> list[_Line]:
    found = list[_Line]()
    try:
        content = read_regular(project.folder / FILE, _MAX_BYTES)
    except FileNotFoundError:
        return found
    except OSError as error:
        _logger.warning("%s could not be read: %s", project.folder / FILE, error.strerror or error)
        return found
    for line in content.splitlines():
        try:
            stored = conform(json.loads(line), _Line)
        except (ValueError, RecursionError, SchemaError):  # the last line of a killed program, or one of a newer one
            continue
        if "kind" in stored:
            found.append(stored)
    return found


def _append(project: Project, values: Mapping[str, Any]) -> None:
    """Add a line; work goes on if the disk refuses."""
    line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), **values}) + "\n"
    try:
        with (project.folder / FILE).open("a", encoding="utf8") as file:
            file.write(line)
    except OSError as error:
        _logger.warning("%s could not be written: %s", project.folder / FILE, error.strerror or error)
