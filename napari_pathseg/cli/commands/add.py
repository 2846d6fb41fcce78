"""Add slides to a project, and import their contours."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pathseg.cli.arguments import (
    ROLES,
    add_command,
    add_pixel_size_option,
    add_transform_options,
    expand_patterns,
    given_transform,
    open_project,
)
from napari_pathseg.cli.output import Answer, join_names
from napari_pathseg.cli.progress import report_fraction
from napari_pathseg.errors import ConfigError

if TYPE_CHECKING:
    from napari_pathseg.projects.project import Project
    from napari_pathseg.projects.slide_record import SlideRecord

_NO_SLIDE = "no slide of that name"


def add_commands(parsers: Any) -> None:
    """Add ``add``."""
    command = add_command(parsers, "add", add_to_project, "add slides and import their contours")
    command.add_argument(
        "slides", nargs="+", metavar="SLIDE|FOLDER", help="a slide, a pattern such as 'slides/*.tif', or a folder"
    )
    command.add_argument(
        "--contours",
        type=Path,
        help="an annotation file, or a folder, itself or with masks/, labels/ ... in it: "
        "a.tif is paired with a.svg, a.geojson, a.xml, a_mask.png ...",
    )
    command.add_argument(
        "--map",
        action="append",
        metavar="NAME=CLASS",
        help="import this class name, or value of a label image, as CLASS or Unlabelled; may be repeated",
    )
    add_transform_options(command)
    outside = command.add_mutually_exclusive_group()
    outside.add_argument(
        "--partial", action="store_true", help="leave pixels outside the contours unlabelled instead of Background"
    )
    outside.add_argument(
        "--negative",
        action="store_true",
        help="the slides contain no tumour or other target: label all of them Background",
    )
    command.add_argument(
        "--patient",
        metavar="REGEX|CSV",
        help="a regular expression for the patient in a slide's name, or a table with the columns slide,patient",
    )
    command.add_argument(
        "--role",
        default="auto",
        choices=ROLES,
        help="role of the slides (auto, set in training)",
    )
    add_pixel_size_option(command)


def add_to_project(args: argparse.Namespace) -> Answer:
    """Add slides and import their contours."""
    from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
    from napari_pathseg.projects.importing.contour_import import ImportOptions, import_warnings
    from napari_pathseg.projects.importing.file_survey import is_named_like_a_mask
    from napari_pathseg.projects.patients import grouping_advice
    from napari_pathseg.slides.folders import find_slides

    project = open_project(args)
    options = AddOptions(
        contours=args.contours,
        partial=args.partial,
        negative=args.negative,
        role=args.role,
        patient=args.patient,
        pixel_size=args.pixel_size,
        import_options=ImportOptions(_parse_class_map(project, args.map or []), given_transform(args)),
    )
    earlier = set(project.slides)
    paths, masks = find_slides(expand_patterns(args.slides))
    records = add_slides(project, paths, options, report_fraction("Adding slides"))
    files = _resolved_files(args.contours)
    added = [_describe_added_slide(project, record, files) for record in records]
    slides = [{**slide, "added": slide["slide"] not in earlier} for slide in added]
    unpaired = [slide["slide"] for slide in slides if slide["contours"] is None]
    warnings = [_no_contours_warning(unpaired, len(slides), args.contours)] if args.contours and unpaired else []
    warnings += [_label_images_warning(masks)] if masks and args.contours is None else []
    masks = [path for path in paths if is_named_like_a_mask(path)]
    warnings += [_slides_like_masks_warning(masks)] if masks else []
    advice = grouping_advice(project)
    warnings += import_warnings(project, {slide["slide"]: slide["contours"] for slide in slides})
    warnings += [*([advice] if advice else []), *_warnings_about_pixels(project, records)]
    outcomes = _describe_files(project, args.contours, slides)
    return {"slides": slides, "contour_files": outcomes, "warnings": warnings}


def _describe_files(project: "Project", folder: Path | None, slides: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what happened to each file of a folder of annotations; nothing for a single file, which was imported."""
    from napari_pathseg.projects.importing.file_survey import IS_SLIDE, survey_files

    if folder is None or not folder.is_dir():
        return []
    users: dict[str, list[str]] = {}
    for slide in slides:
        users.setdefault(slide["contours"] or "", []).append(slide["slide"])
    taken = {slide["slide"]: slide["contours"] for slide in slides}
    outcomes = []
    for file in survey_files([folder], project):
        imported = users.get(file.path.name, [])
        others = [taken[name] for name in file.slides if taken.get(name)]
        result = file.ignored
        if imported:
            result = "imported"
        elif not result and others:
            result = f"{others[0]} was imported instead"
        elif not result:
            result = f"{file.slides[0]} is not among the slides given" if file.slides else _NO_SLIDE
        is_slide = file.ignored == IS_SLIDE
        outcomes.append({"file": file.path.name, "slides": imported, "result": result, "is_slide": is_slide})
    return outcomes


