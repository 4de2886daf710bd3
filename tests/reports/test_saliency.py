"""Where a model that looks at one spot looks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from medtl.models import Classifier, chunks, create_backbone
from medtl.reports.saliency import SALIENCIES, deepest_map, saliencies, saliency


class Brightest(nn.Module):
    """Sees the brightest square of four by four pixels."""

    num_features = 1

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(4)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.pool(pixels).amax(dim=(2, 3))


def model(backbone: nn.Module, pooling: str = "mean") -> Classifier:
    torch.manual_seed(0)
    return Classifier(backbone, 2, bottleneck=8, pooling=pooling).eval()


def test_it_points_at_what_decides() -> None:
    classifier = model(Brightest())
    pixels = np.zeros((3, 1, 32, 32), np.float32)
    pixels[1, 0, 4:8, 20:24] = 1.0
    with torch.no_grad():
        weight = classifier(torch.from_numpy(pixels[1:2])).logits - classifier(torch.zeros(1, 1, 32, 32)).logits
    instance, where, weights = saliency(classifier, pixels, int(weight.argmax()))
    assert where.shape == (32, 32) and where.dtype == np.float32
    assert where.min() >= 0 and where.max() == 1
    row, column = np.unravel_index(where.argmax(), where.shape)
    np.testing.assert_allclose(weights, [0, 1, 0], atol=1e-6)
    assert instance == 1 and 2 <= row <= 9 and 18 <= column <= 25


def test_the_maps_have_cells_enough_and_the_classifier_is_left_alone() -> None:
    backbone = create_backbone("test_efficientnet", pretrained=False, channels=3)
    classifier = model(backbone)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    pixels = np.random.default_rng(0).normal(size=(2, 3, 112, 112)).astype(np.float32)
    shapes = []
    layer = deepest_map(backbone, torch.from_numpy(pixels[:1]))
    hook = layer.register_forward_hook(lambda _m, _i, out: shapes.append(out.shape[-2:]))
    saliency(classifier, pixels, 1)
    hook.remove()
    assert min(shapes[0]) >= 7
    assert all(torch.equal(before[name], value) for name, value in classifier.state_dict().items())
    assert all(p.grad is None for p in classifier.parameters())
    first = saliency(classifier, pixels, 1)[1]
    np.testing.assert_array_equal(first, saliency(classifier, pixels, 1)[1])


def test_a_model_that_attends_shows_its_weights_and_the_slice_of_the_largest() -> None:
    classifier = model(Brightest(), "attention")
    nn.init.normal_(classifier.pooling.score.weight, std=30)
    pixels = np.zeros((5, 1, 32, 32), np.float32)
    pixels[3, 0, 4:8, 20:24] = 1.0
    with torch.no_grad():
        output = classifier(torch.from_numpy(pixels), torch.zeros(5, dtype=torch.long), 1)
    for answer in (0, 1):
        instance, where, weights = saliency(classifier, pixels, answer)
        np.testing.assert_allclose(weights, output.attention, atol=1e-6)
        assert instance == int(output.attention.argmax()) and where.shape == (32, 32)


@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_chunks_change_no_map(pooling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = model(create_backbone("test_efficientnet", pretrained=False, channels=1), pooling)
    if pooling == "attention":
        nn.init.normal_(classifier.pooling.score.weight, std=3)
    pixels = np.random.default_rng(0).normal(size=(11, 1, 64, 64)).astype(np.float32)
    whole = saliency(classifier, pixels, 1)
    monkeypatch.setattr(chunks, "CHUNK", 3)
    monkeypatch.setattr("medtl.reports.saliency.CHUNK", 3)
    cut = saliency(classifier, pixels, 1)
    assert cut.instance == whole.instance
    np.testing.assert_allclose(cut.where, whole.where, atol=1e-4)
    np.testing.assert_allclose(cut.weights, whole.weights, atol=1e-5)
    assert whole.weights.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("how", list(SALIENCIES))
def test_every_method_points_at_what_decides(how: str) -> None:
    classifier = model(Brightest())
    pixels = np.full((3, 1, 32, 32), -1, np.float32)
    pixels[1, 0, 8:16, 16:24] = 1.0
    with torch.no_grad():
        with_it = classifier(torch.from_numpy(pixels), torch.zeros(3, dtype=torch.long), 1).logits
        without = classifier(-torch.ones(1, 1, 32, 32)).logits
    instance, where, weights = saliency(classifier, pixels, int((with_it - without).argmax()), how)
    row, column = np.unravel_index(where.argmax(), where.shape)
    assert instance == 1 and 6 <= row <= 17 and 14 <= column <= 25
    assert where.shape == (32, 32) and where.dtype == np.float32 and where.min() >= 0 and where.max() <= 1
    assert weights.sum() == pytest.approx(1, abs=1e-5)


def test_all_methods_at_once_look_at_the_same_slice_and_leave_the_classifier_alone() -> None:
    classifier = model(create_backbone("test_efficientnet", pretrained=False, channels=1))
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    pixels = np.random.default_rng(0).normal(size=(3, 1, 64, 64)).astype(np.float32)
    found = saliencies(classifier, pixels, 1)
    assert set(found) == set(SALIENCIES) and len({each.instance for each in found.values()}) == 1
    for how, each in found.items():
        np.testing.assert_allclose(each.where, saliency(classifier, pixels, 1, how).where, atol=1e-5)
    assert all(torch.equal(before[name], value) for name, value in classifier.state_dict().items())
    assert all(p.grad is None for p in classifier.parameters())


def test_integrated_gradients_add_up_to_what_the_picture_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}

    def keep(given: torch.Tensor, _: float) -> np.ndarray:
        seen["sum"] = float(given.sum())
        return given[0, 0].detach().numpy()

    monkeypatch.setattr("medtl.reports.saliency._for_the_answer", keep)
    classifier = model(Brightest())
    pixels = np.random.default_rng(0).uniform(-1, 1, (2, 1, 32, 32)).astype(np.float32)
    chosen = saliency(classifier, pixels, 0, "integrated gradients").instance

    def answer(value: float | None) -> float:
        changed = pixels.copy()
        if value is not None:
            changed[chosen] = value
        with torch.no_grad():
            return float(classifier(torch.from_numpy(changed), torch.zeros(2, dtype=torch.long), 1).logits[0, 0])

    added = answer(None) - (answer(-1) + answer(1)) / 2
    assert seen["sum"] == pytest.approx(added, abs=0.02 * abs(answer(1) - answer(-1)))


def test_a_dark_lesion_is_seen_by_integrated_gradients() -> None:
    class Darkest(Brightest):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return super().forward(-pixels)

    classifier = model(Darkest())
    pixels = np.full((1, 1, 32, 32), 0.2, np.float32)
    pixels[0, 0, 8:16, 16:24] = -1.0
    with torch.no_grad():
        logits = [classifier(torch.from_numpy(each)).logits for each in (pixels, np.full_like(pixels, 0.2))]
    where = saliency(classifier, pixels, int((logits[0] - logits[1]).argmax()), "integrated gradients").where
    row, column = np.unravel_index(where.argmax(), where.shape)
    assert 6 <= row <= 17 and 14 <= column <= 25
