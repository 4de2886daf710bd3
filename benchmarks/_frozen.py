"""Frozen features of whole data sets, and the questions that can be asked of them: for heads that train in seconds."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _networks import cached, network
from _rows import RESULTS
from hospital_shift import CONFIG, DATA, PAIRS, Pair

from medtl.data import Cohort
from medtl.intensity import RECIPES
from medtl.models import create_backbone
from medtl.models.batch_statistics import for_site
from medtl.models.layers import Layered, layered
from medtl.runs.predict import outputs
from medtl.scans import Manifest

FOLDER = RESULTS / "learning_curve"
#: The pairs whose targets are reported; every choice was made on other data.
REPORTED = ("brazil-egypt", "new-delhi-yakutia", "guangzhou-nih")
#: Pictures of one kind and group at most, where there are thousands.
MOST = {"guangzhou": 200, "brazil": 300, "barcelona": 120, "pacs": 60}
RECIPE = {"ultrasound": "ultrasound", "tb": "radiograph", "cxr": "radiograph", "cells": "picture", "pacs": "picture"}


@dataclass(frozen=True)
class Frozen:
    """What a network gives for scans.

    Attributes:
        logits: float (N, 2).
        features: float (N, F), of several layers, as the strategy `layers` reads them.
        label: int (N,) 0 or 1.
        patient: (N,) names.
        views: of the features, as `medtl.models.layers` has them.
    """

    logits: np.ndarray
    features: np.ndarray
    label: np.ndarray
    patient: np.ndarray
    views: list[list[slice]]


@dataclass(frozen=True)
class Question:
    """A question with two answers about the scans of one site.

    Attributes:
        name: such as "egypt malignant".
        folder, site: whose scans.
        of: the table's rows -> 1, 0, or -1 where the question is not about the row.
    """

    name: str
    folder: str
    site: str
    of: Callable[[pd.DataFrame], np.ndarray]

    def frozen(self, name: str = "imagenet") -> Frozen:
        """The scans that it is about, through a network."""
        frame = table(self.folder, self.site)
        found = through(self.folder, self.site, name)
        label = self.of(frame)
        kept = label >= 0
        patient = frame.patient.to_numpy(str)[kept]
        return Frozen(found["logits"][kept], found["features"][kept], label[kept], patient, views_of(name))


def table(folder: str, site: str) -> pd.DataFrame:
    """The site's rows: file, patient, label and what else is known; a fixed draw where there are thousands."""
    if folder == "pacs":
        files = sorted((DATA / "objects" / "pacs" / site).rglob("*.*"))
        names = [str(file.relative_to(DATA)) for file in files]
        frame = pd.DataFrame({"file": names, "label": [file.parent.name for file in files]})
        frame["kind"] = frame.label
    else:
        frame = pd.read_csv(DATA / folder / "labels.csv", dtype=str)
        frame = frame[frame.site == site].reset_index(drop=True)
        frame["file"] = folder + "/" + frame.file
        frame["kind"] = frame.file.str.extract(r"(bacteria|virus)", expand=False).fillna(frame.label)
    if "patient" not in frame:
        frame["patient"] = [f"{site}-{number}" for number in range(len(frame))]
    most = MOST.get(site, MOST.get(folder))
    if most is not None:
        frame = frame.sample(frac=1.0, random_state=0).groupby("kind").head(most).sort_index()
    return frame.reset_index(drop=True)


def through(folder: str, site: str, name: str) -> dict[str, np.ndarray]:
    """Logits and features (float16 on disk) of a site's scans, in the table's order.

    The network has the site's batch statistics, as `medtl finetune` gives it.
    """

    def work() -> dict[str, np.ndarray]:
        cohort = cohort_of(folder, site)
        classifier = network(name, channels=cohort.recipe.channels)
        if name == "imagenet":
            torch.nn.init.zeros_(classifier.head.weight)  # it says nothing, as `medtl finetune` starts
            torch.nn.init.zeros_(classifier.head.bias)
        classifier = for_site(classifier, cohort, classifier.fixed)
        layered(classifier, beside(name, cohort.recipe.channels))
        logits, features = outputs(classifier.eval(), cohort, f"{name} on {site}")
        return {"logits": logits, "features": features.astype(np.float16)}

    found = cached(FOLDER / f"{name}-{site}.npz", work)
    return {key: value.astype(float) for key, value in found.items()}


def beside(name: str, channels: int) -> torch.nn.Module | None:
    """What the strategy `layers` reads beside a trained network."""
    return None if name == "imagenet" else create_backbone(CONFIG.backbone, channels=channels)


