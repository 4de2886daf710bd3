"""MixStyle against the paper's equations, on every kind of timm backbone, and gone where it does not belong."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from medtl.errors import InputError
from medtl.models import Classifier, create_backbone
from medtl.models.mixstyle import EPSILON, LENDERS, MixStyle, first_stages, mix_styles, style_of


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


# ---- the equations -----------------------------------------------------------------------------------------------
def test_the_mix_is_the_papers_written_out() -> None:
    """Mu and sigma by loops, as printed, and gamma_mix (x - mu) / sigma + beta_mix."""
    x, other, share = torch.randn(2, 3, 4, 5), 3 * torch.randn(2, 3, 4, 5) + 1, torch.tensor([0.25, 0.9])
    found = mix_styles(x, *style_of(other), share)
    for b in range(2):
        for c in range(3):
            plane, others = x[b, c].double().numpy(), other[b, c].double().numpy()
            mu, sigma = plane.sum() / 20, np.sqrt(((plane - plane.sum() / 20) ** 2).sum() / 20 + EPSILON)
            mu2, sigma2 = others.sum() / 20, np.sqrt(((others - others.sum() / 20) ** 2).sum() / 20 + EPSILON)
            weight = float(share[b])
            gamma, beta = weight * sigma + (1 - weight) * sigma2, weight * mu + (1 - weight) * mu2
            assert np.allclose(found[b, c].numpy(), gamma * (plane - mu) / sigma + beta, atol=1e-5)


def test_a_share_of_1_changes_nothing_and_of_0_gives_the_others_style() -> None:
    x, other = torch.randn(4, 3, 6, 6), 2 * torch.randn(4, 3, 6, 6) - 1
    style = style_of(other)
    assert torch.allclose(mix_styles(x, *style, torch.ones(4)), x, atol=1e-5)
    taken = style_of(mix_styles(x, *style, torch.zeros(4)))
    assert all(torch.allclose(a, b, atol=1e-3) for a, b in zip(taken, style, strict=True))


def test_channels_last_is_the_same(seeded) -> None:
    x, other, share = torch.randn(4, 3, 6, 6), torch.randn(4, 3, 6, 6), torch.rand(4)
    first = mix_styles(x, *style_of(other), share)
    last = mix_styles(x.permute(0, 2, 3, 1), *style_of(other.permute(0, 2, 3, 1), -1), share, -1)
    assert torch.allclose(first, last.permute(0, 3, 1, 2), atol=1e-6)


def test_no_gradient_flows_through_a_style() -> None:
    """So the gradient is the scale alone: (share own + (1 - share) other) / own."""
    x = torch.randn(2, 3, 4, 4, requires_grad=True)
    mean, deviation = style_of(torch.randn(2, 3, 4, 4))
    mix_styles(x, mean, 2 * deviation, torch.zeros(2)).sum().backward()
    scale = (2 * deviation / style_of(x)[1])[:, :, None, None].expand_as(x)
    assert torch.allclose(x.grad, scale, atol=1e-5)


# ---- in a backbone -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("tf_efficientnet_lite0", ["blocks.1", "blocks.2"]),
        ("resnet18", ["layer1", "layer2"]),
        ("convnext_atto", ["stages.0", "stages.1"]),
        ("swin_tiny_patch4_window7_224", ["layers.0", "layers.1"]),
        ("vit_tiny_patch16_224", ["blocks.0", "blocks.1"]),
    ],
)
def test_every_kind_of_timm_backbone_is_mixed_at_its_first_stages(name: str, stages: list[str]) -> None:
    side = 224 if "224" in name else 64
    backbone = timm.create_model(name, pretrained=False, num_classes=0, in_chans=1).train()
    assert list(first_stages(backbone)) == stages
    pixels = torch.randn(3, 1, side, side)
    plain = backbone(pixels)
    mixing = MixStyle(backbone, p=1.0)
    mixing.collect([pixels, 2 * pixels + 1])
    for module, channels in mixing.stages.items():
        assert mixing.bank[module][0].shape == mixing.bank[module][1].shape == (6, channels)
    mixed = backbone(pixels)
    assert mixed.shape == plain.shape and torch.isfinite(mixed).all()
    assert not torch.allclose(mixed, plain, atol=1e-4)


def test_a_backbone_without_named_stages_is_refused() -> None:
    with pytest.raises(InputError, match="take mixstyle out of `harmonise`"):
        MixStyle(nn.Sequential(nn.Conv2d(1, 2, 3)))


@pytest.fixture
def resnet() -> nn.Module:
    return timm.create_model("resnet18", pretrained=False, num_classes=0, in_chans=1).train()


def test_the_bank_holds_the_styles_that_a_forward_pass_has(resnet) -> None:
    seen = {}
    for name in ("layer1", "layer2"):
        resnet.get_submodule(name).register_forward_hook(lambda m, i, out, name=name: seen.update({name: out}))
    source, target = torch.randn(4, 1, 64, 64), torch.randn(5, 1, 64, 64) + 1
    mixing = MixStyle(resnet)
    mixing.collect([source, target])
    for number, pixels in enumerate((source, target)):
        copy.deepcopy(resnet)(pixels)  # its own batch statistics, as in training
        for name, features in seen.items():
            mean, deviation = style_of(features)
            part = slice(0, 4) if not number else slice(4, 9)
            assert torch.allclose(mixing.bank[name][0][part], mean, atol=1e-5)
            assert torch.allclose(mixing.bank[name][1][part], deviation, atol=1e-5)


def test_collecting_changes_no_state_and_draws_nothing(resnet) -> None:
    before, drawn = copy.deepcopy(resnet.state_dict()), torch.get_rng_state()
    mixing = MixStyle(resnet)
    mixing.collect([torch.randn(4, 1, 64, 64, generator=torch.Generator().manual_seed(1))])
    assert all(torch.equal(value, before[name]) for name, value in resnet.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(norm.track_running_stats for norm in resnet.modules() if isinstance(norm, nn.BatchNorm2d))
    assert not any(value.requires_grad for styles in mixing.bank.values() for value in styles)


def test_where_the_statistics_are_fixed_the_bank_holds_what_a_cut_batch_has(seeded) -> None:
    """Of 128 slices that go through in chunks; no share is mixed in, so that their own styles are seen."""
    classifier = Classifier(create_backbone("resnet18", pretrained=False, channels=1), 2, bottleneck=8).train()
    for norm in classifier.backbone.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.3), norm.running_var.uniform_(0.5, 2)
    seen = []
    classifier.backbone.get_submodule("layer1").register_forward_hook(lambda m, i, out: seen.append(style_of(out)))
    pixels, mixing = torch.randn(128, 1, 32, 32), MixStyle(classifier.backbone, p=1.0)
    mixing.collect([pixels], fixed=True)
    bank = mixing.bank.pop("layer1")
    mixing.bank.clear()
    seen.clear()
    classifier(pixels, torch.arange(8).repeat_interleave(16), 8)
    assert len(seen) == 2  # chunks of 64: every other slice, as lends its style
    assert all(torch.allclose(ours, theirs, atol=1e-5) for ours, theirs in zip(bank, seen[0], strict=True))
    assert all(norm.training for norm in classifier.backbone.modules())


def test_only_some_slices_of_many_lend_their_style(resnet) -> None:
    mixing = MixStyle(resnet)
    mixing.collect([torch.randn(2 * LENDERS + 1, 1, 32, 32)])
    assert len(mixing.bank["layer1"][0]) <= LENDERS


def test_it_mixes_half_of_the_passes(resnet) -> None:
    pixels = torch.randn(4, 1, 32, 32)
    plain = resnet(pixels)
    mixing = MixStyle(resnet)
    mixing.collect([pixels, pixels + 2])
    del mixing.bank["layer2"]  # each stage decides for itself
    mixed = [not torch.allclose(resnet(pixels), plain, atol=1e-6) for _ in range(60)]
    assert 0.3 < np.mean(mixed) < 0.7


def test_evaluation_and_copies_and_exports_know_nothing_of_it(tmp_path) -> None:
    backbone = create_backbone("resnet18", pretrained=False, channels=1)
    classifier = Classifier(backbone, 2, bottleneck=8)
    plain, keys = copy.deepcopy(classifier), list(classifier.state_dict())
    pixels = torch.randn(4, 1, 64, 64)
    MixStyle(backbone, p=1.0).collect([pixels, 3 * pixels])
    assert list(classifier.state_dict()) == keys
    assert torch.equal(classifier.eval()(pixels).logits, plain.eval()(pixels).logits)
    twin = copy.deepcopy(classifier.train())
    classifier.backbone.train(), twin.backbone.train(), plain.backbone.train()
    assert torch.equal(twin.backbone(pixels), plain.backbone(pixels))
    assert not torch.allclose(classifier.backbone(pixels), plain.backbone(pixels), atol=1e-4)


def test_what_is_computed_again_for_its_gradient_is_mixed_as_it_was(resnet) -> None:
    for norm in resnet.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.eval()
    pixels = torch.randn(4, 1, 64, 64)
    MixStyle(resnet, p=1.0).collect([pixels, 2 * pixels + 1])

    def gradient(forward) -> torch.Tensor:
        torch.manual_seed(5)
        resnet.zero_grad()
        forward().sum().backward()
        return resnet.conv1.weight.grad.clone()

    whole = gradient(lambda: resnet(pixels))
    again = gradient(lambda: checkpoint(resnet, pixels, use_reentrant=False))
    assert torch.allclose(whole, again, atol=1e-5)
