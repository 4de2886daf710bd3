"""From what was measured to one HTML file that opens with no network."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from medtl.reports import alignment, decisions, examples, figures, tables, weights
from medtl.reports.candidates import WORDS, candidates_of
from medtl.reports.contents import ModelResult, ReportData
from medtl.reports.drawing import picture_uri, svg
from medtl.reports.palette import VERDICTS, model_colours
from medtl.reports.papers import papers

A_PATH = re.compile(r"(?<![\w.:/<])(?:~|[A-Za-z]:)?[/\\](?:[\w.+@ -]+[/\\])*[\w.+@-]+(?:[/\\])?")


#: What `calibration` holds, and what a reader calls it.
CALIBRATION_NAMES = (
    ("Calibration error (ECE), bins of one width", "ece"),
    ("the same, less what a perfect model shows", "ece_excess"),
    ("Calibration error, bins of one size", "ece_equal_mass"),
    ("the same, less what a perfect model shows", "ece_equal_mass_excess"),
    ("Class by class", "classwise_ece"),
    ("Largest gap (Kolmogorov-Smirnov)", "ks"),
    ("Brier score", "brier"),
    ("of it, miscalibration", "reliability"),
    ("of it, gained by telling apart (taken off)", "resolution"),
    ("of it, what cannot be known from the share alone", "uncertainty"),
    ("of it, within the bins", "within"),
    ("Log loss (NLL)", "nll"),
    ("Sharpness: how much the probabilities vary", "sharpness"),
)
TOLD = (tables.in_a_thousand, tables.rule_of, tables.told_apart, tables.p_value, tables.shaded)


def render(data: ReportData) -> str:
    """The report as HTML: styles, figures and pictures inside, no script, no address of anywhere else."""
    page = Environment(
        loader=PackageLoader("medtl.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.filters.update(num=number, percent=percent, tidy=tidy, excess=excess, interval=interval, signed=signed)
    page.filters.update({each.__name__: each for each in TOLD}, known=lambda bounds: np.isfinite(bounds).all())
    main = data.handed_over
    return page.get_template("report.html.j2").render(
        data=data,
        main=main,
        verdict=VERDICTS[data.verdict],
        colours=model_colours([m.name for m in data.models]),
        site_names=list(dict.fromkeys(str(s) for s in data.site)),
        shares=_shares(data),
        points=tables.operating_tables(data),
        tried=None if data.compares_runs else candidates_of(data.decision),
        score_words=WORDS,
        distances=[] if data.adapting is None else alignment.by_measure(data.adapting, data.classes),
        calibration_names=CALIBRATION_NAMES,
        documents=papers(data),
        figures=_figures(data),
        weight_rows=[]
        if data.source_weights is None
        else list(zip(data.source_weights.most, data.source_weights.least, strict=True)),
        examples=[_example(e) for e in data.examples],
        signals=_signals(data.decision.get("signals", {})),
        config=_as_text(data.config),
        recipe=_as_text(data.recipe),
        provenance=_as_text(data.provenance),
    )  # fmt: skip


def number(value: float | None, digits: int = 2) -> Markup:
    """A number to read, with the whole number for machines in `value`: the table is checked against metrics.json."""
    if value is None or not np.isfinite(value):
        return Markup("–")
    return Markup(f'<data value="{float(value)!r}">{value:.{digits}f}</data>')


def interval(bounds: Sequence[float] | None, digits: int = 2) -> Markup:
    """As `number`, from one to the other."""
    return Markup(" to ").join(number(bound, digits) for bound in bounds) if bounds else Markup("–")


def signed(value: float | None, digits: int = 3) -> Markup:
    """As `number`, with its sign: a difference."""
    if value is None or not np.isfinite(value):
        return Markup("–")
    return Markup(f'<data value="{float(value)!r}">{f"{value:+.{digits}f}".replace("-", "−")}</data>')


def excess(value: float | None, digits: int = 2) -> Markup:
    """As `number`; below 0, which is as good as perfect, it reads as 0."""
    shown = number(value, digits)
    return shown if value is None or not value < 0 else Markup(f'<data value="{float(value)!r}">{0:.{digits}f}</data>')


def percent(value: float | None) -> Markup:
    """As `number`, read as a percentage."""
    if value is None or not np.isfinite(value):
        return Markup("–")
    return Markup(f'<data value="{float(value)!r}">{100 * value:.0f}&#8239;%</data>')


def tidy(text: object) -> str:
    """Free text with local paths taken out: where a file lies is nobody's business but the machine's."""
    return A_PATH.sub("(a local path)", str(text))


def _shares(data: ReportData) -> list[tuple[str, int]]:
    if data.label.ndim == 2:
        return [(name, int(np.nansum(data.label[:, k]))) for k, name in enumerate(data.classes)]
    return [(name, int((data.label == k).sum())) for k, name in enumerate(data.classes)]


def answers(model: ModelResult) -> np.ndarray:
    """(N,) class numbers: at the threshold where there are two classes and there is one, else the top class."""
    threshold = model.metrics.get("threshold")
    if model.probabilities.shape[1] == 2 and isinstance(threshold, (int, float)):
        return (model.probabilities[:, 1] >= threshold).astype(int)
    return model.probabilities.argmax(axis=1)


def _figures(data: ReportData) -> dict[str, Any]:
    drawn: dict[str, Any] = {
        "roc": Markup(svg(figures.roc(data), "roc", "ROC curves of the compared models")),
        "sites": Markup(svg(figures.sites(data), "sites", "AUROC and interval by site and model")),
        "reliability": [
            (m.name, Markup(svg(figures.reliability(m, data), f"rel{i}", f"Reliability of {m.name}")))
            for i, m in enumerate(data.models)
        ],
        "benefit": [
            (curve.of, Markup(svg(decisions.benefit(data, i), f"benefit{i}", f"Net benefit of acting on {curve.of}")))
            for i, curve in enumerate(data.handed_over.benefit)
        ],
        "referral": None
        if data.handed_over.doubt is None
        else Markup(svg(decisions.referral(data), "referral", "Errors left by share of scans kept")),
    }
    if data.source_weights is not None:
        text = "How many source scans count how much"
        drawn["weights"] = Markup(svg(weights.histogram(data.source_weights), "weights", text))
    if data.projection is not None:
        for when in ("before", "after"):
            text = f"Features of both sites {when} adaptation"
            drawn[when] = Markup(svg(figures.features(data.projection, when), when, text))
    if data.log is not None and figures.losses_of(data.log):
        drawn["losses"] = Markup(svg(figures.losses(data.log), "losses", "Losses by step"))
        if "domain_accuracy" in data.log and data.log["domain_accuracy"].notna().sum() > 1:
            drawn["discriminator"] = Markup(
                svg(figures.discriminator(data.log), "disc", "Accuracy of the domain discriminator by step")
            )
    return drawn


def _example(example: Any) -> dict[str, Any]:
    return {
        "scan": picture_uri(examples.picture(example)),
        "map": None if example.saliency is None else picture_uri(examples.overlay(example)),
        "strip": None
        if example.weights is None or len(example.weights) < 2
        else examples.strip(example.weights, example.instance, example.part),
        "about": example,
    }


def _signals(signals: Mapping[str, Any]) -> list[tuple[str, Markup]]:
    rows = []
    for name, value in signals.items():
        if isinstance(value, bool):
            shown = Markup("yes" if value else "no")
        elif isinstance(value, (int, float)):
            shown = number(float(value), 3 if isinstance(value, float) else 0)
        elif (
            isinstance(value, Sequence)
            and not isinstance(value, str)
            and all(isinstance(v, (int, float)) for v in value)
        ):
            shown = Markup(", ").join(number(float(v), 3) for v in value)
        elif isinstance(value, Mapping):
            rows += [(f"{name}: {inner}", shown) for inner, shown in _signals(value)]
            continue
        else:
            shown = escape(tidy(value))
        rows.append((name.replace("_", " "), shown))
    return rows


def _as_text(value: Mapping[str, Any]) -> str:
    if not value:
        return ""
    return tidy_lines(yaml.safe_dump(_plain(value), sort_keys=False, allow_unicode=True, width=88))


def tidy_lines(text: str) -> str:
    """`tidy`, line by line."""
    return "\n".join(tidy(line) for line in text.splitlines())


def _plain(value: Any) -> Any:
    """Only what YAML writes in one plain way; long lists are cut."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        kept = [_plain(v) for v in list(value)[:12]]
        return kept if len(value) <= 12 else [*kept, f"... {len(value)} in all"]
    if isinstance(value, np.generic):
        return value.item()
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
