"""Distillation: a smaller network learns what a larger one says of both sites' scans."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from medtl.methods.adabn import statistics_kept
from medtl.methods.base import Batch, Method
from medtl.methods.losses import task_loss
from medtl.methods.unlabelled import look_at_home
from medtl.models import DEFAULT, Classifier, create_backbone
from medtl.models.backbones import cached_weights
from medtl.models.pooling import GatedAttention
from medtl.progress import warn


class Distill(Method):
    """Knowledge distillation into a smaller network (Hinton et al., NIPS Workshops 2014, arXiv:1503.02531).

    The classifier that is adapted is the teacher, with each site's own batch statistics, frozen; the student is a new
    classifier on a smaller backbone, and is what is evaluated and exported:

        loss = T^2 * (KL(p_T || q_T) on the source + on the target) / 2 + hard * task,

    p_T and q_T the softmax of the teacher's and the student's logits over T. The teacher speaks once of each scan as it
    is, before the first step, and not of each random view, as is usual: on CPUs it would cost more than the student.
    75 steps, the default of `medtl adapt`, are few for a student: with `adapt: {steps: 600}` it learns more.

    Args:
        classifier: the teacher.
        student: a timm model; see `medtl backbones`. The default has a fifth of the default backbone's weights.
        student_weights: a file with its ImageNet weights, or "random"; by default those in the Hugging Face cache, and
            random ones where it has none.
        temperature: T; the paper's range for few classes is 2.5 to 4.
        hard: the weight of the labels, which the paper finds best "considerably lower" than that of the teacher.
        channels: C of the pixels; known from the source.
    """

    own_statistics = True

    def __init__(
        self,
        classifier: Classifier,
        student: str = "mobilenetv2_050",
        student_weights: str | None = None,
        temperature: float = 3.0,
        hard: float = 0.1,
        channels: int = 3,
    ) -> None:
        backbone, pretrained = new_backbone(student, student_weights, channels)
        pooling = "attention" if isinstance(classifier.pooling, GatedAttention) else "mean"
        super().__init__(
            Classifier(backbone, classifier.head.out_features, bottleneck=classifier.width, pooling=pooling)
        )
        self.teacher = copy.deepcopy(classifier).requires_grad_(False).eval()
        self.pretrained = pretrained
        self.without = student if student_weights is None and not pretrained else ""  # weights that nobody left out
        self.temperature = temperature
        self.hard = hard
        for role in ("source", "target"):
            self.register_buffer(f"said_of_{role}", torch.zeros(0, classifier.head.out_features))

    @classmethod
    def known(cls, cohorts: Mapping[str, Any]) -> dict[str, Any]:
        """The channels of the pixels."""
        return {"channels": cohorts["source"].pixels(0).shape[1]}

    def train(self, mode: bool = True) -> Distill:
        """As torch's, the teacher excepted."""
        super().train(mode)
        self.teacher.eval()
        return self

    def rates(self) -> dict[str, float]:
        """What is random learns as fast in the backbone as above it."""
        learn = self.classifier.named_parameters(prefix="classifier")
        return {} if self.pretrained else {name: 1.0 for name, each in learn if each.requires_grad}

    def prepare(self, data: Any, progress: float) -> None:
        """Once: the teacher's logits of all scans, of each site with that site's batch statistics."""
        if self.without and progress == 0:
            warn(
                f"the student {self.without} begins with random weights and learns slower, because ImageNet's are not "
                "on this machine: name their file with `options: {student_weights: FILE}` in the config"
            )
        for role, each in data.items():
            name = f"said_of_{role}"
            if len(getattr(self, name)) == 0:
                setattr(self, name, look_at_home(self.teacher, each.cohort).logits)

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """The divergence from the teacher on both sites, and the task loss on the source."""
        label = batch["source"].label
        several = label is not None and label.ndim == 2
        with statistics_kept(self.classifier):
            logits = {"source": self.forward(batch["source"]).logits}
        logits["target"] = self.forward(batch["target"]).logits
        soft = [
            distillation(each, self.get_buffer(f"said_of_{role}")[batch[role].row], self.temperature, several)
            for role, each in logits.items()
        ]
        return {"soft": (soft[0] + soft[1]) / 2, "task": self.hard * task_loss(logits["source"], label)}


def distillation(student: Tensor, teacher: Tensor, temperature: float, several: bool = False) -> Tensor:
    """T^2 KL(softmax(teacher / T) || softmax(student / T)), the mean over scans; logits (N, K).

    T^2 makes the gradient as large as that of the labels (section 2 of the paper). Of `several` labels a scan, each is
    a distribution over yes and no, and the mean is over them too.
    """
    student, teacher = student / temperature, teacher / temperature
    if several:
        student, teacher = (
            torch.stack([each, torch.zeros_like(each)], dim=-1).flatten(0, 1) for each in (student, teacher)
        )
    divergence = F.kl_div(student.log_softmax(1), teacher.log_softmax(1), reduction="batchmean", log_target=True)
    return temperature**2 * divergence


def new_backbone(name: str, weights: str | None, channels: int) -> tuple[Any, bool]:
    """The student's backbone, and whether it has ImageNet's weights. Nobody asked for a download: none is tried.

    Raises:
        InputError: there is no such timm model or file.
    """
    plain = create_backbone(name, pretrained=False, channels=channels)  # a name that is not timm's is refused here
    if weights == "random":
        return plain, False
    file = Path(weights) if weights is not None else cached_weights(name)
    found = file is not None or name == DEFAULT
    return (create_backbone(name, file, channels=channels) if found else plain), found
