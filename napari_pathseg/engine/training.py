"""Fine-tuning in two stages: the decoder on kept features, then everything.

While the encoder is frozen its features of a few tiles are computed once and kept, so that
the decoder learns in seconds and a first overlay appears.  Then the whole network learns
on freshly drawn tiles until the minutes are over or held-out slides no longer improve.
The weights that count are a running mean; the best of them are on disk after each
validation, so that a killed run loses only what came after.
"""

import logging
import time
from collections.abc import Generator, Iterator
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_pathseg.config import TrainConfig
from napari_pathseg.data.project import Project
from napari_pathseg.engine.augment import turn, vary_stain
from napari_pathseg.engine.bundle import Bundle
from napari_pathseg.engine.checkpoint import save_bundle
from napari_pathseg.engine.dataset import LearningSet, Tile
from napari_pathseg.engine.device import choose_device
from napari_pathseg.engine.events import Command, Event, Job, Note, Progress, Show, Started, Stop, Validated
from napari_pathseg.engine.live_view import LiveView
from napari_pathseg.engine.losses import cross_entropy_and_dice
from napari_pathseg.engine.networks import UNet
from napari_pathseg.engine.preparation import Plan, prepare
from napari_pathseg.engine.scores import Confusion, mean_dice
from napari_pathseg.engine.threads import FreeThreads
from napari_pathseg.engine.validation import Validator, as_tensor, predict_region
from napari_pathseg.errors import PathsegError

_logger = logging.getLogger(__name__)
_AVERAGING = 0.98  # share of the running mean that a step keeps
_CLIP = 1.0  # longest gradient
_FIRST_LOOK = 10  # steps after which what the network sees is worth showing
_WARM_UP = 0.05  # share of the time in which the step size rises


def train(project: Project, config: TrainConfig | None = None, parent: str | None = "latest") -> Job[Bundle]:
    """Fine-tune a network on what a person stands for in a project's masks.

    Parameters
    ----------
    project
        Its slides of the role *train* teach; those of the role *val* choose the best.
    config
        How to train.
    parent
        The model to start from; "latest" for the newest if there is one, None for none.

    Returns
    -------
    job
        A generator of events that takes `Stop` and `Show` and returns the best bundle.

    Raises
    ------
    NothingToLearnError
        If a class to find has no labelled pixel, or no slide is held out.
    BundleError
        If `parent` is unknown or tells other classes.
    """
    plan = prepare(project, config or TrainConfig(), parent)
    with LearningSet(project, plan.train) as learning, LearningSet(project, plan.val) as held_out:
        training = _Training(project, plan, learning, held_out)
        try:
            for event in training.events():
                training.heed((yield event))
            return training.finish()
        finally:
            training.close()


