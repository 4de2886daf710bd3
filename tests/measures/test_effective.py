"""The effective sample size, by hand."""

import numpy as np
import pytest

from medtl.measures.effective import effective_sample_size


def test_effective_sample_size_is_kishs():
    assert effective_sample_size(np.ones(7)) == pytest.approx(7)
    assert effective_sample_size(np.array([1.0, 0, 0, 0])) == pytest.approx(1)
    assert effective_sample_size(np.array([2.0, 1.0])) == pytest.approx(9 / 5)
