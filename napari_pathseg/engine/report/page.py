"""The page of a report: its content laid out as HTML, with plots."""

import base64
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from napari_pathseg.engine.evaluation.score_text import bounds, number, unit
from napari_pathseg.engine.report.checklist import NOT_RECORDED, checklist
from napari_pathseg.engine.report.plots import Axes, Series, chart

SCORE_TITLES = {
    "dice": "Dice",
    "iou": "IoU",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "specificity": "Specificity",
}
_TITLES = {"training_accuracy": "training", "accuracy": "held out", "loss": "training", "validation_loss": "held out"}


def page(content: Mapping[str, Any], geojson: Mapping[str, str]) -> str:
    """Return the HTML of a report; `geojson` is the text of the places' file of each slide."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters |= {"number": number, "bounds": bounds, "unit": unit, "known": _known}
    template = environment.from_string(files(__package__).joinpath("report.html").read_text(encoding="utf8"))
    return template.render(
        **content,
        checklist=checklist(content),
        not_recorded=NOT_RECORDED,
        titles=SCORE_TITLES,
        plots=_plots(content),
        links={slide: _json_link(text) for slide, text in geojson.items()},
    )


def _known(value: object) -> object:
    """Return a value, or that it was not recorded."""
    return NOT_RECORDED if value is None or value == "" or value == [] else value


def _json_link(text: str) -> str:
    return f"data:application/geo+json;base64,{base64.b64encode(text.encode()).decode()}"


def _plots(content: Mapping[str, Any]) -> dict[str, Any]:
    curves, results = content["training"]["curves"], content["results"]
    return {
        "accuracy": _curves(curves, "accuracy", ("training_accuracy", "accuracy")),
        "loss": _curves(curves, "loss", ("loss", "validation_loss")),
        "work": _work(content["work"]["rounds"]),
        "calibration": _calibration(results) if results else Markup(""),
        "areas": _areas(results) if results else {},
    }


def _curves(rows: list[dict[str, float]], name: str, columns: tuple[str, str]) -> Markup:
    series = [Series(_TITLES[each], [(row["step"], row[each]) for row in rows if each in row]) for each in columns]
    return chart(
        f"The {name} of training and held-out tiles over the steps of the training", Axes("step", name), series
    )


def _work(rounds: list[dict[str, Any]]) -> Markup:
    minutes, points = 0.0, list[tuple[float, float]]()
    held_out = list[tuple[float, float]]()
    for each in rounds:
        minutes += each["minutes"]
        if each["dice_before_learning"] is not None:
            points.append((minutes, each["dice_before_learning"]))
        if each["held_out_dice"] is not None:
            held_out.append((minutes, each["held_out_dice"]))
    series = [
        Series("before learning", points, dots=len(points) == 1),
        Series("held out", held_out, len(held_out) == 1),
    ]
    axes = Axes("minutes of work", "Dice", (0, 1, 0, 1))
    return chart("The Dice on what was labelled next, before it was learnt, over the minutes of work", axes, series)


def _calibration(results: Mapping[str, Any]) -> Markup:
    points = [(each["probability"], each["right"]) for each in results["calibration"]["curve"]]
    series = [Series("", [(0, 0), (1, 1)], rule=True), Series("", points), Series("", points, dots=True)]
    title = "The fraction of pixels that are right over the probability that the model gives to their class"
    return chart(title, Axes("probability", "fraction right", (0, 1, 0, 1)), series if points else [])


def _areas(results: Mapping[str, Any]) -> dict[str, Markup]:
    """Return a diagram of Bland and Altman for each class."""
    found, sign = {}, unit(results["areas"]["unit"])
    for name, agreed in results["areas"]["classes"].items():
        pairs = agreed["patients"]
        points = [((each["truth"] + each["found"]) / 2, each["found"] - each["truth"]) for each in pairs]
        ends = min(x for x, _ in points), max(x for x, _ in points)
        heights = [agreed["bias"]["mean"], *(agreed["limits"] or [])]
        rules = [Series("", [(ends[0], height), (ends[1], height)], rule=True) for height in heights]
        title = f"{name}: predicted less labelled area over the mean of both, for each patient, with bias and limits"
        axes = Axes(f"mean area [{sign}]", f"difference [{sign}]")
        found[name] = chart(title, axes, [*rules, Series("", points, dots=True)])
    return found
