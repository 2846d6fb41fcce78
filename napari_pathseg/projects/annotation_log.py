"""What people did in a project, round by round: the work on each slide, and how a model did where they worked.

A round ends with a training, which learns its labels.  ``annotation_log.jsonl`` in the project folder gets a line of
JSON for each stretch of work, for each score, and for the start and the end of each training; no line is ever changed.
A training that was not finished, or whose model was dropped, ends no round: its labels are learnt by the next one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypedDict

from napari_pathseg.projects.project import Project
from napari_pathseg.storage.json_lines import append_line, read_lines
from napari_pathseg.storage.json_schema import Count, Fraction, Name

FILE = "annotation_log.jsonl"
FEW_ROUNDS, LEAST_GAIN = 3, 0.005  # rounds that bring less than half a Dice point are not worth the work
_MAX_BYTES = 64 << 20  # a year of work in stretches of a minute has half of that


@dataclass(frozen=True)
class Work:
    """Work on one slide.

    Attributes
    ----------
    strokes
        Strokes of any tool, those that were undone left out.
    seconds
        Time from one change of the mask to the next, without pauses of more than half a minute.
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
            self.strokes + other.strokes,
            self.seconds + other.seconds,
            self.pixels + other.pixels,
            sum(known) if known else None,
        )

    def __bool__(self) -> bool:
        return bool(self.strokes or self.pixels)


@dataclass(frozen=True)
class Score:
    """How a model did on a slide where a person labelled next, before it learnt from that.

    Attributes
    ----------
    model
        The model that was current until the training.
    dice
        Its mean Dice in the places around the new labels; see `engine.evaluation.prequential`.
    right
        The fraction of the new labels that it had said.
    pixels
        How many new labels there are, in pixels of the mask.
    """

    model: str
    dice: float
    right: float
    pixels: int


@dataclass(frozen=True)
class Round:
    """What was done on each slide until a training began, and what that brought.

    Attributes
    ----------
    model
        The model that learnt it; "" for the round that is open.
    work, scores
        By slide; the scores are those of the model before.
    held_out, gain
        The mean Dice of the new model on what is held out, and by how much it is better than the model before on
        identical labels; None if unknown.
    """

    model: str = ""
    work: Mapping[str, Work] = field(default_factory=dict)
    scores: Mapping[str, Score] = field(default_factory=dict)
    held_out: float | None = None
    gain: float | None = None

    @property
    def total(self) -> Work:
        """The work on all slides."""
        return sum(self.work.values(), Work())

    @property
    def dice(self) -> float | None:
        """The Dice of the model before where the person labelled, a mean over the new labels; None if unknown."""
        pixels = sum(score.pixels for score in self.scores.values())
        return sum(score.dice * score.pixels for score in self.scores.values()) / pixels if pixels else None

    @property
    def seconds_per_slide(self) -> float | None:
        """The mean time of work on a slide; None without work."""
        return self.total.seconds / len(self.work) if self.work else None


def stop_sentence(rounds: Sequence[Round]) -> str:
    """Return what to think about if the last three rounds brought less than half a Dice point; "" otherwise."""
    last = [one.gain for one in rounds if one.model][-FEW_ROUNDS:]
    gains = [gain for gain in last if gain is not None]
    if len(gains) < FEW_ROUNDS or sum(gains) >= LEAST_GAIN:
        return ""
    return (
        f"The last three rounds brought {sum(gains):+.3f} Dice on what is held out, less than half a point. "
        "More of the same may not pay: label other places or slides, or stop here."
    )


class _Line(TypedDict, total=False):
    kind: Literal["work", "score", "begun", "learnt", "dropped"]
    slide: Name
    strokes: Count
    seconds: float
    pixels: Count
    mm2: float | None
    model: Name
    dice: Fraction
    right: Fraction
    held_out: Fraction | None
    gain: float | None
    lines: Count


