"""A worker process of data-parallel training: ``python -m napari_pathseg.engine.training.ddp_worker``.

It builds the same network as rank 0, draws its own share of every batch, and performs the same steps.
"""

import os
import sys
import threading
from pathlib import Path

import torch

from napari_pathseg.engine.dataset.patches import PatchDataset
from napari_pathseg.engine.device import choose_device
from napari_pathseg.engine.training.batch_loader import BatchLoader
from napari_pathseg.engine.training.distributed import ProcessGroup, RankCommand
from napari_pathseg.engine.training.plan import plan_of_run
from napari_pathseg.engine.training.train_state import TrainState
from napari_pathseg.projects.project import Project

_SEED_STRIDE = 7919  # difference between the seeds of two ranks


def run_worker(project: Project, run: Path, group: ProcessGroup) -> None:
    """Carry out the commands of rank 0 until the run ends."""
    plan = plan_of_run(project, run)
    config = plan.config.replace(seed=(plan.config.seed + _SEED_STRIDE * group.rank) % 2**31)
    with PatchDataset(project, plan.train, config, held_out=plan.held_out) as dataset:
        sample = torch.zeros(2, 3, config.tile, config.tile, dtype=torch.uint8)
        device = choose_device(plan.network, sample, config.precision, timed=False, device=group.device)
        loader = BatchLoader(dataset, config, device, group.size)
        state = TrainState(plan.network, device, config, plan.pixels_by_class, group)
        if plan.checkpoint is not None:
            state.load_tensors(plan.checkpoint.tensors, plan.checkpoint.numbers)
        while True:
            command, learning_rate, loader.accumulate = group.receive()
            if command is RankCommand.END:
                loader.close()
                return
            if command is RankCommand.STEP:
                state.training_step(loader.next_batches(state.step), learning_rate)
            else:
                state.join_group(fresh=command is RankCommand.START)


def _end_with_rank_0() -> None:
    """End this process when rank 0 is gone: it may have been killed, while torch waits for it for half an hour."""
    sys.stdin.buffer.read()
    os._exit(1)


def main() -> None:
    """Join the process group given by the command-line arguments."""
    threading.Thread(target=_end_with_rank_0, name="rank 0", daemon=True).start()
    folder, run, rank, size, port = sys.argv[1:]
    project = Project.open(folder)
    group = ProcessGroup(int(rank), int(size), int(port))
    try:
        run_worker(project, project.folder / "runs" / run, group)
    finally:
        group.close()


if __name__ == "__main__":
    main()
