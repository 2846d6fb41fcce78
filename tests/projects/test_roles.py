import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pathseg.errors import ConfigError
from napari_pathseg.projects.roles import SHARES, Candidate, assign_roles, split_dataset

BOTH = frozenset({1, 2})


def slides(count, patient=lambda n: f"p{n}", role="auto", classes=BOTH):
    return [Candidate(f"s{n}", patient(n), role, classes) for n in range(count)]


def shown(candidates, roles):
    """Return the classes that each role shows."""
    classes = {}
    for candidate in candidates:
        role = roles.get(candidate.slide, candidate.role)
        classes[role] = classes.get(role, frozenset()) | candidate.classes
    return classes


def patients_of(candidates):
    classes = {}
    for candidate in candidates:
        classes[candidate.patient] = classes.get(candidate.patient, frozenset()) | candidate.classes
    return classes


drawn = st.lists(
    st.tuples(
        st.integers(0, 14),
        st.sampled_from(["auto", "auto", "train", "val", "test"]),
        st.frozensets(st.integers(1, 4), max_size=4),
    ),
    max_size=40,
).map(
    lambda rows: [  # a patient's own role, where given, is the same on all slides
        Candidate(f"s{n}", f"p{patient}", next(r for p, r, _ in rows if p == patient), classes)
        for n, (patient, _, classes) in enumerate(rows)
    ]
)


def test_fifth_of_the_patients_goes_to_validation():
    roles = assign_roles(slides(10))
    assert list(roles.values()).count("val") == 2


def test_two_patients_are_split():
    assert sorted(assign_roles(slides(2)).values()) == ["train", "val"]


def test_single_patient_is_not_split():
    assert set(assign_roles(slides(3, patient=lambda n: "one")).values()) == {"train"}


def test_slides_without_labels_get_no_role():
    assert assign_roles(slides(4, classes=frozenset())) == {}


def test_new_slide_of_a_validation_patient_goes_to_validation():
    known = [Candidate("old", "p", "val", BOTH), *slides(3, role="train")]
    assert assign_roles([*known, Candidate("new", "p", "auto", BOTH)]) == {"new": "val"}


def test_new_slide_of_a_leaked_patient_stays_out_of_training():
    known = [Candidate("a", "p", "val", BOTH), Candidate("b", "p", "train", BOTH)]
    assert assign_roles([*known, Candidate("new", "p", "auto", BOTH)]) == {"new": "val"}
    assert assign_roles([Candidate("new", "p", "auto", BOTH), *known[::-1]]) == {"new": "val"}


def test_only_slide_with_tumour_goes_to_training():
    negatives = slides(4, classes=frozenset({1}))
    roles = assign_roles([*negatives, Candidate("positive", "x", "auto", BOTH)])
    assert roles["positive"] == "train"
    assert "val" in roles.values()


@pytest.mark.parametrize("salt", range(5))
def test_rare_and_common_classes_are_both_validated(salt):
    candidates = [
        Candidate(f"{salt}-{n}", f"{salt}-p{n}", "auto", BOTH if n % 10 == 0 else frozenset({1})) for n in range(50)
    ]
    roles = assign_roles(candidates)
    held_out = [c for c in candidates if roles[c.slide] == "val"]
    assert len(held_out) == 10
    assert sum(2 in c.classes for c in held_out) == 1


def test_later_class_is_validated_from_its_second_patient():
    old = [*slides(8, role="train"), *(Candidate(f"v{n}", f"v{n}", "val", BOTH) for n in range(2))]
    first = Candidate("a", "a", "auto", frozenset({3}))
    assert assign_roles([*old, first]) == {"a": "train"}
    known = Candidate("a", "a", "train", frozenset({3}))
    assert assign_roles([*old, known, Candidate("b", "b", "auto", frozenset({3}))]) == {"b": "val"}


@settings(max_examples=150)
@given(drawn)
def test_patient_is_never_in_training_and_validation(candidates):
    for roles in (assign_roles(candidates), split_dataset(candidates)):
        by_patient = {}
        for candidate in candidates:
            role = roles.get(candidate.slide, candidate.role)
            if candidate.classes or role != "auto":
                by_patient.setdefault(candidate.patient, set()).add(role)
        assert all(len(found) == 1 for found in by_patient.values())


