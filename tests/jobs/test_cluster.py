"""Workers of a cluster predict the same as one machine, whatever happens to one of them."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import torch

from napari_pathseg.cli import main
from napari_pathseg.config import PredictConfig
from napari_pathseg.engine.events import Note, Stop, TileDone, run
from napari_pathseg.engine.inference.predict import predict
from napari_pathseg.errors import ConfigError
from napari_pathseg.jobs.cluster import predict_on_cluster, start_cluster
from napari_pathseg.jobs.cluster_worker import TOPIC
from napari_pathseg.storage.machine import usable_cores
from napari_pathseg.storage.portable import remove_tree

distributed = pytest.importorskip("distributed", reason="of the extra cluster")

CONFIG = PredictConfig(tile=64, halo="32", runtime="torch", shifts=2)  # tiles by themselves: three rows a slide
PATHSEG = [sys.executable, "-c", "import sys; from napari_pathseg.cli import main; sys.exit(main())"]
SLIDES = ["case2", "case3", "case4"]


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes of their own."""
    with start_cluster(workers=2) as cluster:
        yield cluster


@pytest.fixture
def project(trained):
    """The trained project, without predictions, and as many threads as each worker has: they change the rounding."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, usable_cores() // 2))
    forget(trained[0])
    yield trained[0]
    forget(trained[0])
    torch.set_num_threads(threads)


def forget(project):
    for path in (project.folder / "predictions").glob("*/*.zarr"):
        remove_tree(path)


def stored(project):
    model = project.model_ids()[-1]
    return [np.asarray(project.find_prediction(model, slide).probabilities) for slide in SLIDES]


def expected(project):
    """What one process predicts."""
    run(predict(project, CONFIG, slides=SLIDES))
    found = stored(project)
    forget(project)
    return found


def same(found, others):
    return all(np.array_equal(one, other) for one, other in zip(found, others, strict=True))


def rows_begun(cluster):
    with distributed.Client(cluster, set_as_default=False) as client:
        return len(client.get_events(TOPIC))


def test_labels_are_those_of_one_process_and_nothing_is_computed_twice(project, cluster):
    alone, before, events = expected(project), rows_begun(cluster), []
    done = run(predict_on_cluster(project, cluster.scheduler_address, CONFIG, slides=SLIDES), events.append)
    assert sorted(slide.slide for slide in done) == SLIDES
    assert {slide.runtime for slide in done} <= {"torch fp32", "torch bf16"}
    assert same(stored(project), alone)
    tiles = [(event.slide, event.region) for event in events if isinstance(event, TileDone)]
    assert len(tiles) == len(set(tiles)) == 9 * len(SLIDES)
    rows = rows_begun(cluster)
    assert rows - before == 3 * len(SLIDES)
    run(predict_on_cluster(project, cluster.scheduler_address, CONFIG, slides=SLIDES))
    assert rows_begun(cluster) == rows
    assert same(stored(project), alone)


def test_blocks_are_those_of_one_process(project, cluster):
    config = CONFIG.replace(shifts=1)
    run(predict(project, config, slides=SLIDES))
    alone, before = stored(project), rows_begun(cluster)
    forget(project)
    run(predict_on_cluster(project, cluster.scheduler_address, config, slides=SLIDES))
    assert same(stored(project), alone)
    assert rows_begun(cluster) - before == len(SLIDES)


def test_stopped_run_goes_on_alone(project, cluster):
    alone = expected(project)

    def stop(event):
        return Stop() if isinstance(event, TileDone) else None

    run(predict_on_cluster(project, cluster.scheduler_address, CONFIG, slides=SLIDES), stop)
    assert 0 < len(list((project.folder / "predictions").glob("*/*.zarr"))) <= len(SLIDES)
    run(predict(project, CONFIG, slides=SLIDES))
    assert same(stored(project), alone)


def test_killed_worker_costs_its_row_and_no_pixel(project, cluster):
    alone, before, killed = expected(project), rows_begun(cluster), []

    def kill(event):
        if isinstance(event, TileDone) and not killed:
            with distributed.Client(cluster, set_as_default=False) as client:
                killed.extend(list(client.run(os.getpid).values())[:1])
            os.kill(killed[0], signal.SIGKILL)

    done = run(predict_on_cluster(project, cluster.scheduler_address, CONFIG, slides=SLIDES), kill)
    assert sorted(slide.slide for slide in done) == SLIDES
    assert not any(slide.failed for slide in done)
    assert same(stored(project), alone)
    # The row that it computed, and one that it had computed and nobody had fetched yet.
    assert rows_begun(cluster) - before <= 3 * len(SLIDES) + 2


def test_part_that_cannot_be_read_is_named(project, cluster, monkeypatch, tmp_path):
    path = project.find_file(project.slide("case3"))
    content = path.read_bytes()
    path.write_bytes(content[:2000] + bytes(len(content) - 4000) + content[-2000:])
    try:
        events = []
        done = run(predict_on_cluster(project, cluster.scheduler_address, CONFIG, slides=["case3"]), events.append)
    finally:
        path.write_bytes(content)
    assert done[0].failed
    assert any(isinstance(event, Note) and event.text.startswith("case3 is predicted but for") for event in events)


def test_address_where_nothing_answers_is_named(project, monkeypatch):
    monkeypatch.setattr("napari_pathseg.jobs.cluster._CONNECT_S", 1.0)
    with pytest.raises(ConfigError, match=r"scheduler is tcp://127.0.0.1:9, where no scheduler answers"):
        run(predict_on_cluster(project, "tcp://127.0.0.1:9", CONFIG, slides=SLIDES))


def test_region_is_refused(project, capsys):
    code = main(["predict", str(project.folder), "--scheduler", "tcp://127.0.0.1:9", "--region", "0,0,9,9"])
    assert code == 1
    assert "region cannot be predicted on a cluster" in capsys.readouterr().err


def test_command_starts_a_cluster_that_only_this_computer_reaches(project):
    command = [*PATHSEG, "cluster", "--workers", "1", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        address = process.stdout.readline().strip()
        assert address.startswith("tcp://127.0.0.1:")
        parent = psutil.Process(process.pid)
        family = [parent, *parent.children(recursive=True)]
        listening = {c.laddr.ip for each in family for c in each.net_connections() if c.status == psutil.CONN_LISTEN}
        assert listening == {"127.0.0.1"}
        arguments = ["--scheduler", address, "--slide", "case2", "--tile", "64", "--halo", "32", "--json"]
        command = [*PATHSEG, "predict", str(project.folder), *arguments]
        answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
        assert [slide["slide"] for slide in answer["slides"]] == ["case2"]
        process.send_signal(signal.SIGINT)
        process.wait(60)
    end = time.monotonic() + 60
    while any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in family[1:] if each.is_running()):
        assert time.monotonic() < end
        time.sleep(0.1)
