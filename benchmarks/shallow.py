"""Shallow methods on frozen ImageNet features: what each is worth at the next hospital, in seconds.

    python benchmarks/shallow.py features        once: every site's scans through the frozen network
    python benchmarks/shallow.py table [--pairs brazil-egypt,...]

Five folds of the target's patients: a method sees four fifths of the target's scans, unlabelled, and the source's
labels; the numbers are of the fifth that it has not seen, the mean of five. Rows are kept, so that a run that was cut
goes on.
"""

from __future__ import annotations

import argparse
import datetime
import inspect
import sys
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _frozen import RECIPE
from _networks import cached, network
from _rows import RESULTS, Rows, machine, markdown
from hospital_shift import DATA
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold

from medtl.data import Cohort
from medtl.intensity import RECIPES
from medtl.measures import auroc
from medtl.methods.features import FeatureMethod, Labelled, Space, reduced, together
from medtl.methods.importance import WEIGHTS
from medtl.methods.shallow import FEATURE_METHODS
from medtl.models.batch_statistics import for_site
from medtl.runs.predict import outputs
from medtl.scans import Manifest

FOLDER = RESULTS / "shallow"
SITES = {
    "ultrasound": ("brazil", "egypt", "poland"),
    "tb": ("new-delhi", "yakutia"),
    "cxr": ("guangzhou", "nih"),
    "cells": ("barcelona", "jiangxi", "cellavision"),
}
#: Of Guangzhou's 5,840 children, as many as the other sets have.
MOST = 2000
FOLDS = 5
#: "ImageNet's": the network as it comes; "the site's": with the batch statistics of the site, as `medtl adapt` has it.
STATISTICS = ("imagenet", "site")


class Seen(NamedTuple):
    """A site's scans as the frozen network describes them."""

    features: np.ndarray  # (N, 1280)
    label: np.ndarray  # (N,) names
    patient: np.ndarray  # (N,)


def table_of(folder: str, site: str) -> pd.DataFrame:
    """labels.csv of one site, at most 2,000 of it."""
    frame = pd.read_csv(DATA / folder / "labels.csv", dtype=str)
    frame = frame[frame.site == site]
    frame = frame.sample(n=min(MOST, len(frame)), random_state=0).sort_index().reset_index(drop=True)
    if "patient" not in frame:
        frame["patient"] = [f"{site}-{number}" for number in range(len(frame))]
    return frame


def seen(folder: str, site: str, statistics: str) -> Seen:
    """Computed once."""
    frame = table_of(folder, site)

    def work() -> dict[str, np.ndarray]:
        plain = {"study": "", "series": "", "site": site, "label": "", "split": "train", "status": "ok", "reason": ""}
        names = [f"{site}-{number}" for number in frame.index]
        paths = [str(DATA / folder / file) for file in frame.file]
        whole = pd.DataFrame({"scan_id": names, "patient": frame.patient, "path": paths, **plain})
        files = {name: (Path(path),) for name, path in zip(names, paths, strict=True)}
        cohort = Cohort(Manifest(whole, files), RECIPES[RECIPE[folder]])
        if cohort.failed:
            raise ValueError(f"{site}: {cohort.failed}")
        classifier = network("imagenet", channels=cohort.recipe.channels)
        if statistics == "site":
            classifier = for_site(classifier, cohort, classifier.fixed)
        return {"features": outputs(classifier, cohort, f"{site}, {statistics}")[1].astype(np.float16)}

    features = cached(FOLDER / f"{site}-{statistics}.npz", work)["features"].astype(float)
    return Seen(features, frame.label.to_numpy(str), frame.patient.to_numpy(str))


class Pair(NamedTuple):
    """A source and a target of one set."""

    folder: str
    source: str
    target: str

    @property
    def name(self) -> str:
        """Such as "brazil-egypt"."""
        return f"{self.source}-{self.target}"


ULTRASOUND = SITES["ultrasound"]
PAIRS = [
    *[Pair("ultrasound", one, other) for one in ULTRASOUND for other in ULTRASOUND if one != other],
    Pair("tb", "new-delhi", "yakutia"),
    Pair("tb", "yakutia", "new-delhi"),
    Pair("cells", "barcelona", "jiangxi"),
    Pair("cells", "barcelona", "cellavision"),
    Pair("cxr", "guangzhou", "nih"),
    Pair("cxr", "nih", "guangzhou"),
]


