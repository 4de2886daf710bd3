"""TENT: at the new site only the normalisation moves, until the predictions are sure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from medtl.errors import InputError
from medtl.methods.base import Batch, Method
from medtl.methods.losses import entropy
from medtl.methods.unlabelled import look_at_home
from medtl.models import Classifier

BATCH_NORM = nn.modules.batchnorm._BatchNorm


def diversity(mean: Tensor) -> Tensor:
    """The entropy of a mean prediction (K,), in nats: 0 where all scans are called the same."""
    return -(mean * mean.clamp_min(1e-8).log()).sum()


class TENT(Method):
    """TENT, which needs no source scans (Wang et al., ICLR 2021, arXiv:2006.10726).

    The scale and offset of the batch normalisation minimise the entropy of the predictions; the batch statistics are
    the target's, all other weights and the dropout stay still.

    Entropy is lowest where every scan is called the same. So a guard looks at the mean prediction, averaged over the
    last batches: where its diversity falls below a share of what it was at the start, the scale and offset go back to
    the start, as in SAR (Niu et al., ICLR 2023, arXiv:2302.12400), which watches the entropy, and RDumb (Press et al.,
    NeurIPS 2023, arXiv:2306.05401), which goes back every 1000 steps. Whether they do is decided on the device: nothing
    waits for it. The optimiser keeps its momentum.

    Args:
        classifier: is adapted.
        keep: the share of the start's diversity below which it has collapsed; 0.5, as the rule that chooses what is
            handed over takes for the information.
        memory: of the average over batches, 0.9 as in SAR.

    Raises:
        InputError: the backbone has no batch normalisation: that of the bottleneck alone cannot adapt it.
    """

    roles = ("target",)
    own_statistics = True
    one_class = True
    start: Tensor
    start_mean: Tensor
    batch_mean: Tensor
    recent_mean: Tensor
    restored: Tensor

    def __init__(self, classifier: Classifier, keep: float = 0.5, memory: float = 0.9) -> None:
        super().__init__(classifier)
        self.keep, self.memory = keep, memory
        if not any(isinstance(module, BATCH_NORM) for module in classifier.backbone.modules()):
            raise InputError(
                "tent moves batch normalisation alone, and this backbone has none: choose shot, or a backbone that has "
                "it, such as the default"
            )
        learns = {id(p) for m in classifier.modules() if isinstance(m, BATCH_NORM) for p in m.parameters()}
        for parameter in classifier.parameters():
            parameter.requires_grad_(parameter.requires_grad and id(parameter) in learns)
        self.register_buffer("start", torch.cat([p.detach().flatten() for p in self._moved()]))
        self.register_buffer("start_mean", torch.zeros(0))  # (K,) the mean prediction before the first step
        self.register_buffer("recent_mean", torch.zeros(0))  # (K,) and over the last batches
        self.register_buffer("batch_mean", torch.zeros(0), persistent=False)
        self.register_buffer("restored", torch.zeros(()))

    def train(self, mode: bool = True) -> TENT:
        """As torch's, dropout excepted."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.eval()
        return self

    def prepare(self, data: Any, progress: float) -> None:
        """See how diverse the predictions are before the first step."""
        if not len(self.start_mean):
            here = look_at_home(self.classifier, data["target"].cohort)
            self.start_mean = here.logits.softmax(dim=1).mean(dim=0)
            self.recent_mean = self.start_mean.clone()

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """The entropy of the predictions."""
        logits = self.forward(batch["target"]).logits
        self.batch_mean = logits.detach().float().softmax(dim=1).mean(dim=0)
        return {"entropy": entropy(logits).mean()}

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        """Go back to the start where the predictions have become all alike."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():  # all go back, or none
            torch.distributed.all_reduce(self.batch_mean)
            self.batch_mean /= torch.distributed.get_world_size()
        self.recent_mean.lerp_(self.batch_mean, 1 - self.memory)
        collapsed = diversity(self.recent_mean) < self.keep * diversity(self.start_mean)
        moved = self._moved()
        for parameter, start in zip(moved, self.start.split([p.numel() for p in moved]), strict=True):
            parameter.copy_(torch.where(collapsed, start.view_as(parameter), parameter))
        self.recent_mean.copy_(torch.where(collapsed, self.start_mean, self.recent_mean))
        self.restored += collapsed

    def measures(self) -> dict[str, Tensor | float]:
        """How diverse the last predictions were, and how often the guard has gone back to the start."""
        return {"diversity": diversity(self.recent_mean), "restored": self.restored}

    def _moved(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.classifier.parameters() if parameter.requires_grad]
