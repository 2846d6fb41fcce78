"""Format the answers of the commands for a terminal, as tables and sentences."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

Answer = Mapping[str, Any]  # what a command returns and --json prints
Scores = Mapping[str, Mapping[str, float | None]]

_SCORES = {"dice": "Dice", "iou": "IoU", "precision": "precision", "recall": "recall", "f1": "F1"}
_ABSENT = "–"  # in place of a missing value
_MAX_NAMES = 20  # listed in one sentence


def warnings_of(answer: Answer) -> list[str]:
    """Return the lines for stderr: the problems that a check found, and warnings."""
    return [*(problem["text"] for problem in answer.get("problems", [])), *answer.get("warnings", [])]


def show_nothing(_: Answer) -> list[str]:
    """Return no lines: the window shows everything."""
    return []


def show_script(answer: Answer) -> list[str]:
    """Return the lines of a script."""
    lines: list[str] = answer["script"].splitlines()
    return lines


def show_report(answer: Answer) -> list[str]:
    """Return the lines of the report that the command has made."""
    return list(answer["report"])


def show_project(answer: Answer) -> list[str]:
    """Return the new project's folder and classes, and the next command."""
    folder = answer["project"]
    return [
        f"{folder} was created with the classes {', '.join(answer['classes'])}.",
        f"Next: pathseg add {folder} SLIDE... --contours FOLDER",
    ]


def show_added(answer: Answer) -> list[str]:
    """Return one row for each added slide, with its imported classes."""
    slides = answer["slides"]
    rows = [["slide", "contours", "classes", "patient", "role", "pixel size"]]
    for slide in slides:
        size = _pixel_size(slide["mpp"])
        classes = ", ".join(slide["classes"]) or _ABSENT
        rows.append(
            [slide["slide"], slide["contours"] or _no_contours(slide), classes, slide["patient"], slide["role"], size]
        )
    paired = sum(slide["contours"] is not None for slide in slides)
    known = [slide["slide"] for slide in slides if not slide["added"]]
    left_out = _left_out(answer["contour_files"])
    if not known:
        return [*aligned(rows), f"{_counted(len(slides), 'slide')} added, {paired or 'none'} with contours.", *left_out]
    added, there = _counted(len(slides) - len(known), "slide"), _counted(len(known), "slide")
    return [
        *aligned(rows),
        f"{added} added; {there} already in the project, with role and patient as in the table. "
        f"Contours were imported into {paired or 'none'}.",
        *left_out,
    ]


