"""Prepared scans of a site in one small file, so that a benchmark runs where neither the scans nor a decoder are.

Pixels are rounded to 8 bits, as the pictures that they come from have them, and kept as lossless WebP. A benchmark that
reads from here does so on every machine, so that its rows can be compared.
"""

from __future__ import annotations

import copy
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from medtl.intensity import Recipe


@dataclass
class Packed:
    """What a Role and a training need of a cohort, held in memory.

    Attributes:
        stack: uint8 (N, C, H, W).
        label: int64 (N,).
        scan_id, patient: (N,) strings.
        site: int64 (N,), a place in `site_names`.
        classes, site_names: as a Cohort's.
        recipe: by which the scans were prepared.
    """

    stack: np.ndarray
    label: np.ndarray
    scan_id: np.ndarray
    patient: np.ndarray
    site: np.ndarray
    classes: tuple[str, ...]
    site_names: tuple[str, ...]
    recipe: Recipe
    multilabel: bool = field(default=False, init=False)

    def __len__(self) -> int:
        return len(self.stack)

    @property
    def bag_sizes(self) -> np.ndarray:
        return np.ones(len(self), np.int64)

    @property
    def members(self) -> list[list[str]]:
        return [[name] for name in self.scan_id.tolist()]

    @property
    def frame(self) -> pd.DataFrame:
        """What a manifest's table says: no series, no study."""
        return pd.DataFrame({"scan_id": self.scan_id, "patient": self.patient, "study": "", "series": ""})

    @property
    def manifest(self) -> Packed:
        return self

    def pixels(self, i: int) -> np.ndarray:
        """Float32 (1, C, H, W) in [-1, 1]."""
        return _floats(self.stack[i][None])

    def gather(self, rows: Sequence[int] | np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Float32 (n, C, H, W) of some rows."""
        found = _floats(self.stack[np.asarray(rows)])
        if out is None:
            return found
        out[...] = found
        return out

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.stack.shape[1:]

    def select(self, rows: np.ndarray) -> Packed:
        """These rows, or those where a mask is true."""
        rows = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows)
        part = copy.copy(self)
        for name in ("stack", "label", "scan_id", "patient", "site"):
            setattr(part, name, getattr(self, name)[rows])
        return part

    @staticmethod
    def join(parts: Sequence[Packed]) -> Packed:
        """Several sites, one after the other."""
        whole = copy.copy(parts[0])
        whole.site_names = tuple(sorted({name for part in parts for name in part.site_names}))
        names = [part.site_names[site] for part in parts for site in part.site]
        whole.site = np.array([whole.site_names.index(name) for name in names])
        for name in ("stack", "label", "scan_id", "patient"):
            setattr(whole, name, np.concatenate([getattr(part, name) for part in parts]))
        return whole

    def save(self, path: Path) -> None:
        """Write it."""
        coded = [_coded(each) for each in self.stack]
        facts = {"classes": np.array(self.classes), "site_names": np.array(self.site_names)}
        told = {name: getattr(self, name) for name in ("label", "scan_id", "patient", "site")}
        ends = np.cumsum([len(each) for each in coded])
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, pixels=np.frombuffer(b"".join(coded), np.uint8), ends=ends, **told, **facts)

    @classmethod
    def load(cls, path: Path, recipe: Recipe) -> Packed:
        """Read it."""
        with np.load(path) as kept:
            coded, ends = kept["pixels"].tobytes(), [0, *kept["ends"].tolist()]
            parts = [coded[start:end] for start, end in itertools.pairwise(ends)]
            stack = np.stack([_decoded(part, recipe.channels) for part in parts])
            told = {name: kept[name] for name in ("label", "scan_id", "patient", "site")}
            classes, site_names = (tuple(kept[name].tolist()) for name in ("classes", "site_names"))
        return cls(stack, **told, classes=classes, site_names=site_names, recipe=recipe)


def packed(cohort: object) -> Packed:
    """A Cohort of pictures, packed."""
    stack = np.rint((cohort.stacked() + 1) * 127.5).clip(0, 255).astype(np.uint8)
    return Packed(
        stack, cohort.label, cohort.scan_id, np.asarray(cohort.patient, str), cohort.site, cohort.classes,
        cohort.site_names, cohort.recipe,
    )  # fmt: skip


def _floats(stack: np.ndarray) -> np.ndarray:
    return stack.astype(np.float32) / np.float32(127.5) - np.float32(1)


def _coded(picture: np.ndarray) -> bytes:
    stream = io.BytesIO()
    image = Image.fromarray(picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0))
    image.save(stream, "WEBP", lossless=True)
    return stream.getvalue()


def _decoded(coded: bytes, channels: int) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(coded)).convert("RGB"))[..., :channels].transpose(2, 0, 1)
