"""Fit a Run's probabilities, threshold and prediction sets to labelled scans of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medtl.runs.run import Run
    from medtl.scans import Manifest


def calibrate(
    run: str | Path | Run,
    on: str | Path | Manifest,
    method: str = "temperature",
    out: str | Path | None = None,
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
        method: How: temperature (one number), or platt (also follows another prevalence; for 50 scans or more).
        out: Write a calibrated copy here. Without it the Run itself is changed, which takes --force.
        force: Replace what is there.

    Returns:
        The calibrated Run.

    Raises:
        InputError: no labelled scan that may be used, one class only, or the Run would be overwritten.
    """
    from medtl.data import Cohort
    from medtl.data.units import counted
    from medtl.errors import InputError
    from medtl.files import refuse_existing
    from medtl.progress import say, track, warn
    from medtl.runs.layout import pseudonyms
    from medtl.runs.run import Run, change_run
    from medtl.trust import CALIBRATORS, fit_trust
    from medtl.verbs._cohorts import manifest_of

    if method not in CALIBRATORS:
        raise InputError(f"there is no calibrator {method!r}: choose one of {', '.join(CALIBRATORS)}")
    run = Run.load(run)
    if out is None and not force:
        raise InputError(f"{run.path} would be changed: give -o for a calibrated copy, or --force to change it")
    if out is not None:
        refuse_existing(out, force)
    scans = _to_fit_on(manifest_of(on), run, on)
    cohort = Cohort(scans, run.recipe, classes=run.classes, multilabel=run.task == "multilabel", unit=run.unit)
    _both_classes(cohort.label, run, on)
    sites = [cohort.site_names[i] for i in cohort.site]
    trust = {}
    for name in track(run.names, "Calibrating models"):
        logits, features = run.outputs(cohort, name)
        before = run.trust(name)
        familiar = before.ood if before else None
        trust[name] = fit_trust(
            logits, cohort.label, cohort.manifest.groups, features, None, run.task, method, sites, ood=familiar
        )
    fitted = trust["model"]
    calibrated_on = fitted.calibrated_on
    if fitted.conformal_promised is not None and fitted.conformal_promised < fitted.conformal_level:
        warn(
            f"{calibrated_on['n_patients']} patients can promise that a prediction set holds the truth in "
            f"{fitted.conformal_promised:.0%} only, not {fitted.conformal_level:.0%}: label more scans"
        )
    seen = set(pseudonyms(cohort.patient))
    facts = {
        "patients": sorted(seen | set(pseudonyms(run.facts.get("patients") or ()))),
        "patients_calibrated": sorted((seen - _trained_on(run)) | set(run.facts.get("patients_calibrated") or ())),
    }
    changed = change_run(run, out, trust=trust, facts=facts, force=force)
    say(
        f"Calibrated on {calibrated_on['n_scans']} {counted(run.unit)} of {calibrated_on['n_patients']} patients: "
        f"{fitted.calibrator}"
        + (f", threshold {fitted.threshold:.2f} ({fitted.threshold_rule})" if fitted.threshold is not None else "")
    )
    return changed


def _to_fit_on(manifest: Manifest, run: Run, on: object) -> Manifest:
    """The labelled scans that the calibration may see."""
    import numpy as np

    from medtl.data.units import with_labels
    from medtl.errors import InputError
    from medtl.runs.layout import pseudonyms

    labelled = with_labels(manifest, run.unit)
    split, trained = labelled.frame["split"], _trained_on(run)
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


def _trained_on(run: Run) -> set[str]:
    """Patients whose labels the Run was trained on; those that an earlier calibration saw may be seen again."""
    from medtl.runs.layout import pseudonyms

    seen, calibrated = (run.facts.get(key) or () for key in ("patients", "patients_calibrated"))
    return set(pseudonyms(seen)) - set(pseudonyms(calibrated))


def _both_classes(label: object, run: Run, on: object) -> None:
    import numpy as np

    from medtl.errors import InputError

    numbers = np.asarray(label)
    if numbers.ndim == 1 and len(np.unique(numbers[numbers >= 0])) < 2:
        where = on if isinstance(on, str | Path) else "the manifest"
        raise InputError(f"{where} has scans of one class only: calibrating takes both, of {', '.join(run.classes)}")
