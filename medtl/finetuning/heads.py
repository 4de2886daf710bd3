"""Heads that are fitted on cached features while the network stays as it is, and how the labels choose among them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_expit, log_softmax
from sklearn.model_selection import StratifiedGroupKFold

from medtl.models import Classifier
from medtl.models.heads import FewShot

FOLDS, REPEATS = 5, 2
#: How far the labels move the gain from 1: a factor of e is one standard deviation of its prior.
GAINS = (0.1, 10.0)


@dataclass(frozen=True)
class Few:
    """What a head learns from: a few labelled scans, and all scans of their site.

    Attributes:
        logits: (N, K) what the model to start from says of the labelled ones, expecting the classes alike.
        features: (N, F).
        label: (N,) class numbers; or (N, K) 0, 1 or nan where `multilabel`.
        patient: (N,) a patient is never on both sides of a fold.
        all_logits: (M, K) of all scans of the site, labelled or not.
        all_features: (M, F).
        multilabel: several labels may hold together.
        views: choices of columns to read, where the features are of several layers.
        early: the columns of the earliest of them.
    """

    logits: np.ndarray
    features: np.ndarray
    label: np.ndarray
    patient: np.ndarray
    all_logits: np.ndarray
    all_features: np.ndarray
    multilabel: bool = False
    views: Sequence[Sequence[slice]] = ()
    early: Sequence[slice] = ()

    @property
    def truth(self) -> np.ndarray:
        """(N, K) 0 or 1; nan where a label is unknown."""
        return self.label.astype(float) if self.multilabel else np.eye(self.logits.shape[1])[self.label]

    @property
    def prior(self) -> np.ndarray:
        """(K,) what is added to logits that expect the classes alike: the log of how often each is labelled."""
        if self.multilabel:
            yes, no = np.nansum(self.truth, axis=0), np.nansum(1 - self.truth, axis=0)
            return np.log((yes + 1) / (no + 1))
        seen = self.truth.sum(axis=0) + 1
        return np.log(seen / seen.mean())

    @property
    def centre(self) -> np.ndarray:
        """(F,) the mean over all scans of the site."""
        return self.all_features.mean(axis=0)

    @property
    def spread(self) -> np.ndarray:
        """(F,) the standard deviation over all scans of the site; 1 where a feature is the same in all."""
        spread = self.all_features.std(axis=0)
        return np.where(spread > 1e-6, spread, 1.0)

    def standardised(self, features: np.ndarray) -> np.ndarray:
        """(N, F) by all scans of the site, which tells apart what differs between its scans; no label is looked at."""
        return (features - self.centre) / self.spread

    def select(self, rows: np.ndarray) -> Few:
        """With these labelled scans alone."""
        told = {name: getattr(self, name)[rows] for name in ("logits", "features", "label", "patient")}
        return replace(self, **told)

    def folds(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """See `folds_of`."""
        return folds_of(self.truth, self.patient)


@dataclass(frozen=True)
class Head:
    """logits' = source_weight * logits + features @ weight.T + bias, and what `more` gives for the features.

    Attributes:
        source_weight: what is left of the logits of the model that it is put into.
        weight: (K, F).
        bias: (K,).
        more: a head of `medtl.models.heads`, where no linear layer will do.
        held_out: (N, K) logits of each labelled scan from heads that had not seen its patient, to calibrate on; None
            where a class has one patient only.
        shares: how much the labels gave to the source model and to its features, where they were asked.
    """

    source_weight: float
    weight: np.ndarray
    bias: np.ndarray
    more: FewShot | None = None
    held_out: np.ndarray | None = None
    shares: dict[str, float] | None = None

    def __call__(self, logits: np.ndarray, features: np.ndarray) -> np.ndarray:
        """(N, K) for what a model says of N scans, and their features."""
        found = self.source_weight * logits + features @ self.weight.T + self.bias
        if self.more is not None:
            with torch.no_grad():
                found = found + self.more(torch.from_numpy(features).float()).numpy()
        return found

    def times(self, gain: float) -> Head:
        """The head whose logits are `gain` times as large."""
        more = copy.deepcopy(self.more)
        if more is not None:
            more.gain *= gain
        return replace(
            self,
            source_weight=gain * self.source_weight,
            weight=gain * self.weight,
            bias=gain * self.bias,
            more=more,
        )


def folds_of(truth: np.ndarray, patient: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Stratified folds by patient, twice; none where a class has one patient only.

    Args:
        truth: (N, K) of 0, 1 and nan; of several labels a scan the first that it has is its class here.
        patient: (N,).
    """
    label = np.nan_to_num(truth).argmax(axis=1)
    fewest = min(len(np.unique(patient[label == c])) for c in np.unique(label))
    if fewest < 2:
        return
    for repeat in range(REPEATS):
        folds = StratifiedGroupKFold(min(FOLDS, fewest), shuffle=True, random_state=repeat)
        yield from folds.split(label, label, patient)


