"""`pathseg versions`: list, create and restore versions of masks.

Slow imports are made where they are needed.
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from napari_pathseg.cli.output import Answer
from napari_pathseg.errors import ConfigError

if TYPE_CHECKING:
    from napari_pathseg.projects.project import Project
    from napari_pathseg.projects.slide_record import SlideRecord
    from napari_pathseg.projects.versions import Version


def keep_or_restore(args: argparse.Namespace) -> Answer:
    """List the versions of masks, after creating or restoring one if asked to."""
    from napari_pathseg.projects.project import Project

    project = Project.open(args.project)
    slides = [project.slide(name).id for name in dict.fromkeys(args.slide or project.slides)]
    answer: dict[str, Any] = {}
    if args.keep:
        answer["kept"] = _keep(project, slides)
    if args.restore is not None:
        if not args.slide or len(slides) != 1:
            raise ConfigError(f"--restore {args.restore} needs one slide. Name it with --slide.")
        answer["restored"] = _restore(project, slides[0], args.restore)
    listed = [_listed(project, project.slide(slide)) for slide in slides]
    problems = [version["problem"] for slide in listed for version in slide["versions"] if version["problem"]]
    return {**answer, "slides": listed, "warnings": problems}


def _keep(project: "Project", slides: Sequence[str]) -> dict[str, int | None]:
    """Create versions; return the number of each slide's new version, None if its mask has not changed."""
    from napari_pathseg.projects.versions import BY_HAND, create_version

    with project.write_lock():
        made = {slide: create_version(project, slide, BY_HAND) for slide in slides}
    return {slide: None if version is None else version.number for slide, version in made.items()}


def _restore(project: "Project", slide: str, number: int) -> Answer:
    """Restore a version as one undo step, after creating a version of the mask as it was."""
    from napari_pathseg.projects.versions import BEFORE_RESTORE, changed_regions, check_version, create_version, restore

    with project.write_lock():
        version = _find(project, slide, number)
        check_version(version)
        restored: dict[str, Any] = {
            "slide": slide,
            "number": number,
            "changed": bool(changed_regions(version)),
            "kept": None,
        }
        if restored["changed"]:
            kept = create_version(project, slide, BEFORE_RESTORE, protect=version)
            with project.open_mask(slide) as mask:
                mask.run(restore(version))
            restored["kept"] = None if kept is None else kept.number
    return restored


def _find(project: "Project", slide: str, number: int) -> "Version":
    from napari_pathseg.projects.versions import versions

    known = versions(project, slide)
    for version in known:
        if version.number == number:
            return version
    numbers = ", ".join(str(version.number) for version in known) or "none yet"
    raise ConfigError(f"restore is {number}; {slide} has no such version. It has: {numbers}.")


def _listed(project: "Project", record: "SlideRecord") -> Answer:
    """Return a slide's versions as JSON values, newest first."""
    from napari_pathseg.projects.versions import versions

    found = [_plain(project, record, version) for version in versions(project, record.id)]
    return {"slide": record.id, "mpp": record.mask_mpp, "versions": found}


def _plain(project: "Project", record: "SlideRecord", version: "Version") -> Answer:
    areas: dict[str, Any] = {}
    if version.counts is not None:
        pixels, mpp = version.counts.sum(axis=1), record.mask_mpp
        for index, name in enumerate(project.classes.names, 1):
            number = int(pixels[index])
            areas[name] = {"pixels": number, "mm2": None if mpp is None else number * mpp * mpp / 1e6}
    when = version.when.isoformat(timespec="seconds")
    return {"number": version.number, "when": when, "why": version.why, "areas": areas, "problem": version.problem}
