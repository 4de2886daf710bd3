"""How sure a share of scans is: Wilson's interval, with the scans of one patient taken together."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri


def wilson(share: ArrayLike, count: ArrayLike, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's interval of a share (Journal of the American Statistical Association 22, 1927).

    Holds what it says with few scans and with shares of 0 and 1, where the plain interval has no width.

    Args:
        share: any shape, in [0, 1].
        count: how many scans each is a share of; need not be whole; of none the interval is [0, 1].
        confidence: of the two-sided interval.

    Returns:
        Lower and upper bounds in [0, 1].
    """
    share, count = np.asarray(share, float), np.asarray(count, float)
    z = -ndtri((1 - confidence) / 2)
    none = count <= 0
    n = np.where(none, 1.0, count)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low = np.where(none, 0.0, np.where(share <= 0, 0.0, np.clip(middle - half, 0, 1)))
    high = np.where(none, 1.0, np.where(share >= 1, 1.0, np.clip(middle + half, 0, 1)))
    return low, high


def share_interval(
    right: ArrayLike, patient: ArrayLike | None = None, confidence: float = 0.95
) -> tuple[float, float, float]:
    """A share and its interval: Wilson's on as many scans as those of the patients are worth.

    Rao and Scott (Biometrics 48, 1992): the count is divided by how much the share varies between patients beyond what
    as many single scans would. It is never more than the scans, nor less than the patients; it is the patients where
    all scans are right or all wrong, which says nothing of how alike one patient's scans are. With one scan a patient
    it is Wilson's interval.

    Args:
        right: (N,) True or False.
        patient: (N,) names; None: every scan is a patient of its own.
        confidence: of the two-sided interval.

    Returns:
        The share, low and high; all nan for no scans.
    """
    right = np.asarray(right, float)
    if not len(right):
        return (float("nan"),) * 3
    number = np.arange(len(right)) if patient is None else np.unique(np.asarray(patient), return_inverse=True)[1]
    share = float(right.mean())
    low, high = wilson(share, _worth(right - share, number.reshape(-1)), confidence)
    return share, float(low), float(high)


def _worth(deviation: np.ndarray, patient: np.ndarray) -> float:
    """How many independent scans (N,) deviations of so many patients are worth."""
    scans, patients = len(deviation), int(patient.max()) + 1
    single = float(np.sum(deviation**2))
    if single == 0 or patients == 1:
        return float(patients)
    by_patient = float(np.sum(np.bincount(patient, deviation) ** 2)) * patients / (patients - 1) * (scans - 1) / scans
    return float(np.clip(scans * single / by_patient, patients, scans)) if by_patient > 1e-9 * single else float(scans)
