"""A model card: what the model is for, what it has learnt from, how well it works here and where it was not tried.

After Mitchell et al., Model Cards for Model Reporting (FAT* 2019, arXiv:1810.03993).
"""

from __future__ import annotations

from medtl.reports.contents import OperatingRow, ReportData
from medtl.reports.documents import Section, Statement, listed, number_of, percent_of

TITLE = "Model card"
LEAD = "What this Run knows of itself. Lines that only you can know are left for you. No patient is named in it."


def model_card(data: ReportData) -> tuple[Section, ...]:
    """The card of the handed-over model."""
    return (
        Section("What it is for", _use(data)),
        Section("What it has learnt from", _training(data)),
        Section(f"How well it works on the {len(data.label)} {data.counted} of this report", _performance(data)),
        Section("How sure it is", _trust(data)),
        Section("Limits", _limits(data)),
    )


def _use(data: ReportData) -> tuple[Statement, ...]:
    task = {
        "binary": "one of two classes",
        "multiclass": "one of several classes",
        "multilabel": "any of several labels",
    }
    return (
        Statement(
            "What it does",
            f"It gives each {data.unit.replace('series', 'scan')} a probability of {task[data.task]}: "
            f"{listed(data.classes)}.",
        ),
        Statement("Intended use, users and place in the pathway", ""),
        Statement("Not for", "Diagnosis or treatment: it is research software and no medical device."),
        Statement("Contact and licence", ""),
    )


def _training(data: ReportData) -> tuple[Statement, ...]:
    made = data.training
    if made is None:
        return (Statement("Training", ""),)
    sites = "; ".join(f"{role}: {listed(names)}" for role, names in made.sites.items() if names)
    counts = []
    if made.n_patients:
        counts.append(f"the labels of {made.n_patients:,} patients")
    if made.n_scans:
        counts.append(f"the pixels of {made.n_scans:,} scans, with labels or without")
    machines = [listed(made.modalities), listed(made.manufacturers)]
    how = [f"method {made.method}"] if made.method not in ("", "none") else []
    how += [f"strategy {made.strategy}"] if made.strategy else []
    how += [f"harmonised by {listed(made.harmonise)}"] if made.harmonise else []
    how += [f"backbone {made.backbone} from ImageNet weights"] if made.backbone else []
    how += [f"seed {made.seed}"] if made.seed is not None else []
    how += [f"medtl {made.medtl}"] if made.medtl else []
    steps = [str(step["name"]) for step in data.recipe.get("steps", ())]
    size = data.recipe.get("size")
    recipe = f"Recipe {data.recipe.get('name')}: {', '.join(steps)}; {size} by {size} pixels." if size else ""
    return (
        Statement("Sites", f"{sites[:1].upper()}{sites[1:]}." if sites else ""),
        Statement("How many", f"It has seen {listed(counts)}." if counts else ""),
        Statement("Kind of scans and machines", f"{'; '.join(m for m in machines if m)}." if any(machines) else ""),
        Statement("Age, sex and origin of the patients", ""),
        Statement("Who labelled them, and how", ""),
        Statement("How it was trained", f"{listed(how)[:1].upper()}{listed(how)[1:]}." if how else ""),
        Statement("From pixels to input", recipe),
    )


def _performance(data: ReportData) -> tuple[Statement, ...]:
    main = data.handed_over
    metrics = main.metrics
    lines = [
        Statement("In short", data.verdict_sentence),
        Statement("AUROC", f"{number_of(metrics.get('auroc'), metrics.get('auroc_ci'))}."),
        Statement(
            "Average precision",
            f"{number_of(metrics.get('average_precision'), main.average_precision_ci)}.",
        ),
    ]
    if row := own_point(data):
        lines.append(Statement("At its own threshold", f"{point_sentence(row)}."))
    for site, numbers in main.sites.items():
        if len(main.sites) > 1 and numbers.get("auroc") is not None:
            lines.append(Statement(f"At {site}", f"AUROC {number_of(numbers['auroc'], numbers.get('auroc_ci'))}."))
    tables = [table.column for table in data.subgroups]
    lines.append(
        Statement("In groups of patients", f"See the report's tables by {listed(tables)}." if tables else not_grouped())
    )
    return tuple(lines)


def _trust(data: ReportData) -> tuple[Statement, ...]:
    main = data.handed_over
    excess = main.metrics.get("ece_excess")
    lines = [
        Statement(
            "Calibration",
            "unknown."
            if excess is None
            else f"Its probabilities are off by {max(0.0, 100 * excess):.0f} points beyond chance on average "
            f"(log loss {number_of(main.metrics.get('nll'))}, Brier score {number_of(main.metrics.get('brier'))}).",
        )
    ]
    if main.referred is not None:
        lines.append(Statement("Left to a reader", f"{percent_of(main.referred)} of these {data.counted}."))
    if main.doubt is not None:
        lines.append(
            Statement(
                f"If the least sure {percent_of(main.doubt.share)} go to a reader",
                f"it is right in {percent_of(main.doubt.accuracy_kept)} of the rest "
                f"({percent_of(main.doubt.accuracy)} of all).",
            )
        )
    return tuple(lines)


def _limits(data: ReportData) -> tuple[Statement, ...]:
    known = {site for names in (data.training.sites if data.training else {}).values() for site in names}
    here = list(dict.fromkeys(str(site) for site in data.site if str(site)))
    other = [site for site in here if site not in known]
    small = [f"{table.column}: {row.name}" for table in data.subgroups for row in table.rows if row.small]
    untested = f"Sites other than {listed(here)}" if here else "Other sites"
    return (
        Statement(
            "Where it holds", "For patients and scanners like these; it may not hold elsewhere, or here next year."
        ),
        Statement(
            "Not tested on",
            f"{untested}; machines, ages and diseases that these scans do not have; scans of other body parts.",
        ),
        *((Statement("Sites that it never learnt from", f"{listed(other)}."),) if other and known else ()),
        Statement(
            "Groups too small to judge",
            (f"{listed(small[:12])}{' and others' if len(small) > 12 else ''}." if small else "None of those shown.")
            if data.subgroups
            else not_grouped(),
        ),
        *(Statement("Note", note) for note in data.notes),
        Statement("Ethical questions, harm that an error does", ""),
    )


def not_grouped() -> str:
    """What is said where no groups were asked for."""
    return "Not measured: name columns of the manifest (`medtl evaluate --by sex age scanner`)."


def own_point(data: ReportData) -> OperatingRow | None:
    """The handed-over model at the threshold that came with it."""
    rows = [row for row in data.handed_over.operating if row.where == "home"]
    return rows[-1] if rows else None  # of several classes, their mean


def point_sentence(row: OperatingRow) -> str:
    """What an operating point gives, in words."""
    low, high = row.sensitivity_ci
    bounds = None if low != low else (low, high)
    other = None if row.specificity_ci[0] != row.specificity_ci[0] else row.specificity_ci
    said = f"sensitivity {number_of(row.sensitivity, bounds)}, specificity {number_of(row.specificity, other)}"
    said += f", PPV {number_of(row.ppv)}, NPV {number_of(row.npv)}"
    if row.prevalence == row.prevalence:
        said += f" where {percent_of(row.prevalence)} are {row.of}, as here"
    if row.named is not None:
        share, ppv, npv = row.named
        said += f"; where {100 * share:g} % are, PPV {number_of(ppv)}, NPV {number_of(npv)}"
    return said[:1].upper() + said[1:]
