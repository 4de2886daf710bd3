"""How much an answer wavers: between networks, under dropout, from view to view, or as far as the weights are known.

Each way gives several probabilities for a scan. Their mean is a probability; how far they disagree is the uncertainty:
the mutual information between the class and what was varied (Gal, Islam and Ghahramani, ICML 2017,
arXiv:1703.02910), in nats. It is 0 where all say the same, be that 0.5 or 1, and at most log K. A scan of which every
network says 0.5 is ambiguous, and its probability says so; the spread tells of scans that the model knows little about.
How good each is on a new hospital's scans: docs/uncertainty.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from medtl.data.augmentation import Augmentation
from medtl.errors import InputError, nearest
from medtl.progress import track
from medtl.runs.layout import MODEL
from medtl.trust.laplace import Laplace, fit_laplace, with_likeliest_precision

if TYPE_CHECKING:
    from medtl.data import Cohort
    from medtl.intensity import Recipe
    from medtl.models import Classifier
    from medtl.runs.run import Run

#: Draws of each way: 50 passes of the last layers cost nothing, 16 views of a scan as much as 16 scans.
DROPOUTS, VIEWS, POSTERIOR = 50, 16, 100
#: What a Run holds of its scans, for its report and for Laplace.
EMBEDDINGS = "features.npz"


class Uncertain(NamedTuple):
    """What several answers come to.

    Attributes:
        probabilities: (N, K) their mean.
        spread: (N,) mutual information in nats, 0 to log K; of several labels the sum over them.
    """

    probabilities: np.ndarray
    spread: np.ndarray


@dataclass(frozen=True)
class Asked:
    """What is to be known of a model's answers.

    Attributes:
        run: whose.
        which: the model in it.
        cohort: N scans.
        logits, features: (N, K) and (N, F), what it gave for them.
        members: the other Runs of an ensemble.
        seed: the same gives the same numbers.
    """

    run: Run
    which: str
    cohort: Cohort
    logits: np.ndarray
    features: np.ndarray
    members: Sequence[Run] = ()
    seed: int = 0


def uncertainty_of(way: str, asked: Asked) -> Uncertain:
    """The model's answers, and how much they waver.

    Args:
        way: a name in UNCERTAINTIES.
        asked: of which model, and of which scans.

    Raises:
        InputError: there is no such way, or this Run does not hold what it takes.
    """
    refuse_what_cannot_be(way, asked.run, asked.members, asked.which)
    return summary(UNCERTAINTIES[way](asked), asked.run.task)


def refuse_what_cannot_be(way: str, run: Run, members: Sequence[Run], which: str = MODEL) -> None:
    """Say what is missing before anything long is begun.

    Raises:
        InputError: there is no such way, it takes what the Run does not hold, or members that are none.
    """
    if way not in UNCERTAINTIES:
        advice = nearest(way, UNCERTAINTIES, f"choose one of {', '.join(UNCERTAINTIES)}")
        raise InputError(f"there is no uncertainty {way!r}: {advice}")
    if way == "laplace" and not {_embedding_of(run, which), "source_label"} <= _held(run):
        raise InputError(
            f"{run.path} holds no embeddings of its source as this model sees it ({EMBEDDINGS}), which laplace takes: "
            "use a Run of `medtl adapt` by another method than one on features, or another way, such as views"
        )
    if way == "ensemble" and not members:
        raise InputError(
            "an ensemble takes other Runs: name them with --members RUN RUN, trained as this one from other seeds"
        )
    for member in members:
        for what, theirs, ours in (
            ("other classes", (member.task, member.classes), (run.task, run.classes)),
            ("another recipe", member.recipe.digest, run.recipe.digest),
            ("another unit", member.unit, run.unit),
        ):
            if theirs != ours:
                raise InputError(
                    f"{member.path} has {what} than {run.path}: members of an ensemble differ in their seeds alone"
                )


def summary(probabilities: ArrayLike, task: str) -> Uncertain:
    """Mean and mutual information of S answers.

    Args:
        probabilities: (S, N, K).
        task: "binary", "multiclass" or "multilabel".
    """
    said = np.asarray(probabilities, float)
    mean = said.mean(axis=0)
    spread = _entropy(mean, task) - _entropy(said, task).mean(axis=0)
    return Uncertain(mean, np.maximum(spread, 0))


def ensemble(asked: Asked) -> np.ndarray:
    """Lakshminarayanan, Pritzel and Blundell, NeurIPS 2017, arXiv:1612.01474: networks trained from other seeds.

    Each member's own calibrated probabilities, (1 + members, N, K). Five networks in all are usual.
    """
    run, cohort = asked.run, asked.cohort
    said = [_calibrated(run, asked.which, asked.logits)]
    said += [_calibrated(member, MODEL, member.outputs(cohort)[0]) for member in asked.members]
    return np.stack(said)


def dropout(asked: Asked) -> np.ndarray:
    """Gal and Ghahramani, ICML 2016, arXiv:1506.02142: the dropout of training, at work while predicting too.

    A medtl classifier has dropout before its bottleneck alone, so what a few labels added beside it does not waver.
    """
    samples = dropout_samples(asked.run.classifier(asked.which), asked.features, DROPOUTS, asked.seed)
    return _all_calibrated(asked, samples)


def views(asked: Asked) -> np.ndarray:
    """Wang et al., Neurocomputing 338, 2019, arXiv:1807.07356: the scan as the Run's own augmentation shows it."""
    run = asked.run
    augmentation = augmentation_of(run.config, run.recipe)
    classifier = run.classifier(asked.which)
    return _all_calibrated(asked, view_samples(classifier, asked.cohort, augmentation, VIEWS, asked.seed))