class Logistic(FeatureMethod):
    """Nothing done about the site."""

    def align(self, source: Labelled, target: np.ndarray) -> Space:
        """Both sites as they are."""
        return reduced(together(source, target))


METHODS: dict[str, tuple[type[FeatureMethod], dict[str, str]]] = {
    "logistic regression": (Logistic, {}),
    **{name: (method, {}) for name, method in FEATURE_METHODS.items() if name != "reweighted"},
    **{f"reweighted, {by}": (FEATURE_METHODS["reweighted"], {"by": by}) for by in WEIGHTS},
}
UPPER = "target labels"


def worth(pair: Pair, name: str, statistics: str) -> dict[str, list[float]]:
    """What a method is worth on each fifth of the target's patients, and how long it took."""
    source, target = seen(pair.folder, pair.source, statistics), seen(pair.folder, pair.target, statistics)
    names = sorted(set(source.label) | set(target.label))
    ours, theirs = (np.searchsorted(names, each.label) for each in (source, target))
    scores, seconds = [], []
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a basophil in one fold only
        splits = list(folds.split(theirs, theirs, target.patient))
    for here, test in splits:
        began = time.process_time()
        if name == UPPER:
            one, label, patient, method = target.features[here], theirs[here], target.patient[here], Logistic()
        else:
            one, label, patient = source.features, ours, source.patient
            method = METHODS[name][0](**METHODS[name][1])
        n, m = len(one), len(here)
        fitted = method.fit(
            np.concatenate([one, target.features[here]]),
            np.concatenate([label, np.full(m, -1)]),
            np.repeat([1, 0], [n, m]),
            patients=np.concatenate([patient, target.patient[here]]),
            classes=len(names),
        )
        seconds.append(time.process_time() - began)
        logits = fitted.at_target(target.features[test])
        scores.append(
            auroc(theirs[test], logits[:, 1] - logits[:, 0])
            if len(names) == 2
            else float(balanced_accuracy_score(theirs[test], logits.argmax(axis=1)))
        )
    return {"scores": scores, "seconds": seconds}


def table(pairs: list[Pair], statistics: str) -> None:
    """Print it, measuring what is not measured yet."""
    rows = Rows(RESULTS / "shallow.jsonl")
    found: dict[str, dict[str, np.ndarray]] = {}
    seconds: dict[str, list[float]] = {}
    for pair in pairs:
        for name in [*METHODS, UPPER]:
            options = {} if name == UPPER else defaults(name)
            key = {"pair": pair.name, "method": name, "options": options, "statistics": statistics, "folds": FOLDS}
            row = rows.row(key, lambda pair=pair, name=name: worth(pair, name, statistics))["result"]
            found.setdefault(name, {})[pair.name] = np.array(row["scores"])
            seconds.setdefault(name, []).extend(row["seconds"])
            print(pair.name, name, round(float(np.mean(row["scores"])), 3), file=sys.stderr, flush=True)
    print(f"\n{machine()}, {datetime.date.today().isoformat()}; batch statistics: {statistics}\n")
    lines = [
        [name, *[f"{each.mean():.3f} ± {each.std():.3f}" for each in scores.values()], f"{np.mean(seconds[name]):.1f}"]
        for name, scores in found.items()
    ]
    print(markdown(["method", *[pair.name for pair in pairs], "s"], lines))


def defaults(name: str) -> dict[str, object]:
    """The options that a row was measured with."""
    method, told = METHODS[name]
    parameters = inspect.signature(method).parameters.values()
    return {each.name: told.get(each.name, each.default) for each in parameters}


def main() -> None:
    """Features, or the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["features", "table"])
    parser.add_argument("--pairs", help="such as brazil-egypt,egypt-brazil; all unless told")
    parser.add_argument("--statistics", choices=STATISTICS, default="imagenet")
    told = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if told.what == "table":
        table([p for p in PAIRS if told.pairs is None or p.name in told.pairs.split(",")], told.statistics)
        return
    for folder, sites in SITES.items():
        for site in sites:
            for statistics in STATISTICS:
                print(site, statistics, seen(folder, site, statistics).features.shape, flush=True)


if __name__ == "__main__":
    main()