@settings(max_examples=150)
@given(drawn)
def test_roles_stay_and_every_labelled_slide_gets_one(candidates):
    roles = assign_roles(candidates)
    assert all(c.role == "auto" for c in candidates if c.slide in roles)
    assert all(c.slide in roles for c in candidates if c.role == "auto" and c.classes)
    assert set(roles.values()) <= {"train", "val", "test"}
    after = [Candidate(c.slide, c.patient, roles.get(c.slide, c.role), c.classes) for c in candidates if c.classes]
    assert assign_roles(after) == {}
    more = assign_roles([*after, *(Candidate(f"n{n}", f"n{n}", "auto", BOTH) for n in range(5))])
    assert set(more) == {f"n{n}" for n in range(5)}


@settings(max_examples=150)
@given(drawn)
def test_class_of_new_slides_is_always_in_training(candidates):
    roles = assign_roles(candidates)
    settled = {c.patient for c in candidates if c.role != "auto"}
    new = frozenset().union(*(c.classes for c in candidates if c.patient not in settled))
    assert new <= shown(candidates, roles).get("train", frozenset())


@settings(max_examples=100)
@given(drawn, st.randoms(use_true_random=False))
def test_roles_do_not_depend_on_the_order_of_the_slides(candidates, chance: random.Random):
    shuffled = candidates[:]
    chance.shuffle(shuffled)
    assert assign_roles(shuffled) == assign_roles(candidates)
    assert split_dataset(shuffled, seed=3) == split_dataset(candidates, seed=3)


@settings(max_examples=150)
@given(drawn, st.integers(0, 5))
def test_split_trains_every_class_and_holds_out_what_train_can_spare(candidates, seed):
    roles = split_dataset(candidates, seed=seed)
    assert set(roles) == {c.slide for c in candidates}
    by_role = shown(candidates, roles)
    everything = frozenset().union(*(c.classes for c in candidates))
    assert by_role.get("train", frozenset()) >= everything
    patients = patients_of(candidates)
    teaching = {c.patient for c in candidates if roles[c.slide] == "train"}
    for role in ("val", "test"):
        for patient in teaching:
            if patients[patient] - by_role.get(role, frozenset()):
                others = frozenset().union(*(patients[other] for other in teaching - {patient}))
                assert not patients[patient] <= others, f"{patient} could show {role} a class it lacks"


@settings(max_examples=60)
@given(st.integers(3, 60), st.integers(0, 5), st.integers(1, 3))
def test_equal_patients_are_split_by_the_shares(count, seed, per_patient):
    candidates = slides(count * per_patient, patient=lambda n: f"p{n % count}")
    roles = split_dataset(candidates, seed=seed)
    by_patient = {c.patient: roles[c.slide] for c in candidates}
    for role, share in SHARES.items():
        number = list(by_patient.values()).count(role)
        assert number >= 1
        assert abs(number - share * count) < 2
        assert shown(candidates, roles)[role] == BOTH


def test_unlabelled_slides_are_split_as_well():
    roles = split_dataset(slides(20, classes=frozenset()), {"train": 70, "val": 15, "test": 15})
    assert [list(roles.values()).count(role) for role in ("train", "val", "test")] == [14, 3, 3]


def test_three_patients_fill_three_roles():
    for classes in (BOTH, frozenset()):
        assert sorted(split_dataset(slides(3, classes=classes)).values()) == ["test", "train", "val"]


def test_split_depends_on_the_seed_only():
    assert split_dataset(slides(20), seed=1) == split_dataset(slides(20), seed=1)
    assert split_dataset(slides(20), seed=1) != split_dataset(slides(20), seed=2)


def test_role_without_a_share_gets_no_patient():
    assert set(split_dataset(slides(20), {"train": 0.8, "val": 0.2, "test": 0}).values()) == {"train", "val"}


def test_thousand_patients_are_split():
    roles = split_dataset(slides(1000))
    assert list(roles.values()).count("test") == 150


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"train": 1, "valid": 1}, "shares has valid: 1; the roles are train, val and test"),
        ({"train": 1, "val": -0.5}, "shares has val: -0.5; .* a share is 0 or more"),
        ({"train": 1, "val": float("nan")}, "shares has val: nan"),
        ({"val": 1}, "shares has train: 0; without training slides no model can be trained"),
    ],
)
def test_impossible_shares_are_refused(shares, message):
    with pytest.raises(ConfigError, match=message):
        split_dataset(slides(3), shares)
