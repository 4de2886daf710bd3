"""Conformal sets hold the truth as often as promised."""

import numpy as np
import pytest

from medtl.trust.conformal import conformal_quantile, conformal_scores, prediction_sets


def test_the_quantile_by_hand():
    scores = np.arange(1, 20) / 20  # 19 scores: ceil(20 x 0.9) = 18th smallest
    assert conformal_quantile(scores, 19) == (0.9, 0.9)
    assert conformal_quantile(np.arange(1, 10) / 10, 9) == (0.9, 0.9)  # the 9th of 9
    quantile, promised = conformal_quantile(np.arange(1, 5) / 10, 4)
    assert (quantile, promised) == (0.4, 0.8)  # 4 patients can promise 4 / 5


def test_the_rank_is_exact_at_every_size():
    for n in range(9, 1200):  # 564 is the first at which rank / n times n is rounded up
        assert conformal_quantile(np.arange(1, n + 1), n)[0] == -(-9 * (n + 1) // 10)
    assert conformal_quantile(np.arange(1, 41), 20)[0] == 38  # two scores a patient: 19 of 20


@pytest.mark.parametrize("n", [5, 20, 50, 200])
def test_coverage_on_other_scans(n):
    generator, covered = np.random.default_rng(n), []
    for _ in range(600):
        p = generator.dirichlet(np.ones(3), n + 20)
        label = np.array([generator.choice(3, p=row**2 / (row**2).sum()) for row in p])
        quantile, promised = conformal_quantile(conformal_scores(label[:n], p[:n], "multiclass"), n)
        sets, _ = prediction_sets(p[n:], quantile, "multiclass")
        covered.append(np.mean([k in held for k, held in zip(label[n:], sets, strict=True)]))
    assert promised - 0.015 <= np.mean(covered) <= promised + 2 / (n + 1) + 0.015


def test_sets_and_whether_they_decide():
    sets, decided = prediction_sets([[0.5, 0.4, 0.1], [0.9, 0.05, 0.05], [0.34, 0.33, 0.33]], 0.6, "multiclass")
    assert sets == [(0, 1), (0,), ()]
    assert decided.tolist() == [False, True, False]
    sets, decided = prediction_sets([[0.9, 0.1], [0.5, 0.1]], 0.55, "multilabel")
    assert sets == [(0,), (0,)]
    assert decided.tolist() == [True, False]


def test_unknown_labels_give_no_score():
    assert conformal_scores([[1, np.nan], [0, 1]], [[0.8, 0.5], [0.3, 0.6]], "multilabel") == pytest.approx(
        [0.2, 0.3, 0.4]
    )
