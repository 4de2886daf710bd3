"""Pairs of hospitals that methods are compared on, their scans packed once and split by fixed draws of patients."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from _packed import Packed, packed
from hospital_shift import DATA

from medtl.data import Cohort
from medtl.intensity import RECIPES
from medtl.scans import Manifest

#: Methods that are measured with all seeds on every pair.
FULL = ("dann", "cdan-e", "dan", "afn", "mcc", "mean-teacher", "fixmatch", "shot")
#: Methods other than FULL are measured with the first seed on these pairs.
OTHERS_ON = ("brazil-egypt", "egypt-brazil", "new-delhi-yakutia", "barcelona-jiangxi")
#: All target labels gain at least so much, or they are too few to be an upper bound (those of Poland, of CellaVision).
LEAST_GAP = 0.02
#: Scans of a site at most, a fixed draw of whole patients, where there are thousands.
MOST = {"guangzhou": 2000}
RECIPE = {"ultrasound": "ultrasound", "tb": "radiograph", "cxr": "radiograph", "cells": "picture"}
SITES = {
    "ultrasound": ("brazil", "egypt", "poland"),
    "tb": ("new-delhi", "yakutia"),
    "cxr": ("guangzhou", "nih"),
    "cells": ("barcelona", "jiangxi", "cellavision"),
}


@dataclass(frozen=True)
class Shift:
    """One or two labelled hospitals, and one whose labels only the measurement sees."""

    folder: str
    sources: tuple[str, ...]
    target: str

    @property
    def name(self) -> str:
        """Such as "brazil+poland-egypt"."""
        return f"{'+'.join(self.sources)}-{self.target}"

    @property
    def honest(self) -> bool:
        """Whether the label hangs on the same signs at both ends."""
        return self.folder != "cxr"

    def cohorts(self, packs: Path) -> dict[str, Packed]:
        """Source to train on (four fifths of its patients), source held out, target to adapt to, target to test on."""
        train, held_out = zip(*(halves(site_of(self.folder, site, packs), 0.8) for site in self.sources), strict=True)
        target, test = halves(site_of(self.folder, self.target, packs), 0.5)
        return {"source": Packed.join(train), "held_out": Packed.join(held_out), "target": target, "test": test}


def _ordered(folder: str, *sites: str) -> list[Shift]:
    return [Shift(folder, (source,), target) for source in sites for target in sites if source != target]


SHIFTS = {
    shift.name: shift
    for shift in (
        *_ordered("ultrasound", *SITES["ultrasound"]),
        Shift("ultrasound", ("brazil", "poland"), "egypt"),
        Shift("ultrasound", ("egypt", "poland"), "brazil"),
        *_ordered("tb", *SITES["tb"]),
        Shift("cells", ("barcelona",), "jiangxi"),
        Shift("cells", ("barcelona",), "cellavision"),
        *_ordered("cxr", *SITES["cxr"]),
    )
}


def halves(site: Packed, share: float) -> tuple[Packed, Packed]:
    """Its patients in two parts, stratified by their first label: always the same ones."""
    names, first, of = np.unique(site.patient, return_index=True, return_inverse=True)
    rng = np.random.default_rng(zlib.crc32(site.site_names[0].encode()))
    ours = np.zeros(len(names), bool)
    for label in np.unique(site.label):
        these = rng.permutation(np.flatnonzero(site.label[first] == label))
        ours[these[: int(np.ceil(share * len(these)))]] = True
    return site.select(ours[of]), site.select(~ours[of])


def site_of(folder: str, site: str, packs: Path) -> Packed:
    """A site's scans, prepared and packed; from `packs` where they are there already."""
    file, recipe = packs / f"{folder}-{site}.npz", RECIPES[RECIPE[folder]]
    if not file.exists():
        packed(_cohort(folder, site)).save(file)
    return Packed.load(file, recipe)


def _cohort(folder: str, site: str) -> Cohort:
    frame = pd.read_csv(DATA / folder / "labels.csv", dtype=str)
    classes = sorted(frame.label.unique())
    frame = frame[frame.site == site]
    patient = frame.patient if "patient" in frame else pd.Series([f"{site}-{n}" for n in frame.index], frame.index)
    if site in MOST:
        order = np.random.default_rng(0).permutation(pd.unique(patient))
        counts = patient.value_counts()[order].cumsum()
        frame = frame[patient.isin(counts.index[counts <= MOST[site]])]
    names = [f"{site}-{number}" for number in frame.index]
    paths = [str(DATA / folder / file) for file in frame.file]
    plain = {"study": "", "series": "", "site": site, "split": "train", "status": "ok", "reason": ""}
    told = {
        "scan_id": names,
        "patient": patient[frame.index].to_numpy(),
        "path": paths,
        "label": frame.label.to_numpy(),
    }
    files = {name: (Path(path),) for name, path in zip(names, paths, strict=True)}
    return Cohort(Manifest(pd.DataFrame({**told, **plain}), files), RECIPES[RECIPE[folder]], classes=classes)


def coded(logits: np.ndarray) -> str:
    """(N, K) as float16 in base64."""
    return base64.b64encode(np.ascontiguousarray(logits, "<f2").tobytes()).decode()


def decoded(text: str, classes: int) -> np.ndarray:
    """What `coded` was given."""
    return np.frombuffer(base64.b64decode(text), "<f2").reshape(-1, classes).astype(float)
