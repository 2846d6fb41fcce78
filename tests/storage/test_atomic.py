"""A file or folder is the old one or the new one, whatever happens during a write."""

import os
import shutil

import pytest

from napari_pathseg.errors import ProjectError
from napari_pathseg.storage import atomic
from napari_pathseg.storage.atomic import (
    atomic_folder,
    load_json,
    replace_file,
    replace_folder,
    restore_former,
    save_json,
)


def test_file_is_replaced_once_it_is_complete(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replace_file(path) as partial:
        assert partial == tmp_path / f".a.txt.{os.getpid()}.partial"
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_error_leaves_the_old_file_and_no_temporary_one(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def stop_half_way():
        with replace_file(path) as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_half_way()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_leftover_of_a_killed_program_is_not_part_of_the_new_folder(tmp_path):
    leftover = tmp_path / ".a.partial"
    leftover.mkdir()
    (leftover / "old.txt").write_text("old")
    with atomic_folder(tmp_path / "a") as partial:
        partial.mkdir()
        (partial / "new.txt").write_text("new")
    assert os.listdir(tmp_path) == ["a"]
    assert os.listdir(tmp_path / "a") == ["new.txt"]


def test_folder_is_not_written_over_a_leftover_that_cannot_be_removed(tmp_path, monkeypatch):
    (tmp_path / ".a.partial").mkdir()

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(PermissionError), atomic_folder(tmp_path / "a"):
        pytest.fail("the folder was begun")
    assert os.listdir(tmp_path) == [".a.partial"]


def test_missing_folder_is_named_with_a_remedy(tmp_path):
    path = tmp_path / "none" / "a.json"
    with pytest.raises(ProjectError) as refused:
        save_json(path, {})
    assert str(refused.value) == (
        f"{path} could not be written: No such file or directory. Create that folder first, or choose another."
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a device that is always full")
def test_full_disk_is_named_with_a_remedy(tmp_path):
    def write():
        with replace_file(tmp_path / "a.txt") as partial:
            partial.symlink_to("/dev/full")
            partial.write_text("x" * 10_000)

    with pytest.raises(ProjectError, match="The disk is full: free some space"):
        write()
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root and Windows may write anywhere")
def test_read_only_folder_is_named_with_a_remedy(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ProjectError, match="Choose a folder you may write to"):
        save_json(tmp_path / "a.json", 1)


def test_error_that_is_not_of_the_disk_passes_unchanged(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        save_json(tmp_path / "a.json", float("nan"))
    with pytest.raises(OSError, match="cannot write mode") as raised, replace_file(tmp_path / "a.png"):
        raise OSError("cannot write mode F")
    assert not isinstance(raised.value, ProjectError)


def test_saved_json_is_loaded_unchanged(tmp_path):
    value = {"name": "Tumör", "values": [1, 2.5, None, True]}
    save_json(tmp_path / "a.json", value)
    assert load_json(tmp_path / "a.json") == value


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_damaged_json_is_named(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ProjectError, match=r"a\.json is damaged"):
        load_json(tmp_path / "a.json")


def test_missing_or_huge_json_is_named(tmp_path):
    with pytest.raises(ProjectError, match=r"a\.json could not be read: No such file"):
        load_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("[" + " " * 3_000_000 + "]")
    with pytest.raises(ProjectError, match="it has 2,930 KiB; at most 1,024 KiB"):
        load_json(tmp_path / "a.json", limit_bytes=1 << 20)


@pytest.fixture
def old_folder(tmp_path):
    """A folder with one file."""
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "old.txt").write_text("old")
    return folder


def put_new(folder):
    with replace_folder(folder) as partial:
        partial.mkdir()
        (partial / "new.txt").write_text("new")


def test_folder_takes_the_place_of_another_once_it_is_complete(tmp_path, old_folder):
    with replace_folder(old_folder) as partial:
        partial.mkdir()
        (partial / "new.txt").write_text("new")
        assert os.listdir(old_folder) == ["old.txt"]
    assert os.listdir(old_folder) == ["new.txt"]
    put_new(tmp_path / "b")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize("moves", [0, 1])
def test_folder_that_cannot_be_moved_leaves_the_old_one(tmp_path, old_folder, monkeypatch, moves):
    replace, done = atomic.replace, []

    def refuse(source, target):
        if target.name == "a" and source.name == ".a.former":
            return replace(source, target)
        if len(done) == moves:
            raise PermissionError(13, "Permission denied")
        done.append(target)
        return replace(source, target)

    monkeypatch.setattr(atomic, "replace", refuse)
    with pytest.raises(PermissionError):
        put_new(old_folder)
    assert os.listdir(tmp_path) == ["a"]
    assert os.listdir(old_folder) == ["old.txt"]


def test_folder_comes_back_that_a_program_was_killed_while_replacing(tmp_path, old_folder):
    former = tmp_path / ".a.former"
    restore_former(former)
    restore_former(old_folder)
    assert os.listdir(tmp_path) == ["a"]
    old_folder.rename(former)
    restore_former(former)
    assert os.listdir(tmp_path) == ["a"]
    assert os.listdir(old_folder) == ["old.txt"]
