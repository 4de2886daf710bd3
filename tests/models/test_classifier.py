"""The classifier over bags: chunks change neither features nor gradients, and keep nothing of the slices."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from medtl.models import Classifier, chunks, create_backbone
from medtl.models.chunks import in_chunks, statistics_fixed


class Net(nn.Module):
    """Two convolutions with batch normalisation, and how many instances came at once."""

    num_features = 6

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.SiLU(), nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.SiLU()
        )
        self.seen: list[int] = []

    def forward(self, pixels: Tensor) -> Tensor:
        self.seen.append(len(pixels))
        return self.layers(pixels).mean((2, 3))


def classifier(pooling: str = "attention", dropout: float = 0.0) -> Classifier:
    """In float64, with running statistics that are not 0 and 1 and weights of attention that are not 0."""
    torch.manual_seed(0)
    model = Classifier(Net(), 2, bottleneck=8, dropout=dropout, pooling=pooling).double()
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.3)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    if pooling == "attention":
        nn.init.normal_(model.pooling.score.weight)
    return model


def volumes(scans: int = 5, slices: int = 30) -> tuple[Tensor, Tensor, int]:
    """Pixels, bag, N: bags of different sizes."""
    sizes = torch.tensor([slices - i + (i % 2) * 2 for i in range(scans)])
    torch.manual_seed(1)
    return torch.randn(int(sizes.sum()), 1, 8, 8).double(), torch.arange(scans).repeat_interleave(sizes), scans


@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_gradients_of_chunks_are_those_of_the_whole_batch_with_statistics_fixed(
    pooling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut, whole = classifier(pooling).train(), classifier(pooling).train()
    given = volumes()
    output = cut(*given)
    output.logits.square().sum().backward()
    assert max(cut.backbone.seen) <= chunks.CHUNK and len(cut.backbone.seen) == 2 * 3  # two passes over three chunks
    monkeypatch.setattr(chunks, "CHUNK", 10_000)
    with statistics_fixed(whole.backbone):
        expected = whole(*given)
    expected.logits.square().sum().backward()
    assert whole.backbone.seen == [len(given[0])]
    for ours, theirs in zip(output, expected, strict=True):
        assert (ours is None and theirs is None) or torch.allclose(ours, theirs, atol=1e-12)
    for (name, one), other in zip(cut.named_parameters(), whole.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None), name
        assert one.grad is None or torch.allclose(one.grad, other.grad, atol=1e-11), name
    assert all(torch.equal(one, other) for one, other in zip(cut.buffers(), whole.buffers(), strict=True))


def test_chunks_leave_the_backbones_statistics_and_their_mode_alone() -> None:
    model = classifier().train()
    before = copy.deepcopy(model.backbone.state_dict())
    model(*volumes()).logits.sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in model.backbone.state_dict().items())
    assert all(module.training for module in model.modules())


def test_where_any_batch_is_cut_the_smaller_ones_are_treated_alike() -> None:
    model, pixels = classifier().train(), torch.randn(6, 1, 8, 8).double()
    model.fixed = True
    before = copy.deepcopy(model.backbone.state_dict())
    found = model(pixels, torch.arange(3).repeat_interleave(2), 3)
    assert all(torch.equal(value, before[name]) for name, value in model.backbone.state_dict().items())
    assert torch.allclose(found.features, _still(model)(pixels, torch.arange(3).repeat_interleave(2), 3).features)
    assert all(module.training for module in model.modules()) and "fixed" not in model.state_dict()


def _still(model: Classifier) -> Classifier:
    twin = copy.deepcopy(model)
    twin.backbone.eval()
    return twin


def test_pictures_are_never_cut_and_move_the_statistics() -> None:
    model = classifier("mean").train()
    pixels = torch.randn(200, 1, 8, 8).double()
    before = model.backbone.layers[1].running_mean.clone()
    model(pixels, torch.arange(200), 200).logits.sum().backward()
    assert model.backbone.seen == [200]
    assert not torch.equal(model.backbone.layers[1].running_mean, before)


def test_prediction_in_chunks_is_prediction_at_once() -> None:
    model, given = classifier().eval(), volumes()
    with torch.inference_mode():
        cut = model(*given)
        apart = [model(given[0][given[1] == i], torch.zeros(int((given[1] == i).sum()), dtype=int), 1) for i in (0, 4)]
    assert max(model.backbone.seen) <= chunks.CHUNK
    assert torch.allclose(cut.logits[[0, 4]], torch.cat([each.logits for each in apart]), atol=1e-12)
    sums = torch.zeros(5).double().index_add_(0, given[1], cut.attention)
    assert torch.allclose(sums, torch.ones(5).double())


def test_a_backbone_that_stays_goes_through_once() -> None:
    model = classifier().train()
    model.backbone.requires_grad_(False)
    model(*volumes()).logits.sum().backward()
    assert len(model.backbone.seen) == 3
    assert model.pooling.score.weight.grad is not None


def kept(slices: int, size: int = 32) -> int:
    """Bytes that training on two volumes keeps for the gradient beside the pixels and their features."""
    model = classifier().train()
    pixels = torch.randn(2 * slices, 1, size, size).double()
    held: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.ndim == 4:  # of the backbone
            held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = model(pixels, torch.arange(2).repeat_interleave(slices), 2).logits.sum()
    held.pop(pixels.untyped_storage().data_ptr(), None)
    loss.backward()
    return sum(held.values())


def test_what_is_kept_for_the_gradient_does_not_grow_with_slices() -> None:
    assert kept(16) > 0  # one pass: the activations
    assert kept(64) == kept(512) == 0  # chunks: none of them
    model = classifier().train()
    model(torch.randn(1024, 1, 8, 8).double(), torch.arange(2).repeat_interleave(512), 2)
    assert max(model.backbone.seen) <= chunks.CHUNK


def test_dropout_in_the_backbone_is_the_same_in_both_passes() -> None:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(4, 3, bias=False))
    pixels = torch.randn(200, 1, 2, 2)
    features = in_chunks(backbone, pixels, 2, fixed=True)
    features.sum().backward()
    weight = backbone[2].weight  # features = x W^T, so each row of the gradient is the sum of the dropped x
    assert torch.allclose(weight.grad @ weight[0], features.sum(0)[0].expand(3), atol=1e-3)


@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_a_picture_is_a_bag_of_one(pooling: str) -> None:
    model = classifier(pooling).eval()
    pixels = torch.randn(4, 1, 8, 8).double()
    bare, bagged = model(pixels), model(pixels, torch.arange(4), 4)
    assert torch.equal(bare.logits, bagged.logits)
    assert bare.attention is None if pooling == "mean" else torch.equal(bare.attention, torch.ones(4).double())


def test_the_mean_has_no_weights_so_that_older_runs_load() -> None:
    assert not [name for name in classifier("mean").state_dict() if name.startswith("pooling")]
    assert len([name for name in classifier("attention").state_dict() if name.startswith("pooling")]) == 5


def test_the_default_backbone_in_half_precision_gives_the_gradient_in_chunks() -> None:
    torch.manual_seed(0)
    model = Classifier(create_backbone("test_efficientnet", pretrained=False, channels=1), 2, pooling="attention")
    with torch.autocast("cpu", torch.bfloat16):
        output = model.train()(torch.randn(130, 1, 32, 32), torch.arange(2).repeat_interleave(65), 2)
        output.logits.float().square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.backbone.parameters())
