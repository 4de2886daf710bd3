"""Which epoch is kept, what is handed over, and what each is allowed to look at: on signals made by hand."""

from __future__ import annotations

import copy
import importlib.util
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from medtl import progress
from medtl.errors import InputError
from medtl.methods import METHODS
from medtl.models import Classifier
from medtl.training import adaptation, loop, source_free
from medtl.training.adaptation import adapt_classifier, adapt_cohorts, adapt_phases, decide, signature_of
from medtl.training.config import Config
from medtl.training.roles import expect_prior_of

_spec = importlib.util.spec_from_file_location("shifted", Path(__file__).parent.parent / "methods" / "shifted.py")
shifted = importlib.util.module_from_spec(_spec)
sys.modules["shifted"] = shifted
_spec.loader.exec_module(shifted)


@pytest.fixture(autouse=True)
def quiet():
    progress.set_mode("quiet")
    yield
    progress.set_mode("auto")


@dataclass
class Labels:
    """What judging needs of a cohort."""

    label: np.ndarray
    classes: tuple[str, ...] = ("no", "yes")
    multilabel: bool = False

    @property
    def site(self) -> np.ndarray:
        return np.zeros(len(self.label), int)

    @property
    def patient(self) -> np.ndarray:
        return np.arange(len(self.label)) // 2

    def __len__(self) -> int:
        return len(self.label)


@dataclass
class Pictures(shifted.Pictures):
    """What training needs of a cohort, held in memory."""

    classes: tuple[str, ...] = ("no", "yes")
    multilabel: bool = False

    def __post_init__(self) -> None:
        self.scan_id = np.array([f"{i:03}" for i in range(len(self.stack))])
        self.members = [[each] for each in self.scan_id]
        told = {"digest": "d", "channels": 1, "flip": False, "flip_vertical": False, "name": "drawn"}
        self.recipe = type("Recipe", (), told)()

    @property
    def patient(self) -> np.ndarray:
        return self.scan_id


def pictures(site: int, n: int = 48, labelled: bool = True) -> Pictures:
    made = shifted.pictures(site, n)
    return Pictures(made.stack, made.label if labelled else np.full(n, -1), made.site)


# ---- what is handed over -----------------------------------------------------------------------------------------
TRUTH = np.arange(400) % 2
SURE = np.random.default_rng(0).normal(0, 1, 400) + 2 * TRUTH  # scores of an AUROC of 0.92
NOISE = np.random.default_rng(1).normal(0, 1, 400)


def decision(
    monkeypatch: pytest.MonkeyPatch,
    *,
    adapted_home: Any = None,
    adapted_here: Any = None,
    harmonise: tuple[str, ...] = (),
    select: str = "auto",
    **scores: Any,
) -> Any:
    """decide() for models that give these log odds at the source ("home") and at the target ("here")."""
    given = {
        ("source-only", "home"): SURE, ("source-only", "here"): SURE - 1,
        ("witness", "home"): SURE + 0.1 * NOISE, ("witness", "here"): SURE - 1 + 0.1 * NOISE,
        ("adapted", "home"): adapted_home, ("adapted", "here"): adapted_here,
        **{tuple(name.split("_")): score for name, score in scores.items()},
    }  # fmt: skip
    cohorts = {"home": Labels(TRUTH), "here": Labels(np.full(400, -1))}

    def outputs(model: Any, cohort: Labels) -> tuple[np.ndarray, np.ndarray]:
        place = next(name for name, each in cohorts.items() if each is cohort)
        score = np.asarray(given[(model, place)], np.float32)
        logits = np.stack([np.zeros_like(score), score], 1)
        return logits, logits

    monkeypatch.setattr(adaptation, "outputs", outputs)
    names = dict.fromkeys(["source-only", *(name for name, place in given if name != "witness" and place == "here")])
    models: Any = {name: name for name in names if given[(name, "here")] is not None}
    witness: Any = "witness"
    return decide(models, models, witness, cohorts["home"], cohorts["here"], harmonise, select)


