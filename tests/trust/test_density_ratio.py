"""The density ratio of two normal sites, which is known."""

import numpy as np

from medtl.trust.density_ratio import Ratio, fit_ratio


def test_the_ratio_of_two_normals_is_found():
    generator = np.random.default_rng(0)
    source, target = generator.normal(0, 1, (3000, 2)), generator.normal([0.8, 0], 1, (2000, 2))
    ratio, x = fit_ratio(source, target), generator.normal(0, 1, (200, 2))
    np.testing.assert_allclose(np.log(ratio(x)), 0.8 * x[:, 0] - 0.32, atol=0.2)
    assert 0.9 < ratio(source).mean() < 1.1


def test_sites_alike_weigh_alike_and_nothing_weighs_without_bounds():
    generator = np.random.default_rng(1)
    alike = fit_ratio(generator.normal(size=(100, 50)), generator.normal(size=(100, 50)))
    weights = alike(generator.normal(size=(500, 50)))
    assert np.quantile(weights, 0.05) > 0.5 and np.quantile(weights, 0.95) < 2
    apart = fit_ratio(generator.normal(0, 1, (100, 5)), generator.normal(50, 1, (100, 5)))
    assert apart(np.full((1, 5), 1e6))[0] <= 100.001 and apart(np.full((1, 5), -1e6))[0] >= 0.00999


def test_it_survives_json():
    generator = np.random.default_rng(2)
    ratio, x = fit_ratio(generator.normal(size=(40, 6)), generator.normal(1, 1, (30, 6))), generator.normal(size=(9, 6))
    np.testing.assert_array_equal(Ratio.from_dict(ratio.to_dict())(x), ratio(x))
