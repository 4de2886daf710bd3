"""Files become scans, folders become manifests."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from medtl.scans.read import read, read_scan
from medtl.scans.scan import Scan

if TYPE_CHECKING:
    from medtl.scans.index import index_folders as index_folders
    from medtl.scans.manifest import Manifest as Manifest
    from medtl.scans.manifest import Row as Row
    from medtl.scans.orient import reorient as reorient
    from medtl.scans.splits import assign_splits as assign_splits
    from medtl.scans.splits import check_leaks as check_leaks

__all__ = ["Manifest", "Row", "Scan", "assign_splits", "check_leaks", "index_folders", "read", "read_scan", "reorient"]

_HOMES = {"Manifest": "manifest", "Row": "manifest", "assign_splits": "splits", "check_leaks": "splits"}
_HOMES |= {"index_folders": "index", "reorient": "orient"}


def __getattr__(name: str) -> Any:
    """Load pandas only with what needs it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'medtl.scans' has no attribute {name!r}")
    return getattr(import_module(f"medtl.scans.{_HOMES[name]}"), name)
