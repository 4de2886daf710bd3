"""`medtl learning-curve`: how many scans to label, and which next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from medtl.data import Cohort
    from medtl.runs.run import Run
    from medtl.scans import Manifest
    from medtl.search.learning_curve import Learner

#: Labels a class that are tried.
LEVELS = (1, 2, 5, 10, 20, 50, 100)
#: Orders in which the labelled patients are drawn.
DRAWS = 5
#: Patients of each class that a test split needs to be measured on; with fewer, all labelled patients are
#: cross-validated instead. With 15 of each the standard error of an AUROC of 0.75 is about 0.09, and no curve shows.
ENOUGH = 15
#: The share of the labels of a class that is left to learn from in each of five folds.
IN_FOLDS = 0.8
#: Scans in next.csv.
NEXT = 50


def learning_curve(
    run: Path | str | Run | None = None,
    *,
    train: Path | str | Manifest,
    on: Path | str | Manifest | None = None,
    out: Path | str,
    strategy: str | None = None,
    select: str = "random",
    config: Path | str | None = None,
    backbone: str | None = None,
    recipe: str | None = None,
    seed: int | None = None,
    device: str | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Say how many scans to label, and which next: learning_curve.csv, curve.json, next.csv and report.html.

    Models are trained on 1, 2, 5, 10, 20, 50 and 100 labelled patients a class, as many as there are, in five nested
    draws, and each is measured on patients held apart. A curve is fitted to that, with its uncertainty.

    Args:
        run: the Run to start from; the ImageNet backbone without one.
        train: a manifest or folder of your own hospital, some of it labelled: the labels of its train split are drawn
            from, its unlabelled scans are what can be labelled next.
        on: labelled scans of other patients to measure on. Without it, the test split of `train`; where that has fewer
            than 15 labelled patients of each class, cross-validation in all labelled scans.
        out: a folder for the four files.
        strategy: how a model learns from the labels, as in `medtl finetune`. One that trains the network takes its
            minutes for each of about 30 models.
        select: how the scans to label next are chosen: random, typical, core-set, design, entropy, margin or badge.
        config: a YAML file; see configs/.
        backbone: a timm model, without a Run.
        recipe: how pixels become input, without a Run.
        seed: of the draws.
        device: auto, cpu, cuda or mps.
        force: replace `out` where it is an earlier learning curve.

    Returns:
        What curve.json holds.

    Raises:
        InputError: the scans, the labels or the options are wrong.
    """
    import numpy as np

    from medtl.errors import InputError, nearest
    from medtl.measures.selection import SELECTIONS
    from medtl.progress import say
    from medtl.runs.layout import may_replace
    from medtl.runs.run import Run
    from medtl.search.answer import answer
    from medtl.search.curve import Curve
    from medtl.training.config import load_config

    if select not in SELECTIONS:
        listed = f"there is {', '.join(SELECTIONS)}"
        raise InputError(f"select: there is no way {select!r} to choose scans: {nearest(select, SELECTIONS, listed)}")
    told = load_config(config, strategy=strategy, backbone=backbone, recipe=recipe, seed=seed, device=device)
    folder = may_replace(out, "curve.json", "a learning curve", force)
    start = Run.load(run) if run is not None else None
    scans = _prepared(train, on, told, start)
    learner, logits, features = _learner(scans)
    points, pool, how = _points(scans, learner)
    if not points:
        raise InputError("a learning curve needs two labelled patients of each class: label some more")
    curve = Curve(tuple(points), pool)
    found = answer(curve, how, bool(len(scans.apart)))
    label, patient = scans.cohort.label, np.asarray(scans.cohort.patient)
    labelled = np.flatnonzero(scans.labelled)
    ours = scans.pool  # labels that are measured on choose nothing
    whole = learner(ours) if len(np.unique(label[ours])) == len(scans.cohort.classes) else logits
    chosen = _next(scans, select, features, whole, labelled)
    facts = {
        "sentence": found.sentence,
        "labels_a_class": found.now,
        "auroc": round(found.auroc, 4),
        "measured": how,
        "strategy": scans.config.strategy,
        "start": "a Run" if start else scans.config.backbone,
        "select": select,
        "classes": list(scans.cohort.classes),
        "patients_in_the_pool": len(np.unique(patient[scans.pool])),
        "expected": list(found.expected),
    }
    _write(folder, curve, found, facts, chosen)
    say(f"{found.sentence}\n{len(chosen)} scans to label next, the first first: {folder / 'next.csv'}")
    return facts


