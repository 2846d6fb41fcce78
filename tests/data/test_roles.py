from hypothesis import given
from hypothesis import strategies as st

from napari_pathseg.data.roles import Candidate, settle

BOTH = frozenset({1, 2})


def slides(count, patient=lambda n: f"p{n}", role="auto", classes=BOTH):
    return [Candidate(f"s{n}", patient(n), role, classes) for n in range(count)]


def test_about_a_fifth_of_the_patients_is_held_out():
    roles = settle(slides(10))
    assert list(roles.values()).count("val") == 2


def test_two_patients_are_enough():
    assert sorted(settle(slides(2)).values()) == ["train", "val"]


def test_one_patient_is_never_split():
    assert set(settle(slides(3, patient=lambda n: "one")).values()) == {"train"}


def test_slides_without_labels_get_no_role():
    assert settle(slides(4, classes=frozenset())) == {}


def test_a_new_slide_of_a_held_out_patient_is_held_out_too():
    known = [Candidate("old", "p", "val", BOTH), *slides(3, role="train")]
    assert settle([*known, Candidate("new", "p", "auto", BOTH)]) == {"new": "val"}


def test_the_only_slide_with_tumour_teaches():
    negatives = slides(4, classes=frozenset({1}))
    roles = settle([*negatives, Candidate("positive", "x", "auto", BOTH)])
    assert roles["positive"] == "train"
    assert "val" in roles.values()


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["auto", "auto", "test"])), max_size=20))
def test_no_patient_both_teaches_and_is_held_out(drawn):
    roles_of = {}  # a patient's own role, where given, is the same on all slides
    candidates = [
        Candidate(f"s{n}", patient, roles_of.setdefault(patient, role), BOTH) for n, (patient, role) in enumerate(drawn)
    ]
    decided = settle(candidates)
    by_patient = {}
    for candidate in candidates:
        by_patient.setdefault(candidate.patient, set()).add(decided.get(candidate.slide, candidate.role))
    assert all(len(roles) == 1 for roles in by_patient.values())