def _left_out(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one row for each file of the folder of contours that was not imported, but for the slides themselves."""
    rows = [[file["file"], file["result"]] for file in files if not file["slides"] and not file["is_slide"]]
    return ["", *aligned([["file", "why it was not imported"], *rows])] if rows else []


def _no_contours(slide: Mapping[str, Any]) -> str:
    return "no contours" if slide["added"] else "no new contours"


def show_set(answer: Answer) -> list[str]:
    """Return one row for each slide that was changed."""
    rows = [["slide", "patient", "role", "complete", "pixel size"]]
    for slide in answer["slides"]:
        complete = "yes" if slide["complete"] else "no"
        rows.append([slide["slide"], slide["patient"], slide["role"], complete, _pixel_size(slide["mpp"])])
    return aligned(rows)


def show_removed(answer: Answer) -> list[str]:
    """Return how many slides and models there are, and which were removed."""
    removed = [*answer["removed"], *answer["removed_models"]]
    back = f"Removed: {join_names(removed)}; --restore brings them back." if removed else "None is removed."
    return [f"{_counted(len(answer['slides']), 'slide')}, {_counted(len(answer['models']), 'model')}. {back}"]


def show_classes(answer: Answer) -> list[str]:
    """Return the classes with their pixels, and which slides an action changed."""
    rows = [["class", "number", "colour", "pixels"]]
    for spec in answer["classes"]:
        rows.append([spec["class"], str(spec["number"]), spec["color"], f"{spec['pixels']:,}"])
    lines = aligned(rows)
    if answer["removed"]:
        lines.append(f"Removed: {join_names(answer['removed'])}.")
    if answer.get("slides"):
        lines.append(f"Changed the masks of {join_names(answer['slides'])}; Undo in a mask takes it back.")
    return lines


def show_split(answer: Answer) -> list[str]:
    """Return the role of each slide, and the number of slides per role."""
    roles = answer["roles"]
    rows = [["slide", "role"], *([slide, role] for role, slides in roles.items() for slide in slides)]
    return [*aligned(rows), f"{', '.join(f'{len(slides)} {role}' for role, slides in roles.items())}."]


def show_found(answer: Answer) -> list[str]:
    """Return the new files of the slides that were found."""
    found, missing = answer["found"], answer["missing"]
    if not found and not missing:
        return ["No slide is missing: every file is where the project expects it."]
    if not found:
        return []
    summary = f"{_counted(len(found), 'slide')} found and relinked{'.' if missing else '; none is missing now.'}"
    return [*aligned([["slide", "file"], *found.items()]), summary]


def show_check(answer: Answer) -> list[str]:
    """Return whether training can start, its estimated cost, what it learns from and what is left to review.

    Problems are printed on stderr.
    """
    problems, review = answer["problems"], answer["review"]
    left = [f"{review['text']}."] if any(slide["unreviewed_pixels"] for slide in review["slides"]) else []
    if answer["ready"]:
        cost = answer["estimate"]["text"].rstrip(".")
        heading = [f"Warnings ({len(problems)}):"] if problems else []
        return [f"Ready to train: {cost}.", answer["training_data"], *left, *heading]
    blocking = sum(problem["blocks"] for problem in problems)
    warnings = f", {_counted(len(problems) - blocking, 'warning')}" if len(problems) > blocking else ""
    return [*left, f"Not ready to train ({_counted(blocking, 'blocking problem')}{warnings}):"]


def show_versions(answer: Answer) -> list[str]:
    """Return what was created or restored, and one row for each version; problems are printed on stderr."""
    lines = [*_show_created(answer.get("kept", {})), *_show_restored(answer.get("restored"))]
    rows = [["slide", "version", "created", "why", "areas"]]
    for slide in answer["slides"]:
        for version in slide["versions"]:
            when = f"{datetime.fromisoformat(version['when']).astimezone():%Y-%m-%d %H:%M}"
            areas = ", ".join(_area(name, area) for name, area in version["areas"].items() if area["pixels"])
            text = "cannot be read" if version["problem"] else areas or "nothing labelled"
            rows.append([slide["slide"], str(version["number"]), when, version["why"] or _ABSENT, text])
    empty = (
        "There are no versions yet. They are created before each import, accept-all and training; "
        "--keep creates them now."
    )
    return [*lines, *(aligned(rows) if rows[1:] else [empty])]


def show_training(answer: Answer) -> list[str]:
    """Return the scores of a new model on the held-out slides, and its folder."""
    parent, seconds = answer["parent"], answer["seconds"]
    origin = f"fine-tuned from {parent}" if parent else "trained without an earlier model"
    duration = f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"
    return [
        *_score_table(answer["scores"]),
        f"Pooled over {_evidence(answer)}. Model {answer['model']}, {origin}: "
        f"{_counted(answer['steps'], 'step')} in {duration}.",
        f"Saved in {answer['folder']}.",
        *([answer["summary"]] if answer.get("summary") else []),
        *([answer["before_after"]["text"]] if answer.get("before_after") else []),
    ]


def show_models(answer: Answer) -> list[str]:
    """Return one row for each model, after the one that it was trained from; the current one has a star."""
    rows = [["", "model", "from", "Dice", "change", "name"]]
    for model in answer["models"]:
        compared = model["before_after"]
        change = f"{compared['mean_difference']:+.3f}" if compared else _ABSENT
        if compared and compared["before"] != model["parent"]:
            change += f" of {compared['before']}"
        mark, ident = "*" if model["current"] else "", "  " * model["depth"] + model["model"]
        score = f"{model['mean_dice']:.4f}" + ("" if model["finished"] else " (not finished)")
        rows.append([mark, ident, model["parent"] or _ABSENT, score, change, model["name"]])
    lines = aligned(rows) if answer["models"] else ["There is no model yet."]
    removed = answer["removed"]
    back = [f"Removed: {join_names(removed)}; restore brings them back."] if removed else []
    return [
        *lines,
        *([f"{answer['current']} (*) is used where no model is named."] if answer["current"] else []),
        *back,
    ]


def show_scores(answer: Answer) -> list[str]:
    """Return the pooled scores, pixels by outcome, the scores of objects, and the Dice of each slide."""
    classes, slides = answer["classes"], answer["slides"]
    rows = [["Dice of", *classes]]
    rows += [[slide["slide"], *(_number(slide["scores"][name]["dice"]) for name in classes)] for slide in slides]
    role = "all roles" if answer["role"] == "all" else f"the role {answer['role']}"
    where = f"{_counted(len(slides), 'slide')} of {role}"
    if answer.get("held_out_parts"):
        where = _evidence(answer)
    absent = [name for name in classes if answer["scores"][name]["dice"] is None]
    note = [f"{_ABSENT}: {', '.join(absent)} does not occur there."] if absent else []
    return [
        *_score_table(answer["scores"]),
        "",
        *_pixel_table(classes, answer["confusion"]),
        "",
        *_instance_table(answer["objects"]),
        *aligned(rows),
        "",
        *(_adapted_table(answer) if "adapted" in answer else []),
        *answer.get("text", []),
        *note,
        f"Model {answer['model']} on {where}. Scores and pixels are pooled over all "
        f"labelled pixels, of which {answer['pixel_error']:.2%} are misclassified. TP, FP, FN and TN are true and "
        "false positives and negatives.",
    ]


def show_prediction(answer: Answer) -> list[str]:
    """Return the predicted slides of a project, or the label images written."""
    if "files" in answer:
        return show_files(answer)
    slides = answer["slides"]
    if not slides:
        return ["No slide was predicted."]
    rows = [["slide", "pixels", "seconds", "mask"]]
    for slide in slides:
        mask = "filled where unlabelled" if slide["filled"] else "unchanged: the slide is complete"
        rows.append([slide["slide"], f"{slide['pixels']:,}", f"{slide['seconds']:.1f}", mask])
    failed = f", but for {_counted(answer['failed'], 'part')}" if answer["failed"] else ""
    return [*aligned(rows), f"{_counted(len(slides), 'slide')} predicted with {answer['model']}{failed}."]


def show_files(answer: Answer) -> list[str]:
    """Return the files that were written."""
    files = answer["files"]
    return [*files, f"{_counted(len(files), 'file')} written."]


def show_imported_model(answer: Answer) -> list[str]:
    """Return the name of the new model, and whether it is the current one."""
    model, current = answer["model"], answer["current"]
    return [f"{model} was imported{' and is the current model' if current == model else f'; {current} is current'}."]


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
    files = [*answer["screenshots"], *answer["exported"]]
    summary = f"The project is in {answer['project']}. The demo took {answer['seconds']:.0f} s."
    return [*aligned(rows), *files, summary]


def show_trials(answer: Answer) -> list[str]:
    """Return the trials of a tuning as a table, best first, and the reasons for failed ones."""
    trials = answer["trials"]
    if not trials:
        return ["No trial was started."]
    fields = list(trials[0]["settings"])
    rows = [["model", "dice", "steps", "seconds", *fields, ""]]
    for trial in trials:
        score = _ABSENT if trial["score"] is None else f"{trial['score']:.4f}"
        settings = [str(trial["settings"][name]) for name in fields]
        state = "" if trial["state"] == "finished" else trial["state"]
        rows.append(
            [trial["model"] or _ABSENT, score, str(trial["steps"]), f"{trial['seconds']:.0f}", *settings, state]
        )
    problems = [f"{_join_settings(trial['settings'])}: {trial['problem']}" for trial in trials if trial["problem"]]
    return [*aligned(rows), *problems, f"The table is also in runs/tune-{answer['name']}/table.csv."]


def show_rounds(answer: Answer) -> list[str]:
    """Show a row for each round: its model, the work, and the scores before and after."""
    rows = [["model", "strokes", "minutes", "mm²", "where labelled", "held out", "gain"]]
    for one in answer["rounds"]:
        gain = _ABSENT if one["gain"] is None else f"{one['gain']:+.3f}"
        area = _ABSENT if one["mm2"] is None else f"{one['mm2']:.3g}"
        work = [str(one["strokes"]), f"{one['seconds'] / 60:.1f}", area]
        rows.append(
            [one["model"] or "next", *work, _number(one["dice_before_learning"]), _number(one["held_out_dice"]), gain]
        )
    said = [answer["text"]] if answer["text"] else []
    return [*aligned(rows), *said, *answer["files"]]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as lines with aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _score_table(scores: Scores) -> list[str]:
    """Return one row of scores for each class; a class that does not occur has no numbers."""
    rows = [["class", *_SCORES.values()]]
    rows += [[name, *(_number(class_scores[key]) for key in _SCORES)] for name, class_scores in scores.items()]
    return aligned(rows)


def _evidence(answer: Answer) -> str:
    """Return what a model was scored on, in words."""
    parts = answer.get("held_out_parts")
    if not parts:
        return "the held-out slides (val)"
    return f"held-out parts of {', '.join(parts)}, weaker evidence than another patient"


def _adapted_table(answer: Answer) -> list[str]:
    """Return one row of plain and adapted Dice for each class."""
    rows = [["Dice of", "plain", "adapted", "difference"]]
    for name in answer["classes"]:
        plain, adapted = (scores[name]["dice"] for scores in (answer["scores"], answer["adapted"]["scores"]))
        difference = _ABSENT if plain is None or adapted is None else f"{adapted - plain:+.4f}"
        rows.append([name, _number(plain), _number(adapted), difference])
    return [*aligned(rows), "Adapted: with the batch norms measured on each slide, as predict --adapt does.", ""]


def _pixel_table(classes: Sequence[str], confusion: Sequence[Sequence[int]]) -> list[str]:
    """Return one row of true and false positives and negatives, in pixels, for each class."""
    rows, total = [["pixels of", "TP", "FP", "FN", "TN"]], sum(map(sum, confusion))
    for index, name in enumerate(classes):
        hits = confusion[index][index]
        extra, missed = sum(row[index] for row in confusion) - hits, sum(confusion[index]) - hits
        rows.append([name, *(f"{number:,}" for number in (hits, extra, missed, total - hits - extra - missed))])
    return aligned(rows)


def _instance_table(objects: Mapping[str, Mapping[str, float] | None]) -> list[str]:
    """Return one row of V_rand and V_info, with their split and merge parts, for each class that has objects."""
    names = ("v_rand", "rand_split", "rand_merge", "v_info", "info_split", "info_merge")
    rows = [["objects of", "V_rand", "split", "merge", "V_info", "split", "merge"]]
    rows += [[name, *(_number(found[key]) for key in names)] for name, found in objects.items() if found is not None]
    return [*aligned(rows), ""] if len(rows) > 1 else []


def _number(score: float | None) -> str:
    return _ABSENT if score is None else f"{score:.4f}"


def _show_created(versions: Mapping[str, int | None]) -> list[str]:
    created = [f"{slide} (version {number})" for slide, number in versions.items() if number is not None]
    unchanged = [slide for slide, number in versions.items() if number is None]
    lines = [f"Created: {', '.join(created)}."] if created else []
    return lines + ([f"No mask, or unchanged since its newest version: {', '.join(unchanged)}."] if unchanged else [])


def _show_restored(restored: Mapping[str, Any] | None) -> list[str]:
    if restored is None:
        return []
    slide, number = restored["slide"], restored["number"]
    if not restored["changed"]:
        return [f"{slide} already equals version {number}; nothing was changed."]
    snapshot = "" if restored["kept"] is None else f"; the mask from before is version {restored['kept']}"
    return [f"{slide} was restored to version {number}{snapshot}. Undo in the window reverts this."]


def _area(name: str, area: Mapping[str, float | None]) -> str:
    return f"{name} {area['pixels']:,} px" if area["mm2"] is None else f"{name} {area['mm2']:.4g} mm²"


def _pixel_size(mpp: float | None) -> str:
    return "unknown" if mpp is None else f"{mpp:.4g} µm/px"


def join_names(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    rest = len(names) - _MAX_NAMES
    return ", ".join(names[:_MAX_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def show_places(answer: Answer) -> list[str]:
    """Return one row for each place to annotate."""
    if not answer["places"]:
        return ["There is nothing to annotate: all tissue is labelled, or held out."]
    rows = [["", "slide", "row, column", "pixels", "why"]]
    for number, place in enumerate(answer["places"], 1):
        row, column, height, width = place["region"]
        rows.append([str(number), place["slide"], f"{row}, {column}", f"{height} x {width}", place["reason"]])
    return [*aligned(rows), *(f"Written: {path}" for path in answer["files"])]


def _join_settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
