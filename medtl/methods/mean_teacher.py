"""Mean teacher: the model agrees, on a distorted scan, with what its own average says of the plain one."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping

import torch
from torch import Tensor

from medtl.methods.base import Batch, Method
from medtl.methods.losses import task_loss
from medtl.models import Classifier, Output

#: The share of the training after which the consistency counts in full: 80 of 300 epochs in Laine and Aila (ICLR 2017,
#: arXiv:1610.02242), whose schedule both papers take.
RAMP = 80 / 300


def ramp(progress: float) -> float:
    """exp(-5 (1 - t)^2), t being the share of the ramp that is done: 0.007 at first, 1 after it."""
    return math.exp(-5 * (1 - min(progress / RAMP, 1.0)) ** 2)


class MeanTeacher(Method):
    """Mean teacher (Tarvainen and Valpola, NeurIPS 2017; French et al., ICLR 2018, arXiv:1706.05208).

    The teacher is the moving average of the student. It sees the target's scans in the usual view, the student in a
    stronger one, and the student learns to say what the teacher says. Source and target go through in batches of their
    own, as in French et al., so that each is normalised by its own statistics.

    The teacher is handed over: in both papers it is the better of the two, an average over many steps where the student
    is the last of them. Its running statistics are the student's, so that it can be judged at both sites.

    Args:
        classifier: the student, is adapted.
        weight: of the consistency after its ramp; 3 as in French et al.
        decay: of the average; 0.99 as in French et al. Before step 1 / (1 - decay) it is the plain mean of all students
            so far, as in Tarvainen and Valpola's code: all of a short training.
    """

    views = 2
    steps_done: Tensor

    def __init__(self, classifier: Classifier, weight: float = 3.0, decay: float = 0.99) -> None:
        super().__init__(classifier)
        self.weight, self.decay = weight, decay
        self.teacher = copy.deepcopy(classifier).requires_grad_(False)
        self.register_buffer("steps_done", torch.zeros(()))

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """The task loss on the source, and the squared distance of student and teacher at the target."""
        source, target = batch["source"], batch["target"]
        assert source.label is not None and target.strong is not None
        student = self.classifier(target.strong, target.bag, len(target.row))
        with torch.no_grad():
            teacher = self.teacher(target.pixels, target.bag, len(target.row))
        several = source.label.ndim == 2
        distance = (_probabilities(student, several) - _probabilities(teacher, several)).square().mean()
        return {
            "task": task_loss(self.forward(source).logits, source.label),
            "consistency": self.weight * ramp(progress) * distance,
        }

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        """The teacher moves a little towards the student."""
        self.steps_done += 1
        towards = (1 / (self.steps_done + 1)).clamp_min(1 - self.decay)
        for mean, now in zip(self.teacher.parameters(), self.classifier.parameters(), strict=True):
            mean.lerp_(now, towards.to(mean.dtype))
        for statistics, last in zip(self.teacher.buffers(), self.classifier.buffers(), strict=True):
            statistics.copy_(last)

    def predictor(self) -> Classifier:
        """The teacher."""
        return self.teacher


def _probabilities(output: Output, several: bool) -> Tensor:
    return output.logits.sigmoid() if several else output.logits.softmax(dim=1)
