import pytest
from worker_child import Child

from napari_pathseg.jobs.protocol import WorkerReady


@pytest.fixture(scope="module")
def worker():
    """A worker process that is ready, and is killed at the end."""
    child = Child()
    child.events_until(WorkerReady)
    yield child
    child.process.kill()
    child.process.wait()
