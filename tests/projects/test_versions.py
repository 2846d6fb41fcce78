"""Versions of masks are created, listed, restored and expired."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance, open_mask
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.projects.versions import (
    BY_HAND,
    MAX_RECENT,
    Version,
    changed_regions,
    check_version,
    create_version,
    expired_versions,
    overview,
    restore,
    versions,
)

SHAPE = (1300, 2100)
WHOLE = Region(0, 0, *SHAPE)
SLIDE = "case0"


@pytest.fixture
def project(tmp_path):
    project = Project.create(tmp_path / "test.pathseg")
    project.slides[SLIDE] = SlideRecord(
        id=SLIDE, path="", relative_path="", fingerprint="", shape=SHAPE, channels=3, mpp=1.0, downsample=1, patient="p"
    )
    project.save()
    return project


@pytest.fixture
def mask(project):
    with project.open_mask(SLIDE) as mask:
        yield mask


def paint(mask, region, label=2, provenance=Provenance.DRAWN):
    shape = (region.height, region.width)
    mask.edit(region, np.full(shape, label, np.uint8), np.full(shape, provenance, np.uint8))
    mask.end_undo_group()
    mask.flush()


def create(project, why="by hand"):
    version = create_version(project, SLIDE, why)
    assert version is not None
    return version


def whole(mask):
    return np.stack(mask.read(WHOLE))


def folder(project):
    return project.folder / "versions" / SLIDE


def test_versions_are_listed_newest_first_with_reason_and_counts(project, mask):
    started = datetime.now(UTC) - timedelta(seconds=1)
    paint(mask, Region(0, 0, 10, 10))
    create(project, "import")
    paint(mask, Region(600, 600, 20, 20))
    create(project, "training")
    listed = versions(project, SLIDE)
    assert [(version.number, version.why) for version in listed] == [(2, "training"), (1, "import")]
    assert [version.counts[2, Provenance.DRAWN] for version in listed] == [500, 100]
    assert all(started <= version.when <= datetime.now(UTC) for version in listed)


def test_later_strokes_do_not_change_a_version(project, mask):
    paint(mask, Region(0, 0, 700, 700))
    before = whole(mask)
    version = create(project)
    paint(mask, Region(100, 100, 1000, 1800), 1)
    mask.undo(), mask.flush()
    paint(mask, Region(0, 0, 1300, 2100), 0, Provenance.NONE)
    with open_mask(version.snapshot, SHAPE, project.classes) as saved:
        assert (whole(saved) == before).all()


def test_version_shares_its_files_with_the_mask(project, mask):
    paint(mask, WHOLE)
    version = create(project)
    chunk = "labels/0/c/1/1"
    assert os.path.samefile(version.snapshot / chunk, project.mask_path(SLIDE) / chunk)


def test_restore_is_one_undo_step(project, mask):
    paint(mask, Region(0, 0, 700, 700))
    paint(mask, Region(500, 1000, 30, 600), 1, Provenance.IMPORTED)
    first = whole(mask)
    version = create(project)
    paint(mask, Region(100, 100, 1000, 1800), 1)
    paint(mask, Region(0, 0, 600, 600), 0, Provenance.NONE)
    second = whole(mask)
    assert mask.run(restore(version)) == Region(0, 0, 1100, 1900)
    assert (whole(mask) == first).all()
    assert mask.counts[2, Provenance.DRAWN] == version.counts[2, Provenance.DRAWN]
    mask.undo()
    assert (whole(mask) == second).all()
    mask.redo()
    assert (whole(mask) == first).all()


def test_stroke_after_a_restore_is_a_separate_undo_step(project, mask):
    paint(mask, Region(0, 0, 10, 10))
    version = create(project)
    paint(mask, WHOLE, 1)
    mask.run(restore(version))
    paint(mask, Region(5, 5, 3, 3), 1)
    mask.undo()
    assert mask.counts[2].sum() == 100


def test_restore_reverts_unsaved_strokes_too(project, mask):
    paint(mask, Region(0, 0, 10, 10))
    version = create(project)
    mask.edit(Region(0, 0, 2, 2), np.ones((2, 2), np.uint8), np.full((2, 2), Provenance.CORRECTED, np.uint8))
    mask.run(restore(version))
    assert (mask.read(Region(0, 0, 2, 2))[0] == 2).all()


def test_empty_mask_can_be_restored(project, mask):
    mask.flush()
    version = create(project, "import")
    paint(mask, Region(0, 0, 600, 600))
    mask.run(restore(version))
    assert not whole(mask).any()


def test_changed_regions_are_the_changed_chunks(project, mask):
    paint(mask, WHOLE)
    version = create(project)
    assert changed_regions(version) == []
    paint(mask, Region(520, 1100, 3, 3), 1)
    assert changed_regions(version) == [Region(512, 1024, 512, 512)]


def test_overview_shows_the_version(project, mask):
    paint(mask, Region(0, 0, 1300, 1050))
    version = create(project)
    paint(mask, WHOLE, 1)
    then, now = overview(version.snapshot), overview(project.mask_path(SLIDE))
    assert max(then.shape) <= 1024
    assert (then[:, : then.shape[1] // 2 - 1] == 2).all()
    assert not then[:, then.shape[1] // 2 + 1 :].any()
    assert (now == 1).all()


# -- when no version is created


def test_slide_without_a_mask_gets_no_version(project):
    assert create_version(project, SLIDE, "import") is None
    assert not folder(project).exists()
    assert versions(project, SLIDE) == []


def test_unchanged_mask_gets_no_new_version(project, mask):
    paint(mask, Region(0, 0, 10, 10))
    create(project)
    paint(mask, Region(0, 0, 10, 10), 1)
    mask.undo(), mask.flush()
    assert create_version(project, SLIDE, "training") is None
    assert os.listdir(folder(project)) == ["1"]


def test_change_with_equal_areas_is_detected(project, mask):
    paint(mask, Region(0, 0, 10, 10))
    create(project)
    paint(mask, Region(0, 0, 10, 10), 0, Provenance.NONE)
    paint(mask, Region(0, 50, 10, 10))
    assert create(project).number == 2


def test_change_of_provenance_is_detected(project, mask):
    paint(mask, Region(0, 0, 10, 10), 2, Provenance.MODEL)
    create(project)
    paint(mask, Region(0, 0, 10, 10), 2, Provenance.ACCEPTED)
    assert create(project).number == 2


# -- damage


def damage_json(version):
    (version.folder / "version.json").write_text('{"format": 1, "why": "by')


def forget_json(version):
    (version.folder / "version.json").unlink()


def spoil_counts(version):
    content = json.loads((version.folder / "version.json").read_text())
    (version.folder / "version.json").write_text(json.dumps({**content, "counts": {"300,9": 1}}))


def spoil_time(version):
    content = json.loads((version.folder / "version.json").read_text())
    (version.folder / "version.json").write_text(json.dumps({**content, "when": "yesterday"}))


def forget_stamp(version):
    content = json.loads((version.folder / "version.json").read_text())
    del content["stamp"]
    (version.folder / "version.json").write_text(json.dumps(content))


def make_newer(version):
    content = json.loads((version.folder / "version.json").read_text())
    (version.folder / "version.json").write_text(json.dumps({**content, "format": 2}))


def lose_mask(version):
    shutil.rmtree(version.snapshot)


def write_list(version):
    (version.folder / "version.json").write_text("[]")


@pytest.mark.parametrize(
    "damage", [damage_json, forget_json, spoil_counts, spoil_time, forget_stamp, make_newer, lose_mask, write_list]
)
def test_damaged_version_is_listed_and_does_not_hide_others(project, mask, damage):
    paint(mask, Region(0, 0, 10, 10))
    version = create(project)
    paint(mask, Region(0, 0, 20, 10))
    create(project)
    damage(version)
    newer, older = versions(project, SLIDE)
    assert newer.problem == ""
    assert older.number == 1
    assert str(folder(project) / "1") in older.problem
    assert older.counts is None
    before = whole(mask)
    with pytest.raises(ProjectError):
        mask.run(restore(older))
    assert (whole(mask) == before).all()


def lose_chunk(version):
    (version.snapshot / "labels/0/c/0/1").unlink()


def cut_chunk(version):
    content = (version.snapshot / "provenance/0/c/0/0").read_bytes()
    (version.snapshot / "provenance/0/c/0/0").unlink()  # the mask's own file is the same one
    (version.snapshot / "provenance/0/c/0/0").write_bytes(content[:-1])


def spoil_chunk(version):
    content = (version.snapshot / "labels/0/c/0/1").read_bytes()
    (version.snapshot / "labels/0/c/0/1").unlink()
    (version.snapshot / "labels/0/c/0/1").write_bytes(b"\0" * len(content))


@pytest.mark.parametrize("damage", [lose_chunk, cut_chunk, spoil_chunk])
def test_version_that_lost_pixels_is_refused_without_changes(project, mask, damage):
    paint(mask, Region(0, 0, 600, 1200))
    version = create(project)
    paint(mask, WHOLE, 1)
    damage(version)
    before = whole(mask)
    with pytest.raises(ProjectError, match=r"versions.case0.1"):
        mask.run(restore(version))
    assert (whole(mask) == before).all()
    mask.undo()
    assert not whole(mask)[:, 1000:].any(), "the refused restore left a step"


def test_refused_version_reports_the_missing_files(project, mask):
    paint(mask, Region(0, 0, 600, 1200))
    version = create(project)
    check_version(version)
    files = int(version.checksum.split()[0])
    lose_chunk(version)
    with pytest.raises(ProjectError) as refused:
        check_version(version)
    assert f"its mask had {files} files" in str(refused.value)
    assert f"has {files - 1} files" in str(refused.value)
    assert str(refused.value).endswith("Choose another version, or restore the folder from a copy.")


def test_version_of_another_size_is_refused_with_both_sizes(project, mask, tmp_path):
    paint(mask, Region(0, 0, 10, 10))
    version = create(project)
    with (
        open_mask(tmp_path / "other.zarr", (600, 700), project.classes) as other,
        pytest.raises(ProjectError, match="1300 x 2100 pixels; the mask has 600 x 700"),
    ):
        other.run(restore(version))


def test_damaged_newest_version_does_not_block_a_new_one(project, mask):
    paint(mask, Region(0, 0, 10, 10))
    damage_json(create(project))
    assert create(project).number == 2


# -- the disk


def test_full_disk_leaves_no_partial_version(project, mask, monkeypatch):
    paint(mask, WHOLE)
    done = []

    def refuse(source, target):
        done.append(target)
        if len(done) > 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        shutil.copyfile(source, target)

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(shutil, "copy2", refuse)
    with pytest.raises(ProjectError, match="1 could not be written .No space left on device.; no version") as refused:
        create_version(project, SLIDE, "import")
    assert "Free disk space" in str(refused.value)
    assert os.listdir(folder(project)) == []
    monkeypatch.undo()
    assert create(project).number == 1


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root and Windows may write anywhere")
def test_folder_without_write_permission_is_named(project, mask):
    paint(mask, Region(0, 0, 10, 10))
    folder(project).mkdir(parents=True)
    folder(project).chmod(0o500)
    with pytest.raises(ProjectError, match="allow writing to the project folder"):
        create_version(project, SLIDE, "import")


def test_versions_are_copies_if_hard_links_fail(project, mask, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    paint(mask, Region(0, 0, 700, 700))
    before = whole(mask)
    version = create(project)
    assert create_version(project, SLIDE, "training") is None
    paint(mask, WHOLE, 1)
    mask.run(restore(version))
    assert (whole(mask) == before).all()


_CREATE_VERSION_SCRIPT = """
import os, signal, sys
from napari_pathseg.storage import hardlinks as linked
from napari_pathseg.projects import versions
from napari_pathseg.projects.project import Project
link, left = os.link, [int(sys.argv[2])]
def counting(source, target):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    link(source, target)
os.link = counting
versions.create_version(Project.open(sys.argv[1]), "case0", "training")
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
@pytest.mark.parametrize("links", [0, 7])
def test_killed_program_leaves_no_partial_version(project, links):
    with project.open_mask(SLIDE) as mask:
        paint(mask, WHOLE)
    done = subprocess.run([sys.executable, "-c", _CREATE_VERSION_SCRIPT, project.folder, str(links)], timeout=240)
    assert done.returncode == -signal.SIGKILL
    assert os.listdir(folder(project)) == [".1.partial"]
    assert versions(project, SLIDE) == []
    assert create(project).number == 1
    assert os.listdir(folder(project)) == ["1"]