class _Scans:
    """What the verb looks at.

    Attributes:
        cohort: all scans, N.
        pool: rows of labelled scans to learn from.
        apart: rows to measure on; none where the pool is cross-validated.
        everyone: rows that may be looked at without labels.
        labelled: (N,) whether a label is known.
        config, start: as resolved.
    """

    def __init__(
        self, cohort: Cohort, pool: np.ndarray, apart: np.ndarray, test: np.ndarray, config: Any, start: Run | None
    ) -> None:
        import numpy as np

        self.cohort, self.pool, self.apart, self.config, self.start = cohort, pool, apart, config, start
        self.labelled = cohort.label >= 0
        self.everyone = np.flatnonzero(~test)


def _prepared(train: Any, on: Any, told: Any, start: Run | None) -> _Scans:
    """The scans through one recipe, and who is for what.

    Raises:
        InputError: there are no labels to draw from, several labels a scan, or the same patient on both sides.
    """
    import numpy as np

    from medtl.data import Cohort
    from medtl.errors import InputError
    from medtl.progress import warn
    from medtl.scans import check_leaks
    from medtl.verbs import _training as shared
    from medtl.verbs._cohorts import manifest_of
    from medtl.verbs._measuring import labelled_scans
    from medtl.verbs._recipe import as_made, as_started, recipe_of

    told = told if start is None else as_started(told, start)
    manifest = manifest_of(train)
    check_leaks(manifest)
    usable = manifest.usable
    ours = usable.labelled.split("train")
    classes = shared.classes_of(ours)
    if shared.several(usable.labelled) or (start is not None and start.task == "multilabel"):
        raise InputError("a learning curve counts labels a class, and a scan here can have several labels")
    if start is not None:
        shared.check_classes(start, classes, usable.labelled)
        classes = start.classes
    steps = recipe_of(told, shared.not_test(usable), start=start)
    told = as_made(told, steps)
    options: dict[str, Any] = {"classes": classes, "multilabel": False, "unit": told.unit}
    cohort = Cohort(usable, steps, progress="Preparing scans", **options)
    if cohort.failed:
        warn(f"{len(cohort.failed)} scans were left out, the first because {next(iter(cohort.failed.values()))}")
    test = (cohort.manifest.frame.split == "test").to_numpy()
    pool = shared.labelled_rows(cohort, "train")
    if on is None:
        apart = shared.labelled_rows(cohort, "test")
        if _fewest(cohort, apart) < ENOUGH:
            apart = np.zeros(len(cohort), bool)
            pool = cohort.label >= 0
        return _Scans(cohort, np.flatnonzero(pool), np.flatnonzero(apart), test & ~pool, told, start)
    chosen, notes = labelled_scans(manifest_of(on), [start] if start else [], told.unit)
    for note in notes:
        warn(note)
    there = Cohort(chosen, steps, progress="Preparing scans to measure on", **options)
    both = set(cohort.patient[pool]) & set(there.patient)
    if both:
        raise InputError(
            f"{len(both)} patients of --train are among those of --on: measure on others, or give their scans the "
            "split test in the manifest and leave out --on"
        )
    known = len(cohort)
    cohort = Cohort.join([cohort, there])
    rows = np.arange(len(cohort))
    return _Scans(
        cohort, np.flatnonzero(pool), rows[known:], np.r_[test, np.ones(len(cohort) - known, bool)], told, start
    )


def _learner(scans: _Scans) -> tuple[Learner, np.ndarray, np.ndarray]:
    """How the strategy learns from rows, and the starting model's logits and features of all scans.

    Where the network stays as it is, it sees each scan once, and a head takes a second.
    """
    import tempfile

    import numpy as np

    from medtl.finetuning import STRATEGIES
    from medtl.finetuning.heads import Few
    from medtl.models import create_backbone
    from medtl.models.batch_statistics import for_site
    from medtl.models.layers import layered
    from medtl.runs.predict import outputs
    from medtl.training.few_labels import finetune_classifier, from_backbone
    from medtl.verbs import _training as shared

    told, cohort, start = scans.config, scans.cohort, scans.start
    fabric = shared.fabric_for(told)
    channels = cohort.recipe.channels
    classifier = shared.classifier_of(start) if start else from_backbone(told, len(cohort.classes), channels)
    everyone = cohort.select(scans.everyone)
    before = for_site(classifier, everyone, classifier.fixed, fabric.device)
    strategy, patient = STRATEGIES[told.strategy], np.asarray(cohort.patient)
    if strategy.layered:
        layered(before, create_backbone(told.backbone, told.weights, channels=channels) if start else None)
    logits, features = (each.astype(float) for each in outputs(before, cohort, "Looking at scans"))
    views = getattr(before.backbone, "views", ())

    def learn(rows: np.ndarray) -> np.ndarray:
        if strategy.reads and (not strategy.trains or len(rows) < strategy.least):
            few = Few(
                logits[rows],
                features[rows],
                cohort.label[rows],
                patient[rows],
                logits[scans.everyone],
                features[scans.everyone],
                views=views,
            )
            return strategy.head(few)(logits, features)
        with tempfile.TemporaryDirectory() as place:
            tuned = finetune_classifier(
                classifier, cohort.select(rows), everyone, told, fabric=fabric, folder=Path(place)
            )
        return outputs(tuned.classifier, cohort)[0].astype(float)

    return learn, logits, features


