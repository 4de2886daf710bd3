"""Shallow methods put into the network: the head says what the linear map says, and the network stays as it was."""

from __future__ import annotations

import copy
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from medtl import progress
from medtl.methods.shallow import FEATURE_METHODS
from medtl.models import look
from medtl.training.by_features import fit_by_features

_file = Path(__file__).parent.parent / "methods" / "shifted.py"
_spec = importlib.util.spec_from_file_location("shifted", _file)
shifted = importlib.util.module_from_spec(_spec)
sys.modules["shifted"] = shifted
_spec.loader.exec_module(shifted)


@pytest.fixture(autouse=True)
def quiet():
    progress.set_mode("quiet")
    yield
    progress.set_mode("auto")


def cohorts(problem: str) -> list:
    made = [shifted.pictures(site, problem=problem) for site in (0, 1)]
    for cohort in made:
        cohort.classes, cohort.multilabel = ("no", "yes"), False
    return made


@pytest.mark.parametrize("name", FEATURE_METHODS)
def test_adapts_to_another_scanner_and_still_judges_the_source(name):
    warm = shifted.source_only("scanner", 0)
    assert shifted.accuracy(copy.deepcopy(warm), 1, "scanner") < 0.65
    before = copy.deepcopy(warm.state_dict())
    found = fit_by_features(warm, *cohorts("scanner"), name)
    assert shifted.accuracy(found.at_target, 1, "scanner") > 0.9
    assert shifted.accuracy(found.at_source, 0, "scanner") > 0.9
    assert all(torch.equal(value, before[key]) for key, value in warm.state_dict().items())
    assert (found.source_weights is not None) == (name == "reweighted")


def test_the_head_gives_the_logits_of_the_linear_map(monkeypatch):
    source, target = cohorts("scanner")
    kept = {}
    fit = FEATURE_METHODS["coral"].fit
    monkeypatch.setattr(
        FEATURE_METHODS["coral"], "fit", lambda *told, **more: kept.setdefault("fitted", fit(*told, **more))
    )
    found = fit_by_features(shifted.source_only("scanner", 0), source, target, "coral")
    for model, cohort, linear in (
        (found.at_target, target, kept["fitted"].at_target),
        (found.at_source, source, kept["fitted"].at_source),
    ):
        output = look(model, cohort)
        assert np.allclose(output.logits.numpy(), linear(output.features.double().numpy()), atol=1e-5)


def test_what_is_dealt_equally_often_counts_alike():
    source, target = cohorts("scanner")
    few = np.flatnonzero((source.label == 0) | (np.arange(len(source)) % 8 == 1))
    rare = shifted.Pictures(source.stack[few], source.label[few], source.site[few])
    rare.classes, rare.multilabel = source.classes, False
    warm = shifted.source_only("scanner", 0)
    means = []
    for balance in (("class", "site"), ("site",)):
        model = fit_by_features(warm, rare, target, "standardise", balance=balance).at_target
        logits = look(model, target).logits
        means.append(float((logits[:, 1] - logits[:, 0]).mean()))
    assert means[1] < means[0]  # without balance the rare class is expected as rarely