def test_the_adapted_model_is_handed_over_where_nothing_speaks_against_it(monkeypatch) -> None:
    found = decision(monkeypatch, adapted_home=SURE, adapted_here=2 * (SURE - 1))
    assert (found.handed_over, found.warn) == ("adapted", False)
    assert found.sentence.startswith("Handed over: adapted, since adapting cost the source little")
    assert "so little AUROC is likely lost" in found.sentence


@pytest.mark.parametrize(("noise", "handed_over"), [(0.3, "adapted"), (2.0, "source-only")])
def test_a_model_that_forgot_the_source_is_not(monkeypatch, noise: float, handed_over: str) -> None:
    found = decision(monkeypatch, adapted_home=SURE + noise * NOISE, adapted_here=2 * (SURE - 1))
    lost = found.signals["source_auroc"] - found.signals["adapted_source_auroc"]
    assert (lost > 0.05) == (handed_over == "source-only")
    assert found.handed_over == handed_over
    if handed_over == "source-only":
        assert f"lost {lost:.2f} of AUROC on held-out source scans" in found.why


@pytest.mark.parametrize(
    ("here", "handed_over"),
    [(SURE - 1, "adapted"), (0.1 * (SURE - 1), "source-only"), (np.full(400, 9.0), "source-only")],
    ids=["as sure", "unsure of all", "all one class"],
)
def test_a_model_that_collapsed_at_the_target_is_not(monkeypatch, here: np.ndarray, handed_over: str) -> None:
    found = decision(monkeypatch, adapted_home=SURE, adapted_here=here)
    assert found.handed_over == handed_over
    assert (found.signals["adapted_information"] < 0.5 * found.signals["information"]) == (handed_over == "source-only")


@pytest.mark.parametrize(("noise", "warn"), [(0.1, False), (3.0, True)])
def test_it_warns_where_two_source_only_models_agree_less_at_the_target(monkeypatch, noise: float, warn: bool) -> None:
    told = {"adapted_home": SURE, "adapted_here": SURE - 1, "witness_here": SURE - 1 + noise * NOISE}
    found = decision(monkeypatch, **told)
    fall = found.signals["agreement_source"] - found.signals["agreement_target"]
    assert (fall > 0.1) == found.warn == warn
    assert found.handed_over == "adapted"  # a warning is no reason to fall back
    assert "label 50 scans of each class here and run `medtl evaluate` to find out" in found.sentence


def test_without_a_method_there_is_nothing_to_decide(monkeypatch) -> None:
    found = decision(monkeypatch)
    assert (found.handed_over, found.why) == ("source-only", "no method was asked for")
    assert "adapted_information" not in found.signals
    alike = decision(monkeypatch, harmonise=("histogram",))
    assert alike.why == "no method was asked for, on scans harmonised by histogram"
    assert alike.sentence.startswith("Handed over: source-only, on scans harmonised by histogram. ")


def test_of_several_the_table_of_all_is_kept_and_the_best_named(monkeypatch) -> None:
    told = {"dann_home": SURE, "dann_here": 2 * (SURE - 1), "tca_home": SURE, "tca_here": 3 * (SURE - 1)}
    several = {**told, "mcc_home": SURE + 2 * NOISE, "mcc_here": 9 * (SURE - 1)}
    found = decision(monkeypatch, **several, select="information")
    assert (found.handed_over, found.kept, found.select) == ("adapted", "tca", "information")
    assert found.sentence.startswith("Handed over: adapted by tca, since of the 2 that may be handed over it has the ")
    assert list(found.candidates) == ["source-only", "dann", "tca", "mcc"]
    assert found.candidates["mcc"]["forgot"] > 0.05 and found.candidates["tca"]["agreement"] == pytest.approx(1)
    assert found.signals["adapted_information"] == found.candidates["tca"]["information"]
    assert decision(monkeypatch, **several, select="source").select == "source"
    none = decision(monkeypatch, dann_home=SURE + 2 * NOISE, dann_here=SURE, mcc_home=-SURE, mcc_here=SURE)
    assert (none.handed_over, none.kept) == ("source-only", "dann")
    assert none.why.startswith("dann lost 0.") and " and mcc lost 0." in none.why


