"""PneumoniaMNIST: chest radiographs of children at 28 x 28, normal or pneumonia, with the original test split.

    python benchmarks/pneumoniamnist.py [--seeds 3]

The pictures are the `guangzhou` set shrunk to 28 x 28 by the mean over each area, as MedMNIST v2 (Scientific Data 2023)
shrinks them. The 5,216 pictures of the original training folder are split 9:1 into train and validation, by patient
(MedMNIST splits by picture); the 624 of its test folder are looked at once, by the trained model. The default backbone
sees them enlarged to 112 x 112, trained with the package's loop and views, each class dealt as often as the other.
Temperature and Youden's threshold come from the validation split, and so does the choice between the two settings that
were tried (docs/benchmarks.md).
The test folder holds 62 % pneumonia, the training folder 74 %, and it was filled at other times: a classifier of it is
overconfident in pneumonia, which the AUC does not see and the accuracy at 0.5 does.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from _pictures import Pictures
from _rows import RESULTS, Rows, machine, markdown
from lightning_fabric import Fabric
from PIL import Image
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from medtl.data.augmentation import Augmentation
from medtl.data.samplers import Deal
from medtl.intensity import recipe_for
from medtl.methods import METHODS
from medtl.models import DEFAULT, Classifier, create_backbone
from medtl.progress import track
from medtl.runs.predict import outputs
from medtl.scans import Scan
from medtl.training import Plan, Role, fit
from medtl.trust import apply_trust, fit_trust

CXR = Path(__file__).resolve().parents[2] / "shared" / "data" / "cxr"
PUBLISHED = {
    "ResNet-18 (28)": (0.944, 0.854),
    "ResNet-18 (224)": (0.956, 0.864),
    "ResNet-50 (28)": (0.948, 0.854),
    "ResNet-50 (224)": (0.962, 0.884),
    "auto-sklearn": (0.942, 0.855),
    "AutoKeras": (0.947, 0.878),
    "Google AutoML Vision": (0.991, 0.946),
}
SETTINGS: dict[str, Any] = {"size": 112, "steps": 900, "batch": 32, "lr": 1e-3, "backbone_lr": 1.0}


def load(size: int) -> dict[str, Pictures]:
    """Train, validation and test pictures: 28 x 28 as published, then as the package's recipe for radiographs."""
    table = pd.read_csv(CXR / "labels.csv", dtype=str)
    table = table[table.site == "guangzhou"].reset_index(drop=True)
    cache = RESULTS / "pneumoniamnist" / "pictures.npy"
    if not cache.exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.save(cache, np.stack([_small(CXR / file) for file in track(table.file, "Shrinking pictures")]))
    recipe, _ = recipe_for(["CR"], size)
    stack = np.concatenate([recipe(Scan(small[None].astype(np.float32), modality="CR")) for small in np.load(cache)])
    every = Pictures(stack, (table.label == "pneumonia").to_numpy(np.int64), table.patient.to_numpy(str))
    test = (table.original_split == "test").to_numpy()
    validation = np.zeros(len(table), dtype=bool)
    folds = StratifiedGroupKFold(10, shuffle=True, random_state=0)
    trained_on = np.flatnonzero(~test)
    _, tenth = next(folds.split(trained_on, every.label[trained_on], every.patient[trained_on]))
    validation[trained_on[tenth]] = True
    parts = {"train": ~test & ~validation, "validation": validation, "test": test}
    return {name: every.select(mask) for name, mask in parts.items()}


def _small(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L").resize((28, 28), Image.Resampling.BOX))


def train(pictures: Pictures, seed: int, settings: dict[str, Any]) -> Classifier:
    """The default backbone, by the package's loop."""
    torch.manual_seed(seed)
    classifier = Classifier(create_backbone(channels=1), 2)
    method = METHODS["source-only"](classifier).to(memory_format=torch.channels_last)
    role = Role(pictures, Deal(pictures.label, settings["batch"], seed), augmentation=Augmentation())
    plan = Plan(settings["steps"], settings["batch"], settings["lr"], settings["backbone_lr"])
    fit(method, {"source": role}, plan, fabric=Fabric(devices=1), seed=seed, phase="training")
    return method.predictor().eval()


def measure(seed: int, settings: dict[str, Any]) -> dict[str, float]:
    """One row: trained, calibrated on the validation split, and only then shown the test split."""
    parts = load(settings["size"])
    classifier = train(parts["train"], seed, settings)
    given = {name: outputs(classifier, part) for name, part in parts.items() if name != "train"}
    validation = parts["validation"]
    trust = fit_trust(given["validation"][0], validation.label, validation.patient, None, None, "binary")
    row = {"temperature": trust.calibrator.temperature, "threshold": trust.threshold}
    for name, (logits, _) in given.items():
        p, label = apply_trust(trust, logits, None).probabilities[:, 1], parts[name].label
        row[f"{name}_auroc"] = roc_auc_score(label, p)
        row[f"{name}_accuracy"] = np.mean((p >= 0.5) == label)
        row[f"{name}_accuracy_youden"] = np.mean((p >= trust.threshold) == label)
        row[f"{name}_nll"] = log_loss(label, p)
    return {name: float(value) for name, value in row.items()}


def report(found: list[dict[str, Any]]) -> str:
    """The table."""
    rows = [[name, f"{auc:.3f}", f"{accuracy:.3f}", "", ""] for name, (auc, accuracy) in PUBLISHED.items()]
    for row in found:
        result = row["result"]
        rows.append(
            [
                f"medtl, {row['key']['backbone']} (28), seed {row['key']['seed']}",
                *(f"{result[f'test_{name}']:.3f}" for name in ("auroc", "accuracy", "accuracy_youden")),
                f"{result['validation_auroc']:.3f}",
            ]
        )
    header = ["model", "test AUC", "test accuracy at 0.5", "at Youden's threshold", "validation AUC"]
    return markdown(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    torch.set_flush_denormal(True)
    rows = Rows(RESULTS / "pneumoniamnist.jsonl")
    keys = [{"seed": seed, "backbone": DEFAULT, **SETTINGS} for seed in range(given.seeds)]
    found = [rows.row(key, lambda: measure(key["seed"], SETTINGS)) for key in keys]  # noqa: B023
    print(report(found))
    minutes = np.mean([row["seconds"] for row in found]) / 60
    print(f"\n{minutes:.0f} minutes a seed; measured {found[-1]['date']} on {machine()}")


if __name__ == "__main__":
    main()