def _label_images_warning(masks: Sequence[Path]) -> str:
    return (
        f"{join_names([path.name for path in masks])}: label images of slides beside them, so they were not added. "
        f"Import them with --contours {masks[0].parent}."
    )


def _slides_like_masks_warning(masks: Sequence[Path]) -> str:
    return (
        f"{join_names([path.name for path in masks])}: added as slides, though named like masks of slides that are not "
        "there. If they are masks, take them off with pathseg remove, and name them after their slides."
    )


def _warnings_about_pixels(project: "Project", records: Sequence["SlideRecord"]) -> list[str]:
    """Return warnings about slides that lack a pixel size or look unusual."""
    from napari_pathseg.projects.checks.unusual_slides import find_unusual_slides
    from napari_pathseg.projects.working_grid import unscaled_note

    note = unscaled_note(project, records)
    return [*([note] if note else []), *find_unusual_slides(project, records)]


def _parse_class_map(project: "Project", pairs: list[str]) -> dict[str, int]:
    """Return the class index for each name in a contour file, from NAME=CLASS."""
    from napari_pathseg.classes import UNLABELLED

    class_map = {}
    for pair in pairs:
        name, _, class_name = pair.rpartition("=")
        spec = project.classes.find(class_name)
        if spec is None and class_name.casefold() != "unlabelled":
            known = ", ".join(project.classes.names)
            raise ConfigError(f'map is "{pair}"; {class_name!r} is not a class. The project has: {known}, Unlabelled.')
        class_map[name] = UNLABELLED if spec is None else spec.index
    return class_map


def _resolved_files(source: Path | None) -> set[Path]:
    """Return a file, or the files in a folder, as the project records what was imported."""
    if source is None:
        return set()
    from napari_pathseg.slides.folders import paired_folders

    folders = [source, *paired_folders(source)[1]] if source.is_dir() else []
    return {path.resolve() for folder in folders for path in folder.iterdir()} or {source.resolve()}


def _describe_added_slide(project: "Project", record: "SlideRecord", files: set[Path]) -> dict[str, Any]:
    """Return a slide's record and what was imported into it from one of `files`."""
    imports = project.state.imports_into(record.id).values()
    names = [imported.file for imported in imports if Path(imported.path) in files]
    contours = names[-1] if names else None
    return {
        "slide": record.id,
        "patient": record.patient,
        "role": record.role,
        "complete": record.complete,
        "mpp": record.mpp,
        "contours": contours,
        "classes": _imported_classes(project, record, contours),
    }


def _imported_classes(project: "Project", record: "SlideRecord", contours: str | None) -> list[str]:
    """Return the classes that were imported into a slide's mask, and Background if the slide is complete."""
    from napari_pathseg.classes import BACKGROUND
    from napari_pathseg.masks.provenance import Provenance

    imported = project.counts(record.id)[:, Provenance.IMPORTED]
    return [
        spec.name
        for spec in project.classes
        if (contours is not None and imported[spec.index]) or (record.complete and spec.index == BACKGROUND)
    ]


def _no_contours_warning(slides: Sequence[str], count: int, source: Path) -> str:
    from napari_pathseg.contours.formats import CONTOUR_SUFFIXES

    suffixes, stem = ", ".join(CONTOUR_SUFFIXES), slides[0]
    return (
        f"No contours in {source} for {join_names(slides)} ({len(slides)} of {count} slides). A slide is paired with "
        f"the file of the same stem: {stem} with {suffixes}, or a label image {stem}_mask.png, {stem}.png or "
        f"mask_{stem}.png. Rename the files, add slides one by one with --contours FILE, or with "
        "--negative if they hold no tumour."
    )
