"""What is dealt for each role, and what a model that was dealt it takes for likely."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch

from medtl.data.cohort import Cohort
from medtl.data.samplers import Deal
from medtl.models import Classifier
from medtl.training.config import Config
from medtl.training.loop import Plan, Role

#: What is dealt equally often unless the config says otherwise.
BALANCE = Config.model_fields["balance"].default


def labelled_role(cohort: Cohort, config: Config, plan: Plan, seed: int) -> Role:
    """Each class, site and patient dealt as often as the others, as far as the config's `balance` names them."""
    strata = strata_of(cohort, config.balance)
    deal = Deal(strata, plan.batch, seed, patient=cohort.patient if "patient" in config.balance else None)
    return Role(cohort, deal, True, config.augmentation.augmentation(cohort.recipe))


def unlabelled_role(cohort: Cohort, config: Config, plan: Plan, seed: int) -> Role:
    """Each site and patient dealt as often as the others, as far as `balance` names them; no label is looked at."""
    strata = cohort.site if "site" in config.balance else np.zeros(len(cohort.site), int)
    deal = Deal(strata, plan.batch, seed, patient=cohort.patient if "patient" in config.balance else None)
    return Role(cohort, deal, False, config.augmentation.augmentation(cohort.recipe))


def strata_of(cohort: Cohort, balance: Collection[str]) -> np.ndarray:
    """(N,) a number for each site and class that is dealt from a deck of its own.

    Several labels a scan are dealt as they come.
    """
    strata = cohort.site if "site" in balance else np.zeros(len(cohort.site), int)
    if "class" in balance and not cohort.multilabel:
        strata = strata * len(cohort.classes) + cohort.label
    return strata


def expect_prior_of(classifier: Classifier, cohort: Cohort, balance: Collection[str] = BALANCE) -> None:
    """Let a model to which `labelled_role` dealt the cohort expect its classes as often as the cohort has them.

    The log of the ratio is added to the head's bias (Saerens et al., Neural Computation 2002). Once: whoever trains the
    model further takes it out again with `forget_prior`.
    """
    forget_prior(classifier, -prior_of(cohort, balance))


def forget_prior(classifier: Classifier, prior: np.ndarray) -> None:
    """Take out of the head's bias what `expect_prior_of` added: a `prior_of` (K,)."""
    with torch.no_grad():
        classifier.head.bias.sub_(torch.from_numpy(np.asarray(prior, float)).to(classifier.head.bias))


def prior_of(cohort: Cohort, balance: Collection[str] = BALANCE) -> np.ndarray:
    """(K,) the log of how often a class is seen (and once more), over how often `labelled_role` deals it.

    Zero for several labels a scan, which are dealt as they come.
    """
    k = len(cohort.classes)
    if cohort.multilabel:
        return np.zeros(k)
    known = cohort.label >= 0
    label = cohort.label[known]
    seen = np.bincount(label, minlength=k) + 1.0
    share = _share_of_each(
        strata_of(cohort, balance)[known], np.asarray(cohort.patient)[known] if "patient" in balance else None
    )
    dealt: np.ndarray = np.bincount(label, weights=share, minlength=k)
    if "class" in balance:  # whole decks: a class without one counts as if it had one
        decks = len(np.unique(strata_of(cohort, balance)[known]))
        dealt = np.maximum(dealt, 1 / decks)
    else:
        dealt = dealt * len(label) + 1.0  # once more, as above
    return np.log(seen / seen.sum()) - np.log(dealt / dealt.sum())


def shares_of(cohort: Cohort, balance: Collection[str] = BALANCE) -> np.ndarray:
    """(N,) the share of what `labelled_role` deals that each scan gets; they sum to 1."""
    return _share_of_each(strata_of(cohort, balance), np.asarray(cohort.patient) if "patient" in balance else None)


def _share_of_each(strata: np.ndarray, patient: np.ndarray | None) -> np.ndarray:
    """(N,) the share of what is dealt that each row gets; they sum to 1."""
    share = np.zeros(len(strata))
    names = np.unique(strata)
    for stratum in names:
        rows = np.flatnonzero(strata == stratum)
        owners = np.arange(len(rows)) if patient is None else np.unique(patient[rows], return_inverse=True)[1]
        scans = np.bincount(owners)
        share[rows] = 1 / (len(names) * len(scans) * scans[owners])
    return share
