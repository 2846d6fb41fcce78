"""A network that learns: forward, loss, backward, step, and the running mean that counts.

What it does not know: where tiles come from, when to stop, what is written.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.device import Device
from napari_pathseg.engine.evaluation.metrics import Confusion, mean_dice
from napari_pathseg.engine.networks import Network
from napari_pathseg.engine.training.distributed import ProcessGroup, RankCommand
from napari_pathseg.engine.training.losses import build_loss
from napari_pathseg.engine.training.optimizer import build_optimizer, freeze_encoder, set_learning_rate, train_mode

_PARAMETERS_A_STEP = 20_000_000  # larger networks move their running mean less often: it is a tenth of a step
_SMOOTHING = 0.9  # of the loss and the Dice that are shown
_LOOK = 5  # steps between two looks at the Dice of a batch


@dataclass(frozen=True)
class Batch:
    """Tiles on the device: pixels (n, 3, rows, columns), labels (n, rows, columns), weights like them, context."""

    pixels: Tensor
    labels: Tensor
    weights: Tensor | None = None
    context: Tensor | None = None


class TrainState:
    """A network, the optimiser that moves it, and the running mean of its weights.

    Attributes
    ----------
    network, ema_model
        What learns, and what counts: the mean that follows it.
    step
        Steps made in all stages.
    loss, training_dice
        Running means of the loss, and of the Dice of the tiles that are learnt from; None before
        they are known.
    """

    def __init__(
        self,
        network: Network,
        device: Device,
        config: TrainConfig,
        pixels_by_class: Sequence[int],
        group: ProcessGroup | None = None,
    ) -> None:
        self.network, self.device, self.config = network, device, config
        self.ema_model: Network = deepcopy(network).eval()
        for parameter in self.ema_model.parameters():
            parameter.requires_grad_(False)
        self._group = group
        self._loss = (
            build_loss(config, pixels_by_class, group.all_reduce) if group else build_loss(config, pixels_by_class)
        )
        self._forward: Any = network
        self.step = 0
        self.loss: float | None = None
        self.training_dice: float | None = None
        self.rng_state = torch.Generator().manual_seed(config.seed).get_state()  # what dropout draws from
        size = sum(parameter.numel() for parameter in network.parameters())
        self._ema_every = 2 + size // _PARAMETERS_A_STEP
        self._ema_pairs = _ema_pairs(self.ema_model, network)
        self.optimizer = build_optimizer(network, config)

    def reset_optimizer(self, *, decoder_only: bool) -> None:
        """Begin a stage with a fresh optimiser, of the decoder or of everything."""
        freeze_encoder(self.network, frozen=decoder_only or self.config.encoder_lr_scale == 0)
        self.optimizer = build_optimizer(self.network, self.config, decoder_only=decoder_only)
        train_mode(self.network)

    def training_step(self, batches: list[Batch], rate: float) -> float:
        """Make one step on the gradients of all `batches` together; return the loss."""
        if self._group is not None and self._group.together and self._group.rank == 0:
            self._group.broadcast(RankCommand.STEP, rate, len(batches))
            self._group.in_step = True
        with self._own_rng():
            self.optimizer.zero_grad(set_to_none=True)
            total = 0.0
            for number, batch in enumerate(batches, 1):
                with self._unshared(number < len(batches)):
                    with self.device.autocast():
                        logits = self._forward(batch.pixels, batch.context)
                    total += self._backward(logits, batch, len(batches))
            moved = self._apply_gradients(rate, total)
        if self._group is not None:
            self._group.in_step = False
        if self.step % _LOOK == 0:
            self._update_training_dice(logits.detach(), batches[-1].labels)
        return total if moved else math.nan

    def decoder_step(self, features: list[Tensor], batch: Batch, rate: float) -> float:
        """Make one step of the decoder on the encoder's features of a batch."""
        with self._own_rng():
            self.optimizer.zero_grad(set_to_none=True)
            with self.device.autocast():
                logits = self.network.decode(features)
            total = self._backward(logits, batch, 1)
            return total if self._apply_gradients(rate, total) else math.nan

    def _backward(self, logits: Tensor, batch: Batch, parts: int) -> float:
        loss = self._loss(logits, batch.labels, batch.weights) / parts
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def _apply_gradients(self, rate: float, loss: float) -> bool:
        """Apply the gradients and update the EMA; return False, changing nothing, if they are not finite."""
        learning = [parameter for parameter in self.network.parameters() if parameter.grad is not None]
        length = nn.utils.get_total_norm([parameter.grad for parameter in learning if parameter.grad is not None])
        if not math.isfinite(loss) or not torch.isfinite(length):
            return False
        if self.config.gradient_clip_norm and length > self.config.gradient_clip_norm:
            nn.utils.clip_grads_with_norm_(learning, self.config.gradient_clip_norm, length)
        set_learning_rate(self.optimizer, rate)
        self.optimizer.step()
        self.step += 1
        self.loss = loss if self.loss is None else _SMOOTHING * self.loss + (1 - _SMOOTHING) * loss
        if self.step % self._ema_every == 0:
            self.update_ema(min(self.config.ema_decay, self.step / (self.step + 10)) ** self._ema_every)
        return True

    def join_group(self, *, fresh: bool) -> None:
        """Share each step with the group from now on, from the leader's weights; `fresh` begins the optimiser anew."""
        if self._group is None:
            return
        if self._group.rank == 0:
            self._group.broadcast(RankCommand.START if fresh else RankCommand.RESUME)
        self._group.broadcast_weights(self.network)
        if fresh:
            self.reset_optimizer(decoder_only=False)
        self._forward = self._group.wrap(self.network)
        self._group.together = True

    def _update_training_dice(self, logits: Tensor, labels: Tensor) -> None:
        """Take note of how well the tiles of a step are told."""
        confusion = Confusion.empty(logits.shape[1])
        confusion.add(labels.cpu().numpy(), (logits.argmax(dim=1) + 1).to(torch.uint8).cpu().numpy())
        dice, kept = mean_dice(confusion), self.training_dice
        self.training_dice = dice if kept is None else _SMOOTHING * kept + (1 - _SMOOTHING) * dice

    @torch.no_grad()
    def update_ema(self, keep: float) -> None:
        """Move the running mean towards the network; `keep` is what stays of it."""
        slow, fast, counters = self._ema_pairs
        torch._foreach_lerp_(slow, fast, 1 - keep)
        for mean, now in counters:
            mean.copy_(now)

    def restart_from(self, weights: dict[str, Tensor]) -> None:
        """Go back to `weights`, the running mean too, with a fresh optimiser."""
        self.network.load_state_dict(weights)
        self.update_ema(0.0)
        self.loss = None
        self.reset_optimizer(decoder_only=False)

    def _unshared(self, wanted: bool) -> AbstractContextManager[Any]:
        """Keep gradients from the group inside the block, where that is `wanted`: they are shared once a step."""
        if self._group is None or not self._group.together or not wanted:
            return nullcontext()
        unshared: AbstractContextManager[Any] = self._group.fabric.no_backward_sync(self._forward)
        return unshared

    @contextmanager
    def _own_rng(self) -> Iterator[None]:
        """Let torch draw from the state's own random numbers inside the block; the world's stay as they were."""
        world = torch.get_rng_state()
        torch.set_rng_state(self.rng_state)
        try:
            yield
        finally:
            self.rng_state = torch.get_rng_state()
            torch.set_rng_state(world)

    # -- what a checkpoint holds

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors that it takes to go on: weights, running mean, optimiser, chance."""
        kept = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        kept |= {f"mean.{name}": tensor for name, tensor in self.ema_model.state_dict().items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            kept |= {f"optimizer.{index}.{name}": tensor for name, tensor in values.items() if tensor is not None}
        return kept | {"chance": self.rng_state}

    def load_tensors(self, kept: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Go on from :meth:`tensors` and the step and loss in `numbers`."""
        self.network.load_state_dict(_below("network.", kept))
        self.ema_model.load_state_dict(_below("mean.", kept))
        self.reset_optimizer(decoder_only=False)
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _below("optimizer.", kept).items():
            index, _, part = name.partition(".")
            state.setdefault(int(index), {})[part] = tensor
        whole = self.optimizer.state_dict()
        self.optimizer.load_state_dict({"state": state, "param_groups": whole["param_groups"]})
        for parameter, values in self.optimizer.state.items():  # in the layout of the weights they belong to
            for name, tensor in values.items():
                if tensor.shape == parameter.shape:
                    values[name] = torch.empty_like(parameter).copy_(tensor)
        self.rng_state = kept["chance"]
        self.step, self.loss = int(numbers["step"]), numbers["loss"]


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _ema_pairs(mean: nn.Module, network: nn.Module) -> tuple[list[Tensor], list[Tensor], list[tuple[Tensor, Tensor]]]:
    """Return the tensors of both that are averaged, and the counters that are copied."""
    slow, fast, counters = [], [], []
    for ours, theirs in zip(mean.state_dict().values(), network.state_dict().values(), strict=True):
        if ours.is_floating_point():
            slow.append(ours)
            fast.append(theirs)
        else:
            counters.append((ours, theirs))
    return slow, fast, counters
