"""What balancing the stain does to a classifier of blood cells from another laboratory.

    python benchmarks/stain.py [--quick]

Frozen ImageNet features (EfficientNet-Lite0, 112 x 112) of single cells, a logistic regression trained on Barcelona
and tested on Jiangxi and CellaVision, which it has not seen: once with the recipe `colour`, once with `stained`. The
AUROC is the mean over the classes, each against the rest, that have 10 cells and more in the target; intervals resample
cells (no patient is known), the difference's both recipes at once. One thread; the regression's strength is fixed.
`stained` was chosen among about a dozen variants on these same two targets, so its gain here is flattered.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from _rows import markdown  # noqa: E402

from medtl.intensity import RECIPES  # noqa: E402
from medtl.models import create_backbone  # noqa: E402
from medtl.scans import read  # noqa: E402

CELLS = HERE.parent.parent / "shared" / "data" / "cells"
SOURCE, TARGETS, WAYS = "barcelona", ("jiangxi", "cellavision"), ("colour", "stained")
FEWEST, RESAMPLES = 10, 1000


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="40 cells a laboratory, to see that it runs")
    quick = parser.parse_args(arguments).quick
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message=".*pickle.*")
    labels = pd.read_csv(CELLS / "labels.csv")
    sites = {site: rows.sample(min(len(rows), 40), random_state=0) if quick else rows
             for site, rows in labels.groupby("site")}  # fmt: skip
    scans = {site: [read(CELLS / file) for file in rows.file] for site, rows in sites.items()}
    backbone = create_backbone().eval()
    scores, seconds = {}, {}
    for way in WAYS:
        recipe, began = RECIPES[way], time.perf_counter()
        prepared = {site: np.concatenate([recipe(scan) for scan in each]) for site, each in scans.items()}
        seconds[way] = (time.perf_counter() - began) / sum(map(len, scans.values()))
        features = {site: _features(backbone, pixels) for site, pixels in prepared.items()}
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
        model.fit(features[SOURCE], sites[SOURCE].label)
        scores[way] = {site: pd.DataFrame(model.predict_proba(features[site]), columns=model.classes_)
                       for site in TARGETS}  # fmt: skip
    table = []
    for site in TARGETS:
        truth = sites[site].label.to_numpy()
        draws = {way: _resampled(scores[way][site], truth, 1 if quick else RESAMPLES) for way in WAYS}
        gain = draws["stained"] - draws["colour"]
        table.append([site, *(f"{_auroc(scores[way][site], truth):.3f} {_interval(draws[way])}" for way in WAYS),
                      f"{_auroc(scores['stained'][site], truth) - _auroc(scores['colour'][site], truth):+.3f} "
                      f"{_interval(gain)}"])  # fmt: skip
    print(markdown(["target", *WAYS, "gain"], table))
    print(f"\nms a cell: {', '.join(f'{way} {1000 * each:.1f}' for way, each in seconds.items())}")


def _features(backbone: torch.nn.Module, pixels: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return torch.cat([backbone(part) for part in torch.from_numpy(pixels).split(64)]).numpy()


def _auroc(scores: pd.DataFrame, truth: np.ndarray) -> float:
    classes = [name for name in scores if FEWEST <= (truth == name).sum() < len(truth)]
    return float(np.mean([roc_auc_score(truth == name, scores[name]) for name in classes]))


def _resampled(scores: pd.DataFrame, truth: np.ndarray, times: int) -> np.ndarray:
    """AUROC of cells drawn with replacement within each class, (times,); the same draws for every table of scores."""
    generator = np.random.default_rng(0)
    groups = [np.flatnonzero(truth == name) for name in np.unique(truth)]
    drawn = [np.concatenate([generator.choice(group, len(group)) for group in groups]) for _ in range(times)]
    return np.array([_auroc(scores.iloc[rows], truth[rows]) for rows in drawn])


def _interval(draws: np.ndarray) -> str:
    low, high = np.percentile(draws, (2.5, 97.5))
    return f"[{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    main()
