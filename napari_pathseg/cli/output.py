"""Answers of the commands as text: tables and sentences for a terminal."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

Answer = Mapping[str, Any]  # of a command: what --json prints
Scores = Mapping[str, Mapping[str, float]]

_SCORES = {"dice": "Dice", "iou": "IoU", "precision": "precision", "recall": "recall", "f1": "F1"}
_ABSENT = "-"  # in place of a missing value


def complaints(answer: Answer) -> list[str]:
    """Return the lines for stderr: problems that a check found, and warnings."""
    return [*(problem["text"] for problem in answer.get("problems", [])), *answer.get("warnings", [])]


def show_nothing(_: Answer) -> list[str]:
    """Return no lines, as the window shows everything."""
    return []


def show_project(answer: Answer) -> list[str]:
    """Return the new project and the next command."""
    made = answer["project"]
    return [
        f"{made} was created with the classes {', '.join(answer['classes'])}.",
        f"Next: pathseg add {made} SLIDE... --contours FOLDER",
    ]


def show_added(answer: Answer) -> list[str]:
    """Return one row for each added slide, with the classes imported."""
    slides = answer["slides"]
    rows = [["slide", "contours", "classes", "patient", "role", "pixel size"]]
    for slide in slides:
        size = "unknown" if slide["mpp"] is None else f"{slide['mpp']:.4g} µm/px"
        classes = ", ".join(slide["classes"]) or _ABSENT
        rows.append(
            [slide["slide"], slide["contours"] or "no contours", classes, slide["patient"], slide["role"], size]
        )
    paired = sum(slide["contours"] is not None for slide in slides)
    return [*aligned(rows), f"{_counted(len(slides), 'slide')} added, {paired or 'none'} with contours."]


def show_split(answer: Answer) -> list[str]:
    """Return the role of each slide, and how many have each."""
    roles = answer["roles"]
    rows = [["slide", "role"], *([slide, role] for role, slides in roles.items() for slide in slides)]
    return [*aligned(rows), f"{', '.join(f'{len(slides)} {role}' for role, slides in roles.items())}."]


def show_found(answer: Answer) -> list[str]:
    """Return the new files of the slides that were found."""
    found, missing = answer["found"], answer["missing"]
    if not found and not missing:
        return ["No slide is missing: all files are where they were."]
    if not found:
        return []
    many = f"{_counted(len(found), 'slide')} found and linked again"
    return [*aligned([["slide", "file"], *found.items()]), f"{many}{'.' if missing else '; none is missing now.'}"]


def show_check(answer: Answer) -> list[str]:
    """Return whether training can start and its estimated cost; the problems follow on stderr."""
    problems = answer["problems"]
    if answer["ready"]:
        takes = answer["estimate"]["text"].rstrip(".")
        return [f"Ready to train: {takes}.", *([f"Worth a look ({len(problems)}):"] if problems else [])]
    blocking = sum(problem["blocks"] for problem in problems)
    rest = f", {len(problems) - blocking} more worth a look" if len(problems) > blocking else ""
    return [f"Not ready to train ({blocking} in the way{rest}):"]


def show_versions(answer: Answer) -> list[str]:
    """Return what was created or restored, and one row for each version; problems follow on stderr."""
    lines = [*_kept(answer.get("kept", {})), *_restored(answer.get("restored"))]
    rows = [["slide", "version", "kept", "why", "areas"]]
    for slide in answer["slides"]:
        for version in slide["versions"]:
            when = f"{datetime.fromisoformat(version['when']).astimezone():%Y-%m-%d %H:%M}"
            areas = ", ".join(_area(name, area) for name, area in version["areas"].items() if area["pixels"])
            text = "cannot be read" if version["problem"] else areas or "nothing labelled"
            rows.append([slide["slide"], str(version["number"]), when, version["why"] or _ABSENT, text])
    none = "No version is kept yet. One is before each import, accept-all and training, and with --keep."
    return [*lines, *(aligned(rows) if rows[1:] else [none])]


def show_training(answer: Answer) -> list[str]:
    """Return the scores of a new model on the held-out slides, and its folder."""
    parent, seconds = answer["parent"], answer["seconds"]
    origin = f"fine-tuned from {parent}" if parent else "trained without an earlier model"
    took = f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"
    return [
        *_score_table(answer["scores"]),
        f"Pooled over the held-out slides (val). Model {answer['model']}, {origin}: "
        f"{_counted(answer['steps'], 'step')} in {took}.",
        f"It lies in {answer['folder']}.",
    ]


def show_scores(answer: Answer) -> list[str]:
    """Return the pooled scores, and the Dice of each slide."""
    classes, slides = answer["classes"], answer["slides"]
    rows = [["Dice of", *classes]]
    for slide in slides:
        dice = zip(classes, _occurring(slide["confusion"]), strict=True)
        rows.append([slide["slide"], *(_number(slide["scores"][name]["dice"], there) for name, there in dice)])
    role = "all roles" if answer["role"] == "all" else f"the role {answer['role']}"
    return [
        *_score_table(answer["scores"], _occurring(answer["confusion"])),
        "",
        *aligned(rows),
        "",
        f"Model {answer['model']} on {_counted(len(slides), 'slide')} of {role}, the first table pooled over all "
        f"labelled pixels; {answer['pixel_error']:.2%} of them are misclassified.",
    ]


def show_prediction(answer: Answer) -> list[str]:
    """Return what was predicted: slides of a project, or image files."""
    if "files" in answer:
        return show_files(answer)
    slides = answer["slides"]
    if not slides:
        return ["No slide was predicted."]
    rows = [["slide", "pixels", "seconds", "mask"]]
    for slide in slides:
        mask = "filled where unlabelled" if slide["filled"] else "not changed, the slide is complete"
        rows.append([slide["slide"], f"{slide['pixels']:,}", f"{slide['seconds']:.1f}", mask])
    return [*aligned(rows), f"{_counted(len(slides), 'slide')} predicted with {answer['model']}."]


def show_files(answer: Answer) -> list[str]:
    """Return the files that were written."""
    files = answer["files"]
    return [*files, f"{_counted(len(files), 'file')} written."]


def show_converted(answer: Answer) -> list[str]:
    """Return how many contours of each class were written."""
    classes = ", ".join(f"{number} {name}" for name, number in answer["classes"].items())
    return [
        f"{_counted(answer['contours'], 'contour')} written to {answer['file']}{f': {classes}' if classes else ''}."
    ]


def show_demo(answer: Answer) -> list[str]:
    """Return the scores of both models of the demo, and the files it wrote."""
    scores: Scores = answer["scores"]
    classes = list(next(iter(scores.values())))
    rows = [["Dice of", *classes]]
    rows += [[f"the {which} model", *(_number(dice[name]) for name in classes)] for which, dice in scores.items()]
    left = [*answer["screenshots"], *answer["exported"]]
    return [*aligned(rows), *left, f"The project lies in {answer['project']}; it took {answer['seconds']:.0f} s."]


def show_trials(answer: Answer) -> list[str]:
    """Return the trials of a tuning as a table, best first, and why some failed."""
    trials = answer["trials"]
    if not trials:
        return ["No trial began."]
    fields = list(trials[0]["settings"])
    rows = [["model", "dice", "steps", "seconds", *fields, ""]]
    for trial in trials:
        score = _ABSENT if trial["score"] is None else f"{trial['score']:.4f}"
        settings = [str(trial["settings"][name]) for name in fields]
        state = "" if trial["state"] == "finished" else trial["state"]
        rows.append(
            [trial["model"] or _ABSENT, score, str(trial["steps"]), f"{trial['seconds']:.0f}", *settings, state]
        )
    problems = [f"{_settings(trial['settings'])}: {trial['problem']}" for trial in trials if trial["problem"]]
    return [*aligned(rows), *problems, f"The table lies in runs/tune-{answer['name']}/table.csv."]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as lines with aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _score_table(scores: Scores, occurring: Sequence[bool] | None = None) -> list[str]:
    """Return a row of scores for each class, without numbers for a class that does not occur."""
    rows = [["class", *_SCORES.values()]]
    for (name, found), there in zip(scores.items(), occurring or [True] * len(scores), strict=True):
        rows.append([name, *(_number(found[key], there) for key in _SCORES)])
    return aligned(rows)


def _occurring(confusion: Sequence[Sequence[int]]) -> list[bool]:
    """Return whether each class occurs in the labels or the prediction; otherwise its scores of 1 mean nothing."""
    return [any(row) or any(column) for row, column in zip(confusion, zip(*confusion, strict=True), strict=True)]


def _number(score: float, there: bool = True) -> str:
    return f"{score:.4f}" if there else _ABSENT


def _kept(kept: Mapping[str, int | None]) -> list[str]:
    new = [f"{slide} (version {number})" for slide, number in kept.items() if number is not None]
    same = [slide for slide, number in kept.items() if number is None]
    lines = [f"Kept: {', '.join(new)}."] if new else []
    return lines + ([f"No mask, or none that changed since its newest version: {', '.join(same)}."] if same else [])


def _restored(restored: Mapping[str, Any] | None) -> list[str]:
    if restored is None:
        return []
    mask = f"{restored['slide']} is as it was in version {restored['number']}"
    if not restored["changed"]:
        return [f"{mask}: nothing had to be changed."]
    before = "" if restored["kept"] is None else f"; as it was before that is version {restored['kept']}"
    return [f"{mask}{before}. Undo in the window takes that back."]


def _area(name: str, area: Mapping[str, float | None]) -> str:
    return f"{name} {area['pixels']:,} px" if area["mm2"] is None else f"{name} {area['mm2']:.4g} mm²"


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


SHOWN: Mapping[str, Callable[[Answer], list[str]]] = {  # by command
    "new": show_project,
    "add": show_added,
    "split": show_split,
    "relink": show_found,
    "check": show_check,
    "versions": show_versions,
    "train": show_training,
    "tune": show_trials,
    "predict": show_prediction,
    "score": show_scores,
    "convert-weights": show_files,
    "export": show_files,
    "convert": show_converted,
    "open": show_nothing,
    "demo": show_demo,
}
