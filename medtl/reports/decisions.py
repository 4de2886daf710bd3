"""What acting on a model brings, drawn: net benefit by threshold, and errors left when the doubtful go to a reader."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from medtl.reports.contents import ReportData
from medtl.reports.drawing import styled
from medtl.reports.palette import MUTED, model_colours

SHOWN_TO = 0.8  # thresholds; nobody acts only when surer than that, and so few scans are that the curve is noise


@styled
def benefit(data: ReportData, number: int) -> Figure:
    """Net benefit a hundred scans by the threshold from which on one acts, for the class `number` of `benefit`."""
    colours = model_colours([m.name for m in data.models])
    figure = Figure(figsize=(4.3, 3.4), layout="constrained")
    axes = figure.subplots()
    main = data.handed_over.benefit[number]
    shown = main.threshold <= SHOWN_TO
    threshold = main.threshold[shown]
    axes.axhline(0, color=MUTED, lw=0.9)
    axes.plot(
        threshold, 100 * main.treat_all[shown], color=MUTED, lw=1.1, ls=(0, (4, 3)), label=f"act on all {data.counted}"
    )
    highest = 100 * float(main.treat_all[0])
    for model in sorted(data.models, key=lambda m: m is data.handed_over):
        value = 100 * model.benefit[number].net_benefit[shown]
        axes.plot(
            threshold, value, color=colours[model.name], lw=2.2 if model is data.handed_over else 1.4, label=model.name
        )
        highest = max(highest, float(np.nanmax(value)))
    axes.annotate("act on none", (0.01, 0), (0, -3), textcoords="offset points", color=MUTED, fontsize=8.5, va="top")
    _legend(axes)
    axes.set(xlim=(0, SHOWN_TO), ylim=(-0.15 * highest, 1.12 * highest))
    axes.set(xlabel=f"One acts from this probability of {main.of} on", ylabel=f"Net benefit per 100 {data.counted}")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    return figure


@styled
def referral(data: ReportData) -> Figure:
    """Errors on the scans that the model keeps, by how many it keeps, the surest first."""
    colours = model_colours([m.name for m in data.models])
    figure = Figure(figsize=(4.3, 3.4), layout="constrained")
    axes = figure.subplots()
    highest = 0.0
    for model in sorted(data.models, key=lambda m: m is data.handed_over):
        if model.doubt is None:
            continue
        main = model is data.handed_over
        axes.plot(model.doubt.coverage, model.doubt.risk, color=colours[model.name], lw=2.2 if main else 1.4,
                  label=model.name)  # fmt: skip
        enough = model.doubt.coverage >= 0.1  # the error rate of a handful of scans jumps
        highest = max(highest, float(np.max(model.doubt.risk[enough], initial=0)))
        if main:
            kept = 1 - model.doubt.share
            axes.axvline(kept, color=MUTED, lw=0.8, ls=(0, (2, 3)))
            axes.plot(kept, 1 - model.doubt.accuracy_kept, "o", ms=7, color="white", mec=colours[model.name], mew=2)
            axes.annotate(f"{100 * model.doubt.share:.0f} % to a reader", (kept, 1), (-4, -4), va="top", ha="right",
                          xycoords=("data", "axes fraction"), textcoords="offset points", color=MUTED,
                          fontsize=8.5)  # fmt: skip
    _legend(axes)
    axes.set(xlim=(0, 1.01), ylim=(0, max(0.05, 1.35 * highest)))
    axes.set(xlabel=f"Share of {data.counted} that it keeps, surest first", ylabel="Wrong among those")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    return figure


def _legend(axes: Axes) -> None:
    """Above the plot, where no line runs."""
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, fontsize=8.5, handlelength=1.6, columnspacing=1.2
    )
