"""Optimal transport against skada's mapping and cases with one answer."""

import numpy as np
import pytest
from skada import EntropicOTMappingAdapter

from medtl.methods.features import Labelled, by_site, reduced
from medtl.methods.shallow.optimal_transport import OptimalTransport, nearest_affine


def scans(several: bool = False) -> tuple[Labelled, np.ndarray]:
    random = np.random.default_rng(0)
    label = np.arange(60) % 2
    source = random.normal(size=(60, 4)) + 3 * label[:, None]
    target = (random.normal(size=(60, 4)) + 3 * label[:, None]) @ np.diag([1, 1, 2, 0.5]) + 1
    truth = np.stack([label, 1 - label], axis=1).astype(float) if several else label
    return Labelled(source, truth, np.arange(60), np.ones(60, int), np.ones(60), 2), target


def test_scans_are_carried_where_skada_carries_them():
    source, target = scans(several=True)  # by entropy alone, which skada normalises alike
    space, aligned = reduced(by_site(source, target)), OptimalTransport(0.05).align(source, target)
    both, domain = np.concatenate([space.source, space.target]), np.repeat([1, -2], 60)
    theirs = EntropicOTMappingAdapter(reg_e=0.05, norm="max").fit_transform(both, sample_domain=domain)
    assert np.allclose(theirs[:60], aligned.source, atol=1e-6)
    assert np.allclose(aligned.target, space.target)


def test_a_class_is_carried_to_one_place():
    source, target = scans()
    space, aligned = reduced(by_site(source, target)), OptimalTransport().align(source, target)
    nearest = ((aligned.source[:, None] - space.target[None]) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest % 2 == source.label).mean() > 0.95  # the target's classes alternate too


def test_the_nearest_affine_map_is_the_map_where_it_is_affine():
    random = np.random.default_rng(0)
    start, matrix = random.normal(size=(200, 3)), random.normal(size=(3, 3))
    found = nearest_affine(start, start @ matrix + 2, ridge=0.0)
    assert found.matrix == pytest.approx(matrix)
    assert found.offset == pytest.approx(np.full(3, 2.0))
