"""Any number of named models on the same scans: what a report and metrics.json say of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from medtl import measures
from medtl.data.units import Unit, counted
from medtl.reports.contents import ModelResult
from medtl.trust import Trust, Verdict, apply_trust, probabilities_of, verdict

NO_RULE = "0.5, since none was fitted"
HONEST = 0.04  # calibration error beyond chance up to which a probability may be read as it stands (issue 1's bound)


@dataclass(frozen=True)
class Outputs:
    """What one model gave for the scans.

    Attributes:
        logits: float (N, K).
        features: float (N, F); needed by `trust` alone.
        trust: what was fitted for it, or None.
        handed_over: whether it is the run's answer.
        note: a few words under its name.
        seconds: how long training took.
    """

    logits: np.ndarray
    features: np.ndarray | None = None
    trust: Trust | None = None
    handed_over: bool = False
    note: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class Labelled:
    """The scans that the models are compared on.

    Attributes:
        label: (N,) class numbers, or (N, K) of 0, 1, nan.
        patient, site: (N,) names.
        classes: K names, sorted; of two, the second is the positive one.
        unit: what each of the N is: "series" or "study".
    """

    label: np.ndarray
    patient: np.ndarray
    site: np.ndarray
    classes: tuple[str, ...]
    unit: Unit = "series"

    @property
    def task(self) -> str:
        """One of "binary", "multiclass", "multilabel", as a Run says it."""
        return "multilabel" if self.label.ndim == 2 else "binary" if len(self.classes) == 2 else "multiclass"


def evaluate_models(
    models: Mapping[str, Outputs], scans: Labelled, n_bootstrap: int = 1000, seed: int = 0
) -> tuple[ModelResult, ...]:
    """Measure every model on the same scans, whole and by site, before and after calibration."""
    return tuple(_measure(name, outputs, scans, n_bootstrap, seed) for name, outputs in models.items())


def _measure(name: str, outputs: Outputs, scans: Labelled, n_bootstrap: int, seed: int) -> ModelResult:
    trust = outputs.trust or Trust(task=scans.task)
    judged = apply_trust(trust, outputs.logits, outputs.features)
    calibrated = np.asarray(judged.probabilities, float)
    raw = np.asarray(probabilities_of(outputs.logits, scans.task, 1.0, ()), float)
    rule = trust.threshold_rule if trust.threshold is not None else NO_RULE

    def numbers(probabilities: np.ndarray, rows: np.ndarray, threshold: float | None, rule: str) -> dict[str, Any]:
        found = measures.evaluate(
            scans.label[rows], probabilities[rows], scans.patient[rows], scans.classes,
            threshold=threshold, n_bootstrap=n_bootstrap, seed=seed,
            threshold_rule=None if scans.task == "multiclass" else rule,
        )  # fmt: skip
        return {**found, **_calibration(found, probabilities[rows], scans.label[rows])}

    everything = np.ones(len(scans.label), bool)
    metrics = numbers(calibrated, everything, trust.threshold, rule)
    metrics["uncalibrated"] = numbers(raw, everything, None, NO_RULE)
    by_site = {}
    for site in dict.fromkeys(scans.site.tolist()):
        by_site[str(site)] = numbers(calibrated, scans.site == site, trust.threshold, rule)
    return ModelResult(
        name=name,
        probabilities=calibrated,
        uncalibrated=raw,
        metrics=metrics,
        sites=by_site,
        handed_over=outputs.handed_over,
        referred=None if outputs.trust is None else float(np.mean(judged.refer)),
        note=outputs.note,
        seconds=outputs.seconds,
    )


def _calibration(found: Mapping[str, Any], probabilities: np.ndarray, label: np.ndarray) -> dict[str, float | None]:
    several = label.ndim == 2
    known = np.where(np.isnan(label), np.nan, probabilities) if several else probabilities
    expected = measures.ece_expected_if_perfect(known, several_labels=several)
    error = found["ece"]
    return {"ece_expected": expected, "ece_excess": None if error is None else error - expected}


def judge(result: ModelResult, scans: Labelled) -> Verdict:
    """Whether the model is better than chance on these scans."""
    return verdict(scans.label, result.probabilities, scans.patient, counted=counted(scans.unit))


def what_to_trust(result: ModelResult, found: Verdict, unit: Unit = "series") -> str:
    """The verdict in a sentence, and where it helps a second one on what to make of the probabilities."""
    if found.kind == "not":
        return f"{found.sentence} Do not rely on it here."
    if found.kind == "cannot tell yet":
        return found.sentence
    off = result.metrics.get("ece_excess")
    if off is None:
        return found.sentence
    if off < HONEST:
        said = "Its probabilities can be read as they stand"
    else:
        ranks = f"Trust how it ranks {counted(unit)}, not the percentages it gives"
        said = f"{ranks}: they are off by about {100 * off:.0f} points"
    if result.referred:
        said += f", and it leaves {100 * result.referred:.0f} % of the {counted(unit)} to a reader"
    return f"{found.sentence} {said}."


def contract(result: ModelResult) -> dict[str, Any]:
    """What metrics.json says of one model."""
    return {**result.metrics, "referred": result.referred, "sites": {k: dict(v) for k, v in result.sites.items()}}


def one_class(labels: Iterable[str]) -> str | None:
    """The only label there is, or None where there are more; "a;b" is one label here."""
    present = set(labels)
    return next(iter(present)) if len(present) == 1 else None
