"""How much answers waver: hand cases, seeds, and what the ways have to do with the model."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from medtl.data.augmentation import Augmentation
from medtl.errors import InputError
from medtl.runs.run import Run
from medtl.runs.uncertainty import (
    UNCERTAINTIES,
    Asked,
    augmentation_of,
    dropout_samples,
    laplace_of,
    refuse_what_cannot_be,
    summary,
    uncertainty_of,
    view_samples,
)
from medtl.trust import apply_trust
from medtl.trust.laplace import fit_laplace

_spec = importlib.util.spec_from_file_location("small", Path(__file__).parent / "small.py")
small = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """A Run with embeddings of its source, six scans, and what it says of them."""
    folder = tmp_path_factory.mktemp("asked")
    label = np.arange(40) % 2
    held = {f"source_{when}": RNG.normal(size=(40, 16)) + label[:, None] for when in ("before", "after")}
    run = small.run(folder / "run", features={**held, "source_label": label})
    cohort = small.cohort(folder / "scans")
    return Asked(run, "model", cohort, *run.outputs(cohort))


@pytest.fixture(scope="module")
def member(tmp_path_factory: pytest.TempPathFactory) -> Run:
    models = {"adapted": small.classifier(seed=5), "source-only": small.classifier(seed=6)}
    return small.run(tmp_path_factory.mktemp("member") / "run", models=models)


def test_by_hand_two_that_contradict_each_other_waver_by_log_2_and_two_that_agree_do_not() -> None:
    certain = np.array([[[1.0, 0.0], [0.5, 0.5], [1.0, 0.0]], [[0.0, 1.0], [0.5, 0.5], [0.5, 0.5]]])
    found = summary(certain, "binary")
    np.testing.assert_allclose(found.probabilities, [[0.5, 0.5], [0.5, 0.5], [0.75, 0.25]])
    mean_entropy = -0.75 * np.log(0.75) - 0.25 * np.log(0.25)
    np.testing.assert_allclose(found.spread, [np.log(2), 0, mean_entropy - np.log(2) / 2], atol=1e-12)
    labels = summary(np.array([[[1.0, 1.0]], [[0.0, 1.0]]]), "multilabel")
    np.testing.assert_allclose(labels.spread, [np.log(2)])


@pytest.mark.parametrize("way", UNCERTAINTIES)
def test_each_way_gives_probabilities_and_the_same_again(way: str, asked: Asked, member: Run) -> None:
    if way == "ensemble":
        asked = dataclasses.replace(asked, members=[member])
    found, again = (uncertainty_of(way, asked) for _ in range(2))
    assert found.probabilities.shape == (6, 2)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
    assert (found.spread > 0).any() and (found.spread <= np.log(2)).all()
    np.testing.assert_array_equal(found.spread, again.spread)


def test_another_seed_gives_other_numbers(asked: Asked) -> None:
    other = dataclasses.replace(asked, seed=1)
    for way in ("dropout", "views", "laplace"):
        assert not np.array_equal(uncertainty_of(way, asked).spread, uncertainty_of(way, other).spread)


def test_the_ensemble_is_the_mean_of_its_members_calibrated_words(asked: Asked, member: Run) -> None:
    found = uncertainty_of("ensemble", dataclasses.replace(asked, members=[member]))
    each = [apply_trust(run.trust(), *run.outputs(asked.cohort)).probabilities for run in (asked.run, member)]
    np.testing.assert_allclose(found.probabilities, np.mean(each, axis=0))


def test_an_ensemble_with_itself_does_not_waver(asked: Asked) -> None:
    found = uncertainty_of("ensemble", dataclasses.replace(asked, members=[asked.run]))
    np.testing.assert_allclose(found.spread, 0, atol=1e-12)


def test_an_ensemble_needs_members_that_answer_the_same_question(asked: Asked, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--members"):
        uncertainty_of("ensemble", asked)
    others = {
        "other classes": {"facts": small.facts(classes=["yes", "no"])},
        "another recipe": {"recipe": dataclasses.replace(small.RECIPE, size=64)},
        "another unit": {"facts": small.facts(unit="study")},
    }
    for what, given in others.items():
        other = small.run(tmp_path / what.replace(" ", "-"), **given)
        with pytest.raises(InputError, match=what):
            uncertainty_of("ensemble", dataclasses.replace(asked, members=[other]))


def test_laplace_says_what_it_takes(asked: Asked, tmp_path: Path) -> None:
    for features in (None, {"source_before": np.zeros((2, 16))}):
        run = small.run(tmp_path / f"run{features is None}", features=features)
        with pytest.raises(InputError, match="holds no embeddings"):
            uncertainty_of("laplace", dataclasses.replace(asked, run=run))


def test_laplace_of_source_only_needs_no_embeddings_of_the_adapted_model(tmp_path: Path) -> None:
    held = {"source_before": np.zeros((2, 16)), "source_label": np.zeros(2, int)}
    run = small.run(tmp_path / "run", facts=small.facts(decision={"handed_over": "source-only"}), features=held)
    for which in ("model", "source-only"):
        refuse_what_cannot_be("laplace", run, (), which)
    with pytest.raises(InputError, match=r"as this model sees it.*another method than one on features"):
        refuse_what_cannot_be("laplace", run, (), "adapted")


@pytest.mark.parametrize("handed_over", ["adapted", "source-only"])
def test_laplace_takes_each_model_s_own_embeddings(handed_over: str, tmp_path: Path) -> None:
    label = np.arange(40) % 2
    held = {f"source_{when}": RNG.normal(size=(40, 16)) for when in ("before", "after")}
    facts = small.facts(decision={"handed_over": handed_over})
    run = small.run(tmp_path / "run", facts=facts, features={**held, "source_label": label})
    for which, own in (("adapted", "after"), ("source-only", "before"), ("model", None)):
        own = own or {"adapted": "after", "source-only": "before"}[handed_over]
        classifier = run.classifier(which)
        with torch.inference_mode():
            logits = classifier.head(torch.from_numpy(held[f"source_{own}"].astype(np.float32))).numpy()
        expected = fit_laplace(held[f"source_{own}"], logits, "binary")
        np.testing.assert_allclose(laplace_of(run, which, classifier).sizes, expected.sizes, rtol=1e-5)


def test_an_unknown_way_is_refused_with_advice(asked: Asked) -> None:
    with pytest.raises(InputError, match="did you mean 'dropout'"):
        uncertainty_of("dropuot", asked)


def test_without_dropout_nothing_wavers_and_the_global_seed_is_left_alone(asked: Asked) -> None:
    classifier = asked.run.classifier()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    wavering = dropout_samples(classifier, asked.features, 4)
    assert torch.equal(torch.rand(1), expected)
    assert np.ptp(wavering, axis=0).max() > 1e-3
    assert not any(module.training for module in classifier.modules())
    classifier.bottleneck[0].p = 0.0
    for sample in dropout_samples(classifier, asked.features, 3):
        np.testing.assert_allclose(sample, asked.logits, atol=1e-4)


def test_views_that_change_nothing_give_the_answer_itself_and_a_scan_s_do_not_hang_on_its_neighbours(
    asked: Asked,
) -> None:
    classifier = asked.run.classifier()
    still = Augmentation(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    for sample in view_samples(classifier, asked.cohort, still, 2):
        np.testing.assert_allclose(sample, asked.logits, atol=1e-3)
    together = view_samples(classifier, asked.cohort, Augmentation(), 4)
    alone = view_samples(classifier, asked.cohort.select([4]), Augmentation(), 4)
    np.testing.assert_allclose(together[:, 4], alone[:, 0], atol=1e-4)


def test_the_augmentation_is_the_run_s_own() -> None:
    found = augmentation_of({"augmentation": {"rotation": 3.0, "flip": None}}, small.RECIPE)
    assert (found.rotation, found.flip, found.flip_vertical) == (3.0, 0.5, 0.0)
    assert augmentation_of({"augmentation": {"flip": 0.25}}, small.RECIPE).flip == 0.25
    assert augmentation_of({}, small.RECIPE).scale == Augmentation().scale
