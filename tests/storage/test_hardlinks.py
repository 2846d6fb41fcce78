import os

import pytest

from napari_pathseg.storage.hardlinks import differing_files, hardlink_tree, tree_checksum


@pytest.fixture
def folder(tmp_path):
    for name, text in (("a/b/1", "one"), ("a/2", "two"), ("top", "three")):
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "folder"


def replace(path, text):
    path.with_name("new.partial").write_text(text)
    os.replace(path.with_name("new.partial"), path)


def test_linked_file_keeps_its_content_when_the_first_is_replaced(folder, tmp_path):
    hardlink_tree(folder, tmp_path / "kept")
    assert os.path.samefile(folder / "a/b/1", tmp_path / "kept/a/b/1")
    replace(folder / "a/b/1", "other")
    assert (tmp_path / "kept/a/b/1").read_text() == "one"
    assert list(differing_files(folder, tmp_path / "kept")) == ["a/b/1"]


def test_files_are_copied_where_the_disk_has_no_links(folder, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    hardlink_tree(folder, tmp_path / "kept")
    assert not os.path.samefile(folder / "top", tmp_path / "kept/top")
    assert list(differing_files(folder, tmp_path / "kept")) == []
    (folder / "top").write_text("THREE")
    assert list(differing_files(folder, tmp_path / "kept")) == ["top"]


def test_file_replaced_by_the_same_content_does_not_differ(folder, tmp_path):
    hardlink_tree(folder, tmp_path / "kept")
    replace(folder / "top", "three")
    assert list(differing_files(folder, tmp_path / "kept")) == []


def test_half_written_file_does_not_count(folder, tmp_path):
    before = tree_checksum(folder)
    (folder / "a/b/7.partial").write_text("ha")
    hardlink_tree(folder, tmp_path / "kept")
    assert not (tmp_path / "kept/a/b/7.partial").exists()
    assert tree_checksum(folder) == tree_checksum(tmp_path / "kept") == before


@pytest.mark.parametrize("name", ["a/b/1", "top"])
def test_lost_or_truncated_file_changes_the_checksum(folder, name):
    before = tree_checksum(folder)
    (folder / name).write_text("x")
    cut = tree_checksum(folder)
    (folder / name).unlink()
    assert len({before, cut, tree_checksum(folder)}) == 3
