"""Prediction on a cluster of dask.distributed workers that see the same project folder.

A worker computes a row or a block of tiles and sends it back; the process that asked for it is the only one that
writes.  A worker that is lost costs the row that it computed, which another one computes again.  All compute with the
same runtime and precision, so that the labels are those of one machine.  What workers run is in `cluster_worker.py`.
"""

import importlib.util
import queue
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_pathseg.config import PredictConfig
from napari_pathseg.engine.bundle import check_classes, find_bundle, load_bundle
from napari_pathseg.engine.events import Command, Event, Job, Note, Progress, SlideDone, TileDone
from napari_pathseg.engine.inference.predict import Orders, SlidePredictor, describe_failure, select_slides
from napari_pathseg.engine.inference.unlike_slides import compare_with_learnt
from napari_pathseg.errors import ConfigError
from napari_pathseg.geometry import Region
from napari_pathseg.jobs.cluster_worker import (
    ClusterModel,
    RowOfTiles,
    TilesOfRow,
    choose_on_worker,
    compute_row,
    plan_on_worker,
)
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.projects.model_weights import weights_mtime
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.storage.machine import usable_cores

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster

_CONNECT_S, _BEAT_S, _ALONE_S = 20.0, 0.5, 60.0
_ROWS_AHEAD = 2  # of each worker: one is computed, one waits
_LOST = "the workers that computed it were lost, one after another"

_Rows = list[tuple["_SlideRun", RowOfTiles]]
_Events = Generator[Event, Command | None, None]


def predict_on_cluster(
    project: Project,
    scheduler: str,
    config: PredictConfig | None = None,
    model: str | None = None,
    *,
    slides: Sequence[str] | None = None,
) -> Job[list[SlideDone]]:
    """Predict whole slides of a project on the workers of a dask scheduler.

    The other parameters, the events and the result are those of `engine.inference.predict.predict`.

    Raises
    ------
    ConfigError
        If the package distributed is not installed, nothing answers at the address, or a worker cannot compute as the
        others do.
    BundleError, ProjectError
        As `predict`; also if a worker does not see the project.
    """
    check_distributed()
    config = config or PredictConfig()
    project.check_links()
    folder = find_bundle(project, model)
    bundle = load_bundle(folder)
    check_classes(project, bundle)
    records, orders = select_slides(project, config.role, slides), Orders()
    megapixels = sum(record.mask_shape[0] * record.mask_shape[1] for record in records) / 1e6
    wanted = ClusterModel(str(project.folder.resolve()), folder.name, config, megapixels, time.time())
    orders.take((yield Progress(f"Predicting {records[0].id}", 0.0, 0.0)))
    for event in compare_with_learnt(project, bundle, records):
        orders.take((yield event))
    with _connect(scheduler) as client:
        return (yield from _ClusterRun(project, client, wanted, orders).predict(records))


def start_cluster(workers: int = 0, port: int = 0) -> "LocalCluster":
    """Start a scheduler and workers on this computer, which nothing outside it can reach; without a dashboard.

    Parameters
    ----------
    workers
        How many processes; 0 for half as many as the computer has cores, at least 1.
    port
        Of the scheduler; 0 for any that is free.

    Raises
    ------
    ConfigError
        If the package distributed is not installed, or the port is taken.
    """
    check_distributed()
    from distributed import LocalCluster

    try:
        return LocalCluster(
            n_workers=workers or max(1, usable_cores() // 2),
            threads_per_worker=1,
            host="127.0.0.1",
            scheduler_port=port,
            dashboard_address=None,
            memory_limit=0,  # dask would kill a worker above its share; tiles are fitted to the memory already
        )
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"The cluster could not be started ({error}). Choose another --port.") from error


def check_distributed() -> None:
    """Raise ConfigError unless the package distributed is installed."""
    if importlib.util.find_spec("distributed") is None:
        raise ConfigError(
            'A cluster needs the package distributed. Install it with: pip install "napari-pathseg[cluster]".'
        )


def _connect(scheduler: str) -> "Client":
    from distributed import Client

    try:
        return Client(scheduler, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"scheduler is {scheduler}, where no scheduler answers ({error}). Start one with pathseg cluster or dask "
            "scheduler, and give the address that it prints."
        ) from error


@dataclass
class _SlideRun:
    """A slide whose rows are computed."""

    record: SlideRecord
    prediction: Prediction
    runtime: str
    pixels_done: int = 0
    rows_left: int = 0
    failed: dict[Region, str] = field(default_factory=dict)
    start: float = field(default_factory=time.perf_counter)

    @property
    def region(self) -> Region:
        return Region(0, 0, *self.record.mask_shape)

    @property
    def pixels(self) -> int:
        return self.region.height * self.region.width

    @property
    def result(self) -> SlideDone:
        """What is known of the slide once no row is left."""
        seconds = time.perf_counter() - self.start
        return SlideDone(self.record.id, seconds, self.pixels, self.region, list(self.failed), self.runtime)


