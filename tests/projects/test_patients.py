import csv
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_pathseg.errors import ConfigError, ProjectError
from napari_pathseg.projects.checks.checks import check
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.patients import (
    check_leaks,
    find_leaks,
    grouping_advice,
    patient_parser,
    suggest_pattern,
    ungrouped_patients,
)
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_settings import SlideChanges, change_slides


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (["TCGA-A1-A0SK-01Z-00-DX1", "TCGA-A1-A0SK-01Z-00-DX2", "TCGA-A2-A0YL-01Z-00-DX1"], 2),
        (["tcga-a1-a0sk-01z-00-dx1", "tcga-a1-a0sk-01z-00-dx2", "tcga-a1-a0yl-01z-00-dx1"], 2),
        (["C3L-00001-21", "C3L-00001-22", "C3N-00002-21"], 2),
        (["patient_004_node_4", "patient_004_node_1", "patient_017_node_2"], 2),
        (["GTXC2013066-1-400-002", "GTXC2013066-1-400-003", "GTXC2014139-3-400-003"], 2),
        (["P12_a", "P12_b", "P13_a"], 2),
        (["case-3_1", "case-3_2", "case-4_1"], 2),
        (["S19 1234 A", "S19 1234 B", "S20 77 A"], 2),
        ([f"case7_tile_{number}" for number in range(10)], 1),
        ([f"case7_{x}_{y}" for x in (0, 512, 1024) for y in (0, 512)], 1),
        ([f"case{case}-({x},{y})" for case in (1, 2) for x in (0, 512) for y in (0, 512)], 2),
        ([f"slide12 [x={x},y={y},w=512,h=512]" for x in (0, 512) for y in (0, 512)], 1),
        (
            [
                "2017-06-09_18.08.16.ndpi.16.1_2.2048x2048",
                "2017-06-09_18.08.16.ndpi.16.3_4.2048x2048",
                "2017-06-10_18.01.01.ndpi.16.1_2.2048x2048",
            ],
            2,
        ),
    ],
)
def test_suggested_pattern_groups_names_by_patient(names, groups):
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
        ["S20_1234_1", "S20_1235_1", "S20_1236_1"],
    ],
)
def test_ambiguous_names_have_no_suggestion(names):
    assert suggest_pattern(names) is None


@given(st.lists(st.text(alphabet="AB12-_ .", max_size=8), max_size=8))
def test_suggestion_matches_every_name_in_any_order(names):
    pattern = suggest_pattern(names)
    assert suggest_pattern(names[::-1]) == pattern
    if pattern is not None:
        found = {patient_parser(pattern)(name) for name in names}
        assert "" not in found
        assert 1 < len(found) < len(names)


def test_pattern_that_matches_an_empty_string_is_an_error():
    with pytest.raises(ConfigError, match=r"it matches nothing in the name case"):
        patient_parser(r"\d*")("case")


def test_malformed_pattern_is_quoted():
    with pytest.raises(ConfigError, match=r"patient is '\(', which is not a regular expression"):
        patient_parser("(")


def test_table_with_two_patients_for_a_slide_is_refused(tmp_path):
    table = tmp_path / "p.csv"
    table.write_text("slide,patient\na.tif,Smith\na.tif,Jones\n")
    with pytest.raises(ConfigError, match="gives the slide a to both Smith and Jones. Delete one line"):
        patient_parser(str(table))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_table_may_be_as_excel_saves_it_in_any_country(tmp_path, separator):
    table = tmp_path / "p.csv"
    lines = (("\ufeffSlide", " Patient", "Note"), ("a.tif", "Müller", "x, y"), ("b.tif", "Smith", ""))
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=separator).writerows(lines)
    patient_of = patient_parser(str(table))
    assert (patient_of("a"), patient_of("b")) == ("Müller", "Smith")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "p.csv does not exist. Check the path"),
        ("slide,patient\na,Müller\n".encode("cp1252"), "cannot be read .* save it as CSV UTF-8"),
        (b"name,patient\na,Smith\n", "needs a first line .* Its first line has: name, patient"),
        (b"", "needs a first line .* has: nothing"),
    ],
)
def test_table_that_cannot_be_used_says_what_to_do(tmp_path, content, message):
    table = tmp_path / "p.csv"
    if content is not None:
        table.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        patient_parser(str(table))


