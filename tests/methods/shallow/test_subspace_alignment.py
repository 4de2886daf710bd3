"""Subspace alignment against skada's coordinates."""

import numpy as np
from skada import SubspaceAlignmentAdapter

from medtl.methods.features import Labelled, by_site, reduced
from medtl.methods.shallow.subspace_alignment import SubspaceAlignment, axes_of


def test_coordinates_are_skadas_but_for_signs():
    random = np.random.default_rng(0)
    mix = random.normal(size=(8, 8))
    features, target = random.normal(size=(120, 8)) @ mix, random.normal(size=(90, 8)) @ mix.T
    source = Labelled(features, np.zeros(120, int), np.arange(120), np.ones(120, int), np.ones(120), 2)
    space, aligned = reduced(by_site(source, target)), SubspaceAlignment(5).align(source, target)
    both, domain = np.concatenate([space.source, space.target]), np.repeat([1, -2], [120, 90])
    theirs = SubspaceAlignmentAdapter(n_components=5).fit_transform(both, sample_domain=domain)
    ours = np.concatenate([aligned.source, aligned.target])
    assert np.allclose(np.abs(theirs), np.abs(ours))  # an axis may point either way, for both sites alike
    assert np.allclose(theirs @ theirs.T, ours @ ours.T)
    assert np.allclose(aligned.at_source(features), aligned.source)
    assert np.allclose(aligned.at_target(target), aligned.target)


def test_axes_are_those_of_the_singular_value_decomposition():
    x = np.random.default_rng(1).normal(size=(50, 7)) * np.arange(1, 8)
    _, _, axes = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    assert np.allclose(np.abs(axes_of(x, 3)), np.abs(axes[:3].T))
