"""The shape that every method has: batches in, named losses out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from medtl.errors import InputError
from medtl.models.classifier import Classifier
from medtl.models.output import Output

__all__ = ["Batch", "Method", "Output", "Step"]


class Batch(NamedTuple):
    """What the loop deals for one role."""

    pixels: Tensor  # (instances, C, H, W)
    bag: Tensor  # (instances,) -> scan 0..N-1; a picture is a bag of one
    label: Tensor | None  # (N,) class, or (N, K) 0/1/NaN; None: unlabelled
    site: Tensor  # (N,) site number
    row: Tensor  # (N,) row of its cohort: weights, pseudo-labels, edges of a graph
    strong: Tensor | None = None  # a second, stronger view of an unlabelled role, where the method asks for two


class Step(NamedTuple):
    """One optimiser step: most methods have one; MCD and ADDA have several."""

    losses: str = "losses"  # the method's function that computes them
    moves: str = "all"  # the group of parameters that this step updates


class Method(nn.Module):
    """How source and target are brought together.

    Owns the classifier. All its state is parameters and buffers, so that checkpoint, resume and several processes
    need nothing more.
    """

    roles: ClassVar[tuple[str, ...]] = ("source", "target")  # or "labelled" (target with labels), "support", "query"
    views: ClassVar[int] = 1  # 2: unlabelled roles are dealt a stronger view beside the usual one
    own_statistics: ClassVar[bool] = False  # the predictor has the target's batch statistics, no mixture of the sites'
    one_class: ClassVar[bool] = False  # its definition needs a softmax over the classes: one label a scan

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    @classmethod
    def known(cls, cohorts: Mapping[str, Any]) -> dict[str, Any]:
        """Options that follow from the cohorts of its roles, such as how many sites there are, unless they are told."""
        return {}

    @classmethod
    def expect(cls, cohorts: Mapping[str, Any], name: str) -> None:
        """See whether it can do with the cohorts of its roles; `fit` asks, and `adapt` before it trains anything.

        Args:
            cohorts: role -> cohort.
            name: what the user calls it.

        Raises:
            InputError: it needs one class a scan, and these scans can have several labels.
        """
        if cls.one_class and any(np.ndim(cohort.label) > 1 for cohort in cohorts.values()):
            others = "use dann or mean-teacher, or " if "source" in cohorts else ""
            raise InputError(
                f"{name} needs one class a scan, and these scans can have several labels: {others}adapt for "
                "each label by itself"
            )

    def forward(self, batch: Batch) -> Output:
        """The classifier's output for a batch."""
        return self.classifier(batch.pixels, batch.bag, len(batch.row))

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """The parameters that each kind of step moves."""
        return {"all": [p for p in self.parameters() if p.requires_grad]}

    def rates(self) -> dict[str, float]:
        """Parameters, by their names in this module, that learn at another fraction of `lr` than the plan's."""
        return {}

    def prepare(self, data: Any, progress: float) -> None:
        """Before each epoch, without gradient: weights, pseudo-labels, statistics.

        Args:
            data: role -> `medtl.training.Role`, whose `cohort` holds the scans (a role without labels hides them: do
                not look). `medtl.models.look(self.classifier, cohort)` gives features and logits of all of them.
            progress: in [0, 1]; the first call of an unbroken training has 0, a resumed one begins later.
        """

    def steps(self, progress: float) -> Sequence[Step]:
        """The optimiser steps that one batch of each role is good for."""
        return (Step(),)

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """Named losses; their sum is minimised. `progress` runs in [0, 1]. Without `fit`, ask `expect` first."""
        raise TypeError(f"{type(self).__name__} defines no losses")

    def after_step(self, progress: float) -> None:
        """After each optimiser step: moving averages."""

    def predictor(self) -> Classifier:
        """What is evaluated and exported."""
        return self.classifier

    def measures(self) -> dict[str, Tensor | float]:
        """Numbers of the last step worth a column in the log, left on the device: reading one waits for the GPU."""
        return {}

    def source_weights(self) -> Tensor | None:
        """(N,) how much each source scan counts, 1 on average; None where all count alike."""
        return None

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As torch's; a buffer that `prepare` sized by its cohort takes the size that it had."""
        for name, buffer in self.named_buffers():
            if name in state_dict and state_dict[name].shape != buffer.shape:
                owner, _, short = name.rpartition(".")
                setattr(self.get_submodule(owner), short, torch.empty_like(state_dict[name], device=buffer.device))
        return super().load_state_dict(state_dict, strict, assign)
