"""Format what is in a project for a terminal."""

from collections.abc import Mapping
from typing import Any

from napari_pathseg.cli.output import Answer, aligned, join_names, show_models

_ABSENT = "–"  # in place of a missing value


def show_contents(answer: Answer) -> list[str]:
    """Return a table for each kind of thing in the answer."""
    if "disk" in answer:
        from napari_pathseg.projects.disk_use import format_bytes

        rows = [[part, format_bytes(size)] for part, size in answer["disk"].items()]
        return aligned([["part", "size"], *rows, ["total", format_bytes(sum(answer["disk"].values()))]])
    tables = {"slides": _slide_table, "models": _model_table, "runs": _run_table, "classes": _class_table}
    lines: list[str] = []
    for kind, rows in answer.items():
        lines += [*([""] if lines else []), *tables[kind](rows)]
    return lines


def show_one(answer: Answer) -> list[str]:
    """Return what is known of one thing, a line for each fact."""
    rows = [[name.replace("_", " "), text] for name, value in answer.items() if (text := _text(value))]
    return aligned(rows)


def show_cleanup(answer: Answer) -> list[str]:
    """Return what was deleted, or could be, and how much that frees."""
    from napari_pathseg.projects.disk_use import format_bytes

    if not answer["found"]:
        return ["There is nothing to clean up."]
    rows = [[format_bytes(one["bytes"]), f"{len(one['paths']):,}", one["text"]] for one in answer["found"]]
    total = format_bytes(answer["bytes"])
    end = f"{total} freed." if answer["deleted"] else f"Deleting that would free {total}. Nothing was deleted."
    return [*aligned([["size", "entries", "what"], *rows]), end]


def _slide_table(slides: list[dict[str, Any]]) -> list[str]:
    rows = [["slide", "patient", "role", "complete", "pixels", "µm/px", "labelled", "unreviewed"]]
    for slide in slides:
        height, width = slide["shape"]
        size = _ABSENT if slide["mpp"] is None else f"{slide['mpp']:.4g}"
        area = f"{slide['unreviewed_pixels']:,} px"
        if slide["unreviewed_mm2"] is not None:
            area = f"{slide['unreviewed_mm2']:.4g} mm²"
        rows.append(
            [
                slide["slide"],
                slide["patient"],
                slide["role"],
                "yes" if slide["complete"] else "no",
                f"{height} x {width}",
                size,
                ", ".join(slide["labelled"]) or _ABSENT,
                area if slide["unreviewed_pixels"] else _ABSENT,
            ]
        )
    return aligned(rows) if slides else ["There is no slide yet."]


def _model_table(models: list[dict[str, Any]]) -> list[str]:
    return show_models({"models": models, "removed": [], "current": ""})


def _run_table(runs: list[dict[str, Any]]) -> list[str]:
    rows = [[run["run"], run["state"], run["model"] or _ABSENT, run["parent"] or _ABSENT] for run in runs]
    return aligned([["training", "state", "model", "from"], *rows]) if runs else ["There is no training yet."]


def _class_table(classes: list[dict[str, Any]]) -> list[str]:
    rows = [
        [one["class"], str(one["number"]), one["color"], f"{one['pixels']:,}", f"{one['slides']:,}"] for one in classes
    ]
    return aligned([["class", "number", "colour", "pixels", "slides"], *rows])


def _text(value: Any) -> str:
    """Return a JSON value as words; "" for what is unknown or empty."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        texts = [f"{name} {text}" for name, one in value.items() if (text := _text(one))]
        return "; ".join(texts) if any("," in text for text in texts) else ", ".join(texts)
    if isinstance(value, list | tuple):
        texts = [_text(one) for one in value]
        return " x ".join(texts) if texts and all(isinstance(one, int) for one in value) else join_names(texts)
    return "" if value is None else str(value)