class _Training:
    """The state of one training: networks, clock, best so far."""

    def __init__(self, project: Project, plan: Plan, learning: LearningSet, held_out: LearningSet) -> None:
        self.project, self.plan, self.config = project, plan, plan.config
        self.learning = learning
        self.rng = np.random.default_rng(plan.config.seed)
        self.network: UNet = plan.network
        side = plan.config.tile
        self.device = choose_device(self.network, torch.zeros(2, 3, side, side, dtype=torch.uint8))
        self.mean_network = deepcopy(self.network).eval()
        self.validator = Validator(held_out, plan.spec.classes, np.random.default_rng(0))
        self.threads = FreeThreads()
        self.view = LiveView(project, plan.run, partial(predict_region, self.mean_network, self.device))
        self.stopped = False
        self.step = 0
        self.loss: float | None = None  # running mean
        self.best: Confusion | None = None
        self.best_step = 0
        self.stale = 0
        self.curves: list[dict[str, Any]] = []
        self.start = time.perf_counter()
        self.deadline = self.start + 60 * plan.config.minutes

    def events(self) -> Iterator[Event]:
        """Learn, in both stages, telling how it goes."""
        plan = self.plan
        train, val = [entry.id for entry in plan.train], [entry.id for entry in plan.val]
        yield Started(plan.run.name, plan.model_id, plan.parent_id, train, val)
        if self.plan.parent_id is None and self.config.decoder_seconds > 0:
            yield from self._learn_decoder()
        yield from self._validate()
        yield from self._learn_everything()
        if plan.parent_id is not None and self.best_step == 0:
            yield Note(
                f"Nothing better than {plan.parent_id} was found on the held-out slides; {plan.model_id} is a copy."
            )

    # -- the two stages

    def _learn_decoder(self) -> Iterator[Event]:
        """Teach the decoder alone, on the frozen encoder's features of a few tiles."""
        begin = time.perf_counter()
        end = min(begin + self.config.decoder_seconds, self.deadline)
        kept = yield from self._keep_features(begin + (end - begin) / 3)
        optimizer = torch.optim.AdamW(self.network.decoder_parameters(), self.config.decoder_rate)
        self.network.train()
        while (now := time.perf_counter()) < end and not self.stopped:
            _set_rate(optimizer, self.config.decoder_rate * _cosine((now - begin) / (end - begin)))
            chosen = self.rng.permutation(len(kept))[: self.config.batch]
            flips = [axis for axis in (2, 3) if self.rng.random() < 0.5]
            features, labels = _collate([kept[number] for number in chosen], flips)
            with self.device.autocast():
                logits = self.network.decode(features)
            self._learn(optimizer, logits, labels)
            yield from self._tell(self._progress("Quick look"))

    def _keep_features(self, end: float) -> Generator[Event, None, list[tuple[list[Tensor], Tensor]]]:
        """Return the encoder's features of drawn tiles, with their labels."""
        kept: list[tuple[list[Tensor], Tensor]] = []
        self.network.eval()
        while len(kept) < self.config.cached_tiles and not (kept and (self.stopped or time.perf_counter() > end)):
            pixels, labels = self._draw_batch()
            with torch.no_grad(), self.device.autocast():
                features = self.network.encode(pixels)
            kept += [([level[i] for level in features], labels[i]) for i in range(len(labels))]
            yield from self._tell(self._progress("Reading"))
        return kept

    def _learn_everything(self) -> Iterator[Event]:
        """Teach the whole network on freshly drawn tiles."""
        begin = time.perf_counter()
        optimizer = torch.optim.AdamW(
            self.network.parameters(), self.config.learning_rate, weight_decay=self.config.weight_decay
        )
        interval = max(4.0, (self.deadline - begin) / 20)
        due = begin + interval
        while (now := time.perf_counter()) < self.deadline and not self.stopped:
            share = (now - begin) / (self.deadline - begin)
            _set_rate(optimizer, self.config.learning_rate * min(1.0, share / _WARM_UP + 0.05) * _cosine(share))
            pixels, labels = self._draw_batch()
            self.network.train()
            with self.device.autocast():
                logits = self.network(pixels)
            self._learn(optimizer, logits, labels)
            yield from self._tell(self._progress("Training"))
            if time.perf_counter() > due:
                yield from self._validate()
                due = time.perf_counter() + interval
                if self.stale >= self.config.patience:
                    yield Note("Training ended early: the held-out slides no longer improve.")
                    return
        if self.step > self.curves[-1]["step"]:
            yield from self._validate()

    def _learn(self, optimizer: torch.optim.Optimizer, logits: Tensor, labels: Tensor) -> None:
        """Make one step down the loss, and let the running mean follow."""
        loss = cross_entropy_and_dice(logits, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
        optimizer.step()
        self.step += 1
        value = float(loss.detach())
        self.loss = value if self.loss is None else 0.9 * self.loss + 0.1 * value
        _follow(self.mean_network, self.network, min(_AVERAGING, self.step / (self.step + 10)))

    def _draw_batch(self) -> tuple[Tensor, Tensor]:
        tiles = [self._vary(self.learning.draw(self.config.tile, self.rng)) for _ in range(self.config.batch)]
        pixels = as_tensor(np.stack([tile.pixels for tile in tiles]))
        labels = torch.from_numpy(np.stack([tile.labels for tile in tiles]))
        return self.device.send(pixels), self.device.send(labels)

    def _vary(self, tile: Tile) -> Tile:
        pixels, labels = turn(int(self.rng.integers(8)), tile.pixels, tile.labels)
        return Tile(vary_stain(pixels, self.config.stain_jitter, self.rng), labels)  # type: ignore[arg-type]

    # -- what is said and heard meanwhile

    def _progress(self, stage: str) -> Progress:
        now = time.perf_counter()
        whole = max(self.deadline - self.start, 1e-9)
        return Progress(
            stage, min(1.0, (now - self.start) / whole), max(0.0, self.deadline - now), self.step, self.loss
        )

    def heed(self, command: Command | None) -> None:
        """Take what was said at any event; it is acted on at the next step."""
        if isinstance(command, Stop):
            self.stopped = True
        elif isinstance(command, Show):
            try:
                self.view.show(command)
            except PathsegError as error:  # a slide that came later, or whose file went; learning goes on
                _logger.warning("The view is not shown: %s", error)

    def _tell(self, progress: Progress) -> Iterator[Event]:
        """Yield a step's progress, and the view where it is due."""
        self.threads.adapt()
        yield progress
        if self.step >= _FIRST_LOOK or self.best is not None:
            yield from self.view.events()

    def _validate(self) -> Iterator[Event]:
        """Score the running mean on the held-out tiles; keep it where it is the best so far."""
        confusion = self.validator.score(self.mean_network, self.device)
        dice = mean_dice(confusion)
        best = self.best is None or dice > mean_dice(self.best)
        self.stale = 0 if best else self.stale + 1
        seconds = time.perf_counter() - self.start
        scores = confusion.scores(self.plan.class_names)
        by_class = {name: values["dice"] for name, values in scores.items()}
        self.curves.append(
            {"step": self.step, "seconds": round(seconds, 2), "loss": self.loss, "dice": dice, **by_class}
        )
        if best:
            self.best, self.best_step = confusion, self.step
            self._save(self.mean_network.state_dict(), finished=False)
        yield Validated(self.step, seconds, self.loss, by_class, dice, best)
        yield from self.view.events()

    def finish(self) -> Bundle:
        """Write the bundle's last word and return it."""
        return self._save(None, finished=True)

    def close(self) -> None:
        """Give back what was taken for the training."""
        self.threads.restore()
        self.view.close()

    def _save(self, weights: dict[str, Tensor] | None, *, finished: bool) -> Bundle:
        assert self.best is not None
        bundle = Bundle(
            id=self.plan.model_id,
            parent=self.plan.parent_id,
            run=self.plan.run.name,
            network=self.plan.spec,
            classes=[{"name": spec.name, "color": spec.color} for spec in self.project.classes],
            mpp=self.project.mpp,
            config=self.config.to_json(),
            scores=self.best.scores(self.plan.class_names),
            mean_dice=mean_dice(self.best),
            train=[entry.id for entry in self.plan.train],
            val=[entry.id for entry in self.plan.val],
            steps=self.step,
            seconds=time.perf_counter() - self.start,
            finished=finished,
        )
        save_bundle(self.project.folder / "models" / bundle.id, bundle, weights, self.curves)
        return bundle


def _collate(kept: list[tuple[list[Tensor], Tensor]], flips: list[int]) -> tuple[list[Tensor], Tensor]:
    """Put kept tiles together into a batch, flipped along axes of (tiles, channels, rows, columns)."""
    levels = zip(*(features for features, _ in kept), strict=True)
    features = [torch.stack(level).flip(flips).contiguous(memory_format=torch.channels_last) for level in levels]
    return features, torch.stack([labels for _, labels in kept]).flip([axis - 1 for axis in flips])


def _cosine(share: float) -> float:
    return 0.5 * (1 + float(np.cos(np.pi * min(1.0, share)))) + 0.01


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


@torch.no_grad()
def _follow(mean: UNet, network: UNet, keep: float) -> None:
    """Move the running mean a step towards the network."""
    for slow, fast in zip(mean.state_dict().values(), network.state_dict().values(), strict=True):
        if slow.is_floating_point():
            slow.lerp_(fast, 1 - keep)
        else:
            slow.copy_(fast)
