"""Maps are scored against masks: a model that looks at the lesion hits it, and one that looks elsewhere does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from medtl.measures import share_interval
from medtl.models import Classifier
from medtl.reports.pointing import Marked, centre_of, chance_of, pointed, saliency_scores
from medtl.reports.saliency import SALIENCIES


class Brightest(nn.Module):
    """Sees the brightest square of four by four pixels."""

    num_features = 1

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(4)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.pool(pixels).amax(dim=(2, 3))


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    torch.manual_seed(0)
    return Classifier(Brightest(), 2, bottleneck=8).eval()


@pytest.fixture(scope="module")
def answer(classifier: Classifier) -> int:
    """The class that brightness speaks for."""
    bright, dark = torch.ones(1, 1, 32, 32), -torch.ones(1, 1, 32, 32)
    with torch.no_grad():
        return int((classifier(bright).logits - classifier(dark).logits).argmax())


def marked(spot: tuple[int, int] = (4, 20), lesion: tuple[int, int] = (4, 20), patient: str = "a") -> Marked:
    """A bright square of 8 pixels at `spot`, a mask of 12 around one of 8 at `lesion`; four rows are padding."""
    pixels = np.full((1, 1, 32, 32), -1, np.float32)
    pixels[0, 0, spot[0] : spot[0] + 8, spot[1] : spot[1] + 8] = 1
    mask, picture = np.zeros((1, 32, 32), bool), np.ones((1, 32, 32), bool)
    mask[0, max(0, lesion[0] - 2) : lesion[0] + 10, max(0, lesion[1] - 2) : lesion[1] + 10] = True
    picture[0, 28:] = False
    return Marked(pixels, mask, picture, patient)


def test_who_looks_at_the_lesion_hits_it_by_every_method(classifier: Classifier, answer: int) -> None:
    on, off = pointed(classifier, marked(), answer), pointed(classifier, marked(lesion=(18, 2)), answer)
    assert set(on) == set(off) == set(SALIENCIES)
    assert all(each.hit and each.mass > 0.6 for each in on.values())
    assert not any(each.hit for each in off.values()) and all(each.mass < 0.2 for each in off.values())


def test_chance_leaves_padding_out_and_the_middle_is_looked_at() -> None:
    scan = marked()
    assert chance_of(scan) == pytest.approx(12 * 12 / (28 * 32))
    assert not centre_of(scan) and centre_of(marked(lesion=(12, 12)))


def test_the_scores_are_shares_of_scans_with_their_patients_interval(classifier: Classifier, answer: int) -> None:
    scans = [
        marked(patient="a"),
        marked(patient="a"),
        marked(lesion=(18, 2), patient="b"),
        marked((20, 4), (20, 4), "c"),
    ]
    scores = saliency_scores("adapted", classifier, [(scan, answer) for scan in scans])
    assert [score.method for score in scores] == list(SALIENCIES)
    expected = share_interval([True, True, False, True], ["a", "a", "b", "c"])
    for score in scores:
        assert (score.model, score.n_scans, score.hits, *score.hits_ci) == ("adapted", 4, *expected)
        assert score.chance == pytest.approx(np.mean([chance_of(scan) for scan in scans]))
        assert 0 < score.mass_inside < 1 and score.centre == 0
    assert saliency_scores("adapted", classifier, []) == ()


def test_a_slice_without_the_lesion_is_a_miss(classifier: Classifier, answer: int) -> None:
    one = marked()
    pixels = np.concatenate([np.full((1, 1, 32, 32), -1, np.float32), one.pixels])
    nothing = np.zeros((1, 32, 32), bool)
    both = np.concatenate([one.picture, one.picture])
    on = Marked(pixels, np.concatenate([nothing, one.mask]), both, "a")
    off = Marked(pixels, np.concatenate([one.mask, nothing]), both, "a")
    assert all(each.hit for each in pointed(classifier, on, answer).values())
    assert all(each == (False, 0.0) for each in pointed(classifier, off, answer).values())
