"""Transfer learning for medical images: two folders of scans in, a calibrated model that works at your hospital out.

From Python, each verb is a function with the same arguments: medtl.index(folders), medtl.adapt(source, target, out).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from medtl.verbs import VERBS

__version__ = "0.1.0"

if TYPE_CHECKING:
    from medtl.runs.run import Run as Run
    from medtl.scans import Manifest as Manifest
    from medtl.scans import Scan as Scan
    from medtl.scans import read as read

# The verb `methods` is not among them: `medtl.methods` is the package, and a name is never both (medtl.verbs.methods).
_HOMES = {name: f"medtl.verbs.{name}" for verb in VERBS if (name := verb.replace("-", "_")) != "methods"} | {
    "Manifest": "medtl.scans",
    "Scan": "medtl.scans",
    "read": "medtl.scans",
    "Run": "medtl.runs.run",
}


def __getattr__(name: str) -> Any:
    """Load a verb or a noun when it is first asked for, so that `import medtl` takes milliseconds."""
    if name not in _HOMES:
        raise AttributeError(f"module 'medtl' has no attribute {name!r}: it has {', '.join(_HOMES)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({"__version__", *_HOMES})
