"""Start workers on this computer that predict slides."""

import argparse
import time
from typing import Any

from napari_pathseg.cli.arguments import add_command
from napari_pathseg.cli.output import Answer
from napari_pathseg.cli.progress import stop_signals


def add_commands(parsers: Any) -> None:
    """Add ``cluster``."""
    about = "start workers on this computer for predict --scheduler, until Ctrl+C"
    command = add_command(parsers, "cluster", run_cluster, about, project=False)
    command.add_argument("--workers", type=int, default=0, metavar="N", help="processes; 0: half the cores (0)")
    command.add_argument("--port", type=int, default=8786, help="port of the scheduler; 0: any that is free (8786)")


def run_cluster(args: argparse.Namespace) -> Answer:
    """Start a scheduler and workers, print their address, and wait for a signal."""
    from napari_pathseg.jobs.cluster import start_cluster

    with start_cluster(args.workers, args.port) as cluster:
        print(cluster.scheduler_address, flush=True)
        with stop_signals.in_job():
            while stop_signals.received is None:
                time.sleep(0.1)
    return {"scheduler": cluster.scheduler_address}