def _points(scans: _Scans, learner: Learner) -> tuple[list[Any], int, str]:
    """What was measured, the labels a class that there are, and on what it was measured, in words."""
    import numpy as np

    from medtl.progress import track
    from medtl.search.learning_curve import chain, cross_validated, fewest, measured

    label, patient, seed = scans.cohort.label, np.asarray(scans.cohort.patient), scans.config.seed
    most = fewest(chain(label, patient, scans.pool, seed))
    if len(scans.apart):
        levels = sorted({*(level for level in LEVELS if level <= most), min(most, LEVELS[-1])} - {0})
        points = measured(learner, label, patient, scans.pool, scans.apart, levels, DRAWS, seed)
        how = f"on {len(np.unique(patient[scans.apart]))} patients held apart"
    else:
        levels = sorted({*(level for level in LEVELS if level < IN_FOLDS * most), int(IN_FOLDS * most)} - {0})
        points = cross_validated(learner, label, patient, scans.pool, levels, DRAWS, seed)
        how = f"cross-validated in the {len(np.unique(patient[scans.pool]))} labelled patients, which is much less sure"
    return list(track(points, "Training", DRAWS * len(levels))), most, how


def _next(
    scans: _Scans, select: str, features: np.ndarray, logits: np.ndarray, labelled: np.ndarray
) -> list[dict[str, Any]]:
    """The rows of next.csv: unlabelled scans that are not in a test split, one a patient."""
    import numpy as np
    from scipy.special import softmax

    from medtl.measures.selection import SELECTIONS, WHY

    rows = scans.everyone
    patient = np.asarray(scans.cohort.patient)[rows]
    known = np.flatnonzero(np.isin(patient, np.asarray(scans.cohort.patient)[labelled]))
    if len(known) == len(rows):
        return []
    seen = features[rows]
    seen = (seen - seen.mean(axis=0)) / np.maximum(seen.std(axis=0), 1e-6)
    chosen = SELECTIONS[select](seen, softmax(logits[rows], axis=1), known, NEXT, scans.config.seed, patient)
    names = scans.cohort.scan_id[rows[chosen]]
    return [{"order": i, "scan_id": name, "why": WHY[select]} for i, name in enumerate(names.tolist(), 1)]


def _fewest(cohort: Cohort, rows: np.ndarray) -> int:
    """Patients of the rarest class among these rows (N,)."""
    import numpy as np

    patient = np.asarray(cohort.patient)
    return min(len(np.unique(patient[rows & (cohort.label == k)])) for k in range(len(cohort.classes)))


def _write(folder: Path, curve: Any, found: Any, facts: dict[str, Any], chosen: list[dict[str, Any]]) -> None:
    import json
    import shutil

    import pandas as pd

    from medtl.files import atomic_write
    from medtl.search.answer import table
    from medtl.search.report import render

    shown = {
        "Measured": facts["measured"],
        "Learnt by": f"{facts['strategy']}, from {facts['start']}",
        "Classes": ", ".join(facts["classes"]),
        "Patients to learn from": str(facts["patients_in_the_pool"]),
    }
    with atomic_write(folder) as part:
        part.mkdir()
        pd.DataFrame(table(curve.points)).to_csv(part / "learning_curve.csv", index=False)
        pd.DataFrame(chosen, columns=["order", "scan_id", "why"]).to_csv(part / "next.csv", index=False)
        (part / "report.html").write_text(render(curve, found, shown, chosen), encoding="utf-8")
        (part / "curve.json").write_text(json.dumps(facts, indent=2, ensure_ascii=False), encoding="utf-8")
        if folder.is_dir():
            shutil.rmtree(folder)
