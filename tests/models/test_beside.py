"""The mean of two networks' answers as one network: equal to the mean, saved and loaded, and taken apart again."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from medtl.models import Classifier
from medtl.models.batch_statistics import with_statistics_of
from medtl.models.beside import WithStart, is_plain, with_start, without_start
from medtl.models.heads import heads_in
from medtl.models.layers import backbone_of


def backbone() -> nn.Module:
    made = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    made.num_features = 3  # type: ignore[assignment]
    return made


def small(seed: int, classes: int = 2, pooling: str = "mean") -> Classifier:
    torch.manual_seed(seed)
    classifier = Classifier(backbone(), classes, bottleneck=4, pooling=pooling)
    for norm in (classifier.backbone[1], classifier.bottleneck[2]):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    return classifier.eval()


@pytest.mark.parametrize("classes", [2, 5])
def test_logits_are_the_weighted_sum(classes):
    one, start = small(0, classes), small(1, classes)
    pixels, bag = torch.randn(6, 1, 8, 8), torch.tensor([0, 0, 0, 1, 2, 2])
    both = with_start(one, start, 0.5, 0.2)
    with torch.no_grad():
        for told in ((pixels,), (pixels, bag, 3)):
            expected = 0.5 * one(*told).logits + 0.2 * start(*told).logits
            assert torch.allclose(both(*told).logits, expected, atol=1e-5)
        assert torch.allclose(both(pixels).embedding, one(pixels).embedding)  # what is aligned is the adapted one's


def test_it_is_found_again_in_its_state_dict():
    both = with_start(small(0), small(1), 0.5, 0.5)
    state = both.state_dict()
    other = Classifier(backbone_of(state, backbone), 2, bottleneck=4)
    other.few_shot = heads_in(state)
    other.load_state_dict(state)
    pixels = torch.randn(4, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(other.eval()(pixels).logits, both(pixels).logits, atol=1e-6)


def test_taken_apart_the_adapted_one_is_left():
    one = small(0)
    with torch.no_grad():
        one.shortcut.weight.normal_()
        alone, pixels = without_start(with_start(one, small(1), 1.0, 0.7)), torch.randn(4, 1, 8, 8)
        assert torch.allclose(alone(pixels).logits, one(pixels).logits, atol=1e-5)
    assert not isinstance(alone.backbone, WithStart) and alone.state_dict().keys() == one.state_dict().keys()
    assert without_start(one) is one


def test_the_start_keeps_its_batch_statistics():
    class Scans:
        bag_sizes = [1] * 20

        def __len__(self) -> int:
            return 20

        def pixels(self, i: int):
            return torch.full((1, 1, 8, 8), float(i)).numpy()

    both = with_start(small(0), small(1), 0.5, 0.5)
    here = with_statistics_of(both, Scans())
    assert torch.equal(here.backbone.start[1].running_mean, both.backbone.start[1].running_mean)
    assert not torch.equal(here.backbone.backbone[1].running_mean, both.backbone.backbone[1].running_mean)
    assert not both.train().backbone.start.training


def test_plain_is_what_has_a_bottleneck_and_a_head_alone():
    one = small(0)
    assert is_plain(one) and not is_plain(with_start(one, one, 0.5, 0.5))
    with torch.no_grad():
        one.shortcut.weight[0, 0] = 1
    assert not is_plain(one)