# ---- which epoch is kept -----------------------------------------------------------------------------------------
def adapted(monkeypatch, tmp_path, scores: list[float], source: list[float]) -> tuple[int, float, list[dict[str, Any]]]:
    """The epoch (0 before the first step) whose weights adapt_classifier keeps, where looks give these numbers."""
    monkeypatch.setattr(loop, "EPOCH", 2)
    left, home = list(scores), list(source)
    monkeypatch.setattr(adaptation, "information", lambda probabilities: left.pop(0))
    monkeypatch.setattr(adaptation, "mean_auroc", lambda logits, label: home.pop(0))
    monkeypatch.setattr(adaptation, "outputs", lambda model, cohort: (np.zeros((4, 2), np.float32), None))
    seen: list[dict[str, torch.Tensor]] = []
    for_site = adaptation.for_site

    def spy(classifier: Classifier, cohort: Any, fixed: bool) -> Classifier:
        seen.append(copy.deepcopy(classifier.state_dict()))
        return for_site(classifier, cohort, fixed)

    monkeypatch.setattr(adaptation, "for_site", spy)
    config = Config.model_validate({"adapt": {"steps": 2 * (len(scores) - 1), "batch": 8}})
    cohorts = pictures(0), pictures(0), pictures(1, labelled=False)
    told = {"fabric": Fabric(accelerator="cpu", devices=1), "folder": tmp_path, "options": {}, "phase": "dann"}
    (kept, score, _), log = adapt_classifier(shifted.make("dann").classifier, *cohorts, config, **told)
    same = [all(torch.equal(kept.state_dict()[name], state[name]) for name in state) for state in seen]
    return same.index(True), score, log


@pytest.mark.parametrize(
    ("scores", "source", "epoch"),
    [
        ([0.1, 0.2, 0.5, 0.3], [0.9, 0.9, 0.9, 0.9], 2),
        ([0.9, 0.2, 0.5, 0.3], [0.9, 0.9, 0.9, 0.9], 2),  # before the first step is no epoch of it
        ([0.1, 0.2, 0.5, 0.3], [0.9, 0.9, 0.84, 0.86], 3),  # the best one forgot the source
        ([0.1, 0.2, 0.5, 0.5], [0.9, 0.9, 0.9, 0.9], 3),  # of equals the later
        ([0.1, 0.2, 0.5, 0.3], [0.9, 0.5, 0.5, 0.5], 3),  # all forgot: the last one, which decide() sees to
    ],
)
def test_the_epoch_that_a_label_free_score_likes_best_is_kept(monkeypatch, tmp_path, scores, source, epoch) -> None:
    found, score, log = adapted(monkeypatch, tmp_path, scores, source)
    assert found == epoch
    assert score == (-np.inf if source[1] == 0.5 else scores[epoch])
    assert [row["target_information"] for row in log] == scores


def test_a_target_with_labels_does_not_get_in(tmp_path) -> None:
    cohorts = pictures(0), pictures(0), pictures(1)
    told = {"fabric": Fabric(), "folder": tmp_path, "options": {}, "phase": "dann"}
    with pytest.raises(ValueError, match="the target's labels must not reach the choice"):
        adapt_classifier(shifted.make("dann").classifier, *cohorts, Config(), **told)


