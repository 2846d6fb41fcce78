"""How a command's answer is shown on a terminal, where no JSON is wanted."""

import json
from collections.abc import Sequence
from typing import Any


def show_answer(answer: dict[str, Any]) -> list[str]:
    """Return a line for each part of an answer."""
    return [f"{key}: {json.dumps(value) if isinstance(value, dict | list) else value}" for key, value in answer.items()]


def show_trials(answer: dict[str, Any]) -> list[str]:
    """Return a tuning's trials as a table, best first, and why some of them failed."""
    trials = answer["trials"]
    if not trials:
        return ["No trial began."]
    fields = list(trials[0]["settings"])
    rows = [["model", "dice", "steps", "seconds", *fields, ""]]
    for trial in trials:
        score = "-" if trial["score"] is None else f"{trial['score']:.4f}"
        settings = [str(trial["settings"][name]) for name in fields]
        state = "" if trial["state"] == "finished" else trial["state"]
        rows.append([trial["model"] or "-", score, str(trial["steps"]), f"{trial['seconds']:.0f}", *settings, state])
    problems = [f"{trial['settings']}: {trial['problem']}" for trial in trials if trial["problem"]]
    return [*aligned(rows), *problems, f"The table lies in runs/tune-{answer['name']}/table.csv."]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as lines with columns of one width."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
