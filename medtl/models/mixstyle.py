"""MixStyle: features in the style of other scans, inside a timm backbone, while it trains."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext, suppress
from typing import Any

import torch
from torch import Tensor, nn

from medtl.errors import InputError
from medtl.models.chunks import statistics_fixed

#: As in the authors' code.
EPSILON = 1e-6
#: Instances of a batch that lend their style: enough partners, whatever the slices of a volume.
LENDERS = 64


def mix_styles(features: Tensor, mean: Tensor, deviation: Tensor, share: Tensor, channel: int = 1) -> Tensor:
    """Features (n, ..., C, ...) whose style is mixed with another (Zhou et al., ICLR 2021, arXiv:2104.02008).

    The style of an instance is the mean and the deviation of each channel over its places. What is normalised by its
    own takes `share` of its own and the rest of the other's (the paper's gamma_mix and beta_mix); no gradient flows
    through a style.

    Args:
        features: (n, C, H, W), or with the channels last, such as (n, tokens, C).
        mean: (n, C) of the other instance.
        deviation: (n, C) of the other instance.
        share: (n,) lambda in [0, 1]; 1 leaves an instance as it is.
        channel: the axis of the channels.
    """
    own_mean, own_deviation = style_of(features, channel)
    share = share[:, None]
    new_mean = share * own_mean + (1 - share) * mean
    new_deviation = share * own_deviation + (1 - share) * deviation
    shape = [len(features), *(1 for _ in features.shape[1:])]
    shape[channel] = features.shape[channel]
    scale = (new_deviation / own_deviation).view(shape)
    return features * scale + (new_mean.view(shape) - own_mean.view(shape) * scale)


@torch.no_grad()
def style_of(features: Tensor, channel: int = 1) -> tuple[Tensor, Tensor]:
    """Mean and deviation, each (n, C), of every channel over its places, without gradient; in float32."""
    places = [axis for axis in range(1, features.ndim) if axis != channel % features.ndim]
    variance, mean = torch.var_mean(features.float(), places, correction=0)
    return mean, (variance + EPSILON).sqrt()


class MixStyle:
    """Mixes the styles of scans after the first two stages of a backbone: hooks, that is no parameter and no buffer.

    A method shows source and target to the backbone one after the other. So the styles of all of a step's scans are
    collected beforehand (`collect`); then each forward pass in training takes, with probability `p`, for each instance
    the style of a random one of them, of its own site or another. In evaluation mode nothing happens; a state dict, a
    copy made from it and an exported model know nothing of it.

    The stages are those whose output is a quarter and an eighth of the input's side (the first two residual stages of
    a ResNet, where the paper does it), read from timm's `feature_info`; a backbone that has not both, such as a vision
    transformer, has its first two.

    All numbers come from torch's own generator on the CPU, so that a part that is computed again for its gradient
    (torch.utils.checkpoint) is mixed as it was.

    Args:
        backbone: a timm model.
        p: how often; 0.5 is the paper's.
        alpha: of Beta(alpha, alpha), which gives the share of the own style; 0.1 is the paper's.

    Raises:
        InputError: the backbone does not say what its stages are.
    """

    def __init__(self, backbone: nn.Module, p: float = 0.5, alpha: float = 0.1) -> None:
        self.backbone, self.p, self.alpha = backbone, p, alpha
        self.stages = first_stages(backbone)
        self.bank: dict[str, tuple[Tensor, Tensor]] = {}
        self._collecting: dict[str, list[tuple[Tensor, Tensor]]] | None = None
        for name, channels in self.stages.items():
            stage = backbone.get_submodule(name)
            stage.register_forward_hook(self._hook(stage, name, channels))

    def collect(self, batches: Sequence[Tensor], fixed: bool = False) -> None:
        """Fill the bank with the styles of the instances of each of a step's batches; no gradient, no state changes.

        Each batch passes by itself and, as in training, through batch statistics of its own, or `fixed` ones. The pass
        ends after the last stage that is mixed.

        Args:
            batches: (instances, C, H, W) of each role; of more than 64 instances an evenly spaced 64 are taken.
            fixed: whether the training fixes the batch statistics (`Classifier.fixed`).
        """
        norms = [module for module in self.backbone.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        tracking = [norm.track_running_stats for norm in norms]
        self._collecting = {name: [] for name in self.stages}
        try:
            for norm in norms:
                norm.track_running_stats = False  # batch statistics, and the running ones stay
            still = statistics_fixed(self.backbone) if fixed else nullcontext()
            with torch.no_grad(), torch.random.fork_rng(devices=[]), still:
                for pixels in batches:
                    self._pass(pixels[:: -(-len(pixels) // LENDERS)])
            self.bank = {
                name: (torch.cat([mean for mean, _ in found]), torch.cat([deviation for _, deviation in found]))
                for name, found in self._collecting.items()
            }
        finally:
            self._collecting = None
            for norm, tracked in zip(norms, tracking, strict=True):
                norm.track_running_stats = tracked

    def _pass(self, pixels: Tensor) -> None:
        with suppress(_Enough):
            self.backbone(pixels)

    def _hook(self, stage: nn.Module, name: str, channels: int) -> Any:
        last = name == list(self.stages)[-1]

        def hook(module: nn.Module, inputs: Any, features: Tensor) -> Tensor | None:
            if module is not stage:  # of a copy
                return None
            channel = 1 if features.ndim == 4 and features.shape[1] == channels else -1
            if self._collecting is not None:
                self._collecting[name].append(style_of(features, channel))
                if last:
                    raise _Enough
                return None
            if not module.training or name not in self.bank:
                return None
            return self._mixed(name, features, channel)

        return hook

    def _mixed(self, name: str, features: Tensor, channel: int) -> Tensor | None:
        n = len(features)
        share = torch.distributions.Beta(self.alpha, self.alpha).sample((n,)).to(features.device)
        mean, deviation = self.bank[name]
        other = torch.randint(len(mean), (n,)).to(features.device)
        if float(torch.rand(())) >= self.p:
            return None
        return mix_styles(features, mean[other], deviation[other], share, channel).to(features.dtype)


def first_stages(backbone: nn.Module) -> dict[str, int]:
    """Module name -> channels of the two stages whose styles are mixed: see `MixStyle`.

    Raises:
        InputError: the backbone does not say what its stages are.
    """
    found = list(getattr(backbone, "feature_info", None) or [])
    stages = [stage for stage in found if stage["reduction"] in (4, 8)]
    if len(stages) != 2:
        stages = found[:2]
    if len(stages) < 2:
        raise InputError(
            f"MixStyle needs a backbone that names its stages, and {type(backbone).__name__} does not: take mixstyle "
            "out of `harmonise`, or take another backbone"
        )
    return {stage["module"]: stage["num_chs"] for stage in stages}


class _Enough(Exception):  # noqa: N818 - no fault
    """Ends a forward pass after the last stage that is looked at."""
