import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pathseg.classes import DEFAULT_CLASSES
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance, open_mask, read_counts, training_labels
from napari_pathseg.masks.pyramid import downsample_mode2x

SHAPE = (700, 1300)
WHOLE = Region(0, 0, *SHAPE)


def painted(region, label, provenance=Provenance.DRAWN):
    shape = (region.height, region.width)
    return np.full(shape, label, np.uint8), np.full(shape, provenance, np.uint8)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "slide.zarr"


def test_edit_is_there_after_reopening(path):
    box = Region(500, 500, 100, 200)
    with open_mask(path, SHAPE, DEFAULT_CLASSES) as mask:
        mask.edit(box, *painted(box, 2))
    with open_mask(path, SHAPE, DEFAULT_CLASSES) as mask:
        labels, provenance = mask.read(WHOLE)
    assert (labels == 2).sum() == 100 * 200
    assert (provenance[box.slices] == Provenance.DRAWN).all()


def test_kill_loses_no_edit(path):
    mask = open_mask(path, SHAPE, DEFAULT_CLASSES)  # never closed, never flushed
    mask.edit(Region(0, 0, 5, 5), *painted(Region(0, 0, 5, 5), 1))
    with open_mask(path, SHAPE, DEFAULT_CLASSES) as again:
        assert again.counts[1, Provenance.DRAWN] == 25


