"""Each operation on a project happens wholly or not at all, whichever call the disk refuses."""

import errno
import os
import shutil
from functools import partial

import numpy as np
import pytest
from failing_disk import ERRORS, Disk

from napari_pathseg.classes import DEFAULT_CLASSES
from napari_pathseg.errors import PathsegError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance
from napari_pathseg.masks.edits import accept, merge_prediction
from napari_pathseg.masks.prediction import create_prediction
from napari_pathseg.projects.class_changes import remove_class
from napari_pathseg.projects.exporting.export import ExportOptions, export
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.versions import BEFORE_RESTORE, BY_HAND, create_version, restore, versions

WHOLE = Region(0, 0, 192, 192)
EVERY = 1 if "FUZZ" in os.environ else 5  # calls from one that is refused to the next


@pytest.fixture(scope="module")
def template(tmp_path_factory, slide_maker):
    """A project of two slides with three classes, versions and a model's pixels; and a third slide."""
    folder = tmp_path_factory.mktemp("template")
    slides = slide_maker(folder)[:3]
    project = Project.create(folder / "p.pathseg", DEFAULT_CLASSES.add("Necrosis"))
    add_slides(project, slides[:2], AddOptions(contours=folder, partial=True))
    with project.write_lock():
        for slide in list(project.slides):
            with project.open_mask(slide) as mask:
                paint(mask, Region(0, 0, 30, 30), 3, Provenance.DRAWN)
            create_version(project, slide, BY_HAND)
            with project.open_mask(slide) as mask:
                paint(mask, Region(150, 150, 40, 40), 2, Provenance.MODEL)
    return folder


def paint(mask, region, label, provenance):
    size = (region.height, region.width)
    mask.edit(region, np.full(size, label, np.uint8), np.full(size, provenance, np.uint8))
    mask.end_undo_group()


def add(project, folder):
    add_slides(project, [folder / "case1.tif", folder / "case2.tif"], AddOptions(contours=folder, partial=True))


def accept_model(project, _):
    with project.write_lock(), project.open_mask("case0") as mask:
        mask.run(accept(WHOLE))


def restore_version(project, _):
    with project.write_lock():
        version = versions(project, "case0")[-1]
        create_version(project, "case0", BEFORE_RESTORE, protect=version)
        with project.open_mask("case0") as mask:
            mask.run(restore(version))


def remove(project, _):
    remove_class(project, 3)


def merge(project, _):
    remove_class(project, 3, 2)


def move(project, _):
    project.change_classes(project.classes.moved(3, 2))


def predict(project, _):
    with project.write_lock():
        prediction = create_prediction(project.prediction_path("m001", "case0"), (192, 192), ["a", "b", "c"], 7)
        prediction.write(WHOLE, np.full((3, 192, 192), [[[10]], [[20]], [[225]]], np.uint8))
        prediction.finish(7)
        with project.open_mask("case0") as mask:
            mask.run(merge_prediction(prediction, [WHOLE], lambda _: False))


def export_all(project, folder, kind):
    export(project, folder / "out", ExportOptions(format=kind))


OPERATIONS = {
    "add": add,
    "accept": accept_model,
    "restore": restore_version,
    "remove class": remove,
    "merge class": merge,
    "move class": move,
    "predict": predict,
    "export contours": partial(export_all, kind="geojson"),
    "export masks": partial(export_all, kind="mask"),
    "report": partial(export_all, kind="csv"),
}


def state(folder):
    """Return what a person finds in a project: classes, slides, and the pixels of each mask; and what was exported."""
    project = Project.open(folder / "p.pathseg")
    masks = {}
    for slide in project.slides:
        with project.write_lock(), project.open_mask(slide) as mask:
            masks[slide] = np.stack(mask.read(WHOLE)).tobytes()
            assert (mask.counts == project.counts(slide)).all()
        assert not [version for version in versions(project, slide) if version.problem]
    records = {name: record.complete for name, record in project.slides.items()}
    return project.classes.names, records, masks


def leftovers(folder):
    """Return exported files that are empty, and files half written that the next program does not remove."""
    for path in folder.rglob("*.partial"):  # a thread of zarr may still have written to one that was removed
        os.utime(path, (0, 0))
    with Project.open(folder / "p.pathseg").write_lock():
        pass
    return [*folder.rglob("*.partial"), *(path for path in folder.glob("out/*") if path.stat().st_size == 0)]


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_happens_wholly_or_not_at_all_whichever_call_is_refused(template, tmp_path, name):
    folder, operation = tmp_path / "work", OPERATIONS[name]
    shutil.copytree(template, folder)
    before = state(folder)
    with pytest.MonkeyPatch.context() as patch:
        calls = Disk(patch, None, errno.ENOSPC).calls
        operation(Project.open(folder / "p.pathseg"), folder)
        total = len(calls)
    after = state(folder)
    found = []
    for refused in range(0, total, EVERY):
        shutil.rmtree(folder)
        shutil.copytree(template, folder)
        problem = None
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(patch, refused, ERRORS[refused % 3])
            try:
                operation(Project.open(folder / "p.pathseg"), folder)
            except PathsegError as error:
                problem = str(error)
            except Exception as error:
                problem = f"{type(error).__name__} {error}\n"
        now = state(folder)
        allowed = [before, after] if problem else [after]
        faults = [] if now in allowed else ["neither before nor after"]
        faults += [f"said {problem!r}"] if problem and "\n" in problem else []
        faults += [f"left {path.relative_to(folder)}" for path in leftovers(folder)]
        found += [(refused, disk.calls[refused], problem, fault) for fault in faults]
    assert found == [], f"of {total} calls"
