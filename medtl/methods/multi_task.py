"""Multi-task training: what else can be learnt from the same scans shapes features that hold at both sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medtl.errors import InputError
from medtl.methods.base import Batch, Method
from medtl.methods.losses import task_loss
from medtl.models import Classifier
from medtl.models.pooling import mean_over_bags

TASKS = ("rotation", "reconstruction")
#: Rows and columns of what reconstruction gives back: coarse anatomy, which pooled features can hold.
THUMBNAIL = 16
#: A column with more values than this is a measurement or a name, not classes.
MOST_VALUES = 50


class MultiTask(Method):
    """Multi-task training (Caruana, Machine Learning 1997; by rotation: Sun et al. 2019, arXiv:1909.11825).

    loss = task + weight * (sum of the auxiliary losses), each head a linear layer on the embedding:

    - rotation: each scan of both sites is turned by 0, 90, 180 or 270 degrees and the head says by which (Gidaris et
      al., ICLR 2018, arXiv:1803.07728). The target's scans teach the features too, which aligns the sites (Sun et al.).
      The paper of 2018 shows all four turns of each picture; here each scan is turned once a step, as by Sun et al.
    - reconstruction: a small decoder draws a grey thumbnail of each target scan from its features (DRCN: Ghifary et
      al., ECCV 2016, arXiv:1607.03516; theirs is convolutional and draws the whole picture).
    - columns of the source's manifest, such as a BI-RADS score or the scanner; empty cells teach nothing.

    Args:
        classifier: is adapted.
        tasks: of "rotation" and "reconstruction".
        columns: of the source's manifest.
        weight: of each auxiliary loss; 1, the plain sum of Sun et al.
        values: the values of every column that the source has; known from its manifest.
    """

    answers: Tensor

    def __init__(
        self,
        classifier: Classifier,
        tasks: Sequence[str] = ("rotation",),
        columns: Sequence[str] = (),
        weight: float = 1.0,
        values: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__(classifier)
        tasks, columns = _listed(tasks), _listed(columns)
        if unknown := sorted(set(tasks) - set(TASKS)):
            raise InputError(f"multi-task: there is no task {unknown[0]!r}: choose from {', '.join(TASKS)}")
        self.values = {name: _classes(name, values or {}) for name in columns}
        self.weight = weight
        if "rotation" in tasks:
            self.rotation = nn.Linear(classifier.width, 4)
        if "reconstruction" in tasks:
            self.decoder = nn.Sequential(
                nn.Linear(classifier.last, classifier.width), nn.ReLU(), nn.Linear(classifier.width, THUMBNAIL**2)
            )
        self.column_heads = nn.ModuleList(nn.Linear(classifier.width, len(kinds)) for kinds in self.values.values())
        self.register_buffer("answers", torch.zeros(0, len(columns), dtype=torch.long))

    @classmethod
    def known(cls, cohorts: Mapping[str, Any]) -> dict[str, Any]:
        """The values in the columns of the source's manifest."""
        frame = getattr(getattr(cohorts["source"], "manifest", None), "frame", None)
        return {} if frame is None else {"values": {name: sorted(set(frame[name]) - {""}) for name in frame}}

    def prepare(self, data: Any, progress: float) -> None:
        """Read the columns: the number of each scan's value, -1 where the cell is empty."""
        if self.values:
            frame = data["source"].cohort.manifest.frame
            numbers = [
                np.array([kinds.index(cell) if cell else -1 for cell in frame[name]])
                for name, kinds in self.values.items()
            ]
            self.answers = torch.from_numpy(np.stack(numbers, axis=1)).to(self.answers.device)

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """The task loss on the source, and that of each auxiliary head."""
        source, target = batch["source"], batch["target"]
        output = self.forward(source)
        losses = {"task": task_loss(output.logits, source.label)}
        seen = self.forward(target)  # also without a task there: the batch statistics are both sites'
        if hasattr(self, "rotation"):
            turns = [turned_at_random(each) for each in (source, target)]
            found = [F.cross_entropy(self.rotation(self.forward(each).embedding), quarter) for each, quarter in turns]
            losses["rotation"] = self.weight * (found[0] + found[1]) / 2
        if hasattr(self, "decoder"):
            drawn = self.decoder(seen.features[:, : self.classifier.last])
            losses["reconstruction"] = self.weight * F.mse_loss(drawn, thumbnails(target))
        for number, (name, head) in enumerate(zip(self.values, self.column_heads, strict=True)):
            answer = self.answers[source.row, number]
            losses[f"column_{name}"] = self.weight * known_cross_entropy(head(output.embedding), answer)
        return losses


def turned_at_random(batch: Batch) -> tuple[Batch, Tensor]:
    """The batch with each scan turned, all its instances alike; by how many quarters, counter-clockwise: (N,) of 0..3.

    As many scans are turned by each, as far as N allows.
    """
    quarters = torch.randperm(len(batch.row), device=batch.pixels.device) % 4
    return batch._replace(pixels=turned(batch.pixels, quarters[batch.bag])), quarters


def turned(pixels: Tensor, quarters: Tensor) -> Tensor:
    """Pixels (instances, C, S, S), each turned counter-clockwise by its number of quarters (instances,)."""
    quarters = quarters[:, None, None, None]
    pixels = torch.where(quarters % 2 == 1, pixels.rot90(1, (2, 3)), pixels)
    return torch.where(quarters >= 2, pixels.flip((2, 3)), pixels)


def thumbnails(batch: Batch) -> Tensor:
    """(N, 16 * 16) grey, the mean of a scan's instances, each of mean 0 and variance 1: a loss of 1 says nothing."""
    grey = F.adaptive_avg_pool2d(batch.pixels.mean(dim=1, keepdim=True), THUMBNAIL).flatten(1)
    grey = mean_over_bags(grey, batch.bag, len(batch.row))
    return F.layer_norm(grey, grey.shape[1:])


def known_cross_entropy(logits: Tensor, answer: Tensor) -> Tensor:
    """The mean over the scans whose answer is known (not -1): 0 where none is. Logits (N, K), answer (N,)."""
    total = F.cross_entropy(logits, answer, ignore_index=-1, reduction="sum")
    return total / (answer >= 0).sum().clamp(min=1)


def _listed(names: Sequence[str]) -> list[str]:
    """`columns: birads` is `columns: [birads]`."""
    return [names] if isinstance(names, str) else list(names)


def _classes(name: str, values: Mapping[str, Sequence[str]]) -> list[str]:
    if name not in values:
        raise InputError(f"multi-task: the source's manifest has no column {name!r}: it has {', '.join(values)}")
    if not 2 <= len(values[name]) <= MOST_VALUES:
        raise InputError(
            f"multi-task: column {name!r} has {len(values[name])} different values, and 2 to {MOST_VALUES} can be "
            "learnt: leave it out, or put its values into a few groups"
        )
    return list(values[name])
