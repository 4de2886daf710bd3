"""Any number of named models on the same scans: what a report and metrics.json say of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medtl import measures
from medtl.data.units import Unit, counted
from medtl.reports import probabilities as worth
from medtl.reports.contents import ModelResult, PairedDifference
from medtl.reports.curves import one_versus_rest
from medtl.reports.thresholds import Judged, operating_rows
from medtl.trust import Trust, Verdict, apply_trust, verdict

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
        local: float (M, K), the logits of the scans that thresholds are set on again; None: cross-fitted on the N.
    """

    logits: np.ndarray
    features: np.ndarray | None = None
    trust: Trust | None = None
    handed_over: bool = False
    note: str = ""
    seconds: float | None = None
    local: np.ndarray | None = None


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
    models: Mapping[str, Outputs],
    scans: Labelled,
    n_bootstrap: int = 1000,
    seed: int = 0,
    local: Labelled | None = None,
    prevalence: Mapping[str, float] | None = None,
) -> tuple[ModelResult, ...]:
    """Measure every model on the same scans, whole and by site, before and after calibration.

    Args:
        models: name -> what it gave.
        scans: N.
        n_bootstrap: resamples of the patients for intervals.
        seed: of the resampling.
        local: M labelled scans of other patients, for the thresholds set again; `Outputs.local` has their logits.
        prevalence: class -> how common it is where the models will be used.
    """
    return tuple(
        _measure(name, outputs, scans, n_bootstrap, seed, local, prevalence) for name, outputs in models.items()
    )


def _measure(
    name: str,
    outputs: Outputs,
    scans: Labelled,
    n_bootstrap: int,
    seed: int,
    local: Labelled | None,
    prevalence: Mapping[str, float] | None,
) -> ModelResult:
    trust = outputs.trust or Trust(task=scans.task)
    judged = apply_trust(trust, outputs.logits, outputs.features)
    calibrated = np.asarray(judged.probabilities, float)
    raw = _probabilities(Trust(task=scans.task), outputs.logits)
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
    set_on = None
    if local is not None and outputs.local is not None:
        set_on = Judged(local.label, _probabilities(trust, outputs.local), local.patient)
    threshold = metrics["threshold"]
    said = worth.called(scans.label, calibrated, threshold)
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
        average_precision_ci=worth.average_precision_interval(
            scans.label, calibrated, scans.patient, n_bootstrap, seed
        ),
        operating=operating_rows(
            Judged(scans.label, calibrated, scans.patient),
            scans.classes,
            threshold,
            "the likeliest class" if threshold is None else rule,
            set_on,
            prevalence,
        ),
        benefit=worth.benefit_curves(scans.label, calibrated, scans.classes),
        confusion=worth.confusion_tables(scans.label, said, scans.classes),
        calibration={
            **worth.calibration_of(scans.label, calibrated),
            "uncalibrated": worth.calibration_of(scans.label, raw),
        },
        doubt=worth.doubt(scans.label, calibrated, said),
    )


def compare_pairs(pairs: Sequence[tuple[ModelResult, ModelResult]], scans: Labelled) -> tuple[PairedDifference, ...]:
    """Each pair's first model less its second, on the same scans, with patients taken together.

    The AUROCs by DeLong's paired test, with Holm's correction (Scandinavian Journal of Statistics 6, 1979) for their
    number; the Brier scores on the same resamples of the patients.
    """
    truth = one_versus_rest(scans.label, len(scans.classes))
    found = []
    for one, other in pairs:
        areas = measures.compare_auroc(
            truth, _scores(one, truth.shape[1]), _scores(other, truth.shape[1]), scans.patient
        )
        brier = measures.bootstrap_difference(
            measures.brier, scans.label, one.probabilities, other.probabilities, scans.patient
        )
        found.append((one.name, other.name, areas, brier))
    corrected = _holm(np.array([areas.p for _, _, areas, _ in found]))
    return tuple(
        PairedDifference(
            model=one,
            against=other,
            auroc=areas.difference,
            auroc_ci=(areas.low, areas.high),
            auroc_p=areas.p,
            auroc_p_holm=p,
            brier=brier.difference,
            brier_ci=(brier.low, brier.high),
        )
        for (one, other, areas, brier), p in zip(found, corrected.tolist(), strict=True)
    )


def _holm(p: np.ndarray) -> np.ndarray:
    """Holm's adjusted p-values; of n tests, the smallest p times n, the next times n - 1, and so on, never falling."""
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return adjusted


def _scores(result: ModelResult, columns: int) -> np.ndarray:
    return result.probabilities if columns > 1 else result.probabilities[:, -1:]


def _probabilities(trust: Trust, logits: np.ndarray) -> np.ndarray:
    return np.asarray(apply_trust(trust, logits, None).probabilities, float)


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
    return {
        **result.metrics,
        "referred": result.referred,
        "sites": {k: dict(v) for k, v in result.sites.items()},
        **worth.plain_numbers(result),
    }


def one_class(labels: Iterable[str]) -> str | None:
    """The only label there is, or None where there are more; "a;b" is one label here."""
    present = set(labels)
    return next(iter(present)) if len(present) == 1 else None
