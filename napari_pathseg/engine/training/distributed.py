"""Several processes that share each step of a training: a leader and its workers.

The training itself leads.  It starts its workers, tells them before each step what to do,
and all average their gradients, through Lightning Fabric and torch's DistributedDataParallel:
on GPUs with nccl, on processors with gloo.
"""

import socket
import subprocess
import sys
from datetime import timedelta
from enum import IntEnum
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn

from napari_pathseg.errors import ConfigError, PathsegError

_TIMEOUT = timedelta(minutes=30)  # a worker waits so long while the leader validates


class RankCommand(IntEnum):
    """What a worker is told to do."""

    END = 0
    STEP = 1
    START = 2  # take the leader's weights, with a fresh optimiser
    RESUME = 3  # take the leader's weights, with the optimiser's state as it was loaded


class ProcessGroup:
    """A process among those that share each step.

    Attributes
    ----------
    rank, size
        Its number, 0 for the leader, and how many there are.
    fabric
        Lightning Fabric, launched.
    together
        Whether steps are shared already; the first stages are the leader's alone.
    """

    def __init__(self, rank: int, size: int, port: int) -> None:
        self.rank, self.size = rank, size
        self.together = False
        self.in_step = False  # a group that is parted in mid-step would wait for each other for ever
        self._workers: list[subprocess.Popen[bytes]] = []
        self.fabric = _fabric(rank, size, port)
        self._threads = torch.get_num_threads()
        torch.set_num_threads(max(1, self._threads // size))
        self.fabric.launch()

    # -- the leader

    def broadcast(self, order: RankCommand, rate: float = 0.0, accumulate: int = 1) -> None:
        """Tell all workers what to do next."""
        for number, process in enumerate(self._workers, 1):
            if process.poll() is not None:
                raise PathsegError(
                    f"Process {number + 1} of {self.size} ended with code {process.returncode}; see "
                    f"worker{number}.log in the run's folder. Train with fewer devices, or resume."
                )
        dist.broadcast(torch.tensor([order, rate, accumulate], dtype=torch.float64, device=self.fabric.device), 0)

    def close(self) -> None:
        """Let the workers go."""
        torch.set_num_threads(self._threads)
        alive = all(process.poll() is None for process in self._workers)
        if self.rank == 0 and alive and not self.in_step:
            self.broadcast(RankCommand.END)
        else:
            for process in self._workers:
                process.kill()
        dist.destroy_process_group()
        for process in self._workers:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()

    # -- a worker

    def receive(self) -> tuple[RankCommand, float, int]:
        """Return what the leader wants, the step size, and the batches in a step."""
        said = torch.zeros(3, dtype=torch.float64, device=self.fabric.device)
        dist.broadcast(said, 0)
        order, rate, accumulate = said.tolist()
        return RankCommand(int(order)), rate, int(accumulate)

    # -- all of them

    def broadcast_weights(self, network: nn.Module) -> None:
        """Give all the leader's weights."""
        with torch.no_grad():
            for tensor in network.state_dict().values():
                plain = tensor.contiguous()
                dist.broadcast(plain, 0)
                tensor.copy_(plain)

    def wrap(self, network: nn.Module) -> Any:
        """Return the network as all of them run it: its gradients are averaged."""
        return self.fabric.setup_module(network, move_to_device=False)

    def all_reduce(self, part: Tensor) -> Tensor:
        """Return the sum of what each has; gradients flow through it."""
        together: Tensor = _Sum.apply(part) if self.together else part
        return together

    def attach(self, workers: list["subprocess.Popen[bytes]"]) -> None:
        """Look after the worker processes."""
        self._workers = workers


def start_process_group(project: Path, run: Path, size: int) -> ProcessGroup:
    """Start the workers of a run and return the leader's end of the group.

    Raises
    ------
    ConfigError
        If the computer has GPUs, but not so many.
    """
    if torch.cuda.is_available() and torch.cuda.device_count() < size:
        raise ConfigError(f"devices is {size}; this computer has {torch.cuda.device_count()} GPU. Lower devices.")
    port = _free_port()
    workers = [_start(project, run, rank, size, port) for rank in range(1, size)]
    try:
        group = ProcessGroup(0, size, port)
    except BaseException:
        for process in workers:
            process.kill()
        raise
    group.attach(workers)
    return group


def _start(project: Path, run: Path, rank: int, size: int, port: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "napari_pathseg.engine.training.ddp_worker"]
    with (run / f"worker{rank}.log").open("wb") as log:
        return subprocess.Popen(
            [*command, str(project), run.name, *map(str, (rank, size, port))],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def _fabric(rank: int, size: int, port: int) -> Fabric:
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    strategy = DDPStrategy(
        cluster_environment=_Place(rank, size, port), process_group_backend=backend, timeout=_TIMEOUT
    )
    try:
        return Fabric(accelerator="cuda" if backend == "nccl" else "cpu", devices=size, strategy=strategy)
    except MisconfigurationException as error:
        raise ConfigError(f"devices is {size}; {error} Lower devices.") from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Sum(torch.autograd.Function):
    """The sum over all processes; each one's loss is made of it, so gradients are summed as well."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        """Return the sum of all parts."""
        total = part.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Return the sum of all gradients."""
        total = gradient.clone()
        dist.all_reduce(total)
        return total


class _Place(ClusterEnvironment):
    """Where a process stands among those of its computer; the processes are started here, not by Fabric."""

    def __init__(self, rank: int, size: int, port: int) -> None:
        self._rank, self._size, self._port = rank, size, port

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return "127.0.0.1"

    @property
    def main_port(self) -> int:
        return self._port

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self._size

    def set_world_size(self, size: int) -> None:
        """Stay as it is."""

    def global_rank(self) -> int:
        return self._rank

    def set_global_rank(self, rank: int) -> None:
        """Stay as it is."""

    def local_rank(self) -> int:
        return self._rank

    def node_rank(self) -> int:
        return 0
