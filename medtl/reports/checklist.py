"""A reporting checklist, filled in as far as a Run can know, in the form of CLAIM 2024 and TRIPOD+AI.

Tejani et al., Checklist for Artificial Intelligence in Medical Imaging: 2024 Update (Radiology: Artificial
Intelligence 6, 2024, e240300), and Collins et al., TRIPOD+AI (BMJ 385, 2024, e078378). What an item asks is said in our
words; the numbers are theirs, so that the original forms can be filled in from this one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from medtl.reports.contents import ReportData
from medtl.reports.documents import Section, Statement, listed, number_of, percent_of
from medtl.reports.model_card import not_grouped, own_point, point_sentence

TITLE = "Reporting checklist"
LEAD = (
    "In the form of CLAIM 2024 and TRIPOD+AI, filled in with what this Run knows. The wording is ours and the numbers "
    "are theirs: use it to fill in the original forms, and check each line."
)


def _methods_used(data: ReportData) -> str:
    made = data.training
    if made is None:
        return ""
    trained = made.method if made.method not in ("", "none") else "source-only"
    tuned = f", then fine-tuned ({made.strategy})" if made.strategy else ""
    return f"A deep network ({made.backbone}), trained with {trained}{tuned} to tell {listed(data.classes)} apart."


def _sources(data: ReportData) -> str:
    made = data.training
    trained = ""
    if made is not None and any(made.sites.values()):
        trained = f"Trained on {listed([f'{listed(n)} ({r})' for r, n in made.sites.items() if n])}. "
    return f"{trained}Evaluated on {listed(_sites(data)) or 'one site'}."


def _preprocessing(data: ReportData) -> str:
    steps = [str(step["name"]) for step in data.recipe.get("steps", ())]
    if not steps:
        return ""
    return f"Recipe {data.recipe['name']}, saved with the model: {', '.join(steps)}; {data.recipe.get('size')} pixels."


def _identifiers(data: ReportData) -> str:
    return (
        "`medtl index` names patients and scans by a keyed hash; no file of this report has a path or a header's name. "
        "Letters burned into pixels are not removed: look at the pictures."
    )


def _missing(data: ReportData) -> str:
    unknown = int(np.isnan(data.label).any(axis=1).sum()) if data.label.ndim == 2 else 0
    read = [note for note in data.notes if "could not be read" in note]
    told = read or ["Every labelled scan could be read."]
    if unknown:
        told.append(f"{unknown} {data.counted} have labels that are not known, which count in no number.")
    return " ".join(told)


def _partitions(data: ReportData) -> str:
    told = [note for note in data.notes if "split" in note or "labels" in note]
    return " ".join(["Splits are dealt by patient, within each label.", *told])


def _disjoint(data: ReportData) -> str:
    return "By patient: the Run keeps pseudonyms of the patients whose labels it has seen, and none of them is here."


def _software(data: ReportData) -> str:
    made = data.training
    versions = data.provenance.get("versions") or {}
    also = f" ({', '.join(f'{name} {v}' for name, v in versions.items())})" if isinstance(versions, dict) else ""
    return f"medtl {made.medtl}{also if versions else ''}." if made and made.medtl else ""


def _start(data: ReportData) -> str:
    made = data.training
    return f"{made.backbone} with ImageNet weights; seed {made.seed}." if made and made.backbone else ""


def _training(data: ReportData) -> str:
    phases = [] if data.log is None or "phase" not in data.log else list(dict.fromkeys(data.log["phase"].astype(str)))
    how = f" Phases: {listed([phase.replace('_', ' ') for phase in phases])}." if phases else ""
    return f"The configuration is in the report and in the Run (config.yaml).{how}" if data.config else ""


def _chosen(data: ReportData) -> str:
    return str(data.decision.get("sentence") or "")


def _metrics(data: ReportData) -> str:
    return (
        "AUROC, average precision, sensitivity, specificity, PPV, NPV, calibration error beyond chance, Brier score, "
        "log loss, net benefit, errors left after referral."
    )


def _uncertainty(data: ReportData) -> str:
    return "95 % intervals that take the scans of a patient together; models are compared by a paired test."


def _sensitivity(data: ReportData) -> str:
    parts = [f"by {listed([table.column for table in data.subgroups])}"] if data.subgroups else []
    parts += [f"by site ({listed(_sites(data))})"] if len(_sites(data)) > 1 else []
    return f"Results {listed(parts)} are in the report." if parts else not_grouped()


def _looked(data: ReportData) -> str:
    if best := [score for score in data.saliency_scores if score.model == data.handed_over.name]:
        told = [f"{s.method} {percent_of(s.hits)}" for s in best]
        return (
            f"The maximum of its maps falls on the lesion's mask in {listed(told)} of {best[0].n_scans} scans; by "
            f"chance {percent_of(best[0].chance)}, and the middle of the picture in {percent_of(best[0].centre)}."
        )
    return "Grad-CAM of single scans is in the report; not scored, for want of lesion masks." if data.examples else ""


def _external(data: ReportData) -> str:
    made = data.training
    if made is None or not any(made.sites.values()):
        return ""
    source, target = made.sites.get("source", ()), made.sites.get("target", ())
    kinds = {
        "it learnt from labelled scans of this site": [site for site in _sites(data) if site in source],
        "it was adapted with unlabelled scans of this site": [
            site for site in _sites(data) if site in target and site not in source
        ],
        "it has seen no scan of this site": [site for site in _sites(data) if site not in {*source, *target}],
    }
    return " ".join(f"{listed(sites)}: {what}." for what, sites in kinds.items() if sites)


def _flow(data: ReportData) -> str:
    told = [note for note in data.notes if "left out" in note]
    n = data.handed_over.metrics.get("n_patients")
    return " ".join([f"{len(data.label)} {data.counted} of {n} patients are measured on.", *told])


def _performance(data: ReportData) -> str:
    metrics = data.handed_over.metrics
    return (
        f"AUROC {number_of(metrics.get('auroc'), metrics.get('auroc_ci'))}; Brier score "
        f"{number_of(metrics.get('brier'))}; calibration error beyond chance {number_of(metrics.get('ece_excess'))}."
    )


def _diagnostic(data: ReportData) -> str:
    row = own_point(data)
    return f"{point_sentence(row)}." if row is not None else ""


def _failures(data: ReportData) -> str:
    wrong = sum(example.why == "wrong" for example in data.examples)
    return f"{wrong} of its surest mistakes are shown in the report; say what they have in common." if wrong else ""


def _limits(data: ReportData) -> str:
    return "See the model card; the numbers hold for patients and scanners like these. Say what else limits them."


def _balance(data: ReportData) -> str:
    balance = data.config.get("balance")
    names = [balance] if isinstance(balance, str) else list(balance or ())
    return f"Batches are drawn evenly by {listed(names)} (`balance` in the configuration)." if names else ""


def _sites(data: ReportData) -> list[str]:
    return [site for site in dict.fromkeys(str(s) for s in data.site) if site]


class Item(NamedTuple):
    """One item: its numbers in CLAIM 2024 and in TRIPOD+AI, what it asks, and who answers (None: the user)."""

    claim: str
    tripod: str
    asks: str
    answer: Callable[[ReportData], str] | None = None


ITEMS: tuple[tuple[str, tuple[Item, ...]], ...] = (
    (
        "Title, abstract, introduction",
        (
            Item("1", "1", "Which kind of AI it is, in the title or abstract", _methods_used),
            Item("2", "2", "A structured abstract"),
            Item("3", "3a to 3c", "The medical question, who will use the model, what is known of unequal care"),
            Item("4", "4", "Aims and hypotheses"),
        ),
    ),
    (
        "Data",
        (
            Item("5", "5a", "Whether the study looks forward or back"),
            Item("6", "4", "The goal: feasibility, development, evaluation"),
            Item("7", "5a, 5b", "Where the data come from, and of which dates", _sources),
            Item("8", "6a, 6b", "Who was included and who was not"),
            Item("9", "7", "How the pixels were prepared", _preprocessing),
            Item("10", "9a", "Which parts of the data were taken, such as slices or series"),
            Item("11", "17", "How identifiers were removed", _identifiers),
            Item("12", "11", "What was done about missing data", _missing),
            Item("13", "9a", "How the scans were acquired"),
        ),
    ),
    (
        "Reference standard",
        (
            Item("14", "8a", "What counts as the truth"),
            Item("15", "8a", "Why that, and what is wrong with it"),
            Item("16", "8b", "Who labelled, with what training"),
            Item("17", "8c", "How the test set was labelled, and whether the model's answer was hidden"),
            Item("18", "8b", "How far those who labelled agree"),
        ),
    ),
    (
        "Partitions and sample",
        (
            Item("19", "12a", "How the data were split", _partitions),
            Item("20", "12a", "At which level the parts are disjoint", _disjoint),
            Item("21", "10", "Why so many test scans: the size that was planned"),
        ),
    ),
    (
        "Model and training",
        (
            Item("22", "12c, 22", "The model, so that it can be rebuilt", _methods_used),
            Item("23", "18f", "Software and its versions", _software),
            Item("24", "12c", "Where its weights start", _start),
            Item("25", "12c", "How it was trained: augmentation, settings", _training),
            Item("", "13", "Classes of unequal size", _balance),
            Item("26", "12c", "How the final model was chosen", _chosen),
            Item("27", "12c", "Ensembles, if any"),
        ),
    ),
    (
        "Evaluation",
        (
            Item("28", "12e", "What is measured", _metrics),
            Item("29", "12e", "How sure the numbers are", _uncertainty),
            Item("30", "12d, 14", "Robustness, and differences between groups and sites", _sensitivity),
            Item("31", "15", "Explanations, and how they were checked", _looked),
            Item("32, 33", "12a, 16", "Internal or external data", _external),
            Item("34", "18d", "Registration of the study"),
        ),
    ),
    (
        "Results",
        (
            Item("35", "20a", "How many were measured on and left out", _flow),
            Item("36", "20b, 20c", "Age, sex and disease in each part"),
            Item("37", "23a", "Performance and its uncertainty", _performance),
            Item("38", "23a", "Diagnostic performance at the threshold", _diagnostic),
            Item("39", "23b", "Where it fails", _failures),
        ),
    ),
    (
        "Discussion and other",
        (
            Item("40", "26", "Limitations", _limits),
            Item("41", "25, 27a to 27c", "What follows for practice"),
            Item("42", "18c", "The protocol"),
            Item("43", "18e, 18f", "Where software, model and data can be had"),
            Item("44", "18a, 18b", "Funding and interests"),
            Item("", "19", "What patients and the public had to say in it"),
        ),
    ),
)


def checklist(data: ReportData) -> tuple[Section, ...]:
    """Every item with what this Run says to it, or nothing, where only its user can know."""
    return tuple(
        Section(title, tuple(Statement(i.asks, i.answer(data) if i.answer else "", _where(i)) for i in items))
        for title, items in ITEMS
    )


def _where(item: Item) -> str:
    named = [f"CLAIM {item.claim}"] if item.claim else []
    return ", ".join([*named, f"TRIPOD+AI {item.tripod}"])