def test_partial_version_of_a_killed_program_is_deleted(project):
    orphan = folder(project) / ".7.partial"
    orphan.mkdir(parents=True)
    (orphan / "version.json").write_text("{")
    os.utime(orphan, (0, 0))
    with project.write_lock():
        assert not orphan.exists()


# -- how many versions are kept


def test_newest_ten_versions_are_kept(project, mask):
    for number in range(1, MAX_RECENT + 4):
        paint(mask, Region(0, 0, number, 5))
        create(project, "training")
    assert [version.number for version in versions(project, SLIDE)] == list(range(MAX_RECENT + 3, 3, -1))
    assert sorted(os.listdir(folder(project))) == sorted(map(str, range(4, MAX_RECENT + 4)))


def test_version_to_be_restored_is_not_deleted(project, mask):
    for number in range(1, MAX_RECENT + 1):
        paint(mask, Region(0, 0, number, 5))
        create(project)
    oldest = versions(project, SLIDE)[-1]
    paint(mask, Region(0, 0, 40, 5))
    assert create_version(project, SLIDE, "before restore", protect=oldest)
    mask.run(restore(oldest))
    assert mask.counts[2].sum() == 5


NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
ages = st.lists(st.tuples(st.integers(0, 40 * 24), st.booleans()), max_size=60)


