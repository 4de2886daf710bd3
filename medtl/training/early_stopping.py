"""How long to train on a few labels, seen on some of their patients that are held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from medtl.data.cohort import Cohort
from medtl.finetuning.heads import best_gain, log_likelihood
from medtl.models import Classifier
from medtl.runs.predict import outputs
from medtl.training import loop

#: Patients of each class from which on a fold is held out: it then has four and more of each.
ENOUGH = 20
FOLDS = 5


def fold_of(cohort: Cohort, seed: int) -> np.ndarray | None:
    """(N,) the scans of a fifth of the patients, of each class; None where a class has fewer than 20 patients.

    One fold alone: a whole cross-validation would train the network five times more.
    """
    label = np.nan_to_num(cohort.label).argmax(axis=1) if cohort.multilabel else cohort.label
    patient = np.asarray(cohort.patient)
    if len(cohort.classes) > len(np.unique(label)) or min(_patients_a_class(label, patient)) < ENOUGH:
        return None
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    _, rows = next(folds.split(label, label, patient))
    held_out = np.zeros(len(cohort), bool)
    held_out[rows] = True
    return held_out


def surprise(classifier: Classifier, held_out: Cohort, prior: np.ndarray) -> list[float]:
    """(N,) minus the log likelihood of each scan's label, at the gain that suits the model best.

    At its best gain, since a model that is only too sure of itself is calibrated later.

    Args:
        classifier: expects the classes as often as they are dealt.
        held_out: N labelled scans.
        prior: (K,) the `prior_of` the scans that it is trained on, which is added to what it says.
    """
    logits = outputs(classifier, held_out)[0].astype(float)
    truth = held_out.label.astype(float) if held_out.multilabel else np.eye(logits.shape[1])[held_out.label]
    _, gain = best_gain(logits, truth, held_out.multilabel, prior)
    said = gain * logits + prior
    return [-log_likelihood(said[row : row + 1], truth[row : row + 1], held_out.multilabel) for row in range(len(said))]


def enough_steps(surprises: Mapping[int, Sequence[float]], patient: Sequence[str] | np.ndarray, steps: int) -> int:
    """All the steps, unless the held-out labels surprise the model less after fewer of them.

    Less by more than one standard error of the paired difference, by patient (the rule of Breiman et al., 1984): a
    fold of a few patients tells little, and the whole training is what was measured (docs/few_labels.md).

    Args:
        surprises: epoch -> (N,) of `surprise`; epoch 0 is before the first step, the last is after all.
        patient: (N,).
        steps: of the whole training.
    """
    names = np.asarray(patient)
    by_patient = {
        epoch: np.array([np.asarray(each)[names == name].mean() for name in np.unique(names)])
        for epoch, each in surprises.items()
    }
    last = max(by_patient)
    best = min(by_patient, key=lambda epoch: (by_patient[epoch].mean(), epoch))
    gain = by_patient[last] - by_patient[best]
    surely = gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain))
    return min(best * loop.EPOCH, steps) if surely else steps


def _patients_a_class(label: np.ndarray, patient: np.ndarray) -> list[int]:
    return [len(np.unique(patient[label == c])) for c in np.unique(label)]
