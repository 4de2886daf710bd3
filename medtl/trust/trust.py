"""What a model needs to be trusted, fitted on scans that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from medtl.errors import InputError
from medtl.trust.calibrators import CALIBRATORS, Map, Scaling, map_from_dict, map_to_dict
from medtl.trust.conformal import COVERAGE, ConformalSets, Kind, fit_sets
from medtl.trust.out_of_distribution import Familiarity, fit_familiarity
from medtl.trust.selective import doubtful_below, sureness
from medtl.trust.threshold import youden


@dataclass(frozen=True)
class Trust:
    """Calibrator, threshold, conformal sets and out-of-distribution, small enough for JSON.

    As made without arguments it changes nothing: the model's own probabilities, each scan its likeliest class, every
    scan familiar.

    Attributes:
        task: "binary", "multiclass" or "multilabel".
        method: the calibrator's name.
        calibrator: logits and task -> probabilities.
        threshold: binary: positive from this calibrated probability of the positive class on; else None.
        threshold_rule: how it was chosen.
        sets: the prediction sets; None where no scan was there to fit them: then a set holds the predicted class.
        refer_share: the share of the scans that a reader is to see because the model is least sure of them; None: those
            that their prediction set does not decide.
        refer_below: the sureness below which a scan is one of them; None as above.
        ood: what is familiar; None: everything.
        calibrated_on: n_scans, n_patients, sites.
    """

    task: str = "binary"
    method: str = "none"
    calibrator: Map = field(default_factory=Scaling)
    threshold: float | None = None
    threshold_rule: str = ""
    sets: ConformalSets | None = None
    refer_share: float | None = None
    refer_below: float | None = None
    ood: Familiarity | None = None
    calibrated_on: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        state = {name.name: getattr(self, name.name) for name in fields(self)}
        return state | {
            "calibrator": map_to_dict(self.calibrator),
            "sets": self.sets.to_dict() if self.sets else None,
            "ood": self.ood.to_dict() if self.ood else None,
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Trust:
        """What `to_dict` gave.

        Raises:
            InputError: it was written by another version.
        """
        known = {name.name for name in fields(cls)} | set(_BEFORE)
        if not isinstance(state, dict) or set(state) - known:
            unknown = ", ".join(sorted(set(state) - known)) if isinstance(state, dict) else "no fields"
            raise InputError(f"trust.json holds {unknown}, which this medtl does not know: use the medtl that wrote it")
        now = {name: value for name, value in state.items() if name not in _BEFORE}
        try:
            now["ood"] = Familiarity.from_dict(state["ood"]) if state.get("ood") else None
            now["calibrator"] = map_from_dict(state["calibrator"]) if "calibrator" in state else _scaling_before(state)
            now["sets"] = ConformalSets.from_dict(state["sets"]) if state.get("sets") else _sets_before(state)
            return cls(**now)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"trust.json is damaged ({error}): calibrate the Run again") from error


# The fields of a trust.json that was written before there were other calibrators and other sets.
_BEFORE = ("temperature", "bias", "conformal_quantile", "conformal_level", "conformal_promised")


def _scaling_before(state: dict[str, Any]) -> Scaling:
    return Scaling(state.get("temperature", 1.0), tuple(state.get("bias", ())))


def _sets_before(state: dict[str, Any]) -> ConformalSets | None:
    if state.get("conformal_quantile") is None:
        return None
    coverage = state.get("conformal_level", COVERAGE)
    promised, patients = state.get("conformal_promised"), state.get("calibrated_on", {}).get("n_patients", 0)
    promises = float(coverage if promised is None else promised)
    return ConformalSets(
        coverage=float(coverage),
        patients=(float(patients),),
        promised=(promises,),
        quantile=(float(state["conformal_quantile"]),),
    )


@dataclass(frozen=True)
class Judgement:
    """What is said of N scans.

    Attributes:
        probabilities: (N, K) calibrated.
        prediction: (N,) class number; "multilabel": (N, K) 0 or 1.
        prediction_set: for each scan the classes that may be true.
        in_distribution: (N,) whether the scan resembles what the model knows.
        refer: (N,) whether a person should look: the scan is unfamiliar, or the set is not the predicted class alone;
            where the doubtful are to be referred, the model is less sure of it than they are, whatever its set.
    """

    probabilities: np.ndarray
    prediction: np.ndarray
    prediction_set: list[tuple[int, ...]]
    in_distribution: np.ndarray
    refer: np.ndarray


def fit_trust(
    logits: ArrayLike,
    label: ArrayLike,
    patient: ArrayLike | None,
    features: ArrayLike | None,
    train_features: ArrayLike | None,
    task: str,
    method: str = "temperature",
    sites: Sequence[str] = (),
    ood: Familiarity | None = None,
    calibrator: Map | None = None,
    sets: Kind = "marginal",
    coverage: float = COVERAGE,
    unlabelled_features: ArrayLike | None = None,
    refer: float | None = None,
) -> Trust:
    """Fit all of it on labelled scans that the model was not trained on.

    Args:
        logits: (N, K).
        label: (N,) class numbers, negative where unlabelled (left out); "multilabel": (N, K) 0, 1 or nan.
        patient: (N,) names; None: every scan is a patient of its own.
        features: (N, F) of these scans, to set the out-of-distribution cut; unlabelled ones count too, and with
            `train_features` none of those (`half_the_patients`).
        train_features: (M, F) of the scans trained on, to learn what is familiar.
        task: "binary", "multiclass" or "multilabel".
        method: a name in CALIBRATORS.
        sites: the names of the sites of these scans, for the record.
        ood: what is familiar, fitted earlier, where the training scans are not at hand; only its cut moves.
        calibrator: fitted already, by the method of this name; None: fitted here, by one of CALIBRATORS.
        sets: the kind of prediction sets: "marginal", "class" or "weighted".
        coverage: how often they are to hold the truth; `too_few` says where that cannot be promised.
        unlabelled_features: (U, F) of scans of the site that "weighted" sets are for.
        refer: the share of the scans to refer, those that the model is least sure of; None: those that their set does
            not decide.

    Raises:
        InputError: no labelled scan, or a calibrator that is not there.
    """
    if calibrator is None and method not in CALIBRATORS:
        raise InputError(f"there is no calibrator {method!r}: choose one of {', '.join(CALIBRATORS)}")
    logits, label = np.asarray(logits, float), np.asarray(label)
    known = ~np.all(np.isnan(label.astype(float)), axis=1) if task == "multilabel" else label >= 0
    if not known.any():
        raise InputError(
            "no labelled scan to calibrate on: give a manifest with labels (medtl index --labels labels.csv)"
        )
    names = np.arange(len(label)) if patient is None else np.asarray(patient)
    if train_features is not None and len(np.asarray(train_features)) > 1:
        ood = fit_familiarity(train_features)
    if ood is not None and features is not None and len(np.asarray(features)):
        ood = ood.cut_at(features)
    each = features is not None and len(np.asarray(features)) == len(label)  # not where unlabelled ones stand beside
    here = np.asarray(features, float)[known] if each else None
    logits, label, names = logits[known], label[known], names[known]
    calibrator = calibrator or CALIBRATORS[method](logits, label, task)
    probabilities = calibrator(logits, task)
    threshold, rule = youden(label, probabilities[:, 1]) if task == "binary" else (None, "")
    sure = sureness(probabilities, _called(probabilities, task, threshold))
    return Trust(
        task=task,
        method=method,
        calibrator=calibrator,
        threshold=threshold,
        threshold_rule=rule,
        sets=fit_sets(label, probabilities, names, task, sets, coverage, here, unlabelled_features),
        refer_share=refer,
        refer_below=None if refer is None else doubtful_below(sure, refer),
        ood=ood,
        calibrated_on={"n_scans": len(label), "n_patients": len(np.unique(names)), "sites": sorted(set(sites))},
    )


def apply_trust(trust: Trust, logits: ArrayLike, features: ArrayLike | None) -> Judgement:
    """Say what is to be said of N scans.

    Args:
        trust: of the model that gave the logits.
        logits: (N, K).
        features: (N, F); None: every scan passes as familiar.
    """
    p = trust.calibrator(logits, trust.task)
    prediction = _called(p, trust.task, trust.threshold)
    if trust.sets is None:
        sets, decided = _as_predicted(prediction), np.ones(len(p), bool)
    else:
        sets, decided = trust.sets.sets(p, features, trust.task)
    if trust.ood is None or features is None:
        familiar = np.ones(len(p), bool)
    else:
        familiar = trust.ood.distance(features) <= trust.ood.cut
    if trust.refer_below is None:
        agrees = np.array([held == said for held, said in zip(sets, _as_predicted(prediction), strict=True)], bool)
        doubtful = ~(decided & agrees)
    else:
        doubtful = sureness(p, prediction) < trust.refer_below
    return Judgement(p, prediction, sets, familiar, doubtful | ~familiar)


def _called(p: np.ndarray, task: str, threshold: float | None) -> np.ndarray:
    """What N scans are called: (N,) class numbers, or (N, K) 0 or 1 for several labels."""
    if task == "multilabel":
        return (p >= 0.5).astype(int)
    if task == "binary" and threshold is not None:
        return (p[:, 1] >= threshold).astype(int)
    return p.argmax(axis=1)


def _as_predicted(prediction: np.ndarray) -> list[tuple[int, ...]]:
    if prediction.ndim == 2:
        return [tuple(int(k) for k in np.flatnonzero(row)) for row in prediction]
    return [(int(k),) for k in prediction]
