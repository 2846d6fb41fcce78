import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_pathseg.engine.guidance.ranking import Description, choose
from napari_pathseg.engine.live.discriminant import FeatureSums, LabelledFeatures, novelty_of

WIDTHS = (4, 4)
NONE = FeatureSums(2, 8)


def described(features, **others):
    n = len(features)
    usual = {"doubt": np.ones(n), "share": np.ones(n), "slides": np.arange(float(n)), "centres": np.zeros((n, 2))}
    return Description(features=np.asarray(features, np.float32), **{**usual, **others})


def groups(*sizes, seed=0):
    """Return features of groups of patches that are alike, far from each other."""
    rng = np.random.default_rng(seed)
    return np.concatenate([9 * np.eye(8)[number] + rng.normal(0, 0.1, (size, 8)) for number, size in enumerate(sizes)])


def labelled(features, label=1, times=2000):
    sums = FeatureSums(2, 8)
    rows = np.repeat(np.asarray(features, np.float32), times, axis=0)
    sums.add(LabelledFeatures(rows, np.full(len(rows), label, np.uint8), np.ones(len(rows), np.float32)))
    return sums


@given(st.integers(0, 99), st.integers(1, 4))
def test_each_chosen_patch_leaves_the_least_weighted_variance_in_all_patches(seed, count):
    rng = np.random.default_rng(seed)
    features, doubt = rng.normal(size=(12, 8)), rng.uniform(0.1, 1, 12)
    known = rng.normal(size=(2, 8))
    rows = np.vstack([features, known]) - features.mean(axis=0)
    rows = rows / features.std(axis=0) / np.sqrt(4)  # scales of four features each
    patches = rows[:12].clip(-2.5 / 2, 2.5 / 2)
    precision = 4 * np.eye(8) + 3 * rows[12:].T @ rows[12:]  # 3000 labelled pixels say as much as three labels
    expected = []
    for _ in range(count):
        left = {
            number: (doubt + 0.1) @ np.diag(patches @ np.linalg.inv(precision + np.outer(each, each)) @ patches.T)
            for number, each in enumerate(patches)
            if number not in expected
        }
        expected.append(min(left, key=lambda number: left[number]))
        precision += np.outer(patches[expected[-1]], patches[expected[-1]])
    sums = labelled(known, times=3000)
    assert choose(described(features, doubt=doubt), sums, WIDTHS, count) == expected


def test_a_group_of_which_a_patch_is_labelled_is_asked_after_others():
    features = groups(20, 8)
    assert choose(described(features), labelled(features[:2]), WIDTHS, 1)[0] >= 20


def test_of_groups_of_a_size_the_one_in_doubt_is_asked():
    features, doubt = groups(8, 8), np.repeat([0.1, 0.9], 8)
    assert choose(described(features, doubt=doubt), NONE, WIDTHS, 1)[0] >= 8


def test_patches_with_little_unlabelled_tissue_are_worth_less():
    features, share = groups(8, 8), np.repeat([0.1, 1.0], 8)
    assert choose(described(features, share=share), NONE, WIDTHS, 1)[0] >= 8


def test_patches_beside_each_other_on_a_slide_are_not_both_chosen():
    places = np.array([[0.5, 0.5], [0.5, 1.5], [0.5, 9.5]])
    beside = described(groups(1, 1, 1), slides=np.zeros(3), centres=places)
    assert sorted(choose(beside, NONE, WIDTHS, 3)) in ([0, 2], [1, 2])


def test_patches_without_unlabelled_tissue_are_not_asked():
    assert choose(described(groups(2, 2), share=np.array([0.0, 0.0, 0.0, 0.5])), NONE, WIDTHS, 4) == [3]


@given(st.integers(0, 30), st.integers(0, 12), st.integers(0, 99))
def test_chosen_patches_are_different_ones_as_many_as_asked_for_and_the_same_each_time(patches, count, seed):
    rng = np.random.default_rng(seed)
    found = described(
        rng.normal(size=(patches, 8)), doubt=rng.uniform(0.01, 1, patches), centres=rng.uniform(0, 40, (patches, 2))
    )
    sums = labelled(rng.normal(size=(3, 8)), times=100)
    chosen = choose(found, sums, WIDTHS, count)
    assert len(set(chosen)) == len(chosen) == min(count, patches)  # each is on a slide of its own
    assert choose(found, sums, WIDTHS, count) == chosen


def test_novelty_is_high_far_from_every_class_and_low_near_one():
    rng = np.random.default_rng(0)
    classes = rng.integers(1, 3, 600).astype(np.uint8)
    features = (rng.normal(size=(600, 6)) + 8 * (classes[:, None] == 1)).astype(np.float32)
    sums = FeatureSums(2, 6)
    sums.add(LabelledFeatures(features, classes, np.ones(600, np.float32)))
    known = np.concatenate([features[classes == 1][:9], features[classes == 2][:9]])
    strange = np.full((1, 6), -40, np.float32)
    novelty = novelty_of(np.concatenate([known, strange]), sums)
    assert novelty[-1] == 1
    assert novelty[:-1].max() < 0.8
    assert not novelty_of(known, FeatureSums(2, 6)).any()  # without labels nothing is unlike them
