"""Which batch statistics to fix while volumes are trained on in chunks: python benchmarks/chunk_statistics.py.

The sex of the people of `volumes.py`, three folds, 16 slices of 64 x 64, 40 steps of 8 volumes: 128 slices a step, two
chunks. The backbone's statistics are ImageNet's or those of the scans trained on, as they were before training; the
trained model is asked about people left out with the statistics it was trained with, and with those of the scans taken
afterwards, as a model of pictures is handed over. A row each is kept under benchmarks/results/.
"""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import torch
from _rows import Rows, machine, markdown
from lightning_fabric import Fabric
from sklearn.model_selection import StratifiedKFold
from volumes import DEFAULT, RESULTS, Setting, cohort_of

from medtl.data import Cohort
from medtl.data.samplers import Deal
from medtl.measures import auroc
from medtl.methods import METHODS
from medtl.models import Classifier
from medtl.models.batch_statistics import with_statistics_of
from medtl.runs.predict import outputs
from medtl.training import Role, fit
from medtl.training.adaptation import new_classifier
from medtl.training.config import Config

SETTING = replace(Setting(), steps=40, size=64, slices=16)
FIXED = ("ImageNet's", "the scans'")


def area(classifier: Classifier, cohort: Cohort) -> float:
    logits = outputs(classifier, cohort)[0]
    return auroc(cohort.label, logits[:, 1] - logits[:, 0])


def measured(fixed: str, seen: Cohort, unseen: Cohort) -> dict[str, float]:
    """AUROC on the people left out, with the statistics of training and with new ones."""
    classifier = new_classifier(Config(), 2, seen.recipe.channels, 0)
    if fixed == "the scans'":
        classifier = with_statistics_of(classifier, seen)
    plan = SETTING.plan(DEFAULT)
    role = Role(seen, Deal(seen.label, plan.batch, 0))
    fit(
        METHODS["source-only"](classifier),
        {"source": role},
        plan,
        fabric=Fabric(accelerator="cpu"),
        seed=0,
        phase=fixed,
    )
    return {
        "as trained": area(classifier.cpu().eval(), unseen),
        "taken afterwards": area(with_statistics_of(classifier, seen), unseen),
    }


def main() -> None:
    """Measure what is not measured yet, and print the table."""
    torch.set_flush_denormal(True)
    rows = Rows(RESULTS / "chunk_statistics.jsonl")
    cohort = cohort_of(DEFAULT, "sex", SETTING)
    assert isinstance(cohort, Cohort)
    folds = list(StratifiedKFold(3, shuffle=True, random_state=0).split(cohort.label, cohort.label))
    lines = []
    for fixed in FIXED:
        found = []
        for number, (seen, unseen) in enumerate(folds):
            key = {"fixed": fixed, "fold": number, "setting": asdict(SETTING)}
            row = rows.row(key, lambda f=fixed, s=seen, u=unseen: measured(f, cohort.select(s), cohort.select(u)))
            found.append(row["result"])
        for asked in found[0]:
            each = [row[asked] for row in found]
            lines.append([fixed, asked, f"{np.mean(each):.3f}", " ".join(f"{value:.3f}" for value in each)])
    print(f"{machine()}\n\n{markdown(['fixed in training', 'asked with', 'AUROC', 'folds'], lines)}")


if __name__ == "__main__":
    main()
