"""Say where to annotate next, and where labels and a model disagree."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pathseg.cli.arguments import add_command, add_slide_option, open_project
from napari_pathseg.cli.output import Answer
from napari_pathseg.cli.progress import follow
from napari_pathseg.cli.terminal import say
from napari_pathseg.errors import ConfigError

if TYPE_CHECKING:
    from napari_pathseg.contours.contour import Points
    from napari_pathseg.engine.guidance.disagreements import Disagreement
    from napari_pathseg.engine.guidance.next_places import NextPlace
    from napari_pathseg.geometry import Region
    from napari_pathseg.projects.project import Project

    _Places = Sequence[NextPlace] | Sequence[Disagreement]

_COLOUR = "#ff8c00"  # of the places in QuPath


def add_commands(parsers: Any) -> None:
    """Add ``queue``."""
    command = add_command(parsers, "queue", find_places, "say where to annotate next, the best place first")
    add_slide_option(command, "all slides that are not held out; with --disagreements all that are labelled")
    command.add_argument(
        "--disagreements",
        action="store_true",
        help="places where a stored prediction contradicts the labels instead, the most confident first",
    )
    command.add_argument("--count", type=int, default=12, metavar="N", help="the most places (12)")
    command.add_argument("--out", type=Path, metavar="FOLDER", help="also write one GeoJSON a slide, for QuPath")


def find_places(args: argparse.Namespace) -> Answer:
    """Return the places to annotate next, or those where labels and a model disagree."""
    if args.count < 1:
        raise ConfigError(f"count is {args.count}. Ask for 1 place or more.")
    project = open_project(args)
    if args.disagreements:
        return _disagreements(project, args)
    from napari_pathseg.engine.guidance.next_places import next_places

    return _answer(project, follow(next_places(project, args.count, args.slide)), args.out, "Next")


def _disagreements(project: "Project", args: argparse.Namespace) -> Answer:
    from napari_pathseg.engine.guidance.disagreements import disagreements

    found = follow(disagreements(project, args.count, args.slide))
    if found.note:
        say(found.note)
    return {**_answer(project, found.places, args.out, "Check"), "not_predicted": found.not_predicted}


def _answer(project: "Project", places: "_Places", folder: Path | None, word: str) -> Answer:
    files = [] if folder is None else _write(project, places, folder, word)
    listed = [{**asdict(place), "region": list(place.region)} for place in places]
    return {"places": listed, "files": [str(path) for path in files]}


def _write(project: "Project", places: "_Places", folder: Path, word: str) -> list[Path]:
    """Write the places of each slide as annotations whose class is a word and the reason."""
    from napari_pathseg.contours.contour import Contour
    from napari_pathseg.contours.formats import SlideGeometry, write_contours

    written = []
    for name in dict.fromkeys(place.slide for place in places):
        record = project.slide(name)
        frames = [
            Contour(_outline(place.region), class_name=f"{word}: {place.reason}", color=_COLOUR)
            for place in places
            if place.slide == name
        ]
        written.append(folder / f"{name}.geojson")
        folder.mkdir(parents=True, exist_ok=True)
        write_contours(written[-1], frames, frame=SlideGeometry(name, record.shape, record.mpp))
    return written


def _outline(box: "Region") -> "Points":
    """Return the corners of a box of pixels; their centres lie on whole numbers."""
    import numpy as np

    top, left, bottom, right = box.top - 0.5, box.left - 0.5, box.bottom - 0.5, box.right - 0.5
    return np.array([(top, left), (top, right), (bottom, right), (bottom, left)])