@pytest.mark.parametrize("line", ["a.tif,", "a.tif", "a.tif,  "])
def test_empty_cell_is_not_a_patient(tmp_path, line):
    table = tmp_path / "p.csv"
    table.write_text(f"slide,patient\nb.tif,Smith\n{line}\n")
    with pytest.raises(ConfigError, match="has no patient for the slide a. Add a line"):
        patient_parser(str(table))("a")


def test_patient_can_be_set_by_hand(project):
    change_slides(project, ["case0", "case1"], SlideChanges(patient=" Smith "))
    again = Project.open(project.folder)
    assert [again.slide(name).patient for name in ("case0", "case1", "case2")] == ["Smith", "Smith", "case2"]


def test_patient_set_by_hand_cannot_be_in_two_roles(project):
    project.update_slide("case0", role="train")
    project.update_slide("case1", role="train")
    with pytest.raises(
        ProjectError,
        match='Patient "Smith" would be in two roles: case0 and case1 are train, case5 is test. Give all slides',
    ):
        change_slides(project, ["case0", "case1", "case2", "case5"], SlideChanges(patient="Smith"))
    assert Project.open(project.folder).slide("case0").patient == "case0"


def test_existing_leak_does_not_block_other_patients(project):
    project.update_slide("case0", role="train", patient="Jones")
    project.update_slide("case5", patient="Jones")
    change_slides(project, ["case1", "case2"], SlideChanges(patient="Smith"))
    assert find_leaks(project.slides.values()) == {"Jones": {"train": ["case0"], "test": ["case5"]}}


def test_leak_can_be_fixed_by_hand(project):
    project.update_slide("case0", role="train", patient="Jones")
    project.update_slide("case5", patient="Jones")
    with pytest.raises(ProjectError, match='Patient "Jones" would be in two roles'):
        check_leaks(project.slides.values())
    change_slides(project, ["case5"], SlideChanges(patient="Smith"))
    check_leaks(project.slides.values())


def test_long_lists_of_slides_are_cut_short(project):
    record = project.slide("case0")
    many = [replace(record, id=f"s{n}", patient="p", role="train") for n in range(30)]
    with pytest.raises(ProjectError, match="s18, s19 and 10 more are train, last is test"):
        check_leaks([*many, replace(record, id="last", patient="p", role="test")])


def test_slides_added_with_the_suggested_pattern_share_patients(tmp_path, slides):
    for number, path in enumerate(slides):
        path.rename(path.with_name(f"P{number // 2}_{number}.tif"))
    paths = sorted(slides[0].parent.glob("*.tif"))
    project = Project.create(tmp_path / "p.pathseg")
    add_slides(project, paths, AddOptions(patient=suggest_pattern([path.stem for path in paths])))
    assert {record.patient for record in project.slides.values()} == {"P0", "P1", "P2"}


NAMES = ["P12_a", "P12_b", "P13_a"]


def _project_of(tmp_path, slides, names):
    for name in names:
        (tmp_path / f"{name}.tif").write_bytes(slides[0].read_bytes())
    project = Project.create(tmp_path / "q.pathseg")
    add_slides(project, [tmp_path / f"{name}.tif" for name in names], AddOptions(negative=True))
    return project


def test_slides_whose_names_suggest_one_patient_are_named_with_the_remedy(tmp_path, slides):
    project = _project_of(tmp_path, slides, NAMES)
    assert ungrouped_patients(project.slides.values()) == {"P12": ["P12_a", "P12_b"]}
    advice = grouping_advice(project)
    assert "P12_a, P12_b would be P12" in advice
    assert "--patient '^[^_]+'" in advice


def test_slides_that_have_their_patient_need_no_advice(tmp_path, slides):
    project = _project_of(tmp_path, slides, NAMES)
    change_slides(project, ["P12_a", "P12_b"], SlideChanges(patient="somebody"))
    assert grouping_advice(project) == ""
    assert grouping_advice(_project_of(tmp_path / "slides", slides, [])) == ""


def test_check_warns_of_names_that_suggest_a_patient_in_two_roles(tmp_path, slides):
    project = _project_of(tmp_path, slides, NAMES)
    for name, role in (("P12_a", "train"), ("P12_b", "val"), ("P13_a", "train")):
        project.update_slide(name, role=role)
    assert any('suggest one patient "P12" in two roles' in problem.text for problem in check(project))


def test_pattern_that_would_take_years_is_refused_after_two_seconds():
    with pytest.raises(ConfigError, match="takes it longer than 2 s. Make it simpler"):
        patient_parser(r"^(a|aa)+$")("a" * 60 + "!")