def log_work(project: Project, slide: str, work: Work) -> None:
    """Add a stretch of work on a slide to the open round."""
    append_line(
        project.folder / FILE, {"kind": "work", "slide": slide, **asdict(work), "seconds": round(work.seconds, 1)}
    )


def count_lines(project: Project) -> int:
    """Return how many lines of the log can be read."""
    return len(_read(project.folder / FILE))


def log_begun(project: Project, model: str, lines: int | None = None) -> None:
    """Note that a training begins to learn the open round; what is done from now on is of the next one.

    Parameters
    ----------
    project, model
        The project, and the model that the training makes.
    lines
        How many lines the log had when the training read the masks, see `count_lines`: work that was noted later is of
        the next round, too.  None for all.
    """
    known = {} if lines is None else {"lines": lines}
    append_line(project.folder / FILE, {"kind": "begun", "model": model, **known})


def log_scores(project: Project, scores: Mapping[str, Score]) -> None:
    """Add how a model did where people labelled next, by slide; call it before `log_begun`."""
    for slide, score in scores.items():
        append_line(project.folder / FILE, {"kind": "score", "slide": slide, **asdict(score)})


def log_learnt(project: Project, model: str, held_out: float | None = None, gain: float | None = None) -> None:
    """Note that this training made a model, its mean Dice on what is held out, and what it gained there."""
    append_line(project.folder / FILE, {"kind": "learnt", "model": model, "held_out": held_out, "gain": gain})


def log_dropped(project: Project, model: str) -> None:
    """Note that a model was deleted, so that what it learnt is learnt by the next one."""
    append_line(project.folder / FILE, {"kind": "dropped", "model": model})


def read_rounds(project: Project) -> list[Round]:
    """Return the rounds, the first one first and the open one last; lines that cannot be read are left out.

    The file is read once for each change of it.
    """
    path = project.folder / FILE
    try:
        status = path.stat()
    except OSError:  # none yet
        return [Round()]
    return list(_rounds(path, status.st_mtime_ns, status.st_size))


@lru_cache(maxsize=2)
def _rounds(path: Path, _written: int, _size: int) -> tuple[Round, ...]:
    lines = _read(path)
    learnt = dict[str, _Line]()
    for line in lines:
        if line["kind"] == "learnt":
            learnt[line.get("model", "")] = line
        elif line["kind"] == "dropped":
            learnt.pop(line.get("model", ""), None)
    last = {line.get("model", ""): number for number, line in enumerate(lines) if line["kind"] == "begun"}  # if resumed
    rounds, work, scores = list[Round](), list[tuple[int, str, Work]](), dict[str, Score]()
    for number, line in enumerate(lines):
        slide, model = line.get("slide", ""), line.get("model", "")
        if line["kind"] == "work" and slide:
            done = Work(line.get("strokes", 0), line.get("seconds", 0.0), line.get("pixels", 0), line.get("mm2"))
            work.append((number, slide, done))
        elif line["kind"] == "score" and slide:
            scores[slide] = Score(model, line.get("dice", 0.0), line.get("right", 0.0), line.get("pixels", 0))
        elif line["kind"] == "begun" and model in learnt and number == last[model]:
            read = line.get("lines", number)
            before, end = _by_slide(done for done in work if done[0] < read), learnt[model]
            rounds.append(Round(model, before, scores, end.get("held_out"), end.get("gain")))
            work, scores = [done for done in work if done[0] >= read], {}
    return (*rounds, Round(work=_by_slide(work)))


def _by_slide(work: Iterable[tuple[int, str, Work]]) -> dict[str, Work]:
    """Sum up stretches of work, each with the number of its line and its slide."""
    found = dict[str, Work]()
    for _, slide, done in work:
        found[slide] = found.get(slide, Work()) + done
    return found


def _read(path: Path) -> list[_Line]:
    return [line for line in read_lines(path, _Line, _MAX_BYTES) if "kind" in line]
