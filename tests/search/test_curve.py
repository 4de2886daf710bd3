"""A curve that is known is found again, and the interval holds as often as it says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from medtl.search.curve import Curve, Point, Prior

LEVELS = (1, 2, 5, 10, 20)


def points_on(level: float, slope: float, error: float = 0.001) -> tuple[Point, ...]:
    shots = (1, 2, 5, 10, 20, 50)
    return tuple(Point(n, 0, float(ndtr(level + slope * np.log(n / 20))), error) for n in shots)


#: Of one curve's own points nothing scatters: what is left is the curve.
SMOOTH = Prior(luck=1e-3, own=1e-3, scales=(1.0,), shares=(1.0,), stretch=1.0)
#: Questions neither hopeless nor solved, whose labels matter more than is usual.
USUAL = Prior(level=0.7, level_deviation=0.25, luck=0.12, stretch=1.0)
#: All questions scatter alike.
PLAIN = Prior(scales=(1.0,), shares=(1.0,), stretch=1.0)


@pytest.mark.parametrize("level", [0.3, 0.9])
@pytest.mark.parametrize("slope", [0.08, 0.3])
def test_a_known_curve_is_found_again(level: float, slope: float) -> None:
    curve = Curve(points_on(level, slope), 50, SMOOTH)
    middle, low, high = curve.expect(100)
    assert middle == pytest.approx(ndtr(level + slope * np.log(5)), abs=0.01)
    assert low < middle < high and high - low < 0.05


def test_questions_whose_models_scatter_get_wider_intervals() -> None:
    def width(scatter: float) -> float:
        rng = np.random.default_rng(0)
        wanted = [(n, d) for n in (2, 5, 10, 15) for d in range(5)]
        points = [Point(n, d, float(ndtr(0.7 + scatter * rng.normal())), 0.01) for n, d in wanted]
        _, low, high = Curve(tuple(points), 20).expect(100)
        return high - low

    assert width(0.3) > 1.5 * width(0.02)


def test_without_a_point_it_is_the_prior() -> None:
    middle, low, high = Curve((), 20, PLAIN).expect(20, same_patients=False)
    prior = Curve((), 20, PLAIN).prior
    spread = np.sqrt(prior.level_deviation**2 + prior.luck**2 + prior.own**2)
    assert middle == pytest.approx(ndtr(prior.level), abs=1e-6)
    assert (low, high) == pytest.approx(tuple(ndtr(prior.level + ndtri([0.05, 0.95]) * spread)), abs=1e-6)


def test_more_points_narrow_the_interval_and_farther_ahead_it_is_wider() -> None:
    rng = np.random.default_rng(0)
    points, _ = simulated(USUAL, rng, 20)
    few, many = Curve(points[:2], 20, USUAL), Curve(points, 20, USUAL)

    def width(curve: Curve, shots: float) -> float:
        _, low, high = curve.expect(shots, same_patients=False)
        return high - low

    assert width(many, 100) < width(few, 100)
    assert width(many, 25) < width(many, 1000)


def test_what_more_labels_add_agrees_with_what_is_expected() -> None:
    points, _ = simulated(USUAL, np.random.default_rng(1), 20)
    curve = Curve(points, 20, USUAL)
    added, low, high = curve.gain(100, 50)
    ahead = curve.expect(150, same_patients=False)[0] - curve.expect(100, same_patients=False)[0]
    assert low < added < high and added == pytest.approx(ahead, abs=0.01)


@pytest.mark.parametrize("same_patients", [True, False])
def test_the_interval_holds_as_often_as_it_says(same_patients: bool) -> None:
    """Curves drawn as the prior says they run, measured with the errors that it knows of."""
    rng = np.random.default_rng(2)
    prior, held, errors = USUAL, [], []
    for _ in range(300):
        points, truth = simulated(prior, rng, 20, same_patients)
        told = {} if same_patients else {"measured": 0.035, "same_patients": False}
        middle, low, high = Curve(points, 20, prior).expect(100, **told)
        held.append(low <= truth <= high)
        errors.append(truth - middle)
    assert 0.84 <= np.mean(held) <= 0.96  # four standard errors about 0.9 are 0.07
    assert abs(np.mean(errors)) < 0.015


def simulated(
    prior: Prior, rng: np.random.Generator, pool: int, same_patients: bool = True
) -> tuple[tuple[Point, ...], float]:
    """Points of draws within a pool, and the AUROC measured with 100 labels a class, the pool among them."""
    level = rng.normal(prior.level, prior.level_deviation)
    slope = rng.normal(prior.slope, prior.slope_deviation)
    scale = rng.choice(prior.scales, p=prior.shares)
    luck = rng.normal(size=100) * scale * prior.luck * np.sqrt(20)  # of each label; a model has the mean of its own
    wanted = [(n, d) for n in LEVELS for d in range(3 if n < pool else 1)] + [(100, 0)]
    n = np.array([each[0] for each in wanted])
    apart = np.abs(np.log(n)[:, None] - np.log(n))
    patients = rng.multivariate_normal(np.zeros(len(n)), np.exp(-prior.forgets * apart), method="eigh")
    orders = [rng.permutation(pool) for _ in range(3)]
    made = []
    for (shots, draw), of_patients in zip(wanted, patients, strict=True):
        own = luck[orders[draw][:shots]] if shots <= pool else luck
        z = level + slope * np.log(shots / 20) + own.mean() + rng.normal(0, scale * prior.own * np.sqrt(20 / shots))
        if shots == 100 and not same_patients:
            of_patients = rng.normal()
        error = 0.035 / (np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi))
        area = float(ndtr(z + of_patients * min(error, 0.3)))
        made.append(Point(shots, draw, area, min(0.035, 0.3 * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi))))
    return tuple(made[:-1]), made[-1].auroc