def laplace(asked: Asked) -> np.ndarray:
    """MacKay 1992, Daxberger et al., NeurIPS 2021, arXiv:2106.14806: the last layer's weights within their posterior.

    Fitted on the embeddings of held-out source scans that the Run holds (features.npz), as if the layer had learnt from
    so many scans: 192 at most.
    """
    run, which = asked.run, asked.which
    classifier = run.classifier(which)
    posterior = laplace_of(run, which, classifier)
    embedding = classifier_embedding(classifier, asked.features)
    return _all_calibrated(asked, posterior.samples(embedding, asked.logits, POSTERIOR, asked.seed))


#: Adding a way = a function of Asked -> probabilities (S, N, K), and a line here.
UNCERTAINTIES: dict[str, Callable[[Asked], np.ndarray]] = {
    "ensemble": ensemble,
    "dropout": dropout,
    "views": views,
    "laplace": laplace,
}


def dropout_samples(classifier: Classifier, features: ArrayLike, draws: int, seed: int = 0) -> np.ndarray:
    """(draws, N, K) logits from features (N, F), dropout at work and all else as in evaluation."""
    given = torch.from_numpy(np.array(features, np.float32))
    classifier.eval()
    dropouts = [module for module in classifier.bottleneck.modules() if isinstance(module, nn.Dropout)]
    try:
        for module in dropouts:
            module.train()
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return np.stack([classifier.classify(given).logits.numpy() for _ in range(draws)])
    finally:
        classifier.eval()


def view_samples(
    classifier: Classifier, cohort: Cohort, augmentation: Augmentation, draws: int, seed: int = 0
) -> np.ndarray:
    """(draws, N, K) logits. Every scan is seen through the same `draws` views, whatever scans are beside it."""
    found = []
    with torch.inference_mode():
        for i in track(range(len(cohort)), "Classifying views"):
            pixels = torch.from_numpy(np.array(cohort.pixels(i), np.float32))
            bag = torch.arange(draws).repeat_interleave(len(pixels))
            generator = torch.Generator().manual_seed(seed)
            seen = augmentation(pixels.repeat(draws, 1, 1, 1), generator, bag)
            output = classifier(seen.contiguous(memory_format=torch.channels_last), bag, draws)
            found.append(output.logits.float().numpy())
    return np.stack(found, axis=1)


def classifier_embedding(classifier: Classifier, features: ArrayLike) -> np.ndarray:
    """(N, E), what enters the head, from features (N, F)."""
    with torch.inference_mode():
        return classifier.classify(torch.from_numpy(np.array(features, np.float32))).embedding.numpy()


def laplace_of(run: Run, which: str, classifier: Classifier) -> Laplace:
    """The posterior of a model's last layer, from what its Run holds."""
    with np.load(run.path / EMBEDDINGS) as kept:
        embedding, label = kept[_embedding_of(run, which)], kept["source_label"]
    with torch.inference_mode():
        logits = classifier.head(torch.from_numpy(np.array(embedding, np.float32))).numpy()
    posterior = fit_laplace(embedding, logits, run.task)
    return with_likeliest_precision(posterior, embedding, logits, label, run.task)


def augmentation_of(config: dict[str, Any], recipe: Recipe) -> Augmentation:
    """What the Run was trained with; what its config does not say is as by default."""
    known = set(Augmentation.__dataclass_fields__)
    told = {name: value for name, value in (config.get("augmentation") or {}).items() if name in known}
    for name in ("flip", "flip_vertical"):
        if told.get(name) is None:
            told[name] = 0.5 if getattr(recipe, name) else 0.0
    return Augmentation(**told)


def _embedding_of(run: Run, which: str) -> str:
    """The name of the array that a model's embeddings of the source are in."""
    role = run.decision.get("handed_over") if which == MODEL else which
    return "source_after" if role == "adapted" else "source_before"


def _held(run: Run) -> set[str]:
    """The names of the arrays that a Run holds."""
    if not (run.path / EMBEDDINGS).is_file():
        return set()
    with np.load(run.path / EMBEDDINGS) as kept:
        return set(kept.files)


def _calibrated(run: Run, which: str, logits: np.ndarray) -> np.ndarray:
    trust = run.trust(which)
    return trust.calibrator(logits, trust.task)


def _all_calibrated(asked: Asked, samples: np.ndarray) -> np.ndarray:
    return np.stack([_calibrated(asked.run, asked.which, logits) for logits in samples])


def _entropy(p: np.ndarray, task: str) -> np.ndarray:
    """Over the last axis, in nats."""
    if task == "multilabel":
        return _entropy(np.stack([p, 1 - p], axis=-1), "multiclass").sum(axis=-1)
    return -np.sum(p * np.log(np.maximum(p, 1e-300)), axis=-1)
