"""Rank agreement is Spearman's correlation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from medtl.measures import rank_agreement

RNG = np.random.default_rng(0)


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=3, max_size=40))
def test_it_is_scipys(pairs):
    a, b = (np.array(x, float) for x in zip(*pairs, strict=True))
    if len(set(a)) > 1 and len(set(b)) > 1:
        assert rank_agreement(a, b) == pytest.approx(spearmanr(a, b).statistic)
        assert rank_agreement(a, b) == pytest.approx(rank_agreement(b, a))
        assert rank_agreement(np.exp(a), b) == pytest.approx(rank_agreement(a, b))
    else:
        assert np.isnan(rank_agreement(a, b))


def test_columns_are_averaged_and_shapes_must_match():
    a, b = RNG.normal(size=(30, 3)), RNG.normal(size=(30, 3))
    assert rank_agreement(a, b) == pytest.approx(np.mean([spearmanr(a[:, k], b[:, k]).statistic for k in range(3)]))
    with pytest.raises(ValueError, match="same scans"):
        rank_agreement(a, b[:20])
    assert np.isnan(rank_agreement([1.0], [2.0]))
