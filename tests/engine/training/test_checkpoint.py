import pytest
import torch

from napari_pathseg.engine.training.checkpoint import delete_checkpoint, load_checkpoint, save_checkpoint
from napari_pathseg.errors import ProjectError


def test_a_state_comes_back_as_it_was(tmp_path):
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "count": torch.tensor(7)}
    save_checkpoint(tmp_path, tensors, {"step": 3, "curves": [{"dice": 0.5}]})
    state = load_checkpoint(tmp_path)
    assert state.numbers == {"step": 3, "curves": [{"dice": 0.5}]}
    assert all(torch.equal(state.tensors[name], tensor) for name, tensor in tensors.items())


def test_a_run_that_never_came_so_far_has_no_state(tmp_path):
    assert load_checkpoint(tmp_path) is None
    save_checkpoint(tmp_path, {"a": torch.zeros(1)}, {})
    delete_checkpoint(tmp_path)
    assert load_checkpoint(tmp_path) is None


def test_a_damaged_state_says_what_to_do(tmp_path):
    (tmp_path / "r003").mkdir()
    (tmp_path / "r003" / "checkpoint.safetensors").write_bytes(b"half a file")
    with pytest.raises(ProjectError, match="Train again from the model m003"):
        load_checkpoint(tmp_path / "r003")
