"""What a report shows: plain data, measured elsewhere, drawn by `render`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from medtl.data.units import Unit, counted
from medtl.reports.alignment import Adapting

Interval = tuple[float, float]


@dataclass(frozen=True)
class OperatingRow:
    """What one threshold gives for one class against the rest; nan where a number is undefined.

    Attributes:
        of: the class that counts as positive; "mean" of the classes where there are several.
        rule: "as handed over", "90 % specificity", "95 % sensitivity" or "Youden's J".
        where: "home": the threshold came with the Run; "here": it was set again on labels of these sites.
        threshold: called positive from this calibrated probability on; nan for "mean".
        sensitivity, specificity: on the scans of the report; where the threshold was set on these very scans, each
            patient's with the threshold that the others' labels give (cross-fitted).
        sensitivity_ci, specificity_ci: 95 %.
        ppv, npv: at the share of positives among these scans, which is `prevalence`.
        named: PPV and NPV at the prevalence that the user named, (prevalence, PPV, NPV); None where none was.
        n_labels, n_positive: local labelled scans that the threshold was set on, and the positive ones among them; 0
            for "home".
        how: how it was set, in a few words.
    """

    of: str
    rule: str
    where: Literal["home", "here"]
    threshold: float
    sensitivity: float
    specificity: float
    sensitivity_ci: Interval
    specificity_ci: Interval
    ppv: float
    npv: float
    prevalence: float
    named: tuple[float, float, float] | None
    n_labels: int
    n_positive: int
    how: str


@dataclass(frozen=True)
class BenefitCurve:
    """Net benefit of acting on the model, for one class against the rest (Vickers and Elkin 2006).

    Attributes:
        of: the class that counts as positive.
        threshold: (T,) probabilities from which on one would act.
        net_benefit, treat_all: (T,) true positives a scan, less false positives at the threshold's odds; acting on
            nobody has 0.
    """

    of: str
    threshold: np.ndarray
    net_benefit: np.ndarray
    treat_all: np.ndarray


@dataclass(frozen=True)
class ConfusionTable:
    """Counts: rows what it is, columns what the model says at its own threshold.

    Attributes:
        of: the label, of several labels a scan: then the names are "no" and "yes"; "" for the whole.
        names: of rows and columns.
        counts: int (names, names).
    """

    of: str
    names: tuple[str, ...]
    counts: np.ndarray


@dataclass(frozen=True)
class Doubt:
    """What happens when the scans that the model is least sure of go to a reader.

    Attributes:
        coverage, risk: (at most 100,) share of scans that the model keeps, surest first, and its error rate on them;
            of several labels a scan, the share of labels that are wrong.
        aurc: area under that curve; lower is better.
        e_aurc: what of it is beyond the best order of the same errors.
        share: of scans referred in the numbers below, 0.2.
        accuracy: on all scans.
        accuracy_kept: on those that it keeps when `share` is referred.
        n_kept: scans that it then keeps.
    """

    coverage: np.ndarray
    risk: np.ndarray
    aurc: float
    e_aurc: float
    share: float
    accuracy: float
    accuracy_kept: float
    n_kept: int


@dataclass(frozen=True)
class SubgroupRow:
    """The model on the scans of one group.

    Attributes:
        name: as the manifest says it, a band of a number, "not given", or "small groups together" for those of fewer
            than 5 patients.
        auroc: nan where the group has one class.
        auroc_ci: 95 %.
        sensitivity, specificity: at the model's own threshold, the mean over the classes where there are several.
        small: too few scans of one class for the numbers to say much.
    """

    name: str
    n_scans: int
    n_patients: int
    n_positive: int
    auroc: float
    auroc_ci: Interval
    sensitivity: float
    specificity: float
    small: bool


@dataclass(frozen=True)
class SubgroupTable:
    """The handed-over model by one column of the manifest.

    Attributes:
        column: "sex", "age", "scanner" ...
        rows: of at least 5 patients each.
        note: what was merged or is not shown, and why; "" where nothing was.
    """

    column: str
    rows: tuple[SubgroupRow, ...]
    note: str = ""


@dataclass(frozen=True)
class PairedDifference:
    """One model against another on the same scans: `model` less `against`.

    Attributes:
        auroc: difference of the AUROCs, with auroc_ci at 95 % and auroc_p of no difference (DeLong, by patient).
        auroc_p_holm: the same after Holm's correction for the number of models in the report.
        brier: difference of the Brier scores (below 0: `model` is better), with brier_ci by patient bootstrap.
    """

    model: str
    against: str
    auroc: float
    auroc_ci: Interval
    auroc_p: float
    auroc_p_holm: float
    brier: float
    brier_ci: Interval


@dataclass(frozen=True)
class SaliencyScore:
    """How often a saliency map falls on the radiologist's lesion mask.

    Attributes:
        model: its name.
        method: "Grad-CAM" ...
        n_scans: with a mask.
        hits: share of scans whose map has its maximum on the mask, with hits_ci at 95 %.
        mass_inside: mean share of the map's mass on the mask.
        chance: mean share of the picture that the mask covers: what a map that knows nothing hits.
        centre: share of scans whose middle lies on the mask: what a map that always points there hits, since who
            takes a picture puts the lesion there.
    """

    model: str
    method: str
    n_scans: int
    hits: float
    hits_ci: Interval
    mass_inside: float
    chance: float
    centre: float


@dataclass(frozen=True)
class ModelResult:
    """One model on the scans of the report.

    Attributes:
        name: what it is called in the report and in metrics.json: "source-only", "adapted" ...
        probabilities: float (N, K), after calibration.
        uncalibrated: float (N, K), before.
        metrics: the contract's keys after calibration, the same before under "uncalibrated"; besides them, in
            both, "ece_expected", what a perfectly calibrated model shows on as many scans, and "ece_excess", the rest.
        sites: site name -> the contract's keys on that site's scans, or only "n_scans" and "n_patients" where it has
            one class.
        handed_over: whether this is the run's answer.
        referred: share of scans in [0, 1] that the model would leave to a reader; None where unknown.
        note: a few words under its name.
        seconds: how long training took; None where unknown.
        average_precision_ci: 95 %, by patient bootstrap; None where undefined.
        operating: thresholds, the Run's own first; of several classes each against the rest, then their mean.
        benefit: a decision curve for the positive class, or for each.
        confusion: one table; of several labels one each.
        calibration: ece (equal width), ece_equal_mass, each also less what a perfect model shows as ece_excess and
            ece_equal_mass_excess; classwise_ece, ks, sharpness, nll, brier, and the Brier score's parts reliability,
            resolution, uncertainty and within; the same before calibration under "uncalibrated".
        doubt: referring the least sure scans.
    """

    name: str
    probabilities: np.ndarray
    uncalibrated: np.ndarray
    metrics: Mapping[str, Any]
    sites: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    handed_over: bool = False
    referred: float | None = None
    note: str = ""
    seconds: float | None = None
    average_precision_ci: Interval | None = None
    operating: tuple[OperatingRow, ...] = ()
    benefit: tuple[BenefitCurve, ...] = ()
    confusion: tuple[ConfusionTable, ...] = ()
    calibration: Mapping[str, Any] = field(default_factory=dict)
    doubt: Doubt | None = None


@dataclass(frozen=True)
class Training:
    """Where the handed-over model comes from: what its Run says of it.

    Attributes:
        method: "dann" ..., "" where unknown.
        strategy: of fine-tuning, "" where there was none.
        harmonise: what evened the sites out.
        backbone: timm's name.
        seed: of the training.
        medtl: the version that trained it.
        created: the day, "" where unknown.
        sites: role -> names: "source", "target".
        n_patients: whose labels any model of the Run has seen.
        n_scans: whose pixels it has seen, with labels or without; None where an older medtl made the Run.
        modalities, manufacturers: of these scans, where their files say.
    """

    method: str = ""
    strategy: str = ""
    harmonise: tuple[str, ...] = ()
    backbone: str = ""
    seed: int | None = None
    medtl: str = ""
    created: str = ""
    sites: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    n_patients: int | None = None
    n_scans: int | None = None
    modalities: tuple[str, ...] = ()
    manufacturers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Example:
    """One scan as the model sees it.

    Attributes:
        pixels: float32 (C, H, W), the recipe's output, roughly in [-1, 1]; of a volume, the slice that mattered most.
        saliency: float32 (H, W) in [0, 1], or None.
        truth, prediction: class names.
        probability: calibrated; of two classes, of the positive one; of more, of the prediction.
        why: "right and sure", "wrong" or "in doubt".
        instance: which of the scan's instances `pixels` is.
        weights: float (instances,), how much each mattered, sum 1; None for a picture.
        part: what an instance is: "slice", or "projection".
    """

    scan_id: str
    site: str
    pixels: np.ndarray
    saliency: np.ndarray | None
    truth: str
    prediction: str
    probability: float
    why: str
    instance: int = 0
    weights: np.ndarray | None = None
    part: str = "slice"


@dataclass(frozen=True)
class Projection:
    """The features of both sites on a plane, before and after adaptation.

    Attributes:
        before, after: float (N, 2); each has axes of its own, since the network between them changed.
        site: (N,) site names.
        label: (N,) class names, "" where the training saw no label.
        told_apart_before, told_apart_after: share of scans whose site a linear classifier reads off the features,
            cross-validated; 0.5 is mixed.
        how: the projection's name.
    """

    before: np.ndarray
    after: np.ndarray
    site: np.ndarray
    label: np.ndarray
    told_apart_before: float
    told_apart_after: float
    how: str = "PCA"


@dataclass(frozen=True)
class SourceWeights:
    """How much each source scan counted when the model was adapted.

    Attributes:
        weight: (N,), 1 on average.
        effective: how many scans that all count alike are worth as much (Kish 1965).
        most, least: (scan_id, weight) of the five that count most, and of those that count least, the extreme first.
    """

    weight: np.ndarray
    effective: float
    most: tuple[tuple[str, float], ...]
    least: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class ReportData:
    """All that `render` needs.

    Attributes:
        title: "Breast ultrasound at egypt" or so.
        verdict: "better than chance", "not" or "cannot tell yet".
        verdict_sentence: what to trust, in one plain sentence.
        classes: sorted names; of two, the second is the positive class.
        label: (N,) class numbers, or (N, K) of 0, 1, nan for several labels a scan.
        patient, site: (N,).
        models: in the order of the table; one is handed over.
        decision: run.json's "decision": handed_over, sentence, warn, signals.
        notes: sentences about what was left out and why.
        log: columns phase, epoch, step, losses ..., domain_accuracy.
        unit: what each of the N is: "series" or "study".
        subgroups: of the handed-over model, one a column that the user asked for.
        comparison: paired, of the others against the handed-over model, or, where several Runs are compared, of each
            against the first.
        saliency_scores: where the manifest has a column `lesion_mask`.
        training: of the handed-over model; None where Runs are compared.
        compares_runs: whether it is of `medtl compare`: no model is then "handed over", the verdict is about the first,
            and the others are compared with it.
        adapting: what adapting did; None where nothing was adapted.
        source_weights: which source scans counted; None where all did alike.
    """

    title: str
    verdict: str
    verdict_sentence: str
    task: str
    classes: tuple[str, ...]
    label: np.ndarray
    patient: np.ndarray
    site: np.ndarray
    models: tuple[ModelResult, ...]
    decision: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    projection: Projection | None = None
    examples: tuple[Example, ...] = ()
    log: pd.DataFrame | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    created: str = ""
    unit: Unit = "series"
    subgroups: tuple[SubgroupTable, ...] = ()
    comparison: tuple[PairedDifference, ...] = ()
    saliency_scores: tuple[SaliencyScore, ...] = ()
    training: Training | None = None
    compares_runs: bool = False
    adapting: Adapting | None = None
    source_weights: SourceWeights | None = None

    @property
    def counted(self) -> str:
        """What the N are: "scans" or "studies"."""
        return counted(self.unit)

    @property
    def handed_over(self) -> ModelResult:
        """The model that the run hands over; where none is marked the last one, and of compared Runs the first."""
        return next((m for m in self.models if m.handed_over), self.models[0 if self.compares_runs else -1])
