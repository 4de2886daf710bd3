"""Small problems that source-only fails, in memory: what every method is tested on. Also a script, to be killed.

In all of them two classes differ by a sign in the upper left of an 8 x 8 picture. They differ in what goes wrong at the
target (`PROBLEMS`); a method is tested on "shortcut" unless `PROBLEM_OF` names one that its paper is about.

"shortcut": they differ by a weak sign. In the source a strong shortcut in the lower right goes with the class; in
the target it is there in every picture. Who trusts the shortcut calls nearly all of the target positive; who makes the
sites look alike has to give it up, because its distribution differs between them.

"scanner": the target's pictures are those of the source through another gain and offset.

"stripes": one class has upright stripes in the upper left, the other nothing; in the target they lie across.

"faded": in the source a strong shortcut lies in the lower right of positives; the target has it nowhere, and so has
shorter embeddings.

"selection": the source has two kinds of pictures, told apart by the upper right. In most of them a strong shortcut in
the lower half goes with the class; in an eighth it is there by chance, and the target has this kind alone.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import timm
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
    def patient(self) -> np.ndarray:
        """Two pictures each, of one class."""
        return np.array([f"patient {i // 4 * 2 + i % 2}" for i in range(len(self))])

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


if not timm.is_model("shifted_small"):

    @timm.models.register_model
    def shifted_small(pretrained: bool = False, **others: Any) -> SmallNet:
        """By name, for methods that make a second network."""
        return SmallNet()


def shortcut(stack: np.ndarray, sign: np.ndarray, site: int, random: np.random.Generator) -> None:
    stack[:, :4, :4] += 0.25 * sign
    stack[:, 4:, 4:] += 0.5 * (sign if site == 0 else 1)


def scanner(stack: np.ndarray, sign: np.ndarray, site: int, random: np.random.Generator) -> None:
    stack[:, :4, :4] += 0.4 * sign
    if site == 1:
        stack *= 0.3
        stack += 0.6


def faded(stack: np.ndarray, sign: np.ndarray, site: int, random: np.random.Generator) -> None:
    stack[:, :4, :4] += 0.3 * sign
    if site == 0:
        stack[:, 4:, 4:] += 1.3 * (sign > 0)


def stripes(stack: np.ndarray, sign: np.ndarray, site: int, random: np.random.Generator) -> None:
    pattern = np.resize([1.0, -1.0], (4, 4))
    phase = random.choice([-1, 1], (len(stack), 1, 1))
    stack[:, :4, :4] += 0.8 * (sign > 0) * phase * (pattern if site == 0 else pattern.T)


def selection(stack: np.ndarray, sign: np.ndarray, site: int, random: np.random.Generator) -> None:
    other = (random.random(len(stack)) < (0.12 if site == 0 else 1))[:, None, None]
    chance = random.choice([-1, 1], (len(stack), 1, 1))
    stack[:, :4, :4] += 0.2 * sign
    stack[:, :4, 4:] += np.where(other, 0.5, -0.5)
    stack[:, 4:, :] += np.where(other, chance, sign)


#: name -> draws what differs into pictures of noise (N, SIDE, SIDE), in place; `sign` (N, 1, 1) is the class, -1 or 1.
PROBLEMS: dict[str, Callable[[np.ndarray, np.ndarray, int, np.random.Generator], None]] = {
    "shortcut": shortcut,
    "scanner": scanner,
    "faded": faded,
    "stripes": stripes,
    "selection": selection,
}
#: Methods of another problem than "shortcut": the one that their paper is about.
PROBLEM_OF: dict[str, str] = {
    "adabn": "scanner",
    "afn": "faded",
    "cluster-selection": "selection",
    "density-ratio": "selection",
    "distill": "scanner",
    "dsbn": "scanner",
    "kliep": "selection",
    "kmm": "selection",
    "multi-task": "stripes",
}
#: Methods that are tested from a source-only model on, as `medtl adapt` starts all of them.
WARM: set[str] = {
    "adda",
    "cluster-selection",
    "density-ratio",
    "distill",
    "dsbn",
    "fixmatch",
    "graph",
    "iwan",
    "kliep",
    "kmm",
    "mcc",
    "mean-teacher",
    "pseudo-label",
    "shot",
    "tent",
}
#: Options that a problem so small asks for, where a method's defaults are for real scans.
OPTIONS: dict[str, dict[str, Any]] = {
    "afn": {"weight": 0.2},  # an embedding of 16 columns has a quarter of the norm of 256, and a 16th of the distances
    "deep-jdot": {"distance": 0.016},
    "distill": {"student": "shifted_small", "student_weights": "random"},
}


def pictures(site: int, n: int = 256, seed: int = 0, problem: str = "shortcut") -> Pictures:
    """Site 0 is the source, site 1 the target; classes alternate."""
    random = np.random.default_rng((seed, site))
    label = np.arange(n) % 2
    stack = random.normal(0, 0.4, (n, SIDE, SIDE))
    PROBLEMS[problem](stack, (2 * label - 1)[:, None, None], site, random)
    return Pictures(stack[:, None].clip(-1, 1).astype(np.float32), label, np.full(n, site))


class SlowDeal(Deal):
    """Gives a test the time to kill."""

    def rows(self, step: int) -> np.ndarray:
        time.sleep(0.02)
        return super().rows(step)


def roles(of: str | type[Method], seed: int = 0, batch: int = 32, deal: type[Deal] = Deal) -> dict[str, Role]:
    """Those of a method, by its name or itself.

    The target's labels are in its cohort, as they are in real ones, and are not dealt.
    """
    method, problem = (METHODS[of], PROBLEM_OF.get(of, "shortcut")) if isinstance(of, str) else (of, "shortcut")
    source, target = pictures(0, problem=problem), pictures(1, problem=problem)
    all_roles = {
        "source": Role(source, deal(source.label, batch, seed), labelled=True, augmentation=LIGHT),
        "target": Role(target, deal(np.zeros(len(target)), batch, seed + 1), labelled=False, augmentation=LIGHT),
    }
    return {role: all_roles[role] for role in method.roles}


@cache
def source_only(problem: str, seed: int) -> Classifier:
    """What those of `WARM` start from."""
    torch.manual_seed(seed)
    method = METHODS["source-only"](Classifier(SmallNet(), 2, bottleneck=16))
    source = pictures(0, problem=problem)
    role = Role(source, Deal(source.label, 32, seed), augmentation=LIGHT)
    plan = Plan(150, batch=32, lr=3e-3, backbone_lr=1.0)
    fit(method, {"source": role}, plan, fabric=Fabric(accelerator="cpu", devices=1), seed=seed, phase="source-only")
    return method.classifier


def make(name: str, seed: int = 0, **options: Any) -> Method:
    problem = PROBLEM_OF.get(name, "shortcut")
    warm = source_only(problem, seed) if name in WARM else None
    torch.manual_seed(seed)
    classifier = copy.deepcopy(warm) or Classifier(SmallNet(), 2, bottleneck=16)
    told = METHODS[name].known({role: each.cohort for role, each in roles(name).items()})
    return METHODS[name](classifier, **{**told, **OPTIONS.get(name, {}), **options})


def train(name: str, steps: int = 300, seed: int = 0, fabric: Fabric | None = None, **others: Any) -> Method:
    method = make(name, seed, **others.pop("options", {}))
    fabric = fabric or Fabric(accelerator="cpu", devices=1)
    plan = Plan(steps, batch=32, lr=3e-3, backbone_lr=1.0)
    dealt = roles(name, seed, deal=others.pop("deal", Deal))
    fit(method, dealt, plan, fabric=fabric, seed=seed, phase=name, **others)
    return method


@torch.no_grad()
def accuracy(classifier: Classifier, site: int, problem: str = "shortcut") -> float:
    """On pictures that were not trained on."""
    fresh = pictures(site, n=1000, seed=9, problem=problem)
    guess = classifier.eval()(torch.from_numpy(fresh.stack)).logits.argmax(1)
    return float((guess == torch.from_numpy(fresh.label)).double().mean())


def same(one: Method, other: Method) -> bool:
    """Whether every parameter and buffer is the same to the last bit."""
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def main(names: list[str], folder: Path, devices: int, slow: bool) -> None:
    """Train in a process of its own, with a checkpoint, and leave each process's weights in `folder`."""
    torch.set_num_threads(1)
    progress.set_mode("quiet")
    fabric = Fabric(
        accelerator="cpu", devices=devices, strategy="ddp_find_unused_parameters_true" if devices > 1 else "auto"
    )
    fabric.launch()
    for name in names:
        checkpoint = folder / "checkpoint.pt" if slow else None
        method = train(name, STEPS, fabric=fabric, deal=SlowDeal if slow else Deal, checkpoint=checkpoint)
        state = {key: value.clone() for key, value in method.state_dict().items()}  # two names may share a tensor
        save_file(state, folder / f"{name}.{fabric.global_rank}.safetensors")


if __name__ == "__main__":
    main(sys.argv[1].split(","), Path(sys.argv[2]), int(sys.argv[3]), len(sys.argv) > 4)
    if torch.distributed.is_initialized():  # else gloo's threads may outlive the interpreter, and abort it
        torch.distributed.destroy_process_group()
