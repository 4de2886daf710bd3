"""A site's batch statistics against means and variances taken by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from medtl.models import Classifier, batch_statistics, chunks
from medtl.models.batch_statistics import for_site, with_statistics_of


@dataclass
class Scans:
    """What `with_statistics_of` needs of a cohort; no labels."""

    bags: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.bags)

    @property
    def bag_sizes(self) -> np.ndarray:
        return np.array([len(bag) for bag in self.bags])

    def pixels(self, i: int) -> np.ndarray:
        return self.bags[i]


class Net(nn.Module):
    """Batch normalisation of the pixels, then their means: what goes into the first norm is what came in."""

    num_features = 2

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(2)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.norm(pixels).mean((2, 3))


def scans(n: int, most: int = 1, seed: int = 0) -> Scans:
    random = np.random.default_rng(seed)
    shape = (2, 4, 4)
    bags = [random.normal(3, 2, (1 + i % most, *shape)) * [[[[1.0]], [[5.0]]]] for i in range(n)]
    return Scans([bag.astype(np.float32) for bag in bags])


def classifier() -> Classifier:
    torch.manual_seed(0)
    return Classifier(Net(), 2, bottleneck=8).train()


def expected(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and unbiased variances a channel."""
    channels = pixels.transpose(1, 0, 2, 3).reshape(2, -1).astype(float)
    return channels.mean(1), channels.var(1, ddof=1)


@pytest.mark.parametrize("most", [1, 3])
def test_one_batch_has_the_mean_and_variance_of_all_instances(most: int) -> None:
    cohort = scans(30, most)
    adapted = with_statistics_of(classifier(), cohort)
    mean, variance = expected(np.concatenate(cohort.bags))
    norm = adapted.backbone.norm
    assert np.allclose(norm.running_mean, mean, rtol=1e-4)
    assert np.allclose(norm.running_var, variance, rtol=1e-4)


def test_several_batches_count_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_statistics, "BATCH", 16)
    cohort = scans(64)
    norm = with_statistics_of(classifier(), cohort).backbone.norm
    rows = np.random.default_rng(0).permutation(64)
    each = [expected(np.concatenate([cohort.bags[i] for i in part])) for part in np.array_split(rows, 4)]
    assert np.allclose(norm.running_mean, np.mean([mean for mean, _ in each], axis=0), rtol=1e-4)
    assert np.allclose(norm.running_mean, expected(np.concatenate(cohort.bags))[0], rtol=1e-4)
    assert np.allclose(norm.running_var, np.mean([variance for _, variance in each], axis=0), rtol=1e-4)


def test_the_bottlenecks_statistics_are_those_behind_the_new_ones() -> None:
    """Each norm sees what the norms before it give with the site's statistics; dropout is off."""
    cohort = scans(40)
    before = classifier()
    adapted = with_statistics_of(before, cohort)
    pixels = torch.from_numpy(np.concatenate(cohort.bags))
    with torch.no_grad():
        features = nn.functional.batch_norm(pixels, None, None, training=True).mean((2, 3))
        inputs = before.bottleneck[1](features)
    assert torch.allclose(adapted.bottleneck[2].running_mean, inputs.mean(0), atol=1e-5)
    assert torch.allclose(adapted.bottleneck[2].running_var, inputs.var(0), atol=1e-5)


def test_the_classifier_itself_and_all_weights_stay() -> None:
    before = classifier()
    kept = {name: value.clone() for name, value in before.state_dict().items()}
    adapted = with_statistics_of(before, scans(40))
    assert all(torch.equal(value, kept[name]) for name, value in before.state_dict().items())
    changed = {name for name, value in adapted.state_dict().items() if not torch.equal(value, kept[name])}
    assert changed and all(
        name.rpartition(".")[2] in ("running_mean", "running_var", "num_batches_tracked") for name in changed
    )
    assert not adapted.training


def test_it_is_the_same_each_time_and_goes_through_so_many_scans_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_statistics, "SCANS", 20)
    seen: list[int] = []

    class Counted(Scans):
        def pixels(self, i: int) -> np.ndarray:
            seen.append(i)
            return super().pixels(i)

    cohort = Counted(scans(50).bags)
    one, other = (with_statistics_of(classifier(), cohort).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert len(seen) == 40 and seen[:20] == seen[20:] and len(set(seen)) == 20


def test_too_few_scans_keep_the_statistics() -> None:
    before = classifier()
    adapted = with_statistics_of(before, scans(15))
    assert all(torch.equal(value, before.state_dict()[name]) for name, value in adapted.state_dict().items())
    assert not adapted.training


def test_many_slices_go_through_in_even_chunks() -> None:
    """The mean over chunks is the mean of all slices; the variance leaves out what differs from chunk to chunk."""
    seen: list[int] = []

    class Watched(Net):
        def forward(self, pixels: Tensor) -> Tensor:
            seen.append(len(pixels))
            return super().forward(pixels)

    cohort = scans(20, most=50)
    torch.manual_seed(0)
    norm = with_statistics_of(Classifier(Watched(), 2, bottleneck=8), cohort).backbone.norm
    mean, variance = expected(np.concatenate(cohort.bags))
    assert max(seen) <= chunks.CHUNK < sum(seen) and max(seen) - min(seen) <= 1
    assert np.allclose(norm.running_mean, mean, rtol=0.02)
    assert np.allclose(norm.running_var, variance, rtol=0.02)


def test_it_is_computed_on_the_device_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """On meta, where nothing is computed and from where nothing comes back, so that coming back is noted only."""
    meta, devices = torch.device("meta"), []
    moved = Classifier.to

    def to(self: Classifier, device: torch.device) -> Classifier:
        devices.append(device)
        return moved(self, device) if device == meta else self

    def forward(self: Classifier, pixels: Tensor, bag: Tensor, n: int) -> None:
        assert pixels.device == bag.device == next(self.parameters()).device == meta

    monkeypatch.setattr(Classifier, "to", to)
    monkeypatch.setattr(Classifier, "forward", forward)
    before = classifier()
    for_site(before, scans(20, most=3), False, meta)
    assert devices == [meta, torch.device("cpu")]
    assert next(before.parameters()).device.type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_finds_the_same_statistics() -> None:
    before, cohort = classifier(), scans(20, most=3)
    here, there = with_statistics_of(before, cohort), for_site(before, cohort, False, torch.device("cuda"))
    for name, value in here.state_dict().items():
        assert there.state_dict()[name].device.type == "cpu"
        assert torch.allclose(there.state_dict()[name], value, atol=1e-4)


def test_a_model_that_was_trained_on_chunks_keeps_its_statistics() -> None:
    before, some = classifier(), scans(20, most=3)
    cut, whole = for_site(before, some, fixed=True), for_site(before, some, fixed=False)
    state = before.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in cut.state_dict().items())
    assert not cut.training and before.training
    expected_state = with_statistics_of(before, some).state_dict()
    assert all(torch.equal(value, expected_state[name]) for name, value in whole.state_dict().items())
