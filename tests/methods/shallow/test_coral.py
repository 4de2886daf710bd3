"""CORAL against the algebra of covariances, and against skada's whole pipeline."""

import numpy as np
from skada import CORALAdapter
from sklearn.covariance import ledoit_wolf

from medtl.methods.features import Labelled, by_site, reduced
from medtl.methods.shallow.coral import CORAL


def scans(n: int = 300) -> tuple[Labelled, np.ndarray]:
    random = np.random.default_rng(0)
    mix = random.normal(size=(6, 6))
    source, target = random.normal(size=(n, 6)) @ mix + 2, random.normal(size=(n - 50, 6)) @ mix.T - 1
    return Labelled(source, random.integers(0, 2, n), np.arange(n), np.ones(n, int), np.ones(n), 2), target


def shrunk(rows: np.ndarray) -> np.ndarray:
    """Ledoit and Wolf's covariance of standardised columns, in their own units."""
    spread = rows.std(axis=0)
    return ledoit_wolf((rows - rows.mean(axis=0)) / spread)[0] * np.outer(spread, spread)


def test_the_source_gets_the_targets_covariance():
    source, target = scans(20_000)  # so many that next to nothing is shrunk
    before, after = reduced(by_site(source, target)), CORAL().align(source, target)
    ours, theirs = (shrunk(each) for each in (before.source, before.target))
    root = lambda c, power: (lambda v, q: (q * v**power) @ q.T)(*np.linalg.eigh(c))  # noqa: E731
    whitened_and_coloured = root(ours, -0.5) @ root(theirs, 0.5)
    expected = whitened_and_coloured.T @ np.cov(before.source.T, bias=True) @ whitened_and_coloured
    assert np.allclose(np.cov(after.source.T, bias=True), expected)
    assert np.abs(np.cov(after.source.T) - np.cov(after.target.T)).max() < 0.05
    assert np.abs(np.cov(before.source.T) - np.cov(before.target.T)).max() > 0.2
    assert np.allclose(after.source.mean(axis=0), 0) and np.allclose(after.target.mean(axis=0), 0)


def test_coordinates_are_skadas():
    source, target = scans()
    space, aligned = reduced(by_site(source, target)), CORAL().align(source, target)
    both = np.concatenate([space.source, space.target])
    domain = np.repeat([1, -2], [len(space.source), len(space.target)])
    theirs = CORALAdapter().fit_transform(both, sample_domain=domain)
    assert np.allclose(theirs, np.concatenate([aligned.source, aligned.target]))
    assert np.allclose(aligned.at_source(source.features), aligned.source)
    assert np.allclose(aligned.at_target(target), aligned.target)
