"""Saliency maps are scored: how often their maximum falls on the radiologist's mask of the lesion."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from medtl import measures
from medtl.measures.pointing import hits, mass_inside
from medtl.models import Classifier
from medtl.reports.contents import SaliencyScore
from medtl.reports.saliency import SALIENCIES, saliencies


@dataclass(frozen=True)
class Marked:
    """A scan whose lesion was drawn.

    Attributes:
        pixels: float32 (instances, C, H, W), network input.
        mask: bool (instances, H, W), the lesion on it; not empty.
        picture: bool (instances, H, W), what of the input is picture, not the padding around it.
        patient: whose.
    """

    pixels: np.ndarray
    mask: np.ndarray
    picture: np.ndarray
    patient: str


class Pointed(NamedTuple):
    """What the map of one method does on one scan."""

    hit: bool  # its maximum falls on the lesion
    mass: float  # share of the map on the lesion; nan of an empty map


def pointed(classifier: Classifier, scan: Marked, answer: int) -> dict[str, Pointed]:
    """Each method's map for an answer: name -> whether it points at the lesion.

    Of a volume, the map of the slice that mattered most; a slice that the lesion is not on is a miss.
    """
    found = {}
    for name, map_ in saliencies(classifier, scan.pixels, answer).items():
        mask = scan.mask[map_.instance]
        found[name] = (
            Pointed(hits(map_.where, mask), mass_inside(map_.where, mask)) if mask.any() else Pointed(False, 0.0)
        )
    return found


def chance_of(scan: Marked) -> float:
    """How often a pixel of the picture drawn by chance lies on the lesion: its share of the area without padding."""
    return float((scan.mask & scan.picture).sum() / max(1, scan.picture.sum()))


def centre_of(scan: Marked) -> bool:
    """Whether the middle of the picture (of a volume, of its middle slice) lies on the lesion."""
    instances, rows, columns = scan.mask.shape
    return bool(scan.mask[instances // 2, rows // 2, columns // 2])


def saliency_scores(
    model: str, classifier: Classifier, scans: Iterable[tuple[Marked, int]]
) -> tuple[SaliencyScore, ...]:
    """One model's maps by every method, each for the answer that it gave.

    Intervals take the scans of a patient together.

    Args:
        model: its name.
        classifier: in eval mode afterwards.
        scans: each with the number of the class that the model says.
    """
    found: dict[str, list[Pointed]] = {name: [] for name in SALIENCIES}
    patients, chance, centre = [], [], []
    for scan, answer in scans:
        for name, score in pointed(classifier, scan, answer).items():
            found[name].append(score)
        patients.append(scan.patient)
        chance.append(chance_of(scan))
        centre.append(centre_of(scan))
    if not patients:
        return ()
    return tuple(_score(model, name, scores, patients, chance, centre) for name, scores in found.items())


def _score(
    model: str, method: str, scores: list[Pointed], patients: list[str], chance: list[float], centre: list[bool]
) -> SaliencyScore:
    share, low, high = measures.share_interval([score.hit for score in scores], patients)
    masses = np.array([score.mass for score in scores])
    known = masses[~np.isnan(masses)]
    return SaliencyScore(
        model=model,
        method=method,
        n_scans=len(scores),
        hits=share,
        hits_ci=(low, high),
        mass_inside=float(known.mean()) if len(known) else float("nan"),
        chance=float(np.mean(chance)),
        centre=float(np.mean(centre)),
    )
