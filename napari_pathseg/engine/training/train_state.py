"""One training step: forward, loss, backward, clipping, optimizer, and the EMA of the weights.

`TrainState` contains everything that a step changes.  It does not know where tiles come from, when
to stop, or what is written to disk.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.device import Device
from napari_pathseg.engine.evaluation.metrics import Confusion, mean_dice
from napari_pathseg.engine.networks import Network
from napari_pathseg.engine.training.distributed import ProcessGroup, RankCommand
from napari_pathseg.engine.training.losses import build_loss
from napari_pathseg.engine.training.optimizer import build_optimizer, freeze_encoder, set_learning_rate, train_mode

# An update of the EMA takes a tenth of a step, so larger networks are averaged less often.
_PARAMETERS_PER_STEP = 20_000_000
_SMOOTHING = 0.9  # of the displayed loss and Dice
_DICE_INTERVAL = 5  # steps between measurements of the Dice of a batch


@dataclass(frozen=True)
class Batch:
    """Tiles on the device: pixels (n, 3, rows, columns), labels and weights (n, rows, columns), context like pixels."""

    pixels: Tensor
    labels: Tensor
    weights: Tensor | None = None
    context: Tensor | None = None


class TrainState:
    """A network in training, its optimizer, and the exponential moving average (EMA) of its weights.

    Attributes
    ----------
    network, ema_model
        The trained network, and the network with averaged weights, which is validated and saved.
    step
        Number of steps in all stages.
    ema_step
        Number of them that the EMA has seen: it is updated at intervals, and by :meth:`update_ema`.
    loss, training_dice, training_accuracy
        Running means of the loss, and of the Dice and the accuracy of the training tiles; None until they are known.
    rng_state
        State of the random number generator for dropout.
    """

    def __init__(
        self,
        network: Network,
        device: Device,
        config: TrainConfig,
        pixels_by_class: Sequence[int],
        group: ProcessGroup | None = None,
    ) -> None:
        self.network, self.device, self.config, self._group = network, device, config, group
        self._ema = AveragedModel(network, use_buffers=True).eval().requires_grad_(False)
        self._ema.n_averaged.fill_(1)  # the average starts at the initial weights, not at the first update
        self.ema_model = cast(Network, self._ema.module)
        size = sum(parameter.numel() for parameter in network.parameters())
        self._ema_interval = 2 + size // _PARAMETERS_PER_STEP  # in steps
        reduction = {} if group is None else {"all_reduce": group.all_reduce}
        self._loss = build_loss(config, pixels_by_class, **reduction)
        self._forward: Any = network
        self.step = self.ema_step = 0
        self.loss: float | None = None
        self.training_dice: float | None = None
        self.training_accuracy: float | None = None
        self.rng_state = torch.Generator().manual_seed(config.seed).get_state()
        self.optimizer = build_optimizer(network, config)

    # -- one step

    def training_step(self, batches: list[Batch], learning_rate: float) -> float:
        """Perform a step on the accumulated gradients of `batches`; return the loss, NaN if nothing changed."""
        if self._group is not None and self._group.together and self._group.rank == 0:
            self._group.broadcast(RankCommand.STEP, learning_rate, len(batches))
            self._group.in_step = True
        with self._own_rng():
            self.optimizer.zero_grad(set_to_none=True)
            loss = 0.0
            for number, batch in enumerate(batches, 1):
                with self._gradient_sync(number == len(batches)):
                    with self.device.autocast():
                        logits = self._forward(batch.pixels, batch.context)
                    loss += self._backward(logits, batch, len(batches))
            changed = self._apply_gradients(loss, learning_rate)
        if self._group is not None:
            self._group.in_step = False
        if self.step % _DICE_INTERVAL == 0:
            self._update_training_scores(logits.detach(), batches[-1].labels)
        return loss if changed else math.nan

    def decoder_step(self, features: list[Tensor], batch: Batch, learning_rate: float) -> float:
        """Perform a step of the decoder on cached encoder features; return the loss, NaN if nothing changed."""
        with self._own_rng():
            self.optimizer.zero_grad(set_to_none=True)
            with self.device.autocast():
                logits = self.network.decode(features)
            loss = self._backward(logits, batch, 1)
            return loss if self._apply_gradients(loss, learning_rate) else math.nan

    def _backward(self, logits: Tensor, batch: Batch, accumulate: int) -> float:
        loss = self._loss(logits, batch.labels, batch.weights) / accumulate
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def _apply_gradients(self, loss: float, learning_rate: float) -> bool:
        """Clip the gradients, step, and update the EMA; if they are not finite, change nothing and return False."""
        parameters = [parameter for parameter in self.network.parameters() if parameter.grad is not None]
        norm = nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        if not math.isfinite(loss) or not torch.isfinite(norm):
            return False
        if self.config.gradient_clip_norm and norm > self.config.gradient_clip_norm:
            nn.utils.clip_grads_with_norm_(parameters, self.config.gradient_clip_norm, norm)
        set_learning_rate(self.optimizer, learning_rate)
        self.optimizer.step()
        self.step += 1
        self.loss = _running_mean(self.loss, loss)
        if self.step % self._ema_interval == 0:
            self.update_ema()
        return True

    def update_ema(self) -> None:
        """Bring the EMA up to date; the steps since the last update count together."""
        steps = self.step - self.ema_step
        if steps > 0:  # the decay rises at first, so that the initial weights fade quickly
            self._average(min(self.config.ema_decay, self.step / (self.step + 10)) ** steps)

    def _average(self, decay: float) -> None:
        """Average the EMA with the network's weights; `decay` is the weight of the old average."""
        self.ema_step = self.step
        self._ema.multi_avg_fn = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        self._ema.update_parameters(self.network)
        for averaged, current in zip(self.ema_model.buffers(), self.network.buffers(), strict=True):
            if not averaged.is_floating_point():  # a count of batches; a rounded average would lag behind
                averaged.copy_(current)

    def _update_training_scores(self, logits: Tensor, labels: Tensor) -> None:
        confusion = Confusion.empty(logits.shape[1])
        confusion.add(labels.cpu().numpy(), (logits.argmax(dim=1) + 1).to(torch.uint8).cpu().numpy())
        self.training_dice = _running_mean(self.training_dice, mean_dice(confusion))
        self.training_accuracy = _running_mean(self.training_accuracy, confusion.pixel_accuracy)

    def _gradient_sync(self, wanted: bool) -> AbstractContextManager[Any]:
        """Average gradients over the group inside the block only if `wanted`; once per step is enough."""
        if wanted or self._group is None or not self._group.together:
            return nullcontext()
        unsynced: AbstractContextManager[Any] = self._forward.no_sync()
        return unsynced

    @contextmanager
    def _own_rng(self) -> Iterator[None]:
        """Make torch draw from `rng_state` inside the block, without changing the global generator."""
        global_state = torch.get_rng_state()
        torch.set_rng_state(self.rng_state)
        try:
            yield
        finally:
            self.rng_state = torch.get_rng_state()
            torch.set_rng_state(global_state)

    # -- between stages

    def reset_optimizer(self, *, decoder_only: bool) -> None:
        """Start a stage with a new optimizer for the decoder or the whole network."""
        freeze_encoder(self.network, frozen=decoder_only or self.config.encoder_lr_scale == 0)
        self.optimizer = build_optimizer(self.network, self.config, decoder_only=decoder_only)
        train_mode(self.network)

    def restart_from(self, weights: dict[str, Tensor]) -> None:
        """Load `weights` into the network and the EMA, with a new optimizer."""
        self.network.load_state_dict(weights)
        self._average(0.0)
        self.loss = None
        self.reset_optimizer(decoder_only=False)

    def adopt_fit(self) -> None:
        """Count as a step that the network's weights were fitted in closed form; the EMA is these weights."""
        self.step += 1
        self._average(0.0)

    def join_group(self, *, fresh: bool) -> None:
        """Share each further step with the group, from rank 0's weights, with a new optimizer if `fresh`."""
        if self._group is None:
            return
        if self._group.rank == 0:
            self._group.broadcast(RankCommand.START if fresh else RankCommand.RESUME)
        self._group.broadcast_weights(self.network)
        if fresh:
            self.reset_optimizer(decoder_only=False)
        self._forward = self._group.wrap(self.network)
        self._group.together = True

    # -- checkpoints

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors of a checkpoint: weights, EMA, optimizer, random numbers."""
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= {f"mean.{name}": tensor for name, tensor in self.ema_model.state_dict().items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in values.items() if tensor is not None}
        return tensors | {"chance": self.rng_state}

    def load_tensors(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Continue from :meth:`tensors` and the steps and loss in `numbers`."""
        self.network.load_state_dict(_with_prefix("network.", tensors))
        self.ema_model.load_state_dict(_with_prefix("mean.", tensors))
        self.reset_optimizer(decoder_only=False)
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _with_prefix("optimizer.", tensors).items():
            index, _, part = name.partition(".")
            state.setdefault(int(index), {})[part] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        for parameter, values in self.optimizer.state.items():  # in the memory format of their weights
            for name, tensor in values.items():
                if tensor.shape == parameter.shape:
                    values[name] = torch.empty_like(parameter).copy_(tensor)
        self.rng_state = tensors["chance"]
        self.step, self.loss = int(numbers["step"]), numbers["loss"]
        self.ema_step = numbers.get("ema_step", self.step - self.step % self._ema_interval)  # as in older versions


def _running_mean(previous: float | None, value: float) -> float:
    return value if previous is None else _SMOOTHING * previous + (1 - _SMOOTHING) * value


def _with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
