"""The same picture under two names: exactly, by the hash of its pixels, or nearly, by a perceptual hash."""

from __future__ import annotations

import pandas as pd

from medtl.scans.manifest import Manifest


def group_patients(manifest: Manifest, near: bool = True) -> Manifest:
    """The manifest with its column `group`: rows joined by patient, by equal pixels and, if `near`, by likeness.

    Every group is named by its first patient, or else scan, in sorted order.
    """
    frame = manifest.frame
    joined = Joined(frame.scan_id)
    joined.join_equal(frame.scan_id, frame.patient)
    if "group" in frame and near:
        joined.join_equal(frame.scan_id, frame.group)
    if "fingerprint" in frame:
        joined.join_equal(frame.scan_id, frame.fingerprint)
    names = frame.patient.where(frame.patient != "", frame.scan_id)
    root = frame.scan_id.map(joined.root)
    return Manifest(frame.assign(group=names.groupby(root).transform("min")), manifest.files)


class Joined:
    """Disjoint sets of names (union-find)."""

    def __init__(self, names: pd.Series) -> None:
        self.parent = {name: name for name in names}

    def root(self, name: str) -> str:
        """The name that stands for the whole set."""
        while self.parent[name] != name:
            self.parent[name] = self.parent[self.parent[name]]
            name = self.parent[name]
        return name

    def join(self, one: str, other: str) -> None:
        """Make one set of two."""
        one, other = sorted((self.root(one), self.root(other)))
        self.parent[other] = one

    def join_equal(self, names: pd.Series, keys: pd.Series) -> None:
        """Join the names whose key is the same and not empty."""
        first: dict[str, str] = {}
        for name, key in zip(names, keys, strict=True):
            if key:
                self.join(first.setdefault(key, name), name)
