"""What a report shows: plain data, measured elsewhere, drawn by `render`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from medtl.data.units import Unit, counted


@dataclass(frozen=True)
class ModelResult:
    """One model on the scans of the report.

    Attributes:
        name: what it is called in the report and in metrics.json: "source-only", "adapted" ...
        probabilities: float (N, K), after calibration.
        uncalibrated: float (N, K), before.
        metrics: the contract's keys after calibration, the same before under "uncalibrated"; besides them, in
            both, "ece_expected", what a perfectly calibrated model shows on as many scans, and "ece_excess", the rest.
        sites: site name -> the contract's keys on that site's scans, or only "n_scans" and "n_patients" where it has
            one class.
        handed_over: whether this is the run's answer.
        referred: share of scans in [0, 1] that the model would leave to a reader; None where unknown.
        note: a few words under its name.
        seconds: how long training took; None where unknown.
    """

    name: str
    probabilities: np.ndarray
    uncalibrated: np.ndarray
    metrics: Mapping[str, Any]
    sites: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    handed_over: bool = False
    referred: float | None = None
    note: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class Example:
    """One scan as the model sees it.

    Attributes:
        pixels: float32 (C, H, W), the recipe's output, roughly in [-1, 1]; of a volume, the slice that mattered most.
        saliency: float32 (H, W) in [0, 1], or None.
        truth, prediction: class names.
        probability: calibrated; of two classes, of the positive one; of more, of the prediction.
        why: "right and sure", "wrong" or "in doubt".
        instance: which of the scan's instances `pixels` is.
        weights: float (instances,), how much each mattered, sum 1; None for a picture.
        part: what an instance is: "slice", or "projection".
    """

    scan_id: str
    site: str
    pixels: np.ndarray
    saliency: np.ndarray | None
    truth: str
    prediction: str
    probability: float
    why: str
    instance: int = 0
    weights: np.ndarray | None = None
    part: str = "slice"


@dataclass(frozen=True)
class Projection:
    """The features of both sites on a plane, before and after adaptation.

    Attributes:
        before, after: float (N, 2); each has axes of its own, since the network between them changed.
        site: (N,) site names.
        label: (N,) class names, "" where the training saw no label.
        told_apart_before, told_apart_after: share of scans whose site a linear classifier reads off the features,
            cross-validated; 0.5 is mixed.
        how: the projection's name.
    """

    before: np.ndarray
    after: np.ndarray
    site: np.ndarray
    label: np.ndarray
    told_apart_before: float
    told_apart_after: float
    how: str = "PCA"


@dataclass(frozen=True)
class ReportData:
    """All that `render` needs.

    Attributes:
        title: "Breast ultrasound at egypt" or so.
        verdict: "better than chance", "not" or "cannot tell yet".
        verdict_sentence: what to trust, in one plain sentence.
        classes: sorted names; of two, the second is the positive class.
        label: (N,) class numbers, or (N, K) of 0, 1, nan for several labels a scan.
        patient, site: (N,).
        models: in the order of the table; one is handed over.
        decision: run.json's "decision": handed_over, sentence, warn, signals.
        notes: sentences about what was left out and why.
        log: columns phase, epoch, step, losses ..., domain_accuracy.
        unit: what each of the N is: "series" or "study".
    """

    title: str
    verdict: str
    verdict_sentence: str
    task: str
    classes: tuple[str, ...]
    label: np.ndarray
    patient: np.ndarray
    site: np.ndarray
    models: tuple[ModelResult, ...]
    decision: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    projection: Projection | None = None
    examples: tuple[Example, ...] = ()
    log: pd.DataFrame | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    created: str = ""
    unit: Unit = "series"

    @property
    def counted(self) -> str:
        """What the N are: "scans" or "studies"."""
        return counted(self.unit)

    @property
    def handed_over(self) -> ModelResult:
        """The model that the run hands over; the last one where none is marked."""
        return next((m for m in self.models if m.handed_over), self.models[-1])
