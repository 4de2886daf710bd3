"""A backbone read at several depths says the same as before, and what is frozen beside it stays frozen."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import timm
import torch
from torch import nn

from medtl.models import Classifier, create_backbone
from medtl.models.batch_statistics import with_statistics_of
from medtl.models.heads import CacheHead, CosineHead
from medtl.models.layers import Layered, backbone_of, layered


@pytest.fixture(scope="module")
def backbone() -> nn.Module:
    return create_backbone(channels=1).eval()


@pytest.fixture
def classifier(backbone: nn.Module) -> Classifier:
    torch.manual_seed(0)
    made = Classifier(copy.deepcopy(backbone), 3).eval()
    nn.init.normal_(made.shortcut.weight, std=0.1)
    return made


def pictures(n: int = 4) -> torch.Tensor:
    return torch.randn(n, 1, 64, 64, generator=torch.Generator().manual_seed(1))


def test_the_logits_stay_as_they_were(classifier: Classifier, backbone: nn.Module):
    before = classifier(pictures())
    after = layered(classifier, copy.deepcopy(backbone))(pictures())
    torch.testing.assert_close(after.logits, before.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(after.embedding, before.embedding, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(after.features[:, : before.features.shape[1]], before.features, atol=1e-5, rtol=1e-5)


def test_a_head_that_was_fitted_on_the_last_features_goes_on_reading_these(classifier: Classifier, backbone: nn.Module):
    torch.manual_seed(1)
    width = classifier.shortcut.in_features
    classifier.few_shot.append(CosineHead(torch.zeros(width), torch.ones(width), torch.randn(3, width), gain=5.0))
    keys, values = torch.randn(4, width), torch.randn(4, 3)
    classifier.few_shot.append(CacheHead(torch.zeros(width), torch.ones(width), keys, values, beta=1.0, gain=2.0))
    before = classifier(pictures()).logits
    after = layered(classifier, copy.deepcopy(backbone))(pictures()).logits
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["resnet10t", "tf_efficientnet_lite0", "convnext_atto"])
def test_each_depth_stands_in_the_columns_that_are_named_for_it(name: str):
    own = timm.create_model(name, num_classes=0, pretrained=False).eval()
    read = Layered(own)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        features = read(x)
        stages = own.forward_intermediates(x, intermediates_only=True)[-4:]
        assert features.shape == (2, read.num_features)
        for block, stage in zip(read.depths[0][:-1], stages, strict=True):
            torch.testing.assert_close(features[:, block], stage.mean((2, 3)), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(features[:, read.depths[0][-1]], own(x), atol=1e-5, rtol=1e-4)


def test_the_views_hold_each_column_of_theirs_once(backbone: nn.Module):
    read = Layered(copy.deepcopy(backbone), copy.deepcopy(backbone))
    columns = [np.concatenate([np.arange(read.num_features)[block] for block in view]) for view in read.views]
    assert all(len(np.unique(each)) == len(each) for each in columns)
    assert set(columns[0]) < set(columns[1]) < set(columns[2])
    assert len(columns[0]) == 2 * 1280 and len(columns[2]) == read.num_features


def test_what_is_frozen_stays_as_imagenet_gave_it(classifier: Classifier, backbone: nn.Module):
    layered(classifier, copy.deepcopy(backbone))
    classifier.train()
    before = copy.deepcopy(classifier.backbone.beside.state_dict())
    optimizer = torch.optim.SGD([p for p in classifier.parameters() if p.requires_grad], lr=0.1)
    classifier(pictures(8)).logits.sum().backward()
    optimizer.step()
    for name, value in classifier.backbone.beside.state_dict().items():
        assert torch.equal(value, before[name]), name
    moved = classifier.backbone.backbone.conv_stem.weight
    assert not torch.equal(moved, backbone.conv_stem.weight)


def test_a_sites_statistics_leave_what_is_frozen_alone(classifier: Classifier, backbone: nn.Module):
    class Scans:
        def __len__(self) -> int:
            return 16

        def pixels(self, i: int) -> np.ndarray:
            return np.random.default_rng(i).normal(size=(1, 1, 64, 64)).astype(np.float32)

    layered(classifier, copy.deepcopy(backbone))
    there = with_statistics_of(classifier, Scans())  # type: ignore[arg-type]
    assert torch.equal(there.backbone.beside.bn1.running_mean, backbone.bn1.running_mean)
    assert not torch.equal(there.backbone.backbone.bn1.running_mean, backbone.bn1.running_mean)


@pytest.mark.parametrize("beside", [True, False])
def test_its_weights_are_read_back_into_the_same_shape(classifier: Classifier, backbone: nn.Module, beside: bool):
    layered(classifier, copy.deepcopy(backbone) if beside else None)
    state = classifier.state_dict()
    made = Classifier(backbone_of(state, lambda: create_backbone(pretrained=False, channels=1)), 3).eval()
    made.load_state_dict(state)
    assert torch.equal(made(pictures()).logits, classifier(pictures()).logits)


def test_a_backbone_without_stages_stays_as_it_is():
    class Flat(nn.Module):
        num_features = 4

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3)).expand(-1, 4)

    classifier = Classifier(Flat(), 2)
    assert layered(classifier) is classifier
    assert isinstance(classifier.backbone, Flat)


def test_attention_is_by_the_last_features_alone(backbone: nn.Module):
    torch.manual_seed(0)
    classifier = Classifier(copy.deepcopy(backbone), 2, pooling="attention").eval()
    nn.init.normal_(classifier.pooling.score.weight)
    bag = torch.tensor([0, 0, 1, 1])
    before = classifier(pictures(), bag, 2)
    after = layered(classifier, copy.deepcopy(backbone))(pictures(), bag, 2)
    torch.testing.assert_close(after.attention, before.attention, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(after.logits, before.logits, atol=1e-4, rtol=1e-4)
