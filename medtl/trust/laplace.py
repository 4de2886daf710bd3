"""How far the last layer's weights, and with them the logits, are undetermined: a Gaussian around those learnt."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

#: Prior precisions that are tried; weights of a linear layer are seldom larger than 10 or all smaller than 0.01.
PRECISIONS = tuple(float(value) for value in 10.0 ** np.arange(-2, 5, 0.5))


@dataclass(frozen=True)
class Laplace:
    """The posterior of a linear layer: MacKay, Neural Computation 4, 1992; Daxberger et al., NeurIPS 2021.

    The Hessian of the loss at the learnt weights is sum_n L_n (x) e_n e_n', where e is the embedding with a 1 for the
    bias and L the Hessian in the logits, diag(p) - p p'. It is kept as one Kronecker product (Ritter et al., ICLR
    2018), its factors weighted so that it is exact for two classes. It needs no label: only the prior's precision does.

    Attributes:
        classes: (K, K) eigenvectors over the logits.
        curvature: (K,) their eigenvalues.
        axes: (E + 1, E + 1) eigenvectors over the embedding, a column each.
        sizes: (E + 1,) their eigenvalues.
        precision: of the prior of every weight.
    """

    classes: np.ndarray
    curvature: np.ndarray
    axes: np.ndarray
    sizes: np.ndarray
    precision: float

    def covariance(self, embedding: ArrayLike) -> np.ndarray:
        """(N, K, K) of the logits of scans with embeddings (N, E)."""
        along = (_with_one(embedding) @ self.axes) ** 2
        variance = along @ (1 / (np.outer(self.sizes, self.curvature) + self.precision))
        return np.einsum("ik,nk,jk->nij", self.classes, variance, self.classes)

    def samples(self, embedding: ArrayLike, logits: ArrayLike, draws: int, seed: int = 0) -> np.ndarray:
        """(draws, N, K) logits, each draw's and its mirror image, so that their mean is `logits` (N, K)."""
        along = (_with_one(embedding) @ self.axes) ** 2
        deviation = np.sqrt(along @ (1 / (np.outer(self.sizes, self.curvature) + self.precision)))
        normal = np.random.default_rng(seed).normal(size=(-(-draws // 2), 1, deviation.shape[1]))
        moved = (np.concatenate([normal, -normal])[:draws] * deviation) @ self.classes.T
        return np.asarray(logits, float) + moved

    def probabilities(self, embedding: ArrayLike, logits: ArrayLike, task: str) -> np.ndarray:
        """(N, K) the mean over the posterior in closed form, by MacKay's approximation of the sigmoid by a probit.

        sigmoid(a / sqrt(1 + pi s^2 / 8)) for a logit, or a difference of two, of mean a and variance s^2; of more than
        two classes each logit is divided so before the softmax (Gibbs 1997).
        """
        covariance, z = self.covariance(embedding), np.asarray(logits, float)
        if task != "multilabel" and z.shape[1] == 2:
            variance = covariance[:, 0, 0] + covariance[:, 1, 1] - 2 * covariance[:, 0, 1]
            positive = _sigmoid(_shrunk(z[:, 1] - z[:, 0], variance))
            return np.stack([1 - positive, positive], axis=1)
        shrunk = _shrunk(z, np.einsum("nkk->nk", covariance))
        return _sigmoid(shrunk) if task == "multilabel" else _softmax(shrunk)


def fit_laplace(embedding: ArrayLike, logits: ArrayLike, task: str, precision: float = 1.0) -> Laplace:
    """The posterior after M scans.

    Args:
        embedding: (M, E), what enters the last layer.
        logits: (M, K) the model's.
        task: "binary", "multiclass" or "multilabel".
        precision: of the prior; see `with_likeliest_precision`.
    """
    seen, z = _with_one(embedding), np.asarray(logits, float)
    if task == "multilabel":
        p = _sigmoid(z)
        local = np.einsum("nk,kj->nkj", p * (1 - p), np.eye(p.shape[1]))
    else:
        p = _softmax(z)
        local = np.einsum("nk,kj->nkj", p, np.eye(p.shape[1])) - np.einsum("nk,nj->nkj", p, p)
    weight = np.einsum("nkk->n", local)
    over_logits = local.mean(axis=0)
    over_embedding = (seen * (weight / max(weight.mean(), 1e-300))[:, None]).T @ seen
    (curvature, classes), (sizes, axes) = np.linalg.eigh(over_logits), np.linalg.eigh(over_embedding)
    return Laplace(classes, np.maximum(curvature, 0), axes, np.maximum(sizes, 0), precision)


def with_likeliest_precision(
    laplace: Laplace, embedding: ArrayLike, logits: ArrayLike, label: ArrayLike, task: str
) -> Laplace:
    """The prior's precision, of `PRECISIONS`, under which labels that the weights were not learnt from are likeliest.

    Args:
        laplace: its precision is replaced.
        embedding: (M, E) of labelled scans.
        logits: (M, K).
        label: (M,), or for "multilabel" (M, K).
        task: "binary", "multiclass" or "multilabel".
    """
    from medtl.measures import nll

    tried = [replace(laplace, precision=precision) for precision in PRECISIONS]
    return min(tried, key=lambda each: nll(label, each.probabilities(embedding, logits, task)))


def _with_one(embedding: ArrayLike) -> np.ndarray:
    embedding = np.asarray(embedding, float)
    return np.concatenate([embedding, np.ones((len(embedding), 1))], axis=1)


def _shrunk(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    return mean / np.sqrt(1 + np.pi * variance / 8)


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(z / 2))


def _softmax(z: np.ndarray) -> np.ndarray:
    powers = np.exp(z - z.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