def views_of(name: str) -> list[list[slice]]:
    """The views of the features that `through` gives."""
    own, other = (create_backbone(CONFIG.backbone, pretrained=False) for _ in range(2))
    return Layered(own, None if name == "imagenet" else other).views


def cohort_of(folder: str, site: str) -> Cohort:
    """The site's scans, prepared."""
    frame = table(folder, site)
    plain = {"study": "", "series": "", "site": site, "label": "", "split": "train", "status": "ok", "reason": ""}
    names = [f"{site}-{number}" for number in frame.index]
    paths = [str(DATA / file) for file in frame.file]
    whole = pd.DataFrame({"scan_id": names, "patient": frame.patient, "path": paths, **plain})
    files = {name: (Path(path),) for name, path in zip(names, paths, strict=True)}
    cohort = Cohort(Manifest(whole, files), RECIPES[RECIPE[folder]])
    if cohort.failed:
        raise ValueError(f"{site}: {cohort.failed}")
    return cohort


def halves(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the target's table in the half to choose on, and in the half to report."""
    frame = table(pair.folder, pair.target)
    here, test = pair.parts(pair.target, 0.5, 0.5)
    return tuple(np.flatnonzero(frame.patient.isin(patients)) for patients in (here, test))


def is_any(column: str, yes: tuple[str, ...], no: tuple[str, ...]) -> Callable[[pd.DataFrame], np.ndarray]:
    """1 where the column says one of `yes`, 0 for one of `no`, else -1."""
    return lambda frame: np.where(frame[column].isin(yes), 1, np.where(frame[column].isin(no), 0, -1))


def reported() -> list[tuple[Pair, Question]]:
    """The questions that figures are given for."""
    ill = is_any("label", ("malignant", "tuberculosis", "pneumonia"), ("benign", "normal"))
    return [(pair, Question(pair.target, pair.folder, pair.target, ill)) for pair in PAIRS if pair.name in REPORTED]


def others() -> Iterator[Question]:
    """Questions about other scans: what the prior is learnt from, and what every choice was made on."""
    yield Question("brazil: malignant", "ultrasound", "brazil", is_any("label", ("malignant",), ("benign",)))
    yield Question("brazil: BI-RADS 4 and 5", "ultrasound", "brazil", is_any("birads", ("4", "5"), ("2", "3")))
    yield Question("brazil: BI-RADS 3 among benign-looking", "ultrasound", "brazil", is_any("birads", ("3",), ("2",)))
    yield Question("brazil: BI-RADS 4 against 3", "ultrasound", "brazil", is_any("birads", ("4",), ("3",)))
    scanner = ("GE Logiq 7 @10-14MHz",), ("GE Logiq 5 @10-12MHz",)
    yield Question("brazil: which scanner", "ultrasound", "brazil", is_any("scanner", *scanner))
    yield Question("guangzhou: pneumonia", "cxr", "guangzhou", is_any("kind", ("bacteria", "virus"), ("normal",)))
    yield Question("guangzhou: bacteria or virus", "cxr", "guangzhou", is_any("kind", ("bacteria",), ("virus",)))
    yield Question("guangzhou: viral pneumonia", "cxr", "guangzhou", is_any("kind", ("virus",), ("normal",)))
    yield Question("guangzhou: bacterial pneumonia", "cxr", "guangzhou", is_any("kind", ("bacteria",), ("normal",)))
    lineages = ("monocyte", "lymphocyte"), ("basophil", "eosinophil", "neutrophil")
    yield Question("cells: no granules", "cells", "barcelona", is_any("label", *lineages))
    for one, two in (("basophil", "eosinophil"), ("lymphocyte", "monocyte"), ("eosinophil", "neutrophil")):
        yield Question(f"cells: {one} or {two}", "cells", "barcelona", is_any("label", (one,), (two,)))
    for style in ("art_painting", "cartoon", "sketch"):
        beasts = ("dog", "elephant", "giraffe", "horse"), ("guitar", "house", "person")
        hoofed = ("horse", "giraffe"), ("dog", "elephant")
        mixed = ("dog", "giraffe", "house"), ("elephant", "horse", "guitar", "person")
        for name, (yes, no) in (("beast", beasts), ("hoofed", hoofed), ("mixed", mixed)):
            yield Question(f"{style}: {name}", "pacs", style, is_any("label", yes, no))


def main() -> None:
    """Extract once what every benchmark on frozen features reads."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--networks", default="imagenet")
    told = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    for name in told.networks.split(","):
        every = [question for _, question in reported()] + list(others())
        for folder, site in dict.fromkeys((each.folder, each.site) for each in every):
            through(folder, site, name)
            print(name, site, flush=True)


if __name__ == "__main__":
    main()