def put_into(classifier: Classifier, head: Head) -> None:
    """Let the classifier give the head's logits, in place."""
    with torch.no_grad():
        for parameter in (classifier.head.weight, classifier.head.bias, classifier.shortcut.weight):
            parameter.mul_(head.source_weight)
        for name, buffer in classifier.few_shot.named_buffers():
            if name.endswith(".gain"):
                buffer.mul_(head.source_weight)
        classifier.head.bias.add_(torch.from_numpy(head.bias).to(classifier.head.bias))
        classifier.shortcut.weight.add_(torch.from_numpy(head.weight).to(classifier.shortcut.weight))
        if head.more is not None:
            classifier.few_shot.append(head.more.to(classifier.head.bias.device))


def choose(few: Few, fit: Callable[..., Head], options: Sequence[tuple[Any, ...]]) -> Head:
    """Fit with the options that make the labels of patients held out most likely.

    Each is first brought to the gain that its held-out logits ask for, since how sure a head is hangs on the number
    of labels; the gain has a log-normal prior around 1. Then the labels' own frequencies are added.

    Args:
        few: the labels.
        fit: gives a head whose logits expect the classes alike, for a `Few` and one of the options.
        options: the first is taken, with a gain of 1, where a class has one patient only, and where several do alike.
    """
    folds = list(few.folds())
    if not folds:
        head = fit(few, *options[0])
        return replace(head, bias=head.bias + few.prior)
    tried = []
    for option in options:
        held_out = np.zeros(few.logits.shape)
        for train, test in folds:
            head = fit(few.select(train), *option)
            held_out[test] += head(few.logits[test], few.features[test]) / REPEATS
        tried.append((*best_gain(held_out, few.truth, few.multilabel, few.prior), held_out))
    best = int(np.argmax([likelihood for likelihood, _, _ in tried]))
    _, gain, held_out = tried[best]
    head = fit(few, *options[best]).times(gain)
    return replace(head, bias=head.bias + few.prior, held_out=gain * held_out + few.prior)


def log_likelihood(logits: np.ndarray, truth: np.ndarray, multilabel: bool) -> float:
    """Of all known labels: logits (N, K), truth (N, K) of 0, 1 and nan."""
    if multilabel:
        return float(np.nansum(np.where(np.isnan(truth), np.nan, log_expit(np.where(truth > 0.5, logits, -logits)))))
    return float((truth * log_softmax(logits, axis=1)).sum())


def margin_scale(logits: np.ndarray, multilabel: bool) -> float:
    """What logits (M, K) are divided by so that the log odds of two classes have a root mean square of 1."""
    margin = logits if multilabel else logits - logits.mean(axis=1, keepdims=True)
    return float(2 * np.sqrt(np.mean(margin**2))) or 1.0


def best_gain(
    logits: np.ndarray, truth: np.ndarray, multilabel: bool, prior: np.ndarray | float = 0.0
) -> tuple[float, float]:
    """The log likelihood (with the log-normal prior's) at the likeliest gain of logits (N, K), and that gain."""

    def loss(log_gain: float) -> float:
        return 0.5 * log_gain**2 - log_likelihood(np.exp(log_gain) * logits + prior, truth, multilabel)

    found = minimize_scalar(loss, bounds=np.log(GAINS), method="bounded")
    return -float(found.fun), float(np.exp(found.x))
