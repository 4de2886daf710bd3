"""Cohorts: tensors on demand."""

from medtl.data.cohort import Cohort

__all__ = ["Cohort"]
