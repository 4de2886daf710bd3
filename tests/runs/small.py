"""A small Run, made without training, and a few scans for it: what the tests of runs, exports and verbs share."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from medtl.data import Cohort
from medtl.exports.onnx import export_onnx
from medtl.intensity import RECIPES, Recipe
from medtl.models import Classifier, create_backbone
from medtl.runs.run import Run, write_run
from medtl.scans import Manifest
from medtl.trust import fit_trust

BACKBONE = "test_efficientnet"  # timm's smallest, 0.4 million parameters
RECIPE: Recipe = dataclasses.replace(RECIPES["picture"], size=32)


def manifest(folder: Path, scans: int = 6, size: int = 40) -> Manifest:
    """Pictures of noise with a bright spot, written to `folder`; the last but one is damaged, the last is set aside."""
    random = np.random.default_rng(0)
    rows = []
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(scans):
        path = folder / f"scan{i}.png"
        pixels = random.integers(0, 120, (size, size), dtype=np.uint8)
        pixels[10 : 12 + 3 * i, 10:20] = 250
        Image.fromarray(pixels).save(path)
        rows.append(_row(i, path, "ok", ""))
    (folder / "damaged.png").write_bytes(path.read_bytes()[:200])
    rows.append(_row(scans, folder / "damaged.png", "ok", ""))
    (folder / "letter.txt").write_text("not a scan")
    rows.append(_row(scans + 1, folder / "letter.txt", "set aside", "a text file"))
    return Manifest(pd.DataFrame(rows))


def _row(i: int, path: Path, status: str, reason: str) -> dict[str, str]:
    return {
        "scan_id": f"{i:012x}",
        "patient": f"P-{i:08x}",
        "study": "",
        "series": "",
        "site": "here",
        "path": str(path),
        "label": ("no", "yes")[i % 2] if status == "ok" else "",
        "split": "",
        "status": status,
        "reason": reason,
    }


def classifier(
    n_classes: int = 2, backbone: str = BACKBONE, seed: int = 0, channels: int = 1, pooling: str = "mean"
) -> Classifier:
    """Random weights, and batch statistics that are not 0 and 1, so that a lost buffer is noticed."""
    torch.manual_seed(seed)
    net = create_backbone(backbone, pretrained=False, channels=channels)
    model = Classifier(net, n_classes, bottleneck=16, pooling=pooling)
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.1)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
        model.head.weight.mul_(5)
    return model.eval()


def trust(classes: int = 2, features: int = 256, seed: int = 0, task: str = "binary") -> Any:
    """Fitted on noise."""
    random = np.random.default_rng(seed)
    label = np.arange(60) % classes
    logits = 2 * np.eye(classes)[label] + random.normal(size=(60, classes))
    around = random.normal(size=(60, features))
    return fit_trust(logits, label, np.array([f"P{i}" for i in range(60)]), around, around, task)


def facts(**others: Any) -> dict[str, Any]:
    """What a training verb says of its Run."""
    return {
        "method": "dann",
        "task": "binary",
        "classes": ["no", "yes"],
        "seed": 3,
        "backbone": BACKBONE,
        "bottleneck": 16,
        "decision": {"handed_over": "adapted", "why": "a test", "sentence": "Label 50 scans.", "warn": True},
        **others,
    }


def run(folder: Path, **others: Any) -> Run:
    """A whole Run with two models."""
    given = {
        "facts": facts(),
        "config": {"seed": 3, "source": ["/home/somebody/scans"], "size": 32},
        "recipe": RECIPE,
        "models": {"adapted": classifier(seed=1), "source-only": classifier(seed=2).state_dict()},
        "trust": {"adapted": trust(seed=1), "source-only": trust(seed=2)},
        "log": pd.DataFrame({"phase": ["warm"], "epoch": [0], "step": [1], "lr": [0.1]}),
        "metrics": {"auroc": np.float32(0.5), "nothing": float("nan")},
        "features": {"source_before": np.zeros((2, 3), np.float32), "source_id": np.array(["a", "b"], object)},
        **others,
    }
    return write_run(folder, **given)


def shared(factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """One Run and its export for all tests that leave them as they are: an export takes seconds."""
    folder = factory.getbasetemp() / "shared"
    if not (folder / "export").exists():
        export_onnx(run(folder / "run"), folder / "export")
    return Run.load(folder / "run"), folder / "export"


def cohort(folder: Path) -> Cohort:
    """The readable scans of `manifest`."""
    return Cohort(manifest(folder), RECIPE, cache=folder / "cache")
