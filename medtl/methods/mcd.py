"""Maximum classifier discrepancy."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from medtl.methods.base import Batch, Method, Output, Step
from medtl.methods.losses import task_loss
from medtl.models import Classifier


class MCD(Method):
    """Maximum classifier discrepancy (Saito et al., CVPR 2018, arXiv:1712.02560).

    Two heads learn the source (step A), then disagree on the target as far as the source allows (step B); then the
    encoder learns to make them agree there (step C): what lies far from the source's classes is drawn to them.
    The predictor has the average of both heads, which gives the average of their logits.

    The heads must differ to disagree. The paper draws both; here the first is the warm one and the second the same
    plus a freshly drawn layer, so that both know the source from the first step on.

    Args:
        classifier: is adapted.
        encoder_steps: n, steps C for each batch. The paper tries 2, 3 and 4 and takes 4; 2 costs two passes less.
    """

    one_class = True

    def __init__(self, classifier: Classifier, encoder_steps: int = 2) -> None:
        super().__init__(classifier)
        self.encoder_steps = encoder_steps
        head = classifier.head
        self.second = nn.Linear(head.in_features, head.out_features)
        with torch.no_grad():
            self.second.weight.add_(head.weight)
            self.second.bias.add_(head.bias)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Steps A, B and C move everything, the heads, and the encoder."""
        heads = [*self.classifier.head.parameters(), *self.second.parameters()]
        of_heads = {id(parameter) for parameter in heads}
        everything = super().groups()["all"]
        return {"all": everything, "heads": heads, "encoder": [p for p in everything if id(p) not in of_heads]}

    def steps(self, progress: float) -> Sequence[Step]:
        """A, B and n times C."""
        return (Step(), Step("losses_of_heads", "heads"), *[Step("losses_of_encoder", "encoder")] * self.encoder_steps)

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """Step A: both heads learn the source."""
        return self._tasks(self.forward(batch["source"]), batch["source"].label)

    def losses_of_heads(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """Step B: the heads still know the source, and disagree on the target."""
        with torch.no_grad():
            source, target = self.forward(batch["source"]), self.forward(batch["target"])
        tasks = self._tasks(self._again(source), batch["source"].label)
        return {**tasks, "agreement": -discrepancy(*self._both(self._again(target)))}

    def losses_of_encoder(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """Step C: the encoder makes the heads agree on the target."""
        return {"discrepancy": discrepancy(*self._both(self.forward(batch["target"])))}

    def predictor(self) -> Classifier:
        """The classifier with the average of both heads."""
        averaged = copy.deepcopy(self.classifier)
        with torch.no_grad():
            averaged.head.weight.lerp_(self.second.weight, 0.5)
            averaged.head.bias.lerp_(self.second.bias, 0.5)
        return averaged

    def _again(self, output: Output) -> Output:
        """With the logits of an embedding that has no gradient, through a head that has."""
        return output._replace(logits=self.classifier.logits(output.embedding, output.features))

    def _both(self, output: Output) -> tuple[Tensor, Tensor]:
        """The logits by either head: beside the head, a classifier may have a shortcut and others, which stay."""
        return output.logits, output.logits - self.classifier.head(output.embedding) + self.second(output.embedding)

    def _tasks(self, output: Output, label: Tensor | None) -> dict[str, Tensor]:
        first, second = self._both(output)
        return {"task": task_loss(first, label), "second_task": task_loss(second, label)}


def discrepancy(first: Tensor, second: Tensor) -> Tensor:
    """How far two heads are apart, d(p1, p2) = 1/K sum_k |p1_k - p2_k|, the mean over scans (equation 2)."""
    return (first.softmax(dim=1) - second.softmax(dim=1)).abs().mean()