def test_what_the_method_draws_hangs_on_the_seed_alone(tmp_path) -> None:
    """Not on the random numbers drawn before, which differ where an earlier phase was resumed."""
    config = Config.model_validate({"adapt": {"steps": 3, "batch": 8}})
    cohorts = pictures(0), pictures(0), pictures(1, labelled=False)
    made = []
    for number in range(2):
        told = {"fabric": Fabric(), "folder": tmp_path / str(number), "options": {}, "phase": "dann"}
        classifier = shifted.make("dann").classifier
        torch.rand(number)
        made.append(adapt_classifier(classifier, *cohorts, config, **told)[0][0].state_dict())
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])


# ---- harmonisation beside the method ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("told", "phases"),
    [
        ({}, {"dann": ("dann", {})}),
        ({"harmonise": ["fda"]}, {"dann with fda": ("dann", {})}),
        ({"harmonise": ["histogram"]}, {"dann": ("dann", {})}),  # a step of the recipe
        ({"method": "source-only"}, {}),
        ({"method": "source-only", "harmonise": ["landmarks"]}, {}),
        (
            {"method": "source-only", "harmonise": ["mixstyle", "fda"]},
            {"source-only with mixstyle and fda": ("source-only", {})},
        ),
        (
            {"candidates": [{"weight": 1}, {"weight": 2}, {}], "options": {"hidden": 8}},
            {
                "dann": ("dann", {"hidden": 8, "weight": 1}),
                "dann 2": ("dann", {"hidden": 8, "weight": 2}),
                "dann 3": ("dann", {"hidden": 8}),
            },
        ),
        (
            {"methods": ["tca", "source-only", "dann"], "options": {"dann": {"weight": 2}}},
            {"tca": ("tca", {}), "dann": ("dann", {"weight": 2})},
        ),
    ],
)
def test_each_trial_is_a_phase_of_its_own(told: dict[str, Any], phases: dict[str, Any]) -> None:
    assert adapt_phases(Config.model_validate(told)) == phases


@pytest.fixture
def small(monkeypatch) -> Config:
    """A source-only model that any batch mix makes an adapted one from, in a few steps."""
    monkeypatch.setattr(adaptation, "new_classifier", lambda *told: shifted.make("source-only").classifier)
    few = {"steps": 4, "batch": 8}
    return Config.model_validate({"method": "source-only", "harmonise": ["fda"], "source": few, "adapt": few})


def test_source_only_with_fda_gives_an_adapted_model_and_a_plain_baseline(small, tmp_path) -> None:
    cohorts = pictures(0), pictures(0, n=24), pictures(1, labelled=False)
    fabric = Fabric(accelerator="cpu", devices=1)
    found = adapt_cohorts(*cohorts, small, fabric, tmp_path / "fda")
    assert set(found.models) == {"source-only", "adapted"}
    assert {row["phase"] for row in found.log} == {"source-only", "witness", "source-only with fda"}
    assert "source-only with fda" in found.seconds
    plain = adapt_cohorts(*cohorts, small.model_copy(update={"harmonise": ()}), fabric, tmp_path / "plain")
    assert set(plain.models) == {"source-only"}
    one, other = (each.models["source-only"].state_dict() for each in (found, plain))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("method", ["source-only", "dann"])
