"""BSP: the penalty is NumPy's singular value, its gradient 2 sigma u v', and the rest is DANN's."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from medtl.methods import DANN
from medtl.methods.bsp import BSP, squared_spectrum

_spec = importlib.util.spec_from_file_location("linear", Path(__file__).parent / "linear.py")
linear = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(linear)


@pytest.mark.parametrize("largest", [1, 2])
def test_penalty_and_gradient_are_those_of_the_decomposition(largest):
    x = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    u, s, v = np.linalg.svd(x, full_matrices=False)
    leaf = torch.from_numpy(x).requires_grad_()
    penalty = squared_spectrum(leaf, largest)
    penalty.backward()
    assert penalty.item() == pytest.approx((s[:largest] ** 2).sum(), rel=1e-5)
    assert np.allclose(leaf.grad, 2 * (u[:, :largest] * s[:largest]) @ v[:largest], atol=1e-4)


def test_is_dann_and_the_penalty_on_each_site():
    torch.manual_seed(0)
    method = BSP(linear.classifier(), penalty=0.01).double()
    dann = DANN(linear.classifier()).double()
    dann.load_state_dict(method.state_dict())
    source, target = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, -1.0]]), np.array([[-1.0, 0.5], [0.3, 0.3]])
    dealt = {"source": linear.batch(source, np.array([0, 1, 2])), "target": linear.batch(target)}
    losses, danns = method.losses(dealt, 0.5), dann.losses(dealt, 0.5)
    w = linear.weights(method.classifier.backbone[1])
    spectrum = sum(np.linalg.norm(x @ w.T, 2) ** 2 for x in (source, target))
    assert float(losses["spectrum"]) == pytest.approx(0.01 * spectrum, rel=1e-5)
    assert {name: float(losses[name]) for name in danns} == {name: float(loss) for name, loss in danns.items()}
