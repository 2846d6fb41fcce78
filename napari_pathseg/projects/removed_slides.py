"""Slides that were taken off a project's list: all that belongs to them is kept, so that they can be brought back.

A removed slide's record is in the project's settings; its mask, tissue, versions and predictions stay where they
are, and its name is not given to another slide.
"""

from collections.abc import Sequence

from napari_pathseg.errors import ProjectError
from napari_pathseg.projects.manifest import record_to_json
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.storage.json_schema import conform


def removed_slides(project: Project) -> dict[str, SlideRecord]:
    """Return the records of the removed slides by their names, in the order of removal."""
    removed = conform(project.state.removed_slides, list[SlideRecord])
    return {record.id: record for record in removed}


def remove_slides(project: Project, slide_ids: Sequence[str]) -> None:
    """Take slides off the list of a project; no file is deleted.

    Raises
    ------
    ProjectError
        If there is no such slide; nothing is changed then.
    """
    with project.write_lock():
        gone = [project.slide(slide_id) for slide_id in dict.fromkeys(slide_ids)]
        names = {record.id for record in gone}
        project.slides = {name: record for name, record in project.slides.items() if name not in names}
        project.state.removed_slides = [*project.state.removed_slides, *map(record_to_json, gone)]
        project.save()


def restore_slides(project: Project, slide_ids: Sequence[str]) -> None:
    """Bring removed slides back, with all that belongs to them.

    Raises
    ------
    ProjectError
        If one of them was not removed; nothing is changed then.
    """
    with project.write_lock():
        removed = removed_slides(project)
        for slide_id in slide_ids:
            if slide_id not in removed:
                known = ", ".join(list(removed)[:5]) or "none"
                raise ProjectError(f'No slide "{slide_id}" was removed from {project.folder.name}. Removed: {known}.')
        returning = {slide_id: removed.pop(slide_id) for slide_id in dict.fromkeys(slide_ids)}
        project.slides = project.slides | returning
        project.state.removed_slides = [record_to_json(record) for record in removed.values()]
        project.save()