def test_the_same_training_with_and_without_a_mix_gives_other_weights(small, tmp_path, method: str) -> None:
    cohorts = pictures(0), pictures(0, n=24), pictures(1, labelled=False)
    states = []
    for number, names in enumerate([(), ("fda",), ("fda",)]):
        config = small.model_copy(update={"method": method, "harmonise": names})
        told = {"fabric": Fabric(), "folder": tmp_path / str(number), "options": {}, "phase": "adapt"}
        (adapted, *_), _ = adapt_classifier(shifted.make(method).classifier, *cohorts, config, **told)
        states.append(adapted.state_dict())
    assert any(not torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert all(torch.equal(states[1][name], states[2][name]) for name in states[0])


def test_a_checkpoint_of_another_harmonisation_is_not_gone_on_with(small, tmp_path) -> None:
    cohorts = pictures(0), pictures(0, n=24), pictures(1, labelled=False)
    told = {"fabric": Fabric(), "folder": tmp_path, "options": {}, "phase": "adapt"}
    adapt_classifier(shifted.make("source-only").classifier, *cohorts, small, **told)
    other = small.model_copy(update={"harmonise": ()})
    with pytest.raises(InputError):
        adapt_classifier(shifted.make("source-only").classifier, *cohorts, other, **told)


# ---- several methods -----------------------------------------------------------------------------------------------
class Mixed(METHODS["dann"]):
    """DANN whose predictor has a backbone of its own."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__(classifier)
        self.student = Classifier(shifted.SmallNet(), 2, bottleneck=8)
        self.student.backbone.layers[0] = torch.nn.Conv2d(1, 4, 5, padding=2, bias=False)

    def predictor(self) -> Classifier:
        return self.student

    def source_weights(self) -> torch.Tensor:
        return torch.arange(48.0)


class Own(METHODS["dann"]):
    """DANN that says of itself that its predictor carries the target's batch statistics."""

    own_statistics = True


def tried(monkeypatch, tmp_path, small: Config, **told: Any) -> Any:
    monkeypatch.setitem(METHODS, "mixed", Mixed)
    monkeypatch.setitem(METHODS, "own", Own)
    config = small.model_copy(update={"harmonise": (), **told})
    cohorts = pictures(0), pictures(0, n=24), pictures(1, labelled=False)
    return adapt_cohorts(*cohorts, config, Fabric(accelerator="cpu", devices=1), tmp_path)


def test_methods_of_all_kinds_are_tried_and_one_is_kept(monkeypatch, tmp_path, small) -> None:
    monkeypatch.setattr(adaptation, "ranking", lambda candidates, select: ["mixed", "dann", "standardise"])
    found = tried(monkeypatch, tmp_path, small, methods=("dann", "standardise", "mixed"), select="snd")
    assert list(found.decision.candidates) == ["source-only", "dann", "standardise", "mixed"]
    assert list(found.seconds) == ["source-only", "witness", "dann", "standardise", "mixed"]
    assert list(dict.fromkeys(row["phase"] for row in found.log)) == list(found.seconds)
    assert (found.method, found.decision.kept, found.decision.select) == ("mixed", "mixed", "snd")
    assert set(found.models) == {"source-only", "adapted"}
    assert found.models["adapted"].backbone.layers[0].kernel_size == (5, 5)
    assert np.array_equal(found.features["source_weight"], np.arange(48))
    assert len(found.features["source_weight_id"]) == 48


class Unwilling(METHODS["dann"]):
    """DANN that cannot be made."""

    def __init__(self, classifier: Classifier) -> None:
        raise InputError("not with me")


@pytest.mark.parametrize(
    ("methods", "options", "refusal"),
    [
        (("dann", "unwilling"), {}, "not with me"),
        (("dann", "reweighted"), {"reweighted": {"by": "kmn"}}, "did you mean .kmm."),
        (("dann", "mcc"), {}, "mcc needs one class a scan"),
    ],
)
@pytest.mark.parametrize("source", [True, False])
def test_what_a_method_refuses_is_said_before_anything_is_trained(
    monkeypatch, tmp_path, small, methods, options, refusal, source
) -> None:
    monkeypatch.setitem(METHODS, "unwilling", Unwilling)
    for module in (adaptation, source_free):
        monkeypatch.setattr(module, "fit", lambda *told, **more: pytest.fail("it trains"))
    config = small.model_copy(update={"harmonise": (), "methods": methods, "options": options})
    place = Fabric(accelerator="cpu", devices=1), tmp_path
    cohorts = pictures(0), pictures(0, n=24), pictures(1, labelled=False)
    if "mcc" in methods:
        cohorts = [replace(cohort, label=np.stack([cohort.label] * 2, axis=1)) for cohort in cohorts]
    with pytest.raises(InputError, match=refusal):
        if source:
            adapt_cohorts(*cohorts, config, *place)
        else:
            began = shifted.make("source-only").classifier
            source_free.adapt_without_source(began, cohorts[2], config, *place, prior=np.zeros(2))


@pytest.mark.parametrize("name", ["standardise", "dann"])
def test_a_method_that_does_not_judge_by_the_embedding_leaves_none(monkeypatch, tmp_path, small, name) -> None:
    monkeypatch.setattr(adaptation, "ranking", lambda candidates, select: [name])
    found = tried(monkeypatch, tmp_path, small, method=name)
    assert {"source_before", "target_before"} <= found.features.keys()
    assert ("source_after" in found.features) == ("target_after" in found.features) == (name == "dann")


def test_each_method_begins_from_the_same_model_whatever_was_tried_before(monkeypatch, tmp_path, small) -> None:
    alone = tried(monkeypatch, tmp_path / "alone", small, method="dann")
    monkeypatch.setattr(adaptation, "ranking", lambda candidates, select: ["dann", "standardise", "own"])
    after = tried(monkeypatch, tmp_path / "after", small, methods=("standardise", "own", "dann"))
    one, other = (each.models["adapted"].state_dict() for each in (alone, after))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert alone.decision.candidates["dann"] == after.decision.candidates["dann"]
    assert "source_weight" not in alone.features
    assert list(after.decision.candidates) == ["source-only", "standardise", "own", "dann", "average"]


def test_the_average_is_of_what_was_trained_alike(monkeypatch, tmp_path, small) -> None:
    monkeypatch.setattr(adaptation, "ranking", lambda candidates, select: ["average"])
    found = tried(monkeypatch, tmp_path, small, methods=("dann", "standardise", "mixed", "mcc"))
    assert (found.method, found.decision.kept) == ("dann, mcc", "average")
    monkeypatch.setattr(adaptation, "ranking", lambda candidates, select: [list(candidates)[1]])
    each = []
    for method in ("dann", "mcc"):
        each.append(tried(monkeypatch, tmp_path / method, small, method=method).models["adapted"].state_dict())
    mean = found.models["adapted"].state_dict()
    assert torch.allclose(mean["head.weight"], (each[0]["head.weight"] + each[1]["head.weight"]) / 2, atol=1e-6)
    found = tried(monkeypatch, tmp_path / "one", small, method="dann")
    assert "average" not in found.decision.candidates


def test_a_model_with_the_targets_statistics_judges_the_source_with_the_sources(monkeypatch, tmp_path, small) -> None:
    """The first layer's statistics are those of what its convolution gives for the source, computed here."""
    found = tried(monkeypatch, tmp_path, small, method="own")
    means = {}
    for side, model in (("source", found.at_source["adapted"]), ("target", found.models["adapted"])):
        convolution, norm = model.backbone.layers[0], model.backbone.layers[1]
        stack = torch.from_numpy(pictures(0 if side == "source" else 1).stack)
        with torch.no_grad():
            assert torch.allclose(norm.running_mean, convolution(stack).mean((0, 2, 3)), atol=1e-5)
        means[side] = norm.running_mean
    assert not torch.allclose(means["source"], means["target"], atol=1e-3)
    mixed = tried(monkeypatch, tmp_path / "dann", small, method="dann")
    norm = mixed.at_source["adapted"].backbone.layers[1]
    assert not torch.allclose(norm.running_mean, means["source"], atol=1e-3)


def test_a_run_that_was_cut_goes_on_with_other_methods_from_the_models_it_has(monkeypatch, tmp_path, small) -> None:
    one = tried(monkeypatch, tmp_path, small, method="dann")
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.pt")}
    assert {path.stem for path in kept} == {"source-only", "witness", "dann"}
    both = tried(monkeypatch, tmp_path, small, methods=("standardise", "own", "dann"), select="snd")
    assert all(path.stat().st_mtime_ns == written for path, written in kept.items())
    assert both.decision.candidates["dann"] == one.decision.candidates["dann"]
    with pytest.raises(InputError, match="other scans, options or seed"):
        tried(monkeypatch, tmp_path, small, method="dann", options={"weight": 3.0})
    with pytest.raises(InputError, match="other scans, options or seed"):
        tried(monkeypatch, tmp_path, small, method="dann", seed=5)


def test_what_else_is_tried_does_not_make_a_checkpoint_anothers(small) -> None:
    one = small.model_copy(update={"method": "dann", "options": {"weight": 1.0}, "harmonise": ()})
    several = one.model_copy(update={"methods": ("tca", "dann"), "options": {"dann": {"weight": 1.0}}, "select": "snd"})
    cohort = pictures(0)
    alone = [signature_of(each.alone("dann", {"weight": 1.0}), cohort) for each in (one, several)]
    assert alone[0] == alone[1] != signature_of(one.alone("dann", {"weight": 2.0}), cohort)


# ---- priors, signatures ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("counts", [(30, 10), (5, 5), (1, 0), (10, 20, 70)])
def test_the_prior_shifts_probabilities_as_bayes_says(counts: tuple[int, ...]) -> None:
    """p(class | scan) goes with p(class) of the cohort (one more of each counted) instead of one alike for all."""
    k = len(counts)
    torch.manual_seed(0)
    model = Classifier(shifted.SmallNet(), k, bottleneck=8).eval()
    pixels = torch.randn(20, 1, 8, 8)
    with torch.no_grad():
        before = torch.softmax(model(pixels).logits, 1).numpy()
        cohort: Any = Labels(np.repeat([*range(k), -1], [*counts, 7]), tuple("abc"[:k]))
        expect_prior_of(model, cohort)
        after = torch.softmax(model(pixels).logits, 1).numpy()
    prior = (np.array(counts) + 1) / (sum(counts) + k)
    posterior = before * prior
    assert np.allclose(after, posterior / posterior.sum(1, keepdims=True), atol=1e-5)


def test_several_labels_have_no_such_prior() -> None:
    model = shifted.make("dann").classifier
    before = model.head.bias.detach().clone()
    cohort: Any = Labels(np.ones((4, 2), np.float32), multilabel=True)
    expect_prior_of(model, cohort)
    assert torch.equal(model.head.bias, before)


def test_the_signature_changes_with_the_config_and_the_scans_and_not_with_the_machine() -> None:
    one, other = pictures(0), pictures(0, n=40)
    signature = signature_of(Config(), one)
    assert signature == signature_of(Config(device="cuda", devices=2), pictures(0))
    turned = Pictures(one.stack, 1 - one.label, one.site)
    changed = [signature_of(Config(seed=1), one), signature_of(Config(), other), signature_of(Config(), turned)]
    studies = pictures(0)
    studies.members[5] = [*studies.members[5], "another series"]
    changed.append(signature_of(Config(), studies))
    assert len({signature, *changed}) == 5


def test_from_scratch_is_without_imagenets_weights(tmp_path: Path) -> None:
    """The file of the weights is not even opened; the seed draws them."""
    told = {"backbone": "test_efficientnet", "weights": tmp_path / "none.safetensors", "pretrained": False}
    one, again, other = (adaptation.new_classifier(Config(**told), 2, 1, seed) for seed in (0, 0, 1))
    pairs = [(a, b, c) for a, b, c in zip(one.parameters(), again.parameters(), other.parameters(), strict=True)]
    assert all(torch.equal(a, b) for a, b, _ in pairs) and not all(torch.equal(a, c) for a, _, c in pairs)
    with pytest.raises(InputError, match="no such weight file"):
        adaptation.new_classifier(Config(**{**told, "pretrained": True}), 2, 1, 0)
