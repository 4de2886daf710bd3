"""TCA in the dimensions of the features against the paper's problem over all scans."""

import numpy as np
import pytest
from scipy.linalg import eigh

from medtl.methods.shallow.tca import transfer_components


@pytest.mark.parametrize("mu", [0.1, 1.0, 10.0])
def test_components_are_those_of_the_kernel_problem(mu):
    random = np.random.default_rng(0)
    source, target = random.normal(size=(20, 5)) + 1, random.normal(size=(15, 5)) * [1, 2, 3, 1, 1]
    both, n, m = np.concatenate([source, target]), 20, 15
    kernel = both @ both.T
    side = np.concatenate([np.full(n, 1 / n), np.full(m, -1 / m)])
    centring = np.eye(n + m) - 1 / (n + m)
    # The paper's equation 9: the leading eigenvectors of (K L K + mu I)^-1 K H K.
    of, axes = eigh(kernel @ centring @ kernel, kernel @ np.outer(side, side) @ kernel + mu * np.eye(n + m))
    expected = kernel @ axes[:, ::-1][:, :3]
    ours = both @ transfer_components(source, target, 3, mu)
    assert np.allclose(np.cov(ours.T, bias=True) * (n + m), np.eye(3))  # W^T K H K W = I
    expected /= np.sqrt((expected * (centring @ expected)).sum(axis=0))
    assert np.allclose(np.abs(ours), np.abs(expected))
    assert of[-4] > 1e-9  # the three are told apart from the next


def test_sites_are_nearer_to_each_other_than_on_principal_axes():
    random = np.random.default_rng(1)
    source, target = random.normal(size=(80, 6)), random.normal(size=(60, 6))
    target[:, 0] += 4  # the largest variance of all is the site
    ours = transfer_components(source, target, 3, 1.0)
    apart = np.linalg.norm((source.mean(axis=0) - target.mean(axis=0)) @ ours)
    both = np.concatenate([source, target])
    scale = np.sqrt(len(both))
    principal = np.eye(6)[:, :3] / (both[:, :3].std(axis=0) * scale)
    assert apart < 0.3 * np.linalg.norm((source.mean(axis=0) - target.mean(axis=0)) @ principal)