class _ClusterRun:
    """One prediction of several slides on the workers of a cluster."""

    def __init__(self, project: Project, client: "Client", wanted: ClusterModel, orders: Orders) -> None:
        self._client, self._wanted, self._orders = client, wanted, orders
        folder = project.folder / "models" / wanted.model
        self._bundle = load_bundle(folder)
        self._predictor = SlidePredictor(project, wanted.config, self._bundle, folder, wanted.megapixels)
        self._stamp = weights_mtime(project, wanted.model)
        self._answers: queue.Queue[Future] = queue.Queue()
        self._running: dict[Future, tuple[_SlideRun, RowOfTiles]] = {}
        self._open: list[_SlideRun] = []
        self._runtimes: dict[str, str] = {}  # by the file of the weights
        self._pixels_done, self._start, self._last_seen = 0, time.perf_counter(), time.perf_counter()

    def predict(self, records: Sequence[SlideRecord]) -> Job[list[SlideDone]]:
        """Predict slides, rows of several at the same time."""
        waiting, rows, done = deque(records), deque[tuple[_SlideRun, RowOfTiles]](), list[SlideDone]()
        while not self._orders.stopped:
            while len(self._running) < _ROWS_AHEAD * max(1, len(self._hosts())) and (rows or waiting):
                if rows:
                    self._submit(*rows.popleft())
                else:
                    rows.extend((yield from self._begin(waiting.popleft())))
            for run in [run for run in self._open if not run.rows_left]:
                self._open.remove(run)
                done.append(run.result)
                yield from self._finish(run)
            if not (self._running or rows or waiting):
                break
            yield from self._wait()
        for future in self._running:
            future.cancel()
        return done

    def _begin(self, record: SlideRecord) -> Generator[Event, Command | None, _Rows]:
        """Report what is there already of a slide; return the rows that are not."""
        runtime = yield from self._runtime_for(record.id)
        if runtime is None:
            return []
        plan = yield from self._ask(record.id, plan_on_worker, runtime, record.id)
        if plan is None:
            return []
        prediction, note = self._predictor.begin(record, runtime)
        if note is not None:
            yield from self._report(note)
        run, rows = _SlideRun(record, prediction, runtime), _Rows()
        prediction.leave_out([tile for tile in plan[1] if not prediction.has(tile, glass=True)])
        for row in plan[0]:
            there = [tile for tile in row.tiles if prediction.has(tile)]
            for tile in there:
                yield from self._tile_done(run, tile)
            if len(there) < len(row.tiles):
                rows.append((run, row._replace(tiles=[tile for tile in row.tiles if tile not in set(there)])))
        run.rows_left = len(rows)
        self._open.append(run)
        return rows

    def _runtime_for(self, slide: str) -> Generator[Event, Command | None, str | None]:
        """Return what computes a slide on all workers, as one of them has found; None after a stop."""
        weights = self._bundle.weights_for(slide)
        if weights not in self._runtimes:
            runtime = yield from self._ask(slide, choose_on_worker, slide)
            if runtime is None:
                return None
            self._runtimes[weights] = runtime
        return self._runtimes[weights]

    def _ask(self, slide: str, task: Callable[..., Any], *arguments: Any) -> Generator[Event, Command | None, Any]:
        """Return the answer of a worker, before it computes further rows; None after a stop."""
        future = self._client.submit(task, self._wanted, *arguments, self._hosts(), pure=False, priority=1)
        while not future.done() and not self._orders.stopped:
            time.sleep(_BEAT_S / 10)
            yield from self._report(self._progress(slide))
        return None if self._orders.stopped else future.result()

    def _submit(self, run: _SlideRun, row: RowOfTiles) -> None:
        future = self._client.submit(compute_row, self._wanted, run.runtime, row, self._hosts(), pure=False)
        self._running[future] = run, row
        future.add_done_callback(self._answers.put)

    def _wait(self) -> _Events:
        """Wait for the next row, a moment at most, and store it."""
        try:
            future = self._answers.get(timeout=_BEAT_S)
        except queue.Empty:
            yield from self._look_after_workers()
            yield from self._report(self._progress(self._open[0].record.id if self._open else ""))
            return
        run, row = self._running.pop(future)
        run.rows_left -= 1
        answer = self._result(future, row)
        for tile in answer.store(run.prediction):
            yield from self._tile_done(run, tile)
        run.failed |= answer.failed

    def _result(self, future: "Future", row: RowOfTiles) -> TilesOfRow:
        """Return the answer of a worker; raise its error."""
        from distributed import KilledWorker

        try:
            answer: TilesOfRow = future.result()
            return answer
        except KilledWorker:
            return TilesOfRow(row, failed=dict.fromkeys(row.tiles, _LOST))

    def _look_after_workers(self) -> _Events:
        if self._hosts():
            self._last_seen = time.perf_counter()
        elif time.perf_counter() - self._last_seen > _ALONE_S:
            self._last_seen = time.perf_counter()
            yield from self._report(Note("The scheduler has no worker; waiting for one.", warning=True))

    def _finish(self, run: _SlideRun) -> _Events:
        """Report a slide of which no row is left."""
        if run.failed:
            yield from self._report(Note(describe_failure(run.record.id, run.failed), warning=True))
        else:
            run.prediction.finish(self._stamp)
        yield from self._report(run.result)

    def _tile_done(self, run: _SlideRun, tile: Region) -> _Events:
        run.pixels_done += tile.height * tile.width
        self._pixels_done += tile.height * tile.width
        yield from self._report(TileDone(run.record.id, tile, run.pixels_done / run.pixels))
        yield from self._report(self._progress(run.record.id))

    def _progress(self, slide: str) -> Progress:
        fraction = min(1.0, self._pixels_done / 1e6 / self._wanted.megapixels)
        left = (time.perf_counter() - self._start) * (1 - fraction) / fraction if fraction else 0.0
        return Progress(f"Predicting {slide}", fraction, left)

    def _report(self, event: Event) -> _Events:
        self._orders.take((yield event))

    def _hosts(self) -> list[str]:
        """Return the host of each worker."""
        return [worker["host"] for worker in self._client.scheduler_info(n_workers=-1)["workers"].values()]