def test_damaged_record_costs_only_itself(path, caplog):
    mask = open_mask(path, SHAPE, DEFAULT_CLASSES)
    journal = path.with_suffix(".journal")
    for column in (0, 10, 20):
        mask.edit(Region(0, column, 5, 5), *painted(Region(0, column, 5, 5), 2))
    content = bytearray(journal.read_bytes())
    content[len(content) // 2] ^= 0xFF
    journal.write_bytes(content)
    with open_mask(path, SHAPE, DEFAULT_CLASSES) as again:
        assert again.counts[2].sum() == 50
    assert "damaged" in caplog.text


def test_counts_follow_every_edit_and_are_saved(path):
    box = Region(10, 10, 30, 30)
    with open_mask(path, SHAPE, DEFAULT_CLASSES) as mask:
        mask.edit(box, *painted(box, 2, Provenance.MODEL))
        mask.edit(Region(10, 10, 10, 30), *painted(Region(10, 10, 10, 30), 1))
        counts = mask.counts
    assert counts[2, Provenance.MODEL] == 600
    assert counts[1, Provenance.DRAWN] == 300
    assert (read_counts(path) == counts).all()


def test_undo_group_of_many_edits_is_undone_at_once(path):
    with open_mask(path, SHAPE, DEFAULT_CLASSES) as mask:
        for row in (0, 20, 40):
            mask.edit(Region(row, 0, 10, 10), *painted(Region(row, 0, 10, 10), 2))
        mask.end_undo_group()
        assert mask.undo() == Region(0, 0, 50, 10)
        assert not mask.read(WHOLE)[0].any()


def test_edit_without_a_change_makes_no_undo_group(path):
    with open_mask(path, SHAPE, DEFAULT_CLASSES) as mask:
        assert mask.edit(WHOLE, *painted(WHOLE, 0, Provenance.NONE)).empty
        mask.end_undo_group()
        assert mask.undo().empty


def test_undo_still_works_after_saving(path):
    with open_mask(path, SHAPE, DEFAULT_CLASSES) as mask:
        mask.edit(WHOLE, *painted(WHOLE, 2))
        mask.flush()
        mask.undo()
    with open_mask(path, SHAPE, DEFAULT_CLASSES) as mask:
        assert not mask.counts[1:].any()


edits = st.lists(
    st.one_of(
        st.tuples(
            st.integers(0, 699), st.integers(0, 1299), st.integers(1, 600), st.integers(1, 600), st.integers(0, 2)
        ),
        st.sampled_from(["undo", "redo", "flush"]),
    ),
    max_size=12,
)


@settings(max_examples=20, deadline=None)
@given(edits)
def test_mask_equals_a_plain_array_after_random_edits(tmp_path_factory, actions):
    path = tmp_path_factory.mktemp("mask") / "m.zarr"
    history, here = [np.zeros(SHAPE, np.uint8)], 0
    with open_mask(path, SHAPE, DEFAULT_CLASSES) as mask:
        for action in actions:
            if action == "undo":
                mask.undo()
                here = max(0, here - 1)
            elif action == "redo":
                mask.redo()
                here = min(len(history) - 1, here + 1)
            elif action == "flush":
                mask.flush()
            else:
                *box, label = action
                region = Region(*box).clip(SHAPE)
                after = history[here].copy()
                after[region.slices] = label
                if (after != history[here]).any():
                    history[here + 1 :] = [after]
                    here += 1
                provenance = Provenance.DRAWN if label else Provenance.NONE
                mask.edit(region, *painted(region, label, provenance))
                mask.end_undo_group()
            assert (mask.read(WHOLE)[0] == history[here]).all()
    with open_mask(path, SHAPE, DEFAULT_CLASSES) as mask:
        assert (mask.read(WHOLE)[0] == history[here]).all()
        assert (mask.counts[:3].sum(axis=1) == np.bincount(history[here].ravel(), minlength=3)).all()


def test_coarser_levels_follow_edits_and_keep_thin_lines(path):
    line = Region(0, 640, 700, 2)
    with open_mask(path, SHAPE, DEFAULT_CLASSES) as mask:
        mask.edit(line, *painted(line, 2))
    levels = zarr.open_group(path, mode="r")["labels"]
    assert levels["1"].shape == (350, 650)
    assert (np.asarray(levels["1"])[:, 320] == 2).all()


def test_mask_is_an_ome_zarr_pyramid(path):
    open_mask(path, SHAPE, DEFAULT_CLASSES).close()
    ome = zarr.open_group(path, mode="r")["labels"].attrs["ome"]
    assert ome["version"] == "0.5"
    assert [d["path"] for d in ome["multiscales"][0]["datasets"]] == ["0", "1"]
    assert ome["image-label"]["colors"][1] == {"label-value": 2, "rgba": [200, 0, 0, 255]}


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_downsampling_takes_the_mode_of_four(rows, columns, seed):
    block = np.random.default_rng(seed).integers(0, 3, (rows, columns)).astype(np.uint8)
    padded = np.pad(block, [(0, rows % 2), (0, columns % 2)], mode="edge")
    for (row, column), value in np.ndenumerate(downsample_mode2x(block)):
        four = padded[2 * row : 2 * row + 2, 2 * column : 2 * column + 2].ravel()
        counts = np.bincount(four, minlength=3)
        assert value == max(np.flatnonzero(counts == counts.max()))


def test_mask_of_another_size_is_refused_with_both_sizes(path):
    open_mask(path, SHAPE, DEFAULT_CLASSES).close()
    with pytest.raises(ProjectError, match="mask of 700 x 1300 pixels; its slide needs 512 x 512"):
        open_mask(path, (512, 512), DEFAULT_CLASSES)


def test_unreadable_mask_is_not_treated_as_empty(path):
    path.mkdir()
    with pytest.raises(ProjectError, match="cannot be read as a mask"):
        open_mask(path, SHAPE, DEFAULT_CLASSES)


def test_unreviewed_predictions_are_not_training_labels():
    labels = np.array([2, 2, 1, 0], np.uint8)
    provenance = np.array([Provenance.MODEL, Provenance.ACCEPTED, Provenance.DRAWN, 0], np.uint8)
    assert training_labels(labels, provenance, complete=False).tolist() == [0, 2, 1, 0]
    assert training_labels(labels, provenance, complete=True).tolist() == [1, 2, 1, 1]
