"""A process that follows the leader of a team: ``python -m napari_pathseg.engine.training.ddp_worker``.

It builds the same network, draws its own share of every batch, and makes the same steps.
"""

import sys
from pathlib import Path

import torch

from napari_pathseg.engine.dataset.patches import LearningSet
from napari_pathseg.engine.device import choose_device
from napari_pathseg.engine.training.batches import Supply
from napari_pathseg.engine.training.distributed import Order, Team
from napari_pathseg.engine.training.plan import plan_of_run
from napari_pathseg.engine.training.train_step import Learner
from napari_pathseg.projects.project import Project

_APART = 7919  # what the random numbers of two processes differ by


def follow(project: Project, run: Path, team: Team) -> None:
    """Do what the leader of a run says until it ends."""
    plan = plan_of_run(project, run)
    config = plan.config.replace(seed=(plan.config.seed + _APART * team.rank) % 2**31)
    with LearningSet(project, plan.train, config) as learning:
        sample = torch.zeros(2, 3, config.tile, config.tile, dtype=torch.uint8)
        device = choose_device(plan.network, sample, config.precision, timed=False, fabric=team.fabric)
        supply = Supply(learning, config, device, team.size)
        learner = Learner(plan.network, device, config, plan.pixels_by_class, team)
        if plan.state is not None:
            learner.load_tensors(plan.state.tensors, plan.state.numbers)
        while True:
            order, rate, supply.accumulate = team.hear()
            if order is Order.END:
                supply.close()
                return
            if order is Order.STEP:
                learner.learn(supply.batches(), rate)
            else:
                learner.join(fresh=order is Order.BEGIN)


def main() -> None:
    """Follow the run that is named."""
    folder, run, rank, size, port = sys.argv[1:]
    project = Project.open(folder)
    team = Team(int(rank), int(size), int(port))
    try:
        follow(project, project.folder / "runs" / run, team)
    finally:
        team.close()


if __name__ == "__main__":
    main()
