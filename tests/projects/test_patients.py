from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_pathseg.errors import ConfigError, ProjectError
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.patients import check_leaks, find_leaks, patient_parser, set_patient, suggest_pattern
from napari_pathseg.projects.project import Project


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (["TCGA-A1-A0SK-01Z-00-DX1", "TCGA-A1-A0SK-01Z-00-DX2", "TCGA-A2-A0YL-01Z-00-DX1"], 2),
        (["C3L-00001-21", "C3L-00001-22", "C3N-00002-21"], 2),
        (["patient_004_node_4", "patient_004_node_1", "patient_017_node_2"], 2),
        (["GTXC2013066-1-400-002", "GTXC2013066-1-400-003", "GTXC2014139-3-400-003"], 2),
        (["P12_a", "P12_b", "P13_a"], 2),
        (["case-3_1", "case-3_2", "case-4_1"], 2),
        (["S19 1234 A", "S19 1234 B", "S20 77 A"], 2),
        (["2017-06-09_18.08.16.ndpi.16.1_2.2048x2048", "2017-06-09_18.08.16.ndpi.16.3_4.2048x2048",
          "2017-06-10_18.01.01.ndpi.16.1_2.2048x2048"], 2),
    ],
)  # fmt: skip
def test_names_that_tell_the_patient_are_put_together(names, groups):
    pattern = suggest_pattern(names)
    assert pattern is not None
    assert len({patient_parser(pattern)(name) for name in names}) == groups


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["a1_1"],
        ["slide_01", "slide_02", "slide_03"],
        ["normal_001", "normal_002", "tumor_001"],
        ["camelyon_10670.512x512", "camelyon_10671.512x512", "camelyon_10672.512x512"],
        ["20x_a", "20x_b", "40x_a"],
        ["2017-a", "2017-b", "2018-a"],
        ["20170609_a", "20170609_b", "20180101_a"],
        ["fold1_a", "fold1_b", "fold2_a"],
        ["train_1_a", "train_1_b", "val_2_a"],
        ["P1_a", "P1_b", "P1_c"],
        ["P1_a", "P1_b", "P2"],
        ["P1_a", "P2_a", "P3_a"],
    ],
)
def test_nothing_is_suggested_where_nothing_is_sure(names):
    assert suggest_pattern(names) is None


@given(st.lists(st.text(alphabet="AB12-_ .", max_size=8), max_size=8))
def test_a_suggestion_tells_a_patient_of_every_name_and_follows_no_order(names):
    pattern = suggest_pattern(names)
    assert suggest_pattern(names[::-1]) == pattern
    if pattern is not None:
        found = {patient_parser(pattern)(name) for name in names}
        assert "" not in found
        assert 1 < len(found) < len(names)


def test_a_pattern_that_matches_an_empty_text_tells_no_patient():
    with pytest.raises(ConfigError, match=r"it matches nothing in the name case"):
        patient_parser(r"\d*")("case")


def test_a_pattern_that_cannot_be_read_is_shown():
    with pytest.raises(ConfigError, match=r"patient is '\(', which is not a regular expression"):
        patient_parser("(")


def test_a_table_that_gives_a_slide_to_two_patients_is_refused(tmp_path):
    table = tmp_path / "p.csv"
    table.write_text("slide,patient\na.tif,Smith\na.tif,Jones\n")
    with pytest.raises(ConfigError, match="gives the slide a to both Smith and Jones. Delete one line"):
        patient_parser(str(table))


@pytest.mark.parametrize("line", ["a.tif,", "a.tif", "a.tif,  "])
def test_an_empty_cell_is_no_patient(tmp_path, line):
    table = tmp_path / "p.csv"
    table.write_text(f"slide,patient\nb.tif,Smith\n{line}\n")
    with pytest.raises(ConfigError, match="names no patient of the slide a. Add a line"):
        patient_parser(str(table))("a")


def test_a_patient_can_be_set_by_hand(project):
    set_patient(project, ["case0", "case1"], " Smith ")
    again = Project.open(project.folder)
    assert [again.slide(name).patient for name in ("case0", "case1", "case2")] == ["Smith", "Smith", "case2"]


def test_a_patient_set_by_hand_cannot_teach_and_test(project):
    project.update_slide("case0", role="train")
    project.update_slide("case1", role="train")
    with pytest.raises(
        ProjectError,
        match='Patient "Smith" would be in two roles: case0 and case1 are train, case5 is test. Give all slides',
    ):
        set_patient(project, ["case0", "case1", "case2", "case5"], "Smith")
    assert Project.open(project.folder).slide("case0").patient == "case0"


def test_an_old_leak_does_not_hinder_other_patients(project):
    project.update_slide("case0", role="train", patient="Jones")
    project.update_slide("case5", patient="Jones")
    set_patient(project, ["case1", "case2"], "Smith")
    assert find_leaks(project.slides.values()) == {"Jones": {"train": ["case0"], "test": ["case5"]}}


def test_a_leak_is_mended_by_hand(project):
    project.update_slide("case0", role="train", patient="Jones")
    project.update_slide("case5", patient="Jones")
    with pytest.raises(ProjectError, match='Patient "Jones" would be in two roles'):
        check_leaks(project.slides.values())
    set_patient(project, ["case5"], "Smith")
    check_leaks(project.slides.values())


def test_very_many_slides_are_counted_instead_of_named(project):
    entry = project.slide("case0")
    many = [replace(entry, id=f"s{n}", patient="p", role="train") for n in range(30)]
    with pytest.raises(ProjectError, match="s18, s19 and 10 more are train, last is test"):
        check_leaks([*many, replace(entry, id="last", patient="p", role="test")])


def test_a_patient_needs_a_name(project):
    with pytest.raises(ConfigError, match="patient is empty"):
        set_patient(project, ["case0"], "  ")


def test_an_unknown_slide_changes_no_other(project):
    with pytest.raises(ProjectError, match='has no slide "case9"'):
        set_patient(project, ["case0", "case9"], "Smith")
    assert project.slide("case0").patient == "case0"


def test_slides_added_with_a_pattern_of_the_suggestion_share_patients(tmp_path, slides):
    for number, path in enumerate(slides):
        path.rename(path.with_name(f"P{number // 2}_{number}.tif"))
    paths = sorted(slides[0].parent.glob("*.tif"))
    project = Project.create(tmp_path / "p.pathseg")
    add_slides(project, paths, AddOptions(patient=suggest_pattern([path.stem for path in paths])))
    assert {entry.patient for entry in project.slides.values()} == {"P0", "P1", "P2"}
