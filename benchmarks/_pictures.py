"""Pictures in memory, for the field's own benchmarks that are arrays and not scans."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass
class Pictures:
    """What a Role needs of a cohort.

    Attributes:
        stack: float32 (N, C, H, W) as the network takes it, or uint8, which becomes [-1, 1].
        label: int64 (N,).
        patient: (N,); by default each picture is its own.
        site: int64 (N,), all 0 where they are of one.
        classes: the classes' names.
    """

    stack: np.ndarray
    label: np.ndarray
    patient: np.ndarray | None = None
    site: np.ndarray | None = None
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.scan_id = np.array([f"picture {number}" for number in range(len(self.stack))])
        self.patient = self.scan_id if self.patient is None else self.patient
        self.site = np.zeros(len(self.stack), dtype=np.int64) if self.site is None else self.site
        self.bag_sizes = np.ones(len(self.stack), dtype=np.int64)
        self.multilabel = self.label.ndim == 2

    def __len__(self) -> int:
        return len(self.stack)

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W)."""
        return self.stack.shape[1:]

    @property
    def site_names(self) -> tuple[str, ...]:
        """A name for each site."""
        return tuple(f"site {number}" for number in range(int(self.site.max()) + 1))

    def pixels(self, i: int) -> np.ndarray:
        """(1, C, H, W): a picture is a bag of one."""
        return self.gather(np.array([i]))

    def gather(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Float32 (n, C, H, W) of some rows, into `out` where that is given."""
        out = np.empty((len(rows), *self.shape), np.float32) if out is None else out
        out[...] = self.stack[rows]
        if self.stack.dtype == np.uint8:
            out /= 127.5
            out -= 1
        return out

    def select(self, rows: np.ndarray) -> Pictures:
        """These rows, or those where a mask is true."""
        part = {name: getattr(self, name)[rows] for name in ("stack", "label", "patient", "site")}
        return replace(self, **part)
