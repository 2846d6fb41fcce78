"""Optimizer and learning rate: which weights are trained, how fast, and how that changes over time."""

import math
from dataclasses import dataclass

from torch import nn, optim

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.networks import Network

_MOMENTUM = 0.9  # of SGD
_MAX_FAN_IN, _USUAL_FAN_IN = 8192, 1024  # fc6 of FCN-8s has 25,088
_START_FACTOR = 0.05  # on the learning rate, at the first step of a warm-up
_MAX_WARM_UP_STEPS = 200
_PEAK = 0.3  # fraction of the time at which one-cycle is highest; Smith and Topin 2018
_COSINE_END_FACTOR = 0.01
_ONE_CYCLE_END_FACTOR = 1e-3


def build_optimizer(network: Network, config: TrainConfig, *, decoder_only: bool = False) -> optim.Optimizer:
    """Return the optimizer of a network.

    Each of its groups has a ``scale``, a factor on the learning rate.  Layers with a very large
    fan-in have a smaller one, because the changes of their inputs add up in the output.  Weight
    decay applies to :meth:`Network.decayed_parameters` only.
    """
    decayed = {id(parameter) for parameter in network.decayed_parameters()}
    scaled = [(network.decoder_parameters(), 1.0)]
    if not decoder_only and config.encoder_lr_scale > 0:
        scaled.append((network.encoder_parameters(), config.encoder_lr_scale * network.encoder_share))
    grouped: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for parameters, scale in scaled:
        for parameter in parameters:
            grouped.setdefault((id(parameter) in decayed, scale * _fan_in_scale(parameter)), []).append(parameter)
    groups = [
        {"params": parameters, "weight_decay": config.weight_decay if decays else 0.0, "scale": scale}
        for (decays, scale), parameters in grouped.items()
    ]
    learning_rate = config.decoder_learning_rate if decoder_only else config.learning_rate
    match config.optimizer:
        case "sgd":
            return optim.SGD(groups, learning_rate, momentum=_MOMENTUM, nesterov=True, fused=True)
        case "adam":
            return optim.Adam(groups, learning_rate, fused=True)
    return optim.AdamW(groups, learning_rate, fused=True)


def _fan_in_scale(parameter: nn.Parameter) -> float:
    """Return the factor on the learning rate for weights of a very large fan-in, 1 for all others."""
    fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
    return 1.0 if fan_in <= _MAX_FAN_IN else _USUAL_FAN_IN / fan_in


def set_learning_rate(optimizer: optim.Optimizer, learning_rate: float) -> None:
    """Set the learning rate of all groups, multiplied by the scale of each."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group["scale"]


def freeze_encoder(network: Network, *, frozen: bool) -> None:
    """Exclude the encoder's weights from training, or include them again."""
    for parameter in network.encoder_parameters():
        parameter.requires_grad_(not frozen)


def train_mode(network: nn.Module) -> None:
    """Set a network to training mode; frozen normalisation layers keep their statistics."""
    network.train()
    for module in network.modules():
        parameters = list(module.parameters(recurse=False))
        frozen = bool(parameters) and not any(parameter.requires_grad for parameter in parameters)
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and frozen:
            module.eval()


@dataclass
class LearningRateSchedule:
    """The factor on the learning rate, as a function of training progress.

    Attributes
    ----------
    config
        Its `schedule`, and the settings of that schedule.
    steps_per_epoch
        Steps in which the labelled area is seen once.
    reductions, stale
        Number of plateaus so far, and of validations since the best one.
    """

    config: TrainConfig
    steps_per_epoch: int
    reductions: int = 0
    stale: int = 0

    @property
    def name(self) -> str:
        """The schedule; "auto" is "plateau" for the preset thorough, "cosine" for the others."""
        if self.config.schedule != "auto":
            return self.config.schedule
        return "plateau" if self.config.preset == "thorough" else "cosine"

    def factor(self, progress: float, step: int) -> float:
        """Return the factor at a progress of 0 to 1 and after a number of steps."""
        progress = min(1.0, progress)
        if self.name == "one-cycle":
            return _one_cycle(progress)
        return self._warm_up(progress, step) * self._decay(progress, step)

    def _warm_up(self, progress: float, step: int) -> float:
        if self.config.warm_up == 0:
            return 1.0
        return min(1.0, _START_FACTOR + max(progress / self.config.warm_up, step / _MAX_WARM_UP_STEPS))

    def _decay(self, progress: float, step: int) -> float:
        match self.name:
            case "cosine":
                return _cosine(1.0, _COSINE_END_FACTOR, progress)
            case "plateau":
                return float(self.config.plateau_factor**self.reductions)
            case "staircase":
                return float(self.config.staircase_factor ** (step // self.steps_per_epoch))
        return 1.0

    def validated(self, *, best: bool) -> None:
        """Note a validation: after too many without improvement, a plateau schedule lowers the learning rate."""
        self.stale = 0 if best else self.stale + 1
        if self.name == "plateau" and self.stale > self.config.plateau_patience:
            self.reductions, self.stale = self.reductions + 1, 0


def _one_cycle(progress: float) -> float:
    """Return the factor of a cosine rise to 1, followed by a cosine fall to nearly 0."""
    if progress < _PEAK:
        return _cosine(_START_FACTOR, 1.0, progress / _PEAK)
    return _cosine(1.0, _ONE_CYCLE_END_FACTOR, (progress - _PEAK) / (1 - _PEAK))


def _cosine(start: float, end: float, progress: float) -> float:
    """Return the value of a half cosine from `start` to `end` at a progress of 0 to 1."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * progress))
