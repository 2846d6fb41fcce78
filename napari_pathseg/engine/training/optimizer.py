"""How steps are made: which weights move, how far, and how that changes with time."""

import math
from dataclasses import dataclass

from torch import nn, optim

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.networks import Network

_MOMENTUM = 0.9  # of SGD
_MANY_INPUTS, _USUAL_INPUTS = 8192, 1024  # of one output; fc6 of FCN-8s has 25,088
_FIRST_SHARE = 0.05  # of the step size, at the first step of a warm-up
_LONGEST_WARM_UP = 200  # steps
_PEAK = 0.3  # share of the time at which one-cycle is highest; Smith and Topin 2018
_LAST_SHARE = 0.01  # of the step size, at the end of a cosine


def build_optimizer(network: Network, config: TrainConfig, *, decoder_only: bool = False) -> optim.Optimizer:
    """Return the optimiser of a network.

    Each of its groups has a ``scale``: the share of the step size that it takes.  Weights of very
    many inputs take less, for these move what comes out together.  Only what
    :meth:`Network.decayed_parameters` names is pulled towards zero.
    """
    decayed = {id(parameter) for parameter in network.decayed_parameters()}
    parts = [(network.decoder_parameters(), 1.0)]
    if not decoder_only and config.encoder_lr_scale > 0:
        parts.append((network.encoder_parameters(), config.encoder_lr_scale * network.encoder_share))
    alike: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for parameters, scale in parts:
        for parameter in parameters:
            alike.setdefault((id(parameter) in decayed, scale * _fan_in_scale(parameter)), []).append(parameter)
    groups = [
        {"params": chosen, "weight_decay": config.weight_decay if decays else 0.0, "scale": scale}
        for (decays, scale), chosen in alike.items()
    ]
    rate = config.decoder_learning_rate if decoder_only else config.learning_rate
    match config.optimizer:
        case "sgd":
            return optim.SGD(groups, rate, momentum=_MOMENTUM, nesterov=True, fused=True)
        case "adam":
            return optim.Adam(groups, rate, fused=True)
    return optim.AdamW(groups, rate, fused=True)


def _fan_in_scale(parameter: nn.Parameter) -> float:
    """Return the share of the step size for weights of very many inputs, 1 for all others."""
    inputs = parameter[0].numel() if parameter.ndim > 1 else 1
    return 1.0 if inputs <= _MANY_INPUTS else _USUAL_INPUTS / inputs


def set_learning_rate(optimizer: optim.Optimizer, rate: float) -> None:
    """Give all groups a step size, each its share of it."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


def freeze_encoder(network: Network, *, frozen: bool) -> None:
    """Let the encoder's weights learn, or keep them as they are."""
    for parameter in network.encoder_parameters():
        parameter.requires_grad_(not frozen)


def train_mode(network: nn.Module) -> None:
    """Let a network learn; what is frozen keeps its statistics."""
    network.train()
    for module in network.modules():
        own = list(module.parameters(recurse=False))
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and own and not any(p.requires_grad for p in own):
            module.eval()


@dataclass
class LearningRateSchedule:
    """What is left of the step size: a factor from the share of the time that is over.

    Attributes
    ----------
    config
        Its `schedule`, and the numbers that belong to it.
    steps_per_epoch
        Steps in which all labelled places are seen once.
    reductions, stale
        How often a plateau was met, and validations since the best.
    """

    config: TrainConfig
    steps_per_epoch: int
    reductions: int = 0
    stale: int = 0

    @property
    def name(self) -> str:
        """The schedule; "auto" is a cosine, for the preset thorough a plateau."""
        if self.config.schedule != "auto":
            return self.config.schedule
        return "plateau" if self.config.preset == "thorough" else "cosine"

    def factor(self, share: float, step: int) -> float:
        """Return the factor at a share of the time, from 0 to 1, and a number of steps."""
        share = min(1.0, share)
        if self.name == "one-cycle":
            return _one_cycle(share)
        return self._warm_up(share, step) * self._decay(share, step)

    def _warm_up(self, share: float, step: int) -> float:
        if self.config.warm_up == 0:
            return 1.0
        return min(1.0, _FIRST_SHARE + max(share / self.config.warm_up, step / _LONGEST_WARM_UP))

    def _decay(self, share: float, step: int) -> float:
        match self.name:
            case "cosine":
                return 0.5 * (1 + math.cos(math.pi * share)) * (1 - _LAST_SHARE) + _LAST_SHARE
            case "plateau":
                return float(self.config.plateau_factor**self.reductions)
            case "staircase":
                return float(self.config.staircase_factor ** (step // self.steps_per_epoch))
        return 1.0

    def validated(self, *, best: bool) -> None:
        """Take note of a validation: a plateau lowers the step size."""
        self.stale = 0 if best else self.stale + 1
        if self.name == "plateau" and self.stale > self.config.plateau_patience:
            self.reductions, self.stale = self.reductions + 1, 0


def _one_cycle(share: float) -> float:
    """Rise to 1 and fall to nearly nothing, both as cosines."""
    if share < _PEAK:
        return _FIRST_SHARE + (1 - _FIRST_SHARE) * 0.5 * (1 - math.cos(math.pi * share / _PEAK))
    return 0.5 * (1 + math.cos(math.pi * (share - _PEAK) / (1 - _PEAK))) * (1 - 1e-3) + 1e-3
