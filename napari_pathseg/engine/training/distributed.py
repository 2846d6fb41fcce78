"""Data-parallel training: rank 0 and its worker processes share each step.

The main training process is rank 0.  It starts the workers and broadcasts a command before each
step; all ranks average their gradients with torch's DistributedDataParallel, on GPUs through nccl,
on CPUs through gloo.  `ddp_worker` is the program of the workers.
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
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from napari_pathseg.errors import ConfigError, PathsegError

_TIMEOUT = timedelta(minutes=30)  # a worker waits this long while rank 0 validates


class RankCommand(IntEnum):
    """A command from rank 0 to the workers."""

    END = 0
    STEP = 1
    START = 2  # receive the weights of rank 0, with a new optimizer
    RESUME = 3  # receive the weights of rank 0, with the optimizer state of the checkpoint


class ProcessGroup:
    """Membership of a process in the group that shares each training step.

    Attributes
    ----------
    rank, size
        Number of this process, 0 for the main process, and number of processes.
    device
        The GPU or CPU on which this process computes.
    together
        Whether steps are shared; only rank 0 runs the first stages of a training.
    in_step
        Whether a shared step is in progress.  Closing the group would then deadlock, so `close` kills the workers.
    """

    def __init__(self, rank: int, size: int, port: int) -> None:
        self.rank, self.size = rank, size
        self.together = self.in_step = False
        self._workers: list[subprocess.Popen[bytes]] = []
        self.device = torch.device("cuda", rank) if torch.cuda.is_available() else torch.device("cpu")
        self._threads = torch.get_num_threads()
        torch.set_num_threads(max(1, self._threads // size))
        backend, address = "nccl" if self.device.type == "cuda" else "gloo", f"tcp://127.0.0.1:{port}"
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        dist.init_process_group(backend, init_method=address, rank=rank, world_size=size, timeout=_TIMEOUT)

    # -- rank 0

    def broadcast(self, command: RankCommand, learning_rate: float = 0.0, accumulate: int = 1) -> None:
        """Send all workers their next command."""
        for number, process in enumerate(self._workers, 1):
            if process.poll() is not None:
                raise PathsegError(
                    f"Process {number + 1} of {self.size} ended with code {process.returncode}; see "
                    f"worker{number}.log in the run's folder. Train with fewer devices, or resume."
                )
        message = [command, learning_rate, accumulate]
        dist.broadcast(torch.tensor(message, dtype=torch.float64, device=self.device), 0)

    def attach(self, workers: list["subprocess.Popen[bytes]"]) -> None:
        """Take ownership of worker processes: check them at each command, and end them in `close`."""
        self._workers = workers

    def close(self) -> None:
        """Leave the group; rank 0 also ends the workers."""
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
            if process.stdin is not None:
                process.stdin.close()

    # -- a worker

    def receive(self) -> tuple[RankCommand, float, int]:
        """Wait for a command; return it with the learning rate and the number of batches in a step."""
        message = torch.zeros(3, dtype=torch.float64, device=self.device)
        dist.broadcast(message, 0)
        command, learning_rate, accumulate = message.tolist()
        return RankCommand(int(command)), learning_rate, int(accumulate)

    # -- all ranks

    def broadcast_weights(self, network: nn.Module) -> None:
        """Broadcast the weights of rank 0 to all ranks."""
        with torch.no_grad():
            for tensor in network.state_dict().values():
                contiguous = tensor.contiguous()
                dist.broadcast(contiguous, 0)
                tensor.copy_(contiguous)

    def wrap(self, network: nn.Module) -> DistributedDataParallel:
        """Return the network with gradients averaged over all ranks."""
        return DistributedDataParallel(network, [self.rank] if self.device.type == "cuda" else None)

    def all_reduce(self, part: Tensor) -> Tensor:
        """Return the sum over all ranks; gradients flow through it."""
        total: Tensor = _AllReduce.apply(part) if self.together else part
        return total


class _AllReduce(torch.autograd.Function):
    """Differentiable sum over all ranks; each rank's loss depends on it, so the gradient is a sum as well.

    `torch.distributed.nn.functional.all_reduce` does the same, but is deprecated since torch 2.14 in favour of a
    private module.
    """

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


def start_process_group(project: Path, run: Path, size: int) -> ProcessGroup:
    """Start the workers of a run and return rank 0 of the group.

    Raises
    ------
    ConfigError
        If the computer has GPUs, but fewer than `size`.
    """
    if torch.cuda.is_available() and torch.cuda.device_count() < size:
        raise ConfigError(f"devices is {size}; this computer has {torch.cuda.device_count()} GPU(s). Lower devices.")
    port = _free_port()
    workers = [_start_worker(project, run, rank, size, port) for rank in range(1, size)]
    try:
        group = ProcessGroup(0, size, port)
    except BaseException:
        for process in workers:
            process.kill()
        raise
    group.attach(workers)
    return group


def _start_worker(project: Path, run: Path, rank: int, size: int, port: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "napari_pathseg.engine.training.ddp_worker"]
    with (run / f"worker{rank}.log").open("wb") as log:
        return subprocess.Popen(
            [*command, str(project), run.name, *map(str, (rank, size, port))],
            stdin=subprocess.PIPE,  # it ends with this process, be that killed
            stdout=log,
            stderr=log,
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
