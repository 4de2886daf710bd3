"""Fit a Run's probabilities, threshold and prediction sets to labelled scans of one's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

    from medtl.data import Cohort
    from medtl.runs.run import Run
    from medtl.scans import Manifest
    from medtl.trust import Map, Trust

    Said = dict[str, tuple[np.ndarray, np.ndarray]]  # of each model: logits (N, K), features (N, F)


def calibrate(
    run: str | Path | Run,
    on: str | Path | Manifest,
    method: str = "auto",
    out: str | Path | None = None,
    unlabelled: str | Path | Manifest | None = None,
    sets: Literal["marginal", "class", "weighted"] = "marginal",
    coverage: float | None = None,
    refer: float | None = None,
    force: bool = False,
) -> Run:
    """Calibrate every model of a Run on labelled scans.

    Temperature, threshold, conformal sets and the out-of-distribution cut are fitted on the `calibrate` split and on
    those scans of the `train` split whose labels the Run was not trained on (a new site's, where it learnt from their
    pixels alone); never on the `test` split, so that `medtl evaluate` on the same manifest stays honest. It remembers
    the patients, and evaluating leaves them out.

    Args:
        run: The Run to calibrate.
        on: Labelled scans, a manifest or a folder. 50 of each class are enough; fewer promise less.
        method: For the site of the labelled scans: temperature (one number), platt (also follows another prevalence;
            for 50 scans or more), vector, matrix, beta, isotonic, histogram or temperatures. For the site of
            --unlabelled: witness, cpcs, transcal, head-to-tail, label-shift, bbse or atc. Auto is temperature, with
            --unlabelled witness. docs/calibration.md compares them.
        out: Write a calibrated copy here. Without it the Run itself is changed, which takes --force.
        unlabelled: Scans of the site that the Run is for, a manifest or a folder; labels in it are not looked at.
        sets: Whose truth a prediction set holds as often as asked for: that of all scans (marginal), of each class
            (class), or of the scans of --unlabelled where those with labels are of another site (weighted).
        coverage: How often, such as 0.95; refused where so few patients cannot promise it. Without it 0.9, or as much
            as they can promise.
        refer: The share of the scans that a reader is to see, such as 0.2: those that the model is least sure of.
            Without it, those that their prediction set does not decide.
        force: Replace what is there.

    Returns:
        The calibrated Run.

    Raises:
        InputError: no labelled scan that may be used, one class only, a coverage that cannot be promised, or the Run
            would be overwritten.
    """
    from medtl.data import Cohort
    from medtl.errors import InputError
    from medtl.files import refuse_existing
    from medtl.runs.layout import pseudonyms
    from medtl.runs.run import Run, change_run
    from medtl.trust.conformal import COVERAGE
    from medtl.verbs._cohorts import manifest_of
    from medtl.verbs._measuring import patients_learnt_from

    method = _method_wanted(method, unlabelled)
    _sets_wanted(sets, coverage, refer, unlabelled)
    run = Run.load(run)
    if out is None and not force:
        raise InputError(f"{run.path} would be changed: give -o for a calibrated copy, or --force to change it")
    if out is not None:
        refuse_existing(out, force)
    scans = _to_fit_on(manifest_of(on), run, on)
    cohort = Cohort(scans, run.recipe, classes=run.classes, multilabel=run.task == "multilabel", unit=run.unit)
    _both_classes(cohort.label, run, on)
    there = _unlabelled_scans(unlabelled, run, method, sets)
    trust = _fitted(run, cohort, there, method, sets, coverage or COVERAGE, refer)
    _promised(trust["model"], run, coverage)
    seen = set(pseudonyms(cohort.patient))
    facts = {
        "patients": sorted(seen | set(pseudonyms(run.facts.get("patients") or ()))),
        "patients_calibrated": sorted(
            (seen - patients_learnt_from(run)) | set(run.facts.get("patients_calibrated") or ())
        ),
    }
    changed = change_run(run, out, trust=trust, facts=facts, force=force)
    _told(trust["model"], run)
    return changed


def _fitted(
    run: Run,
    cohort: Cohort,
    there: Cohort | None,
    method: str,
    sets: Literal["marginal", "class", "weighted"],
    coverage: float,
    refer: float | None,
) -> dict[str, Trust]:
    """Trust in every model of the Run, from labelled scans and, where the method or the sets ask for it, others."""
    from medtl.progress import track
    from medtl.trust import fit_trust

    at_home = {name: run.outputs(cohort, name) for name in track(run.names, "Calibrating models")}
    at_target = {name: run.outputs(there, name) for name in run.names} if there is not None else {}
    trust = {}
    for name, (logits, features) in at_home.items():
        unseen = at_target.get(name)
        before = run.trust(name)
        trust[name] = fit_trust(
            logits,
            cohort.label,
            cohort.manifest.groups,
            features,
            None,
            run.task,
            method,
            [cohort.site_names[i] for i in cohort.site],
            ood=before.ood if before else None,
            calibrator=_for_target(method, name, at_home, at_target, cohort.label, run.task),
            sets=sets,
            coverage=coverage,
            unlabelled_features=unseen[1] if unseen is not None else None,
            refer=refer,
        )
    if sets == "weighted":
        _decides_little(trust["model"], *at_target["model"])
    return trust


def _told(trust: Trust, run: Run) -> None:
    """Say what was fitted, and on what."""
    from medtl.data.units import counted
    from medtl.progress import say

    on, threshold = trust.calibrated_on, ""
    if trust.threshold is not None:
        threshold = f", threshold {trust.threshold:.2f} ({trust.threshold_rule})"
    say(
        f"Calibrated on {on['n_scans']} {counted(run.unit)} of {on['n_patients']} patients: "
        f"{trust.calibrator}{threshold}"
    )


def _method_wanted(method: str, unlabelled: object) -> str:
    """The calibrator's name; "auto" is what did best in benchmarks/calibration.py."""
    from medtl.errors import InputError
    from medtl.trust import CALIBRATORS
    from medtl.trust.shift import UNLABELLED

    if method == "auto":
        return "temperature" if unlabelled is None else "witness"
    if method not in CALIBRATORS and method not in UNLABELLED:
        raise InputError(
            f"there is no calibrator {method!r}: choose one of {', '.join(CALIBRATORS)}; or, with --unlabelled, of "
            f"{', '.join(UNLABELLED)}"
        )
    if method in UNLABELLED and unlabelled is None:
        raise InputError(f"{method} calibrates for the site of scans without labels: name them with --unlabelled")
    return method


