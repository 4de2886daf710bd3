"""Sets of classes that hold the true one as often as promised: split conformal prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from medtl.trust.density_ratio import Ratio, fit_ratio

Kind = Literal["marginal", "class", "weighted"]
KINDS: tuple[Kind, ...] = get_args(Kind)
COVERAGE = 0.9  # what is asked for where nobody asks: usual in the field, and 9 patients can promise it
_ROUNDING = 1e-9


@dataclass(frozen=True)
class ConformalSets:
    """Which classes stay possible for a scan: those whose score, one minus their probability, is small enough.

    - "marginal": one quantile for all (Vovk et al. 2005; Sadinle et al., JASA 114, 2019). Of all scans, the promised
      share have their true class in the set; a rare class may have less.
    - "class": one quantile a class, of the scans that truly are of it (Mondrian, Vovk et al. 2005): the promise holds
      within each class. "multilabel": one quantile a label.
    - "weighted": calibrated at one site for another (Tibshirani et al., NeurIPS 2019, arXiv:1904.06019). Each score
      counts as much more as such features are more frequent at the other site; the promise holds there as far as these
      weights are true and a label looks the same at both sites.

    Attributes:
        kind: "marginal", "class" or "weighted".
        coverage: the coverage that was asked for.
        patients: how many patients stand behind each promise, one number or one a class; "weighted": their effective
            number, (sum of weights)² / sum of squared weights.
        promised: what they can promise: coverage, or less where they are too few. One number or one a class.
        quantile: the largest score that stays; one number or one a class, of which 1 keeps the class in every set;
            "weighted": none, it differs from scan to scan.
        scores: "weighted": sorted, of the calibration scans.
        weights: "weighted": of the same scans, all in proportion so that a patient with a weight of 1 counts 1.
        ratio: "weighted": the weight of features.
    """

    kind: Kind = "marginal"
    coverage: float = COVERAGE
    patients: tuple[float, ...] = ()
    promised: tuple[float, ...] = ()
    quantile: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    ratio: Ratio | None = None

    def sets(
        self, probabilities: ArrayLike, features: ArrayLike | None, task: str
    ) -> tuple[list[tuple[int, ...]], np.ndarray]:
        """The classes that stay, and whether that decides the scan.

        Args:
            probabilities: (N, K).
            features: (N, F); only "weighted" looks at them, and takes a scan without features for one that is as
                frequent at both sites.
            task: "binary", "multiclass" or "multilabel".

        Returns:
            A tuple of class numbers for each scan, which may be empty; and (N,) bool, whether exactly one class stays.
            "multilabel": the labels that may be present; decided where each label is surely present or surely absent.
        """
        p = np.asarray(probabilities, float)
        quantile = self._weighted(len(p), features) if self.kind == "weighted" else np.array([self.quantile])
        return prediction_sets(p, quantile, task)

    def _weighted(self, n: int, features: ArrayLike | None) -> np.ndarray:
        """The quantile of each scan (n, 1): its own weight counts for a score that nothing exceeds."""
        own = np.ones(n) if features is None or self.ratio is None else self.ratio(np.asarray(features))
        weighed = np.cumsum(self.weights)
        place = np.searchsorted(weighed, self.promised[0] * (weighed[-1] + own) * (1 - _ROUNDING))
        return np.r_[self.scores, 1.0][place][:, None]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        state: dict[str, Any] = {"kind": self.kind, "coverage": self.coverage}
        for name in ("patients", "promised", "quantile", "scores", "weights"):
            state[name] = list(getattr(self, name))
        return state | {"ratio": self.ratio.to_dict() if self.ratio else None}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> ConformalSets:
        """What `to_dict` gave.

        Raises:
            ValueError: another kind of sets.
            KeyError, TypeError: the state is damaged.
        """
        if state["kind"] not in KINDS:
            raise ValueError(f"prediction sets of kind {state['kind']!r} are not known to this medtl")
        numbers = {
            name: tuple(float(each) for each in state[name])
            for name in ("patients", "promised", "quantile", "scores", "weights")
        }
        ratio = Ratio.from_dict(state["ratio"]) if state["ratio"] else None
        return cls(kind=state["kind"], coverage=float(state["coverage"]), ratio=ratio, **numbers)


def fit_sets(
    label: ArrayLike,
    probabilities: ArrayLike,
    patient: ArrayLike | None,
    task: str,
    kind: Kind = "marginal",
    coverage: float = COVERAGE,
    features: ArrayLike | None = None,
    target_features: ArrayLike | None = None,
) -> ConformalSets:
    """Prediction sets from labelled scans that the model was not trained on.

    Patients are counted, not scans, since it is they who are exchangeable. Where they are too few for `coverage`, the
    largest score is taken and less is promised: `too_few` has the sentence.

    Args:
        label: (N,) class numbers, all known; "multilabel": (N, K) 0, 1 or nan.
        probabilities: (N, K).
        patient: (N,) names; None: every scan is a patient of its own.
        task: "binary", "multiclass" or "multilabel".
        kind: "marginal", "class" or "weighted".
        coverage: above 0, below 1.
        features: (N, F) of these scans; for "weighted".
        target_features: (M, F) of unlabelled scans of the site that the sets are for; for "weighted".

    Raises:
        ValueError: "weighted" without features.
    """
    label, p = np.asarray(label), np.asarray(probabilities, float)
    names = np.arange(len(label)) if patient is None else np.unique(np.asarray(patient), return_inverse=True)[1]
    if kind == "weighted":
        if features is None or target_features is None:
            raise ValueError("weighted sets need the features of both sites")
        ratio = fit_ratio(np.asarray(features, float), np.asarray(target_features, float))
        return _weighted(label, p, names, task, coverage, np.asarray(features, float), ratio)
    fitted = []
    for rows, columns in _groups(label, p.shape[1], task) if kind == "class" else [(slice(None), slice(None))]:
        if task == "multilabel":
            scores = conformal_scores(label[:, columns], p[:, columns], task)
            known = names[~np.all(np.isnan(label[:, columns].astype(float)), axis=1)]
        else:
            scores, known = conformal_scores(label[rows], p[rows], task), names[rows]
        n = len(np.unique(known))
        fitted.append((float(n), *(conformal_quantile(scores, n, coverage) if n else (1.0, 1.0))))
    patients, quantile, promised = zip(*fitted, strict=True)
    return ConformalSets(kind, coverage, patients, promised, quantile)


def too_few(sets: ConformalSets, classes: Sequence[str], n_scans: int | None = None) -> str:
    """What to say where the patients cannot promise the coverage that was asked for; "" where they can.

    n patients can promise n / (n + 1) and no more, whatever the model.

    Args:
        sets: fitted.
        classes: the names of the K classes.
        n_scans: how many scans all the patients have.
    """
    short = [k for k, promised in enumerate(sets.promised) if promised < sets.coverage or not sets.patients[k]]
    if not short:
        return ""
    fewest = min(short, key=lambda k: sets.patients[k])
    n = sets.patients[fewest]
    more = ceil(sets.coverage / (1 - sets.coverage) - _ROUNDING - n)
    counted = f"{n:.0f} patient" + ("" if n == 1 else "s")
    if n_scans == n and len(sets.promised) == 1:
        counted = f"{n_scans} scan" + ("" if n == 1 else "s")
    if sets.kind == "class":
        counted += f" of {classes[fewest]!r}"
    elif sets.kind == "weighted":
        counted = f"scans that, weighted for the new site, count as {n:.1f} patients"
    if not n:
        return f"with {counted} nothing can be promised of it: label {more} or more"
    most = floor(100 * n / (n + 1)) / 100
    label = "scans of the new site" if sets.kind == "weighted" else f"{more} more"
    return (
        f"with {counted} no more than {100 * most:.0f} % can be promised: "
        f"ask for --coverage {most:.2f} or label {label}"
    )


def conformal_scores(label: ArrayLike, probabilities: ArrayLike, task: str) -> np.ndarray:
    """One minus the probability of what was true: (N,), or for "multilabel" one for each label that is known."""
    label, p = np.asarray(label), np.asarray(probabilities, float)
    if task == "multilabel":
        label = label.astype(float)
        of_true = np.where(label > 0.5, p, 1 - p)
        return 1 - of_true[~np.isnan(label)]
    return 1 - p[np.arange(len(label)), label.astype(int)]


def conformal_quantile(scores: ArrayLike, n_patients: int, level: float = COVERAGE) -> tuple[float, float]:
    """The score up to which a class stays in the set, and the coverage that this promises.

    The ceil((n + 1) level)-th smallest of n scores, n counted in patients: with several scans a patient this errs
    towards larger sets. With too few patients for `level` (fewer than 9 for 0.9) the largest score is taken and
    n / (n + 1) is promised.

    Returns:
        (quantile, promised): each in [0, 1].
    """
    scores = np.asarray(scores, float)
    rank = int(np.ceil((n_patients + 1) * level - _ROUNDING))
    if rank > n_patients:
        return float(scores.max()), n_patients / (n_patients + 1)
    place = -(-rank * len(scores) // n_patients)  # in whole numbers: a quantile's rounding may be one score off
    return float(np.sort(scores)[place - 1]), level


def prediction_sets(
    probabilities: ArrayLike, quantile: ArrayLike, task: str
) -> tuple[list[tuple[int, ...]], np.ndarray]:
    """The classes whose score is at most the quantile, and whether that decides the scan: see `ConformalSets.sets`.

    Args:
        probabilities: (N, K).
        quantile: one number, or what broadcasts to (N, K).
        task: "binary", "multiclass" or "multilabel".
    """
    p, largest = np.asarray(probabilities, float), np.asarray(quantile, float) + 1e-12
    stays = 1 - p <= largest
    sets = [tuple(int(k) for k in np.flatnonzero(row)) for row in stays]
    if task == "multilabel":
        return sets, np.all(stays != (p <= largest), axis=1)
    return sets, stays.sum(axis=1) == 1


def _groups(label: np.ndarray, classes: int, task: str) -> list[tuple[Any, Any]]:
    """Rows and columns of each class's own scores: the scans that are of it, or all that is known of a label."""
    if task == "multilabel":
        return [(slice(None), [k]) for k in range(classes)]
    return [(label == k, slice(None)) for k in range(classes)]


def _weighted(
    label: np.ndarray,
    p: np.ndarray,
    names: np.ndarray,
    task: str,
    coverage: float,
    features: np.ndarray,
    ratio: Ratio,
) -> ConformalSets:
    """Scores with their weights; the promise is what so many patients of equal weight could give."""
    weight = ratio(features)
    of_patient = np.bincount(names, weight) / np.maximum(np.bincount(names), 1)
    patients = float(of_patient.sum() ** 2 / np.sum(of_patient**2))
    scores = conformal_scores(label, p, task)
    if task == "multilabel":
        weight = np.broadcast_to(weight[:, None], label.shape)[~np.isnan(label.astype(float))]
    order = np.argsort(scores)
    share = len(of_patient) / len(scores)
    return ConformalSets(
        kind="weighted",
        coverage=coverage,
        patients=(patients,),
        promised=(min(coverage, patients / (patients + 1)),),
        scores=tuple(scores[order].tolist()),
        weights=tuple((weight[order] * share).tolist()),
        ratio=ratio,
    )
