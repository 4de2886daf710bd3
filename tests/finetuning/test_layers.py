"""The probe of several layers finds the one that tells the classes apart, and says when that is an early one."""

from __future__ import annotations

import numpy as np
import pytest

from medtl.finetuning.heads import Few
from medtl.finetuning.layers import EARLY, TOLD_FROM, Layers
from medtl.finetuning.linear_probe import LinearProbe
from medtl.finetuning.probe import fit_probe, foretold
from medtl.measures import auroc

LAST, EARLIEST = slice(0, 64), slice(64, 80)
VIEWS = [[LAST], [EARLIEST, LAST]]


def few_of(sign: slice, seed: int = 0, n: int = 400, shots: int = 20) -> Few:
    """Half of the columns of `sign` tell the label, each weakly; the source model knows nothing."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 2
    features = rng.normal(size=(n, 80))
    features[:, sign][:, ::2] += 0.7 * (label[:, None] - 0.5)
    features[:, EARLIEST] *= 0.01  # early layers have other units
    logits = rng.normal(size=(n, 2))
    rows = np.arange(2 * shots)
    return Few(logits[rows], features[rows], label[rows], rows.astype(str), logits, features, False, VIEWS, [EARLIEST])


def held_apart(head, few: Few, start: int = 100) -> float:
    found = head(few.all_logits[start:], few.all_features[start:])
    return auroc(np.arange(start, len(few.all_logits)) % 2, found[:, 1] - found[:, 0])


def test_a_sign_in_early_layers_is_found_where_the_last_features_do_not_have_it():
    few = few_of(EARLIEST)
    assert held_apart(Layers.head(few), few) > held_apart(LinearProbe.head(few), few) + 0.05


def test_a_sign_in_the_last_features_is_not_lost_among_the_others():
    gains = []
    for seed in range(4):
        few = few_of(LAST, seed)
        gains.append(held_apart(Layers.head(few), few) - held_apart(LinearProbe.head(few), few))
    assert np.mean(gains) > -0.03


@pytest.mark.slow
def test_it_says_when_early_layers_foretell_the_labels_better():
    assert np.median([Layers.head(few_of(EARLIEST, seed, shots=40)).shares[EARLY] for seed in range(3)]) > TOLD_FROM
    assert np.median([Layers.head(few_of(LAST, seed, shots=40)).shares[EARLY] for seed in range(3)]) < 0


def test_one_patient_a_class_foretells_nothing_and_is_learnt_from_all_the_same():
    few = few_of(EARLIEST, shots=1)
    head = Layers.head(few)
    assert head.held_out is None and EARLY not in head.shares
    assert np.isfinite(head(few.all_logits, few.all_features)).all()


def test_a_column_that_is_the_same_in_all_scans_counts_for_nothing():
    few = few_of(LAST)
    few.all_features[:, 3] = few.features[:, 3] = 5.0
    assert np.abs(Layers.head(few).weight[:, 3]).max() < 1e-12


def test_views_without_a_choice_are_the_plain_probe():
    """One view of all columns with the middle precision is one of the plain probe's kinds."""
    few = few_of(LAST)
    told = few.logits, few.features, few.label, few.patient, few.all_logits, few.all_features
    one = fit_probe(*told, views=[[slice(0, 80)]])
    plain = fit_probe(*told)
    assert set(one.shares) == set(plain.shares)
    assert np.corrcoef(one.weight[1], plain.weight[1])[0, 1] > 0.95


def test_what_is_foretold_is_the_likelihood_of_unseen_labels():
    few = few_of(LAST, n=2000, shots=200)
    told = few.features, few.label, few.patient, few.all_features
    good, nothing = foretold(*told, [LAST]), foretold(*told, [EARLIEST])
    assert good is not None and nothing is not None
    assert -len(few.label) * np.log(2) < good < 0
    assert nothing == pytest.approx(-len(few.label) * np.log(2), rel=0.1)