def _unlabelled_scans(unlabelled: str | Path | Manifest | None, run: Run, method: str, sets: str) -> Cohort | None:
    """The scans of the site that the Run is for, without their labels; None where there are none.

    Raises:
        InputError: they are too few, or nothing that was asked for looks at them.
    """
    from medtl.data import Cohort
    from medtl.data.units import counted
    from medtl.errors import InputError
    from medtl.trust.shift import LEAST_SCANS, UNLABELLED
    from medtl.verbs._cohorts import manifest_of

    if unlabelled is None:
        return None
    if method not in UNLABELLED and sets != "weighted":
        raise InputError(
            f"neither {method} nor {sets} sets look at the scans of --unlabelled: leave them out, or leave out --method"
        )
    there = Cohort(manifest_of(unlabelled).usable.without_labels(), run.recipe, unit=run.unit)
    if len(there) < LEAST_SCANS:
        raise InputError(
            f"calibrating for a site without labels takes {LEAST_SCANS} {counted(run.unit)} from there, and "
            f"--unlabelled has {len(there)}: give more, or leave it out"
        )
    return there


def _for_target(method: str, name: str, at_home: Said, at_target: Said, label: np.ndarray, task: str) -> Map | None:
    """The model's map for the site of the unlabelled scans; None where the method is for that of the labelled ones.

    The witness is the Run's other model.
    """
    from medtl.trust.shift import UNLABELLED, Seen

    if method not in UNLABELLED:
        return None
    other = next((each for each in at_home if each != name), None)
    source, target = (Seen(*said[name], witness=said[other][0] if other else None) for said in (at_home, at_target))
    return UNLABELLED[method](replace(source, label=label), target, task)


