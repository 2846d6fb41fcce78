"""Two gloo processes against one: the whole way of `--devices 2`, and the gradients of a shared step."""

import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.events import Validated, run
from napari_pathseg.engine.training.training import train
from napari_pathseg.errors import ConfigError

SHARED_STEP = """
import sys
import torch
from safetensors.torch import save_file
from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.device import choose_device
from napari_pathseg.engine.training.train_state import Batch, TrainState
from napari_pathseg.engine.networks import build_network
from napari_pathseg.engine.training.optimizer import train_mode
from napari_pathseg.engine.training.distributed import RankCommand, ProcessGroup

rank, size, port, out = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
torch.manual_seed(rank)  # other weights in each process, until the leader shares its own
group = ProcessGroup(rank, size, port) if size > 1 else None
network = build_network(NetworkSpec("unet", "mobilenet_v2", 2))
config = TrainConfig(precision="fp32", gradient_clip_norm=0, accumulate=2)
device = choose_device(network, torch.zeros(1, 3, 64, 64), "fp32", device=group and group.device)
state = TrainState(network, device, config, [1, 1], group)
if rank == 0:
    state.join_group(fresh=True)
else:
    assert group.receive()[0] is RankCommand.START
    state.join_group(fresh=True)
for module in network.modules():  # what a batch norm takes from its tiles it takes from its own process alone
    if isinstance(module, torch.nn.BatchNorm2d):
        module.weight.requires_grad_(False), module.bias.requires_grad_(False)
train_mode(network)
if group is not None:
    state._forward = group.wrap(network)
chance = torch.Generator().manual_seed(9)
pixels = torch.randint(0, 255, (8, 3, 64, 64), dtype=torch.uint8, generator=chance)
labels = torch.randint(0, 3, (8, 64, 64), dtype=torch.uint8, generator=chance)
labels[:3] = labels[:3].clamp(max=1)  # shares that differ: a loss of means of means would show
parts = [slice(0, 4), slice(4, 8)]
mine = [range(part.start + rank * 4 // size, part.start + (rank + 1) * 4 // size) for part in parts]
if rank:
    group.receive()
state.training_step([Batch(pixels[list(own)], labels[list(own)]) for own in mine], 0.0)
if rank == 0:
    gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    save_file({name: tensor.contiguous() for name, tensor in gradients.items()}, out)
"""


def gradients(size, path):
    """Return the gradients of a step of eight tiles that `size` processes share."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", SHARED_STEP]
    processes = [
        subprocess.Popen([*command, str(rank), str(size), str(port), str(path)], stderr=subprocess.PIPE, text=True)
        for rank in range(size)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
    return load_file(path)


def test_gradients_of_two_processes_equal_those_of_one(tmp_path):
    alone, together = gradients(1, tmp_path / "1.safetensors"), gradients(2, tmp_path / "2.safetensors")
    assert alone.keys() == together.keys()
    largest = max(float((alone[name] - together[name]).abs().max()) for name in alone)
    assert largest < 1e-6
    assert max(float(tensor.abs().max()) for tensor in alone.values()) > 1e-3


def test_two_processes_train_a_model(project):
    config = TrainConfig(minutes=0.2, tile=64, batch=4, decoder_seconds=1, cached_tiles=8, steps=6, devices=2)
    job, validated = train(project, config), []
    try:
        while True:
            event = next(job)
            validated += [event] if isinstance(event, Validated) else []
    except StopIteration as end:
        bundle = end.value
    assert bundle.steps == 6
    assert bundle.finished
    assert np.isfinite([event.loss for event in validated]).all()
    assert not torch.distributed.is_initialized()


def test_batch_that_cannot_be_shared_is_refused(project):
    with pytest.raises(ConfigError, match="batch is 4; 3 devices share it"):
        run(train(project, TrainConfig(devices=3, batch=4)))


def test_process_that_waits_for_a_silent_group_ends_with_the_one_that_started_it(project):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        command = [sys.executable, "-m", "napari_pathseg.engine.training.ddp_worker", str(project.folder), "r001"]
        process = subprocess.Popen([*command, "1", "2", str(port)], stdin=subprocess.PIPE)
        try:
            silent.accept()
            process.stdin.close()  # as the kernel does when that process is killed
            assert process.wait(240) == 1
        finally:
            process.kill()
