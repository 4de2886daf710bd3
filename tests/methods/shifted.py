"""A small problem that source-only fails, in memory: what every method is tested on. Also a script, to be killed.

Two classes differ by a weak sign in the upper left of an 8 x 8 picture. In the source a strong shortcut in the lower
right goes with the class; in the target it is there in every picture. Who trusts the shortcut calls nearly all of the
target positive; who makes the sites look alike has to give it up, because its distribution differs between them.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from safetensors.torch import save_file
from torch import Tensor, nn

from medtl import progress
from medtl.data.augmentation import Augmentation
from medtl.data.samplers import Deal
from medtl.methods import METHODS, Method
from medtl.models import Classifier
from medtl.training import Plan, Role, fit
from medtl.training.loop import EPOCH

SIDE = 8
STEPS = 2 * EPOCH + 10  # of the script: two epochs and a short one
LIGHT = Augmentation(
    rotation=0, scale=0, translation=0, flip=0, contrast=0.1, brightness=0, gamma=0, noise=0.05, blur=0
)


@dataclass
class Pictures:
    """What a Role needs of a cohort, held in memory."""

    stack: np.ndarray  # float32 (N, 1, SIDE, SIDE)
    label: np.ndarray  # int64 (N,)
    site: np.ndarray  # int64 (N,)

    def __len__(self) -> int:
        return len(self.stack)

    @property
    def bag_sizes(self) -> np.ndarray:
        return np.ones(len(self), np.int64)

    def pixels(self, i: int) -> np.ndarray:
        return self.stack[i][None]


class SmallNet(nn.Module):
    """A convolution that keeps the place of what it sees."""

    num_features = 4 * (SIDE // 2) ** 2

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()
        )

    def forward(self, pixels: Tensor) -> Tensor:
        return self.layers(pixels)


def pictures(site: int, n: int = 256, seed: int = 0) -> Pictures:
    """Site 0 is the source, site 1 the target; classes alternate."""
    random = np.random.default_rng((seed, site))
    label = np.arange(n) % 2
    sign = (2 * label - 1)[:, None, None]
    stack = random.normal(0, 0.4, (n, SIDE, SIDE))
    stack[:, :4, :4] += 0.25 * sign
    stack[:, 4:, 4:] += 0.5 * (sign if site == 0 else 1)
    return Pictures(stack[:, None].clip(-1, 1).astype(np.float32), label, np.full(n, site))


class SlowDeal(Deal):
    """Gives a test the time to kill."""

    def rows(self, step: int) -> np.ndarray:
        time.sleep(0.02)
        return super().rows(step)


def roles(method: type[Method], seed: int = 0, batch: int = 32, deal: type[Deal] = Deal) -> dict[str, Role]:
    """The target's labels are in its cohort, as they are in real ones, and are not dealt."""
    source, target = pictures(0), pictures(1)
    all_roles = {
        "source": Role(source, deal(source.label, batch, seed), labelled=True, augmentation=LIGHT),
        "target": Role(target, deal(target.site, batch, seed + 1), labelled=False, augmentation=LIGHT),
    }
    return {name: all_roles[name] for name in method.roles}


def make(name: str, seed: int = 0, **options: Any) -> Method:
    torch.manual_seed(seed)
    return METHODS[name](Classifier(SmallNet(), 2, bottleneck=16), **options)


def train(name: str, steps: int = 300, seed: int = 0, fabric: Fabric | None = None, **others: Any) -> Method:
    method = make(name, seed, **others.pop("options", {}))
    fabric = fabric or Fabric(accelerator="cpu", devices=1)
    plan = Plan(steps, batch=32, lr=3e-3, backbone_lr=1.0)
    dealt = roles(METHODS[name], seed, deal=others.pop("deal", Deal))
    fit(method, dealt, plan, fabric=fabric, seed=seed, phase=name, **others)
    return method


@torch.no_grad()
def accuracy(method: Method, site: int) -> float:
    """On pictures that were not trained on."""
    fresh = pictures(site, n=1000, seed=9)
    guess = method.predictor().eval()(torch.from_numpy(fresh.stack)).logits.argmax(1)
    return float((guess == torch.from_numpy(fresh.label)).double().mean())


def same(one: Method, other: Method) -> bool:
    """Whether every parameter and buffer is the same to the last bit."""
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def main(names: list[str], folder: Path, devices: int, slow: bool) -> None:
    """Train in a process of its own, with a checkpoint, and leave each process's weights in `folder`."""
    torch.set_num_threads(1)
    progress.set_mode("quiet")
    fabric = Fabric(accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto")
    fabric.launch()
    for name in names:
        checkpoint = folder / "checkpoint.pt" if slow else None
        method = train(name, STEPS, fabric=fabric, deal=SlowDeal if slow else Deal, checkpoint=checkpoint)
        save_file(dict(method.state_dict()), folder / f"{name}.{fabric.global_rank}.safetensors")


if __name__ == "__main__":
    main(sys.argv[1].split(","), Path(sys.argv[2]), int(sys.argv[3]), len(sys.argv) > 4)
    if torch.distributed.is_initialized():  # else gloo's threads may outlive the interpreter, and abort it
        torch.distributed.destroy_process_group()