def _sets_wanted(sets: str, coverage: float | None, refer: float | None, unlabelled: object) -> None:
    """Refuse what cannot be meant."""
    from medtl.errors import InputError
    from medtl.trust.conformal import KINDS

    if sets not in KINDS:
        raise InputError(f"there are no prediction sets {sets!r}: choose one of {', '.join(KINDS)}")
    if sets == "weighted" and unlabelled is None:
        raise InputError("weighted sets are for the site of other scans: name them with --unlabelled")
    for name, share, usual in (("coverage", coverage, "0.9 for 90 %"), ("refer", refer, "0.2 for 20 %")):
        if share is not None and not 0 < share < 1:
            raise InputError(f"--{name} {share:g} is not between 0 and 1: give a share such as {usual}")


def _promised(trust: Trust, run: Run, coverage: float | None) -> None:
    """Refuse a coverage that was asked for and cannot be promised; say what can be, where none was asked for."""
    from medtl.errors import InputError
    from medtl.progress import warn
    from medtl.trust.conformal import too_few

    said = too_few(trust.sets, run.classes, trust.calibrated_on["n_scans"]) if trust.sets else ""
    if said and coverage is not None:
        raise InputError(said)
    if said:
        warn(f"that a prediction set holds the truth: {said}")


def _decides_little(trust: Trust, logits: np.ndarray, features: np.ndarray) -> None:
    """Say it where the two sites are so far apart that weighted sets decide fewer than half of the scans there."""
    import numpy as np

    from medtl.progress import warn
    from medtl.trust import apply_trust

    decided = np.mean([len(held) == 1 for held in apply_trust(trust, logits, features).prediction_set])
    if decided < 0.5 and trust.task != "multilabel":
        warn(
            f"the weighted sets decide {100 * decided:.0f} % of the unlabelled scans: the sites have too little in "
            "common for weights; label 50 scans there and calibrate on them"
        )


def _to_fit_on(manifest: Manifest, run: Run, on: object) -> Manifest:
    """The labelled scans that the calibration may see."""
    import numpy as np

    from medtl.data.units import with_labels
    from medtl.errors import InputError
    from medtl.runs.layout import pseudonyms
    from medtl.verbs._measuring import patients_learnt_from

    labelled = with_labels(manifest, run.unit)
    split, trained = labelled.frame["split"], patients_learnt_from(run)
    patient = pseudonyms(labelled.patients)
    allowed = split == "calibrate"
    if trained or not allowed.any():
        allowed |= (split != "test") & ~np.isin(patient, sorted(trained))
    if allowed.any():
        return labelled.select(allowed.to_numpy())
    where = on if isinstance(on, str | Path) else "the manifest"
    if not len(labelled):
        raise InputError(f"{where} has no labelled scan: add labels with `medtl index --labels labels.csv`")
    raise InputError(
        f"{where} has labels only in its test split or of patients that the Run was trained on, which calibrating may "
        "not see: label others"
    )


def _both_classes(label: object, run: Run, on: object) -> None:
    import numpy as np

    from medtl.errors import InputError

    numbers = np.asarray(label)
    where = on if isinstance(on, str | Path) else "the manifest"
    if numbers.ndim == 1 and len(np.unique(numbers[numbers >= 0])) < 2:
        raise InputError(f"{where} has scans of one class only: calibrating takes both, of {', '.join(run.classes)}")
    if numbers.ndim == 2 and not ((numbers == 0).any(axis=0) & (numbers == 1).any(axis=0)).any():
        raise InputError(
            f"{where} has no label that some scans have and others have not: calibrating takes both, of "
            f"{', '.join(run.classes)}"
        )
