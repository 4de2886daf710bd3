"""The graph network against dense NumPy and the graph of all scans; whom it joins, what it teaches."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from medtl.measures.graph import edges, normalised
from medtl.methods.base import Batch
from medtl.methods.graph import Graph, batch_edges, convolution, taught_loss
from medtl.methods.unlabelled import look_at_home
from medtl.models import Classifier


class Scans:
    """Bags in memory with patients and, perhaps, studies."""

    def __init__(self, n: int, seed: int, study: bool = True, sizes: int = 2) -> None:
        random = np.random.default_rng(seed)
        self.bag_sizes = random.integers(1, sizes + 1, n)
        self.bags = [random.normal(size=(size, 1, 4, 4)).astype(np.float32) for size in self.bag_sizes]
        self.patient = np.array([f"P{i // 3}" for i in range(n)])
        if study:
            names = [f"S{i // 2}" if i % 5 else "" for i in range(n)]
            self.manifest = SimpleNamespace(frame=pd.DataFrame({"study": names}))

    def __len__(self) -> int:
        return len(self.bags)

    def pixels(self, i: int) -> np.ndarray:
        return self.bags[i]

    def batch(self, rows: list[int], label: object = None) -> Batch:
        bag = torch.repeat_interleave(torch.arange(len(rows)), torch.from_numpy(self.bag_sizes[rows]))
        pixels = torch.from_numpy(np.concatenate([self.bags[row] for row in rows]))
        label = None if label is None else torch.tensor(label)
        return Batch(pixels, bag, label, torch.zeros(len(rows)), torch.tensor(rows))


def method(classes: int = 2, **options: object) -> Graph:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(16, 6))
    backbone.num_features = 6  # type: ignore[assignment]
    return Graph(Classifier(backbone, classes, bottleneck=5, dropout=0.0), **options)


def prepared(made: Graph, study: bool = True) -> tuple[Graph, Scans, Scans]:
    source, target = Scans(22, 1, study), Scans(19, 2, study)
    made.prepare({"source": SimpleNamespace(cohort=source), "target": SimpleNamespace(cohort=target)}, 0.0)
    return made, source, target


def test_a_convolution_is_that_of_kipf_and_welling_in_dense_numpy():
    random = np.random.default_rng(0)
    weights = random.uniform(size=(6, 6)) * (random.uniform(size=(6, 6)) < 0.5)
    weights = np.maximum(weights, weights.T) * (1 - np.eye(6))
    features, layer = random.normal(size=(6, 3)), random.normal(size=(3, 2))
    looped = weights + np.eye(6)
    d = np.diag(1 / np.sqrt(looped.sum(axis=1)))
    found = convolution(torch.from_numpy(weights)) @ torch.from_numpy(features) @ torch.from_numpy(layer)
    np.testing.assert_allclose(found.numpy(), d @ looped @ d @ features @ layer)


def test_a_scan_alone_is_its_own_loop():
    assert convolution(torch.zeros(3, 3)).tolist() == torch.eye(3).tolist()


@pytest.mark.parametrize("k", [1, 4, 50])
def test_edges_in_a_batch_are_those_of_the_graph_of_all(k):
    random = np.random.default_rng(k)
    embedding = random.normal(size=(14, 5))
    pairs = [random.permutation(14) // 2 for _ in range(2)]  # larger groups than k are joined along the manifest there
    patient, study = (np.where(random.uniform(size=14) < 0.2, -1, each) for each in pairs)
    names = [np.where(each < 0, "", each.astype(str)) for each in (patient, study)]
    expected = edges(embedding, min(k, 13), patient=names[0], study=names[1]).toarray()
    groups = torch.from_numpy(np.stack([patient, study], axis=1))
    found = batch_edges(torch.from_numpy(embedding), groups, k).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_graph_of_all_scans_speaks_of_the_target():
    made, source, target = prepared(method(3, k=4))
    embedding = torch.cat([look_at_home(made.classifier, each).embedding for each in (source, target)]).double().numpy()
    names = {}
    names["patient"] = np.array([f"{k} {p}" for k, each in enumerate((source, target)) for p in each.patient])
    studies = [(k, s) for k, each in enumerate((source, target)) for s in each.manifest.frame.study]
    names["study"] = np.array([f"{k} {s}" if s else "" for k, s in studies])
    a = normalised(edges(embedding, 4, **names), loops=1.0).toarray()
    w, b = made.head.weight.detach().double().numpy(), made.head.bias.detach().double().numpy()
    np.testing.assert_allclose(made.belief.numpy(), (a @ embedding @ w.T + b)[22:], atol=1e-4)


def test_patients_and_studies_of_two_hospitals_are_never_the_same():
    made, _, _ = prepared(method())
    for kind in range(2):
        here, there = (set(made.get_buffer(f"{role}_groups")[:, kind].tolist()) - {-1} for role in ("source", "target"))
        assert here and there and not here & there
    assert made.source_groups[0, 1] == -1 and made.source_groups[1, 1] >= 0
    assert made.source_groups[:3, 0].unique().numel() == 1


def test_without_a_manifest_patients_alone_are_known():
    made, _, _ = prepared(method(), study=False)
    assert (made.target_groups[:, 1] == -1).all() and (made.target_groups[:, 0] >= 0).all()


def test_it_begins_as_the_classifier_and_the_graph_goes_through_it():
    made = method()
    assert torch.equal(made.head.weight, made.classifier.head.weight) and made.head is not made.classifier.head


def test_losses_by_hand():
    made, source, target = prepared(method(3, k=3, node=0.3, sure=0.4))
    made.eval()
    dealt = {"source": source.batch([3, 4, 9, 0], [0, 2, 1, 1]), "target": target.batch([5, 6, 1])}
    losses = made.losses(dealt, 0.5)
    here, there = made.forward(dealt["source"]), made.forward(dealt["target"])
    embedding = torch.cat([here.embedding, there.embedding])
    groups = torch.cat([made.source_groups[[3, 4, 9, 0]], made.target_groups[[5, 6, 1]]])
    through = convolution(batch_edges(embedding, groups, 3)) @ embedding @ made.head.weight.T + made.head.bias
    label = dealt["source"].label
    assert losses["task"].item() == pytest.approx(F.cross_entropy(here.logits, label).item(), rel=1e-5)
    assert losses["node"].item() == pytest.approx(0.3 * F.cross_entropy(through[:4], label).item(), rel=1e-5)
    p = made.belief[[5, 6, 1]].softmax(1)
    by_hand = [-there.logits.log_softmax(1)[i, p[i].argmax()].item() if p[i].max() >= 0.4 else 0.0 for i in range(3)]
    assert losses["taught"].item() == pytest.approx(np.mean(by_hand), rel=1e-5)


def test_only_what_is_sure_is_taught():
    logits = torch.randn(3, 2, dtype=torch.float64)
    belief = torch.tensor([[0.69, 0.31], [0.2, 0.8], [0.95, 0.05]], dtype=torch.float64).log()
    log_p = logits.log_softmax(1)
    assert taught_loss(logits, belief, 0.7).item() == pytest.approx(-(log_p[1, 1] + log_p[2, 0]).item() / 3)
    assert taught_loss(logits, belief, 0.99).item() == 0


def test_of_several_labels_each_is_taught_by_itself():
    logits = torch.randn(2, 2, dtype=torch.float64)
    belief = torch.logit(torch.tensor([[0.9, 0.6], [0.5, 0.1]], dtype=torch.float64))
    p = torch.sigmoid(logits)
    expected = -(p[0, 0].log() + (1 - p[1, 1]).log()) / 4
    assert taught_loss(logits, belief, 0.7, several=True).item() == pytest.approx(expected.item())


@pytest.mark.parametrize("label", [[0, 1, 2], [[0.0, 1.0, float("nan")], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]])
def test_volumes_of_three_classes_or_labels(label):
    made, source, target = prepared(method(3, sure=0.0))
    losses = made.losses({"source": source.batch([2, 8, 5], label), "target": target.batch([1, 4])}, 0.5)
    sum(losses.values()).backward()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in made.groups()["all"])


def test_no_gradient_goes_into_the_edges():
    """What is learnt is what scans are, not whom they stand beside."""
    made, source, target = prepared(method())
    made.eval()
    dealt = {"source": source.batch([0, 5, 6, 7], [0, 1, 0, 1]), "target": target.batch([1, 2, 3])}
    made.losses(dealt, 0.5)["node"].backward()
    found = made.classifier.bottleneck[1].weight.grad.clone()
    twin = copy.deepcopy(made)
    twin.zero_grad()
    embedding = torch.cat([twin.forward(dealt[role]).embedding for role in ("source", "target")])
    groups = torch.cat([twin.source_groups[[0, 5, 6, 7]], twin.target_groups[[1, 2, 3]]])
    fixed = convolution(batch_edges(embedding.detach(), groups, twin.k)).detach()
    (twin.node * F.cross_entropy(twin.head(fixed @ embedding)[:4], dealt["source"].label)).backward()
    torch.testing.assert_close(found, twin.classifier.bottleneck[1].weight.grad)
