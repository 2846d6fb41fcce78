import pytest
import torch

from napari_pathseg.engine.training.checkpoint import delete_checkpoint, load_checkpoint, save_checkpoint
from napari_pathseg.errors import ProjectError

NUMBERS = {
    "step": 3,
    "loss": None,
    "training_dice": 0.5,
    "returns": 0,
    "elapsed": 1.5,
    "stage_began": (0.5, 1),
    "rate": 0.001,
    "batch": (4, 1),
    "rng": {"bit_generator": "PCG64", "state": {"state": 2**127, "inc": 1}},
    "schedule": (0, 0),
    "due": (2.5, 4),
    "best": [[1, 0], [2, 3]],
    "best_step": 2,
    "stale": 0,
    "curves": [{"dice": 0.5}],
}


def test_checkpoint_is_read_as_it_was_written(tmp_path):
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "count": torch.tensor(7)}
    save_checkpoint(tmp_path, tensors, NUMBERS)
    state = load_checkpoint(tmp_path)
    assert state.numbers == NUMBERS
    assert all(torch.equal(state.tensors[name], tensor) for name, tensor in tensors.items())


def test_run_without_a_checkpoint_has_none(tmp_path):
    assert load_checkpoint(tmp_path) is None
    save_checkpoint(tmp_path, {"a": torch.zeros(1)}, NUMBERS)
    delete_checkpoint(tmp_path)
    assert load_checkpoint(tmp_path) is None


def test_damaged_checkpoint_says_what_to_do(tmp_path):
    (tmp_path / "r003").mkdir()
    (tmp_path / "r003" / "checkpoint.safetensors").write_bytes(b"half a file")
    with pytest.raises(ProjectError, match="Train again from the model m003"):
        load_checkpoint(tmp_path / "r003")


def test_checkpoint_with_a_value_of_another_type_is_refused(tmp_path):
    (tmp_path / "r003").mkdir()
    save_checkpoint(tmp_path / "r003", {"a": torch.zeros(1)}, NUMBERS | {"batch": [4]})
    with pytest.raises(ProjectError, match="cannot be read .*at batch"):
        load_checkpoint(tmp_path / "r003")
