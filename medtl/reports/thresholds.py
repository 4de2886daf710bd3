"""Operating points: the threshold that came with a model, and thresholds set again on labels of the new site."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medtl import measures
from medtl.errors import InputError, nearest
from medtl.reports.contents import OperatingRow
from medtl.reports.curves import one_versus_rest

#: What `measures.operating_point` is asked for -> what a reader calls it.
RULES = {"specificity=0.90": "90 % specificity", "sensitivity=0.95": "95 % sensitivity", "youden": "Youden's J"}
AS_HANDED_OVER = "as handed over"
MEAN = "mean"
#: Each threshold is set on four fifths of the patients: nearly as many labels stand behind it as there are.
FOLDS = 5
_UNKNOWN = (float("nan"), float("nan"))


@dataclass(frozen=True)
class Judged:
    """Scans with their labels and what one model says of them.

    Attributes:
        label: (N,) class numbers, or (N, K) of 0, 1, nan.
        probabilities: (N, K), calibrated.
        patient: (N,) names.
    """

    label: np.ndarray
    probabilities: np.ndarray
    patient: np.ndarray


def prevalences(given: float | str | Sequence[str] | None, classes: Sequence[str], task: str) -> dict[str, float]:
    """What the user says of how common each class is: class -> share.

    Args:
        given: 0.05 or "0.05", of the second of two classes; or "mass=0.05", one for each class that matters.
        classes: K names.
        task: "binary", "multiclass" or "multilabel".

    Raises:
        InputError: it is no share, or of a class that is not there, or it does not say which class it is of.
    """
    words = [] if given is None else [str(given)] if isinstance(given, str | float | int) else [str(w) for w in given]
    found: dict[str, float] = {}
    for word in words:
        name, _, text = word.rpartition("=")
        try:
            share = float(text)
        except ValueError:
            share = float("nan")
        if not 0 < share < 1:
            raise InputError(f"the prevalence {word!r} is no share: give a number between 0 and 1, such as 0.05")
        if not name and task != "binary":
            raise InputError(f"which of {', '.join(classes)} is the prevalence {word} of: give {classes[0]}={word}")
        name = name.strip() or classes[-1]
        if name not in classes:
            advice = nearest(name, classes, f"there are {', '.join(classes)}")
            raise InputError(f"there is no class {name!r} to have a prevalence: {advice}")
        found[name] = share
    if task == "binary" and classes[0] in found:  # that of the other class is the rest
        found = {classes[1]: 1 - found[classes[0]], **found}
    return found


def operating_rows(
    scans: Judged,
    classes: tuple[str, ...],
    threshold: float | None,
    rule: str,
    local: Judged | None = None,
    prevalence: Mapping[str, float] | None = None,
) -> tuple[OperatingRow, ...]:
    """Sensitivity, specificity, PPV and NPV at the model's own threshold and at those that this site's labels give.

    A threshold that was chosen on the scans that it is measured on flatters itself. So it is set on `local`, other
    labelled scans of the site, or where there are none by cross-fitting: each fifth of the patients is called with the
    threshold that the other four fifths give, while the row shows the threshold that all of them give.

    Args:
        scans: what is measured on.
        classes: K names; of two, the second is the positive one.
        threshold: the model's own; None: the likeliest class is called.
        rule: how that was set.
        local: as `scans`, of other patients.
        prevalence: class -> how common it is where the model will be used, for PPV and NPV there.

    Returns:
        For the positive class, or for each class against the rest, the model's own threshold and then one row a rule
        (none where a class has too few patients to set one); of several classes then the rules' mean over them.
    """
    several = len(classes) > 2 or scans.label.ndim == 2
    columns = range(len(classes)) if several else (1,)
    own = _calls(scans, threshold)
    rows: list[OperatingRow] = []
    for k in columns:
        truth, score = _column(scans, k)
        known = ~np.isnan(truth)
        if not known.any():
            continue
        expected = (prevalence or {}).get(classes[k])
        truth, score, names = truth[known], score[known], scans.patient[known]
        cut = float("nan") if threshold is None else float(threshold)
        called = own[known, k if several else 0]
        rows.append(_row(classes[k], AS_HANDED_OVER, truth, called, names, cut, expected, 0, 0, rule))
        rows += _set_here(classes[k], truth, score, names, None if local is None else _column(local, k), expected)
    return tuple(rows + list(_means(rows)) if several else rows)


def _set_here(
    name: str,
    truth: np.ndarray,
    score: np.ndarray,
    patient: np.ndarray,
    local: tuple[np.ndarray, np.ndarray] | None,
    expected: float | None,
) -> Iterator[OperatingRow]:
    """The rows whose threshold is set here; none where there are too few labels to set one."""
    if local is not None:
        known = ~np.isnan(local[0])
        set_on, how = (local[0][known], local[1][known]), "on the calibrate split"
    else:
        set_on, how = (truth, score), f"on these {len(truth)}, cross-fitted by patient"
    fold = _folds(truth, patient) if local is None else None
    if len(np.unique(set_on[0])) < 2 or (local is None and fold is None):
        return
    n, positive = len(set_on[0]), int(np.sum(set_on[0] > 0.5))
    for at, rule in RULES.items():
        cut = measures.operating_point(*set_on, at).threshold
        try:
            called = score >= (cut if fold is None else _cross_fitted(truth, score, fold, at))
        except InputError:  # all scans of a class are of patients in one fold
            return
        yield _row(name, rule, truth, called, patient, cut, expected, n, positive, how)


def _cross_fitted(truth: np.ndarray, score: np.ndarray, fold: np.ndarray, at: str) -> np.ndarray:
    """(N,) for each scan the threshold that the scans of the other folds give."""
    cuts = [measures.operating_point(truth[fold != i], score[fold != i], at).threshold for i in range(fold.max() + 1)]
    return np.array(cuts)[fold]


def _folds(truth: np.ndarray, patient: np.ndarray) -> np.ndarray | None:
    """(N,) the fold of each scan, that of its patient; None where a class has fewer than two patients."""
    from sklearn.model_selection import StratifiedKFold

    folds = min(FOLDS, *(len(np.unique(patient[truth == value])) for value in (0, 1)))
    if folds < 2:
        return None
    number = np.unique(patient, return_inverse=True)[1].reshape(-1)
    positive = np.bincount(number, truth) > 0
    fold = np.zeros(len(positive), int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer patients without a positive scan than folds: some folds have none
        for i, (_, own) in enumerate(StratifiedKFold(folds, shuffle=True, random_state=0).split(positive, positive)):
            fold[own] = i
    return fold[number]


def _row(
    name: str,
    rule: str,
    truth: np.ndarray,
    called: np.ndarray,
    patient: np.ndarray,
    threshold: float,
    expected: float | None,
    n_labels: int,
    n_positive: int,
    how: str,
) -> OperatingRow:
    at = measures.apply_threshold(truth, called.astype(float), 0.5, patient)
    named = None
    if expected is not None:
        named = (expected, *measures.predictive_values(at.sensitivity, at.specificity, expected))
    return OperatingRow(
        of=name,
        rule=rule,
        where="here" if n_labels else "home",
        threshold=threshold,
        sensitivity=at.sensitivity,
        specificity=at.specificity,
        sensitivity_ci=at.sensitivity_ci,
        specificity_ci=at.specificity_ci,
        ppv=at.ppv,
        npv=at.npv,
        prevalence=at.prevalence,
        named=named,
        n_labels=n_labels,
        n_positive=n_positive,
        how=how,
    )


def _means(rows: list[OperatingRow]) -> Iterator[OperatingRow]:
    for rule in (AS_HANDED_OVER, *RULES.values()):
        own = [row for row in rows if row.rule == rule]
        if not own:
            continue
        middle = {name: _mean([getattr(row, name) for row in own]) for name in ("sensitivity", "specificity", "ppv")}
        yield OperatingRow(
            of=MEAN,
            rule=rule,
            where=own[0].where,
            threshold=float("nan"),
            **middle,
            npv=_mean([row.npv for row in own]),
            sensitivity_ci=_UNKNOWN,
            specificity_ci=_UNKNOWN,
            prevalence=float("nan"),
            named=None,
            n_labels=min(row.n_labels for row in own),
            n_positive=min(row.n_positive for row in own),
            how=own[0].how,
        )


def _calls(scans: Judged, threshold: float | None) -> np.ndarray:
    """(N, K) what is called at the model's own threshold; (N, 1) of two classes."""
    if scans.label.ndim == 2:
        return scans.probabilities >= (0.5 if threshold is None else threshold)
    if scans.probabilities.shape[1] == 2:
        return scans.probabilities[:, 1:] >= (0.5 if threshold is None else threshold)
    return scans.probabilities.argmax(axis=1)[:, None] == np.arange(scans.probabilities.shape[1])


def _column(scans: Judged, k: int) -> tuple[np.ndarray, np.ndarray]:
    truth = one_versus_rest(scans.label, scans.probabilities.shape[1])
    return truth[:, k if truth.shape[1] > 1 else 0], scans.probabilities[:, k]


def _mean(values: list[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
