import pytest
import torch

from napari_pathseg.engine.training.checkpoint import delete_checkpoint, load_checkpoint, save_checkpoint
from napari_pathseg.errors import ProjectError


def test_checkpoint_is_read_as_it_was_written(tmp_path):
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "count": torch.tensor(7)}
    save_checkpoint(tmp_path, tensors, {"step": 3, "curves": [{"dice": 0.5}]})
    state = load_checkpoint(tmp_path)
    assert state.numbers == {"step": 3, "curves": [{"dice": 0.5}]}
    assert all(torch.equal(state.tensors[name], tensor) for name, tensor in tensors.items())


def test_run_without_a_checkpoint_has_none(tmp_path):
    assert load_checkpoint(tmp_path) is None
    save_checkpoint(tmp_path, {"a": torch.zeros(1)}, {})
    delete_checkpoint(tmp_path)
    assert load_checkpoint(tmp_path) is None


def test_damaged_checkpoint_says_what_to_do(tmp_path):
    (tmp_path / "r003").mkdir()
    (tmp_path / "r003" / "checkpoint.safetensors").write_bytes(b"half a file")
    with pytest.raises(ProjectError, match="Train again from the model m003"):
        load_checkpoint(tmp_path / "r003")
