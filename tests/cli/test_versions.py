"""Versions of masks, listed, created and restored on the command line."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.versions import TRAINING, create_version

SLIDE = "case0"


@pytest.fixture
def answered(run_pathseg):
    """Run `pathseg versions PROJECT ...` with --json; return its exit code, its answer and its warnings."""

    def run(project, *arguments):
        code, lines, warnings = run_pathseg("versions", project.folder, *arguments, "--json")
        return code, json.loads(lines[-1]) if lines else None, warnings

    return run


def paint(project, label, side=20):
    """Paint a square at a corner of the mask."""
    with project.write_lock(), project.open_mask(SLIDE) as mask:
        square = np.full((side, side), label, np.uint8)
        mask.edit(Region(0, 0, side, side), square, np.full_like(square, Provenance.DRAWN))
        mask.end_undo_group()


def labels(project):
    with project.open_mask(SLIDE) as mask:
        return mask.read(Region(0, 0, *mask.shape))[0]


def test_versions_are_listed_with_time_reason_and_class_areas(answered, project):
    create_version(project, SLIDE, TRAINING)
    code, answer, warnings = answered(project, "--slide", SLIDE)
    assert (code, warnings) == (0, [])
    (slide,) = answer["slides"]
    (version,) = slide["versions"]
    assert (slide["slide"], version["number"], version["why"], version["problem"]) == (SLIDE, 1, "training", "")
    assert abs((datetime.now(UTC) - datetime.fromisoformat(version["when"])).total_seconds()) < 60
    counts = project.counts(SLIDE).sum(axis=1)
    assert counts[2] > 0
    assert version["areas"]["Tumour"] == {"pixels": int(counts[2]), "mm2": None}  # the slide has no pixel size


def test_version_of_a_complete_slide_counts_what_is_unlabelled_as_background(answered, project):
    project.update_slide(SLIDE, complete=True)
    create_version(project, SLIDE, TRAINING)
    _, answer, _ = answered(project, "--slide", SLIDE)
    areas = answer["slides"][0]["versions"][0]["areas"]
    rows, columns = project.slide(SLIDE).mask_shape
    assert sum(area["pixels"] for area in areas.values()) == rows * columns


def test_areas_are_square_millimetres_if_the_pixel_size_is_known(answered, run_pathseg, project):
    project.update_slide(SLIDE, mpp=2.0)
    create_version(project, SLIDE, TRAINING)
    _, answer, _ = answered(project)
    tumour = answer["slides"][0]["versions"][0]["areas"]["Tumour"]
    assert tumour["mm2"] == pytest.approx(tumour["pixels"] * 4e-6)
    _, out, _ = run_pathseg("versions", project.folder)
    assert f"Tumour {tumour['mm2']:.4g} mm²" in out[1]


def test_versions_are_printed_as_a_table(run_pathseg, project):
    assert run_pathseg("versions", project.folder) == (
        0,
        [
            "There are no versions yet. They are created before each import, accept-all and training; "
            "--keep creates them now."
        ],
        [],
    )
    create_version(project, SLIDE, TRAINING)
    code, out, _ = run_pathseg("versions", project.folder)
    assert code == 0
    assert out[0].split() == ["slide", "version", "created", "why", "areas"]
    assert out[1].split()[:2] == [SLIDE, "1"]
    assert len(out) == 2


def test_keep_creates_a_version_only_if_the_mask_changed(answered, run_pathseg, project):
    _, answer, _ = answered(project, "--slide", SLIDE, "--keep")
    assert answer["kept"] == {SLIDE: 1}
    assert [version["why"] for version in answer["slides"][0]["versions"]] == ["by hand"]
    _, out, _ = run_pathseg("versions", project.folder, "--slide", SLIDE, "--keep")
    assert out[0] == f"No mask, or unchanged since its newest version: {SLIDE}."
    paint(project, 1)
    _, out, _ = run_pathseg("versions", project.folder, "--slide", SLIDE, "--keep")
    assert out[0] == f"Created: {SLIDE} (version 2)."


def test_restore_creates_a_version_first_and_can_be_undone(answered, run_pathseg, project):
    create_version(project, SLIDE, TRAINING)
    then = labels(project)
    paint(project, 1, side=150)
    before = labels(project)
    assert not np.array_equal(then, before)
    code, answer, _ = answered(project, "--slide", SLIDE, "--restore", 1)
    assert (code, answer["restored"]) == (0, {"slide": SLIDE, "number": 1, "changed": True, "kept": 2})
    assert [version["why"] for version in answer["slides"][0]["versions"]] == ["before restore", "training"]
    assert np.array_equal(labels(project), then)
    _, out, _ = run_pathseg("versions", project.folder, "--slide", SLIDE, "--restore", 1)
    assert out[0] == f"{SLIDE} already equals version 1; nothing was changed."
    reopened = Project.open(project.folder)
    with reopened.write_lock(), reopened.open_mask(SLIDE) as mask:
        mask.undo()
        assert np.array_equal(mask.read(Region(0, 0, *mask.shape))[0], before)
    _, out, _ = run_pathseg("versions", project.folder, "--slide", SLIDE, "--restore", 1)
    assert out[0].startswith(
        f"{SLIDE} was restored to version 1. Undo"
    )  # version 2 already equals the mask from before


def test_impossible_restore_is_an_error_and_changes_nothing(run_pathseg, project):
    create_version(project, SLIDE, TRAINING)
    paint(project, 1)
    before = labels(project)
    for arguments, message in (
        (("--restore", 1), "--restore 1 needs one slide. Name it with --slide."),
        (("--slide", SLIDE, "--restore", 7), f"restore is 7; {SLIDE} has no such version. It has: 1."),
        (("--slide", "case1", "--restore", 1), "restore is 1; case1 has no such version. It has: none yet."),
        (("--slide", "case9"), 'test.pathseg has no slide "case9".'),
    ):
        code, out, (warning,) = run_pathseg("versions", project.folder, *arguments)
        assert (code, out) == (1, [])
        assert warning.startswith(message)
    assert np.array_equal(labels(project), before)


def test_damaged_version_is_listed_with_its_problem_and_not_restored(answered, run_pathseg, project):
    version = create_version(project, SLIDE, TRAINING)
    (version.folder / "version.json").write_text("{")
    code, answer, (warning,) = answered(project)
    assert code == 0
    assert answer["slides"][0]["versions"][0]["problem"] == warning
    assert str(version.folder) in warning
    assert "cannot be read" in run_pathseg("versions", project.folder)[1][1]
    assert run_pathseg("versions", project.folder, "--slide", SLIDE, "--restore", 1) == (1, [], [warning])


def test_keep_and_restore_exclude_each_other(run_pathseg, project):
    with pytest.raises(SystemExit) as end:
        run_pathseg("versions", project.folder, "--keep", "--restore", 1)
    assert end.value.code == 2
