"""What every strategy of fine-tuning has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from medtl.finetuning.heads import Few, Head
from medtl.methods.base import Batch, Method
from medtl.methods.losses import task_loss


class Strategy(Method):
    """How a model learns from a few labels of the new site.

    First a head may be fitted on cached features; then the network may be trained, as by any method. The batch
    statistics stay those of the site's scans: a few labelled ones are too few to estimate them anew.
    """

    roles: ClassVar[tuple[str, ...]] = ("labelled",)
    reads: ClassVar[bool] = False  # whether `head` is fitted on cached features first
    trains: ClassVar[bool] = True  # whether the network is trained then
    layered: ClassVar[bool] = False  # whether `head` reads several layers (medtl.models.layers)
    least: ClassVar[int] = 0  # with fewer labelled scans it is not

    @classmethod
    def head(cls, few: Few) -> Head:
        """What is fitted on cached features."""
        raise TypeError(f"{cls.__name__} fits no head")

    def train(self, mode: bool = True) -> Strategy:
        """As torch's, batch normalisation excepted."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """The task loss on the labelled scans."""
        labelled = batch["labelled"]
        return {"task": task_loss(self.forward(labelled).logits, labelled.label)}
