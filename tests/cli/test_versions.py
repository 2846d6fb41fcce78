"""The versions of masks, listed, kept and brought back on the command line."""

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
def answered(said):
    """Run `pathseg versions PROJECT ...` with --json; return its exit code, its answer and what it complained of."""

    def run(project, *arguments):
        code, lines, complaints = said("versions", project.folder, *arguments, "--json")
        return code, json.loads(lines[-1]) if lines else None, complaints

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


def test_versions_are_listed_with_when_and_why_and_the_areas_by_class(answered, project):
    create_version(project, SLIDE, TRAINING)
    code, answer, complaints = answered(project, "--slide", SLIDE)
    assert (code, complaints) == (0, [])
    (slide,) = answer["slides"]
    (version,) = slide["versions"]
    assert (slide["slide"], version["number"], version["why"], version["problem"]) == (SLIDE, 1, "training", "")
    assert abs((datetime.now(UTC) - datetime.fromisoformat(version["when"])).total_seconds()) < 60
    counts = project.counts(SLIDE).sum(axis=1)
    assert counts[2] > 0
    assert version["areas"]["Tumour"] == {"pixels": int(counts[2]), "mm2": None}  # the slide tells no pixel size


def test_where_the_pixel_size_is_known_areas_are_square_millimetres(answered, said, project):
    project.update_slide(SLIDE, mpp=2.0)
    create_version(project, SLIDE, TRAINING)
    _, answer, _ = answered(project)
    tumour = answer["slides"][0]["versions"][0]["areas"]["Tumour"]
    assert tumour["mm2"] == pytest.approx(tumour["pixels"] * 4e-6)
    _, out, _ = said("versions", project.folder)
    assert f"Tumour {tumour['mm2']:.4g} mm²" in out[1]


def test_a_person_reads_them_as_a_table(said, project):
    assert said("versions", project.folder) == (
        0, ["No version is kept yet. One is before each import, accept-all and training, and with --keep."], []
    )  # fmt: skip
    create_version(project, SLIDE, TRAINING)
    code, out, _ = said("versions", project.folder)
    assert code == 0
    assert out[0].split() == ["slide", "version", "kept", "why", "areas"]
    assert out[1].split()[:2] == [SLIDE, "1"]
    assert len(out) == 2


def test_a_version_is_kept_by_hand_once_until_something_changes(answered, said, project):
    _, answer, _ = answered(project, "--slide", SLIDE, "--keep")
    assert answer["kept"] == {SLIDE: 1}
    assert [version["why"] for version in answer["slides"][0]["versions"]] == ["by hand"]
    _, out, _ = said("versions", project.folder, "--slide", SLIDE, "--keep")
    assert out[0] == f"No mask, or none that changed since its newest version: {SLIDE}."
    paint(project, 1)
    _, out, _ = said("versions", project.folder, "--slide", SLIDE, "--keep")
    assert out[0] == f"Kept: {SLIDE} (version 2)."


def test_a_version_is_brought_back_and_what_was_there_before_is_kept_and_one_undo_away(answered, said, project):
    create_version(project, SLIDE, TRAINING)
    then = labels(project)
    paint(project, 1, side=150)
    before = labels(project)
    assert not np.array_equal(then, before)
    code, answer, _ = answered(project, "--slide", SLIDE, "--restore", 1)
    assert (code, answer["restored"]) == (0, {"slide": SLIDE, "number": 1, "changed": True, "kept": 2})
    assert [version["why"] for version in answer["slides"][0]["versions"]] == ["before restore", "training"]
    assert np.array_equal(labels(project), then)
    _, out, _ = said("versions", project.folder, "--slide", SLIDE, "--restore", 1)
    assert out[0] == f"{SLIDE} is as it was in version 1: nothing had to be changed."
    reopened = Project.open(project.folder)
    with reopened.write_lock(), reopened.open_mask(SLIDE) as mask:
        mask.undo()
        assert np.array_equal(mask.read(Region(0, 0, *mask.shape))[0], before)
    _, out, _ = said("versions", project.folder, "--slide", SLIDE, "--restore", 1)
    assert out[0].startswith(f"{SLIDE} is as it was in version 1. Undo")  # version 2 is how it was already


def test_what_cannot_be_restored_is_said_and_nothing_is_changed(said, project):
    create_version(project, SLIDE, TRAINING)
    paint(project, 1)
    before = labels(project)
    for arguments, told in (
        (("--restore", 1), "--restore 1 needs one slide. Name it with --slide."),
        (("--slide", SLIDE, "--restore", 7), f"restore is 7; {SLIDE} has no such version. It has: 1."),
        (("--slide", "case1", "--restore", 1), "restore is 1; case1 has no such version. It has: none yet."),
        (("--slide", "case9"), 'test.pathseg has no slide "case9".'),
    ):
        code, out, (complaint,) = said("versions", project.folder, *arguments)
        assert (code, out) == (1, [])
        assert complaint.startswith(told)
    assert np.array_equal(labels(project), before)


def test_a_damaged_version_is_listed_told_and_refused(answered, said, project):
    kept = create_version(project, SLIDE, TRAINING)
    (kept.folder / "version.json").write_text("{")
    code, answer, (complaint,) = answered(project)
    assert code == 0
    assert answer["slides"][0]["versions"][0]["problem"] == complaint
    assert str(kept.folder) in complaint
    assert "cannot be read" in said("versions", project.folder)[1][1]
    assert said("versions", project.folder, "--slide", SLIDE, "--restore", 1) == (1, [], [complaint])


def test_keeping_and_restoring_at_once_is_wrong_usage(said, project):
    with pytest.raises(SystemExit) as end:
        said("versions", project.folder, "--keep", "--restore", 1)
    assert end.value.code == 2
