"""The figures of the report: each function draws one, from plain data, and returns it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from medtl.measures import reliability_curve
from medtl.reports.contents import ModelResult, Projection, ReportData
from medtl.reports.curves import roc_band, said
from medtl.reports.drawing import styled
from medtl.reports.palette import (
    ADAPTED,
    CLASS_MARKERS,
    FINE_TUNED,
    INK,
    MUTED,
    OTHERS,
    SOURCE_ONLY,
    model_colours,
    site_colours,
)

#: Columns of a training log that are no loss; the last line holds the `measures` of methods.
NOT_LOSSES = {"phase", "epoch", "step", "progress", "lr", "learning_rate", "seconds", "time",
              "source_auroc", "target_information", "data_wait",
              "domain_accuracy", "sure", "diversity", "restored", "source_norm", "target_norm"}  # fmt: skip
#: So begins that of MDAN, one a source site.
NOT_LOSSES_EITHER = "share_of_source_"


@styled
def roc(data: ReportData) -> Figure:
    """A ROC curve a model, with the band of the one handed over; its operating point is marked."""
    colours = model_colours([m.name for m in data.models])
    figure, axes = _square()
    axes.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=(0, (2, 3)))
    axes.annotate("chance", (0.66, 0.62), color=MUTED, fontsize=8.5, rotation=45, ha="center", va="center")
    for model in sorted(data.models, key=lambda m: m is data.handed_over):
        curve = roc_band(data.label, model.probabilities, data.patient)
        main = model is data.handed_over
        if main:
            axes.fill_between(curve.false_positive, curve.low, curve.high, color=colours[model.name], alpha=0.16, lw=0)
        axes.plot(
            curve.false_positive,
            curve.sensitivity,
            color=colours[model.name],
            lw=2.2 if main else 1.4,
            label=f"{model.name}  {_number(model.metrics.get('auroc'))}",
        )
    sensitivity, specificity = data.handed_over.metrics.get("sensitivity"), data.handed_over.metrics.get("specificity")
    if len(data.classes) == 2 and sensitivity is not None and specificity is not None:
        colour = colours[data.handed_over.name]
        axes.plot(1 - specificity, sensitivity, "o", ms=7, color="white", mec=colour, mew=2, label="at the threshold")
    _legend(axes, [*(m.name for m in data.models), "at the threshold"])
    axes.set(xlabel="False alarms among the others", ylabel=_found(data))
    _percent(axes)
    return figure


@styled
def reliability(model: ModelResult, data: ReportData) -> Figure:
    """What the model says against what is seen, before and after calibration, over a histogram of what it says."""
    colour = model_colours([m.name for m in data.models])[model.name]
    figure = Figure(figsize=(3.55, 4.1), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(4.2, 1))
    _said_and_seen(axes, model, data, colour)
    axes.annotate("says too little", (0.05, 0.93), color=MUTED, fontsize=8.5, va="top")
    axes.annotate("says too much", (0.95, 0.07), color=MUTED, fontsize=8.5, ha="right", va="bottom")
    axes.legend(loc="upper left", bbox_to_anchor=(-0.02, 1.2), ncols=2, fontsize=8.5, handlelength=1.6, columnspacing=1)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel="Share that it is so")
    below.hist(
        said(data.label, model.probabilities),
        bins=np.linspace(0, 1, 21).tolist(),
        color=colour,
        alpha=0.55,
        rwidth=0.86,
    )
    below.grid(False)
    below.spines["left"].set_visible(False)
    below.set(xlabel=_says(data), yticks=[])
    below.set_ylabel(data.counted, fontsize=8.5)
    _percent(axes)
    return figure


@styled
def sites(data: ReportData) -> Figure:
    """AUROC and its interval, a row a model and site."""
    colours = model_colours([m.name for m in data.models])
    names = list(dict.fromkeys(str(s) for s in data.site))
    rows = [(site, m) for site in names for m in data.models if m.sites.get(site, {}).get("auroc") is not None]
    figure = Figure(figsize=(4.7, 0.75 + 0.34 * len(rows) + 0.12 * len(names)), layout="constrained")
    axes = figure.subplots()
    heights, labels, y, last = [], [], 0.0, None
    for site, model in rows:
        y += 1.0 if site == last else 1.35
        last = site
        _dot(axes, y, model.sites[site], colours[model.name], model is data.handed_over)
        heights.append(y)
        labels.append(f"{site} · {model.name}" if len(names) > 1 else model.name)
    axes.axvline(0.5, color=MUTED, lw=0.8, ls=(0, (2, 3)))
    axes.set(ylim=(y + 0.7, 0.6), xlabel="AUROC with 95 % interval (0.5 is chance)")
    axes.set_yticks(heights, labels, color=INK)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    axes.set_xlim(max(0.0, min(0.45, axes.get_xlim()[0])), 1.0)
    return figure


@styled
def features(projection: Projection, when: str) -> Figure:
    """One side of the projection: `when` is "before" or "after". Sites by colour; classes, where known, by marker."""
    points = projection.before if when == "before" else projection.after
    names = list(dict.fromkeys(str(s) for s in projection.site))
    classes = sorted({str(c) for c in projection.label} - {""})
    colours = site_colours(names)
    entries = [
        (site, name)
        for site in names
        for name in sorted({str(c) for c in projection.label[projection.site == site]} - {""}) or [""]
    ]
    texts = [f"{site} · {name}" if name else site for site, name in entries]
    columns = max(1, min(3, 54 // (max(map(len, texts)) + 3)))  # as many as are as wide as the figure
    rows = -(-len(texts) // columns)
    figure = Figure(figsize=(4.3, 4.1 + 0.2 * rows), layout="constrained")  # many classes keep their plot
    axes = figure.subplots()
    rng = np.random.default_rng(0)
    order = rng.permutation(len(points))  # so that no site lies on top of the other
    faces = np.array([colours[str(projection.site[i])] for i in order])
    for number, name in enumerate(["", *classes]):
        mine = np.array([str(projection.label[i]) == name for i in order], dtype=bool)
        marker = _marker(number)
        x, y = points[order][mine].T
        width = 0.9 if marker == "x" else 0.0
        axes.scatter(x, y, c=faces[mine].tolist(), marker=marker, s=17, alpha=0.72, linewidths=width)
    for (site, name), text in zip(entries, texts, strict=True):
        marker = _marker(0 if name == "" else 1 + classes.index(name))
        axes.plot([], [], marker, color=colours[site], ms=6, label=text)
    low, high = np.quantile(points, [0.005, 0.995], axis=0)
    pad = 0.08 * (high - low)
    axes.set(xlim=(low[0] - pad[0], high[0] + pad[0]), ylim=(low[1] - pad[1], high[1] + pad[1]))
    axes.set(xticks=[], yticks=[], xlabel=f"{projection.how}, first axis", ylabel="second axis")
    axes.grid(False)
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=columns, fontsize=8.5, handletextpad=0.2, columnspacing=1
    )
    return figure


def losses_of(log: pd.DataFrame) -> list[str]:
    """The columns of a training log that are losses, with two values at least: fewer make no line."""
    names = [c for c in log.columns if c not in NOT_LOSSES and not str(c).startswith(NOT_LOSSES_EITHER)]
    return [c for c in names if pd.api.types.is_numeric_dtype(log[c]) and log[c].notna().sum() > 1]


@styled
def losses(log: pd.DataFrame) -> Figure:
    """The losses by step, smoothed over a twentieth of the training; phases follow one another."""
    names = losses_of(log)
    figure, axes = _wide()
    step = _steps(log)
    for name, colour in zip(names, (ADAPTED, FINE_TUNED, *OTHERS, SOURCE_ONLY) * len(names), strict=False):
        value = log[name]
        axes.plot(step, value, color=colour, lw=0.6, alpha=0.25)
        axes.plot(step, _smooth(value, log), color=colour, lw=1.8, label=name.replace("_", " "))
    _phases(axes, log)
    axes.legend(loc="upper right", fontsize=8.5, ncols=min(3, max(1, len(names))))
    axes.set(xlabel="Step", ylabel="Loss", xlim=(0, max(1, step.max())))
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    return figure


@styled
def discriminator(log: pd.DataFrame) -> Figure:
    """How often the discriminator reads the site off the features: at one half, it no longer can."""
    figure, axes = _wide()
    step = _steps(log)
    axes.axhline(0.5, color=MUTED, lw=0.8, ls=(0, (2, 3)))
    axes.annotate("sites mixed", (0.99, 0.5), (0, -3), xycoords=("axes fraction", "data"), textcoords="offset points",
                  color=MUTED, fontsize=8.5, ha="right", va="top")  # fmt: skip
    axes.plot(step, log["domain_accuracy"], color=ADAPTED, lw=0.6, alpha=0.25)
    axes.plot(step, _smooth(log["domain_accuracy"], log), color=ADAPTED, lw=1.8)
    _phases(axes, log)
    axes.set(xlabel="Step", ylabel="Right about the site", xlim=(0, max(1, step.max())), ylim=(0.3, 1.02))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    return figure


@styled
def summary(data: ReportData) -> Figure:
    """One picture for a README: AUROC with interval of every model, and whether the handed-over one is honest."""
    colours = model_colours([m.name for m in data.models])
    figure = Figure(figsize=(8.6, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    for y, model in enumerate(data.models):
        value, (low, high) = model.metrics["auroc"], _interval(model.metrics)
        left.barh(y, value - 0.5, left=0.5, height=0.56, color=colours[model.name], alpha=0.9)
        left.plot([low, high], [y, y], color=INK, lw=1.6)
        left.annotate(
            f"{value:.2f}", (max(high, value), y), (6, 0), textcoords="offset points", va="center", weight="bold"
        )
    left.set_yticks(range(len(data.models)), [m.name for m in data.models], color=INK)
    left.invert_yaxis()
    lowest = min(_interval(m.metrics)[0] for m in data.models)
    left.set(xlim=(min(0.5, lowest - 0.02), 1.0), xlabel="AUROC, 95 % interval", title=data.title)
    left.grid(axis="y", visible=False)
    main = data.handed_over
    _said_and_seen(right, main, data, colours[main.name])
    right.legend(loc="upper left", fontsize=8.5)
    right.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=_says(data), ylabel="Share that it is so", aspect="equal")
    right.set_title(f"Reliability, {main.name}")
    _percent(right)
    return figure


def _square() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4.3, 4.3), layout="constrained")
    return figure, figure.subplots()


def _wide() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4.7, 2.9), layout="constrained")
    return figure, figure.subplots()


def _said_and_seen(axes: Axes, model: ModelResult, data: ReportData, colour: str) -> None:
    before = reliability_curve(data.label, model.uncalibrated)
    after = reliability_curve(data.label, model.probabilities)
    axes.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=(0, (2, 3)))
    axes.plot(before.predicted, before.observed, "s-", color=MUTED, lw=1, ms=4, mfc="white", label="before calibration")
    axes.fill_between(after.predicted, after.low, after.high, color=colour, alpha=0.14, lw=0)
    axes.vlines(after.predicted, after.low, after.high, color=colour, lw=1.2, alpha=0.35)
    axes.plot(after.predicted, after.observed, "o-", color=colour, lw=2, ms=5.5, label="after calibration")


def _percent(axes: Axes) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))
        axis.set_major_formatter(PercentFormatter(1.0))


def _legend(axes: Axes, order: Sequence[str]) -> None:
    handles, labels = axes.get_legend_handles_labels()
    ranks = [next((i for i, name in enumerate(order) if label.startswith(name)), 99) for label in labels]
    pairs = [pair for _, pair in sorted(zip(ranks, zip(handles, labels, strict=True), strict=True), key=lambda x: x[0])]
    axes.legend([h for h, _ in pairs], [label for _, label in pairs], loc="lower right", title="AUROC", fontsize=9,
                title_fontsize=8.5, alignment="right")  # fmt: skip


def _dot(axes: Axes, y: float, metrics: Mapping[str, Any], colour: str, main: bool) -> None:
    value, (low, high) = metrics["auroc"], _interval(metrics)
    axes.plot([low, high], [y, y], color=colour, lw=2 if main else 1.4)
    axes.plot(value, y, "o", ms=8 if main else 6, color=colour if main else "white", mec=colour, mew=1.6)


def _interval(metrics: Mapping[str, Any]) -> tuple[float, float]:
    """Of the AUROC; no wider than a dot where there are too few patients for one."""
    low, high = metrics.get("auroc_ci") or (metrics["auroc"], metrics["auroc"])
    return low, high


def _marker(number: int) -> str:
    """0 is a scan whose label was not seen."""
    return "o" if number == 0 else CLASS_MARKERS[(number - 1) % len(CLASS_MARKERS)]


def _phases(axes: Axes, log: pd.DataFrame) -> None:
    if "phase" not in log:
        return
    phase, step = log["phase"].astype(str).to_numpy(), _steps(log)
    starts = [0, *(np.flatnonzero(phase[1:] != phase[:-1]) + 1)]
    for start in starts:
        at = step[start - 1] if start else 0
        if start:
            axes.axvline(at, color=MUTED, lw=0.7)
        axes.annotate(str(phase[start]).replace("_", " "), (at, 1.0), (3, 2), xycoords=("data", "axes fraction"),
                      textcoords="offset points", color=MUTED, fontsize=8.5, va="bottom")  # fmt: skip


def _steps(log: pd.DataFrame) -> np.ndarray:
    """(rows,) optimiser steps since the first phase began; each phase counts its own from 0."""
    if "step" not in log:
        return np.arange(len(log))
    step = log["step"].to_numpy(float)
    if "phase" not in log:
        return step
    phase = log["phase"].astype(str).to_numpy()
    begins = np.flatnonzero(np.r_[False, phase[1:] != phase[:-1]])
    before = np.zeros(len(log))
    for begin in begins:
        before[begin:] += step[begin - 1]
    return step + before


def _smooth(value: pd.Series, log: pd.DataFrame) -> pd.Series:
    """A moving mean over a twentieth of the training, within each phase."""
    window = max(1, len(value) // 20)
    phase = log["phase"] if "phase" in log else pd.Series(0, index=log.index)
    mean = value.groupby(phase).transform(lambda part: part.rolling(window, center=True, min_periods=1).mean())
    return mean.where(value.notna())


def _found(data: ReportData) -> str:
    return f"Share of {data.classes[1]} {data.counted} found" if len(data.classes) == 2 else "Found (mean over classes)"


def _says(data: ReportData) -> str:
    return f"Probability of {data.classes[1]}" if len(data.classes) == 2 else "Probability of its answer"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
