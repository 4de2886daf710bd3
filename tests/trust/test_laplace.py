"""The posterior of the last layer against the full Hessian, a hand case, and sampling."""

import numpy as np
import pytest

from medtl.measures import nll
from medtl.trust.laplace import PRECISIONS, fit_laplace, with_likeliest_precision

RNG = np.random.default_rng(0)


def softmax(z):
    p = np.exp(z - z.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)


def full_covariance(seen, z, new, precision):
    """(N, K, K): J H^-1 J' with the Hessian written out, whatever its size."""
    seen, new = (np.c_[e, np.ones(len(e))] for e in (seen, new))
    p, k = softmax(z), z.shape[1]
    hessian = sum(np.kron(np.diag(q) - np.outer(q, q), np.outer(e, e)) for q, e in zip(p, seen, strict=True))
    inverse = np.linalg.inv(hessian + precision * np.eye(len(hessian)))
    jacobians = [np.kron(np.eye(k), e) for e in new]
    return np.array([j @ inverse @ j.T for j in jacobians])


def test_one_scan_by_hand():
    # e = (1, 1) with the bias, p = 1/2: the Hessian is [[1, -1], [-1, 1]] / 4 (x) e e', 1 along (1, -1) (x) (1, 1) and
    # 0 elsewhere. With the prior's 1 the variance of z1 - z0 is |(1, -1)|^2 |e|^2 / (1 + 1) = 2, so a difference of 3
    # has the probability sigmoid(3 / sqrt(1 + 2 pi / 8)).
    posterior = fit_laplace([[1.0]], [[0.0, 0.0]], "binary", precision=1.0)
    covariance = posterior.covariance([[1.0]])[0]
    assert covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1] == pytest.approx(2.0)
    said = posterior.probabilities([[1.0]], [[0.0, 3.0]], "binary")[0, 1]
    assert said == pytest.approx(1 / (1 + np.exp(-3 / np.sqrt(1 + np.pi / 4))))


def test_it_is_the_full_hessian_for_two_classes():
    seen, new = RNG.normal(size=(40, 5)), 2 * RNG.normal(size=(7, 5))
    z = seen @ RNG.normal(size=(5, 2))
    found = fit_laplace(seen, z, "binary", precision=0.7).covariance(new)
    np.testing.assert_allclose(found, full_covariance(seen, z, new, 0.7), rtol=1e-8)


def test_it_is_near_the_full_hessian_for_three_and_exact_where_scans_are_alike():
    seen, new = RNG.normal(size=(60, 4)), RNG.normal(size=(5, 4))
    z = np.tile([0.2, -0.1, 0.5], (60, 1))
    found = fit_laplace(seen, z, "multiclass", precision=2.0).covariance(new)
    np.testing.assert_allclose(found, full_covariance(seen, z, new, 2.0), rtol=1e-8)
    z = z + 0.3 * RNG.normal(size=z.shape)
    found = fit_laplace(seen, z, "multiclass", precision=2.0).covariance(new)
    np.testing.assert_allclose(found, full_covariance(seen, z, new, 2.0), rtol=0.2, atol=0.01)


@pytest.mark.parametrize(("task", "k"), [("binary", 2), ("multiclass", 4), ("multilabel", 3)])
def test_samples_have_its_mean_and_covariance_and_repeat(task, k):
    seen, new = RNG.normal(size=(30, 3)), RNG.normal(size=(4, 3))
    posterior = fit_laplace(seen, seen @ RNG.normal(size=(3, k)), task)
    logits = RNG.normal(size=(4, k))
    samples = posterior.samples(new, logits, 20_000, seed=1)
    np.testing.assert_allclose(samples.mean(axis=0), logits, atol=1e-9)
    centred = samples - logits
    measured = np.einsum("snk,snj->nkj", centred, centred) / len(samples)
    scale = np.abs(posterior.covariance(new)).max()
    np.testing.assert_allclose(measured, posterior.covariance(new), atol=0.06 * scale)
    np.testing.assert_array_equal(samples, posterior.samples(new, logits, 20_000, seed=1))


def test_the_closed_form_is_near_the_mean_over_samples():
    seen, new = RNG.normal(size=(30, 3)), 2 * RNG.normal(size=(50, 3))
    posterior = fit_laplace(seen, seen @ RNG.normal(size=(3, 2)), "binary")
    logits = 2 * RNG.normal(size=(50, 2))
    sampled = softmax(posterior.samples(new, logits, 4000)).mean(axis=0)
    np.testing.assert_allclose(posterior.probabilities(new, logits, "binary"), sampled, atol=0.03)


def test_far_from_what_it_has_seen_it_is_less_sure():
    seen = RNG.normal(size=(100, 3)) * [1, 1, 0.01]
    posterior = fit_laplace(seen, seen @ RNG.normal(size=(3, 2)), "binary")
    logits = np.array([[-2.0, 2.0]] * 2)
    near, far = posterior.probabilities([[0.0, 0, 0], [0, 0, 5]], logits, "binary")[:, 1]
    assert 0.5 < far < near - 0.1 < near < 1 / (1 + np.exp(-4))


def test_labels_choose_how_wide_it_is():
    seen = RNG.normal(size=(400, 3))
    true = seen @ np.array([1.0, -1.0, 0.5])
    label = (RNG.random(400) < 1 / (1 + np.exp(-true))).astype(int)
    right, sure = (np.stack([-scale * true / 2, scale * true / 2], axis=1) for scale in (1.0, 6.0))
    narrow, wide = (
        with_likeliest_precision(fit_laplace(seen[:20], z[:20], "binary"), seen, z, label, "binary")
        for z in (right, sure)
    )
    assert wide.precision < narrow.precision
    assert {narrow.precision, wide.precision} <= set(PRECISIONS)
    assert nll(label, wide.probabilities(seen, sure, "binary")) < nll(label, softmax(sure)) - 0.1
