"""Pictures in memory, for the field's own benchmarks that are arrays and not scans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Pictures:
    """What a Role needs of a cohort.

    Attributes:
        stack: float32 (N, C, H, W), in [-1, 1].
        label: int64 (N,).
        patient: (N,), or None where each picture is its own.
    """

    stack: np.ndarray
    label: np.ndarray
    patient: np.ndarray | None = None

    def __post_init__(self) -> None:
        self.site = np.zeros(len(self.stack), dtype=np.int64)
        self.bag_sizes = np.ones(len(self.stack), dtype=np.int64)

    def __len__(self) -> int:
        return len(self.stack)

    def pixels(self, i: int) -> np.ndarray:
        """(1, C, H, W): a picture is a bag of one."""
        return self.stack[i][None]

    def select(self, rows: np.ndarray) -> Pictures:
        """These rows, or those where a mask is true."""
        return Pictures(self.stack[rows], self.label[rows], None if self.patient is None else self.patient[rows])
