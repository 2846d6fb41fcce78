import subprocess
import sys

from torch import nn

from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks import build_network

STEPS = """
import torch
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks import build_network
network = build_network(NetworkSpec("fcn8s", "", 2)).to(memory_format=torch.channels_last)
for _ in range(3):
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(torch.zeros(4, 3, 64, 64))
    logits.float().square().sum().backward()
print("alive")
"""


def float32_layers(architecture, encoder=""):
    network = build_network(NetworkSpec(architecture, encoder, 2))
    found = [module for module in network.modules() if type(module).__name__.startswith("Float32")]
    return network, found


def test_depthwise_convolutions_train_in_float32():
    network, found = float32_layers("unet", "mobilenet_v2")
    depthwise = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.groups == m.in_channels > 1]
    assert found == depthwise


def test_class_scores_of_fcn8s_train_in_float32():
    _, (layer,) = float32_layers("fcn8s")
    assert (layer.in_channels, layer.out_channels) == (4096, 2)


def test_fcn8s_trains_in_bfloat16_without_a_crash():
    """In a subprocess, because the bug under test crashes the process."""
    done = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "alive", done.stderr