def listed(hours_and_damage):
    ordered = sorted(hours_and_damage)
    return [
        Version("a", len(ordered) - place, Path(), Path(), NOW - timedelta(hours=hours), problem="?" if damaged else "")
        for place, (hours, damaged) in enumerate(ordered)
    ]


@hypothesis_settings(max_examples=200, deadline=None)
@given(ages)
def test_expiry_keeps_recent_and_daily_versions(hours_and_damage):
    known = listed(hours_and_damage)
    gone = expired_versions(known, NOW)
    left = [version for version in known if version not in gone]
    readable = [version for version in known if not version.problem]
    kept = [version for version in left if not version.problem]
    assert kept[:MAX_RECENT] == readable[:MAX_RECENT]
    recent = {version.when.date() for version in readable if NOW - version.when <= timedelta(days=14)}
    assert recent <= {version.when.date() for version in kept}
    older = [version.when.date() for version in kept[MAX_RECENT:]]
    assert len(older) == len(set(older)) <= 15
    assert expired_versions(left, NOW) == []


def test_daily_versions_are_kept_for_two_weeks():
    known = listed([(hours, False) for hours in range(1, 30 * 24, 6)])
    gone = expired_versions(known, NOW)
    kept = [version for version in known if version not in gone]
    days = [(NOW.date() - version.when.date()).days for version in kept]
    assert days == [0] * 3 + [1] * 4 + [2] * 3 + list(range(3, 15))


def test_version_by_hand_is_created_if_the_newest_could_be_deleted(project, mask):
    paint(mask, Region(0, 0, 4, 5))
    assert create(project, "training").number == 1
    assert create(project, "by hand").number == 2
    assert create_version(project, SLIDE, "by hand") is None
    assert create_version(project, SLIDE, "training") is None


def test_version_by_hand_is_never_deleted():
    known = listed([(hours, False) for hours in range(0, 100 * 24, 24)])
    by_hand = [known[20], known[60], known[99]]
    known = [replace(version, why=BY_HAND) if version in by_hand else version for version in known]
    expired = {version.number for version in expired_versions(known, NOW)}
    assert {version.number for version in by_hand}.isdisjoint(expired)
    assert len(expired) == len(known) - 15 - len(by_hand)


def test_clock_set_back_does_not_expire_the_newest_versions():
    known = [replace(version, when=NOW - timedelta(days=900)) for version in listed([(0, False)] * 12)]
    assert [version.number for version in expired_versions(known, NOW)] == [2, 1]
