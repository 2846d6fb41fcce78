"""List, create and restore versions of masks."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from napari_pathseg.cli.arguments import add_command, add_slide_option, open_project
from napari_pathseg.cli.output import Answer
from napari_pathseg.errors import ConfigError

if TYPE_CHECKING:
    from napari_pathseg.projects.project import Project
    from napari_pathseg.projects.slide_record import SlideRecord
    from napari_pathseg.projects.versions import Version


def add_commands(parsers: Any) -> None:
    """Add ``versions``."""
    command = add_command(parsers, "versions", manage_versions, "list, create or restore versions of masks")
    add_slide_option(command)
    action = command.add_mutually_exclusive_group()
    action.add_argument("--keep", action="store_true", help="create a version of each mask now")
    action.add_argument(
        "--restore", type=int, metavar="NUMBER", help="restore this version of the slide's mask; can be undone"
    )


def manage_versions(args: argparse.Namespace) -> Answer:
    """List the versions of masks, after creating or restoring a version if asked to."""
    project = open_project(args)
    slides = [project.slide(name).id for name in dict.fromkeys(args.slide or project.slides)]
    answer: dict[str, Any] = {}
    if args.keep:
        answer["kept"] = _create_versions(project, slides)
    if args.restore is not None:
        if not args.slide or len(slides) != 1:
            raise ConfigError(f"--restore {args.restore} needs one slide. Name it with --slide.")
        answer["restored"] = _restore_version(project, slides[0], args.restore)
    listed = [_describe_versions(project, project.slide(slide)) for slide in slides]
    problems = [version["problem"] for slide in listed for version in slide["versions"] if version["problem"]]
    return {**answer, "slides": listed, "warnings": problems}


def _create_versions(project: "Project", slides: Sequence[str]) -> dict[str, int | None]:
    """Create versions; return the number of each slide's new version, None if its mask has not changed."""
    from napari_pathseg.projects.versions import BY_HAND, create_version

    with project.write_lock():
        created = {slide: create_version(project, slide, BY_HAND) for slide in slides}
    return {slide: None if version is None else version.number for slide, version in created.items()}


def _restore_version(project: "Project", slide: str, number: int) -> Answer:
    """Restore a version as one undo step, after creating a version of the present mask."""
    from napari_pathseg.projects.class_changes import restore_classes
    from napari_pathseg.projects.versions import BEFORE_RESTORE, changed_regions, check_version, create_version, restore

    with project.write_lock():
        version = _find_version(project, slide, number)
        check_version(version)
        if not changed_regions(version):
            return {"slide": slide, "number": number, "changed": False, "kept": None}
        snapshot = create_version(project, slide, BEFORE_RESTORE, protect=version)
        with project.open_mask(slide) as mask:
            mask.run(restore(version))
        restore_classes(project, [project.counts(slide)])
    return {"slide": slide, "number": number, "changed": True, "kept": None if snapshot is None else snapshot.number}


def _find_version(project: "Project", slide: str, number: int) -> "Version":
    from napari_pathseg.projects.versions import versions

    known = versions(project, slide)
    for version in known:
        if version.number == number:
            return version
    numbers = ", ".join(str(version.number) for version in known) or "none yet"
    raise ConfigError(f"restore is {number}; {slide} has no such version. It has: {numbers}.")


def _describe_versions(project: "Project", record: "SlideRecord") -> Answer:
    """Return a slide's versions as JSON values, newest first."""
    from napari_pathseg.projects.versions import versions

    described = [_describe_version(project, record, version) for version in versions(project, record.id)]
    return {"slide": record.id, "mpp": record.mask_mpp, "versions": described}


def _describe_version(project: "Project", record: "SlideRecord", version: "Version") -> Answer:
    areas: dict[str, Any] = {}
    if version.counts is not None:
        from napari_pathseg.projects.areas import class_pixels

        pixels, mpp = class_pixels(record, version.counts), record.mask_mpp
        for spec in project.classes:
            number = int(pixels[spec.index])
            areas[spec.name] = {"pixels": number, "mm2": None if mpp is None else number * mpp * mpp / 1e6}
    when = version.when.isoformat(timespec="seconds")
    return {"number": version.number, "when": when, "why": version.why, "areas": areas, "problem": version.problem}
