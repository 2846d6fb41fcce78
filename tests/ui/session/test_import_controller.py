import shutil

from napari_pathseg.ui.session.import_controller import add_files


def test_first_slides_create_a_project_beside_them(session, pictures):
    assert add_files(session, pictures).problems == []
    assert session.project.folder == pictures[0].parent / "liver.pathseg"
    assert list(session.project.slides) == ["case0", "case1", "case2", "case3"]
    assert session.slide.id == "case0"


def test_existing_project_of_slides_is_reopened(session, pictures):
    add_files(session, pictures[:1])
    session.close()
    add_files(session, pictures[:2])
    assert list(session.project.slides) == ["case0", "case1"]


def test_bad_file_does_not_keep_the_others_out(session, pictures):
    bad = pictures[0].with_name("bad.jpg")
    bad.write_bytes(b"no picture")
    refused = add_files(session, [pictures[0], bad, pictures[1]]).refused
    assert list(session.project.slides) == ["case0", "case1"]
    assert list(refused) == [bad]
    assert "bad.jpg" in refused[bad]


def test_unusable_file_is_reported(session, pictures, tmp_path):
    (tmp_path / "notes.docx").write_text("x")
    assert add_files(session, [*pictures, tmp_path / "notes.docx"]).problems == [
        "notes.docx is neither a slide nor contours. Nothing was done with it."
    ]


def test_masks_find_their_slides_by_name(session, pictures, mask_folder, tmp_path):
    add_files(session, pictures)
    dropped = tmp_path / "case2_mask.png"
    shutil.copy(mask_folder / "case2.png", dropped)
    assert add_files(session, [dropped]).imported == ["case2"]
    assert session.counts("case2")[2].sum() > 10_000
    assert session.counts("case0")[1:].sum() == 0
    assert session.project.slides["case2"].complete


def test_dropped_project_is_opened(session, pictures):
    add_files(session, pictures[:1])
    folder = session.project.folder
    session.close()
    add_files(session, [folder])
    assert session.project.folder == folder


def test_dropped_folder_adds_its_slides(session, slide_folder):
    add_files(session, [slide_folder])
    assert len(session.project.slides) == 4
