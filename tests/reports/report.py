"""A report of made-up numbers, the same every time: what the tests of the reports share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from medtl.reports.comparison import Labelled, Outputs, evaluate_models
from medtl.reports.contents import Example, ReportData
from medtl.reports.projection import project
from medtl.trust import fit_trust


def scans(
    n: int = 60, classes: tuple[str, ...] = ("benign", "malignant"), sites: tuple[str, ...] = ("here",)
) -> Labelled:
    """`n` scans, two a patient; every class and site is among them."""
    random = np.random.default_rng(0)
    label = random.permutation(np.arange(n) % len(classes))
    patient = np.array([f"P-{i // 2:08x}" for i in range(n)])
    return Labelled(label, patient, np.array(sites, dtype=object)[np.arange(n) // 2 % len(sites)], classes)


def several_labels(n: int = 60) -> Labelled:
    """Two labels that may hold together, one cell unknown."""
    random = np.random.default_rng(0)
    label = random.integers(0, 2, (n, 3)).astype(float)
    label[0, 1] = np.nan
    return Labelled(label, np.arange(n).astype(str), np.repeat("here", n), ("effusion", "mass", "nodule"))


def outputs(on: Labelled, skill: float, seed: int = 1, fitted: bool = True, **others: Any) -> Outputs:
    """Logits that know the label as well as `skill` says, too sure by a factor of three."""
    random = np.random.default_rng(seed)
    truth = np.nan_to_num(on.label) if on.label.ndim == 2 else np.eye(len(on.classes))[on.label]
    logits = 3 * (skill * truth + random.normal(size=truth.shape))
    features = random.normal(size=(len(truth), 8))
    trust = fit_trust(logits, on.label, on.patient, features, features, on.task) if fitted else None
    return Outputs(logits, features, trust, **others)


def report(on: Labelled | None = None, **others: Any) -> ReportData:
    """A whole report."""
    on = on or scans()
    random = np.random.default_rng(3)
    models = {
        "source-only": outputs(on, 0.5),
        "adapted": outputs(on, 1.5, handed_over=True, note="dann"),
        "fine-tuned": outputs(on, 2.0, fitted=False, seconds=12.3),
    }
    features = [random.normal(size=(30, 6)) for _ in range(4)]
    log = pd.DataFrame({"phase": ["source-only"] * 5 + ["dann"] * 5, "epoch": 0, "step": range(10), "progress": 0.5})
    log = log.assign(task=random.random(10), domain_accuracy=[np.nan] * 5 + [0.9, 0.8, 0.7, 0.6, 0.5])
    picture = random.uniform(-1, 1, (3, 16, 16)).astype(np.float32)
    facts: dict[str, Any] = {
        "title": "Benign or malignant at here",
        "verdict": "better than chance",
        "verdict_sentence": "Better than chance here.",
        "task": on.task,
        "classes": on.classes,
        "label": on.label,
        "patient": on.patient,
        "site": on.site,
        "models": evaluate_models(models, on, n_bootstrap=50),
        "decision": {"sentence": "Adapted is handed over.", "warn": True, "signals": {"rank_agreement": [0.8, 0.7]}},
        "projection": project(*features, ["benign", "malignant"] * 15, ("there", "here")),
        "examples": (
            Example("00ff00ff00ff", "here", picture, np.abs(picture[0]), "benign", "malignant", 0.7, "wrong"),
            Example("11ff00ff00ff", "here", picture[:1], None, "benign", "benign", 0.2, "right and sure"),
        ),
        "log": log,
        "config": {"source": ["/home/anna/scans/Smith^John"], "weight": 0.3},
        "provenance": {"seed": 1, "where": "C:\\Users\\anna\\scans"},
        "created": "24 November 2026",
    }
    return ReportData(**{**facts, **others})
