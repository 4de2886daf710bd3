"""What a model needs to be trusted, fitted on scans that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from medtl.errors import InputError
from medtl.trust.calibrators import CALIBRATORS, Map, Scaling, map_from_dict, map_to_dict
from medtl.trust.conformal import conformal_quantile, conformal_scores, prediction_sets
from medtl.trust.out_of_distribution import Familiarity, fit_familiarity
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
        conformal_quantile: None where no scan was there to fit it: then a set holds the predicted class.
        conformal_level: the coverage that was asked for.
        conformal_promised: the coverage that so few patients can promise; conformal_level where they suffice.
        ood: what is familiar; None: everything.
        calibrated_on: n_scans, n_patients, sites.
    """

    task: str = "binary"
    method: str = "none"
    calibrator: Map = field(default_factory=Scaling)
    threshold: float | None = None
    threshold_rule: str = ""
    conformal_quantile: float | None = None
    conformal_level: float = 0.9
    conformal_promised: float | None = None
    ood: Familiarity | None = None
    calibrated_on: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        state = {name.name: getattr(self, name.name) for name in fields(self)}
        return state | {"calibrator": map_to_dict(self.calibrator), "ood": self.ood.to_dict() if self.ood else None}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Trust:
        """What `to_dict` gave.

        Raises:
            InputError: it was written by another version.
        """
        known = {name.name for name in fields(cls)} | {"temperature", "bias"}
        if not isinstance(state, dict) or set(state) - known:
            unknown = ", ".join(sorted(set(state) - known)) if isinstance(state, dict) else "no fields"
            raise InputError(f"trust.json holds {unknown}, which this medtl does not know: use the medtl that wrote it")
        state = dict(state)
        ood, temperature, bias = state.get("ood"), state.pop("temperature", 1.0), state.pop("bias", ())
        try:
            calibrator: Map = Scaling(temperature, tuple(bias))  # as it was written before there were other maps
            if "calibrator" in state:
                calibrator = map_from_dict(state["calibrator"])
            return cls(**state | {"calibrator": calibrator, "ood": Familiarity.from_dict(ood) if ood else None})
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"trust.json is damaged ({error}): calibrate the Run again") from error


@dataclass(frozen=True)
class Judgement:
    """What is said of N scans.

    Attributes:
        probabilities: (N, K) calibrated.
        prediction: (N,) class number; "multilabel": (N, K) 0 or 1.
        prediction_set: for each scan the classes that may be true.
        in_distribution: (N,) whether the scan resembles what the model knows.
        refer: (N,) whether a person should look: the set is not the predicted class alone, or the scan is unfamiliar.
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
) -> Trust:
    """Fit all of it on labelled scans that the model was not trained on.

    Args:
        logits: (N, K).
        label: (N,) class numbers, negative where unlabelled (left out); "multilabel": (N, K) 0, 1 or nan.
        patient: (N,) names; None: every scan is a patient of its own.
        features: (N, F) of these scans, to set the out-of-distribution cut; unlabelled ones count too.
        train_features: (M, F) of the scans trained on, to learn what is familiar.
        task: "binary", "multiclass" or "multilabel".
        method: a name in CALIBRATORS.
        sites: the names of the sites of these scans, for the record.
        ood: what is familiar, fitted earlier, where the training scans are not at hand; only its cut moves.
        calibrator: fitted already, by the method of this name; None: fitted here, by one of CALIBRATORS.

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
    logits, label, names = logits[known], label[known], names[known]
    calibrator = calibrator or CALIBRATORS[method](logits, label, task)
    probabilities = calibrator(logits, task)
    n_patients = len(np.unique(names))
    quantile, promised = conformal_quantile(conformal_scores(label, probabilities, task), n_patients)
    threshold, rule = youden(label, probabilities[:, 1]) if task == "binary" else (None, "")
    return Trust(
        task=task,
        method=method,
        calibrator=calibrator,
        threshold=threshold,
        threshold_rule=rule,
        conformal_quantile=quantile,
        conformal_promised=promised,
        ood=ood,
        calibrated_on={"n_scans": len(label), "n_patients": n_patients, "sites": sorted(set(sites))},
    )


def apply_trust(trust: Trust, logits: ArrayLike, features: ArrayLike | None) -> Judgement:
    """Say what is to be said of N scans.

    Args:
        trust: of the model that gave the logits.
        logits: (N, K).
        features: (N, F); None: every scan passes as familiar.
    """
    p = trust.calibrator(logits, trust.task)
    if trust.task == "multilabel":
        prediction = (p >= 0.5).astype(int)
    elif trust.task == "binary" and trust.threshold is not None:
        prediction = (p[:, 1] >= trust.threshold).astype(int)
    else:
        prediction = p.argmax(axis=1)
    if trust.conformal_quantile is None:
        sets, decided = _as_predicted(prediction), np.ones(len(p), bool)
    else:
        sets, decided = prediction_sets(p, trust.conformal_quantile, trust.task)
    agrees = np.array([held == said for held, said in zip(sets, _as_predicted(prediction), strict=True)], bool)
    if trust.ood is None or features is None:
        familiar = np.ones(len(p), bool)
    else:
        familiar = trust.ood.distance(features) <= trust.ood.cut
    return Judgement(p, prediction, sets, familiar, ~(decided & agrees & familiar))


def _as_predicted(prediction: np.ndarray) -> list[tuple[int, ...]]:
    if prediction.ndim == 2:
        return [tuple(int(k) for k in np.flatnonzero(row)) for row in prediction]
    return [(int(k),) for k in prediction]
